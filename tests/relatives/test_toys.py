"""The figure eight's density, and sums over a lattice of z against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.scipy import stats

import abp_jax as abp
from abp_jax.compilation.precision import double_precision
from abp_jax.relatives import toys


@pytest.fixture(scope="module")
def line():
    """f(z) = w z + b: factor analysis with one factor."""
    return abp.LinearGenerator(1, 3, rngs=nnx.Rngs(1))


def closed_form(line, y, sigma):
    """log p(y), the posterior's mean and its variance."""
    w, b = line.first.kernel[...][0], line.first.bias[...]
    covariance = jnp.outer(w, w) + sigma**2 * jnp.eye(3)
    variance = 1 / (1 + w @ w / sigma**2)
    return stats.multivariate_normal.logpdf(y, b, covariance), variance * w @ (y - b) / sigma**2, variance


def test_points_lie_about_the_curve_and_follow_the_density(key):
    y = toys.figure_eight(key, 4000, 0.1)
    curve = toys.eight(jnp.linspace(0, 2 * jnp.pi, 400))
    distance = jnp.min(jnp.linalg.norm(y[:, None] - curve[None], axis=2), axis=1)
    assert (
        y.shape == (4000, 2) and 0.05 < jnp.mean(distance) < 0.09
    )  # across the curve: the mean of |N(0, .1^2)| is .08
    np.testing.assert_allclose(jnp.mean(y, axis=0), 0, atol=0.12)
    np.testing.assert_allclose(jnp.var(y, axis=0), [1.5**2 / 2 + 0.01, 0.75**2 / 2 + 0.01], rtol=0.05)
    density = jax.jit(jax.vmap(lambda y: toys.figure_eight_log_density(y, 0.1, 500)))
    nats = density(y)
    x = np.linspace(-2.6, 2.6, 131), np.linspace(-1.6, 1.6, 81)
    log_p = density(jnp.stack(jnp.meshgrid(*map(jnp.asarray, x)), axis=-1).reshape(-1, 2))
    np.testing.assert_allclose(jnp.sum(jnp.exp(log_p)) * 0.04**2, 1, atol=1e-4)
    entropy = -jnp.sum(jnp.exp(log_p) * log_p) * 0.04**2
    assert abs(jnp.mean(nats) + entropy) < 4 * jnp.std(nats) / len(y) ** 0.5


def test_the_curve_crosses_itself_in_the_middle():
    t = np.pi * jnp.array([0, 0.25, 0.5, 0.75, 1.5])
    side = 1.5 / np.sqrt(2)
    np.testing.assert_allclose(toys.eight(t), [[1.5, 0], [side, 0.75], [0, 0], [-side, -0.75], [0, 0]], atol=1e-6)


def test_the_density_does_not_depend_on_the_number_of_its_points():
    y = jnp.array([[2.0, 0.0], [0.1, -0.1], [1.0, 2.0]])
    few, many = (jax.vmap(lambda y, num=num: toys.figure_eight_log_density(y, 0.1, num))(y) for num in (500, 4000))
    np.testing.assert_allclose(few, many, atol=1e-4)


def test_log_evidence_and_posterior_are_those_of_factor_analysis(line):
    z = toys.lattice(2001)
    both = jax.jit(lambda y, sigma: (toys.log_evidence(line, y, sigma, z), toys.log_posterior(line, y, sigma, z)))
    for sigma in (0.1, 0.5):
        for y in jnp.array([[0.3, -0.2, 0.5], [2.0, 1.0, -1.0]]):
            log_p, mean, variance = closed_form(line, y, sigma)
            found, log_posterior = both(y, sigma)
            np.testing.assert_allclose(found, log_p, rtol=1e-5, atol=1e-4)
            p = jnp.exp(log_posterior)
            np.testing.assert_allclose(jnp.sum(p), 1, atol=1e-5)
            np.testing.assert_allclose(p @ z[:, 0], mean, atol=1e-4)
            np.testing.assert_allclose(p @ (z[:, 0] - mean) ** 2, variance, rtol=1e-3)


def test_in_double_precision_the_lattice_is_exact():
    with double_precision():
        line = abp.LinearGenerator(1, 3, rngs=nnx.Rngs(1))
        weights = {"kernel": jnp.array([[0.5, -1.0, 0.3]]), "bias": jnp.array([0.1, 0.2, 0.3])}
        line = abp.generators.with_params(line, {"first": weights})
        y = jnp.array([0.3, -0.2, 0.5])
        z = toys.lattice(401, 8.0)
        np.testing.assert_allclose(toys.log_evidence(line, y, 0.3, z), closed_form(line, y, 0.3)[0], rtol=1e-12)


def test_the_gradient_of_the_sum_is_that_of_the_closed_form(line):
    y, (generate, params) = jnp.array([0.3, -0.2, 0.5]), abp.generators.functional(line)
    with_sum = lambda params: toys.log_evidence(lambda z: generate(params, z), y, 0.3, toys.lattice(1001))

    def exact(params):
        w, b = params["first"]["kernel"][0], params["first"]["bias"]
        return stats.multivariate_normal.logpdf(y, b, jnp.outer(w, w) + 0.3**2 * jnp.eye(3))

    both = jax.grad(with_sum)(params), jax.grad(exact)(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3), *both)


def test_one_call_and_chunks_agree(key, line):
    y, z = jax.random.normal(key, (250, 3)), toys.lattice()
    for log_p in (lambda y: toys.log_evidence(line, y, 0.3, z), lambda y: toys.figure_eight_log_density(y[:2])):
        program = jax.jit(jax.vmap(log_p))
        chunks = jnp.concatenate([program(part) for part in (y[:125], y[125:])])
        np.testing.assert_allclose(program(y), chunks, rtol=1e-5, atol=1e-4)


def test_both_divergences_of_two_normal_distributions():
    z = toys.lattice(4001, 12.0)[:, 0]
    log_p, log_q = stats.norm.logpdf(z, 0.5, 1.2), stats.norm.logpdf(z, -0.3, 0.7)
    kl = lambda m, s, n, t: np.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - 0.5
    expected = kl(-0.3, 0.7, 0.5, 1.2), kl(0.5, 1.2, -0.3, 0.7)
    np.testing.assert_allclose(toys.both_divergences(log_p, log_q), expected, rtol=1e-4)
    np.testing.assert_allclose(toys.both_divergences(log_p, log_p), (0, 0), atol=1e-5)


def test_bad_arguments_are_named(key, line):
    with pytest.raises(ValueError, match="num must be positive"):
        toys.figure_eight(key, 0)
    with pytest.raises(ValueError, match="sigma must be positive"):
        toys.figure_eight(key, 3, -1)
    with pytest.raises(ValueError, match=r"z must be a lattice of one number each, \(num, 1\), got \(5,\)"):
        toys.log_evidence(line, jnp.zeros(3), 0.3, jnp.zeros(5))

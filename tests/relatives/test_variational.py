"""The evidence lower bound, where log p(y) and the posterior are known: a linear model, and two latent dimensions."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.scipy.special import logsumexp

import abp_jax as abp
from abp_jax import evidence, factor_analysis, model, quadrature
from abp_jax.compilation.precision import double_precision
from abp_jax.relatives import encoders, variational
from abp_jax.relatives.encoders import Gaussian
from tests.relatives.test_encoders import lattice

SIGMA = 0.7
W = jnp.array([[1.2, 0.3], [-0.4, 0.9], [0.5, 0.5]])
Y = jnp.array([0.8, -0.3, 1.1])
FA = factor_analysis.FactorAnalysis(W, jnp.zeros(3), jnp.float32(SIGMA))
LOG_P = float(factor_analysis.log_marginal_likelihood(FA, Y[None])[0])
OFF = Gaussian(jnp.array([0.1, 0.2]), jnp.array([[0.8, 0.0], [0.3, 0.5]]))


@pytest.fixture
def float64():
    with double_precision():
        yield


def f(z):
    return W @ z


def exact_posterior():
    found = factor_analysis.posterior(FA, Y[None])
    return Gaussian(found.mean[0], jnp.linalg.cholesky(found.covariance))


def expected_log_likelihood(q):
    """E_q log p(y | z) of the linear model, by hand."""
    squares = jnp.sum((Y - f(q.mean)) ** 2) + jnp.sum((W @ q.factor) ** 2)
    return float(-squares / (2 * SIGMA**2) - 1.5 * jnp.log(2 * jnp.pi * SIGMA**2))


def kl(q, p):
    """KL(q || p) of two normal distributions."""
    solve = lambda b: jnp.linalg.solve(p.factor, b)
    log_ratio = encoders.log_determinant(p) - encoders.log_determinant(q)
    return float(log_ratio + 0.5 * (jnp.sum(solve(q.factor) ** 2) + jnp.sum(solve(q.mean - p.mean) ** 2) - 2))


def test_at_the_posterior_every_draw_weighs_log_p():
    log_w = variational.log_weights(jax.random.key(0), f, exact_posterior(), Y, SIGMA, 500)
    np.testing.assert_allclose(log_w, LOG_P, atol=1e-5)


def test_elsewhere_log_p_is_short_of_the_kl_to_the_posterior():
    """Both by hand, and the estimate by draws within four standard errors."""
    bound = expected_log_likelihood(OFF) - float(encoders.kl_to_prior(OFF))
    assert abs(LOG_P - bound - kl(OFF, exact_posterior())) < 1e-5
    log_w = np.asarray(variational.log_weights(jax.random.key(1), f, OFF, Y, SIGMA, 100_000), np.float64)
    assert abs(log_w.mean() - bound) < 4 * log_w.std() / np.sqrt(len(log_w))
    assert LOG_P - bound > 0.2
    np.testing.assert_allclose(variational.elbo(jax.random.key(1), f, OFF, Y, SIGMA, 100_000), log_w.mean(), rtol=1e-5)


def test_without_the_kl_to_the_prior_it_is_no_bound():
    """And with the KL to the posterior in its place it is E_q log p(y | z) at the posterior, above log p(y)."""
    q = exact_posterior()
    assert expected_log_likelihood(q) - kl(q, q) > LOG_P + 0.5


def test_a_tanh_network_in_64_bits(float64):
    """log p(y) - ELBO = KL(q || p(z | y)), each by a sum of its own: on q's lattice and the posterior's."""
    network = abp.MLPGenerator(2, 5, (12,), rngs=nnx.Rngs(1))
    generate, params = abp.generators.functional(network)
    f = partial(generate, jax.tree.map(lambda w: jnp.asarray(w, jnp.float64), params))
    y = f(jnp.array([0.5, -0.8])) + 0.3 * jnp.asarray(np.random.default_rng(0).normal(size=5))
    posterior = quadrature.exact_posteriors(f, y[None], 0.4, tolerance=1e-10)[0]
    narrow = 0.8 * np.linalg.cholesky(posterior.covariance) @ np.array([[1, 0], [0.2, 0.9]])
    q = Gaussian(jnp.asarray(posterior.mean + 0.1), jnp.asarray(narrow))

    z, weights = lattice(q)
    log_likelihood = jax.vmap(lambda z: model.log_likelihood(f, z, y, 0.4))(jnp.asarray(z))
    bound = weights @ np.asarray(log_likelihood) - encoders.kl_to_prior(q)

    log_q = np.asarray(jax.vmap(encoders.log_density, (None, 0))(q, jnp.asarray(posterior.z)))
    log_joint = np.asarray(jax.vmap(lambda z: model.log_joint(f, z, y, 0.4))(jnp.asarray(posterior.z)))
    cell = posterior.weights / np.exp(log_joint - posterior.log_evidence)
    seen = posterior.weights > 0
    kl = np.sum(cell[seen] * np.exp(log_q[seen]) * (log_q[seen] - np.log(posterior.weights / cell)[seen]))
    assert np.ptp(cell[seen]) < 1e-6 * cell[seen].max()
    assert abs(posterior.log_evidence - bound - kl) < 1e-6 and kl > 0.05


def test_the_mean_weight_is_p_and_more_draws_are_a_tighter_bound():
    log_w = variational.log_weights(jax.random.key(2), f, OFF, Y, SIGMA, 64_000)
    weights = np.exp(np.asarray(log_w, np.float64) - LOG_P)
    assert abs(weights.mean() - 1) < 4 * weights.std() / np.sqrt(len(weights))
    bounds = [evidence.importance_bound(log_w, k) for k in (1, 4, 16, 64)]
    for lower, higher in zip(bounds[:-1], bounds[1:], strict=True):
        assert lower.value < higher.value + 4 * np.hypot(lower.standard_error, higher.standard_error)
    assert bounds[0].value < bounds[1].value - 0.1 and bounds[-1].value < LOG_P + 4 * bounds[-1].standard_error
    np.testing.assert_allclose(bounds[0].value, jnp.mean(log_w), rtol=1e-6)
    np.testing.assert_allclose(logsumexp(log_w) - np.log(len(log_w)), LOG_P, atol=0.02)


def test_the_pathwise_gradient_is_that_of_the_bound():
    """In m and in S, against the derivative by hand, within four standard errors for each number."""

    def one(key):
        return jax.grad(lambda q: variational.elbo(key, f, q, Y, SIGMA))(OFF)

    draws = jax.vmap(one)(jax.random.split(jax.random.key(3), 20_000))
    by_m = W.T @ (Y - f(OFF.mean)) / SIGMA**2 - OFF.mean
    by_S = -W.T @ W @ OFF.factor / SIGMA**2 - OFF.factor + jnp.diag(1 / jnp.diagonal(OFF.factor))
    for found, expected in ((draws.mean, by_m), (draws.factor, by_S)):
        found = np.asarray(found, np.float64)
        error = np.abs(found.mean(0) - np.asarray(expected)) - 4 * found.std(0) / np.sqrt(len(found))
        assert np.all(np.where(np.ones_like(error) if error.ndim == 1 else np.tri(2), error, 0) < 1e-4)


def test_one_call_is_chunks_of_a_hundred():
    """The same draws weigh the same alone."""
    y = jax.random.normal(jax.random.key(4), (300, 3))
    log_weights = jax.jit(jax.vmap(lambda y: variational.log_weights(jax.random.key(5), f, OFF, y, SIGMA, 3)))
    chunks = jnp.concatenate([log_weights(y[i : i + 100]) for i in range(0, len(y), 100)])
    np.testing.assert_allclose(log_weights(y), chunks, rtol=1e-5)


def test_what_does_not_fit_is_said():
    with pytest.raises(ValueError, match="num must be positive"):
        variational.log_weights(jax.random.key(0), f, OFF, Y, SIGMA, 0)
    with pytest.raises(TypeError, match="key must be a key"):
        variational.elbo(0, f, OFF, Y, SIGMA)
    with pytest.raises(ValueError, match="y has shape"):
        variational.elbo(jax.random.key(0), f, OFF, Y[:2], SIGMA)

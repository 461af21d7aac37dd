"""The gaps against closed forms, and against sums over lattices of z that know nothing of them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax import factor_analysis
from abp_jax.evaluation import evidence, quadrature
from abp_jax.relatives import encoders, gaps, vae, variational
from abp_jax.relatives.encoders import Gaussian
from tests.evaluation.test_quadrature import two_rings

SIGMA = 0.5


@pytest.fixture
def x64():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def linear(dtype=None):
    """W and y of a linear model, its log p(y), and the exact posterior as a Gaussian."""
    W = jax.random.normal(jax.random.key(0), (10, 2), dtype) * jnp.array([[1.0, 0.4]], dtype)
    W = W @ jnp.array([[1.0, 0.9], [0.0, 1.0]], dtype)
    y = W @ jnp.array([0.5, -1.0], dtype) + SIGMA * jax.random.normal(jax.random.key(1), (10,), dtype)
    factors = factor_analysis.FactorAnalysis(W, jnp.zeros(10, dtype), jnp.asarray(SIGMA, dtype))
    posterior = factor_analysis.posterior(factors, y[None])
    log_p = factor_analysis.log_marginal_likelihood(factors, y[None])[0]
    q = Gaussian(posterior.mean[0], jnp.linalg.cholesky(posterior.covariance))
    return (lambda z: W @ z), y, float(log_p), q


def mlp(dtype, num=6):
    """A tanh MLP with narrow, bent posteriors, and observations of it."""
    generator = abp.MLPGenerator(2, 20, (16,), rngs=nnx.Rngs(3))
    params = abp.generators.functional(generator)[1]
    generator = abp.generators.with_params(generator, jax.tree.map(lambda a: jnp.asarray(2 * a, dtype), params))
    keys = jax.random.split(jax.random.key(5), 2)
    z = jax.random.normal(keys[0], (num, 2), dtype)
    y = jax.vmap(generator)(z) + SIGMA * jax.random.normal(keys[1], (num, 20), dtype)
    return generator, y


def moved(q, u, scale=1.0):
    return Gaussian(q.mean + q.factor @ jnp.asarray(u, q.mean.dtype), scale * q.factor)


def test_elbo_of_the_posterior_is_log_p(x64):
    f, y, log_p, q = linear(jnp.float64)
    exact_elbo = jax.jit(lambda q: gaps.exact_elbo(f, q, y, SIGMA))
    assert abs(exact_elbo(q) - log_p) < 1e-7
    for u, scale in [((1.0, 0.7), 1.0), ((0.0, 0.0), 2.0), ((-0.3, 1.0), 0.5)]:
        kl = (np.sum(np.square(u)) + 2 * (scale**2 - 1)) / 2 - 2 * np.log(scale)
        assert abs(log_p - exact_elbo(moved(q, u, scale)) - kl) < 1e-6


def test_single_precision_and_a_batch_of_one_z():
    f, y, log_p, q = linear()
    bound = gaps.exact_elbo(f, moved(q, (1.0, 0.7)), y, SIGMA)
    assert bound.dtype == jnp.float32 and abs(log_p - bound - 1.49 / 2) < 1e-4
    line = Gaussian(jnp.array([0.3]), jnp.array([[0.2]]))  # y = z: log p, and E (y - z)^2 = .2^2 + (y - .3)^2
    bound = gaps.exact_elbo(lambda z: z, line, jnp.ones(1), 1.0)
    by_hand = -0.5 * (0.04 + 0.49) - 0.5 * np.log(2 * np.pi) - (0.04 + 0.09 - 1 - np.log(0.04)) / 2
    assert abs(bound - by_hand) < 1e-5


@pytest.mark.parametrize("family", ["full", "diagonal"])
def test_best_of_a_normal_posterior_in_closed_form(x64, family):
    """It is the posterior; or, of the diagonal ones, that of variances 1 / P_ii, with a gap of -log(1 - r^2) / 2."""
    f, y, log_p, q = linear(jnp.float64)
    start = Gaussian(q.mean + 3.0, 4 * jnp.eye(2))
    best, bound = gaps.best_gaussian(f, y, SIGMA, start, family)
    covariance = np.asarray(encoders.covariance(q))
    np.testing.assert_allclose(best.mean, q.mean, atol=1e-3)
    if family == "full":
        assert abs(bound - log_p) < 1e-6
        np.testing.assert_allclose(best.factor, q.factor, rtol=1e-3)
    else:
        r = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
        assert abs(r) > 0.7 and abs(log_p - bound + 0.5 * np.log(1 - r**2)) < 1e-6
        np.testing.assert_allclose(np.diag(best.factor) ** -2, np.diag(np.linalg.inv(covariance)), rtol=1e-3)
        assert best.factor[1, 0] == best.factor[0, 1] == 0
        np.testing.assert_allclose(gaps.in_family(q, family).factor, best.factor, rtol=1e-3)  # where a climb starts


def test_laplace_is_the_posterior_of_a_linear_model():
    f, y, _, q = linear()
    found = gaps.laplace(f, q.mean, y, SIGMA)
    np.testing.assert_allclose(found.factor, q.factor, rtol=1e-4, atol=1e-6)


def test_gap_is_the_divergence_to_the_posterior(x64):
    """log p - L(q) against KL(q || p(z | y)), summed on a lattice in the plane of z."""
    generator, y = mlp(jnp.float64, num=2)
    line, h = np.arange(-6, 6, 0.05), 0.05
    grid = jnp.asarray(np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2))
    q = Gaussian(jnp.array([0.3, -0.2]), jnp.array([[0.4, 0.0], [0.2, 0.25]]))
    log_q = jax.vmap(partial(encoders.log_density, q))(grid)
    log_joints = jax.jit(lambda y: jax.vmap(lambda z: abp.model.log_joint(generator, z, y, SIGMA))(grid))
    for one, judged in zip(y, quadrature.exact_posteriors(generator, y, SIGMA, tolerance=1e-8), strict=True):
        log_joint = log_joints(one)
        kl = h**2 * jnp.sum(jnp.exp(log_q) * (log_q - log_joint + judged.log_evidence))
        assert kl > 1
        assert abs(judged.log_evidence - gaps.exact_elbo(generator, q, one, SIGMA) - kl) < 1e-6


def test_best_is_a_stationary_point(x64):
    """By plain gradient ascent in m and S, which takes derivatives through f, nothing is left to gain."""
    generator, y = mlp(jnp.float64, num=2)
    best, bound = gaps.best_gaussian(generator, y[0], SIGMA, Gaussian(jnp.zeros(2), jnp.eye(2)), num_steps=100)
    gradient = jax.grad(lambda q: gaps.exact_elbo(generator, q, y[0], SIGMA))(best)
    np.testing.assert_allclose(gradient.mean, 0, atol=1e-3)
    np.testing.assert_allclose(jnp.tril(gradient.factor), 0, atol=1e-3)
    assert bound == gaps.exact_elbo(generator, best, y[0], SIGMA)


@pytest.fixture(scope="module")
def judged():
    """Gaps of an encoder that has learned nothing, for both families."""
    generator, y = mlp(jnp.float32)
    encoder = encoders.MLPEncoder(20, 2, (8,), rngs=nnx.Rngs(1))
    posteriors = quadrature.exact_posteriors(generator, y, SIGMA)
    both = [gaps.gaps(generator, encoder, y, SIGMA, family=name, posteriors=posteriors) for name in encoders.FAMILIES]
    return generator, encoder, y, both


def test_the_shares_add_up_and_the_order_of_the_families_holds(judged):
    generator, encoder, y, (full, diagonal) = judged
    bounds = jax.jit(jax.vmap(lambda y: gaps.exact_elbo(generator, encoder(y), y, SIGMA)))(y)
    for bound, wide, narrow in zip(bounds, full, diagonal, strict=True):
        assert wide.log_evidence == narrow.log_evidence and wide.bound == narrow.bound
        assert wide.bound == pytest.approx(float(bound), abs=2e-3)
        assert wide.approximation + wide.amortisation == pytest.approx(wide.log_evidence - wide.bound, abs=1e-6)
        assert -2e-3 < wide.approximation <= narrow.approximation + 2e-3
        assert wide.amortisation > -2e-3
    assert max(gap.approximation for gap in diagonal) > 0.02 and min(gap.amortisation for gap in full) > 1
    np.testing.assert_allclose(gaps.gaps(generator, encoder, y, SIGMA), full, atol=2e-3)  # by its own family


def test_two_modes_cost_one_bit():
    """On two equal modes far apart the best q takes one of them, and pays log 2; the moments lie between them."""
    y = two_rings(jnp.array([0.8, 0.3]))
    encoder = partial(lambda q, y: q, Gaussian(jnp.zeros(2), jnp.eye(2)))
    encoder.family = "full"
    (gap,) = gaps.gaps(two_rings, encoder, y[None], 0.02)
    assert gap.approximation == pytest.approx(np.log(2), abs=0.02) and gap.amortisation > 100


def test_importance_bounds_grow_and_weights_have_mean_p():
    f, y, log_p, q = linear()
    wrong = moved(q, (0.8, -0.6))
    log_w = variational.log_weights(jax.random.key(2), f, wrong, y, SIGMA, 2**14)
    values, errors = np.array([evidence.importance_bound(log_w, k) for k in (1, 4, 16)]).T
    assert abs(values[0] - gaps.exact_elbo(f, wrong, y, SIGMA)) < 4 * errors[0]
    assert abs(log_p - values[0] - 0.5) < 4 * errors[0]
    assert np.all(np.diff([*values, log_p]) > -4 * np.array(errors)) and values[2] - values[0] > 0.3
    w = np.exp(np.asarray(log_w) - log_p)
    assert abs(w.mean() - 1) < 4 * w.std() / np.sqrt(len(w))


def test_the_same_in_one_call_and_in_chunks():
    generator, y = mlp(jnp.float32, num=12)
    q = vae.encode(encoders.MLPEncoder(20, 2, (8,), rngs=nnx.Rngs(1)), y)
    bound = jax.jit(jax.vmap(lambda q, y: gaps.exact_elbo(generator, q, y, SIGMA)))
    part = [bound(jax.tree.map(lambda a, i=i: a[i : i + 4], q), y[i : i + 4]) for i in (0, 4, 8)]
    np.testing.assert_allclose(bound(q, y), jnp.concatenate(part), rtol=1e-5)


def test_refusals():
    f, y, _, q = linear()
    with pytest.raises(ValueError, match="family must be one of full, diagonal; got 'mean field'"):
        gaps.best_gaussian(f, y, SIGMA, q, "mean field")
    with pytest.raises(ValueError, match=r"of at most two numbers.*got \(3,\) and \(3, 3\)"):
        gaps.exact_elbo(lambda z: y, Gaussian(jnp.zeros(3), jnp.eye(3)), y, SIGMA)
    with pytest.raises(ValueError, match=r"jax.vmap makes the batch"):
        gaps.exact_elbo(f, jax.tree.map(lambda a: a[None], q), y, SIGMA)
    with pytest.raises(ValueError, match="spacing must be positive, got 0"):
        gaps.exact_elbo(f, q, y, SIGMA, spacing=0.0)
    with pytest.raises(ValueError, match="num_steps must be positive"):
        gaps.best_gaussian(f, y, SIGMA, q, num_steps=0)
    generator, images = mlp(jnp.float32, num=2)
    encoder = encoders.MLPEncoder(20, 2, (8,), rngs=nnx.Rngs(1))
    with pytest.raises(ValueError, match="posteriors must be those of the 2 images, got 0"):
        gaps.gaps(generator, encoder, images, SIGMA, posteriors=[])

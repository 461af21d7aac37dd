"""The judge against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax import factor_analysis
from abp_jax.compilation import precision
from abp_jax.evaluation import quadrature
from abp_jax.generators import functional


@pytest.fixture
def x64():
    with precision.double_precision():
        yield


@pytest.fixture
def linear(key):
    """A factor analysis whose posterior is 5 times as long as wide, and three observations."""
    W = jax.random.normal(key, (20, 2)) * jnp.array([[3.0, 0.6]])
    model = factor_analysis.FactorAnalysis(W, jnp.arange(20.0) / 10, jnp.asarray(0.3))
    z = jax.random.normal(jax.random.key(1), (3, 2))
    return model, z @ W.T + model.mean[None] + 0.3 * jax.random.normal(jax.random.key(2), (3, 20))


def test_equals_factor_analysis(x64, linear):
    model, y = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), linear)
    exact = factor_analysis.posterior(model, y)
    log_evidence = factor_analysis.log_marginal_likelihood(model, y)
    judged = quadrature.exact_posteriors(lambda z: model.loading @ z + model.mean, y, 0.3, tolerance=1e-8)
    for i, posterior in enumerate(judged):
        np.testing.assert_allclose(posterior.log_evidence, log_evidence[i], atol=1e-6)
        np.testing.assert_allclose(posterior.mean, exact.mean[i], atol=1e-6)
        np.testing.assert_allclose(posterior.covariance, exact.covariance, atol=1e-6 * np.trace(exact.covariance))
        np.testing.assert_allclose(posterior.modes, exact.mean[i : i + 1], atol=1e-6)
        assert abs(posterior.log_evidence - log_evidence[i]) <= max(posterior.error, 1e-9) <= 1e-8


def two_rings(z):
    """|z - c| for two centres: a posterior with two narrow modes, mirrored in the line z_1 = 0."""
    centres = jnp.array([[0.0, -1.0], [0.0, 1.0]])
    return jnp.sqrt(jnp.sum((z[None] - centres) ** 2, axis=1) + 0.01)


def test_finds_both_modes_and_weighs_them():
    y = two_rings(jnp.array([0.8, 0.3]))
    (posterior,) = quadrature.exact_posteriors(two_rings, y[None], 0.02, tolerance=1e-3)
    assert len(posterior.modes) == 2 and posterior.error <= 1e-3
    np.testing.assert_allclose(posterior.mean[0], 0, atol=2e-3)  # by symmetry half the probability on either side
    np.testing.assert_allclose(np.sqrt(posterior.covariance[0, 0]), 0.8, rtol=0.02)
    np.testing.assert_allclose(posterior.weights.sum(), 1, rtol=1e-9)
    z = posterior.sample(jax.random.key(0), 4000)
    np.testing.assert_allclose(jnp.mean(z[:, 0] > 0), 0.5, atol=4 * 0.5 / np.sqrt(4000))


def test_agrees_with_a_plain_fine_grid():
    """A curved posterior, wide enough for a million points spread evenly."""
    y, sigma = jnp.array([1.0, 0.5]), 0.15
    bend = lambda z: jnp.stack([z[0] + 0.3 * z[1] ** 2, z[1] - 0.5 * z[0]])
    (posterior,) = quadrature.exact_posteriors(bend, y[None], sigma, tolerance=1e-4)
    line = jnp.linspace(-5, 5, 1001)
    log_p = np.asarray(quadrature.log_density_on_grid(bend, y, sigma, line, line), np.float64)
    p = np.exp(log_p - log_p.max())
    np.testing.assert_allclose(posterior.log_evidence, log_p.max() + np.log(p.sum() * 0.01**2), atol=1e-3)
    p /= p.sum()
    mean = np.array([p.sum(axis=0) @ line, p.sum(axis=1) @ line])
    np.testing.assert_allclose(posterior.mean, mean, atol=1e-4)


@pytest.mark.slow
def test_a_network_s_posterior_is_stable_under_refinement(tiny_faces, key):
    generator = abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(0))
    generator = abp.fit(generator, tiny_faces, num_iterations=60, key=key, progress=False).generator
    generate, params = functional(generator)
    f = lambda z: generate(params, z)
    coarse = quadrature.exact_posteriors(f, tiny_faces[:2], 0.3)
    fine = quadrature.exact_posteriors(f, tiny_faces[:2], 0.3, num_scan=81, tolerance=1e-4)
    for a, b in zip(coarse, fine, strict=True):
        np.testing.assert_allclose(a.log_evidence, b.log_evidence, atol=2e-3)
        scale = np.sqrt(np.diag(b.covariance))
        np.testing.assert_allclose(a.mean / scale, b.mean / scale, atol=5e-3)
        np.testing.assert_allclose(a.covariance, b.covariance, rtol=1e-2, atol=1e-2 * scale.min() ** 2)


def test_bad_input_is_refused(linear):
    model, y = linear
    with pytest.raises(ValueError, match="latent vector of two numbers"):
        quadrature.exact_posteriors(lambda z: jnp.ones((20, 3)) @ z, y, 0.3)
    with pytest.raises(ValueError, match=r"images must be \(n, 20\), got \(3, 19\)"):
        quadrature.exact_posteriors(lambda z: model.loading @ z, y[:, 1:], 0.3)
    with pytest.raises(ValueError, match="max_points=20 points"):
        quadrature.exact_posteriors(lambda z: model.loading @ z, y, 0.3, max_points=20)

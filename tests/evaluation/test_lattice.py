"""log p(y) by a lattice against factor analysis, Gauss-Hermite sums and one posterior at a time."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import expit

import abp_jax as abp
from abp_jax.compilation import precision
from abp_jax.evaluation import lattice

RNG = np.random.default_rng(0)


def by_hermite(f, y, log_p, num=200):
    """log of the mean of p(y | z) over N(0, I), by a product of Gauss-Hermite rules: exact where f is smooth."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(num)
    z = np.stack(np.meshgrid(nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    w = np.outer(weights, weights).ravel() / (2 * np.pi)
    return np.array([np.log(w @ np.exp(log_p(f(z), one))) for one in y])


@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_of_a_linear_generator_it_is_that_of_factor_analysis(sigma):
    W, b = RNG.normal(size=(5, 2)), RNG.normal(size=5)
    y = RNG.normal(size=(30, 5))
    f = lambda z: W @ z + b
    exact = abp.factor_analysis.log_marginal_likelihood(abp.factor_analysis.FactorAnalysis(W, b, jnp.asarray(sigma)), y)
    found = lattice.exact_log_evidence(f, np.float32(y), sigma, half_width=8.0)
    np.testing.assert_allclose(found, exact, atol=2e-3)
    with precision.double_precision():
        found = lattice.exact_log_evidence(f, y, sigma, tolerance=1e-9, half_width=9.0)
    np.testing.assert_allclose(found, exact, atol=1e-4)  # what it is compared with has 32 bits


def test_with_one_dimension():
    w, y = np.array([1.0, -2.0, 0.5]), np.float32(RNG.normal(size=(10, 3)))
    model = abp.factor_analysis.FactorAnalysis(w[:, None], np.zeros(3), jnp.asarray(0.5))
    found = lattice.exact_log_evidence(lambda z: w * z[0], y, 0.5, latent_dim=1, half_width=8.0)
    np.testing.assert_allclose(found, abp.factor_analysis.log_marginal_likelihood(model, y), atol=2e-3)


def test_bits_sum_to_one_and_agree_with_gauss_hermite():
    W, b = RNG.normal(size=(6, 2)), RNG.normal(size=6)
    y = np.float32(abp.relatives.bits.states(6))
    found = lattice.exact_log_evidence(lambda z: jnp.tanh(W @ z) * 3 + b, y, abp.Bernoulli())
    assert abs(np.exp(found).sum() - 1) < 1e-4
    log_p = lambda logits, one: np.log(np.where(one[None] == 1, expit(logits), expit(-logits))).sum(axis=1)
    exact = by_hermite(lambda z: np.tanh(z @ W.T) * 3 + b[None], y, log_p)
    np.testing.assert_allclose(found, exact, atol=2e-3)


def test_it_agrees_with_one_posterior_at_a_time():
    generator = abp.MLPGenerator(2, 20, (16,), rngs=nnx.Rngs(0))
    y = jax.vmap(generator)(RNG.normal(size=(4, 2))) + 0.1 * RNG.normal(size=(4, 20))
    one_at_a_time = abp.quadrature.exact_posteriors(generator, y, 0.1)
    found = lattice.exact_log_evidence(generator, y, 0.1)
    np.testing.assert_allclose(found, [p.log_evidence for p in one_at_a_time], atol=2e-3)


def test_images_of_any_shape_and_bytes():
    W = RNG.normal(size=(4, 2))
    f = lambda z: jnp.tanh(W @ z).reshape(2, 2)
    images = np.uint8(RNG.integers(0, 256, (3, 2, 2)))
    flat = lattice.exact_log_evidence(lambda z: f(z).ravel(), images.reshape(3, 4) / np.float32(127.5) - 1, 0.5)
    np.testing.assert_allclose(lattice.exact_log_evidence(f, images, 0.5), flat, atol=1e-5)


def test_only_what_needs_it_goes_on_and_what_is_too_fine_is_refused(monkeypatch):
    f = lambda z: jnp.array([jnp.sin(3 * z[0]) + z[1], 4 * jnp.sin(z[1])])
    y = np.float32([[0, 0], [0.7, 3.9], [30, 30]])
    sizes, parts = [], lattice._parts
    monkeypatch.setattr(lattice, "_parts", lambda *args: sizes.append(len(args[3])) or parts(*args))
    lattice.exact_log_evidence(f, y, 0.3)
    assert sizes[0] == 3 and sorted(sizes, reverse=True) == sizes and len(sizes) > 1
    with pytest.raises(ValueError, match="needs more than max_points=20"):
        lattice.exact_log_evidence(lambda z: jnp.sin(9 * z), y[:, :1], 0.01, latent_dim=1, max_points=20)


def test_where_the_plane_is_too_wide_for_a_lattice_an_image_gets_its_own():
    f = lambda z: jnp.array([z[0] + jnp.sin(z[1]), 3 * z[1]])
    y = np.asarray(jax.vmap(f)(RNG.normal(size=(5, 2))), np.float32)
    found = lattice.exact_log_evidence(f, y, 0.02, max_points=10_000)
    np.testing.assert_allclose(found, lattice.exact_log_evidence(f, y, 0.02), atol=2e-3)


def test_what_lies_outside_is_found_or_noticed():
    y = np.float32([[9.0, 0.0], [0.5, 0.0]])
    exact = -0.5 * np.sum(y**2, axis=1) / 1.01 - np.log(2 * np.pi * 1.01)
    np.testing.assert_allclose(lattice.exact_log_evidence(lambda z: z, y, 0.1, half_width=6.0), exact, atol=2e-3)
    with pytest.raises(ValueError, match="raise half_width"):
        lattice.exact_log_evidence(lambda z: z, y[:, :1], 0.1, latent_dim=1, half_width=6.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(latent_dim=3), "latent_dim must be at most 2"),
        (dict(tolerance=0), "tolerance must be positive"),
        (dict(images=np.zeros((2, 3), np.float32)), r"images must be \(n, 2\)"),
        (dict(sigma=abp.Bernoulli()), "takes observations that are bits"),
    ],
)
def test_what_it_cannot_do_it_says(given, message):
    arguments = dict(images=np.full((2, 2), 0.5, np.float32), sigma=0.3) | given
    with pytest.raises(ValueError, match=message):
        lattice.exact_log_evidence(lambda z: z, arguments.pop("images"), arguments.pop("sigma"), **arguments)


def test_the_sum_over_a_lattice_has_the_derivative_of_the_exact_likelihood():
    """Fisher's identity: that of log p(y) is the posterior's mean of that of log p(y, z)."""
    W = jnp.asarray(RNG.normal(size=(5, 2)), jnp.float32)
    y = jnp.asarray(RNG.normal(size=(3, 5)), jnp.float32)
    z = jnp.asarray(lattice.points(0.2, 6.0), jnp.float32)
    by_lattice = lambda W: jnp.sum(lattice.log_evidence(lambda z: W @ z, z, y, 0.5, 0.2))
    model = lambda W: abp.factor_analysis.FactorAnalysis(W, jnp.zeros(5), jnp.asarray(0.5))
    exact = lambda W: jnp.sum(abp.factor_analysis.log_marginal_likelihood(model(W), y))
    np.testing.assert_allclose(by_lattice(W), exact(W), rtol=1e-4)
    np.testing.assert_allclose(jax.grad(by_lattice)(W), jax.grad(exact)(W), atol=2e-3)
    assert partial(lattice.points, 0.5)(1.0).shape == (25, 2)

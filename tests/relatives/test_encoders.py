"""A normal distribution as an encoder gives it: its KL to the prior, its covariance S S', and whitening in the head."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.stats import multivariate_normal

from abp_jax.compilation.precision import double_precision
from abp_jax.relatives import encoders
from abp_jax.relatives.encoders import Gaussian

Q = Gaussian(jnp.array([0.4, -1.1]), jnp.array([[0.7, 0.0], [-0.5, 0.3]]))


@pytest.fixture
def float64():
    with double_precision():
        yield


def double(q):
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), q)


def lattice(q, spacing=0.1, half_width=8.0):
    """z = m + S u on a square lattice of u, and the probability of each point under q."""
    line = np.arange(-half_width, half_width + spacing / 2, spacing)
    u = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    return np.asarray(q.mean) + u @ np.asarray(q.factor).T, spacing**2 * np.exp(-np.sum(u**2, 1) / 2) / (2 * np.pi)


def test_the_kl_to_the_prior_is_its_integral(float64):
    q = double(Q)
    z, weights = lattice(q)
    log_ratio = multivariate_normal(q.mean, q.factor @ q.factor.T).logpdf(z) - multivariate_normal(np.zeros(2)).logpdf(
        z
    )
    np.testing.assert_allclose(encoders.kl_to_prior(q), weights @ log_ratio, rtol=1e-9)


def test_its_gradient_is_m_and_s_minus_the_inverse_of_its_diagonal(float64):
    q = double(Q)
    gradient = jax.grad(encoders.kl_to_prior)(q)
    np.testing.assert_allclose(gradient.mean, q.mean)
    np.testing.assert_allclose(gradient.factor, q.factor - jnp.diag(1 / jnp.diagonal(q.factor)))


@pytest.mark.parametrize("d", [1, 2, 5])
def test_the_prior_itself_has_no_kl(d):
    assert encoders.kl_to_prior(Gaussian(jnp.zeros(d), jnp.eye(d))) == 0


def test_draws_have_the_covariance_s_s_transposed():
    """Off the diagonal too, where the square of each entry, or S' S, would be far off."""
    u = jax.random.normal(jax.random.key(0), (200_000, 2))
    z = np.asarray(jax.vmap(encoders.draw, (None, 0))(Q, u), np.float64)
    covariance = np.asarray(encoders.covariance(Q), np.float64)
    np.testing.assert_allclose(covariance, [[0.49, -0.35], [-0.35, 0.34]], rtol=1e-6)
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2)
    assert np.all(np.abs(np.cov(z.T) - covariance) < 5 * scale / np.sqrt(len(z)))
    assert np.all(np.abs(z.mean(0) - Q.mean) < 5 * np.sqrt(np.diag(covariance) / len(z)))


def test_the_log_density_is_that_of_scipy(float64):
    q = double(Q)
    z = np.random.default_rng(0).normal(size=(50, 2))
    expected = multivariate_normal(q.mean, q.factor @ q.factor.T).logpdf(z)
    np.testing.assert_allclose(jax.vmap(encoders.log_density, (None, 0))(q, jnp.asarray(z)), expected, rtol=1e-12)


def test_one_call_is_chunks_of_a_hundred():
    z = jax.random.normal(jax.random.key(1), (1_000, 2))
    log_density = jax.jit(jax.vmap(encoders.log_density, (None, 0)))
    chunks = jnp.concatenate([log_density(Q, z[i : i + 100]) for i in range(0, len(z), 100)])
    np.testing.assert_allclose(log_density(Q, z), chunks, rtol=1e-5)


def an_encoder(kind, family="full", d=3):
    rngs = nnx.Rngs(0)
    if kind == "conv":
        return encoders.ConvEncoder(d, 8, 4, 1, family=family, rngs=rngs), jnp.linspace(-1, 1, 64).reshape(8, 8, 1)
    widths = {"linear": (), "mlp": (6, 5)}[kind]
    return encoders.MLPEncoder(4, d, widths, family=family, rngs=rngs), jnp.array([0.5, -1.0, 2.0, 0.1])


@pytest.mark.parametrize("family", encoders.FAMILIES)
@pytest.mark.parametrize("kind", ["linear", "mlp", "conv"])
def test_a_guess_has_a_cholesky_factor_of_its_family(kind, family):
    encoder, y = an_encoder(kind, family)
    q = encoder(y)
    assert q.mean.shape == (3,) and q.factor.shape == (3, 3)
    assert np.all(np.diagonal(q.factor) > 0) and np.all(np.triu(q.factor, 1) == 0)
    below = np.asarray(q.factor)[np.tril_indices(3, -1)]
    assert np.all(below != 0) if family == "full" else np.all(below == 0)
    np.testing.assert_allclose(np.linalg.cholesky(encoders.covariance(q)), q.factor, atol=1e-6)
    assert encoder.head.bias[...].size == {"full": 9, "diagonal": 6}[family]


@pytest.mark.parametrize("family", encoders.FAMILIES)
@pytest.mark.parametrize("kind", ["linear", "mlp", "conv"])
def test_the_head_absorbs_an_affine_map(kind, family):
    """z = c + L z~ has the distribution from before, whatever y is."""
    encoder, y = an_encoder(kind, family)
    c = jnp.array([0.3, -1.0, 2.0])
    L = jnp.array([[2.0, 0, 0], [0.3, 0.5, 0], [-1.0, 0.7, 1.5]])
    L = L if family == "full" else jnp.diag(jnp.diagonal(L))
    moved = encoders.absorb(encoder, c, L)
    for sign in (1.0, -0.5):
        before, after = encoder(sign * y), moved(sign * y)
        np.testing.assert_allclose(c + L @ after.mean, before.mean, atol=1e-5)
        np.testing.assert_allclose(L @ after.factor, before.factor, atol=1e-5)


def test_one_latent_dimension_has_no_slopes():
    for family in encoders.FAMILIES:
        encoder, y = an_encoder("mlp", family, d=1)
        assert encoder(y).factor.shape == (1, 1) and encoder.head.bias[...].size == 2


def test_what_does_not_fit_is_said():
    encoder, _ = an_encoder("mlp")
    with pytest.raises(ValueError, match=r"one y of 4 numbers, got \(2, 4\)"):
        encoder(jnp.zeros((2, 4)))
    with pytest.raises(ValueError, match="family must be one of full, diagonal; got 'round'"):
        encoders.MLPEncoder(4, 2, family="round", rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="image_size must be 8"):
        encoders.ConvEncoder(2, 20, 4, 1, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="latent_dim must be positive"):
        encoders.MLPEncoder(4, 0, rngs=nnx.Rngs(0))

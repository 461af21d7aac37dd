"""Maximum likelihood by a lattice: the closed form where there is one, whatever the spacing; and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax import factor_analysis
from abp_jax.evaluation import lattice
from abp_jax.relatives import bits, lattice_likelihood


def plane(n=400, sigma=0.5):
    """Data near a plane in five dimensions."""
    rng = np.random.default_rng(0)
    loading = rng.normal(size=(2, 5))
    return np.float32(rng.normal(size=(n, 2)) @ loading + rng.normal(size=5) + sigma * rng.normal(size=(n, 5)))


def linear(latent_dim=2, data_dim=5):
    return abp.LinearGenerator(latent_dim, data_dim, rngs=nnx.Rngs(1))


def exact(found, y):
    first = found.generator.first
    model = factor_analysis.FactorAnalysis(first.kernel[...].T, first.bias[...], jnp.float32(found.sigma))
    return float(jnp.mean(factor_analysis.log_marginal_likelihood(model, y)))


@pytest.mark.parametrize("learn_sigma", [False, True])
def test_a_linear_generator_reaches_the_maximum_likelihood_of_factor_analysis(key, learn_sigma):
    y = plane()
    best = factor_analysis.maximum_likelihood(y, 2, None if learn_sigma else 0.5)
    highest = float(jnp.mean(factor_analysis.log_marginal_likelihood(best, y)))
    settings = dict(key=key, sigma=0.8 if learn_sigma else 0.5, learn_sigma=learn_sigma, num_epochs=150, spacing=0.2)
    rate = optax.cosine_decay_schedule(0.03, 600)
    found = lattice_likelihood.fit(linear(), y, y, learning_rate=rate, patience=150, **settings)
    value = exact(found, y)
    assert highest - 1e-2 < value < highest + 1e-4
    np.testing.assert_allclose(found.valid[found.best], value, atol=1e-3)
    assert found.sigma == pytest.approx(float(best.sigma), abs=5e-3)


def test_points_far_apart_do_not_reward_what_lies_between_them(key):
    """At a spacing of many widths of the posterior, log p by the lattice stays below the exact one in the mean."""
    generator, y = linear(1, 5), plane(sigma=0.05)[:, :5]
    found = lattice_likelihood.fit(
        generator, y, y, key=key, sigma=0.3, num_epochs=60, spacing=1.0, learning_rate=0.02, patience=60
    )
    exact_log_p = exact(found, y)
    u = jax.random.uniform(key, (200, 1))
    z = jnp.asarray(lattice.points(1.0, 6.0, 1), jnp.float32)
    shifted = jax.jit(
        jax.vmap(lambda u: lattice_likelihood.log_evidence(found.generator, z + u[None, :], jnp.asarray(y), found.sigma, 1.0))
    )(u)
    assert jnp.mean(shifted) < exact_log_p
    truth = jnp.mean(jnp.exp(shifted - lattice.exact_log_evidence(found.generator, y, found.sigma, latent_dim=1)))
    np.testing.assert_allclose(truth, 1, atol=0.05)  # p itself is right in the mean over the shifts


def test_gaussian_and_bits_have_the_evidence_of_the_lattice():
    generator = abp.MLPGenerator(2, 6, (8,), rngs=nnx.Rngs(0))
    z = jnp.asarray(lattice.points(0.2, 5.0), jnp.float32)
    y = np.random.default_rng(0).normal(size=(7, 6)).astype(np.float32)
    for images, sigma in ((y, 0.3), (np.float32(y > 0), abp.Bernoulli())):
        found = lattice_likelihood.log_evidence(generator, z, jnp.asarray(images), sigma, 0.2)
        np.testing.assert_allclose(found, lattice.exact_log_evidence(generator, images, sigma), rtol=1e-5, atol=2e-3)


def test_bits_are_learned_and_the_best_epoch_is_returned(key):
    x = bits.bars_and_stripes(3)
    generator = abp.MLPGenerator(2, 9, (32,), rngs=nnx.Rngs(0))
    settings = dict(key=key, sigma=abp.Bernoulli(), batch_size=14, learning_rate=0.02, spacing=0.25)
    found = lattice_likelihood.fit(generator, x, x, num_epochs=300, patience=300, **settings)
    assert found.best == np.argmax(found.valid) and len(found.valid) == len(found.train) + 1
    exact_log_p = lattice.exact_log_evidence(found.generator, x, abp.Bernoulli()).mean()
    np.testing.assert_allclose(found.valid[found.best], exact_log_p, atol=5e-3)
    assert -np.log(14) - 2 < exact_log_p < -np.log(14)  # the best there is, and independent pixels at -9 log 2 = -6.2


def test_patience_ends_it(key):
    y = plane()
    settings = dict(key=key, sigma=0.5, num_epochs=50, learning_rate=1e-9, patience=3)
    found = lattice_likelihood.fit(linear(), y, -y, **settings)
    assert len(found.train) <= found.best + 3


def test_what_can_not_be_is_refused(key):
    y = plane()
    with pytest.raises(ValueError, match="latent_dim must be at most 2, got 3"):
        lattice_likelihood.fit(linear(3), y, y, key=key, sigma=0.5)
    x = np.float32(y > 0)
    with pytest.raises(ValueError, match="learn_sigma: bits have no sigma"):
        lattice_likelihood.fit(linear(), x, x, key=key, sigma=abp.Bernoulli(), learn_sigma=True)
    with pytest.raises(ValueError, match="batch_size must be at most 400, got 500"):
        lattice_likelihood.fit(linear(), y, y, key=key, sigma=0.5, batch_size=500)
    with pytest.raises(ValueError, match="spacing must be positive"):
        lattice_likelihood.fit(linear(), y, y, key=key, sigma=0.5, spacing=0.0)
    with pytest.raises(FloatingPointError, match="Lower learning_rate"):
        lattice_likelihood.fit(linear(), y, y, key=key, sigma=0.5, learning_rate=1e30)

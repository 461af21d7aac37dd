import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax import learning
from abp_jax.generators import functional
from abp_jax.inference import Chain
from abp_jax.training import loop, stability

SIGMA = 0.5


@pytest.fixture
def linear(key):
    """d -> a linear generator, its posterior's precision W'W / sigma^2 + I, observations and z."""

    def make(latent_dim):
        generator = abp.LinearGenerator(latent_dim, 20, rngs=nnx.Rngs(0))
        W = np.asarray(generator.first.kernel[...], np.float64)
        y, z = jax.random.normal(key, (3, 20)), jax.random.normal(jax.random.key(1), (3, latent_dim))
        return generator, W @ W.T / SIGMA**2 + np.eye(latent_dim), y, z

    return make


def test_largest_stable_steps_are_those_of_the_exact_precision(linear):
    generator, precision, y, z = linear(2)
    steps = stability.largest_stable_steps(generator, y, z, SIGMA)
    np.testing.assert_allclose(steps, np.full(3, 2 / np.sqrt(np.linalg.eigvalsh(precision)[-1])), rtol=1e-5)


def test_with_many_latent_dimensions_the_estimate_is_near_and_never_too_small(linear):
    generator, precision, y, z = linear(12)
    exact = 2 / np.sqrt(np.linalg.eigvalsh(precision)[-1])
    steps = stability.largest_stable_steps(generator, y, z, SIGMA)
    assert np.all(steps >= exact * (1 - 1e-5)) and np.all(steps < 1.4 * exact)


def test_images_as_bytes_are_decoded(small_faces):
    generator = abp.ConvGenerator(image_size=16, width=4, rngs=nnx.Rngs(0))
    z = jax.random.normal(jax.random.key(1), (11, 2))
    as_bytes = np.uint8(np.round((small_faces + 1) * 127.5))
    steps = [stability.largest_stable_steps(generator, jnp.asarray(x), z, 0.3) for x in (small_faces, as_bytes)]
    np.testing.assert_allclose(*steps, rtol=1e-4)


def test_warm_up_has_no_chain_to_blame():
    generate, params = functional(abp.LinearGenerator(2, 5, rngs=nnx.Rngs(0)))
    y = jax.random.normal(jax.random.key(1), (6, 5))
    state = learning.init(params, optax.sgd(1e-3), 6, 2, jax.random.key(0))
    run = loop.start(state, np.zeros(0), 3)._replace(failure=jnp.asarray(loop.CHAIN_DIVERGED))
    chain = Chain(0.3, "langevin", 3, 0.01)
    of_chain, of_warm_up = (stability.why_diverged(generate, run, y, jnp.arange(6), chain, c) for c in (True, False))
    assert "A Langevin chain" in of_chain and "A Langevin chain" not in of_warm_up

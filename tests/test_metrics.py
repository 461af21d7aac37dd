import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax import metrics


def test_reconstruction_error_is_the_mean_of_squares(key):
    generator, z = abp.LinearGenerator(2, 4, rngs=nnx.Rngs(0)), jax.random.normal(key, (3, 2))
    y = abp.reconstruct(generator, z) + jnp.array([[2.0], [0.0], [-1.0]]) * jnp.array([[1.0, 1.0, 0.0, 0.0]])
    np.testing.assert_allclose(abp.reconstruction_error(generator, z, y), [2.0, 0.0, 0.5], atol=1e-6)


def test_autocorrelation_of_a_known_chain(key):
    """x' = a x + noise has autocorrelation a^lag; its estimate from n steps errs by a few / sqrt(n)."""
    noise = jax.random.normal(key, (100_000,))
    _, chain = jax.lax.scan(lambda x, u: (0.8 * x + u,) * 2, 0.0, noise)
    np.testing.assert_allclose(metrics.autocorrelation(chain, 5), 0.8 ** np.arange(6), atol=0.02)
    with pytest.raises(ValueError, match="longer than max_lag=10"):
        metrics.autocorrelation(chain[:10], 10)

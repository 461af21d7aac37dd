import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import abp_jax as abp


def test_reconstruction_error_is_the_mean_of_squares(key):
    generator, z = abp.LinearGenerator(2, 4, rngs=nnx.Rngs(0)), jax.random.normal(key, (3, 2))
    y = abp.reconstruct(generator, z) + jnp.array([[2.0], [0.0], [-1.0]]) * jnp.array([[1.0, 1.0, 0.0, 0.0]])
    np.testing.assert_allclose(abp.reconstruction_error(generator, z, y), [2.0, 0.0, 0.5], atol=1e-6)

"""How good a result is, as numbers."""

import jax
import jax.numpy as jnp
from flax import nnx

from abp_jax.data import decode
from abp_jax.generators import reconstruct


def reconstruction_error(generator: nnx.Module, z: jax.Array, images: jax.Array) -> jax.Array:
    """Returns the mean over all numbers of |y_i - f(z_i; W)|^2 for each example: (n,), in squared units of the images.

    z: (n, d); images: (n, ...), float32 or uint8 as in `fit`.
    """
    errors = decode(jnp.asarray(images)) - reconstruct(generator, z)
    return jnp.mean(errors.reshape(len(errors), -1) ** 2, axis=1)


def autocorrelation(chain: jax.Array, max_lag: int) -> jax.Array:
    """Returns the autocorrelation of a chain of shape (num_steps,) at lags 0 to max_lag: (max_lag + 1,).

    Raises ValueError if the chain is not longer than max_lag.
    """
    if chain.ndim != 1 or len(chain) <= max_lag:
        raise ValueError(f"a chain (num_steps,) longer than max_lag={max_lag} is needed, got shape {chain.shape}.")
    centred = chain - chain.mean()
    return jnp.array([jnp.vdot(centred[: len(chain) - k], centred[k:]) for k in range(max_lag + 1)]) / (
        centred @ centred
    )

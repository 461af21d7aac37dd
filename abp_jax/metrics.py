"""How good a result is, as numbers."""

import jax
import jax.numpy as jnp
from flax import nnx

from abp_jax.data import decode
from abp_jax.generators import reconstruct


def reconstruction_error(
    generator: nnx.Module, z: jax.Array, images: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
    """Returns the mean over all numbers of |y_i - f(z_i; W)|^2 for each example: (n,), in squared units of the images.

    z: (n, d); images: (n, ...), float32 or uint8 as in `fit`; mask: which numbers count, of the shape of images or
    without their last axis. With mask=~seen this is the error of recovery on what `fit` did not see; nan where no
    number counts.
    """
    errors = decode(jnp.asarray(images)) - reconstruct(generator, z)
    if mask is None:
        return jnp.mean(errors.reshape(len(errors), -1) ** 2, axis=1)
    mask = jnp.asarray(mask)
    counts = jnp.broadcast_to(mask if mask.ndim == errors.ndim else mask[..., None], errors.shape)
    return jnp.mean(errors**2, axis=tuple(range(1, errors.ndim)), where=counts)


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

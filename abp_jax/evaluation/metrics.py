"""How good a result is, as numbers."""

import jax
import jax.numpy as jnp
from flax import nnx

from abp_jax.evaluation.diagnostics import autocorrelation  # noqa: F401  where it was before, for one release
from abp_jax.generators import reconstruct
from abp_jax.images.data import decode


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

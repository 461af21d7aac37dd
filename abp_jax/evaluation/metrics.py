"""How good a result is, as numbers."""

import jax
import jax.numpy as jnp
from flax import nnx

from abp_jax.compilation.precision import full_precision
from abp_jax.evaluation.diagnostics import autocorrelation  # noqa: F401  where it was before, for one release
from abp_jax.generators import reconstruct
from abp_jax.images import arguments
from abp_jax.images.observation import observe_at_once


@full_precision
def reconstruction_error(
    generator: nnx.Module, z: jax.Array, images: jax.Array, mask: jax.Array | None = None
) -> jax.Array:
    """Returns the mean over all numbers of |y_i - f(z_i; W)|^2 for each example: (n,), in squared units of the images.

    z: (n, d); images: (n, ...), float32 or uint8 as in `fit`; mask: bool, which numbers count, of the shape of images
    or without their last axis. With mask=~seen this is the error of recovery on what `fit` did not see; nan where no
    number counts. What does not count may be anything.

    Raises ValueError if z, images, mask and generator do not fit each other.
    """
    images, mask = observe_at_once(generator, images, mask)
    z = arguments.latents(generator, z, len(images))
    errors = images - reconstruct(generator, z)
    axes = tuple(range(1, errors.ndim))
    if mask is None:
        return jnp.mean(errors.reshape(len(errors), -1) ** 2, axis=1)
    with jax.debug_nans(False):
        return jnp.mean(errors**2, axis=axes, where=jnp.asarray(mask))

"""What `fit` and `infer` observe: images, masks and linear measurements, checked before any computation."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from abp_jax.generators import ConvGenerator, functional


def observe(
    generator: nnx.Module, images: jax.Array, mask: jax.Array | None = None, measure: Callable | None = None
) -> tuple[Callable, jax.Array, jax.Array | None]:
    """Checks what is observed of the images.

    Args:
      generator: z -> image.
      images: (n, ...); or, with `measure`, the observations A(image), (n, ...).
      mask: True where a pixel is observed, of the shape of images, or without their last axis; None for everywhere.
      measure: A, a linear function of one image; None for the image itself.

    Returns:
      observed: function (params, z) -> A f(z; W).
      images: float32 or uint8, 0 where they are missing, so that no missing value can have an effect.
      mask: bool, of the shape of images; or None.

    Raises:
      ValueError: shapes, values or types that don't fit, or a measure that is not linear.
    """
    observed, _ = functional(generator)
    if measure is not None:
        _check_linear(generator, measure)
        generate = observed
        observed = lambda params, z: measure(generate(params, z))
    mask = None if mask is None else _check_mask(images, mask)
    if mask is not None:
        images = np.where(mask, images, np.zeros((), images.dtype))
    check_images(generator, images, measure)
    return observed, images if images.dtype == np.uint8 else images.astype(np.float32), mask


def _check_mask(images: np.ndarray, mask: np.ndarray):
    mask = np.asarray(mask)
    if mask.dtype != bool:
        raise ValueError(f"mask must be boolean, True where a pixel is seen; got {mask.dtype}. Pass mask > 0, perhaps.")
    if mask.shape == images.shape[:-1]:
        mask = mask[..., None]
    if mask.shape[:-1] != images.shape[:-1] or mask.shape[-1] not in (1, images.shape[-1]):
        raise ValueError(
            f"mask of shape {mask.shape} doesn't fit images of shape {images.shape}: one for each pixel of each image "
            f"is expected, {images.shape} or {images.shape[:-1]}."
        )
    if not mask.any():
        raise ValueError("mask hides every pixel of every image: it must be True where a pixel is seen.")
    return np.broadcast_to(mask, images.shape)


def _check_linear(generator: nnx.Module, measure: Callable):
    """Raises ValueError unless A(2 a + b) = 2 A(a) + A(b) for two images a, b of noise."""
    a, b = noise_images(generator, 2)
    expected = 2 * measure(a) + measure(b)
    error = float(jnp.max(jnp.abs(measure(2 * a + b) - expected)))
    if not error <= 1e-3 * float(jnp.max(jnp.abs(expected))):
        raise ValueError(
            f"measure must be a linear function of one image {a.shape}, without a constant: at a sum of two images it "
            f"differs by {error:.2g} from the sum of its values. Subtract what it gives for an image of zeros."
        )


def noise_images(generator: nnx.Module, num: int) -> jax.Array:
    """Returns images of independent N(0, 1), always the same, in the shape that the generator gives: (num, ...)."""
    return jax.random.normal(jax.random.key(0), (num, *_output_shape(generator, generator)))


def _output_shape(generator: nnx.Module, function: Callable):
    return jax.eval_shape(function, jax.ShapeDtypeStruct((generator.latent_dim,), jnp.float32)).shape


def check_images(generator: nnx.Module, images: jax.Array, measure: Callable | None = None) -> None:
    """Raises ValueError unless images (n, ...) are finite and of the shape that the generator, and A, give."""
    gives = generator if measure is None else lambda z: measure(generator(z))
    output = _output_shape(generator, gives)
    if images.shape[1:] != output or len(images) == 0:
        raise ValueError(
            f"images of shape {images.shape} don't fit the generator, which gives {output} for one z: "
            f"(n, {', '.join(map(str, output))}) is expected. Load them with that size, or build the generator for it."
        )
    if images.dtype == jnp.uint8 and measure is None:
        return
    if images.dtype == jnp.uint8:
        raise ValueError("what measure gives are not values from 0 to 255: pass the observations as float32.")
    low, high = float(images.min()), float(images.max())
    if not math.isfinite(low + high):
        raise ValueError("images hold nan or infinite values; clean them first.")
    if isinstance(generator, ConvGenerator) and measure is None and max(-low, high) > 1.01:
        raise ValueError(
            f"images for a ConvGenerator have values from -1 to 1, these go from {low:g} to {high:g}. "
            "For values from 0 to 255, pass them as uint8, or images / 127.5 - 1."
        )

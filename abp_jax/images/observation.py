"""The one door for what is observed: images, masks and linear measurements, checked before any computation."""

import math
import warnings
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from abp_jax.generators import ConvGenerator, functional
from abp_jax.images import arguments
from abp_jax.images.data import decode
from abp_jax.model import Bernoulli, Noise


def observe(
    generator: nnx.Module, images: jax.Array, mask: jax.Array | None = None, measure: Callable | None = None
) -> tuple[Callable, jax.Array, jax.Array | None]:
    """Checks the generator, and what is observed of the images.

    Args:
      generator: z -> image.
      images: (n, ...), an array or what makes one (a list, a table, a tensor); or, with `measure`, the observations
        A(image), (n, ...).
      mask: True where a pixel is observed, of the shape of images, or without their last axis; None for everywhere.
      measure: A, a linear function of one image; None for the image itself.

    Returns:
      observed: function (params, z) -> A f(z; W).
      images: float32 (64 bits where W has them) or uint8, 0 where they are missing, so that no missing value can have
        an effect. An array of jax stays on its devices.
      mask: bool, of the shape of images; or None.

    Raises:
      TypeError, ValueError: a generator that no chain can use; shapes, values or types that don't fit; a measure that
        is not linear.
    """
    arguments.generator(generator)
    observed, _ = functional(generator)
    images = arguments.array("images", images)
    if measure is not None:
        _check_linear(generator, measure)
        generate = observed
        observed = lambda params, z: measure(generate(params, z))
    mask = None if mask is None else check_mask(images, mask)
    if mask is not None:
        images = hide(images, mask)
    return observed, check_images(generator, images, measure), mask


def observe_at_once(generator: nnx.Module, images: jax.Array, mask: jax.Array | None = None, name: str = "images"):
    """Returns images decoded to floating-point numbers and the mask, checked as by `observe`, whole on one device.

    For what looks at images but does not learn: errors, posteriors, pictures. Raises as `observe` does.
    """
    images = on_one_device(arguments.array(name, images))
    mask = None if mask is None else on_one_device(check_mask(images, mask))
    images = images if mask is None else hide(images, mask)
    return decode(check_images(arguments.generator(generator), images, name=name)), mask


def on_one_device(array: jax.Array | np.ndarray) -> jax.Array | np.ndarray:
    """Returns an array that is spread over devices as one of NumPy; any other as it is."""
    known = isinstance(array, jax.Array) and not arguments.is_traced(array)
    return np.asarray(array) if known and len(array.devices()) > 1 else array


def hide(images: jax.Array, mask: jax.Array) -> jax.Array:
    """Returns images with 0 where the mask is False, whatever was there; of jax's kind if they are."""
    where = jnp.where if isinstance(images, jax.Array) else np.where
    return where(mask, images, np.zeros((), images.dtype))


def check_mask(images: jax.Array, mask: jax.Array) -> np.ndarray:
    """Returns the mask, bool, in the shape of images (n, ...). Raises ValueError if it doesn't fit, or hides all."""
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
    """Raises unless `measure` is a function with A(2 a + b) = 2 A(a) + A(b) for two images a, b of noise."""
    if not callable(measure):
        raise TypeError(
            f"measure must be a function of an image, such as lambda image: A @ image.ravel(); got {measure}."
        )
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


def check_images(
    generator: nnx.Module, images: jax.Array, measure: Callable | None = None, name: str = "images"
) -> jax.Array:
    """Returns images (n, ...) as they are learned: uint8 as it is, all else as floating-point numbers.

    Raises ValueError unless they are finite and of the shape that the generator, and A, give. Warns of values that are
    probably meant otherwise.
    """
    gives = generator if measure is None else lambda z: measure(generator(z))
    output = _output_shape(generator, gives)
    if images.shape[1:] != output or images.ndim == 0 or len(images) == 0:
        raise ValueError(
            f"{name} of shape {images.shape} don't fit the generator, which gives {output} for one z: "
            f"(n, {', '.join(map(str, output))}) is expected. Load them with that size, or build the generator for it."
        )
    if arguments.is_traced(images):
        return images if images.dtype == jnp.uint8 else images.astype(arguments.latent_dtype(generator))
    if images.dtype == jnp.uint8 and measure is None:
        if (brightest := int(images.max())) <= 16 and brightest > int(images.min()):
            warnings.warn(
                f"{name} of type uint8 are pixels from 0 to 255; these go to {brightest} and are nearly black. For "
                "other numbers, pass them as float32.",
                stacklevel=3,
            )
        return images
    if images.dtype == jnp.uint8:
        raise ValueError("what measure gives are not values from 0 to 255: pass the observations as float32.")
    of_pixels = isinstance(generator, ConvGenerator) and measure is None
    if images.dtype == bool and of_pixels:
        raise ValueError(f"{name} are boolean, a ConvGenerator's go from -1 to 1: pass 2.0 * {name} - 1.")
    low, high = float(images.min()), float(images.max())
    if not math.isfinite(low + high):
        raise ValueError(
            f"{name} hold nan or infinite values; clean them first, or hide them by a mask (`fit`, `infer`)."
        )
    if max(-low, high) > LARGEST:
        raise ValueError(f"{name} go from {low:g} to {high:g}, too large for 32 bits to square: scale them to about 1.")
    if of_pixels and max(-low, high) > 1.01:
        raise ValueError(
            f"{name} for a ConvGenerator have values from -1 to 1, these go from {low:g} to {high:g}. "
            "For values from 0 to 255, pass them as uint8, or images / 127.5 - 1."
        )
    if of_pixels and 0 <= low < 0.1 < high <= 1:
        warnings.warn(
            f"{name} go from {low:g} to {high:g}, where a ConvGenerator's black is -1: if yours is 0, pass 2 * {name} "
            "- 1.",
            stacklevel=3,
        )
    return images.astype(arguments.latent_dtype(generator))


def check_bits(images: jax.Array, sigma: Noise) -> None:
    """Raises ValueError where the noise is that of bits, `Bernoulli()`, and images (n, ...) are not zeros and ones."""
    if not isinstance(sigma, Bernoulli) or arguments.is_traced(images):
        return
    low, high = float(images.min()), float(images.max())
    if images.dtype == jnp.uint8 or not bool(((images == 0) | (images == 1)).all()):
        raise ValueError(
            f"sigma=Bernoulli() takes observations that are bits, 0.0 or 1.0 as float32; got {images.dtype} from "
            f"{low:g} to {high:g}. Pass np.float32(images > threshold), or a number as sigma."
        )


LARGEST = 1e15  # of one number: thousands of squares must add up to less than 3e38, with sigma in the denominator

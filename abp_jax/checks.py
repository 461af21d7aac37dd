"""What `fit` and `infer` are given, checked before any work: one clear error each."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from abp_jax.generators import ConvGenerator, functional
from abp_jax.learning import ABPState

SMALL_LATENT_DIM = 8  # up to here d forward derivatives a step are the better buy
DEFAULTS = {  # sampler: num_steps, step_size
    "gauss_newton": (5, 0.5),
    "adapted_langevin": (20, 0.5),
    "preconditioned_langevin": (10, 0.5),
    "langevin": (30, 0.01),
    "gauss_newton_mala": (5, 0.5),
    "mala": (30, 0.01),
}


class Chain(NamedTuple):
    """Settings of a chain, see `learning.run_chains`."""

    sigma: float
    sampler: str
    num_steps: int
    step_size: float


def check_chain(
    latent_dim: int, sigma: float, sampler: str | None, num_steps: int | None, step_size: float | None
) -> Chain:
    """Returns the settings with defaults in the place of None. Raises ValueError for settings that can't work."""
    sampler = sampler or ("gauss_newton" if latent_dim <= SMALL_LATENT_DIM else "adapted_langevin")
    if sampler not in DEFAULTS:
        raise ValueError(f"sampler must be one of {sorted(DEFAULTS)}, got {sampler!r}.")
    num_steps, step_size = (
        d if given is None else given for d, given in zip(DEFAULTS[sampler], (num_steps, step_size), strict=True)
    )
    check_positive(sigma=sigma, num_steps=num_steps, step_size=step_size)
    return Chain(float(sigma), sampler, int(num_steps), float(step_size))


def check_positive(**values: float) -> None:
    """Raises ValueError, with the name, for a value that is not above 0."""
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} must be positive, got {value}.")


def observe(
    generator: nnx.Module, images: jax.Array, mask: jax.Array | None = None, measure: Callable | None = None
) -> tuple[Callable, jax.Array, jax.Array | None]:
    """Checks what is observed of the images.

    Args:
      generator: z -> image.
      images: (n, ...); or, with `measure`, the observations A(image), (n, ...).
      mask: True where a pixel is seen, of the shape of images, or without their last axis; None for everywhere.
      measure: A, a linear function of one image; None for the image itself.

    Returns:
      observed: function (params, z) -> A f(z; W).
      images: float32 or uint8, 0 where they are hidden, so that nothing of it can leak.
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


def _check_mask(images, mask):
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


def _check_linear(generator, measure):
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


def _output_shape(generator, function):
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


def smallest_sigma(sigma: float | Callable, learn_sigma: bool, num_iterations: int) -> float:
    """Returns the smallest sigma of a whole run; where it is learned, the one that it starts from.

    Raises ValueError for a schedule that is to be learned too.
    """
    if not callable(sigma):
        return sigma
    if learn_sigma:
        raise ValueError(
            "sigma is a schedule and learn_sigma=True: it can't follow both. Pass a number to start from, or drop "
            "learn_sigma."
        )
    return float(jnp.min(jax.vmap(lambda t: jnp.asarray(sigma(t), float))(jnp.arange(num_iterations))))


def check_whitening(generator: nnx.Module, images: jax.Array) -> None:
    """Raises ValueError unless there is a layer to absorb the map, and examples enough for a covariance."""
    if not hasattr(generator, "first"):
        raise ValueError("whitening needs a linear layer named `first` in the generator; or pass whitening=False.")
    if set(functional(generator)[1]["first"]) != {"kernel", "bias"}:
        raise ValueError("whitening needs a layer `first` with a kernel and a bias; or pass whitening=False.")
    if len(images) <= generator.latent_dim:
        raise ValueError(
            f"whitening needs more examples than latent dimensions, got {len(images)} examples and latent_dim "
            f"{generator.latent_dim}. Add examples, lower latent_dim, or pass whitening=False."
        )


def check_resume(old: ABPState, fresh: ABPState) -> None:
    """Raises ValueError unless two states have the same shapes."""
    shapes = [[leaf.shape for leaf in jax.tree.leaves((s.params, s.z))] for s in (old, fresh)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"resume has parameters and z of shapes {shapes[0]}, this generator and these images need {shapes[1]}. "
            "Resume with the generator and the images of that run."
        )

"""Inference for images that were not trained on, and the checks of what a chain is given."""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from abp_jax import data, learning, model
from abp_jax.generators import BATCH, ConvGenerator, functional

SMALL_LATENT_DIM = 8  # up to here d forward derivatives a step are the better buy
DEFAULTS = {  # sampler: num_steps, step_size
    "gauss_newton": (5, 0.5),
    "adapted_langevin": (20, 0.5),
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


def infer(
    generator: nnx.Module,
    images: jax.Array,
    *,
    key: jax.Array,
    num_steps: int = 100,
    sigma: float = 0.3,
    sampler: str | None = None,
    step_size: float | None = None,
    num_starts: int = 16,
) -> jax.Array:
    """Infers z for images that the generator was not trained on, with W held still.

    A posterior can have several modes. So every image gets `num_starts` chains, started from the prior, and the chain
    that ends at the highest log p(y, z) is kept. (For all the chains, use `learning.run_chains` or `samplers.run`.) A
    chain with an accept step is exact once it has arrived, but from far away it arrives more slowly.

    Args:
      generator: a learned generator.
      images: (n, ...), of the shape that the generator gives; float32, or uint8 as in `fit`.
      key: `jax.random.key(seed)`.
      num_steps, sigma, sampler, step_size: as in `fit`.
      num_starts: chains for each image.

    Returns:
      z, (n, d).

    Raises:
      ValueError: arguments that don't fit together, or a step size at which all chains of an image diverge.
    """
    check_images(generator, images)
    check_positive(num_starts=num_starts)
    chain = check_chain(generator.latent_dim, sigma, sampler, num_steps, step_size)
    images = jnp.asarray(images, jnp.uint8 if images.dtype == np.uint8 else jnp.float32)

    generate, params = functional(generator)

    @jax.jit
    def chains(params, images, keys):
        f = partial(generate, params)

        def one(example):
            key, y = example
            start_key, key = jax.random.split(key)
            z = jax.random.normal(start_key, (generator.latent_dim,))
            (z,) = learning.infer_latents(f, key[None], z[None], y[None], **chain._asdict())
            return z, model.log_joint(f, z, y, sigma)

        return jax.lax.map(one, (keys, data.decode(images)), batch_size=BATCH)

    starts = [chains(params, images, learning.example_keys(key, s, jnp.arange(len(images)))) for s in range(num_starts)]
    z, scores = (jnp.stack(parts) for parts in zip(*starts, strict=True))
    scores = jnp.where(jnp.isfinite(scores), scores, -jnp.inf)
    if not bool(jnp.all(jnp.isfinite(scores.max(axis=0)))):
        raise ValueError(f"every chain of an image diverged with step_size={chain.step_size:g}: pass a smaller one.")
    return z[jnp.argmax(scores, axis=0), jnp.arange(len(images))]


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


def check_images(generator: nnx.Module, images: jax.Array) -> None:
    """Raises ValueError unless images (n, ...) are finite and of the shape that the generator gives."""
    output = jax.eval_shape(generator, jax.ShapeDtypeStruct((generator.latent_dim,), jnp.float32)).shape
    if images.shape[1:] != output or len(images) == 0:
        raise ValueError(
            f"images of shape {images.shape} don't fit the generator, which gives {output} for one z: "
            f"(n, {', '.join(map(str, output))}) is expected. Load them with that size, or build the generator for it."
        )
    if images.dtype == jnp.uint8:
        return
    low, high = float(images.min()), float(images.max())
    if not math.isfinite(low + high):
        raise ValueError("images hold nan or infinite values; clean them first.")
    if isinstance(generator, ConvGenerator) and max(-low, high) > 1.01:
        raise ValueError(
            f"images for a ConvGenerator have values from -1 to 1, these go from {low:g} to {high:g}. "
            "For values from 0 to 255, pass them as uint8, or images / 127.5 - 1."
        )

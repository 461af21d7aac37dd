"""Inference for images that were not trained on, and the checks of what a chain is given."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from abp_jax import learning, model
from abp_jax.generators import ConvGenerator, functional

DEFAULT_STEP_SIZE = {"gauss_newton": 0.5, "langevin": 0.01}


def infer(
    generator: nnx.Module,
    images: jax.Array,
    *,
    key: jax.Array,
    num_steps: int = 100,
    sigma: float = 0.3,
    sampler: str = "gauss_newton",
    step_size: float | None = None,
    num_starts: int = 16,
) -> jax.Array:
    """Infers z for images that the generator was not trained on, with W held still.

    A posterior can have several modes. So every image gets `num_starts` chains, started from the prior, and the chain
    that ends at the highest log p(y, z) is kept.

    Args:
      generator: a learned generator.
      images: (n, ...), of the shape that the generator gives.
      key: `jax.random.key(seed)`.
      num_steps, sigma, sampler, step_size: as in `fit`.
      num_starts: chains for each image.

    Returns:
      z, (n, d).

    Raises:
      ValueError: arguments that don't fit together, or a step size at which all chains of an image diverge.
    """
    images = jnp.asarray(images, jnp.float32)
    check_images(generator, images)
    check_positive(num_starts=num_starts)
    step_size = check_chain(sigma, sampler, num_steps, step_size)

    generate, params = functional(generator)

    @jax.jit
    def chains(params, keys):
        f = partial(generate, params)
        start_keys, keys = jax.vmap(jax.random.split, out_axes=1)(keys)
        z = jax.vmap(lambda k: jax.random.normal(k, (generator.latent_dim,)))(start_keys)
        z = learning.infer_latents(
            f, keys, z, images, sigma=sigma, sampler=sampler, step_size=step_size, num_steps=num_steps
        )
        return z, jax.vmap(lambda z, y: model.log_joint(f, z, y, sigma))(z, images)

    starts = [chains(params, learning.example_keys(key, s, jnp.arange(len(images)))) for s in range(num_starts)]
    z, scores = (jnp.stack(parts) for parts in zip(*starts, strict=True))
    scores = jnp.where(jnp.isfinite(scores), scores, -jnp.inf)
    if not bool(jnp.all(jnp.isfinite(scores.max(axis=0)))):
        raise ValueError(f"every chain of an image diverged with step_size={step_size:g}: pass a smaller one.")
    return z[jnp.argmax(scores, axis=0), jnp.arange(len(images))]


def check_chain(sigma: float, sampler: str, num_steps: int, step_size: float | None) -> float:
    """Returns the step size, the sampler's default for None. Raises ValueError for settings that can't work."""
    if sampler not in DEFAULT_STEP_SIZE:
        raise ValueError(f"sampler must be one of {sorted(DEFAULT_STEP_SIZE)}, got {sampler!r}.")
    step_size = DEFAULT_STEP_SIZE[sampler] if step_size is None else step_size
    check_positive(sigma=sigma, num_steps=num_steps, step_size=step_size)
    return step_size


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
    if isinstance(generator, ConvGenerator) and float(jnp.max(jnp.abs(images))) > 1.01:
        raise ValueError(
            f"images for a ConvGenerator have values from -1 to 1, these go from {images.min():g} to {images.max():g}. "
            "For values from 0 to 255, pass images / 127.5 - 1."
        )
    if not bool(jnp.all(jnp.isfinite(images))):
        raise ValueError("images hold nan or infinite values; clean them first.")

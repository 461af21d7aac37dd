"""Inference for images that were not trained on."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from abp_jax import data, learning, model
from abp_jax.checks import check_chain, check_positive, observe
from abp_jax.generators import BATCH


def infer(
    generator: nnx.Module,
    images: jax.Array,
    *,
    key: jax.Array,
    num_steps: int = 100,
    sigma: float | Sequence[float] = 0.3,
    sampler: str | None = None,
    step_size: float | None = None,
    num_starts: int = 16,
    z: jax.Array | None = None,
    mask: jax.Array | None = None,
    measure: Callable | None = None,
) -> jax.Array:
    """Infers z for images that the generator was not trained on, with W held still.

    A posterior can have several modes. So every image gets `num_starts` chains, the first from z = 0 and the others
    from draws of the prior, and the chain that ends at the highest log p(y, z) is kept. (For all the chains, use
    `learning.run_chains` or `samplers.run`.) A chain with an accept step is exact once it has arrived, but from far
    away it arrives more slowly.

    Args:
      generator: a learned generator.
      images: (n, ...), of the shape that the generator gives; float32, or uint8 as in `fit`.
      key: `jax.random.key(seed)`.
      num_steps, sampler, step_size: as in `fit`, but 100 steps by default.
      sigma: as in `fit`; or several, largest first, such as (0.3, 0.1, 0.05): `num_steps` at each, the next from where
        the best chain of the one before stands. A large d wants such a descent, since a chain with a small sigma soon
        sits in the mode that is nearest.
      num_starts: chains for each image.
      z: (n, d), where all the chains of an image begin, for instance what `infer` gave before.
      mask, measure: what is seen of the images, as in `fit`.

    Returns:
      z, (n, d).

    Raises:
      ValueError: arguments that don't fit together, or a step size at which all chains of an image diverge.
    """
    check_positive(num_starts=num_starts)
    chains = [check_chain(generator.latent_dim, s, sampler, num_steps, step_size) for s in np.atleast_1d(sigma)]
    if not chains:
        raise ValueError("sigma must be a positive number, or several; got none.")
    _, images, mask = observe(generator, images, mask, measure)
    shape = (len(images), generator.latent_dim)
    if z is not None and jnp.shape(z) != shape:
        raise ValueError(f"z has one row for each image, {shape}; got {jnp.shape(z)}.")

    graphdef, params = nnx.split(generator)
    keys = lambda s: learning.example_keys(key, s, jnp.arange(len(images)))
    draw = jax.vmap(lambda key: jax.random.normal(key, shape[1:]))
    for stage, chain in enumerate(chains):
        ends = partial(_ends, graphdef, measure, chain.sampler, chain.num_steps, params, images, mask)
        begins = [z] * num_starts if z is not None else [jnp.zeros(shape)]
        begins += [draw(keys(num_starts + s)) for s in range(len(begins), num_starts)]
        fresh = 2 * num_starts * stage  # noise of its own for each stage
        reached = [ends(keys(fresh + s), begin, chain.sigma, chain.step_size) for s, begin in enumerate(begins)]
        ends_of_chains, scores = (jnp.stack(parts) for parts in zip(*reached, strict=True))
        scores = jnp.where(jnp.isfinite(scores), scores, -jnp.inf)
        if not bool(jnp.all(jnp.isfinite(scores.max(axis=0)))):
            raise ValueError(
                f"every chain of an image diverged with step_size={chain.step_size:g}: pass a smaller one."
            )
        z = ends_of_chains[jnp.argmax(scores, axis=0), jnp.arange(len(images))]
    return z


@partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _ends(graphdef, measure, sampler, num_steps, params, images, mask, keys, z, sigma, step_size):
    """Where the chain of each image ends, and log p(y, z) there. Compiled once for each generator and shape."""
    generator = nnx.merge(graphdef, params)
    f = generator if measure is None else lambda z: measure(generator(z))
    chain = dict(sigma=sigma, sampler=sampler, num_steps=num_steps, step_size=step_size)

    def one(example):
        key, z, y, mask = example
        (z,) = learning.infer_latents(f, *jax.tree.map(lambda a: a[None], example), **chain)
        return z, model.log_joint(f, z, y, sigma, mask=mask)

    return jax.lax.map(one, (keys, z, data.decode(images), mask), batch_size=BATCH)

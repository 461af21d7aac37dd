"""Inference, z given y and W: the chains of a training iteration, and `infer` for images that were not trained on."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from abp_jax import langevin, model, samplers
from abp_jax.generators import BATCH, compiled
from abp_jax.images import arguments, data
from abp_jax.images.observation import check_bits, observe, on_one_device

SMALL_LATENT_DIM = 8  # up to here d forward derivatives a step are the better buy


class Chain(NamedTuple):
    """Settings of a chain.

    sigma: standard deviation of the noise, in `fit` also a function of the iterations done that gives it, or
    `model.Bernoulli()`; sampler: a name in `samplers.KINDS`; step_size: s, or for an adapted chain the fraction of the
    largest stable one; prior_draws: how many draws of the prior are offered to a chain before its steps, see `jump`.
    """

    sigma: model.Noise | Callable
    sampler: str
    num_steps: int
    step_size: float
    prior_draws: int = 0


def check_chain(
    latent_dim: int, sigma: float, sampler: str | None, num_steps: int | None, step_size: float | None
) -> Chain:
    """Returns the settings with defaults in the place of None. Raises for settings that can't work, with the name."""
    sampler = sampler or ("gauss_newton" if latent_dim <= SMALL_LATENT_DIM else "adapted_langevin")
    if not isinstance(sampler, str) or (kind := samplers.KINDS.get(sampler)) is None:
        raise ValueError(f"sampler must be one of {sorted(samplers.KINDS)}, got {sampler!r}.")
    num_steps = arguments.whole("num_steps", kind.num_steps if num_steps is None else num_steps)
    step_size = arguments.number("step_size", kind.step_size if step_size is None else step_size)
    return Chain(arguments.noise("sigma", sigma), sampler, num_steps, step_size)


@jax.jit
def example_keys(key: jax.Array, iteration: jax.Array | int, indices: jax.Array) -> jax.Array:
    """One key for each example and iteration, whatever the batch that the example comes in. Returns (len(indices),)."""
    at_iteration = jax.random.fold_in(key, iteration)
    return jax.vmap(lambda i: jax.random.fold_in(at_iteration, i))(indices)


def sampler_of(
    name: str, f: Callable, y: jax.Array, sigma: model.Noise, latent_dim: int, mask: jax.Array | None = None
):
    """Returns the Sampler `samplers.KINDS[name]` on p(z | y) of one example. f: z -> f(z; W); mask: like y."""
    average = partial(mean_precision, f, latent_dim, sigma)
    return samplers.KINDS[name].make(model.given(f, y, sigma, mask=mask)._replace(mean_precision=average))


def jump(keys: jax.Array, z: jax.Array, draws: jax.Array, standing: jax.Array, offered: jax.Array) -> jax.Array:
    """Lets every chain go to one of some draws of the prior, or stay, in proportion to p(y | .): iterated sampling
    importance resampling (Andrieu, Lee and Vihola, Bernoulli 2018).

    p(z | y) is stationary, and a chain changes from one mode to another however low the density between them. All are
    offered the same draws, for each of which f is computed once. Among many, one is as good as z if z is short.

    keys (n,); z (n, d), where the chains stand; draws (k, d) from N(0, I); standing (n,) and offered (k, n): log p(y |
    .) of each chain's y there. Returns z, (n, d).
    """
    log_weights = jnp.concatenate([standing[None], offered])
    log_weights = jnp.where(jnp.isfinite(log_weights), log_weights, -jnp.inf)  # nan: never go there
    chosen = jax.vmap(jax.random.categorical)(keys, log_weights.T)
    return jnp.where(chosen[:, None] == 0, z, draws[chosen - 1])


def run_chains(
    f: Callable, keys: jax.Array, z: jax.Array, images: jax.Array, masks: jax.Array | None = None, *, chain: Chain
) -> tuple[jax.Array, jax.Array]:
    """Runs the chain of every example from where it stands.

    Args:
      f: z -> f(z; W).
      keys, z, images, masks: (n,), (n, d), (n, ...) and like images, True where they are observed; None for everywhere.
      chain: its settings; sigma a number.

    Returns:
      The new z, (n, d), and each example's mean acceptance, (n,): None for chains without a Metropolis correction.
    """

    def one(key, z, y, mask):
        sampler = sampler_of(chain.sampler, f, y, chain.sigma, z.size, mask)
        key, init_key = jax.random.split(key) if sampler.draws else (key, key)
        step = lambda key, state: sampler.step(key, state, chain.step_size)
        states, info = langevin.sample(key, sampler.init(init_key, z), step, chain.num_steps)
        return sampler.position(jax.tree.map(lambda leaf: leaf[-1], states)), jax.tree.map(jnp.mean, info.acceptance)

    if chain.prior_draws:
        draws = jax.random.normal(jax.random.fold_in(keys[0], 0), (chain.prior_draws, z.shape[1]), z.dtype)
        log_p = lambda output, y, mask: model.log_noise(model.errors(output, y, chain.sigma), chain.sigma, mask)
        offered = jax.lax.map(lambda draw: jax.vmap(partial(log_p, f(draw)))(images, masks), draws)
        standing = jax.vmap(log_p)(jax.vmap(f)(z), images, masks)
        z = jump(jax.vmap(partial(jax.random.fold_in, data=1))(keys), z, draws, standing, offered)
    return jax.vmap(one)(keys, z, images, masks)


def infer_latents(
    f: Callable, keys: jax.Array, z: jax.Array, images: jax.Array, masks: jax.Array | None = None, *, chain: Chain
) -> jax.Array:
    """Inference step: the new z of `run_chains`, (n, d). Arguments as there."""
    return run_chains(f, keys, z, images, masks, chain=chain)[0]


def mean_precision(f: Callable, latent_dim: int, sigma: model.Noise, num_draws: int = 8) -> jax.Array:
    """The precision of the posterior, averaged over where z may be: E[J'J] / sigma^2 + I with J = df/dz, (d, d).

    For bits it is Fisher's information and I, E[J' diag(p (1 - p)) J] + I, where f are the logits and p the chances.

    The mean is over draws from the prior, always the same: it depends on W alone, and a chain does not feel the batch
    it sits in. It sets coordinates and knows no mask. Costs d forward derivatives a draw, for all examples together.
    """
    draws = jax.random.normal(jax.random.key(0), (num_draws, latent_dim))
    one = partial(langevin.precision, lambda z: model.standardised(f(z), sigma).ravel())
    return jnp.mean(jax.lax.map(one, draws), axis=0) + jnp.eye(latent_dim)


def infer(
    generator: nnx.Module,
    images: jax.Array,
    *,
    key: jax.Array,
    num_steps: int = 100,
    sigma: model.Noise | Sequence[float] = 0.3,
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
    `samplers.run`.) A chain with a Metropolis correction is exact once it has arrived, but arrives more slowly.

    Args:
      generator: a learned generator.
      images: (n, ...), of the shape that the generator gives; float32, or uint8 as in `fit`.
      key: `jax.random.key(seed)`.
      num_steps, sampler, step_size: as in `fit`, but 100 steps by default, and up to d = 8 without a correction.
      sigma: as in `fit`; or several, largest first, such as (0.3, 0.1, 0.05): `num_steps` at each, the next from where
        the best chain of the one before stands. A large d wants such a descent, since a chain with a small sigma soon
        sits in the mode that is nearest.
      num_starts: chains for each image.
      z: (n, d), where all the chains of an image begin, for instance what `infer` gave before.
      mask, measure: what is observed of the images, as in `fit`.

    Returns z, (n, d). Raises ValueError for arguments that don't fit together, or a step size at which all chains of an
    image diverge.
    """
    arguments.whole("num_starts", num_starts)
    arguments.key(key)
    _, images, mask = map(on_one_device, observe(generator, images, mask, measure))
    check_bits(images, sigma)
    if callable(sigma) or not np.size(sigma):
        raise ValueError(f"sigma must be a positive number, or several, largest first; got {sigma}.")
    stages = np.ravel(sigma) if np.ndim(sigma) else [sigma]
    chains = [check_chain(generator.latent_dim, s, sampler, num_steps, step_size) for s in stages]
    shape, dtype = (len(images), generator.latent_dim), arguments.latent_dtype(generator)
    z = None if z is None else arguments.latents(generator, z, len(images))
    keys = lambda s: example_keys(key, s, jnp.arange(len(images)))
    draw = jax.vmap(lambda key: jax.random.normal(key, shape[1:], dtype))
    for stage, chain in enumerate(chains):
        begins = [z] * num_starts if z is not None else [jnp.zeros(shape, dtype)]
        begins += [draw(keys(num_starts + s)) for s in range(len(begins), num_starts)]
        fresh = 2 * num_starts * stage  # noise of its own for each stage
        settings = dict(images=images, mask=mask, measure=measure, **chain._asdict())
        program, arrays = _ends.prepare(generator, keys=keys(0), z=begins[0], **settings)
        reached = [program(arrays | dict(keys=keys(fresh + s), z=begin)) for s, begin in enumerate(begins)]
        ends, scores = (jnp.stack(parts) for parts in zip(*reached, strict=True))
        scores = jnp.where(jnp.isfinite(scores), scores, -jnp.inf)
        if not bool(jnp.all(jnp.isfinite(scores.max(axis=0)))):
            raise ValueError(
                f"every chain of an image diverged with step_size={chain.step_size:g}: pass a smaller one."
            )
        z = ends[jnp.argmax(scores, axis=0), jnp.arange(len(images))]
    return z


@partial(compiled, static=("sampler", "num_steps", "measure", "prior_draws"))
def _ends(f, images, mask, measure, keys, z, sigma, sampler, num_steps, step_size, prior_draws):
    """Where the chain of each image ends, and log p(y, z) there. Compiled once for each generator and shape."""
    chain = Chain(sigma, sampler, num_steps, step_size, prior_draws)
    observed = f if measure is None else lambda z: measure(f(z))

    def one(example):
        key, z, y, mask = example
        (z,) = infer_latents(observed, *jax.tree.map(lambda a: a[None], example), chain=chain)
        return z, model.log_joint(observed, z, y, sigma, mask=mask)

    return jax.lax.map(one, (keys, z, data.decode(images), mask), batch_size=BATCH)

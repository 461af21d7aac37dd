"""How large a step of a Langevin chain may be where W stands, and why a run diverged."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from abp_jax import langevin, learning, model
from abp_jax.images import data
from abp_jax.inference import SMALL_LATENT_DIM, Chain
from abp_jax.samplers import KINDS
from abp_jax.training import loop


def largest_stable_steps(
    f: Callable, images: jax.Array, z: jax.Array, sigma: float, masks: jax.Array | None = None
) -> jax.Array:
    """Returns for each example the largest step size at which unadjusted Langevin is stable: (n,).

    Up to d = 8 exact for the Gauss-Newton precision at z (see `langevin.largest_stable_step`), above an estimate by
    power iteration, which is never too small.

    Args:
      f: z -> f(z; W).
      images: (n, ...), float32, or uint8 from 0 to 255.
      z: where the chains stand, (n, d).
      sigma: standard deviation of the noise.
      masks: like images, True where they are seen; by default everywhere.
    """

    def stable(z, y, mask):
        residual = lambda z: model.residual(f, z, y, sigma, mask=mask)
        if z.size <= SMALL_LATENT_DIM:
            return langevin.largest_stable_step(langevin.precision(residual, z))
        return langevin.adapted_step_size(jax.random.key(0), residual, z, 1.0)

    return jax.vmap(stable)(z, data.decode(images), masks)


def why_diverged(
    generate: Callable,
    run: loop.Run,
    images: jax.Array,
    indices: jax.Array,
    chain: Chain,
    in_chain: bool,
    masks: jax.Array | None = None,
) -> str:
    """Says with which step size a run failed, why, and what to do.

    Args:
      generate: (params, z) -> f(z; W).
      run: where it stands, after the last sound iteration.
      images: (n, ...), all of them.
      indices: (b,), the examples of the iteration that failed; n or more is padding.
      chain: settings of the chains; sigma may be a function of the iterations done.
      in_chain: whether that iteration ran chains, which warm-up does not.
      masks: like images, True where they are seen; by default everywhere.
    """
    step_size = f"step_size={chain.step_size:g}. "
    if run.failure == loop.LEARNING_DIVERGED or not in_chain:
        return step_size + LEARNING_DIVERGED
    kind = KINDS[chain.sampler]
    if kind.stable_below is not None:
        return step_size + CHOOSE_ABOUT_A_HALF.format(kind.stable_below)
    f, sigma = partial(generate, run.state.params), learning.noise_level(run.state, chain.sigma)
    indices = indices[indices < len(images)][:64]
    masks = None if masks is None else masks[indices]
    stable = float(jnp.min(largest_stable_steps(f, images[indices], run.state.z[indices], sigma, masks)))
    return (
        f"{step_size}A Langevin chain left every reasonable range: where W stands, the largest stable step is "
        f"{stable:.2g}. Pass a step_size below that (it shrinks as W learns: half of it is safer), or leave `sampler` "
        "to its default, whose step has no unit."
    )


LEARNING_DIVERGED = (
    "The chains are sound, but the loss is not finite: W itself has diverged. Lower learning_rate, and check that the "
    "data are scaled to about 1."
)
CHOOSE_ABOUT_A_HALF = (
    "A Langevin chain left every reasonable range. This sampler's step_size has no unit: it is stable below {:g} where "
    "f is nearly linear, and 0.5 is a good choice. Data far from the scale of 1 need scaling."
)

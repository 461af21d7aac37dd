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
    """Says with which step size a run failed, why, and what to do; or that the cause is not known.

    Every cause named is one that was looked for where the run stands, after its last sound iteration: f or its
    derivatives are not finite; the step of the chain is beyond the stable one; the error was rising.

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
    params, sigma = run.state.params, learning.noise_level(run.state, chain.sigma)
    indices = indices[indices < len(images)][:64]
    y, z = data.decode(images[indices]), run.state.z[indices]
    masks = None if masks is None else masks[indices]
    with jax.debug_nans(False), jax.debug_infs(False):
        if (largest := max(float(jnp.max(jnp.abs(w))) for w in jax.tree.leaves(params) if w.size)) > LARGEST_SANE_W:
            return step_size + LEARNING_DIVERGED.format(f"a weight has grown to {largest:.1g}")
        if what := _what_is_not_finite(generate, params, z, y, sigma, masks):
            return step_size + UNSOUND.format(what)
        if run.failure == loop.LEARNING_DIVERGED or not in_chain:
            return step_size + _of_learning(run)
        kind = KINDS[chain.sampler]
        if kind.stable_below is not None:
            too_large = chain.step_size >= kind.stable_below
            return step_size + (TOO_LARGE if too_large else CHOOSE_ABOUT_A_HALF).format(kind.stable_below)
        stable = float(jnp.min(largest_stable_steps(partial(generate, params), y, z, sigma, masks)))
    beyond = "" if chain.step_size > stable else "This one is below it here, but that shrinks as W and z move. "
    return (
        f"{step_size}A Langevin chain left every reasonable range: where W stands, the largest stable step is "
        f"{stable:.2g}. {beyond}Pass a step_size below that (it shrinks as W learns: half of it is safer), or leave "
        "`sampler` to its default, whose step has no unit."
    )


def _what_is_not_finite(
    generate: Callable, params: dict, z: jax.Array, y: jax.Array, sigma: float, masks: jax.Array | None
):
    """What of f and its derivatives is not finite where the run stands, or "" if all is."""
    finite = lambda tree: all(bool(jnp.all(jnp.isfinite(leaf))) for leaf in jax.tree.leaves(tree))
    f = partial(generate, params)
    by_z = lambda z, y, mask: jax.grad(lambda z: model.log_joint(f, z, y, sigma, mask=mask))(z)
    if not finite(jax.vmap(f)(z)):
        return "f(z; W) itself"
    if not finite(jax.vmap(by_z)(z, y, masks)):
        return "the derivative of log p(y, z) in z"
    finite_in_w = finite(learning.learning_gradient(generate, params, z, y, sigma, masks)[0])
    return "" if finite_in_w else "the derivative of log p(y, z; W) in W"


def _of_learning(run: loop.Run):
    """Whether the last errors show that W went away."""
    last = loop.losses(run, int(run.state.iteration))[-20:]
    if len(last) and last[-1] > 4 * min(last):
        return LEARNING_DIVERGED.format(f"the error rose from {min(last):.3g} to {last[-1]:.3g} in the last iterations")
    return LEARNING_NOT_FINITE


LARGEST_SANE_W = 1e6  # layers of random weights have some of at most about 1
UNSOUND = (
    "The step is not the cause: {} is not finite at this W and z, which are. Look in the generator for a division by "
    "0, a root or a norm of 0, a logarithm of 0, or an overflow; jax.config.update('jax_debug_nans', True) stops there."
)
LEARNING_DIVERGED = (
    "The chains are sound, but {}: W itself has diverged. "
    "Lower learning_rate, and check that the data are scaled to about 1."
)
LEARNING_NOT_FINITE = (
    "The chains are sound, but the loss is not finite after the next step of W. The cause is not known: the error did "
    "not rise before. Try a lower learning_rate; jax.config.update('jax_debug_nans', True) stops where a nan appears."
)
TOO_LARGE = (
    "A Langevin chain left every reasonable range. This sampler's step_size has no unit: it is stable below {:g}, and "
    "this one is not: 0.5 is a good choice."
)
CHOOSE_ABOUT_A_HALF = (
    "A Langevin chain left every reasonable range. This sampler's step_size has no unit: it is stable below {:g} where "
    "f is nearly linear, and 0.5 is a good choice. Below that f is too far from linear within one step: try a smaller "
    "one. Data far from the scale of 1 need scaling."
)

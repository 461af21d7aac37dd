"""Alternating back-propagation (seed Algorithm 1): infer every z by Langevin dynamics, whiten, learn W; and so on."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.scipy.linalg import solve_triangular

from abp_jax import data, langevin, model, samplers


class ABPState(NamedTuple):
    """All that the next iteration needs: save it, and an interrupted run continues to the same bits.

    Attributes:
      params: W, a nested dict of arrays (see `generators.functional`).
      opt_state: of the optax optimizer.
      z: the latent vectors where their chains stand, (n, d).
      key: the key of the run. Never split: iteration and example are folded into it.
      iteration: how many iterations are done, a scalar.
      sigma: standard deviation of the noise where it is learned, a scalar; None where it is given.
    """

    params: dict
    opt_state: optax.OptState
    z: jax.Array
    key: jax.Array
    iteration: jax.Array
    sigma: jax.Array | None = None


class ABPInfo(NamedTuple):
    """What one iteration reports.

    Attributes:
      loss: mean squared error per number of y that is seen, |Y - f(Z; W)|^2 / (examples * D) at the inferred z; scalar.
      largest_z: largest |z_ij| after inference and before whitening; scalar. Grows without bound if a chain diverges.
      acceptance: mean probability, over steps and examples, that a proposal was accepted; scalar. nan for a chain
        without an accept step.
    """

    loss: jax.Array
    largest_z: jax.Array
    acceptance: jax.Array


def init(params: dict, optimizer, num_examples: int, latent_dim: int, key: jax.Array) -> ABPState:
    """Starts every z_i from the prior, with a key of its own."""
    z = jax.vmap(lambda k: jax.random.normal(k, (latent_dim,)))(example_keys(key, 0, jnp.arange(num_examples)))
    return ABPState(params, optimizer.init(params), z, key, jnp.zeros((), jnp.int32))


def example_keys(key: jax.Array, iteration, indices: jax.Array) -> jax.Array:
    """One key for each example and iteration, whatever the batch that the example comes in. Returns (len(indices),)."""
    at_iteration = jax.random.fold_in(key, iteration)
    return jax.vmap(lambda i: jax.random.fold_in(at_iteration, i))(indices)


def run_chains(
    generate: Callable,
    keys: jax.Array,
    z: jax.Array,
    images: jax.Array,
    masks: jax.Array | None = None,
    *,
    sigma: float,
    sampler: str,
    step_size: float,
    num_steps: int,
) -> tuple[jax.Array, jax.Array]:
    """Runs the chain of every example from where it stands.

    Args:
      generate: z -> f(z; W).
      keys: (n,).
      z: (n, d).
      images: (n, ...).
      masks: like images, True where they are seen; by default everywhere.
      sigma: standard deviation of the noise.
      sampler: "gauss_newton"; "langevin"; "adapted_langevin", which is "langevin" at step_size times the largest
        stable step of each example where its chain begins; "preconditioned_langevin", which is the same in coordinates
        in which `mean_precision` is I; or "gauss_newton_mala" and "mala", the first two with an accept step (see
        `samplers`).
      step_size: s; or, for "adapted_langevin" and "preconditioned_langevin", the fraction.
      num_steps: steps of each chain.

    Returns:
      The new z, (n, d), and each example's mean acceptance, (n,): nan for a chain without an accept step.
    """

    def chain(key, z, y, mask):
        residual = partial(model.residual, generate, y=y, sigma=sigma, mask=mask)
        log_joint = partial(model.log_joint, generate, y=y, sigma=sigma, mask=mask)
        if sampler in ("mala", "gauss_newton_mala"):
            exact = samplers.mala(log_joint) if sampler == "mala" else samplers.gauss_newton_mala(residual, z.size)
            step = lambda key, state: exact.step(key, state, step_size)
            states, info = langevin.sample(key, exact.init(z), step, num_steps)
            return exact.position(states)[-1], jnp.mean(info.acceptance)
        if sampler == "gauss_newton":
            step = lambda key, z: langevin.gauss_newton_step(key, z, residual, step_size)
        elif sampler == "langevin":
            step = lambda key, z: langevin.langevin_step(key, z, log_joint, step_size)
        else:  # plain Langevin, in coordinates v with z = L'^-1 v if there is an L
            key, probe_key = jax.random.split(key)
            to_z = lambda v: v if cholesky is None else solve_triangular(cholesky, v, lower=True, trans="T")
            v = z if cholesky is None else cholesky.T @ z
            adapted = langevin.adapted_step_size(probe_key, lambda v: residual(to_z(v)), v, step_size)
            step = lambda key, v: langevin.langevin_step(key, v, lambda v: log_joint(to_z(v)), adapted)
            return to_z(langevin.sample(key, v, step, num_steps)[0][-1]), jnp.full((), jnp.nan)
        return langevin.sample(key, z, step, num_steps)[0][-1], jnp.full((), jnp.nan)

    cholesky = None
    if sampler == "preconditioned_langevin":
        cholesky = jnp.linalg.cholesky(mean_precision(generate, z.shape[1], sigma))
    return jax.vmap(chain)(keys, z, images, masks)


def mean_precision(generate: Callable, latent_dim: int, sigma: float, num_draws: int = 8) -> jax.Array:
    """The precision of the posterior, averaged over where z may be: E[J'J] / sigma^2 + I with J = df/dz, (d, d).

    The mean is over draws from the prior, always the same: so it depends on W alone, and a chain that uses it does not
    feel the batch it sits in. It only sets the coordinates and knows no mask; the step size is each example's own.
    Costs d forward derivatives a draw, for all the examples together.
    """

    def one(z):
        _, jacobian_transposed = langevin.linearize(lambda z: generate(z).ravel(), z)
        return jacobian_transposed @ jacobian_transposed.T

    draws = jax.random.normal(jax.random.key(0), (num_draws, latent_dim))
    return jnp.mean(jax.lax.map(one, draws), axis=0) / sigma**2 + jnp.eye(latent_dim)


def infer_latents(generate: Callable, keys, z, images, masks=None, **chain) -> jax.Array:
    """Inference step: the new z of `run_chains`, (n, d). Arguments as there."""
    return run_chains(generate, keys, z, images, masks, **chain)[0]


def whiten(params: dict, z: jax.Array) -> tuple[dict, jax.Array]:
    """Gives z mean 0 and covariance I over the examples; the first layer absorbs the map, so that f(z; W) is as before.

    With z = m + L z~, where LL' is the covariance, the first layer's W z + b becomes (W L) z~ + (b + W m). This is
    parameter-expanded EM (Liu, Rubin, Wu, Biometrika 1998). The likelihood leaves the scale of z free, and the prior
    alone would take very long to set it.
    """
    mean = z.mean(axis=0, keepdims=True)
    cholesky = jnp.linalg.cholesky((z - mean).T @ (z - mean) / len(z))
    first = params["first"]
    first = {"kernel": cholesky.T @ first["kernel"], "bias": first["bias"] + mean[0] @ first["kernel"]}
    z = jax.scipy.linalg.solve_triangular(cholesky, (z - mean).T, lower=True).T
    return {**params, "first": first}, z


def iterate(
    state: ABPState,
    images: jax.Array,
    indices: jax.Array,
    masks: jax.Array | None = None,
    *,
    generate: Callable,
    optimizer,
    sigma: float | Callable | None,
    sampler: str,
    step_size: float,
    num_steps: int,
    whitening: bool,
) -> tuple[ABPState, ABPInfo]:
    """One iteration of Algorithm 1 on the examples `indices`: infer their z, whiten all z, update W, and sigma too.

    Args:
      state: where the run stands. If it has a sigma, that one is used and then moved, see `next_sigma`.
      images: (n, ...), all of them; float32, or uint8 from 0 to 255, of which only the batch is decoded.
      indices: (b,), each example at most once. An index of n or more is padding, which changes nothing: so the last,
        smaller batch of a pass can have the shape of the others.
      masks: like images, True where they are seen; by default everywhere.
      generate: (params, z) -> f(z; W); or, where A Y is seen for a linear map A, (params, z) -> A f(z; W).
      optimizer: an optax optimizer.
      sigma: standard deviation of the noise, or a function of the iterations done that gives it (annealing); not
        used if the state has its own.
      sampler, step_size, num_steps: of the chains, see `run_chains`.
      whitening: whether to whiten.
    """
    keys = example_keys(state.key, state.iteration + 1, indices)
    inferred, acceptance = run_chains(
        partial(generate, state.params),
        keys,
        _take(state.z, indices),
        data.decode(_take(images, indices)),
        _take(masks, indices),
        sigma=noise_level(state, sigma),
        sampler=sampler,
        step_size=step_size,
        num_steps=num_steps,
    )
    params, z = state.params, state.z.at[indices].set(inferred, mode="drop")
    if whitening:
        params, z = whiten(params, z)
    state, info = learn(
        state._replace(params=params, z=z), images, indices, masks, generate=generate, optimizer=optimizer, sigma=sigma
    )
    real = indices < len(images)
    if state.sigma is not None:
        state = state._replace(sigma=next_sigma(state.sigma, info.loss, jnp.sum(real) / len(images)))
    return state, info._replace(
        largest_z=jnp.max(jnp.where(real[:, None], jnp.abs(inferred), 0)), acceptance=jnp.mean(acceptance, where=real)
    )


def noise_level(state: ABPState, sigma: float | Callable | None):
    """Returns the sigma of the next iteration: the state's own, or as `iterate` was given it."""
    if state.sigma is not None:
        return state.sigma
    return sigma(state.iteration) if callable(sigma) else sigma


def next_sigma(sigma: jax.Array, mean_square: jax.Array, fraction: jax.Array) -> jax.Array:
    """Returns sigma after its own learning step: sigma^2 <- (1 - rho) sigma^2 + rho E |y - f(z)|^2 / D.

    The sigma^2 at which E log p(y, z) is highest is E |y - f(z)|^2 / D, with z from p(z | y). In factor analysis,

        E |y - W z - b|^2 = |y - W m - b|^2 + trace(W C W')   with the posterior's mean m and covariance C.

    The second term is about d sigma^2: without it, sigma^2 would come out too small by the factor (D - d) / D. One draw
    of z has both terms in expectation; the mode has the first alone. It must be the error before W moves: afterwards W
    has been fitted to these very draws.

    Args:
      sigma: standard deviation of the noise, a scalar.
      mean_square: |y - f(z)|^2 / D, averaged over the examples of a batch, at the z that the chains drew; a scalar.
      fraction: rho, the share of all the examples that the batch has, from 0 to 1: each pass over the data forgets the
        pass before.
    """
    return jnp.sqrt((1 - fraction) * sigma**2 + fraction * mean_square)


def learn(
    state: ABPState,
    images: jax.Array,
    indices: jax.Array,
    masks: jax.Array | None = None,
    *,
    generate: Callable,
    optimizer,
    sigma: float | Callable | None,
):
    """Learning step: moves W by the gradient at the present z. Arguments and results as in `iterate`."""
    sigma = noise_level(state, sigma)
    z, y, mask = _take(state.z, indices), data.decode(_take(images, indices)), _take(masks, indices)
    real = indices < len(images)
    gradient, loss = learning_gradient(generate, state.params, z, y, sigma, mask, weights=real.astype(z.dtype))
    descent = jax.tree.map(jnp.negative, gradient)  # optax minimises
    updates, opt_state = optimizer.update(descent, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    state = state._replace(params=params, opt_state=opt_state, iteration=state.iteration + 1)
    return state, ABPInfo(loss, jnp.max(jnp.where(real[:, None], jnp.abs(z), 0)), jnp.full((), jnp.nan))


def learning_gradient(
    generate: Callable,
    params: dict,
    z: jax.Array,
    y: jax.Array,
    sigma: float,
    mask: jax.Array | None = None,
    weights: jax.Array | None = None,
):
    """L'(W) = sum_i d/dW log p(y_i, z_i; W), summed over the examples (seed equation 10): the direction to climb.

    Args:
      generate: (params, z) -> f(z; W).
      params: W.
      z: (b, d).
      y: (b, ...).
      sigma: standard deviation of the noise.
      mask: like y, True where y is seen; by default everywhere.
      weights: (b,), 1 for an example that counts and 0 for padding; by default all count.

    Returns:
      The gradient, like params, and the mean squared error per number of y that is seen, a scalar.
    """
    weights = jnp.ones(len(z), z.dtype) if weights is None else weights

    def log_likelihood(params):
        errors = y - jax.vmap(partial(generate, params))(z)
        log_p = jax.vmap(partial(model.log_noise, sigma=sigma))(errors, mask=mask)
        seen, num_seen = jax.vmap(model.seen_errors)(errors, mask)
        squares = jnp.sum(seen.reshape(len(z), -1) ** 2, axis=1)
        return weights @ log_p, weights @ squares / (weights @ num_seen)

    return jax.grad(log_likelihood, has_aux=True)(params)


def _take(array, indices):
    """Rows of an array, or None of None. Padding reads the last example, and is dropped later."""
    return None if array is None else array.at[indices].get(mode="clip")

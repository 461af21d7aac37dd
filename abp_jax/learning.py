"""Alternating back-propagation (seed Algorithm 1): infer every z by Langevin dynamics, whiten, learn W; and so on."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from abp_jax import langevin, model


class ABPState(NamedTuple):
    """All that the next iteration needs: save it, and an interrupted run continues to the same bits.

    Attributes:
      params: W, a nested dict of arrays (see `generators.functional`).
      opt_state: of the optax optimizer.
      z: the latent vectors where their chains stand, (n, d).
      key: the key of the run. Never split: iteration and example are folded into it.
      iteration: how many iterations are done, a scalar.
    """

    params: dict
    opt_state: optax.OptState
    z: jax.Array
    key: jax.Array
    iteration: jax.Array


class ABPInfo(NamedTuple):
    """What one iteration reports.

    Attributes:
      loss: mean squared error per number of y, |Y - f(Z; W)|^2 / (examples * D), at the inferred z; scalar.
      largest_z: largest |z_ij| after inference and before whitening; scalar. Grows without bound if a chain diverges.
    """

    loss: jax.Array
    largest_z: jax.Array


def init(params: dict, optimizer, num_examples: int, latent_dim: int, key: jax.Array) -> ABPState:
    """Starts every z_i from the prior, with a key of its own."""
    z = jax.vmap(lambda k: jax.random.normal(k, (latent_dim,)))(example_keys(key, 0, jnp.arange(num_examples)))
    return ABPState(params, optimizer.init(params), z, key, jnp.zeros((), jnp.int32))


def example_keys(key: jax.Array, iteration, indices: jax.Array) -> jax.Array:
    """One key for each example and iteration, whatever the batch that the example comes in. Returns (len(indices),)."""
    at_iteration = jax.random.fold_in(key, iteration)
    return jax.vmap(lambda i: jax.random.fold_in(at_iteration, i))(indices)


def infer_latents(
    generate: Callable,
    keys: jax.Array,
    z: jax.Array,
    images: jax.Array,
    *,
    sigma: float,
    sampler: str,
    step_size: float,
    num_steps: int,
) -> jax.Array:
    """Inference step: runs the chain of every example from where it stands.

    generate: z -> f(z; W); keys: (n,); z: (n, d); images: (n, ...). Returns the new z, (n, d).
    """

    def chain(key, z, y):
        if sampler == "gauss_newton":
            target, move = partial(model.residual, generate, y=y, sigma=sigma), langevin.gauss_newton_step
        else:
            target, move = partial(model.log_joint, generate, y=y, sigma=sigma), langevin.langevin_step
        step = lambda key, z: move(key, z, target, step_size)
        return langevin.sample(key, z, step, num_steps)[0][-1]

    return jax.vmap(chain)(keys, z, images)


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
    *,
    generate: Callable,
    optimizer,
    sigma: float,
    sampler: str,
    step_size: float,
    num_steps: int,
    whitening: bool,
) -> tuple[ABPState, ABPInfo]:
    """One iteration of Algorithm 1 on the examples `indices`: infer their z, whiten all z, update W.

    generate: (params, z) -> f(z; W); images: (n, ...), all of them; indices: (b,), each at most once.
    """
    keys = example_keys(state.key, state.iteration + 1, indices)
    inferred = infer_latents(
        partial(generate, state.params),
        keys,
        state.z[indices],
        images[indices],
        sigma=sigma,
        sampler=sampler,
        step_size=step_size,
        num_steps=num_steps,
    )
    params, z = state.params, state.z.at[indices].set(inferred)
    if whitening:
        params, z = whiten(params, z)
    state, info = learn(
        state._replace(params=params, z=z), images, indices, generate=generate, optimizer=optimizer, sigma=sigma
    )
    return state, info._replace(largest_z=jnp.max(jnp.abs(inferred)))


def learn(state: ABPState, images: jax.Array, indices: jax.Array, *, generate: Callable, optimizer, sigma: float):
    """Learning step: moves W by the gradient at the present z. Arguments and results as in `iterate`."""
    z = state.z[indices]
    gradient, loss = learning_gradient(generate, state.params, z, images[indices], sigma)
    descent = jax.tree.map(jnp.negative, gradient)  # optax minimises
    updates, opt_state = optimizer.update(descent, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    state = state._replace(params=params, opt_state=opt_state, iteration=state.iteration + 1)
    return state, ABPInfo(loss, jnp.max(jnp.abs(z)))


def learning_gradient(generate: Callable, params: dict, z: jax.Array, y: jax.Array, sigma: float):
    """L'(W) = sum_i d/dW log p(y_i, z_i; W), summed over the examples (seed equation 10): the direction to climb.

    generate: (params, z) -> f(z; W); z: (b, d); y: (b, ...). Returns the gradient, like params, and the mean squared
    error per number of y, a scalar.
    """

    def log_likelihood(params):
        errors = y - jax.vmap(partial(generate, params))(z)
        return jnp.sum(jax.vmap(partial(model.log_noise, sigma=sigma))(errors)), jnp.mean(errors**2)

    return jax.grad(log_likelihood, has_aux=True)(params)

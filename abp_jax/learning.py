"""W given z, and one iteration of alternating back-propagation (Han, Lu, Zhu and Wu, AAAI 2017, Algorithm 1)."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from abp_jax import model
from abp_jax.compilation.winograd import prepare
from abp_jax.images import data
from abp_jax.inference import Chain, example_keys, infer_latents, mean_precision, run_chains  # noqa: F401

Optimizer = optax.GradientTransformation


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
    """What one iteration reports. All scalars.

    Attributes:
      loss: mean squared error per observed number of y, |Y - f(Z; W)|^2 / (examples * D) at the inferred z; of bits
        the mean squared deviance residual, -2 log p(Y | Z) / (examples * D).
      largest_z: largest |z_ij| after inference and before whitening; grows without bound if a chain diverges.
      acceptance: mean probability, over steps and examples, of a proposal; None without a Metropolis correction.
      num_seen: how many numbers of y the batch had; with none, the loss is 0 and nothing was learned.
    """

    loss: jax.Array
    largest_z: jax.Array
    acceptance: jax.Array | None
    num_seen: jax.Array


def init(params: dict, optimizer: Optimizer, num_examples: int, latent_dim: int, key: jax.Array) -> ABPState:
    """Starts every z_i from the prior, with a key of its own; in 64 bits if W is."""
    draw = lambda key: jax.random.normal(key, (latent_dim,), jnp.result_type(jnp.float32, *jax.tree.leaves(params)))
    z = jax.vmap(draw)(example_keys(key, 0, jnp.arange(num_examples)))
    return ABPState(params, optimizer.init(params), z, key, jnp.zeros((), jnp.int32))


def whiten(params: dict, z: jax.Array) -> tuple[dict, jax.Array]:
    """Gives z mean 0 and covariance I over the examples; the first layer absorbs the map, so that f(z; W) is as before.

    With z = m + L z~, where LL' is the covariance, W z + b becomes (W L) z~ + (b + W m): parameter-expanded EM (Liu,
    Rubin, Wu, Biometrika 1998). The likelihood leaves the scale of z free, and the prior alone sets it very slowly.
    """
    mean = z.mean(axis=0, keepdims=True)
    covariance = jnp.matmul((z - mean).T, z - mean, precision="highest") / len(z)  # a GPU's own has three digits
    cholesky = jnp.linalg.cholesky(covariance)
    z = jax.scipy.linalg.solve_triangular(cholesky, (z - mean).T, lower=True).T
    return absorb(params, mean[0], cholesky), z


def absorb(params: dict, mean: jax.Array, cholesky: jax.Array) -> dict:
    """Returns params whose layer `first` does to z~ what the old one does to m + L z~. mean m: (d,); L: (d, d)."""
    kernel, bias = params["first"]["kernel"], params["first"]["bias"]
    product = partial(jnp.tensordot, axes=1, precision="highest")
    return {**params, "first": {"kernel": product(cholesky.T, kernel), "bias": bias + product(mean, kernel)}}


def iterate(
    state: ABPState,
    images: jax.Array,
    indices: jax.Array,
    masks: jax.Array | None = None,
    *,
    generate: Callable,
    optimizer: Optimizer,
    chain: Chain,
    whitening: bool,
) -> tuple[ABPState, ABPInfo]:
    """One iteration of Algorithm 1 on the examples `indices`: infer their z, whiten all z, update W, and sigma too.

    Args:
      state: where the run stands. If it has a sigma, that one is used and then moved, see `next_sigma`.
      images: (n, ...), all of them; float32, or uint8 from 0 to 255, of which only the batch is decoded.
      indices: (b,), each example at most once. An index of n or more is padding, which changes nothing: so the last,
        smaller batch of a pass can have the shape of the others.
      masks: like images, True where they are observed; by default everywhere.
      generate: (params, z) -> f(z; W); or, where A Y is observed for a linear map A, (params, z) -> A f(z; W).
      chain: settings of the chains. Its sigma may be a function of the iterations done (annealing), and is not used if
        the state has its own.
      whitening: whether to whiten.
    """
    keys = example_keys(state.key, state.iteration + 1, indices)
    batch = (_take(state.z, indices), data.decode(_take(images, indices)), _take(masks, indices))
    settings = chain._replace(sigma=noise_level(state, chain.sigma))
    f = prepare(generate, state.params, batch[0], chain.num_steps)
    inferred, acceptance = run_chains(f, keys, *batch, chain=settings)
    params, z = state.params, state.z.at[indices].set(inferred, mode="drop")
    if whitening:
        params, z = whiten(params, z)
    state = state._replace(params=params, z=z)
    state, info = learn(state, images, indices, masks, generate=generate, optimizer=optimizer, sigma=chain.sigma)
    real = indices < len(images)
    if state.sigma is not None:
        fraction = jnp.where(info.num_seen > 0, jnp.sum(real) / len(images), 0)
        state = state._replace(sigma=next_sigma(state.sigma, info.loss, fraction))
    largest_z = jnp.max(jnp.where(real[:, None], jnp.abs(inferred), 0))
    acceptance = jax.tree.map(partial(jnp.mean, where=real), acceptance)
    return state, info._replace(largest_z=largest_z, acceptance=acceptance)


def noise_level(state: ABPState, sigma: float | Callable | None) -> jax.Array | float:
    """Returns the sigma of the next iteration: the state's own, or as `iterate` was given it."""
    if state.sigma is not None:
        return state.sigma
    return sigma(state.iteration) if callable(sigma) else sigma


def next_sigma(sigma: jax.Array, mean_square: jax.Array, fraction: jax.Array) -> jax.Array:
    """Returns sigma after its own learning step: sigma^2 <- (1 - nu) sigma^2 + nu E |y - f(z)|^2 / D.

    The sigma^2 at which E log p(y, z) is highest is E |y - f(z)|^2 / D, with z from p(z | y). In factor analysis,

        E |y - W z - b|^2 = |y - W m - b|^2 + trace(W C W')   with the posterior's mean m and covariance C.

    The second term is about d sigma^2: without it, sigma^2 would come out too small by the factor (D - d) / D. One draw
    of z has both terms in expectation; the mode has the first alone. Use the error from before the update of W: after
    it, W is fitted to these same draws and the error is too small.

    Args:
      sigma, mean_square: scalars; the latter is |y - f(z)|^2 / D averaged over a batch, at the z that the chains drew.
      fraction: nu, the batch's share of all the examples, from 0 to 1: each pass over the data forgets the one before.
    """
    return jnp.sqrt((1 - fraction) * sigma**2 + fraction * mean_square)


def learn(
    state: ABPState,
    images: jax.Array,
    indices: jax.Array,
    masks: jax.Array | None = None,
    *,
    generate: Callable,
    optimizer: Optimizer,
    sigma: float | Callable | None,
) -> tuple[ABPState, ABPInfo]:
    """Learning step: moves W by the gradient at the present z. Arguments and results as in `iterate`."""
    sigma = noise_level(state, sigma)
    z, y, mask = _take(state.z, indices), data.decode(_take(images, indices)), _take(masks, indices)
    real = indices < len(images)
    weights = real.astype(z.dtype)
    gradient, loss, num_seen = gradient_and_loss(generate, state.params, z, y, sigma, mask, weights)
    descent = jax.tree.map(jnp.negative, gradient)  # optax minimises
    updates, opt_state = optimizer.update(descent, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    state = state._replace(params=params, opt_state=opt_state, iteration=state.iteration + 1)
    return state, ABPInfo(loss, jnp.max(jnp.where(real[:, None], jnp.abs(z), 0)), None, num_seen)


def learning_gradient(
    generate: Callable,
    params: dict,
    z: jax.Array,
    y: jax.Array,
    sigma: float,
    mask: jax.Array | None = None,
    weights: jax.Array | None = None,
) -> tuple[dict, jax.Array]:
    """L'(W) = sum_i d/dW log p(y_i, z_i; W), the direction to climb (exercise sheet, equation 10).

    Args:
      generate, params: (params, z) -> f(z; W), and W.
      z, y: (b, d) and (b, ...).
      sigma: standard deviation of the noise.
      mask: like y, True where y is observed; by default everywhere.
      weights: (b,), 1 for an example that counts and 0 for padding; by default all count.

    Returns:
      The gradient, like params, and the mean squared error per number of y that is seen, a scalar; 0 if none is.
    """
    weights = jnp.ones(len(z), z.dtype) if weights is None else weights
    return gradient_and_loss(generate, params, z, y, sigma, mask, weights)[:2]


def gradient_and_loss(
    generate: Callable,
    params: dict,
    z: jax.Array,
    y: jax.Array,
    sigma: float,
    mask: jax.Array | None,
    weights: jax.Array,
) -> tuple[dict, jax.Array, jax.Array]:
    """Returns what `learning_gradient` does, and how many numbers of y are seen, a scalar. Arguments as there."""

    def log_likelihood(params):
        errors = model.errors(jax.vmap(partial(generate, params))(z), y, sigma)
        log_p = jax.vmap(partial(model.log_noise, sigma=sigma))(errors, mask=mask)
        seen, num_seen = jax.vmap(model.seen_errors)(errors, mask)
        squares = jnp.sum(seen.reshape(len(z), -1) ** 2, axis=1)
        total = weights @ num_seen
        return weights @ log_p, (weights @ squares / jnp.maximum(total, 1), total)

    gradient, (loss, num_seen) = jax.grad(log_likelihood, has_aux=True)(params)
    return gradient, loss, num_seen


def _take(array: jax.Array | None, indices: jax.Array):
    """Rows of an array, or None of None. Padding reads the last example, and is dropped later."""
    return None if array is None else array.at[indices].get(mode="clip")

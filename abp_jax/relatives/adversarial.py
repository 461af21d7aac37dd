"""The game of a generator against a critic (generative adversarial network, GAN), and its learning, Algorithm 2.

    min_G max_D V,   V = E_data log D(y) + E_G log(1 - D(y)),   D(y) = 1 / (1 + e^-a(y)),   y of G: f(z; W) + e

The critic is a network a(y), a logit. Every loss is written in a and not in D, so that none is a logarithm of 0:
log D = -softplus(-a), log(1 - D) = -softplus(a). The generator descends E_G g(a(y)), for a g of its own choice, while
the critic is held still. At the optimal critic a* = log p_data - log p_G its gradient in W is that of a divergence:

    minimax             g = log(1 - D)    2 JSD(data, G)
    non-saturating      g = -log D        KL(G, data) - 2 JSD(data, G)
    maximum likelihood  g = -e^a          KL(data, G)

The noise e, of standard deviation sigma, stays: p_G has a density then, and for z of one or two numbers it is known
exactly (`divergences.density_on_grid`). Sources: Goodfellow et al., Generative adversarial nets, NIPS 2014; Goodfellow,
On distinguishability criteria for estimating generative models, ICLR workshop 2015 (g = -e^a); Arjovsky and Bottou,
Towards principled methods for training generative adversarial networks, ICLR 2017 (the second divergence).
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.nn import softplus

from abp_jax.generators import functional, with_params
from abp_jax.images import arguments

ADAM = optax.scale_by_adam(b1=0.5)  # a game turns: a long memory of gradients overshoots


class GANResult(NamedTuple):
    """What `fit_gan` returns.

    Attributes:
      generator, critic: learned, new objects.
      losses: of the critic, -V on a batch, and of the generator, the mean of g, in each iteration: (iterations, 2). The
        critic's is 2 log 2 = 1.386 where it can only guess. That the generator's falls does not say that it is better.
    """

    generator: nnx.Module
    critic: nnx.Module
    losses: np.ndarray


def critic_loss(real: jax.Array, generated: jax.Array) -> jax.Array:
    """Returns -V estimated from logits: of data `real` (n,), and of the generator's `generated` (m,). A scalar."""
    return jnp.mean(softplus(-real)) + jnp.mean(softplus(generated))


def minimax(a: jax.Array) -> jax.Array:
    """Returns log(1 - D) for the logit a of a generated example, elementwise. Its slope in a is -D."""
    return -softplus(a)


def non_saturating(a: jax.Array) -> jax.Array:
    """Returns -log D for the logit a of a generated example, elementwise. Its slope in a is -(1 - D)."""
    return softplus(-a)


def maximum_likelihood(a: jax.Array) -> jax.Array:
    """Returns -e^a = -D / (1 - D) for the logit a of a generated example, elementwise: -p_data / p_G at D*."""
    return -jnp.exp(a)


def sample(key: jax.Array, f: Callable, latent_dim: int, sigma: float, num: int) -> jax.Array:
    """Draws y = f(z) + e, with z ~ N(0, I_d) and e ~ N(0, sigma^2 I): (num, ...). sigma may be 0."""
    z_key, e_key = jax.random.split(key)
    y = jax.vmap(f)(jax.random.normal(z_key, (num, latent_dim)))
    return y + sigma * jax.random.normal(e_key, y.shape, y.dtype)


def fit_gan(
    generator: nnx.Module,
    critic: nnx.Module,
    y: jax.Array,
    num_iterations: int,
    *,
    key: jax.Array,
    sigma: float,
    loss: Callable = non_saturating,
    critic_steps: int = 1,
    learning_rates: Sequence[float] = (1e-3, 1e-3),
    batch_size: int = 256,
    every: int = 500,
    callback: Callable[[int, GANResult], None] | None = None,
) -> GANResult:
    """Plays the game: in each iteration k steps of Adam for the critic, then one for the generator (Algorithm 2).

    Every step has a batch of its own, of the data, drawn with replacement, and of the generator. b1 of Adam is 0.5.

    Args:
      generator: f(z; W) for one z, where W starts; it is not changed.
      critic: one y -> its logit a(y), a scalar; it is not changed.
      y: the data, (n, ...).
      num_iterations: steps of the generator.
      key: for batches, z and e.
      sigma: standard deviation of e, at least 0.
      loss: g, which the generator descends: logits (m,) -> (m,).
      critic_steps: k.
      learning_rates: of the generator and of the critic.
      batch_size: how many of each kind a step sees.
      every: iterations of one compiled call; after each, callback(iterations done, the GANResult so far).

    Raises:
      TypeError, ValueError: an argument is not of its kind or out of its range; shapes that don't fit.
      FloatingPointError: a loss is no longer finite.
    """
    y = _checked(arguments.generator(generator), critic, y)
    sigma, key = arguments.number("sigma", sigma, or_least=True), arguments.key(key)
    num_iterations = arguments.whole("num_iterations", num_iterations)
    k, every = arguments.whole("critic_steps", critic_steps), arguments.whole("every", every)
    batch_size = arguments.whole("batch_size", batch_size, of="examples")
    rates = tuple(arguments.number("learning_rates", rate) for rate in learning_rates)
    if len(rates) != 2:
        raise ValueError(f"learning_rates must be two, of the generator and of the critic, got {len(rates)}.")
    (make, params), (judge, weights) = functional(generator), functional(critic)
    iterate = partial(_iterate, make, judge, generator.latent_dim, loss, k, batch_size)
    play = jax.jit(lambda state, keys, *settings: jax.lax.scan(partial(iterate, *settings), state, keys))
    state, keys, losses = _start(params, weights), jax.random.split(key, num_iterations), []
    for first in range(0, num_iterations, every):
        state, values = play(state, keys[first : first + every], y, sigma, rates)
        losses.append(np.asarray(values))
        if not np.all(np.isfinite(losses[-1])):
            raise FloatingPointError(
                f"the losses are {losses[-1][-1]} after {first + len(losses[-1])} iterations. Lower learning_rates."
            )
        result = GANResult(
            with_params(generator, state.params), with_params(critic, state.weights), np.concatenate(losses)
        )
        if callback is not None:
            callback(len(result.losses), result)
    return result


class _State(NamedTuple):
    """Between two iterations: W and the critic's weights, each with what Adam remembers."""

    params: Any
    weights: Any
    params_memory: Any
    weights_memory: Any


def _start(params: Any, weights: Any):
    return _State(params, weights, ADAM.init(params), ADAM.init(weights))


def _iterate(make, judge, latent_dim, loss, k, batch_size, y, sigma, rates, state: _State, key: jax.Array):
    """One iteration: the new state, and both losses, (2,). make, judge: (parameters, one z or y) -> y or a."""
    *critic_keys, key = jax.random.split(key, k + 1)
    draw = lambda key, params: sample(key, partial(make, params), latent_dim, sigma, batch_size)
    logits = lambda weights, y: jax.vmap(partial(judge, weights))(y)
    params, weights, params_memory, weights_memory = state

    def against(weights, real, generated):
        return critic_loss(logits(weights, real), logits(weights, generated))

    for critic_key in critic_keys:
        rows_key, draw_key = jax.random.split(critic_key)
        real = y[jax.random.randint(rows_key, (batch_size,), 0, len(y))]
        value, gradient = jax.value_and_grad(against)(weights, real, draw(draw_key, params))
        weights, weights_memory = _descend(rates[1], weights, gradient, weights_memory)
    objective = lambda params: jnp.mean(loss(logits(weights, draw(key, params))))
    own, gradient = jax.value_and_grad(objective)(params)
    params, params_memory = _descend(rates[0], params, gradient, params_memory)
    return _State(params, weights, params_memory, weights_memory), jnp.stack([value, own])


def _descend(rate: float, values: Any, gradient: Any, memory: Any):
    """A step of Adam: the new values, and what it remembers."""
    direction, memory = ADAM.update(gradient, memory)
    return jax.tree.map(lambda w, u: w - rate * u, values, direction), memory


def _checked(generator: nnx.Module, critic: nnx.Module, y: jax.Array):
    """The data as an array, once generator and critic fit it."""
    if not isinstance(critic, nnx.Module) or not callable(critic):
        raise TypeError(f"critic must be a flax.nnx.Module that maps y to a logit, got {arguments.shown(critic)}.")
    y = jnp.asarray(arguments.array("y", y))
    y = y.astype(jnp.result_type(float, y))
    made = jax.eval_shape(generator, jax.ShapeDtypeStruct((generator.latent_dim,), y.dtype)).shape
    if not len(y) or y.shape[1:] != made:
        raise ValueError(f"y must be (n, {', '.join(map(str, made))}), as the generator gives it, got {y.shape}.")
    if (given := jax.eval_shape(critic, y[0]).shape) != ():
        raise ValueError(f"critic must give one logit, a scalar, for one y {y.shape[1:]}, got shape {given}.")
    return y

"""A Markov network of n bits, an edge between any two: the Boltzmann machine without hidden units, or Ising model.

    p(x) = exp(b'x + sum_{i>j} W_ij x_i x_j) / Z,   p(x_i = 1 | x_-i) = sigmoid(b_i + sum_{j != i} W_ij x_j)

with W_ij = W_ji. Its log-likelihood is concave, and its gradient compares moments of the data with those of the model:

    dL/dW_ij = mean_d x_di x_dj - E x_i x_j,   dL/db_i = mean_d x_di - E x_i

(Ackley, Hinton and Sejnowski, Cognitive Science 1985). E needs draws, and log p(x) needs Z. The pseudo-likelihood,
sum_i log p(x_i | x_-i), needs neither, and leads to the same parameters where there are data enough (Besag, The
Statistician 1975). So learn by it first, as `likelihood_fit.fit` does, and then climb the likelihood by chains that go
on from update to update (Younes, Stochastics 1999). Z is a sum over all states where they are few; else it is bracketed
by annealed importance sampling, from independent bits and back.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid, sigmoid
from jax.scipy.special import logsumexp

from abp_jax.compilation.precision import full_precision
from abp_jax.evaluation.evidence import Bracket
from abp_jax.images import arguments
from abp_jax.relatives import annealed_importance, bits, enumeration


class Pairwise(NamedTuple):
    """The parameters: W, (n, n), of which only what lies below the diagonal is used, and b, (n,)."""

    W: jax.Array
    b: jax.Array


def independent(base: jax.Array) -> Pairwise:
    """Returns the network without edges, of independent bits with these log odds, (n,): W = 0."""
    return Pairwise(jnp.zeros((len(base), len(base)), base.dtype), base)


def couplings(net: Pairwise) -> jax.Array:
    """Returns W, symmetric and with a diagonal of zeros, (n, n)."""
    below = jnp.tril(net.W, -1)
    return below + below.T


@full_precision
def log_weight(net: Pairwise, x: jax.Array) -> jax.Array:
    """Returns b'x + sum_{i>j} W_ij x_i x_j, log p(x) + log Z, of one example x (n,) of bits: a scalar.

    Raises:
      ValueError: x is not one example of n bits; so for every function of x below.
    """
    x = _one_example(net, x)
    return net.b @ x + x @ (jnp.tril(net.W, -1) @ x)


def log_prob(net: Pairwise, x: jax.Array, log_z: jax.Array) -> jax.Array:
    """Returns log p(x) of one x (n,), in nats: a scalar. log_z: `log_partition`, or a bound from `annealed_bracket`."""
    return log_weight(net, x) - log_z


def log_partition(net: Pairwise) -> jax.Array:
    """Returns log Z exactly, by all 2^n states, a scalar. Raises ValueError where n is above 24."""
    return logsumexp(_all_log_weights(net))


@full_precision
def pseudo_log_prob(net: Pairwise, x: jax.Array) -> jax.Array:
    """Returns sum_i log p(x_i | x_-i) of one x (n,): a scalar, and no log-likelihood."""
    x = _one_example(net, x)
    return jnp.sum(log_sigmoid((2 * x - 1) * (couplings(net) @ x + net.b)))


@full_precision
def gibbs(key: jax.Array, net: Pairwise, x: jax.Array, num_sweeps: int) -> jax.Array:
    """Takes one chain from x (n,) some sweeps on, each redrawing the bits 0 to n - 1 in order. Returns x (n,).

    The same chain as `gibbs.sample` of log_weight, where a bit's log odds cost n operations in place of n^2.

    Raises:
      ValueError: num_sweeps is negative.
    """
    W, x = couplings(net), _one_example(net, x)

    def sweep(x, key):
        uniforms = jax.random.uniform(key, x.shape, x.dtype)
        redrawn = lambda i, x: x.at[i].set((uniforms[i] < sigmoid(W[i] @ x + net.b[i])).astype(x.dtype))
        return jax.lax.fori_loop(0, len(x), redrawn, x), None

    return jax.lax.scan(sweep, x, jax.random.split(key, arguments.whole("num_sweeps", num_sweeps, least=0)))[0]


def exact_draws(key: jax.Array, net: Pairwise, num: int) -> jax.Array:
    """Draws x from p(x) independently, by the table of all 2^n states: (num, n). Raises ValueError for n above 24."""
    return enumeration.draw(key, _all_log_weights(net), num)


@full_precision
def moments(x: jax.Array, weights: jax.Array | None = None) -> Pairwise:
    """Returns the weighted means of x_i x_j, i > j, and of x_i, in the shapes of the parameters.

    x: bits (N, n). weights: (N,), by default 1/N each.
    """
    weights = jnp.full(len(x), 1 / len(x), x.dtype) if weights is None else weights
    return Pairwise(jnp.tril(x.T @ (weights[:, None] * x), -1), weights @ x)


def gradient(net: Pairwise, x: jax.Array) -> Pairwise:
    """Returns the exact gradient of the mean log p(x) over bits x (N, n). Raises ValueError for n above 24."""
    return jax.tree.map(jnp.subtract, moments(x), enumeration.expectation(moments, _all_log_weights(net)))


def fit(
    net: Pairwise,
    x: jax.Array,
    *,
    key: jax.Array,
    steps: int = 2000,
    learning_rate: float = 0.1,
    decay: float = 0.0,
    num_chains: int = 100,
) -> tuple[Pairwise, jax.Array]:
    """Climbs the mean log p(x) - decay |W|^2 / 2 by persistent chains, with a rate that falls linearly to 0.

    The data's part of the gradient is exact. The chains start at examples, and take a sweep of Gibbs an update.

    Args:
      net: where to start, best learned by the pseudo-likelihood.
      x: bits (N, n).
      key: for the chains.
      steps: updates.
      learning_rate: of the first update.
      decay: of W, 0 or more.
      num_chains: from 1 to N.

    Returns:
      The network, and the chains at the end, (num_chains, n).

    Raises:
      TypeError, ValueError: an argument is out of its range or of another kind, or x doesn't fit the network.
    """
    x = bits.checked("x", x, len(net.b)).astype(net.W.dtype)
    arguments.whole("num_chains", num_chains, most=len(x), of="examples")
    rate, decay = arguments.number("learning_rate", learning_rate), arguments.number("decay", decay, or_least=True)
    return _climb(arguments.key(key), net, x, rate, decay, arguments.whole("steps", steps), num_chains)


@partial(jax.jit, static_argnames=("steps", "num_chains"))
def _climb(key, net, x, rate, decay, steps, num_chains):
    start_key, key = jax.random.split(key)
    of_data = moments(x)

    def update(carry, now):
        (net, chains), (key, step) = carry, now
        chains = jax.vmap(partial(gibbs, net=net, num_sweeps=1))(jax.random.split(key, num_chains), x=chains)
        W, b = jax.tree.map(jnp.subtract, of_data, moments(chains))
        now = (rate * (1 - step / steps)).astype(x.dtype)
        return (Pairwise(net.W + now * (W - decay * jnp.tril(net.W, -1)), net.b + now * b), chains), None

    chains = jax.random.choice(start_key, x, (num_chains,), replace=False)
    return jax.lax.scan(update, (net, chains), (jax.random.split(key, steps), jnp.arange(steps)))[0]


def annealed_bracket(
    key: jax.Array,
    net: Pairwise,
    base: jax.Array,
    model_draws: jax.Array,
    *,
    inverse_temperatures: jax.Array | None = None,
) -> Bracket:
    """Brackets log Z by annealed importance sampling from independent bits and back, a sweep at each temperature.

    At b stands the network (b W, (1 - b) base + b b). Arguments, result and errors as for
    `annealed_importance.annealed_bracket`: the upper bound holds if `model_draws` are draws from p(x).
    """
    draws = bits.checked("model_draws", model_draws, len(net.b)).astype(net.W.dtype)
    if jnp.shape(base) != net.b.shape:
        raise ValueError(f"base must be the log odds of the bits, {net.b.shape}; got {jnp.shape(base)}.")
    mixed = lambda b: Pairwise(b * net.W, (1 - b) * base + b * net.b)
    b = annealed_importance.schedule(inverse_temperatures, net.W.dtype)
    move = lambda key, x, b: gibbs(key, mixed(b), x, 1)
    return annealed_importance.along(key, base, draws, b, lambda x, b: log_weight(mixed(b), x), move)


def num_parameters(net: Pairwise) -> int:
    """Returns n(n + 1) / 2: an edge between any two bits, and a bias for each."""
    n = len(net.b)
    return n * (n + 1) // 2


def _all_log_weights(net: Pairwise):
    return enumeration.over_states(partial(log_weight, net), len(net.b), net.W.dtype)


def _one_example(net: Pairwise, x: jax.Array):
    """x as an array of the parameters' type, once it is one example."""
    n = len(net.b)
    if jnp.shape(x) != (n,):
        raise ValueError(f"x must be one example of {n} bits, ({n},), got {jnp.shape(x)}: jax.vmap makes the batch.")
    return jnp.asarray(x, net.b.dtype)

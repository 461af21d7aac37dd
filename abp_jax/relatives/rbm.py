"""The restricted Boltzmann machine: visible bits v, hidden bits h, and no edge inside a layer.

    p(v, h) = exp(-E(v, h)) / Z,   E(v, h) = -h'Wv - b'v - c'h

Given one layer, the bits of the other are independent, and summing over h leaves a product:

    p(h_j = 1 | v) = sigmoid((W v + c)_j),   p(v_i = 1 | h) = sigmoid((W'h + b)_i)
    p(v) = exp(-F(v)) / Z,   F(v) = -b'v - sum_j log(1 + exp((W v + c)_j))

F is the free energy. Z sums exp(-F) over the states of one layer, whichever is smaller: both layers play the same part.
b belongs to the visible bits and c to the hidden ones, as in Fischer and Igel, Pattern Recognition 2014; others have
them the other way round, or W transposed.

Source: Smolensky, in Parallel Distributed Processing, 1986. Blocks of Gibbs sampling: Hinton, Neural Computation 2002.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from abp_jax.compilation.precision import full_precision
from abp_jax.images import arguments
from abp_jax.relatives import bits, enumeration


class RBM(NamedTuple):
    """The parameters: weights W, (hidden, visible); biases b of v, (visible,), and c of h, (hidden,).

    Whatever has one number for each parameter, such as a gradient, is an RBM too.
    """

    W: jax.Array
    b: jax.Array
    c: jax.Array


def base_rates(x: jax.Array) -> jax.Array:
    """Returns b for which independent bits have the means of x (n, visible), one coin more on each side: (visible,).

    The two coins, one of each side, keep b finite where all examples agree.
    """
    x = bits.checked("x", x)
    ones = jnp.sum(x, axis=0)
    return jnp.log((ones + 1) / (len(x) - ones + 1))


def flip(rbm: RBM) -> RBM:
    """Returns the same machine upside down: what was hidden is visible."""
    return RBM(rbm.W.T, rbm.c, rbm.b)


def hidden_logits(rbm: RBM, v: jax.Array) -> jax.Array:
    """Returns the log odds of each h_j given one v (visible,), W v + c: (hidden,).

    Raises:
      ValueError: v is not (visible,), as for every function of v below; or the parameters don't fit together.
    """
    W, b, c = map(jnp.asarray, rbm)
    if W.ndim != 2 or (c.shape, b.shape) != (W.shape[:1], W.shape[1:]):
        raise ValueError(
            f"W must be (hidden, visible), b (visible,), c (hidden,): got {W.shape}, {b.shape}, {c.shape}."
        )
    _check_layer(v, b)
    return jnp.matmul(W, v, precision="highest") + c


def visible_logits(rbm: RBM, h: jax.Array) -> jax.Array:
    """Returns the log odds of each v_i given one h (hidden,), W'h + b: (visible,)."""
    return hidden_logits(flip(rbm), h)


@full_precision
def energy(rbm: RBM, v: jax.Array, h: jax.Array) -> jax.Array:
    """Returns E(v, h) for one v (visible,) and one h (hidden,), a scalar."""
    _check_layer(h, rbm.c)
    return -jnp.vdot(hidden_logits(rbm, v), h) - jnp.vdot(rbm.b, v)


@full_precision
def free_energy(rbm: RBM, v: jax.Array) -> jax.Array:
    """Returns F(v) = -log sum_h exp(-E(v, h)) for one v (visible,), a scalar."""
    return -jnp.sum(jax.nn.softplus(hidden_logits(rbm, v))) - jnp.vdot(rbm.b, v)


def log_partition(rbm: RBM) -> jax.Array:
    """Returns log Z exactly, by all the states of the smaller layer, a scalar. May be differentiated.

    Raises:
      ValueError: both layers have more than 24 bits.
    """
    return logsumexp(log_weights(smaller_visible(rbm)))


def log_prob(rbm: RBM, v: jax.Array, log_z: jax.Array) -> jax.Array:
    """Returns log p(v) = -F(v) - log Z for one v (visible,), in nats, a scalar.

    log_z: `log_partition(rbm)`, computed once for all examples, or a bound from `annealed_importance`.
    """
    return -free_energy(rbm, v) - log_z


def exact_draws(key: jax.Array, rbm: RBM, num: int) -> jax.Array:
    """Draws v from p(v), independently and without a chain, by the table of the smaller layer: (num, visible).

    Raises:
      ValueError: both layers have more than 24 bits, or num is below 1.
    """
    table_key, other_key = jax.random.split(arguments.key(key))
    small = smaller_visible(rbm)
    drawn = enumeration.draw(table_key, log_weights(small), num)
    if small is rbm:
        return drawn
    return jax.vmap(lambda key, h: _drawn(key, visible_logits(rbm, h)))(jax.random.split(other_key, num), drawn)


def block_gibbs(key: jax.Array, rbm: RBM, v: jax.Array, k: int) -> jax.Array:
    """Takes one chain from v (visible,) k steps on: all of h given v, then all of v given that h. Returns v^(k).

    Each step keeps p(v) and is reversible on v alone.

    Raises:
      ValueError: k is negative.
    """

    def step(v, key):
        up, down = jax.random.split(key)
        h = _drawn(up, hidden_logits(rbm, v))
        return _drawn(down, visible_logits(rbm, h)), None

    v = jnp.asarray(v, rbm.W.dtype)
    return jax.lax.scan(step, v, jax.random.split(key, arguments.whole("k", k, least=0)))[0]


def smaller_visible(rbm: RBM) -> RBM:
    """Returns the machine, upside down where the hidden layer is the smaller one: b is the shorter bias."""
    hidden, visible = jnp.shape(rbm.W)
    return flip(rbm) if hidden < visible else rbm


def log_weights(rbm: RBM) -> jax.Array:
    """Returns -F(v) at every state of the visible layer, in the order of `bits.states`: (2^visible,)."""
    hidden, visible = jnp.shape(rbm.W)
    if visible > bits.MOST:
        hidden, visible = sorted((hidden, visible))
        raise ValueError(
            f"exact sums take a layer of at most {bits.MOST} bits; this machine's have {hidden} and "
            f"{visible}. `annealed_importance` brackets log Z of larger machines."
        )
    return enumeration.over_states(lambda v: -free_energy(rbm, v), visible, rbm.W.dtype)


def _drawn(key: jax.Array, logits: jax.Array):
    return jax.random.bernoulli(key, jax.nn.sigmoid(logits)).astype(logits.dtype)


def _check_layer(layer: jax.Array, bias: jax.Array):
    if jnp.shape(layer) != bias.shape:
        raise ValueError(
            f"this layer of the machine has {bias.shape[0]} bits, ({bias.shape[0]},); got shape {jnp.shape(layer)}. "
            "For several examples: jax.vmap."
        )

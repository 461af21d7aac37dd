"""Sums over all 2^n states of n bits, exact for any p(x) known up to a constant: p(x) = w(x) / sum_x w(x).

States are numbered as in `bits.states`. They are taken in blocks, so that what a function of them needs in between
never stands in memory for all at once.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from abp_jax.images import arguments
from abp_jax.relatives import bits

BLOCK = 2**14  # so many states at once


def over_states(f: Callable, n: int, dtype: jnp.dtype | None = None) -> jax.Array:
    """Returns f(x) for each state x (n,), with a leading axis of 2^n. A gradient computes each block once more.

    Raises:
      ValueError: n is not from 1 to 24.
    """
    arguments.whole("n", n, most=bits.MOST, of="bits")
    each = jax.checkpoint(lambda index: f(bits.state(index, n, dtype)))
    return jax.lax.map(each, jnp.arange(2**n), batch_size=min(BLOCK, 2**n))


def expectation(f: Callable, log_weights: jax.Array):
    """Returns E f(x) under p, from the log weights of all states in order, (2^n,).

    f: (states (k, n), their probabilities (k,)) -> the sum of f(x) p(x) over them, an array or a tree of arrays.
    """
    n = _bits(log_weights)
    block = min(BLOCK, 2**n)
    probabilities = jax.nn.softmax(log_weights).reshape(-1, block)

    def one(numbered):
        number, p = numbered
        return f(bits.state(number * block + jnp.arange(block), n, p.dtype), p)

    def add(total, numbered):
        return jax.tree.map(jnp.add, total, one(numbered)), None

    numbered = (jnp.arange(len(probabilities)), probabilities)
    first, rest = jax.tree.map(lambda a: a[0], numbered), jax.tree.map(lambda a: a[1:], numbered)
    return jax.lax.scan(add, one(first), rest)[0]


def draw(key: jax.Array, log_weights: jax.Array, num: int) -> jax.Array:
    """Draws states from p independently, from the log weights of all states in order, (2^n,). Returns (num, n).

    First the front half of the bits, from their marginal, then the other half given these: two draws of one among
    2^(n/2) in place of one among 2^n.

    Raises:
      ValueError: num is below 1.
    """
    n, num = _bits(log_weights), arguments.whole("num", num)
    table = log_weights.reshape(2 ** (n // 2), -1)
    front_key, back_key = jax.random.split(arguments.key(key))
    front = jax.random.categorical(front_key, logsumexp(table, axis=1), shape=(num,))

    def rest(key_and_front):
        key, row = key_and_front
        return bits.state(row * table.shape[1] + jax.random.categorical(key, table[row]), n, table.dtype)

    return jax.lax.map(rest, (jax.random.split(back_key, num), front), batch_size=min(num, 256))


def _bits(log_weights: jax.Array):
    n = len(log_weights).bit_length() - 1
    if log_weights.shape != (2**n,):
        raise ValueError(f"log_weights must be those of all states, (2^n,); got shape {log_weights.shape}.")
    return n

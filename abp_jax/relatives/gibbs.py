"""Gibbs sampling of n bits, x in {0, 1}^n, from p(x) known up to a constant; and its transition matrices.

The site chain i redraws one bit given all others (Geman and Geman, IEEE PAMI 1984):

    T_ab = p(x_i = b_i | x_-i = a_-i) where a and b agree but for bit i, else 0;   so T_aa = p(x_i = a_i | x_-i = a_-i)

Each keeps p, p T = p, since it is reversible: p_a T_ab = p_b T_ba (detailed balance). So do their mixture, random scan,
sum_i q_i T_i, which is reversible too, and their product, a sweep, T_1 T_2 ... T_n, which in general is not. Where
p > 0 everywhere, all conditionals lie strictly inside (0, 1): any state leads to any other, and may stay where it is.
Both chains are ergodic.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial, reduce

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax.images import arguments
from abp_jax.relatives import bits

LARGEST = 12  # bits of a transition matrix, which then has 2^24 entries


def redraw(key: jax.Array, log_p: Callable, x: jax.Array, i: jax.Array) -> jax.Array:
    """Returns x with bit i drawn from p(x_i | x_-i), a Bernoulli with the logit log p(x_i = 1) - log p(x_i = 0).

    log_p: x (n,) -> log p(x) up to a constant, finite. x: zeros and ones, floating-point numbers, (n,).
    """
    one, zero = x.at[i].set(1), x.at[i].set(0)
    probability = jax.nn.sigmoid(log_p(one) - log_p(zero))
    return x.at[i].set(jax.random.bernoulli(key, probability).astype(x.dtype))


def sample(key: jax.Array, log_p: Callable, x: jax.Array, num_sweeps: int) -> jax.Array:
    """Runs a chain of sweeps, each redrawing the bits 0 to n - 1 in order. Returns x after each, (num_sweeps, n).

    Args:
      key: for the draws.
      log_p: x (n,) -> log p(x) up to a constant, finite.
      x: where the chain starts, zeros and ones, (n,).
      num_sweeps: at least 1.

    Raises:
      TypeError, ValueError: key is no key, x no vector, or num_sweeps no positive whole number.
    """
    x = _start(key, x, "num_sweeps", num_sweeps)

    def one(x, key):
        keys = jax.random.split(key, len(x))
        x = jax.lax.fori_loop(0, len(x), lambda i, x: redraw(keys[i], log_p, x, i), x)
        return x, x

    return jax.lax.scan(one, x, jax.random.split(key, num_sweeps))[1]


def sample_random_scan(key: jax.Array, log_p: Callable, x: jax.Array, num_steps: int) -> jax.Array:
    """Runs a chain of steps, each redrawing one bit, all equally likely. Returns x after each, (num_steps, n).

    Arguments and errors as for `sample`; n steps take as long as one of its sweeps.
    """
    x = _start(key, x, "num_steps", num_steps)

    def one(x, key):
        site_key, bit_key = jax.random.split(key)
        x = redraw(bit_key, log_p, x, jax.random.randint(site_key, (), 0, len(x)))
        return x, x

    return jax.lax.scan(one, x, jax.random.split(key, num_steps))[1]


def block_matrix(log_p: jax.Array, block: Sequence[int]) -> jax.Array:
    """Returns T of redrawing a block of bits at once, given all others: (2^n, 2^n).

    Args:
      log_p: log p of every state up to a constant, in the order of `bits.states`, (2^n,); n is 12 at most.
      block: which bits, from 0 to n - 1.

    Raises:
      ValueError: log_p has no such shape, is not finite, or a bit is unknown or comes twice.
    """
    log_p, n = _checked(log_p)
    block = [arguments.whole("block", i, least=0, most=n - 1, of="bits") for i in block]
    if len(set(block)) != len(block) or not block:
        raise ValueError(f"block must hold one bit or more, each once, got {block}.")
    others = bits.index(bits.states(n).at[:, jnp.array(block)].set(0))  # equal where two states agree outside the block
    agree = others[:, None] == others[None, :]
    return jax.nn.softmax(jnp.where(agree, log_p[None, :], -jnp.inf), axis=1)


def site_matrix(log_p: jax.Array, i: int) -> jax.Array:
    """Returns T of redrawing bit i given all others. log_p and errors as in `block_matrix`."""
    return block_matrix(log_p, [i])


def random_scan(log_p: jax.Array, probabilities: Sequence[float] | None = None) -> jax.Array:
    """Returns T of redrawing one bit, drawn with these probabilities q > 0, (n,), by default 1/n each: (2^n, 2^n).

    Raises ValueError where they are not n positive numbers with the sum 1; for log_p as `block_matrix` does.
    """
    log_p, n = _checked(log_p)
    q = np.full(n, 1 / n) if probabilities is None else np.asarray(probabilities, float)
    if q.shape != (n,) or not np.all(q > 0) or not math.isclose(q.sum(), 1, rel_tol=1e-5):
        raise ValueError(f"probabilities must be {n} positive numbers with the sum 1, got {arguments.shown(q)}.")
    return sum(q_i * site_matrix(log_p, i) for i, q_i in enumerate(q.tolist()))


def sweep(log_p: jax.Array, blocks: Sequence[int | Sequence[int]] | None = None) -> jax.Array:
    """Returns T of redrawing bits one after the other, the first first: T_1 T_2 ..., (2^n, 2^n).

    blocks: bits or blocks of bits, by default each bit once, from 0 to n - 1. log_p and errors as in `block_matrix`.
    """
    log_p, n = _checked(log_p)
    blocks = range(n) if blocks is None else blocks
    matrices = [block_matrix(log_p, [block] if np.ndim(block) == 0 else block) for block in blocks]
    return reduce(partial(jnp.matmul, precision="highest"), matrices)


def visible_chain(log_p: jax.Array, num_visible: int) -> jax.Array:
    """Returns T of the first bits v alone, when h, the others, are drawn given v, and then v given h: (2^m, 2^m).

    T_vw = sum_h p(h | v) p(w | h). Unlike the sweep over both blocks it is reversible. m: num_visible, 1 to n - 1.
    """
    log_p, n = _checked(log_p)
    num_visible = arguments.whole("num_visible", num_visible, most=n - 1, of="bits")
    log_joint = log_p.reshape(2**num_visible, -1)
    return jnp.matmul(jax.nn.softmax(log_joint, axis=1), jax.nn.softmax(log_joint, axis=0).T, precision="highest")


def _start(key: jax.Array, x: jax.Array, name: str, num: int):
    """x as floating-point numbers, once the arguments of a chain are what they should be."""
    arguments.key(key)
    arguments.whole(name, num)
    if jnp.ndim(x) != 1:
        raise ValueError(f"x must be one state, (n,), got {jnp.shape(x)}. For several chains, jax.vmap over key and x.")
    return jnp.asarray(x, jnp.result_type(float, x))


def _checked(log_p: jax.Array):
    """log p of all states as an array, and n."""
    log_p = jnp.asarray(log_p)
    n = int(log_p.size).bit_length() - 1
    if log_p.ndim != 1 or log_p.size != 2**n or not 1 <= n <= LARGEST:
        raise ValueError(f"log_p must hold all 2^n states of n = 1 to {LARGEST} bits, (2^n,), got shape {log_p.shape}.")
    if not arguments.is_traced(log_p) and not np.all(np.isfinite(log_p)):
        raise ValueError("log_p must be finite: a conditional of a state of probability 0 may not exist.")
    return log_p, n

"""The neural autoregressive distribution estimator (NADE): p(x) of n bits without a partition function.

    p(x) = prod_k p(x_k | x_<k)                      the chain rule, in the order 1, ..., n
    h_k  = sigmoid(W_{.,<k} x_<k + b)                d hidden units for every pixel, which share W and b
    p(x_k = 1 | x_<k) = sigmoid(V_k h_k + c_k)

W_{.,<k} are the first k - 1 columns of W: strictly less than k. The activation a_k = W_{.,<k} x_<k + b runs along,

    a_1 = b,   a_{k+1} = a_k + W_{.,k} x_k

so that all n conditionals together cost O(nd), not O(n^2 d). The last column of W is never used. Source: Larochelle and
Murray, The neural autoregressive distribution estimator, AISTATS 2011.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid, sigmoid

from abp_jax.compilation.precision import full_precision
from abp_jax.images import arguments


class NADE(NamedTuple):
    """The parameters: W, (d, n), and b, (d,), make h of x; V, (n, d), and c, (n,), make the conditionals of h."""

    W: jax.Array
    b: jax.Array
    V: jax.Array
    c: jax.Array


def init(key: jax.Array, num_pixels: int, num_hidden: int) -> NADE:
    """Draws W and V from normal distributions of variance 1 / n and 1 / d; b and c are zero. n >= 1, d >= 1.

    Raises:
      TypeError, ValueError: a size is no whole number, or below 1; key is no key.
    """
    n = arguments.whole("num_pixels", num_pixels)
    d = arguments.whole("num_hidden", num_hidden)
    W_key, V_key = jax.random.split(arguments.key(key))
    W, V = jax.random.normal(W_key, (d, n)) / n**0.5, jax.random.normal(V_key, (n, d)) / d**0.5
    return NADE(W, jnp.zeros_like(W[:, 0]), V, jnp.zeros_like(V[:, 0]))


def num_parameters(nade: NADE) -> int:
    """Returns 2nd + n + d: W and V, c, and b. Without the last column of W, which is never used, 2nd + n are left."""
    return sum(jnp.size(parameter) for parameter in nade)


@full_precision
def logits(nade: NADE, x: jax.Array) -> jax.Array:
    """Returns V_k h_k + c_k, the log odds of x_k = 1 given x_<k, for one example x (n,) of bits: (n,), in O(nd).

    Raises:
      ValueError: x is not one example of n bits; so for every density below.
    """
    x = _one_example(nade, x)

    def pixel(a, inputs):
        x_k, W_k, V_k, c_k = inputs
        return a + W_k * x_k, V_k @ sigmoid(a) + c_k

    return jax.lax.scan(pixel, nade.b, (x, nade.W.T, nade.V, nade.c))[1]


def log_prob(nade: NADE, x: jax.Array) -> jax.Array:
    """Returns log p(x) = sum_k log p(x_k | x_<k) of one example x (n,) of bits, in nats: a scalar."""
    return jnp.sum(log_sigmoid((2 * _one_example(nade, x) - 1) * logits(nade, x)))


@full_precision
def log_prob_direct(nade: NADE, x: jax.Array) -> jax.Array:
    """Returns log p(x) as the formulas stand, each h_k from its own sum over x_<k: O(n^2 d), to compare with."""
    x, total = _one_example(nade, x), 0.0
    for k in range(len(x)):  # counted from 0, so that the pixels before k are the first k
        h = sigmoid(nade.W[:, :k] @ x[:k] + nade.b)
        total += log_sigmoid((2 * x[k] - 1) * (nade.V[k] @ h + nade.c[k]))
    return total


def sample(key: jax.Array, nade: NADE) -> jax.Array:
    """Draws one x (n,) from p(x), pixel after pixel (ancestral sampling): bits as 0.0 and 1.0."""
    return complete(key, nade, jnp.zeros_like(nade.c), known=0)


@full_precision
def complete(key: jax.Array, nade: NADE, x: jax.Array, known: int) -> jax.Array:
    """Draws the pixels after the first `known` of x, given those: exactly from their conditional distribution.

    Only pixels that come first can be given: what is known further on would need a sum over all that lies between.

    Args:
      key: for the draws.
      nade: the parameters.
      x: one example (n,) of bits; those after the first `known` may be anything.
      known: how many pixels are kept, from 0 to n.

    Returns:
      (n,), bits as 0.0 and 1.0.

    Raises:
      TypeError, ValueError: known is no whole number from 0 to n; x is not one example of n bits.
    """
    x = _one_example(nade, x)
    if not arguments.is_traced(known):
        known = arguments.whole("known", known, least=0, most=len(x))
    uniforms = jax.random.uniform(arguments.key(key), x.shape, x.dtype)

    def pixel(a, inputs):
        k, x_k, u_k, W_k, V_k, c_k = inputs
        drawn = (u_k < sigmoid(V_k @ sigmoid(a) + c_k)).astype(x.dtype)
        x_k = jnp.where(k < known, x_k, drawn)
        return a + W_k * x_k, x_k

    return jax.lax.scan(pixel, nade.b, (jnp.arange(len(x)), x, uniforms, nade.W.T, nade.V, nade.c))[1]


def _one_example(nade: NADE, x: jax.Array):
    """x as an array of the parameters' type, once it is one example."""
    n = len(nade.c)
    if jnp.shape(x) != (n,):
        raise ValueError(f"x must be one example of {n} bits, ({n},), got {jnp.shape(x)}: jax.vmap makes the batch.")
    return jnp.asarray(x, nade.c.dtype)

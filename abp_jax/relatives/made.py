"""The masked autoencoder for distribution estimation (MADE): all n conditionals of n bits in one pass of a network.

    p(x) = prod_k p(x_k | x before k)                in any one order of the pixels
    h_l  = relu((M_l * W_l) h_{l-1} + b_l),          h_0 = x
    p(x_k = 1 | x before k) = sigmoid of row k of (M_L * W_L) h_{L-1} + b_L + (M_A * A) x

The masks M, of `made_masks`, cut every path from a pixel to itself and to those before it. They are no parameters:
`log_prob` takes both, so no optimizer moves a mask, and one set of weights serves several orders. A are the direct
connections, if there are any: with them the hidden units learn only what a logistic regression of each pixel on those
before it leaves over. Without hidden layers that regression is all. Source: Germain, Gregor, Murray and Larochelle,
MADE: masked autoencoder for distribution estimation, ICML 2015.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid, relu, sigmoid
from jax.scipy.special import logsumexp

from abp_jax.compilation.precision import full_precision
from abp_jax.images import arguments
from abp_jax.relatives.made_masks import Masks, before


class MADE(NamedTuple):
    """The parameters: of each layer its weight W_l, (units above, units below), and its bias b_l, (units above,).

    direct: A, (n, n), of which only what leads to a later pixel is used; None without direct connections.
    """

    weights: tuple[jax.Array, ...]
    biases: tuple[jax.Array, ...]
    direct: jax.Array | None = None


def init(key: jax.Array, num_pixels: int, hidden: Sequence[int] = (), direct: bool = False) -> MADE:
    """Draws weights from normal distributions of variance 2 / (units below); biases are zero, and so is A. n >= 1.

    direct: whether there are direct connections from the pixels to the outputs.

    Raises:
      TypeError, ValueError: a size is no whole number, or below 1; key is no key.
    """
    n = arguments.whole("num_pixels", num_pixels)
    sizes = [n, *(arguments.whole("hidden", units, of="units") for units in hidden), n]
    keys = jax.random.split(arguments.key(key), len(sizes) - 1)
    shapes = zip(keys, sizes[1:], sizes[:-1], strict=True)
    weights = tuple(jax.random.normal(k, (above, below)) * (2 / below) ** 0.5 for k, above, below in shapes)
    return MADE(weights, tuple(jnp.zeros_like(W[:, 0]) for W in weights), jnp.zeros((n, n)) if direct else None)


@full_precision
def logits(made: MADE, masks: Masks, x: jax.Array) -> jax.Array:
    """Returns the log odds of x_k = 1 given the pixels before k, for one example x (n,) of bits: (n,), in one pass.

    Raises:
      ValueError: x is not one example of n bits, or the masks are not of the weights' shapes; so for all below.
    """
    h, shapes = _one_example(made, x), [W.shape for W in made.weights]
    if [mask.shape for mask in masks.layers] != shapes:
        found = [mask.shape for mask in masks.layers]
        raise ValueError(f"masks must have the shapes of the weights, {shapes}, got {found}. Pass one order's masks.")
    x = h
    for layer, (W, b, M) in enumerate(zip(made.weights, made.biases, masks.layers, strict=True)):
        h = jnp.where(M, W, 0) @ (relu(h) if layer else h) + b
    return h if made.direct is None else h + jnp.where(before(masks.order), made.direct, 0) @ x


def log_prob(made: MADE, masks: Masks, x: jax.Array) -> jax.Array:
    """Returns log p(x) = sum_k log p(x_k | pixels before k) of one example x (n,) of bits, in nats: a scalar."""
    return jnp.sum(log_sigmoid((2 * _one_example(made, x) - 1) * logits(made, masks, x)))


def mixture_log_prob(made: MADE, masks: Masks, x: jax.Array) -> jax.Array:
    """Returns log (1/K) sum_o p_o(x) for one x (n,), over the K orders o of `random_masks`: a scalar.

    This is a distribution. Often the mean of the K log odds is taken instead, and put through one sigmoid: then output
    k may depend on j and output j on k, and the "probabilities" don't sum to one.
    """
    each = jax.vmap(log_prob, (None, 0, None))(made, masks, x)
    return logsumexp(each) - jnp.log(jnp.asarray(len(each), each.dtype))


def sample(key: jax.Array, made: MADE, masks: Masks) -> jax.Array:
    """Draws one x (n,) from p(x), pixel after pixel in the order, a pass for each: bits as 0.0 and 1.0."""
    return complete(key, made, masks, jnp.zeros_like(made.biases[-1]), known=0)


def complete(key: jax.Array, made: MADE, masks: Masks, x: jax.Array, known: int) -> jax.Array:
    """Draws the pixels after the first `known` of the order, given those: exactly from their conditional distribution.

    x: one example (n,) of bits; those that are not known may be anything. known: from 0 to n. Returns (n,).

    Raises:
      TypeError, ValueError: known is no whole number from 0 to n; x is not one example of n bits.
    """
    x = _one_example(made, x)
    if not arguments.is_traced(known):
        known = arguments.whole("known", known, least=0, most=len(x))
    uniforms = jax.random.uniform(arguments.key(key), x.shape, x.dtype)

    def pixel(x, inputs):
        place, k, u = inputs
        drawn = (u < sigmoid(logits(made, masks, x)[k])).astype(x.dtype)
        return x.at[k].set(jnp.where(place < known, x[k], drawn)), None

    return jax.lax.scan(pixel, x, (jnp.arange(len(x)), masks.order, uniforms))[0]


def _one_example(made: MADE, x: jax.Array):
    """x as an array of the parameters' type, once it is one example."""
    n = len(made.biases[-1])
    if jnp.shape(x) != (n,):
        raise ValueError(f"x must be one example of {n} bits, ({n},), got {jnp.shape(x)}: jax.vmap makes the batch.")
    return jnp.asarray(x, made.biases[-1].dtype)

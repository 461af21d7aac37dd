"""The masks of MADE: which connections of a network may stay, so that output k sees the pixels before k only.

Each unit has a degree m: a pixel its place in the order, 1 to n, both below and above; a hidden unit a number from 1 to
n - 1, how many pixels it may see. The connection from unit j to unit i of the next layer stays, M[i, j] = 1, where

    m(i) >= m(j)   below a hidden unit i,        m(i) > m(j)   below an output i, strictly

Along a path degrees never fall, and at its end they rise: it leads from a pixel to a later one. Source: Germain,
Gregor, Murray and Larochelle, MADE: masked autoencoder for distribution estimation, ICML 2015, sections 3 and 4.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax.images import arguments


class Masks(NamedTuple):
    """The order of the pixels, (n,), the first one first, and of each layer its mask M_l: bool, of the shape of W_l."""

    order: jax.Array
    layers: tuple[jax.Array, ...]


def degrees(key: jax.Array, order: Sequence[int], hidden: Sequence[int] = ()) -> tuple[jax.Array, ...]:
    """Draws the degrees of all layers: of the pixels (n,), then of each hidden layer (its number of units,).

    A pixel sees the one just before it in the order by hidden units of one and the same degree in all layers. So each
    layer gets each of the degrees 1 to n - 1, equally often up to one, on units drawn at random. Degrees drawn without
    care leave some out, and cut pairs of pixels apart.

    Args:
      key: for the draws.
      order: (n,), a permutation of 0, ..., n - 1: the pixel that comes first, the second, ...
      hidden: numbers of units, each at least n - 1; () for none.

    Raises:
      TypeError, ValueError: order is no permutation; a number of hidden units is no whole number, or below n - 1.
    """
    n = len(order)
    if not arguments.is_traced(order) and (n == 0 or sorted(np.asarray(order).tolist()) != list(range(n))):
        raise ValueError(f"order must hold each of 0, ..., n - 1 once, got {arguments.shown(order)}.")
    for units in hidden:
        if arguments.whole("hidden", units, of="units") < n - 1:
            raise ValueError(
                f"hidden must be at least n - 1 = {n - 1} units a layer, got {units}: with fewer a degree is missing, "
                "and some pixel would not see the one before it. `masks` takes other degrees than these."
            )
    keys = jax.random.split(arguments.key(key), len(hidden)) if hidden else ()
    place = jnp.argsort(jnp.asarray(order)) + 1
    return place, *(_balanced(layer_key, units, n - 1) for layer_key, units in zip(keys, hidden, strict=True))


def _balanced(key: jax.Array, units: int, highest: int):
    """Each of 1, ..., highest equally often up to one, in random places; which come once more is drawn too."""
    values_key, places_key = jax.random.split(key)
    values = jax.random.permutation(values_key, max(1, highest)) + 1
    return jax.random.permutation(places_key, jnp.resize(values, units))


def masks(degrees: Sequence[jax.Array]) -> Masks:
    """Returns the masks of these degrees: of the pixels (n,), a permutation of 1, ..., n, then of each hidden layer.

    The conditionals form a distribution whatever the hidden degrees; which pairs they connect, `paths` tells.
    """
    place, *hidden = map(jnp.asarray, degrees)
    below, layers = place, []
    for m in hidden:
        layers.append(m[:, None] >= below[None, :])
        below = m
    layers.append(place[:, None] > below[None, :])
    return Masks(jnp.argsort(place), tuple(layers))


def before(order: jax.Array) -> jax.Array:
    """Returns the mask of direct connections, (n, n): in row k true for the pixels j that come before k, strictly."""
    place = jnp.argsort(order)
    return place[:, None] > place[None, :]


def random_masks(key: jax.Array, num_pixels: int, hidden: Sequence[int], num_orders: int) -> Masks:
    """Draws masks for K orders, each order and its degrees at random: stacked, with a first axis of length K.

    num_pixels: n; num_orders: K; hidden and errors as in `degrees`.
    """
    n = arguments.whole("num_pixels", num_pixels)
    keys = jax.random.split(arguments.key(key), arguments.whole("num_orders", num_orders))
    pairs = [jax.random.split(one_key) for one_key in keys]
    each = [masks(degrees(of_units, jax.random.permutation(of_order, n), hidden)) for of_order, of_units in pairs]
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *each)


def paths(masks: Masks) -> np.ndarray:
    """Returns how many paths lead from pixel j below to output k above: (n, n), row k and column j.

    The product of the masks. With rows and columns in the order it must be strictly lower triangular: then x_k depends
    on pixels before it only. That the diagonal is zero is not enough, as two pixels may then depend on each other. And
    where an entry below the diagonal is zero, x_k can't depend on that pixel at all, unless by a direct connection.
    """
    product = np.eye(len(masks.order), dtype=np.int64)
    for layer in masks.layers:
        product = np.asarray(layer, np.int64) @ product
    return product

"""Vectors of n bits, x in {0, 1}^n: all 2^n of them, their probability where they are independent, and sets of images.

    p(x) = prod_i p_i^x_i (1 - p_i)^(1 - x_i),   p_i = 1 / (1 + exp(-l_i)),   l_i the logit of pixel i

State k of 2^n is k in binary, the first bit the most significant: a table of shape (2, ..., 2), one axis a bit, read
row by row, has the order of `states`. Images become bits by a threshold, not by a draw: everyone has the same ones.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax.images import arguments, datasets

MOST = 24  # bits of which all states are listed: 2^24 of them, 64 MB of log weights in float32


class Split(NamedTuple):
    """Three parts of a data set, one example a row: to learn from, to choose by, and to judge by."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


def states(n: int, dtype: jnp.dtype | None = None) -> jax.Array:
    """Returns every state of n bits, from 00...0 to 11...1, as floating-point numbers: (2^n, n). n: 1 to 24."""
    return state(jnp.arange(2 ** arguments.whole("n", n, most=MOST, of="bits")), n, dtype)


def state(index: jax.Array, n: int, dtype: jnp.dtype | None = None) -> jax.Array:
    """Returns the states with these numbers, 0 to 2^n - 1, as floating-point numbers: (...) -> (..., n). n: 1 to 31."""
    shifts = jnp.arange(arguments.whole("n", n, most=31, of="bits"))[::-1]
    ones = (jnp.asarray(index)[..., None] >> jnp.expand_dims(shifts, range(jnp.ndim(index)))) & 1
    return jnp.asarray(ones, dtype or float)


def index(x: jax.Array) -> jax.Array:
    """Returns the number of each state, the row of `states` where it stands: (..., n) -> (...), n at most 31."""
    x = jnp.asarray(x)
    if x.ndim == 0 or not 1 <= x.shape[-1] <= 31:
        raise ValueError(f"x must have shape (..., n) with n from 1 to 31 bits, got {x.shape}.")
    powers = 2 ** jnp.arange(x.shape[-1])[::-1]
    return jnp.sum(x.astype(powers.dtype) * jnp.expand_dims(powers, range(x.ndim - 1)), axis=-1)


def bernoulli_log_prob(x: jax.Array, logits: jax.Array) -> jax.Array:
    """Returns log p(x) = sum_i x_i l_i - log(1 + exp l_i) of one example, a scalar.

    For a bit, each term is -log(1 + exp((1 - 2 x_i) l_i)): nothing cancels where a logit is large.

    Args:
      x: bits, zeros and ones, (n,).
      logits: l, (n,).

    Raises:
      ValueError: the two are not vectors of one length.
    """
    x, logits = jnp.asarray(x), jnp.asarray(logits)
    if x.ndim != 1 or x.shape != logits.shape:
        raise ValueError(
            f"x and logits must both have shape (n,), got {x.shape} and {logits.shape}. For many examples, "
            "jax.vmap(bernoulli_log_prob)(x, logits), or in_axes=(0, None) where the logits serve them all."
        )
    return -jnp.sum(jax.nn.softplus((1 - 2 * x) * logits))


def checked(name: str, x: jax.Array, n: int | None = None) -> jax.Array:
    """Returns a data set of bits (examples, n) as floating-point numbers, of its own type if it is one of these.

    n: how many bits there must be in each, if it is known.

    Raises:
      ValueError: it is no such table, is empty, or holds anything but 0 and 1; the message calls it `name`.
    """
    found = jnp.asarray(arguments.array(name, x))
    if found.ndim != 2 or not found.size or found.shape[1] != (n or found.shape[1]):
        raise ValueError(
            f"{name} must be (examples, {n or 'n'}), a row of bits for each example, got shape {found.shape}."
        )
    if not arguments.is_traced(found) and not np.all(np.isin(found, (0, 1))):
        raise ValueError(
            f"{name} must hold bits, 0 and 1 only, got {arguments.shown(x)}. `bits.binarise` sets a threshold."
        )
    return found.astype(jnp.result_type(float, found))


def binarise(images: np.ndarray, threshold: float = 0.0) -> np.ndarray:
    """Returns images (n, ...) as bits (n, pixels), float32: 1 where a pixel is `threshold` or more."""
    images = np.asarray(images)
    if images.ndim < 2:
        raise ValueError(f"images must have shape (n, ...), got {images.shape}. Give a single one as image[None].")
    return np.float32(images.reshape(len(images), -1) >= threshold)


def image_shape(shape: Sequence[int] | None, n: int) -> tuple[int, int]:
    """Returns (height, width) of images of n pixels: as given, or for None a square.

    Raises:
      ValueError: the two don't make n pixels.
    """
    found = (math.isqrt(n),) * 2 if shape is None else tuple(shape)
    if len(found) != 2 or math.prod(found) != n:
        raise ValueError(f"shape must be (height, width) with {n} pixels in all, got {shape}.")
    return found


def split(x: np.ndarray, sizes: Sequence[int]) -> Split:
    """Returns three consecutive parts of x (n, ...).

    sizes: of the parts to train on, to validate and to test with; together at most n.

    Raises:
      ValueError: there are not three sizes, or x has fewer examples.
      TypeError: a size is no whole number.
    """
    sizes = [arguments.whole("sizes", size, least=0, of="examples") for size in sizes]
    if len(sizes) != 3 or sum(sizes) > len(x):
        raise ValueError(f"sizes must be three numbers with a sum of at most {len(x):,} examples, got {sizes}.")
    train, valid, test = np.cumsum(sizes)
    return Split(x[:train], x[train:valid], x[valid:test])


def bars_and_stripes(side: int) -> np.ndarray:
    """Returns the 2^(side + 1) - 2 patterns of side x side pixels whose columns, or whose rows, are all one colour.

    Black and white are both at once, and appear once. A uniform distribution over them has log p = -log of their
    number, the best that a model can do (MacKay, Information Theory, Inference, and Learning Algorithms, section 43).

    Returns:
      float32 (2^(side + 1) - 2, side * side).
    """
    arguments.whole("side", side, most=12, of="pixels")
    rows = np.float32((np.arange(2**side)[:, None] >> np.arange(side)[::-1]) & 1)
    bars, stripes = np.tile(rows, (1, side)), np.repeat(rows, side, axis=1)
    return np.concatenate([bars, stripes[1:-1]])


def load_digits() -> Split:
    """Loads scikit-learn's handwritten digits as 64 bits, 1 where a pixel of 8 x 8 has 8 of 16 or more.

    1,200, 297 and 300, in an order drawn once for all: in the file, whoever wrote a digit wrote those beside it too.
    Raises ModuleNotFoundError without scikit-learn.
    """
    return split(_mixed(binarise(datasets.load_digits(size=8))), (1200, 297, 300))


def load_clothes() -> Split:
    """Loads Fashion-MNIST's 10,000 clothes as 196 bits: means of 2 x 2 pixels, 1 where half of white or more.

    7,000, 1,000 and 2,000, in an order drawn once for all. See `datasets.load_fashion_mnist`.
    """
    return split(_mixed(binarise(_clothes_levels(), 127.5)), (7000, 1000, 2000))


def load_grey_clothes() -> Split:
    """Loads the same clothes in the same order as 196 grey values each, the means in [-1, 1], float32."""
    grey = np.float32(_clothes_levels() / 127.5 - 1)
    return split(_mixed(grey.reshape(len(grey), -1)), (7000, 1000, 2000))


def _clothes_levels():
    """Means of 2 x 2 pixels, (10,000, 14, 14), from 0 to 255."""
    images = datasets.load_fashion_mnist()[:, 2:30, 2:30, 0]  # without the border that it adds
    levels = np.rint(127.5 * (images + 1))  # 0 to 255 again, where means are exact
    return levels.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))


def _mixed(x: np.ndarray):
    """The examples in a random order, always the same one."""
    return x[np.random.default_rng(0).permutation(len(x))]

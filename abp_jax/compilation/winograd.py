"""The transposed convolution with 49 multiplications for 100, by Winograd: for many calls with the same kernel.

Along one axis, a kernel k of length 5 with stride 2 paints from the pixels d0 to d3 the four that lie between them:

    y0 = k1 d0 + k3 d1,   y2 = k1 d1 + k3 d2,   y1 = k0 d0 + k2 d1 + k4 d2,   y3 = k0 d1 + k2 d2 + k4 d3.

These are ten products. Seven will do, each of a sum of pixels with a sum of the kernel's numbers:

    m0 = (d0 - d1) k1,  m1 = d1 (k1 + k3),  m2 = (d1 - d2) k3,             y0 = m0 + m1,       y2 = m1 - m2,
    m3 = (d0 - d2) k0,  m4 = (d1 + d2) (k0 + k2 + k4) / 2,
    m5 = (d2 - d1) (k0 - k2 + k4) / 2,  m6 = (d1 - d3) k4,                 y1 = m3 + m4 + m5,  y3 = m4 - m5 - m6.

Along both axes it is 7 x 7 for 10 x 10. With many channels each product is one of matrices, and the sums are cheap.
Those of the kernel are not, so they are made once for all steps of the chains of an iteration: `prepare`. The result is
the same to rounding, of which there is about twice as much. Winograd, Arithmetic Complexity of Computations (SIAM
1980); for neural networks Lavin and Gray (CVPR 2016).
"""

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from abp_jax.compilation.transposes import linear_map

PIXELS = [[1, -1, 0, 0], [0, 1, 0, 0], [0, 1, -1, 0], [1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]
HALVES = [[0.5, 0, 0.5, 0, 0.5], [0.5, 0, -0.5, 0, 0.5]]
KERNEL = [[0, 1, 0, 0, 0], [0, 1, 0, 1, 0], [0, 0, 0, 1, 0], [1, 0, 0, 0, 0], *HALVES, [0, 0, 0, 0, 1]]
SUMS = [[1, 1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1, 0], [0, 1, -1, 0, 0, 0, 0], [0, 0, 0, 0, 1, -1, -1]]
MIN_CHANNELS = 40  # in * out / (in + out): with fewer, the sums of pixels cost more than the products saved
MIN_EXAMPLES, MIN_STEPS = 8, 10  # in an iteration: with fewer, the sums of the kernel do
known = ContextVar("known", default=None)  # inside of a prepared f: finds the sums of a kernel, or None


def prepare(generate: Callable, params: dict, z: jax.Array, num_steps: int) -> Callable:
    """Returns z -> generate(params, z), to rounding, for the chains of an iteration from z (n, d).

    Where it pays, kernels of `TransposedConv` have their sums made here and now, not in each step: those that are W
    itself. A layer that is called with any other kernel, for instance a multiple of W, works as it always does.
    """
    f = partial(generate, params)
    if len(z) < MIN_EXAMPLES or num_steps < MIN_STEPS:
        return f
    kernels = []
    jax.eval_shape(partial(_with_known, kernels.append, f), jax.ShapeDtypeStruct(z.shape[1:], z.dtype))
    made = [(w, winograd_kernel(w)) for w in jax.tree.leaves(params) if any(w is kernel for kernel in kernels)]
    find = lambda kernel: next((sums for w, sums in made if w is kernel), None)
    return partial(_with_known, find, f) if made else f


def _with_known(find: Callable, f: Callable, z: jax.Array):
    token = known.set(find)
    try:
        return f(z)
    finally:
        known.reset(token)


def sums_of(kernel: jax.Array, stride: int, x: jax.Array) -> jax.Array | None:
    """Returns the sums that `prepare` has made of this very kernel, for products with x; None if it has not."""
    if known.get() is None or not pays(kernel, stride, x) or (sums := known.get()(kernel)) is None:
        return None
    return sums.astype(x.dtype)


def pays(kernel: jax.Array, stride: int, x: jax.Array) -> bool:
    """Whether the form exists for kernel (in, k, k, out) and x, is fast here, and exact enough: not in 16 bits."""
    features, *size, out = kernel.shape
    exists = size == [5, 5] and stride == 2 and x.shape[0] % 2 == x.shape[1] % 2 == 0
    fast = jax.default_backend() == "cpu" and features * out >= MIN_CHANNELS * (features + out)
    return exists and fast and jnp.finfo(x.dtype).bits >= 32


def winograd_kernel(kernel: jax.Array) -> jax.Array:
    """Returns the sums of a kernel (in, 5, 5, out) that `winograd` multiplies by: (49, in, out)."""
    features, *_, out = kernel.shape
    return jnp.einsum("pk,cko->pco", _both(KERNEL, kernel.dtype), kernel.reshape(features, 25, out))


@jax.jit
def winograd(x: jax.Array, sums: jax.Array) -> jax.Array:
    """The transposed convolution with stride 2 by a kernel's sums, to rounding. Its reverse derivatives in x are alike.

    x: (height, width, in), both sides even, else it raises TypeError; sums: (49, in, out), of `winograd_kernel`.
    Returns (2 height, 2 width, out).
    """
    x, sums = (a.astype(jnp.result_type(x, sums)) for a in (x, sums))
    return linear_map(partial(_forward, sums=sums), partial(_backward, sums=sums), x, sums)


def _forward(x: jax.Array, sums: jax.Array):
    height, width, _ = x.shape
    products = jnp.einsum("ptc,pco->pto", _combine(PIXELS, _tiles(x)), sums)
    painted = _combine(SUMS, products).reshape(4, 4, height // 2, width // 2, -1)
    return painted.transpose(2, 0, 3, 1, 4).reshape(2 * height, 2 * width, -1)


def _backward(y: jax.Array, sums: jax.Array):
    """The transpose of `_forward`, step by step: (2 height, 2 width, out) to (height, width, in)."""
    height, width, out = y.shape
    painted = y.reshape(height // 4, 4, width // 4, 4, out).transpose(1, 3, 0, 2, 4).reshape(16, -1, out)
    products = jnp.einsum("pto,pco->ptc", _combine(np.transpose(SUMS), painted), sums)
    return _from_tiles(_combine(np.transpose(PIXELS), products), height // 2, width // 2)


def _tiles(x: jax.Array):
    """Tiles of 4 x 4 pixels, two apart: (height, width, in), with a border of zeros, to (16, tiles, in)."""
    height, width, features = x.shape
    x = jnp.pad(x, ((1, 1), (1, 1), (0, 0))).reshape(height // 2 + 1, 2, width // 2 + 1, 2, features)
    x = jnp.concatenate([x[:-1], x[1:]], axis=1)
    x = jnp.concatenate([x[:, :, :-1], x[:, :, 1:]], axis=3)
    return x.transpose(1, 3, 0, 2, 4).reshape(16, -1, features)


def _from_tiles(tiles: jax.Array, height: int, width: int):
    """The transpose of `_tiles`: sums where they overlap."""

    def overlap(tiles, axis):  # of the pixel in a tile; the tile's own is axis + 2
        pads = lambda first: [(first, 1 - first, 0) if a == axis + 2 else (0, 0, 0) for a in range(5)]
        zero, halves = jnp.zeros((), tiles.dtype), jnp.split(tiles, 2, axis=axis)
        return sum(lax.pad(half, zero, pads(first)) for first, half in enumerate(halves))

    tiles = tiles.reshape(4, 4, height // 2, width // 2, -1)
    x = overlap(overlap(tiles, 0), 1).transpose(2, 0, 3, 1, 4)
    return x.reshape(height + 2, width + 2, -1)[1:-1, 1:-1]


def _combine(matrix: list | np.ndarray, parts: jax.Array):
    """Sums along both axes: parts (columns^2, tiles, channels) to (rows^2, tiles, channels)."""
    return jnp.einsum("pk,ktc->ptc", _both(matrix, parts.dtype), parts)


def _both(matrix: list | np.ndarray, dtype: jnp.dtype):
    """A matrix for one axis of an image as one for both, its Kronecker product with itself."""
    return np.kron(matrix, matrix).astype(dtype)

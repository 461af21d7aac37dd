"""The transposed convolution as a function, in the form that is fast where it runs: see `layers.TransposedConv`."""

from functools import partial
from itertools import groupby

import jax
import jax.numpy as jnp
from jax import lax

from abp_jax.compilation.transposes import linear_map


@partial(jax.jit, static_argnames="stride")
def transposed_convolution(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Doubles (for stride 2) an image and filters it; equals `lax.conv_transpose(..., padding="SAME")`.

    Every input pixel paints a patch of k x k output pixels: its channels times the kernel, laid down `stride` apart
    from its neighbour's patch. So there are two steps: all patches by one matrix product, then sums where they overlap.

    Why not call the library's? On a GPU we do: it has good kernels for this map. On a CPU it fills the gaps between the
    input pixels with zeros and convolves, slowly, and three of four multiplications meet a zero. A matrix product is
    what a CPU does best, and its derivatives are matrix products again, inside a loop too. Where an image is large and
    its channels few, the way back from y to x is the library's: a plain convolution with a stride, no zeros in it.
    Where many calls have the same kernel, half of the products can be saved: see `winograd`.

    x: (height, width, in); kernel: (in, k, k, out), which a product can read as a matrix (in, k * k * out) without
    copying it; stride: pixels between patches. Returns (stride * height, stride * width, out).
    """
    if jax.default_backend() != "cpu":
        return library_call(x, kernel, stride)
    height, width, features = x.shape
    form = patches_and_sums if height * width < features else patches_and_convolution
    return form(x, kernel, stride)


@partial(jax.jit, static_argnames="stride")
def patches_and_sums(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """The transposed convolution as one matrix product and shifted sums. Arguments and result as above."""
    height, width, features = x.shape
    k, out = kernel.shape[1], kernel.shape[-1]
    patches = (x.reshape(-1, features) @ kernel.reshape(features, -1)).reshape(height, width, k, k, out)
    return linear_map(partial(_lay_down, stride=stride), partial(_cut_out, k=k, stride=stride), patches)


@partial(jax.jit, static_argnames="stride")
def _lay_down(patches: jax.Array, stride: int):
    """Sums of patches (height, width, k, k, out) laid down `stride` apart: (stride * height, stride * width, out)."""
    height, width, k, _, out = patches.shape
    patches = lax.split(patches.reshape(height, width, k * k * out), (out,) * (k * k), axis=2)  # [k * i + j]
    zero, taps = jnp.zeros((), patches[0].dtype), [_taps(k, stride, phase) for phase in range(stride)]

    def pixels(row_phase, column_phase):  # at one of the stride x stride positions between the input pixels
        here = [(k * i + j, di, dj) for i, di in taps[row_phase] for j, dj in taps[column_phase]]
        parts = [lax.pad(patches[p], zero, ((-di, di, 0), (-dj, dj, 0), (0, 0, 0))) for p, di, dj in here]
        return sum(parts) if parts else jnp.full((height, width, out), zero)

    rows = [jnp.stack([pixels(a, b) for b in range(stride)], axis=2) for a in range(stride)]
    return jnp.stack(rows, axis=1).reshape(stride * height, stride * width, out)


@partial(jax.jit, static_argnames=("k", "stride"))
def _cut_out(y: jax.Array, k: int, stride: int):
    """The transpose of `_lay_down`: (height, width, k, k, out), in a few large pieces, which are quick to compile."""
    height, width, out = y.shape[0] // stride, y.shape[1] // stride, y.shape[2]
    rows = [i - _pad(k, stride) + stride - 1 for i in range(k)]  # of a patch, which lies upside down on the image
    before, after = max(rows[-1] // stride, 0), max(-(rows[0] // stride), 0)
    blocks = y.reshape(height, stride, width, stride, out)[:, ::-1, :, ::-1].transpose(0, 2, 1, 3, 4)
    blocks = jnp.pad(blocks, [(before, after)] * 2 + [(0, 0)] * 3)

    def pieces(blocks, axis, length):
        parts = []
        for shift, own in groupby(rows, lambda row: row // stride):  # blocks up from the pixel's own
            begin, (first, *more) = before - shift, (row % stride for row in own)
            part = lax.slice_in_dim(blocks, begin, begin + length, axis=axis)
            parts.append(lax.slice_in_dim(part, first, first + len(more) + 1, axis=axis + 2))
        return jnp.concatenate(parts, axis=axis + 2)

    return pieces(pieces(blocks, 0, height), 1, width)


def patches_and_convolution(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """`patches_and_sums`, but reverse derivatives in x by `strided_convolution`. Arguments and result as above."""
    x, kernel = (a.astype(jnp.result_type(x, kernel)) for a in (x, kernel))
    forward = partial(patches_and_sums, kernel=kernel, stride=stride)
    return linear_map(forward, partial(strided_convolution, kernel=kernel, stride=stride), x, kernel)


def strided_convolution(y: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """The transpose of the transposed convolution: (stride * height, stride * width, out) to (height, width, in)."""
    k = kernel.shape[1]
    padding = (k - 1 - _pad(k, stride), 1 - stride + _pad(k, stride))
    reversed_kernel = lax.rev(kernel, (1, 2)).transpose(1, 2, 3, 0)
    layout = dict(dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return lax.conv_general_dilated(y[None], reversed_kernel, (stride,) * 2, (padding,) * 2, **layout)[0]


def library_call(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """The transposed convolution as `lax.conv_transpose`. Arguments and result as above."""
    x, kernel = (a.astype(jnp.result_type(x, kernel)) for a in (x, kernel))
    return lax.conv_transpose(x[None], kernel.transpose(1, 2, 0, 3), (stride, stride), "SAME")[0]


def _taps(k: int, stride: int, phase: int):
    """Which rows i of the patches fall on output rows stride * r + phase, and from which input row r + di."""
    first = (_pad(k, stride) - phase) % stride
    return [(i, (phase + i - _pad(k, stride)) // stride) for i in range(first, k, stride)]


def _pad(k: int, stride: int):
    """How many zeros "SAME" puts before an image whose pixels it has moved apart."""
    return k - 1 if stride > k - 1 else -(-(k + stride - 2) // 2)

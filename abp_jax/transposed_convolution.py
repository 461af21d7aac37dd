"""The transposed convolution, exactly, in the form that a CPU likes."""

import jax
import jax.numpy as jnp
from jax import lax


def transposed_convolution(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Doubles (for stride 2) an image and filters it; equals `lax.conv_transpose(..., padding="SAME")`.

    x: (height, width, in); kernel: (k, k, in, out). Returns (stride * height, stride * width, out).

    A transposed convolution spreads the input pixels `stride` apart, fills the gaps with zeros and convolves. Most of
    the multiplications then meet a zero. But output pixels fall into stride x stride groups by their position between
    the input pixels, and each group sees always the same taps of the kernel: so the map is stride^2 small ordinary
    convolutions without zeros, whose outputs are interleaved.
    """
    height, width, _ = x.shape
    k, out = kernel.shape[0], kernel.shape[-1]
    taps = [phase_taps(k, stride, a) for a in range(stride)]
    phases = [[_phase(x, kernel, stride, taps[a], taps[b]) for b in range(stride)] for a in range(stride)]
    y = jnp.stack([jnp.stack(row, axis=2) for row in phases], axis=1)  # (height, a, width, b, out)
    return y.reshape(stride * height, stride * width, out)


def phase_taps(k: int, stride: int, phase: int) -> tuple[int, int, int]:
    pad = k - 1 if stride > k - 1 else -(-(k + stride - 2) // 2)
    first_tap = (pad - phase) % stride
    count = max(0, -(-(k - first_tap) // stride))
    shift = (phase + first_tap - pad) // stride
    return first_tap, count, shift


def _phase(x, kernel, stride, rows, columns):
    (r, nr, sr), (c, nc, sc) = rows, columns
    if nr == 0 or nc == 0:
        return jnp.zeros((*x.shape[:2], kernel.shape[-1]), x.dtype)
    w = kernel[r::stride, c::stride]
    pads = ((-sr, nr - 1 + sr), (-sc, nc - 1 + sc))
    return lax.conv_general_dilated(x[None], w, (1, 1), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))[0]

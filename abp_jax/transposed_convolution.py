"""The transposed convolution, exact, in the form that is fast where it runs."""

import jax
import jax.numpy as jnp
from jax import lax


def transposed_convolution(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Doubles (for stride 2) an image and filters it; equals `lax.conv_transpose(..., padding="SAME")`.

    Every input pixel paints a patch of k x k output pixels: its channels times the kernel, laid down `stride` apart
    from its neighbour's patch. So there are two steps: all patches by one matrix product, then sums where they overlap.

    Why not call the library's? On a GPU we do: it has good kernels for this map. On a CPU it fills the gaps between the
    input pixels with zeros and convolves, slowly, and three of four multiplications meet a zero. A matrix product is
    what a CPU does best, and its derivatives are matrix products again, inside a loop too. All that is chosen by
    backend is chosen in this function. `make bench` measures the two forms against each other.

    Args:
      x: (height, width, in).
      kernel: (in, k, k, out), which a product can read as a matrix (in, k * k * out) without copying it.
      stride: pixels between patches.

    Returns:
      (stride * height, stride * width, out).
    """
    form = patches_and_sums if jax.default_backend() == "cpu" else library_call
    return form(x, kernel, stride)


def patches_and_sums(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """The transposed convolution as one matrix product and shifted sums. Arguments and result as above."""
    height, width, features = x.shape
    k, out = kernel.shape[1], kernel.shape[-1]
    patches = (x.reshape(-1, features) @ kernel.reshape(features, -1)).reshape(height, width, k * k * out)
    patches = lax.split(patches, (out,) * (k * k), axis=2)  # [k * i + j]: row i, column j of the patches
    taps = [_taps(k, stride, phase) for phase in range(stride)]

    def pixels(row_phase, column_phase):
        """The output pixels at one of the stride x stride positions between the input pixels."""
        parts = [_shift(patches[k * i + j], di, dj) for i, di in taps[row_phase] for j, dj in taps[column_phase]]
        return sum(parts) if parts else jnp.zeros((height, width, out), x.dtype)

    rows = [jnp.stack([pixels(a, b) for b in range(stride)], axis=2) for a in range(stride)]
    return jnp.stack(rows, axis=1).reshape(stride * height, stride * width, out)


def library_call(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """The transposed convolution as `lax.conv_transpose`. Arguments and result as above."""
    return lax.conv_transpose(x[None], kernel.transpose(1, 2, 0, 3), (stride, stride), "SAME")[0]


def _taps(k, stride, phase):
    """Which rows i of the patches fall on output rows stride * r + phase, and from which input row r + di."""
    pad = k - 1 if stride > k - 1 else -(-(k + stride - 2) // 2)
    return [(i, (phase + i - pad) // stride) for i in range((pad - phase) % stride, k, stride)]


def _shift(x, di, dj):
    """x[r + di, c + dj] at every (r, c), zero outside."""
    return lax.pad(x, jnp.zeros((), x.dtype), ((-di, di, 0), (-dj, dj, 0), (0, 0, 0)))

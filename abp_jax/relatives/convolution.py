"""The strided convolution: a layer for encoders and critics, the mirror of `layers.TransposedConv`.

    y[a, b] = sum_ij x[s a + i - p, s b + j - p] @ kernel[i, j],      x is 0 outside of the image

with stride s and p zeros before the first row and column ("SAME": as many outputs as the stride goes into the image,
rounded up, and the odd zero, if there is one, behind). It is a correlation, as in every library for networks: the
kernel is not turned round.

In a loop (`lax.scan`) on a CPU the derivative of the library's convolution with a stride is far slower than the same
map as one matrix product, whose derivatives are matrix products again. So here all patches are laid side by side first.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from abp_jax.images import arguments


class Conv(nnx.Module):
    """A strided convolution with bias; `flax.nnx.Conv` with padding "SAME", its kernel (k, k, in, out) too.

    The weights start independent, normal, of variance 2 / (k k in_features) (He, Zhang, Ren and Sun, ICCV 2015).
    """

    def __init__(self, in_features: int, out_features: int, kernel_size: int = 5, stride: int = 2, *, rngs: nnx.Rngs):
        k, self.stride = arguments.whole("kernel_size", kernel_size), arguments.whole("stride", stride)
        shape = (
            k,
            k,
            arguments.whole("in_features", in_features),
            arguments.whole("out_features", out_features),
        )
        self.kernel = nnx.Param(math.sqrt(2 / (k * k * in_features)) * jax.random.normal(rngs.params(), shape))
        self.bias = nnx.Param(jnp.zeros(out_features))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (height, width, in_features) to (ceil(height / stride), ceil(width / stride), out_features)."""
        return strided_convolution(x, self.kernel[...], self.stride) + self.bias[...][None, None, :]


@partial(jax.jit, static_argnames="stride")
def strided_convolution(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Filters an image at every `stride`-th pixel; equals `lax.conv_general_dilated(..., padding="SAME")`.

    One matrix product of all patches, (height' width', k k in), by the kernel, (k k in, out).

    Args:
      x: one image (height, width, in); jax.vmap makes the batch.
      kernel: (k, k, in, out).
      stride: pixels from one patch to the next.

    Returns:
      (height', width', out), where height' = ceil(height / stride).

    Raises:
      ValueError: x is not one image with the kernel's channels, the kernel is not square, or the stride is below 1.
    """
    stride = arguments.whole("stride", stride)
    if kernel.ndim != 4 or kernel.shape[0] != kernel.shape[1]:
        raise ValueError(f"kernel must be square, (k, k, in, out), got {kernel.shape}.")
    k, _, features, out = kernel.shape
    if x.ndim != 3 or x.shape[2] != features:
        raise ValueError(f"x must be one image (height, width, {features}), got {x.shape}: jax.vmap makes the batch.")
    (height, above, below), (width, left, right) = (same_padding(size, k, stride) for size in x.shape[:2])
    x = jnp.pad(x, ((above, below), (left, right), (0, 0)))

    def seen(i, j):  # the pixel (i, j) of every patch
        end = (i + stride * (height - 1) + 1, j + stride * (width - 1) + 1, features)
        return lax.slice(x, (i, j, 0), end, (stride, stride, 1))

    patches = jnp.concatenate([seen(i, j) for i in range(k) for j in range(k)], axis=2)
    return (patches.reshape(height * width, -1) @ kernel.reshape(-1, out)).reshape(height, width, out)


def same_padding(size: int, k: int, stride: int) -> tuple[int, int, int]:
    """Returns how many outputs there are along a side of `size` pixels, and the zeros before and behind it ("SAME")."""
    outputs = -(-size // stride)
    zeros = max(stride * (outputs - 1) + k - size, 0)
    return outputs, zeros // 2, zeros - zeros // 2

"""The transposed convolution: a layer for generators, exact, in the form that is fast where it runs."""

import jax
import jax.numpy as jnp
from flax import nnx

from abp_jax.compilation.first_weights import smooth_kernel_and_bias
from abp_jax.compilation.transposed_convolution import library_call, patches_and_sums, transposed_convolution  # noqa: F401
from abp_jax.compilation.winograd import sums_of, winograd


class TransposedConv(nnx.Module):
    """A transposed convolution with bias; `flax.nnx.ConvTranspose` with padding "SAME", exact and fast on a CPU too.

    Its kernel is (in, k, k, out), where flax has (k, k, in, out): see `transposed_convolution`. It starts as a smooth
    interpolation (binomial weights over the pixels) with a random mixture of channels, of variance 1 / (2 in_features).
    Independent weights for every pixel of the kernel would start, and end, as speckle.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        kernel_size: int = 5,
        stride: int = 2,
        *,
        dtype: jnp.dtype = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.stride, self.dtype = stride, dtype
        begin = smooth_kernel_and_bias(rngs.params(), in_features, out_features, kernel_size, stride)
        self.kernel, self.bias = map(nnx.Param, begin)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (height, width, in_features) to (stride * height, stride * width, out_features)."""
        x, kernel, bias = (a.astype(self.dtype) for a in (x, self.kernel[...], self.bias[...]))
        sums = sums_of(self.kernel[...], self.stride, x)
        y = transposed_convolution(x, kernel, self.stride) if sums is None else winograd(x, sums)
        return y + bias[None, None, :]

"""What W begins with, each array drawn by one program that is compiled soon, and not by one for every operation."""

import math
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from abp_jax.compilation.compiler import quick_jit

lecun_normal = quick_jit(nnx.initializers.lecun_normal(), static_argnums=(1, 2))  # (key, shape, dtype), as flax has it
normal = quick_jit(nnx.initializers.normal(1.0), static_argnums=(1, 2))


@partial(quick_jit, static_argnums=(1, 2, 3, 4))
def smooth_kernel_and_bias(key: jax.Array, in_features: int, out_features: int, kernel_size: int, stride: int):
    """Returns the kernel (in, k, k, out) and the bias (out,) that `layers.TransposedConv` begins with."""
    mixture = math.sqrt(0.5 / in_features) * jax.random.normal(key, (in_features, out_features))
    order = kernel_size - 1
    binomial = jnp.array([math.comb(order, i) for i in range(kernel_size)]) * stride / 2**order
    return jnp.einsum("h,w,io->ihwo", binomial, binomial, mixture), jnp.zeros(out_features)

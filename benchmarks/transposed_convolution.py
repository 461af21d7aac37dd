"""The ConvNet generator with this project's transposed convolution against flax's, side by side: medians of ratios.

Prints, for the default width and the eleven images: a forward pass, and one iteration of `fit` (8 Gauss-Newton steps).
"""

import statistics
import time
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import nnx

import abp_jax as abp
from abp_jax import generators, learning


def with_flax(x, kernel, stride):
    return jax.lax.conv_transpose(x[None], kernel, (stride, stride), "SAME")[0]


def tasks(convolution):
    """The two compiled tasks, built with the given transposed convolution."""
    generators.transposed_convolution = convolution
    images = jnp.asarray(abp.load_lion_tiger())
    generate, params = generators.functional(abp.ConvGenerator(rngs=nnx.Rngs(0)))
    optimizer = optax.adam(2e-3, b1=0.5)
    state = learning.init(params, optimizer, len(images), 2, jax.random.key(0))
    settings = dict(sigma=0.3, sampler="gauss_newton", step_size=0.5, num_steps=8, whitening=True)
    iterate = jax.jit(partial(learning.iterate, generate=generate, optimizer=optimizer, **settings))
    forward = jax.jit(jax.vmap(generate, (None, 0)))
    compiled = [partial(forward, params, state.z), partial(iterate, state, images, jnp.arange(len(images)))]
    for task in compiled:
        jax.block_until_ready(task())
    return compiled


def seconds(task):
    start = time.perf_counter()
    jax.block_until_ready(task())
    return time.perf_counter() - start


if __name__ == "__main__":
    ours, flax = tasks(generators.transposed_convolution), tasks(with_flax)
    print(abp.describe_device())
    for name, a, b in zip(("forward pass", "one iteration of fit"), ours, flax, strict=True):
        pairs = [(seconds(a), seconds(b)) for _ in range(5)]
        ratio = statistics.median(y / x for x, y in pairs)
        ms = [1e3 * statistics.median(column) for column in zip(*pairs, strict=True)]
        print(f"{name:22s} ours {ms[0]:7.1f} ms, flax {ms[1]:7.1f} ms, median ratio {ratio:.1f}")

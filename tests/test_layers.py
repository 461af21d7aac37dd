from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from abp_jax.compilation.transposed_convolution import (
    _cut_out,
    _lay_down,
    library_call,
    patches_and_convolution,
    patches_and_sums,
)
from abp_jax.compilation.winograd import winograd, winograd_kernel
from abp_jax.generators import TransposedConv


@pytest.mark.parametrize("form", [patches_and_sums, patches_and_convolution, library_call])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_values_and_gradients_equal_flax(form, kernel_size, stride, key):
    """Against `flax.nnx.ConvTranspose` with padding SAME, on an image that is not square."""
    layer = nnx.ConvTranspose(3, 4, (kernel_size,) * 2, stride, padding="SAME", use_bias=False, rngs=nnx.Rngs(1))
    graphdef, state = nnx.split(layer)
    (kernel,), treedef = jax.tree.flatten(state)
    x, weights = jax.random.normal(key, (5, 6, 3)), jax.random.normal(key, (5 * stride, 6 * stride, 4))

    def flax(kernel, x):
        return nnx.merge(graphdef, jax.tree.unflatten(treedef, [kernel]))(x)

    def ours(kernel, x):
        return form(x, kernel.transpose(2, 0, 1, 3), stride)

    np.testing.assert_allclose(ours(kernel, x), flax(kernel, x), atol=2e-5)
    for argument in (0, 1):
        gradients = [
            jax.grad(lambda *a, f=f: jnp.vdot(weights, jnp.sin(f(*a))), argument)(kernel, x) for f in (ours, flax)
        ]
        np.testing.assert_allclose(*gradients, atol=2e-4)


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_what_is_cut_out_is_the_transpose_of_what_is_laid_down(kernel_size, stride, key):
    patches = jax.random.normal(key, (3, 4, kernel_size, kernel_size, 2))
    image, transpose = jax.vjp(partial(_lay_down, stride=stride), patches)
    there = jax.random.normal(key, image.shape)
    np.testing.assert_array_equal(_cut_out(there, k=kernel_size, stride=stride), transpose(there)[0])


def test_bias_is_added_to_each_channel(key):
    layer = TransposedConv(3, 4, rngs=nnx.Rngs(0))
    x = jax.random.normal(key, (5, 6, 3))
    before = layer(x)
    layer.bias = nnx.Param(jnp.arange(4.0))
    np.testing.assert_allclose(layer(x) - before, np.broadcast_to(np.arange(4.0), before.shape), atol=1e-5)


def by_winograd(x, kernel, stride):
    assert stride == 2
    return winograd(x, winograd_kernel(kernel))


@pytest.mark.parametrize("form", [patches_and_convolution, by_winograd])
def test_every_transformation_of_a_form_equals_the_library(form, key):
    """Forward tangents, second derivatives, batches of either argument and loops, with one argument or both moving."""
    x, kernel, y = (jax.random.normal(key, shape) for shape in ((4, 6, 2), (2, 5, 5, 3), (8, 12, 3)))
    batch = jax.random.normal(key, (3, 4, 6, 2))
    kernels = jax.random.normal(key, (3, 2, 5, 5, 3))

    def results(form):
        paint = lambda x, kernel: form(x, kernel, 2)
        loss = lambda x, kernel: jnp.vdot(y, jnp.sin(paint(x, kernel)))
        yield jax.jvp(paint, (x, kernel), (jnp.cos(x), jnp.cos(kernel)))
        yield jax.jvp(lambda x: paint(x, kernel), (x,), (jnp.cos(x),))
        yield jax.jvp(lambda kernel: paint(x, kernel), (kernel,), (jnp.cos(kernel),))
        yield jax.jvp(jax.grad(loss, (0, 1)), (x, kernel), (jnp.cos(x), jnp.cos(kernel)))
        yield jax.grad(lambda x: jnp.sum(jnp.square(jax.grad(loss)(x, kernel))))(x)
        yield jax.grad(lambda x: jnp.sum(jnp.sin(jax.jvp(loss, (x, kernel), (x, kernel))[1])))(x)
        yield jax.vmap(jax.grad(loss, (0, 1)), (0, None))(batch, kernel)
        yield jax.vmap(jax.grad(loss, (0, 1)), (None, 0))(x, kernels)
        yield jax.grad(lambda kernel: jnp.sum(jax.vmap(loss, (0, None))(batch, kernel)))(kernel)
        _, linear = jax.linearize(paint, x, kernel)
        yield jax.vmap(linear)(batch, kernels)
        yield jax.lax.scan(lambda x, _: (x - 0.1 * jax.grad(loss)(x, kernel), None), x, None, 3)[0]

    for ours, library in zip(results(form), results(library_call), strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), ours, library)

"""The strided convolution: equal to the library's, with its derivatives, and the mirror of the transposed one."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from abp_jax import layers
from abp_jax.relatives.convolution import Conv, same_padding, strided_convolution


@pytest.fixture
def double():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def library(x, kernel, stride):
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x[None], kernel, (stride,) * 2, "SAME", dimension_numbers=layout)[0]


# sides even and odd, with every stride; and the layer of the encoders
CASES = [(k, stride, (6, 7)) for k in (1, 2, 3, 4, 5) for stride in (1, 2, 3)] + [(4, 2, (8, 8)), (5, 2, (8, 8))]


@pytest.mark.parametrize(("k", "stride", "shape"), CASES)
def test_values_and_derivatives_equal_the_library(k, stride, shape, key):
    x_key, kernel_key, weight_key = jax.random.split(key, 3)
    x, kernel = jax.random.normal(x_key, (*shape, 3)), jax.random.normal(kernel_key, (k, k, 3, 4)) / (3 * k * k) ** 0.5
    weights = jax.random.normal(weight_key, (-(-shape[0] // stride), -(-shape[1] // stride), 4))

    def value_and_gradients(form):
        def loss(x, kernel):
            y = form(x, kernel, stride)
            return jnp.vdot(weights, y), y

        return jax.jit(jax.grad(loss, (0, 1), has_aux=True))(x, kernel)

    results = map(value_and_gradients, (strided_convolution, library))
    jax.tree.map(lambda ours, theirs: np.testing.assert_allclose(ours, theirs, atol=1e-5), *results)


def test_by_hand():
    """Four pixels in a row, k = 3, stride 2: one zero is needed, and it stands behind."""
    assert same_padding(4, 3, 2) == (2, 0, 1)
    x, kernel = jnp.zeros((1, 4, 1)).at[0, :, 0].set(jnp.array([1.0, 2, 3, 4])), jnp.zeros((3, 3, 1, 1))
    kernel = kernel.at[1, :, 0, 0].set(jnp.array([100.0, 10, 1]))
    np.testing.assert_array_equal(strided_convolution(x, kernel, 2)[0, :, 0], [123, 340])


def test_in_a_loop_and_in_a_batch(key):
    x, kernel = jax.random.normal(key, (3, 8, 8, 2)), jax.random.normal(key, (5, 5, 2, 2)) / 7
    batch = lambda form: jax.jit(jax.vmap(partial(form, kernel=kernel, stride=2)))
    np.testing.assert_allclose(batch(strided_convolution)(x), batch(library)(x), atol=1e-5)

    def descend(form):
        slope = jax.grad(lambda kernel: jnp.mean(jax.vmap(partial(form, kernel=kernel, stride=2))(x) ** 2))
        return lax.scan(lambda kernel, _: (kernel - 0.1 * slope(kernel), None), kernel, None, 3)[0]

    np.testing.assert_allclose(descend(strided_convolution), descend(library), atol=1e-5)


@pytest.mark.parametrize("k", [4, 5])
def test_it_is_the_transpose_of_the_transposed_convolution(k, key):
    """<T x, y> = <x, T' y>, with the kernel of the one turned round for the other."""
    x, y, kernel = (jax.random.normal(key, shape) for shape in ((4, 4, 3), (8, 8, 2), (3, k, k, 2)))
    turned = lax.rev(kernel, (1, 2)).transpose(1, 2, 3, 0)  # (k, k, out, in)
    painted = layers.transposed_convolution(x, kernel, 2)
    np.testing.assert_allclose(jnp.vdot(painted, y), jnp.vdot(x, strided_convolution(y, turned, 2)), rtol=1e-4)


def test_the_layer_equals_that_of_flax(key):
    ours, theirs = Conv(3, 4, 4, rngs=nnx.Rngs(0)), nnx.Conv(3, 4, (4, 4), 2, padding="SAME", rngs=nnx.Rngs(1))
    ours.bias = nnx.Param(jnp.arange(4.0))
    theirs.kernel, theirs.bias = nnx.Param(ours.kernel[...]), nnx.Param(ours.bias[...])
    x = jax.random.normal(key, (8, 6, 3))
    np.testing.assert_allclose(ours(x), theirs(x[None])[0], atol=1e-5)


def test_the_weights_start_so_that_a_relu_keeps_the_scale():
    kernel = Conv(32, 64, rngs=nnx.Rngs(0)).kernel[...]
    np.testing.assert_allclose(jnp.var(kernel), 2 / (25 * 32), rtol=0.05)


def test_in_64_bits(key, double):
    x, kernel = jax.random.normal(key, (5, 5, 2), jnp.float64), jax.random.normal(key, (3, 3, 2, 2), jnp.float64)
    y = strided_convolution(x, kernel, 2)
    assert y.dtype == jnp.float64
    np.testing.assert_allclose(y, library(x, kernel, 2), atol=1e-13)


def test_what_does_not_fit_is_named():
    x, kernel = jnp.zeros((8, 8, 3)), jnp.zeros((5, 5, 3, 4))
    with pytest.raises(ValueError, match=r"x must be one image \(height, width, 3\), got \(2, 8, 8, 3\)"):
        strided_convolution(jnp.zeros((2, 8, 8, 3)), kernel, 2)
    with pytest.raises(ValueError, match=r"got \(8, 8, 1\)"):
        strided_convolution(jnp.zeros((8, 8, 1)), kernel, 2)
    with pytest.raises(ValueError, match=r"square, \(k, k, in, out\), got \(5, 4, 3, 4\)"):
        strided_convolution(x, kernel[:, :4], 2)
    with pytest.raises(ValueError, match="stride must be positive, got 0"):
        strided_convolution(x, kernel, 0)
    with pytest.raises(ValueError, match="out_features must be positive"):
        Conv(3, 0, rngs=nnx.Rngs(0))

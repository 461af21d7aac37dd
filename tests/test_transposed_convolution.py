import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from abp_jax.generators import TransposedConv
from abp_jax.transposed_convolution import library_call, patches_and_sums


@pytest.mark.parametrize("form", [patches_and_sums, library_call])
@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
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


def test_bias_is_added_to_each_channel(key):
    layer = TransposedConv(3, 4, rngs=nnx.Rngs(0))
    x = jax.random.normal(key, (5, 6, 3))
    before = layer(x)
    layer.bias[...] = jnp.arange(4.0)
    np.testing.assert_allclose(layer(x) - before, np.broadcast_to(np.arange(4.0), before.shape), atol=1e-5)

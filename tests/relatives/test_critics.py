"""Critics: the network written out, one logit of one example, and what does not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from abp_jax.relatives.critics import ConvCritic, MLPCritic


def test_a_fully_connected_critic_by_hand(key):
    critic, y = MLPCritic(3, (4, 5), rngs=nnx.Rngs(0)), np.array([0.5, -1.0, 2.0], np.float32)
    h = y
    for layer in (critic.dense0, critic.dense1, critic.dense2):
        h = np.where(h > 0, h, 0.2 * h) if layer is not critic.dense0 else h
        h = h @ np.asarray(layer.kernel[...]) + np.asarray(layer.bias[...])
    a = critic(jnp.asarray(y))
    assert a.shape == ()
    np.testing.assert_allclose(a, h[0], rtol=1e-5)
    np.testing.assert_array_equal(a, critic(jnp.asarray(y).reshape(1, 3, 1)))


def test_a_convolutional_critic_equals_layers_of_flax(key):
    critic, y = ConvCritic(16, 3, 2, rngs=nnx.Rngs(0)), jax.random.normal(key, (16, 16, 2))
    h = y[None]
    for ours, features in ((critic.conv0, (2, 3)), (critic.conv1, (3, 6))):
        layer = nnx.Conv(*features, (5, 5), 2, padding="SAME", rngs=nnx.Rngs(1))
        layer.kernel, layer.bias = nnx.Param(ours.kernel[...]), nnx.Param(ours.bias[...])
        h = nnx.leaky_relu(layer(h), 0.2)
    assert h.shape == (1, 4, 4, 6)
    np.testing.assert_allclose(jax.jit(critic)(y), critic.last(h.ravel())[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("critic", ["mlp", "conv"])
def test_a_logit_is_of_one_example_alone(critic, key):
    critic = {"mlp": MLPCritic(64, rngs=nnx.Rngs(0)), "conv": ConvCritic(8, 2, 1, rngs=nnx.Rngs(0))}[critic]
    y = jax.random.normal(key, (4, 8, 8, 1))
    across = jax.jit(jax.jacobian(jax.vmap(critic)))(y).reshape(4, 4, -1)
    for i, j in np.ndindex(4, 4):
        assert bool(jnp.any(across[i, j] != 0)) == (i == j)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="y must be one example of 3 numbers, got \\(4, 3\\)"):
        MLPCritic(3, rngs=nnx.Rngs(0))(jnp.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"y must be one image \(8, 8, 1\), got \(4, 8, 8, 1\)"):
        ConvCritic(8, 2, 1, rngs=nnx.Rngs(0))(jnp.zeros((4, 8, 8, 1)))
    with pytest.raises(ValueError, match="at least one hidden layer"):
        MLPCritic(3, (), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="image_size must be 8, 16"):
        ConvCritic(20, 2, 1, rngs=nnx.Rngs(0))

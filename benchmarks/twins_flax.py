"""The exercise's network with flax's own layer, from the weights of a `ConvGenerator`."""

import jax
import jax.numpy as jnp
from flax import nnx

from abp_jax import ConvGenerator


class FlaxGenerator(nnx.Module):
    """What `ConvGenerator` computes, by `nnx.ConvTranspose`.

    Args:
      generator: whose weights it takes. Our kernels are (in, k, k, out), those of flax (k, k, in, out).
    """

    def __init__(self, generator: ConvGenerator):
        self.latent_dim, self.image_size = generator.latent_dim, generator.image_size
        self.features, self.num_layers = generator.features, generator.num_layers
        self.first = generator.first
        for i in range(self.num_layers):
            ours = getattr(generator, f"conv{i}")
            size = (ours.kernel.shape[0], ours.kernel.shape[-1], ours.kernel.shape[1:3])
            layer = nnx.ConvTranspose(*size, strides=(2, 2), padding="SAME", rngs=nnx.Rngs(0))
            layer.kernel = nnx.Param(ours.kernel[...].transpose(1, 2, 0, 3))
            layer.bias = nnx.Param(ours.bias[...])
            setattr(self, f"conv{i}", layer)

    def __call__(self, z: jax.Array) -> jax.Array:
        """Maps z of shape (d,) to an image of shape (image_size, image_size, channels)."""
        x = self.first(z).reshape(4, 4, self.features[0])
        for i in range(self.num_layers):
            x = getattr(self, f"conv{i}")(jax.nn.leaky_relu(x, 0.2))
        return jnp.tanh(x)

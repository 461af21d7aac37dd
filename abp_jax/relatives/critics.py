"""Critics a(y): one observation in, one logit out. Use `jax.vmap(critic)` for a batch.

    D(y) = sigmoid(a(y)) is the probability that y is real, and not the generator's.

A critic gives the logit a, since losses are written in it: log D = log_sigmoid(a), log (1 - D) = log_sigmoid(-a), which
neither overflow nor lose their slope. There are no batch statistics in a critic: a(y) depends on this y alone.
"""

import math
from collections.abc import Sequence

import jax
from flax import nnx
from jax.nn import leaky_relu

from abp_jax.images import arguments
from abp_jax.relatives.convolution import Conv


class MLPCritic(nnx.Module):
    """A fully connected critic with leaky ReLUs, from y of D numbers to a scalar.

    Args:
      data_dim: D. y may have any shape with D numbers.
      widths: the sizes of the hidden layers, at least one.
      rngs: `nnx.Rngs(seed)` for the initial weights.
    """

    def __init__(self, data_dim: int, widths: Sequence[int] = (64, 64), *, rngs: nnx.Rngs):
        if not widths:
            raise ValueError("MLPCritic needs at least one hidden layer, such as widths=(64, 64).")
        sizes = [arguments.whole("data_dim", data_dim), *(arguments.whole("widths", width) for width in widths), 1]
        self.data_dim, self.num_layers = data_dim, len(sizes) - 1
        for i in range(self.num_layers):
            setattr(self, f"dense{i}", nnx.Linear(sizes[i], sizes[i + 1], rngs=rngs))

    def __call__(self, y: jax.Array) -> jax.Array:
        """Maps y, D numbers, to the logit a(y), a scalar. Raises ValueError if y has not D numbers."""
        if y.size != self.data_dim:
            raise ValueError(f"y must be one example of {self.data_dim} numbers, got {y.shape}: jax.vmap does batches.")
        a = y.ravel()
        for i in range(self.num_layers):
            a = getattr(self, f"dense{i}")(leaky_relu(a, 0.2) if i else a)
        return a[0]


class ConvCritic(nnx.Module):
    """The mirror of `abp.ConvGenerator`: 5x5 stride-2 convolutions with leaky ReLUs down to 4x4, then linear.

    Args:
      image_size: side of the square image, 8, 16, 32, 64, 128, ...
      width: channels after the first layer; each layer after it has twice as many.
      channels: of the image, 3 for colour, 1 for grey.
      rngs: `nnx.Rngs(seed)` for the initial weights.
    """

    def __init__(self, image_size: int = 64, width: int = 32, channels: int = 3, *, rngs: nnx.Rngs):
        self.num_layers = round(math.log2(image_size / 4)) if image_size >= 8 else 0
        if self.num_layers < 1 or 4 * 2**self.num_layers != image_size:
            raise ValueError(f"image_size must be 8, 16, 32, 64, 128, ... (4 times a power of two), got {image_size}.")
        self.shape = (image_size, image_size, arguments.whole("channels", channels))
        features = [channels] + [arguments.whole("width", width) * 2**i for i in range(self.num_layers)]
        for i in range(self.num_layers):
            setattr(self, f"conv{i}", Conv(features[i], features[i + 1], rngs=rngs))
        self.last = nnx.Linear(16 * features[-1], 1, rngs=rngs)

    def __call__(self, y: jax.Array) -> jax.Array:
        """Maps one image to the logit a(y), a scalar. Raises ValueError if it is not of the critic's shape."""
        if y.shape != self.shape:
            raise ValueError(f"y must be one image {self.shape}, got {y.shape}: jax.vmap makes the batch.")
        for i in range(self.num_layers):
            y = leaky_relu(getattr(self, f"conv{i}")(y), 0.2)
        return self.last(y.ravel())[0]

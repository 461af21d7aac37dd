"""Batch normalisation, with its statistics in and out by hand, and a generator that has it.

    y = scale (x - mean) / sqrt(variance + epsilon) + bias          for each feature

While learning, mean and variance are those of the batch itself, over its examples and over the pixels: so each y
depends on every example of the batch. To use the network afterwards, on one example, they are constants: averages of
the batches' statistics that ran along while it learned.

Nothing here changes in a call: a function that is given statistics and returns statistics can be differentiated, put in
a loop, and be read.

Sources: Ioffe and Szegedy, Batch normalization, ICML 2015; in a generator: Radford, Metz and Chintala, Unsupervised
representation learning with deep convolutional generative adversarial networks (DCGAN), ICLR 2016.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn import relu

from abp_jax.images import arguments
from abp_jax.layers import TransposedConv

EPSILON = 1e-5


class Statistics(NamedTuple):
    """Of each feature. mean, variance: (features,)."""

    mean: jax.Array
    variance: jax.Array


def batch_statistics(x: jax.Array) -> Statistics:
    """Returns mean and variance over all axes of x (n, ..., features) but the last.

    The variance is the mean of (x - mean)^2, its divisor the number of values.

    Raises ValueError if there are fewer than two axes.
    """
    if x.ndim < 2:
        raise ValueError(f"x must be a batch (n, ..., features), got {x.shape}.")
    axes = tuple(range(x.ndim - 1))
    return Statistics(jnp.mean(x, axes), jnp.var(x, axes))


def normalise(
    x: jax.Array, mean: jax.Array, variance: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float = EPSILON
) -> jax.Array:
    """Returns scale (x - mean) / sqrt(variance + epsilon) + bias; x (..., features), one example or a batch.

    mean, variance, scale, bias: (features,).
    """
    mean, variance, scale, bias = (jnp.expand_dims(a, range(x.ndim - 1)) for a in (mean, variance, scale, bias))
    return scale * (x - mean) * jax.lax.rsqrt(variance + epsilon) + bias


def running(old: list[Statistics], new: list[Statistics], momentum: float = 0.9) -> list[Statistics]:
    """Returns momentum old + (1 - momentum) new, for each statistic: an average that forgets by `momentum` a batch."""
    return jax.tree.map(lambda old, new: momentum * old + (1 - momentum) * new, old, new)


class BatchNormGenerator(nnx.Module):
    """The network of `abp.ConvGenerator`, with batch normalisation and a ReLU before each transposed convolution.

    A call is with the running statistics, and for one z, as of any generator of the course. `batch` is for learning.
    There is none after the last layer: the images must be free to be brighter or darker than one another.

    Args: as of `abp.ConvGenerator`.
    """

    def __init__(
        self, latent_dim: int = 2, image_size: int = 64, width: int = 32, channels: int = 3, *, rngs: nnx.Rngs
    ):
        self.num_layers = round(math.log2(image_size / 4)) if image_size >= 8 else 0
        if self.num_layers < 1 or 4 * 2**self.num_layers != image_size:
            raise ValueError(f"image_size must be 8, 16, 32, 64, 128, ... (4 times a power of two), got {image_size}.")
        self.latent_dim, self.image_size = arguments.whole("latent_dim", latent_dim), image_size
        width, self.channels = arguments.whole("width", width), arguments.whole("channels", channels)
        features = [width * 2 ** (self.num_layers - 1 - i) for i in range(self.num_layers)] + [channels]
        self.features = tuple(features)
        self.first = nnx.Linear(latent_dim, 16 * features[0], bias_init=nnx.initializers.normal(1.0), rngs=rngs)
        for i in range(self.num_layers):
            setattr(self, f"scale{i}", nnx.Param(jnp.ones(features[i])))
            setattr(self, f"bias{i}", nnx.Param(jnp.zeros(features[i])))
            setattr(self, f"mean{i}", nnx.BatchStat(jnp.zeros(features[i])))
            setattr(self, f"variance{i}", nnx.BatchStat(jnp.ones(features[i])))
            setattr(self, f"conv{i}", TransposedConv(features[i], features[i + 1], rngs=rngs))

    def __call__(self, z: jax.Array) -> jax.Array:
        """Maps one z (d,) to an image (image_size, image_size, channels), with the running statistics."""
        return self._layers(z[None], self.statistics())[0][0]

    def batch(self, z: jax.Array) -> tuple[jax.Array, list[Statistics]]:
        """Maps z (n, d) to images (n, image_size, image_size, channels), with the batch's own statistics.

        Returns the images, and the statistics of each layer. The generator keeps its running ones.
        """
        return self._layers(z, [None] * self.num_layers)

    def statistics(self) -> list[Statistics]:
        """Returns the running statistics of each layer."""
        of = lambda name, i: getattr(self, f"{name}{i}")[...]
        return [Statistics(of("mean", i), of("variance", i)) for i in range(self.num_layers)]

    def with_statistics(self, statistics: list[Statistics]) -> nnx.Module:
        """Returns a new generator like this one with these running statistics."""
        new = nnx.clone(self)
        for i, (mean, variance) in enumerate(statistics):
            setattr(new, f"mean{i}", nnx.BatchStat(mean))
            setattr(new, f"variance{i}", nnx.BatchStat(variance))
        return new

    def _layers(self, z: jax.Array, statistics: list[Statistics | None]):
        """Images and statistics; where they are None, those of the batch."""
        x, used = self.first(z).reshape(-1, 4, 4, self.features[0]), []
        for i, given in enumerate(statistics):
            used.append(batch_statistics(x) if given is None else given)
            scale, bias = getattr(self, f"scale{i}")[...], getattr(self, f"bias{i}")[...]
            x = jax.vmap(getattr(self, f"conv{i}"))(relu(normalise(x, *used[i], scale, bias)))
        return jnp.tanh(x), used

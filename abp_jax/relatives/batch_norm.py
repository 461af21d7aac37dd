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

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn import leaky_relu

from abp_jax.generators import ConvGenerator, functional, with_params

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


class BatchNormGenerator(ConvGenerator):
    """An `abp.ConvGenerator` with batch normalisation before each of its leaky ReLUs; arguments as there.

    A call is with the running statistics, and for one z, as of any generator of the course. `batch` is for learning.
    There is none after the last layer: the images must be free to be brighter or darker than one another.
    """

    def __init__(
        self, latent_dim: int = 2, image_size: int = 64, width: int = 32, channels: int = 3, *, rngs: nnx.Rngs
    ):
        super().__init__(latent_dim, image_size, width, channels, rngs=rngs)
        for i, size in enumerate(self.features[:-1]):
            setattr(self, f"scale{i}", nnx.Param(jnp.ones(size)))
            setattr(self, f"bias{i}", nnx.Param(jnp.zeros(size)))
            setattr(self, f"mean{i}", nnx.BatchStat(jnp.zeros(size)))
            setattr(self, f"variance{i}", nnx.BatchStat(jnp.ones(size)))

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
            x = jax.vmap(getattr(self, f"conv{i}"))(leaky_relu(normalise(x, *used[i], scale, bias), 0.2))
        return jnp.tanh(x), used


def fold(generator: BatchNormGenerator) -> ConvGenerator:
    """Returns the `abp.ConvGenerator` that draws the same images: constant statistics are but weights.

    Normalised, W x + b is W' x + b' with W' = W scale / sd and b' = (b - mean) scale / sd + bias.
    """
    width, channels = generator.features[-2:]
    params = dict(functional(generator)[1])
    for i, (mean, variance) in enumerate(generator.statistics()):
        name, shift = "first" if i == 0 else f"conv{i - 1}", params.pop(f"bias{i}")
        factor = params.pop(f"scale{i}") * jax.lax.rsqrt(variance + EPSILON)
        kernel, bias = params[name]["kernel"], params[name]["bias"]
        mean, factor, shift = (jnp.tile(a, bias.size // a.size) for a in (mean, factor, shift))  # `first` has 4x4 of it
        kernel = kernel * jnp.expand_dims(factor, range(kernel.ndim - 1))
        params[name] = {"kernel": kernel, "bias": (bias - mean) * factor + shift}
    plain = ConvGenerator(generator.latent_dim, generator.image_size, width, channels, rngs=nnx.Rngs(0))
    return with_params(plain, params)

"""Generators f(z; W): one latent vector in, one observation out. Use `jax.vmap(generator)` for a batch.

Every generator begins with a linear layer called `first`. Whitening (see `learning.whiten`) absorbs an affine map of
z into it. None of them keeps batch statistics: those would couple the examples inside a chain.
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from abp_jax.compilation.first_weights import lecun_normal, normal
from abp_jax.compilation.programs import compiled
from abp_jax.images.arguments import whole
from abp_jax.layers import TransposedConv

BATCH = 256  # examples at a time where there may be thousands, to bound the memory


class LinearGenerator(nnx.Module):
    """The loading of factor analysis, f(z) = W z + b, from z (d,) to y (D,): d is latent_dim, D is data_dim.

    rngs: `nnx.Rngs(seed)` for the initial W; b starts at 0.
    """

    def __init__(self, latent_dim: int, data_dim: int, *, rngs: nnx.Rngs):
        self.latent_dim = whole("latent_dim", latent_dim)
        self.first = nnx.Linear(latent_dim, data_dim, rngs=rngs)

    def __call__(self, z: jax.Array) -> jax.Array:
        """Maps z of shape (d,) to y of shape (D,)."""
        return self.first(z)


class MLPGenerator(nnx.Module):
    """A fully connected generator with tanh hidden layers and a linear output, from z (d,) to y (D,).

    widths: the sizes of the hidden layers, at least one; the rest as in `LinearGenerator`.
    """

    def __init__(self, latent_dim: int, data_dim: int, widths: Sequence[int] = (64, 64), *, rngs: nnx.Rngs):
        if not widths:
            raise ValueError("MLPGenerator needs at least one hidden layer; for none, use LinearGenerator.")
        self.latent_dim = whole("latent_dim", latent_dim)
        self.first = nnx.Linear(latent_dim, widths[0], kernel_init=lecun_normal, bias_init=normal, rngs=rngs)
        self.num_layers = len(widths)
        for i, (a, b) in enumerate(zip(widths, [*widths[1:], data_dim], strict=True)):
            setattr(self, f"dense{i}", nnx.Linear(a, b, rngs=rngs))

    def __call__(self, z: jax.Array) -> jax.Array:
        """Maps z of shape (d,) to y of shape (D,)."""
        y = self.first(z)
        for i in range(self.num_layers):
            y = getattr(self, f"dense{i}")(jnp.tanh(y))
        return y


class ConvGenerator(nnx.Module):
    """A ConvNet from z to an image in [-1, 1]: linear to 4x4, then 5x5 stride-2 transposed convolutions, then tanh.

    The network of the exercise sheet is `width=64`: 4x4x512 - 256 - 128 - 64 - 3. The default is half as wide.

    Args:
      latent_dim: d, the length of z.
      image_size: side of the square image, 8, 16, 32, 64, 128, ...
      width: channels before the last layer; each layer below has twice as many.
      channels: 3 for colour, 1 for grey.
      dtype: of the computation between z and the image; W itself stays float32. `jnp.bfloat16` halves the memory
        traffic and uses the fast units of a GPU or TPU, at about three digits of precision.
      rngs: `nnx.Rngs(seed)` for the initial weights.
    """

    def __init__(
        self,
        latent_dim: int = 2,
        image_size: int = 64,
        width: int = 32,
        channels: int = 3,
        *,
        dtype: jnp.dtype = jnp.float32,
        rngs: nnx.Rngs,
    ):
        self.num_layers = round(math.log2(image_size / 4)) if image_size >= 8 else 0
        if self.num_layers < 1 or 4 * 2**self.num_layers != image_size:
            raise ValueError(f"image_size must be 8, 16, 32, 64, 128, ... (4 times a power of two), got {image_size}.")
        self.latent_dim, self.image_size, self.channels = whole("latent_dim", latent_dim), image_size, channels
        features = [width * 2 ** (self.num_layers - 1 - i) for i in range(self.num_layers)] + [channels]
        self.features = tuple(features)
        # Spread biases put the kinks of the first layer all over the plane, instead of all through z = 0.
        self.first = nnx.Linear(latent_dim, 16 * features[0], kernel_init=lecun_normal, bias_init=normal, rngs=rngs)
        for i in range(self.num_layers):
            setattr(self, f"conv{i}", TransposedConv(features[i], features[i + 1], dtype=dtype, rngs=rngs))

    def __call__(self, z: jax.Array) -> jax.Array:
        """Maps z of shape (d,) to an image of shape (image_size, image_size, channels)."""
        x = self.first(z).reshape(4, 4, self.features[0])
        for i in range(self.num_layers):
            x = getattr(self, f"conv{i}")(jax.nn.leaky_relu(x, 0.2))
        return jnp.tanh(x.astype(jnp.float32))


def functional(generator: nnx.Module) -> tuple[Callable, dict]:
    """Returns a generator as a pure function `generate`, (params, z) -> y for one z (d,), and its parameters W.

    W is what is an `nnx.Param`, as a nested dict of arrays. All else in the generator (constants, statistics, counters,
    keys) is as it is now, in every call. Calling `generate` never changes the generator.
    """
    graphdef, params, others = nnx.split(generator, nnx.Param, ...)
    merge = lambda values: nnx.merge(graphdef, _like(params, values), others)
    return (lambda values, z: merge(values)(z)), nnx.to_pure_dict(params)


def with_params(generator: nnx.Module, params: dict) -> nnx.Module:
    """Returns a new generator like the given one with parameters `params` (nested dict, as from `functional`)."""
    graphdef, old, others = nnx.split(generator, nnx.Param, ...)
    return nnx.merge(graphdef, _like(old, params), others)


def _like(state: nnx.State, values: dict):
    return jax.tree.unflatten(jax.tree.structure(state), jax.tree.leaves(values))


def reconstruct(generator: nnx.Module, z: jax.Array) -> jax.Array:
    """Returns f(z_i; W) for z of shape (n, d): images (n, height, width, channels), or (n, D) for vectors."""
    return _generate_batch(generator, z)


def latent_grid(generator: nnx.Module, low: float = -2.0, high: float = 2.0, num: int = 8) -> jax.Array:
    """Generates the panel: f at num x num evenly spaced points of the plane of z1 and z2, other coordinates 0.

    Row by row as one reads: z1 runs from low to high along a row, z2 from high (top row) to low, as on a plot. Returns
    (num * num, height, width, channels). Raises ValueError for fewer than two latent dimensions.
    """
    return reconstruct(generator, grid_points(low, high, num, generator.latent_dim))


def grid_points(low: float, high: float, num: int, latent_dim: int = 2) -> jax.Array:
    """Returns the z of `latent_grid`: (num * num, latent_dim)."""
    if latent_dim < 2:
        raise ValueError(f"a plane needs latent_dim of at least 2, got {latent_dim}.")
    axis = jnp.linspace(low, high, num)
    z1, z2 = jnp.meshgrid(axis, axis[::-1])
    return jnp.pad(jnp.stack([z1.ravel(), z2.ravel()], axis=1), ((0, 0), (0, latent_dim - 2)))


@compiled
def _generate_batch(f: Callable, z: jax.Array):
    return jax.lax.map(f, z, batch_size=BATCH)

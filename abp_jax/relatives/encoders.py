"""Encoders: networks that look at y once and answer with a normal distribution for z, a guess at p(z | y).

    q(z | y) = N(m, S S'),   z = m + S u with u ~ N(0, I_d)
    log q(z | y) = -|u|^2 / 2 - sum_i log S_ii - (d / 2) log 2 pi
    KL(q || N(0, I)) = (|m|^2 + |S|^2 - d) / 2 - sum_i log S_ii      with |S|^2 the sum of all squares of S

S is lower triangular with a positive diagonal: the Cholesky factor of the covariance. The last layer, `head`, gives
m, the logarithms of the S_ii, and in the family "full" the slopes T_ij = S_ij / S_jj below the diagonal as well. The
family "diagonal" has none: z_1, ..., z_d are independent under q, which is then a mean field. The covariance is S S',
not the square of each entry. Whitening ends in `head`, as in a generator it begins in `first`: see `absorb`. Sources:
Kingma and Welling, ICLR 2014; Rezende, Mohamed and Wierstra, ICML 2014.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from abp_jax import model
from abp_jax.compilation.precision import full_precision
from abp_jax.generators import functional, with_params
from abp_jax.images.arguments import whole
from abp_jax.relatives.convolution import Conv

FAMILIES = ("full", "diagonal")


class Gaussian(NamedTuple):
    """N(m, S S'). mean: m, (d,). factor: S, (d, d), lower triangular with a positive diagonal."""

    mean: jax.Array
    factor: jax.Array


@full_precision
def draw(q: Gaussian, u: jax.Array) -> jax.Array:
    """Returns z = m + S u, a draw from q if u (d,) is one from N(0, I): (d,)."""
    return q.mean + q.factor @ u


@full_precision
def covariance(q: Gaussian) -> jax.Array:
    """Returns S S', (d, d)."""
    return q.factor @ q.factor.T


@full_precision
def log_density(q: Gaussian, z: jax.Array) -> jax.Array:
    """Returns log q(z) for one z (d,), in nats: a scalar."""
    u = jax.scipy.linalg.solve_triangular(q.factor, z - q.mean, lower=True)
    return model.log_prior(u) - log_determinant(q)


def log_determinant(q: Gaussian) -> jax.Array:
    """Returns log |S| = sum_i log S_ii, half that of the covariance: a scalar."""
    return jnp.sum(jnp.log(jnp.diagonal(q.factor)))


def kl_to_prior(q: Gaussian) -> jax.Array:
    """Returns KL(q || N(0, I_d)) in nats, a scalar: 0 for the prior itself, else positive."""
    return 0.5 * (jnp.sum(q.mean**2) + jnp.sum(q.factor**2) - q.mean.size) - log_determinant(q)


class MLPEncoder(nnx.Module):
    """A fully connected encoder, from one y to q(z | y), with leaky rectifiers between its layers.

    Args:
      data_dim: D, how many numbers y has, such as the pixels of an image.
      latent_dim: d.
      widths: the sizes of the hidden layers; () for an encoder whose m is linear in y.
      family: "full" or "diagonal".
      rngs: `nnx.Rngs(seed)` for the initial weights.
    """

    def __init__(
        self,
        data_dim: int,
        latent_dim: int,
        widths: Sequence[int] = (256, 256),
        *,
        family: str = "full",
        rngs: nnx.Rngs,
    ):
        self.data_dim, self.latent_dim = whole("data_dim", data_dim), whole("latent_dim", latent_dim)
        self.family, sizes = family, [self.data_dim, *(whole("widths", width, of="units") for width in widths)]
        self.num_layers = len(sizes) - 1
        for i, (below, above) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
            setattr(self, f"dense{i}", nnx.Linear(below, above, rngs=rngs))
        self.head = nnx.Linear(sizes[-1], num_outputs(self.latent_dim, family), rngs=rngs)

    def __call__(self, y: jax.Array) -> Gaussian:
        """Maps one y of D numbers, of any shape, to q(z | y). Raises ValueError for another number of them."""
        if y.size != self.data_dim:
            raise ValueError(f"y must be one y of {self.data_dim} numbers, got {y.shape}: jax.vmap makes the batch.")
        y = y.ravel()
        for i in range(self.num_layers):
            y = jax.nn.leaky_relu(getattr(self, f"dense{i}")(y), 0.2)
        return from_outputs(self.head(y), self.latent_dim, self.family)


class ConvEncoder(nnx.Module):
    """The mirror of a `ConvGenerator`: 5x5 convolutions of stride 2 down to 4x4, and one linear layer to q(z | y).

    Args:
      latent_dim: d.
      image_size: side of the square image, 8, 16, 32, ...
      width: channels after the first layer; each layer above has twice as many.
      channels: 3 for colour, 1 for grey.
      family: "full" or "diagonal".
      rngs: `nnx.Rngs(seed)` for the initial weights.
    """

    def __init__(
        self,
        latent_dim: int = 2,
        image_size: int = 64,
        width: int = 32,
        channels: int = 3,
        *,
        family: str = "full",
        rngs: nnx.Rngs,
    ):
        self.num_layers = round(math.log2(image_size / 4)) if image_size >= 8 else 0
        if self.num_layers < 1 or 4 * 2**self.num_layers != image_size:
            raise ValueError(f"image_size must be 8, 16, 32, 64, 128, ... (4 times a power of two), got {image_size}.")
        self.latent_dim, self.family = whole("latent_dim", latent_dim), family
        features = [whole("channels", channels), *(whole("width", width) * 2**i for i in range(self.num_layers))]
        for i, (below, above) in enumerate(zip(features[:-1], features[1:], strict=True)):
            setattr(self, f"conv{i}", Conv(below, above, rngs=rngs))
        self.head = nnx.Linear(16 * features[-1], num_outputs(self.latent_dim, family), rngs=rngs)

    def __call__(self, y: jax.Array) -> Gaussian:
        """Maps one image of shape (image_size, image_size, channels) to q(z | y)."""
        for i in range(self.num_layers):
            y = jax.nn.leaky_relu(getattr(self, f"conv{i}")(y), 0.2)
        return from_outputs(self.head(y.ravel()), self.latent_dim, self.family)


def num_outputs(latent_dim: int, family: str) -> int:
    """Returns how many numbers describe a q: 2 d for "diagonal", d (d - 1) / 2 more for "full".

    Raises:
      ValueError: there is no such family.
    """
    if family not in FAMILIES:
        raise ValueError(f"family must be one of {', '.join(FAMILIES)}; got {family!r}.")
    return 2 * latent_dim + (family == "full") * (latent_dim * (latent_dim - 1) // 2)


def from_outputs(outputs: jax.Array, latent_dim: int, family: str) -> Gaussian:
    """Returns the q that the numbers of a head (num_outputs,) stand for: S = T diag(exp s), 1 on the diagonal of T."""
    m, s, T = _parts(outputs, latent_dim, family)
    return Gaussian(m, T * jnp.exp(s)[None, :])


def absorb(encoder: nnx.Module, mean: jax.Array, cholesky: jax.Array) -> nnx.Module:
    """Returns the encoder that guesses z~ where this one guesses z = c + L z~: its `head` absorbs the map.

        m~ = L^-1 (m - c),   S~ = L^-1 S

    mean: c, (d,). cholesky: L, (d, d), lower triangular; diagonal for an encoder of that family. Every number of the
    head moves by an affine map: s~ = s - log diag L, and T~ = L^-1 T diag L.
    """
    family, params = encoder.family, functional(encoder)[1]

    def moved(outputs):
        m, s, T = _parts(outputs, encoder.latent_dim, family)
        solve = lambda b: jax.scipy.linalg.solve_triangular(cholesky, b, lower=True)
        scale = jnp.diagonal(cholesky)
        T = solve(T * scale[None, :])
        return jnp.concatenate([solve(m - mean), s - jnp.log(scale), T[_below(encoder.latent_dim, family)]])

    kernel, bias = params["head"]["kernel"], params["head"]["bias"]
    kernel = jax.vmap(moved)(kernel) - moved(jnp.zeros_like(bias))[None, :]
    return with_params(encoder, {**params, "head": {"kernel": kernel, "bias": moved(bias)}})


def _parts(outputs: jax.Array, d: int, family: str):
    """m, (d,), s, (d,), and T, (d, d)."""
    T = jnp.eye(d, dtype=outputs.dtype).at[_below(d, family)].set(outputs[2 * d :])
    return outputs[:d], outputs[d : 2 * d], T


def _below(d: int, family: str):
    """Where T is learned: the rows and columns below the diagonal, or none."""
    return jnp.tril_indices(d, -1) if family == "full" else (jnp.zeros(0, int), jnp.zeros(0, int))

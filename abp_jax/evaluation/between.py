"""How good the images are where no training image is: between them, and in the corners of the panel.

The error says how near the training images are drawn, and nothing of the rest of the plane. What the eye objects to
there has three names: speckle, fringes of colour, and surfaces burnt out to black or white.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from abp_jax.generators import latent_grid, reconstruct
from abp_jax.images import arguments
from abp_jax.images.observation import observe_at_once

GREY = 1e-6  # share of the gradient energy in colours of images that are grey to rounding
SATURATED = 0.98  # a number of an image beyond this, of 1, is black or white


class Between(NamedTuple):
    """Images at z of the prior beside the training images. All numbers; a ratio is 1 where the two are alike.

    Attributes:
      sharpness: ratio of their `gradient_energy`: above 1 is speckle, far below 1 is blur.
      fringe: ratio of the share of it that is in the colours; nan where the training images are grey.
      distance: mean over the images of the mean squared distance to the nearest training image.
      burnt: share of numbers beyond `SATURATED` in the four corner images of the panel over (-2, 2).
      burnt_training: the same of the training images.
    """

    sharpness: float
    fringe: float
    distance: float
    burnt: float
    burnt_training: float


def between(generator: nnx.Module, images: jax.Array, key: jax.Array, num: int = 1000) -> Between:
    """Draws `num` images at z from N(0, I) and compares them, and the panel's corners, with the images learned.

    images: (n, height, width, channels), as `fit` takes them; latent_dim is at least 2.

    Raises TypeError, ValueError for anything else.
    """
    images = jnp.asarray(observe_at_once(generator, images)[0])
    if images.ndim != 4:
        raise ValueError(f"images must be (n, height, width, channels), got shape {images.shape}.")
    z = jax.random.normal(arguments.key(key), (num, generator.latent_dim))
    drawn = reconstruct(generator, z)
    energies, colours = ([jnp.mean(f(a)) for a in (drawn, images)] for f in (gradient_energy, colour_energy))
    coloured = images.shape[-1] == 3 and colours[1] > GREY * energies[1]
    fringe = (colours[0] / energies[0]) / (colours[1] / energies[1]) if coloured else jnp.nan
    corners = latent_grid(generator, num=2)
    burnt = (jnp.mean(jnp.abs(a) > SATURATED) for a in (corners, images))
    distance = jnp.mean(nearest_distance(drawn, images))
    return Between(*(float(x) for x in (energies[0] / energies[1], fringe, distance, *burnt)))


def gradient_energy(images: jax.Array) -> jax.Array:
    """Returns the mean squared difference between neighbours, across and down, of each image: (n,)."""
    across, down = (jnp.diff(images, axis=axis) ** 2 for axis in (1, 2))
    return jnp.mean(across, axis=(1, 2, 3)) + jnp.mean(down, axis=(1, 2, 3))


def colour_energy(images: jax.Array) -> jax.Array:
    """Returns the `gradient_energy` of what is left of each image without its grey one, the mean of the channels."""
    return gradient_energy(images - jnp.mean(images, axis=-1, keepdims=True))


def nearest_distance(images: jax.Array, others: jax.Array) -> jax.Array:
    """Returns the mean squared distance of each image to the nearest of the others: (n,)."""
    distances = jax.lax.map(lambda other: jnp.mean((images - other[None]) ** 2, axis=(1, 2, 3)), others)
    return jnp.min(distances, axis=0)

"""The plane that the latent explorer shows: its coordinates, and what lies on it."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from PIL import Image

from abp_jax import langevin
from abp_jax.generators import compiled, reconstruct
from abp_jax.images import arguments
from abp_jax.images.observation import observe_at_once
from abp_jax.plots import tile
from abp_jax.widgets.encoding import encoded, readable

CELLS = 16  # images along a side of the backdrop
MOST_THUMBNAILS, MOST_MARKERS = 60, 500  # beyond the first they are dots
NUM_JACOBIANS = 8  # at which the leading directions are measured


class Plane(NamedTuple):
    """Coordinates to look at z in: z = origin + p @ directions. The plane shows the first two of p.

    Attributes:
      origin: (d,).
      directions: orthonormal rows, (d, d).
      names: of the coordinates, d of them.
    """

    origin: np.ndarray
    directions: np.ndarray
    names: list[str]

    def to_z(self, points: np.ndarray) -> np.ndarray:
        """From (..., d), or the leading two coordinates (..., 2), to z (..., d)."""
        points = np.asarray(points, np.float64)
        return self.origin + points @ self.directions[: points.shape[-1]]

    def to_points(self, z: np.ndarray) -> np.ndarray:
        """From z (..., d) to (..., d)."""
        return (np.asarray(z, np.float64) - self.origin) @ self.directions.T


def plane_of(generator: nnx.Module, z: np.ndarray) -> Plane:
    """Returns z itself for one or two dimensions; for more, the leading directions of the inferred z (n, d).

    These are the directions in z along which the images vary most: to first order the principal components of J C J',
    with C the covariance of z and J = df/dz, mapped back to z and made orthonormal. (The principal components of z
    itself are useless: whitening makes C = I.) With fewer than two z the coordinates are those of z.
    """
    d = generator.latent_dim
    if d <= 2 or len(z) < 2:
        return Plane(np.zeros(d), np.eye(d), [f"z{i + 1}" for i in range(d)])
    some = z[np.linspace(0, len(z) - 1, min(len(z), NUM_JACOBIANS)).astype(int)]
    change = np.mean([_metric(generator, jnp.asarray(one, jnp.float32)) for one in some], axis=0, dtype=np.float64)
    variances, axes = np.linalg.eigh(np.atleast_2d(np.cov(z.T, dtype=np.float64)))
    root = axes * np.sqrt(np.maximum(variances, 0)) @ axes.T
    _, vectors = np.linalg.eigh(root @ change @ root)
    directions, _ = np.linalg.qr(np.concatenate([root @ vectors[:, ::-1], np.eye(d)], axis=1))
    return Plane(z.mean(axis=0), directions.T, [f"direction {i + 1}" for i in range(d)])


@compiled
def _metric(f: Callable, z: jax.Array):
    """J'J with J = df/dz at z, (d, d)."""
    return langevin.precision(lambda z: f(z).ravel(), z)


def check_arguments(
    generator: nnx.Module,
    z: jax.Array | None,
    images: jax.Array | None,
    names: Sequence[str] | None,
    low: float,
    high: float,
) -> tuple[np.ndarray, np.ndarray, list[str], float, float]:
    """Checks what an explorer is given, in a notebook or as a page.

    Returns:
      z (n, d); images (n, h, w, c), float32 in [-1, 1], with what the generator draws at z for a default; names; and
      low and high.

    Raises:
      TypeError, ValueError: the generator does not give images, or the arguments do not fit it or each other.
    """
    d = arguments.generator(generator).latent_dim
    shape = jax.eval_shape(generator, jax.ShapeDtypeStruct((d,), jnp.float32)).shape
    if len(shape) != 3 or shape[-1] not in (1, 3):
        raise ValueError(f"the explorer shows images (h, w, 1 or 3); this generator gives {shape}.")
    places = np.zeros((0, d)) if z is None else arguments.array("z", z)
    places = np.asarray(arguments.latents(generator, places[None] if places.ndim == 1 else places), np.float32)
    low = arguments.number("low", low, least=-np.inf)
    high = arguments.number("high", high, least=low)
    shape = (len(places), *shape)
    if images is None:
        images = np.asarray(reconstruct(generator, jnp.asarray(places)) if len(places) else np.zeros(shape), np.float32)
    else:
        images = _images(generator, images, shape)
    return places, images, _names(names, len(places)), low, high


def _images(generator: nnx.Module, images: Any, shape: tuple):
    images = arguments.array("images", images)
    if images.shape != shape:
        raise ValueError(f"images must be {shape}, one for each z; got {images.shape}.")
    return np.asarray(observe_at_once(generator, images)[0], np.float32) if len(images) else np.zeros(shape, np.float32)


def _names(names: Any, num: int):
    if names is None:
        return [f"image {i + 1}" for i in range(num)]
    if isinstance(names, str | bytes) or not isinstance(names, Iterable):
        raise ValueError(f"names must be a list with one name for each z, got {arguments.shown(names)}.")
    names = [readable(name) for name in names]
    if len(names) != num:
        raise ValueError(f"names must be as many as z: got {len(names)} for {num}.")
    return names


def backdrop_of(generator: nnx.Module, plane: Plane, low: float, high: float) -> bytes:
    """Returns what lies where on the plane: CELLS x CELLS small images, as one JPEG."""
    half = (high - low) / CELLS / 2
    axis = np.linspace(low + half, high - half, CELLS)
    points = np.stack(np.meshgrid(axis, axis[::-1]), axis=-1).reshape(-1, 2)
    atlas = tile(reconstruct(generator, jnp.asarray(plane.to_z(points), jnp.float32)), CELLS, gap=0)
    atlas = Image.fromarray(np.uint8(np.rint(255 * atlas))).resize((30 * CELLS, 30 * CELLS), Image.Resampling.BOX)
    return encoded(atlas, "JPEG", quality=85)

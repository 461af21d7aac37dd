"""The plane that the latent explorer shows: its coordinates, the posterior on it, and chains that look for an image."""

import base64
import io
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import contourpy  # comes with matplotlib
import jax
import jax.numpy as jnp
import numpy as np
import traitlets
from flax import nnx
from PIL import Image

from abp_jax import evidence, langevin, learning, model
from abp_jax.checks import check_chain
from abp_jax.generators import BATCH, functional, reconstruct
from abp_jax.plots import pixels, tile
from abp_jax.widgets import WITHOUT_WIDGETS

LEADING = 4  # sliders that are not folded away
CELLS = 16  # images along a side of the backdrop
MOST_THUMBNAILS, MOST_MARKERS = 60, 500  # beyond the first they are dots
MAP_POINTS = 31  # along a side of the plane, for the lines of equal log p(y, z)
LENS_POINTS = 29  # along a side of the lens
LENS_WIDTHS = 3.4  # standard deviations from its centre to its edge
NUM_JACOBIANS = 8  # at which the leading directions are measured
CHAINS, STEPS = 16, 40  # of the search for a new image


class Point(traitlets.TraitType):
    """A trait: finite numbers, from any sequence or array of `num` of them; kept as a tuple of floats."""

    info_text = "a vector of numbers"

    def validate(self, obj, value):
        try:
            point = np.asarray(value, np.float64)
        except (TypeError, ValueError):
            point = np.zeros(())
        d = obj.generator.latent_dim
        if point.shape != (d,) or not np.isfinite(point).all():
            raise traitlets.TraitError(f"z must be {d} finite number(s), the generator's latent vector; got {value!r}.")
        return tuple(point.tolist())


class Explorer:
    """What the explorers have in common, whatever shows them: one image, and a word where nothing can be shown."""

    def render(self, z: Sequence[float]) -> np.ndarray:
        """Returns f(z; W) for one z of shape (d,): (h, w, c)."""
        return np.asarray(reconstruct(self.generator, jnp.asarray(z, jnp.float32)[None])[0])

    def _repr_mimebundle_(self, **options):
        bundle = super()._repr_mimebundle_(**options)
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        data["text/plain"] = WITHOUT_WIDGETS.format("latent explorer")
        return bundle


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
    """Returns z itself for one or two numbers; for more, the leading directions of the inferred z (n, d).

    Leading is in what one sees: with the covariance C of z and the mean of J'J over some z, where J = df/dz, these are
    the principal components of the images to first order, made orthonormal in z. (The principal components of z itself
    would not do, since whitening gives z covariance I.) With fewer than two z the coordinates are those of z.
    """
    d = generator.latent_dim
    if d <= 2 or len(z) < 2:
        return Plane(np.zeros(d), np.eye(d), [f"z{i + 1}" for i in range(d)])
    generate, params = functional(generator)

    @jax.jit
    def metric(params, z):
        _, jacobian_transposed = langevin.linearize(lambda z: generate(params, z).ravel(), z)
        return jacobian_transposed @ jacobian_transposed.T

    some = z[np.linspace(0, len(z) - 1, min(len(z), NUM_JACOBIANS)).astype(int)]
    change = np.mean([metric(params, jnp.asarray(one, jnp.float32)) for one in some], axis=0, dtype=np.float64)
    variances, axes = np.linalg.eigh(np.atleast_2d(np.cov(z.T, dtype=np.float64)))
    root = axes * np.sqrt(np.maximum(variances, 0)) @ axes.T
    _, vectors = np.linalg.eigh(root @ change @ root)
    directions, _ = np.linalg.qr(np.concatenate([root @ vectors[:, ::-1], np.eye(d)], axis=1))
    return Plane(z.mean(axis=0), directions.T, [f"direction {i + 1}" for i in range(d)])


def check_arguments(generator: nnx.Module, z, images, names, low: float, high: float):
    """Returns z (n, d) and images (n, h, w, c), with what the generator draws at z for a default, and names.

    Raises:
      ValueError: the generator does not give images, or the arguments do not fit it or each other.
    """
    d = generator.latent_dim
    shape = jax.eval_shape(generator, jax.ShapeDtypeStruct((d,), jnp.float32)).shape
    if len(shape) != 3 or shape[-1] not in (1, 3):
        raise ValueError(f"LatentExplorer shows images (h, w, 1 or 3); this generator gives {shape}.")
    places = np.zeros((0, d), np.float32) if z is None else np.asarray(z, np.float32)
    places = places[None] if places.ndim == 1 else places
    if places.ndim != 2 or places.shape[1] != d:
        raise ValueError(f"z has {places.shape[-1]} coordinates, but the generator takes {d}.")
    if not np.isfinite(places).all():
        raise ValueError("z holds nan or infinite values.")
    if not low < high:
        raise ValueError(f"low must be less than high, got {low} and {high}.")
    if images is None:
        images = reconstruct(generator, jnp.asarray(places)) if len(places) else np.zeros((0, *shape))
    if np.shape(images) != (len(places), *shape):
        raise ValueError(
            f"images must be ({len(places)}, {', '.join(map(str, shape))}), one for each z; got {np.shape(images)}."
        )
    names = [f"image {i + 1}" for i in range(len(places))] if names is None else list(names)
    if len(names) != len(places):
        raise ValueError(f"names must be as many as z: got {len(names)} for {len(places)}.")
    return places, np.asarray(images, np.float32), names


def thumbnail(image: np.ndarray) -> str:
    """Returns an image (h, w, 1 or 3) in [-1, 1], at most 64 pixels wide and high, as the address of a PNG."""
    small = pixels(image)
    small = Image.fromarray(small[..., 0] if small.shape[-1] == 1 else small)
    small.thumbnail((64, 64))
    buffer = io.BytesIO()
    small.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def backdrop_of(generator: nnx.Module, plane: Plane, low: float, high: float) -> bytes:
    """Returns what lies where on the plane: CELLS x CELLS small images, as one JPEG."""
    half = (high - low) / CELLS / 2
    axis = np.linspace(low + half, high - half, CELLS)
    points = np.stack(np.meshgrid(axis, axis[::-1]), axis=-1).reshape(-1, 2)
    atlas = tile(reconstruct(generator, jnp.asarray(plane.to_z(points), jnp.float32)), CELLS, gap=0)
    atlas = Image.fromarray(np.uint8(np.rint(255 * atlas))).resize((30 * CELLS, 30 * CELLS), Image.Resampling.BOX)
    buffer = io.BytesIO()
    atlas.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


class PosteriorMaps:
    """log p(y, z) over the plane, and magnified around its highest mode, as lines for an SVG picture.

    Args:
      generator: an image generator.
      plane: to draw on.
      sigma: standard deviation of the noise.
      low, high: range of the plane.
    """

    def __init__(self, generator: nnx.Module, plane: Plane, sigma: float, low: float, high: float):
        generate, self.params = functional(generator)
        self.plane, self.axis = plane, np.linspace(low, high, MAP_POINTS)
        log_joint = lambda params, z, y: model.log_joint(partial(generate, params), z, y, sigma)
        on_points = lambda params, z, y: jax.lax.map(lambda z: log_joint(params, z, y), z, batch_size=BATCH)
        residual = lambda params, z, y: model.residual(partial(generate, params), z, y, sigma)
        self._log_joint = jax.jit(on_points)
        self._mode = jax.jit(lambda params, z, y: evidence.find_mode(partial(generate, params), z, y, sigma))
        self._precision = jax.jit(lambda params, z, y: langevin.precision(partial(residual, params, y=y), z))

    def draw(self, y: np.ndarray, z: np.ndarray) -> dict:
        """Returns what explorer_view.js shows, for an image y (h, w, c) and a place z (d,) to look for the mode from.

        With more than two latents both the lens and the lines show a cut through the mode, along the plane.
        """
        y, axes = jnp.asarray(y), self.plane.directions[:2]
        mode = self.mode(y, z)
        precision = np.asarray(self._precision(self.params, jnp.asarray(mode, jnp.float32), y), np.float64)
        widths = np.sqrt(np.diag(np.linalg.inv(axes @ precision @ axes.T)))
        half = LENS_WIDTHS * widths.max()
        unit = np.linspace(-1, 1, LENS_POINTS)
        near = self._values(mode + half * _grid(unit) @ axes, y)
        place, span = self.plane.to_points(mode)[:2], self.axis[-1] - self.axis[0]
        over = self._values(mode + (_grid(self.axis) - place) @ axes, y)
        root = np.sqrt(np.maximum(0, 2 * (max(near.max(), over.max()) - over)))  # straight where p is normal
        spacing = (root.max() - root.min()) / 9
        levels = root.min() + spacing * np.arange(0.5, 9)
        sd = " and ".join(f"{w:.2g}" for w in widths)
        names = " and ".join(self.plane.names[:2])
        cut = "" if len(mode) == 2 else f", the other {len(mode) - 2} held at the mode"
        return {
            "contours": _lines(*_finer(self.axis, root), levels),
            "lens": {
                "paths": [_lines(unit, near.max() - near, [k**2 / 2]) for k in (3, 2, 1)],
                "viewBox": "-1 -1 2 2",
                "at": place.tolist(),
                "text": f"posterior × {span / (2 * half):.2g}",
            },
            "text": f"The lens: p(z | Y) at 1, 2 and 3 standard deviations, {sd} along {names}{cut}. The lines on the "
            f"plane join equal log p(Y, z); its lowest place lies {root.max() ** 2 / 2:,.0f} nats below the peak.",
        }

    def mode(self, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Climbs from z (d,) to a mode of p(z | y), (d,): see `evidence.find_mode`."""
        return np.asarray(self._mode(self.params, jnp.asarray(z, jnp.float32), jnp.asarray(y)), np.float64)

    def _values(self, z, y):
        return np.asarray(self._log_joint(self.params, jnp.asarray(z, jnp.float32), y)).reshape(
            round(len(z) ** 0.5), -1
        )


def _grid(axis):
    """Points (num * num, 2), rows from the lowest second coordinate."""
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)


def _finer(axis, values, times=4):
    """Points in between, by cubic interpolation, so that lines are smooth."""
    num = times * len(axis)
    places = ((np.arange(num) + 0.5) / times - 0.5) / (len(axis) - 1)  # from 0 to 1 along the axis
    inside = (places >= 0) & (places <= 1)
    values = np.asarray(jax.image.resize(values, (num, num), "cubic"))[inside][:, inside]
    return axis[0] + places[inside] * (axis[-1] - axis[0]), values


def _lines(axis, values, levels):
    """The lines of equal value, as the path of an SVG picture, in which the second coordinate points down."""
    contours = contourpy.contour_generator(axis, axis, values)
    lines = [line for level in levels for line in contours.lines(level)]
    return "".join("M" + "L".join(f"{x:.5g} {-y:.5g}" for x, y in line) for line in lines)


class Search:
    """Chains from the prior towards the z of an image that was not trained on, one step of all chains at a time.

    Args:
      generator: an image generator.
      sigma: standard deviation of the noise.
      key: for the starts and the noise; the same for every image.
    """

    def __init__(self, generator: nnx.Module, sigma: float, key: jax.Array):
        generate, self.params = functional(generator)
        self.d, self.key = generator.latent_dim, key
        chain = check_chain(self.d, sigma, None, 1, None)

        def step(params, key, z, y):
            f, images = partial(generate, params), jnp.broadcast_to(y, (len(z), *y.shape))
            z = learning.infer_latents(f, jax.random.split(key, len(z)), z, images, **chain._asdict())
            return z, jax.vmap(lambda z: model.log_joint(f, z, y, sigma))(z)

        self._step = jax.jit(step)

    def run(self, y: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        """Yields where the chains stand, (CHAINS, d), and which has the highest log p(y, z): at first, and after each
        of STEPS steps.

        Raises:
          ValueError: every chain has diverged.
        """
        start_key, key = jax.random.split(self.key)
        z = jax.random.normal(start_key, (CHAINS, self.d))
        yield np.asarray(z), 0
        for t in range(STEPS):
            z, scores = self._step(self.params, jax.random.fold_in(key, t), z, jnp.asarray(y))
            scores = np.where(np.isfinite(scores), scores, -np.inf)
            if not np.isfinite(scores.max()):
                raise ValueError("every chain diverged: this picture is too far from what the generator draws.")
            yield np.asarray(z), int(np.argmax(scores))

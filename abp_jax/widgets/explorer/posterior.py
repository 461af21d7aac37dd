"""log p(z | y) on the plane of the latent explorer, as lines for an SVG picture."""

from collections.abc import Callable
from functools import partial

import contourpy
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from abp_jax import langevin, model
from abp_jax.evaluation import evidence
from abp_jax.generators import BATCH, compiled
from abp_jax.widgets.explorer.plane import Plane

MAP_POINTS = 31  # along a side of the plane, for the lines of equal log p(y, z)
LENS_POINTS = 29  # along a side of the lens
LENS_WIDTHS = 3.4  # standard deviations from its centre to its edge


class PosteriorMaps:
    """log p(y, z) over the plane, and magnified around its highest mode, as lines for an SVG picture.

    Args:
      generator: an image generator.
      plane: to draw on.
      sigma: standard deviation of the noise.
      low, high: range of the plane.
    """

    def __init__(self, generator: nnx.Module, plane: Plane, sigma: float, low: float, high: float):
        self.generator, self.plane, self.sigma = generator, plane, sigma
        self.axis = np.linspace(low, high, MAP_POINTS)

    def draw(self, y: np.ndarray, z: np.ndarray) -> dict:
        """Returns what view.js shows, for an image y (h, w, c) and a place z (d,) to look for the mode from.

        With more than two latents both the lens and the lines show a cut through the mode, along the plane.
        """
        y, axes = jnp.asarray(y), self.plane.directions[:2]
        mode = self.mode(y, z)
        precision = np.asarray(_precision(self.generator, jnp.asarray(mode, jnp.float32), y, self.sigma), np.float64)
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
        z = _find_mode(self.generator, jnp.asarray(z, jnp.float32), jnp.asarray(y), self.sigma)
        return np.asarray(z, np.float64)

    def _values(self, z: np.ndarray, y: jax.Array):
        values = _log_joint(self.generator, jnp.asarray(z, jnp.float32), y, self.sigma)
        return np.asarray(values).reshape(round(len(z) ** 0.5), -1)


@partial(compiled, static=("sigma",))
def _log_joint(f: Callable, z: jax.Array, y: jax.Array, sigma: float):
    return jax.lax.map(model.given(f, y, sigma).log_density, z, batch_size=BATCH)


@partial(compiled, static=("sigma",))
def _find_mode(f: Callable, z: jax.Array, y: jax.Array, sigma: float):
    return evidence.find_mode(f, z, y, sigma)


@partial(compiled, static=("sigma",))
def _precision(f: Callable, z: jax.Array, y: jax.Array, sigma: float):
    return langevin.precision(model.given(f, y, sigma).residual, z)


def _grid(axis: np.ndarray):
    """Points (num * num, 2), rows from the lowest second coordinate."""
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)


def _finer(axis: np.ndarray, values: np.ndarray, times: int = 4):
    """Points in between, by cubic interpolation, so that lines are smooth."""
    num = times * len(axis)
    places = ((np.arange(num) + 0.5) / times - 0.5) / (len(axis) - 1)  # from 0 to 1 along the axis
    inside = (places >= 0) & (places <= 1)
    values = np.asarray(jax.image.resize(values, (num, num), "cubic"))[inside][:, inside]
    return axis[0] + places[inside] * (axis[-1] - axis[0]), values


def _lines(axis: np.ndarray, values: np.ndarray, levels: np.ndarray):
    """The lines of equal value, as the path of an SVG picture, in which the second coordinate points down."""
    contours = contourpy.contour_generator(axis, axis, values)
    lines = [line for level in levels for line in contours.lines(level)]
    return "".join("M" + "L".join(f"{x:.5g} {-y:.5g}" for x, y in line) for line in lines)

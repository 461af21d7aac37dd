"""What the widget of the two divergences draws. No matplotlib, which is too slow for a hand.

Everything is drawn twice as large as it is shown, for sharp screens.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE = {"width": 940, "height": 390}  # as it is shown, in pixels
CURVES = (80, 80, 860, 680)  # left, top, right, bottom of the panels, twice as large
MAPS = ((970, 80, 1390, 680), (1450, 80, 1870, 680))
MEANS, WIDTHS = (-3.0, 3.0), (0.05, 3.0)  # of q, on the maps; the widths in equal ratios
INK, LIGHT, Q, P = (40, 40, 40), (215, 215, 215), (228, 87, 46), (46, 111, 149)  # the last are the course's colours
LARGEST, BANDS = 2000.0, 20  # divergence that the maps tell apart, and bands of equal ratios down to the lowest


class Maps(NamedTuple):
    """Both divergences over the plane of q.

    Attributes:
      kl_q_p, kl_p_q: at `map_points`, (rows, columns), the first row that of the largest width.
      best_q_p, best_p_q: (mean, width) where each is lowest.
    """

    kl_q_p: np.ndarray
    kl_p_q: np.ndarray
    best_q_p: Sequence[tuple[float, float]]
    best_p_q: Sequence[tuple[float, float]]


def map_points() -> tuple[np.ndarray, np.ndarray]:
    """Returns means (1, columns) and widths (rows, 1): one for each two pixels of a map, at their middle."""
    left, top, right, bottom = MAPS[0]
    columns, rows = (right - left) // 2, (bottom - top) // 2
    mean = MEANS[0] + (MEANS[1] - MEANS[0]) * (np.arange(columns) + 0.5) / columns
    width = WIDTHS[1] * (WIDTHS[0] / WIDTHS[1]) ** ((np.arange(rows) + 0.5) / rows)
    return mean[None, :], width[:, None]


def draw(z: np.ndarray, density: np.ndarray, mean: float, width: float, maps: Maps, scores: Sequence[float]):
    """Returns the picture: (height, width, 3), uint8.

    Args:
      z, density: points, and p(z | y) there, (num,).
      mean, width: of q.
      maps: both divergences, see `Maps`.
      scores: KL(q || p) and KL(p || q) of this q.
    """
    canvas = Image.new("RGB", (2 * SIZE["width"], 2 * SIZE["height"]), "white")
    pen = ImageDraw.Draw(canvas)
    _curves(pen, z, density, mean, width)
    shown = ("KL(q‖p)", maps.kl_q_p, maps.best_q_p), ("KL(p‖q)", maps.kl_p_q, maps.best_p_q)
    for panel, (name, values, best), score in zip(MAPS, shown, scores, strict=True):
        canvas.paste(Image.fromarray(_colours(values)).resize((420, 600), Image.NEAREST), panel[:2])
        _map(pen, panel, f"{name} = {score:.3g} nats", best, (mean, width))
    return np.asarray(canvas)


def q_at(x: float, y: float, peak: float) -> tuple[float, float] | None:
    """Returns mean and width of the q that a pointer asks for, or None beside the panels.

    x, y: shares of the picture's width and height. peak: the highest p(z | y). On the left the pointer holds the peak
    of q, 1 / (s sqrt(2 pi)) high; on a map its place is m and s.
    """
    x, y = 2 * SIZE["width"] * x, 2 * SIZE["height"] * y
    for panel in (CURVES, *MAPS):
        left, top, right, bottom = panel
        if left - 20 <= x <= right + 20 and top - 40 <= y <= bottom + 20:
            mean = MEANS[0] + (MEANS[1] - MEANS[0]) * (x - left) / (right - left)
            depth = min(max((y - top) / (bottom - top), 0), 1)
            if panel is CURVES:
                width = 1 / ((2 * np.pi) ** 0.5 * max(_ceiling(peak) * (1 - depth), 1e-3))
            else:
                width = WIDTHS[1] * (WIDTHS[0] / WIDTHS[1]) ** depth
            return min(max(mean, MEANS[0]), MEANS[1]), min(max(width, WIDTHS[0]), WIDTHS[1])
    return None


def _ceiling(peak: float):
    """The density at the top of the left panel."""
    return max(1.0, 2.2 * peak)


def _curves(pen: ImageDraw.ImageDraw, z: np.ndarray, density: np.ndarray, mean: float, width: float):
    """The left panel: p(z | y) filled, and q as a line."""
    left, top, right, bottom = CURVES
    ceiling = _ceiling(density.max())
    x = lambda z: left + (right - left) * (z - MEANS[0]) / (MEANS[1] - MEANS[0])
    y = lambda d: bottom - (bottom - top) * np.minimum(d / ceiling, 1.04)
    seen = np.linspace(*MEANS, 600)
    p, q = np.interp(seen, z, density), np.exp(-0.5 * ((seen - mean) / width) ** 2) / (width * (2 * np.pi) ** 0.5)
    points = lambda d: list(zip(x(seen).tolist(), y(d).tolist(), strict=True))
    pen.polygon([(left, bottom), *points(p), (right, bottom)], (196, 215, 226))
    pen.line(points(p), P, 4)
    pen.line(points(q), Q, 6)
    held = (x(mean), y(1 / (width * (2 * np.pi) ** 0.5)))
    pen.ellipse((held[0] - 11, held[1] - 11, held[0] + 11, held[1] + 11), Q)
    pen.line((left, bottom, right, bottom), INK, 2)
    for tick in range(-3, 4):
        pen.text((x(tick), bottom + 12), str(tick), INK, _font(22), anchor="mt")
    pen.text(((left + right) / 2, bottom + 44), "z", INK, _font(24), anchor="mt")
    pen.rectangle((left, 22, left + 30, 46), (196, 215, 226), P, 2)
    pen.text((left + 44, 34), "p(z | y), exact", INK, _font(24), anchor="lm")
    pen.line((left + 290, 34, left + 324, 34), Q, 6)
    pen.text((left + 338, 34), f"q = N({mean:.2f}, {width:.2f}²)", INK, _font(24), anchor="lm")


def _map(pen: ImageDraw.ImageDraw, panel: tuple, title: str, best: Sequence[tuple], q: tuple[float, float]):
    """Axes, title and marks of a map whose colours are there: crosses where it is lowest, a disc for q."""
    left, top, right, bottom = panel
    x = lambda mean: left + (right - left) * (mean - MEANS[0]) / (MEANS[1] - MEANS[0])
    y = lambda width: top + (bottom - top) * np.log(width / WIDTHS[1]) / np.log(WIDTHS[0] / WIDTHS[1])
    pen.text((left, 34), title, INK, _font(24), anchor="lm")
    for tick in range(-2, 3, 2):
        pen.text((x(tick), bottom + 12), str(tick), INK, _font(22), anchor="mt")
    for tick in (0.1, 0.3, 1):
        pen.text((left - 8, y(tick)), f"{tick:g}", INK, _font(22), anchor="rm")
    pen.text(((left + right) / 2, bottom + 44), "mean m of q", INK, _font(24), anchor="mt")
    pen.text((left - 8, y(2.2)), "s", INK, _font(24), anchor="rm")
    for mean, width in best:
        for way in (-1, 1):
            pen.line((x(mean) - 11, y(width) - 11 * way, x(mean) + 11, y(width) + 11 * way), "white", 5)
    pen.ellipse((x(q[0]) - 12, y(q[1]) - 12, x(q[0]) + 12, y(q[1]) + 12), Q, "white", 3)


def _colours(values: np.ndarray):
    """Bands of equal ratios, dark where a divergence is low: (rows, columns, 3), uint8."""
    lowest = max(values.min(), 0.01)
    place = np.log(np.clip(values, lowest, LARGEST) / lowest) / np.log(LARGEST / lowest)
    band = np.floor(np.minimum(place, 0.999) * BANDS) / (BANDS - 1)
    dark, light = np.array([12, 44, 84.0]), np.array([236, 243, 248.0])
    return (dark + (light - dark) * band[..., None] ** 0.7).astype(np.uint8)


@cache
def _font(size: int):
    """matplotlib's own, which has Greek letters."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)

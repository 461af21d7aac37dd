"""What the Gibbs viewer draws. No matplotlib, which is too slow for a slider.

Everything is drawn twice as large as it is shown, for sharp screens.
"""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE = {"width": 920, "height": 350}  # as it is shown, in pixels
BARS, CURVE = (84, 70, 1190, 610), (1340, 70, 1810, 610)  # left, top, right, bottom of the two panels, twice as large
INK, GREY, LIGHT = (40, 40, 40), (120, 120, 120), (215, 215, 215)
CHAINS, EXACT = (228, 87, 46), (46, 111, 149)  # the course's first two colours


def draw(
    names: Sequence[str],
    chains: np.ndarray,
    exact: np.ndarray,
    pi: np.ndarray,
    distances: np.ndarray,
    asymptote: np.ndarray,
    k: int,
) -> np.ndarray:
    """Returns the picture of a chain after k steps: (height, width, 3), uint8.

    Args:
      names: of the states, in the order shown.
      chains: share of the chains in each state after 0, 1, ... steps, (steps + 1, states).
      exact: mu T^k, (steps + 1, states).
      pi: the stationary distribution, (states,).
      distances: total-variation distance of each row of `exact` from pi, (steps + 1,).
      asymptote: what it tends to, c |lambda_2|^k, (steps + 1,).
      k: the step to show.
    """
    canvas = Image.new("RGB", (2 * SIZE["width"], 2 * SIZE["height"]), "white")
    pen = ImageDraw.Draw(canvas)
    _bars(pen, names, chains[k], exact[k], pi)
    measured = np.abs(chains - pi).sum(axis=1) / 2
    _curves(pen, measured, distances, asymptote, k)
    return np.asarray(canvas)


def _bars(pen: ImageDraw.ImageDraw, names: Sequence[str], chains: np.ndarray, exact: np.ndarray, pi: np.ndarray):
    """The left panel: a bar for the chains, a dash for mu T^k and a frame for pi, for each state."""
    left, top, right, bottom = BARS
    y = lambda p: bottom - (bottom - top) * p
    for p in (0, 0.25, 0.5, 0.75, 1):
        pen.line((left, y(p), right, y(p)), LIGHT, 2)
        pen.text((left - 10, y(p)), f"{p:g}", INK, _font(22), anchor="rm")
    width = (right - left) / len(names)
    size = min(22, int(22 * width / 66))
    for i, name in enumerate(names):
        x = left + width * (i + 0.5)
        pen.rectangle((x - 0.3 * width, y(chains[i]), x + 0.3 * width, y(0)), CHAINS)
        pen.rectangle((x - 0.42 * width, y(pi[i]), x + 0.42 * width, y(0)), None, GREY, 2)
        pen.line((x - 0.48 * width, y(exact[i]), x + 0.48 * width, y(exact[i])), EXACT, 7)
        pen.text((x, bottom + 12), name, INK, _font(size), anchor="mt")
    pen.line((left, bottom, right, bottom), INK, 2)
    pen.text(((left + right) / 2, bottom + 50), "state", INK, _font(24), anchor="mt")
    marks = [
        ("chains", lambda x: pen.rectangle((x, 22, x + 30, 46), CHAINS)),
        ("exact: μ Tᵏ", lambda x: pen.line((x, 34, x + 34, 34), EXACT, 7)),
        ("π, in the end", lambda x: pen.rectangle((x, 22, x + 30, 46), None, GREY, 2)),
    ]
    _legend(pen, left, marks)


def _curves(pen: ImageDraw.ImageDraw, measured: np.ndarray, exact: np.ndarray, asymptote: np.ndarray, k: int):
    """The right panel: distances from pi on a log scale, of the chains and of mu T^k, and what that tends to."""
    left, top, right, bottom = CURVE
    decades = int(np.clip(np.ceil(-np.log10(max(exact.min(), 1e-12))), 1, 12))
    steps = len(exact) - 1
    x = lambda t: left + (right - left) * t / steps
    y = lambda d: top + (bottom - top) * np.clip(-np.log10(np.maximum(d, 1e-300)) / decades, -0.06, 1)
    for decade in range(0, decades + 1, 1 + decades // 7):
        height = y(10.0**-decade)
        pen.line((left, height, right, height), LIGHT, 2)
        pen.text(
            (left - 10, height), f"{10.0**-decade:.0e}" if decade > 3 else f"{10.0**-decade:g}", INK, _font(22), "rm"
        )
    for t in np.linspace(0, steps, 5).round().astype(int):
        pen.text((x(t), bottom + 12), str(t), INK, _font(22), anchor="mt")
    times = np.arange(steps + 1)
    points = lambda d: list(zip(x(times), y(d), strict=True))
    pen.line(points(exact), EXACT, 6)
    dashes = points(asymptote)
    for i in range(0, steps - 1, 4):
        if asymptote[i] > 0:
            pen.line(dashes[i : i + 3], INK, 3)
    if k:
        pen.line(points(measured)[: k + 1], CHAINS, 3)
    pen.line((left, bottom, right, bottom), INK, 2)
    pen.line((x(k), top, x(k), bottom), INK, 2)
    for d, colour in ((measured, CHAINS), (exact, EXACT)):
        pen.ellipse((x(k) - 10, y(d[k]) - 10, x(k) + 10, y(d[k]) + 10), colour)
    pen.text(((left + right) / 2, bottom + 50), "k", INK, _font(24), anchor="mt")
    dash = lambda x: [pen.line((x + 14 * i, 34, x + 14 * i + 8, 34), INK, 3) for i in range(3)]
    pen.text((left - 100, 34), "distance from π", INK, _font(24), anchor="lm")
    _legend(pen, right - 190, [("∝ |λ₂|ᵏ", dash)])


def _legend(pen: ImageDraw.ImageDraw, x: float, marks: Sequence[tuple[str, Callable]]):
    """Draws in one line above a panel what its marks mean."""
    for meaning, mark in marks:
        mark(x)
        pen.text((x + 48, 34), meaning, INK, _font(24), anchor="lm")
        x += 48 + pen.textlength(meaning, _font(24)) + 56


@cache
def _font(size: int):
    """matplotlib's own, which has Greek letters."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)

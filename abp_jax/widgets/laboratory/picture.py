"""What the step-size laboratory draws. No matplotlib, which is too slow for a slider.

Everything is drawn twice as large and then halved.
"""

import numpy as np
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont

from abp_jax.widgets.laboratory.chains import Target

SIDE, LEFT, RIGHT, TOP, BOTTOM = 420, 78, 14, 12, 76  # of the square and around it, in pixels
SIZE = {"width": SIDE + LEFT + RIGHT, "height": SIDE + TOP + BOTTOM}
INK, PATH, RING = (40, 40, 40), (220, 20, 60), (0, 110, 90)


def background(target: Target) -> Image.Image:
    """Returns the exact posterior with its contours (log density 1/2, 2 and 9/2 below the peak), axes, and a legend."""
    side = 2 * SIDE
    log_p = target.log_density - target.log_density.max()
    fine = Image.fromarray(np.float32(np.maximum(log_p, -60)[::-1])).resize((side, side), Image.Resampling.BICUBIC)
    fine = np.asarray(fine)
    pixels = np.uint8(255 * colormaps["Blues"](0.9 * np.exp(np.minimum(fine, 0)))[..., :3])
    for drop in (0.5, 2, 4.5):
        inside = fine > -drop
        edge = np.zeros_like(inside)
        edge[1:] |= inside[1:] != inside[:-1]
        edge[:, 1:] |= inside[:, 1:] != inside[:, :-1]
        edge[1:, 1:] |= edge[:-1, 1:]
        pixels[edge] = 0.6 * pixels[edge] + 0.4 * np.array([18, 48, 63])
    canvas = Image.new("RGB", (side + 2 * (LEFT + RIGHT), side + 2 * (TOP + BOTTOM)), "white")
    canvas.paste(Image.fromarray(pixels), (2 * LEFT, 2 * TOP))
    _axes(ImageDraw.Draw(canvas), target)
    return canvas


def _axes(draw: ImageDraw.ImageDraw, target: Target):
    font = ImageFont.load_default(28)
    left, top, side = 2 * LEFT, 2 * TOP, 2 * SIDE
    draw.rectangle((left, top, left + side, top + side), outline=(120, 120, 120), width=2)
    for k, centre in enumerate(target.posterior.mean):
        for tick in _ticks(centre - target.half_width, centre + target.half_width):
            p = side * (tick - centre + target.half_width) / (2 * target.half_width)
            if k == 0:
                draw.line((left + p, top + side, left + p, top + side + 8), INK, 2)
                draw.text((left + p, top + side + 14), f"{tick:.4g}", INK, font, anchor="mt")
            else:
                draw.line((left - 8, top + side - p, left, top + side - p), INK, 2)
                draw.text((left - 14, top + side - p), f"{tick:.4g}", INK, font, anchor="rm")
    _name(draw, (left + side / 2, top + side + 72), "1")
    _name(draw, (6, top + side / 2 - 40), "2")
    _legend(draw, left, top + side + 118)


def _name(draw: ImageDraw.ImageDraw, place: tuple[float, float], index: str):
    """Draws z with an index, its baseline at a place."""
    draw.text(place, "z", INK, ImageFont.load_default(32), anchor="ls")
    draw.text((place[0] + 16, place[1] + 7), index, INK, ImageFont.load_default(22), anchor="ls")


def _legend(draw: ImageDraw.ImageDraw, x: float, y: float):
    """Draws in one line under the axes what the marks of `trajectory_over` mean."""
    font = ImageFont.load_default(26)
    for mark, meaning in (
        ("start", "start"),
        ("end", "end"),
        ("mean", "exact mean"),
        ("ring", "noise of a step (1 s.d.)"),
    ):
        middle = (x + 14, y)
        if mark == "mean":
            _cross(draw, *middle)
        elif mark == "ring":
            draw.ellipse((x, y - 14, x + 28, y + 14), None, (*RING, 255), 3)
        else:
            _dot(draw, middle, 9, (255, 255, 255) if mark == "start" else PATH, outline=PATH)
        draw.text((x + 38, y), meaning, INK, font, anchor="lm")
        x += 38 + draw.textlength(meaning, font) + 30


def _ticks(low: float, high: float):
    """Four to eight round numbers from low to high."""
    rough = (high - low) / 5
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * min((1, 2, 5, 10), key=lambda m: abs(np.log(m * power / rough)))
    return step * np.arange(np.ceil(low / step), np.floor(high / step) + 1)


def trajectory_over(background: Image.Image, target: Target, trajectory: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Returns the picture: the mean, a ring of the noise, and the trajectory, faint where it began.

    Args:
      background: see there; it is not changed.
      target: of the same image.
      trajectory: (m, 2).
      noise: the matrix (2, 2) that a step multiplies N(0, I) by.

    Returns:
      (height, width, 3), uint8.
    """
    side, canvas = 2 * SIDE, background.copy()
    corner = target.posterior.mean + target.half_width * np.array([-1, 1])
    scale = side / (2 * target.half_width) * np.array([1, -1])
    square = canvas.crop((2 * LEFT, 2 * TOP, 2 * LEFT + side, 2 * TOP + side))
    draw = ImageDraw.Draw(square, "RGBA")
    x, y = (target.posterior.mean - corner) * scale
    angles = np.linspace(0, 2 * np.pi, 90)
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1) @ noise * scale + [x, y]
    draw.line([*map(tuple, ring)], (*RING, 220), 3)
    _cross(draw, x, y)
    path = (trajectory - corner) * scale
    if len(path) > 1:  # the last step of an escape may be of any length
        step = path[-1] - path[-2]
        path[-1] = path[-2] + step * min(1, 20 * side / max(np.linalg.norm(step), 1))
    strength = np.linspace(50, 230, len(path)).astype(int)
    for start, end, alpha in zip(path[:-1], path[1:], strength[1:], strict=True):
        draw.line((*start, *end), (*PATH, int(alpha)), 3)
    for place, alpha in zip(path, strength, strict=True):
        _dot(draw, place, 4, (*PATH, int(alpha)))
    _dot(draw, path[0], 9, (255, 255, 255, 255), outline=(*PATH, 255))
    _dot(draw, path[-1], 9, (*PATH, 255))
    canvas.paste(square, (2 * LEFT, 2 * TOP))
    return np.asarray(canvas.reduce(2))


def _cross(draw: ImageDraw.ImageDraw, x: float, y: float):
    draw.line((x - 14, y, x + 14, y), INK, 4)
    draw.line((x, y - 14, x, y + 14), INK, 4)


def _dot(draw: ImageDraw.ImageDraw, place: np.ndarray, radius: int, fill: tuple, outline: tuple | None = None):
    (x, y) = place
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill, outline, 3)

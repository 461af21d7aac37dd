"""Films: a still figure that a page shows, and its motion, which plays only for who asks for it."""

import html
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from abp_jax.widgets.encoding import address, encoded

LARGEST = 150_000  # bytes of the moving picture
COLOURS = (256, 128, 64, 32)  # the first number that is small enough: lines stay sharp, where WebP's own way blurs them
LAST_SECONDS = 3.0  # for which the last frame stays, before the film begins anew


@dataclass(frozen=True, repr=False)
class Film:
    """What a cell shows: the still, and below it, folded away, the film. Both are plain images, so a page shows them
    without a kernel, and before it is trusted.

    Attributes:
      still: one frame, a WebP file as bytes.
      moving: all frames, an animated WebP file as bytes.
      num_frames: how many.
      alt: what there is to see, in words.
    """

    still: bytes
    moving: bytes
    num_frames: int
    alt: str

    def _repr_html_(self) -> str:
        alt = html.escape(self.alt, quote=True)
        still, moving = (f'<img src="{address(data, "webp")}" alt="{{}}">' for data in (self.still, self.moving))
        return (
            f"<div>{still.format(alt)}</div>\n"
            f"<details><summary>Play the film</summary>\n{moving.format(f'The film: {alt}')}\n</details>"
        )

    def __repr__(self) -> str:
        return f"Film of {self.num_frames} frames: {self.alt}"


def film(
    figure: Figure, draw: Callable[[Any], Any], frames: Iterable, *, alt: str, seconds: float = 0.2, still: int = -1
) -> Film:
    """Makes a film of a figure, as matplotlib's FuncAnimation does, which shows a still until the reader plays it.

    Args:
      figure: matplotlib's. It is closed at the end, so that a notebook does not show it once more.
      draw: draw(frame) draws a frame on the figure; what should not stay it clears first.
      frames: what `draw` is called with, one after the other; 20 to 40 are a good number.
      alt: what there is to see, in words, for who does not see it.
      seconds: how long a frame stays. The last stays for 3 seconds, and then the film begins anew.
      still: the index of the frame that is shown before.

    Returns:
      A `Film`. As the last line of a cell, it is shown.

    Raises:
      ValueError: fewer than two frames, no `alt`, or more than 150 kB with the fewest colours.
    """
    if not alt.strip():
        raise ValueError("alt must say what there is to see")
    canvas, pictures = FigureCanvasAgg(figure), []
    for frame in frames:
        draw(frame)
        canvas.draw()
        pictures.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()))
    plt.close(figure)
    if len(pictures) < 2:
        raise ValueError(f"a film has at least two frames, got {len(pictures)}")
    durations = [round(1000 * seconds)] * (len(pictures) - 1) + [round(1000 * LAST_SECONDS)]
    for num in COLOURS:
        first, *others = reduced = with_colours(pictures, num)
        moving = encoded(first, "WEBP", save_all=True, append_images=others, duration=durations, loop=0, lossless=True)
        if len(moving) <= LARGEST:
            return Film(encoded(reduced[still], "WEBP", lossless=True), moving, len(pictures), alt)
    raise ValueError(f"the film has {len(moving):,} bytes, of {LARGEST:,}: take fewer frames or a smaller figure")


def with_colours(pictures: list[Image.Image], num: int) -> list[Image.Image]:
    """Returns pictures of one size with the same `num` colours, those that suit all of them together."""
    width, height = pictures[0].size
    together = Image.new("RGB", (width, height * len(pictures)))
    for i, picture in enumerate(pictures):
        together.paste(picture, (0, i * height))
    palette = together.quantize(num)
    colours = np.reshape(palette.getpalette(), (-1, 3))
    colours[np.all(colours >= 248, axis=1)] = 255  # white stays white: Pillow tells colours apart in steps of 8
    palette.putpalette(colours.ravel().tolist())
    return [picture.quantize(palette=palette, dither=Image.Dither.NONE).convert("RGB") for picture in pictures]

"""Figures: arrays and a matplotlib Axes in, the Axes out. The look is in course.mplstyle (style "abp_jax.course")."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from abp_jax.images.data import pixels, to_display  # noqa: F401


def evenly_spaced(num: int, most: int) -> np.ndarray:
    """Returns all of 0, ..., num - 1, or `most` of them with the first and the last: which examples to show."""
    return np.linspace(0, num - 1, min(num, most)).round().astype(int)


def tile(images: np.ndarray, num_columns: int, gap: int = 2) -> np.ndarray:
    """Lays images (n, h, w, c) out in rows on white. Returns one image in [0, 1], of shape (height, width, 3)."""
    n, h, w = np.shape(images)[:3]
    images = np.broadcast_to(to_display(images), (n, h, w, 3))
    canvas = np.ones((-(-n // num_columns) * (h + gap) - gap, num_columns * (w + gap) - gap, 3), np.float32)
    for i, image in enumerate(images):
        row, column = divmod(i, num_columns)
        canvas[row * (h + gap) :, column * (w + gap) :][:h, :w] = image
    return canvas


def image_grid(images: np.ndarray, ax: Axes, num_columns: int = 8, title: str = "") -> Axes:
    """Shows images (n, h, w, c) with values in [-1, 1] in rows of `num_columns`."""
    ax.imshow(tile(images, num_columns))
    ax.set_title(title)
    ax.set_axis_off()
    return ax


def image_rows(rows: dict[str, np.ndarray], ax: Axes, columns: tuple | range = ()) -> Axes:
    """Shows rows of equally many images (n, h, w, c), each with its name on the left; columns: names above them."""
    images = np.stack([np.broadcast_to(row, (*np.shape(row)[:3], 3)) for row in rows.values()])  # grey beside colour
    image_grid(np.concatenate(images), ax, num_columns=images.shape[1])
    for i, name in enumerate(rows):
        ax.text(-0.01, 1 - (i + 0.5) / len(rows), name, ha="right", va="center", transform=ax.transAxes)
    for i, name in enumerate(columns):
        ax.text((i + 0.5) / len(columns), 1.02, name, ha="center", va="bottom", transform=ax.transAxes)
    return ax


def panel(images: np.ndarray, ax: Axes, low: float = -2.0, high: float = 2.0) -> Axes:
    """Shows the images of `latent_grid` (num * num, h, w, c) with the values of z1 and z2 along the edges."""
    num = round(len(images) ** 0.5)
    half_cell = (high - low) / (num - 1) / 2
    ax.imshow(tile(images, num, gap=0), extent=2 * (low - half_cell, high + half_cell))
    ticks = np.linspace(low, high, 5)
    ax.set(xticks=ticks, yticks=ticks, xlabel="$z_1$", ylabel="$z_2$")
    ax.grid(False)
    return ax


def thumbnails(images: np.ndarray, z: np.ndarray, ax: Axes, zoom: float = 0.35, color: str = "black") -> Axes:
    """Draws each image (n, h, w, c) at its place z (n, 2) on the plane."""
    for image, place in zip(to_display(images), np.asarray(z), strict=True):
        image = np.broadcast_to(image, (*image.shape[:2], 3))
        frame = {"edgecolor": color, "linewidth": 1.2, "boxstyle": "square,pad=0.05"}
        ax.add_artist(AnnotationBbox(OffsetImage(image, zoom=zoom), tuple(place), pad=0, bboxprops=frame))
    ax.set(xlabel="$z_1$", ylabel="$z_2$")
    return ax


def loss_curve(losses: np.ndarray, ax: Axes, label: str | None = None) -> Axes:
    """Draws the mean squared error over the iterations, on a log scale."""
    ax.semilogy(np.arange(1, len(losses) + 1), losses, label=label)
    ax.set(xlabel="iteration", ylabel="mean squared error")
    return ax


def density(log_density: np.ndarray, ax: Axes, extent: tuple[float, float, float, float]) -> Axes:
    """Shades exp(log_density) on a plane, the peak darkest.

    log_density: (rows, columns), rows from the lowest z2 to the highest; extent: (z1 low, z1 high, z2 low, z2 high).
    """
    values = np.exp(np.asarray(log_density) - np.max(log_density))
    ax.imshow(values, origin="lower", extent=extent, cmap="Blues", aspect="auto", interpolation="bilinear")
    ax.set(xlabel="$z_1$", ylabel="$z_2$")
    ax.grid(False)
    return ax


def trail(trajectory: np.ndarray, ax: Axes, color: str = "crimson") -> Axes:
    """Draws a chain (num_steps, 2) as a path, faint where it began and strong where it ends."""
    path = np.asarray(trajectory)
    segments = np.stack([path[:-1], path[1:]], axis=1)  # none for a chain of one point
    strength = np.linspace(0.15, 0.9, len(segments)) if len(segments) else None
    ax.add_collection(LineCollection(segments, colors=color, alpha=strength, linewidths=1))
    ax.plot(*path[0], "o", color="white", markeredgecolor=color, markersize=6, zorder=3)
    ax.plot(*path[-1], "o", color=color, markersize=6, zorder=3)
    return ax


def new_axes(num: int = 1, width: float = 4.2, height: float = 3.4):
    """Returns one Axes, or a row of `num`, each `width` x `height` inches."""
    return plt.subplots(1, num, figsize=(num * width, height), layout="constrained")[1]

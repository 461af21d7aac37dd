"""What the training monitor draws: four values, the error, the plane of z, and reconstructions. No pyplot.

Every panel keeps its artists and only moves them. Titles and labels have fixed places: to find places takes longer than
to draw.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from matplotlib.style import context
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageOps

from abp_jax.plots import tile, to_display
from abp_jax.widgets.encoding import encoded
from abp_jax.widgets.monitor.curves import INK, QUIET, LossCurve, NatsCurve, head

DPI, WIDTH, HEIGHT, BOTTOM = 100, 9.6, 4.12, 0.54  # pixels an inch; inches
SIDE = 2.62  # of a panel, in inches: four images of 64 pixels, with gaps
COLUMNS = (0.6, 1.9, 3.6, 4.9)  # where the numbers stand, in inches from the left
ALARM, BLUE, EMPTY = "#c81d25", "#2e6f95", 0.85
MOST_THUMBNAILS, THUMBNAIL = 24, 32  # how many, and their side in pixels
MOST_PAIRS, MOST_LINES = 8, 3
BETWEEN = LinearSegmentedColormap.from_list("between", ["#2e6f95", "#cfcfcf", "#e4572e"])


class MonitorPicture:
    """The whole picture.

    Args:
      images: (n, ...), the observations whose z are shown, float32, nan where they are not seen; those with 1 or 3
        channels are drawn as images.
      pairs: which of them are shown beside their reconstructions, an array of their places.
      latent_dim: d.
      measured: whether they are observations A(image), which have no pictures f(z) beside them but A(f(z)).
      in_nats: whether the losses are nats, and not mean squared errors.
    """

    def __init__(
        self, images: np.ndarray, pairs: np.ndarray, latent_dim: int, measured: bool = False, in_nats: bool = False
    ):
        with context("abp_jax.course", after_reset=True):
            self.figure = Figure((WIDTH, HEIGHT), dpi=DPI, facecolor="white", layout="none")
            self.canvas = FigureCanvasAgg(self.figure)
            self.captions, self.values = zip(*map(self._number, COLUMNS), strict=True)
            self.loss = (NatsCurve if in_nats else LossCurve)(self._axes(0.6, 2.5))
            self.z = (ZLine if latent_dim == 1 else ZPlane)(self._axes(3.6, SIDE), images, latent_dim)
            kind = ImagePairs if are_images(images) else Lines
            self.pairs = kind(self._axes(6.84, SIDE), images[pairs], "A f(z)" if measured else "f(z)")

    def _number(self, x: float):
        at = lambda y: (x / WIDTH, y / HEIGHT)
        caption = self.figure.text(*at(HEIGHT - 0.22), "", color=QUIET, fontsize=9)
        return caption, self.figure.text(*at(HEIGHT - 0.46), "", color=INK, fontsize=13)

    def _axes(self, x: float, width: float):
        ax = self.figure.add_axes((x / WIDTH, BOTTOM / HEIGHT, width / WIDTH, SIDE / HEIGHT))
        ax.xaxis.set_label_coords(0.5, -0.14)
        ax.yaxis.set_label_coords(-0.12, 0.5)
        return ax

    def draw(
        self,
        numbers: list[tuple[str, str, bool]],
        losses: np.ndarray,
        z: np.ndarray,
        reconstructions: np.ndarray | None,
        final: bool,
    ) -> bytes:
        """Returns the picture as PNG.

        Args:
          numbers: up to four of caption, value, and whether it is alarming, as many in every call.
          losses: (iterations done,).
          z: (n, d).
          reconstructions: f(z) of the pairs, or None while there are none.
          final: whether to take some time to make it small.
        """
        with context("abp_jax.course", after_reset=True):
            for caption, value, (name, text, alarming) in zip(self.captions, self.values, numbers, strict=False):
                caption.set_text(name)
                value.set(text=text, color=ALARM if alarming else INK)
            self.loss.update(losses)
            self.z.update(z)
            if reconstructions is not None:
                self.pairs.update(reconstructions)
            self.canvas.draw()
        return encode(np.asarray(self.canvas.buffer_rgba())[..., :3], final)


class ZPlane:
    """The first two coordinates of z: small images where they are, or dots coloured by how the data vary most."""

    def __init__(self, ax: Axes, images: np.ndarray, latent_dim: int):
        self.ax = ax
        for radius in (1, 2):
            ax.add_patch(Circle((0, 0), radius, fill=False, edgecolor="#aaaaaa", linestyle=(0, (4, 3)), linewidth=0.9))
        self.thumbnails = self.shown = self.dots = None
        if are_images(images) and len(images) <= MOST_THUMBNAILS:
            self.thumbnails = [framed(image) for image in images]
            self.shown = ax.imshow(np.zeros((1, 1, 4)), extent=(-1, 1, -1, 1), zorder=2, aspect="auto")
        else:
            style = dict(s=22 if len(images) <= 200 else 9, cmap=BETWEEN, linewidths=0, alpha=0.9)
            self.dots = ax.scatter(*np.zeros((2, len(images))), c=main_variation(images), **style)
        for axis, name in ((ax.xaxis, "$z_1$"), (ax.yaxis, "$z_2$")):
            axis.set_major_locator(MaxNLocator(6, integer=True))
            axis.set_label_text(name)
        coloured = ", coloured by y" if self.dots else ""
        head(ax, ("where the z are" if latent_dim == 2 else f"the first 2 of {latent_dim} z") + coloured)

    def update(self, z: np.ndarray) -> None:
        """Moves what is shown. The range grows in steps, so that it does not tremble."""
        steps = np.ceil(np.log(max(1e-6, np.abs(z[:, :2]).max()) * 1.08 / 2.7) / np.log(1.4))
        limit = 2.7 * 1.4 ** max(0, steps)
        self.ax.set(xlim=(-limit, limit), ylim=(-limit, limit))
        if self.dots is not None:
            return self.dots.set_offsets(z[:, :2])
        pixels = round(SIDE * DPI)
        canvas = np.zeros((pixels, pixels, 4), np.uint8)
        for image, place in zip(self.thumbnails, z[:, :2] * [1, -1], strict=True):
            row, column = np.round((place[::-1] / limit + 1) / 2 * pixels - np.array(image.shape[:2]) / 2).astype(int)
            row, column = (min(max(0, c), pixels - s) for c, s in zip((row, column), image.shape, strict=False))
            canvas[row:, column:][: image.shape[0], : image.shape[1]] = image
        self.shown.set_data(canvas)
        self.shown.set_extent((-limit, limit, -limit, limit))


class ZLine:
    """One number z for each example: a histogram beside the prior's density."""

    def __init__(self, ax: Axes, images: np.ndarray, latent_dim: int):
        self.ax = ax
        self.steps = ax.stairs(np.zeros(24), np.linspace(-4, 4, 25), fill=True, color=BLUE, alpha=0.55)
        x = np.linspace(-10, 10, 401)
        ax.plot(x, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), color=QUIET, linestyle=(0, (4, 3)), linewidth=1.2)
        (self.rug,) = ax.plot([], [], "|", color=INK, markersize=9, transform=ax.get_xaxis_transform())
        ax.set(xlabel="$z$", yticks=[])
        head(ax, "where the z are")

    def update(self, z: np.ndarray) -> None:
        """Counts anew."""
        limit = max(3.2, 1.05 * np.abs(z).max())
        heights, edges = np.histogram(z[:, 0], bins=24, range=(-limit, limit), density=True)
        self.steps.set_data(heights, edges)
        self.rug.set_data(z[:, 0], np.full(len(z), 0.02))
        self.ax.set(xlim=(-limit, limit), ylim=(0, 1.1 * max(0.4, heights.max())))


class ImagePairs:
    """Images, in grey where they are not seen, and under each its reconstruction, which has a name."""

    def __init__(self, ax: Axes, images: np.ndarray, name: str = "f(z)"):
        hidden = not np.isfinite(images).all()
        self.images = images = filled(images)
        self.columns = len(images) if len(images) <= MOST_PAIRS // 2 else -(-len(images) // 2)
        canvas = self._compose(np.full_like(images, 2 * EMPTY - 1))
        self.shown = ax.imshow(canvas)
        ax.set_axis_off()
        ax.set_anchor("NW")
        head(ax, f"y (grey: not seen), and {name}" if hidden else f"images y, reconstructions {name}")
        side = images.shape[1]
        for block in range(0, len(images), self.columns):
            top = block // self.columns * (canvas.shape[0] + side // 8) / 2
            for row, label in enumerate(("y", name)):
                y = top + (0.5 + row) * side
                ax.text(-0.08 * side, y, label, color=QUIET, fontsize=9, ha="right", va="center")

    def update(self, reconstructions: np.ndarray) -> None:
        """Puts the reconstructions in their places."""
        self.shown.set_data(self._compose(reconstructions))

    def _compose(self, reconstructions: np.ndarray):
        blocks, side = [], self.images.shape[1]
        for i in range(0, len(self.images), self.columns):
            rows = [np.ones((self.columns, *self.images.shape[1:]), np.float32) for _ in range(2)]
            for row, images in zip(rows, (self.images, reconstructions), strict=True):
                row[: len(images[i : i + self.columns])] = images[i : i + self.columns]
            block = tile(np.concatenate(rows), self.columns, gap=max(1, side // 32))
            blocks += [block, np.ones((side // 8, *block.shape[1:]), np.float32)]
        return np.concatenate(blocks[:-1])


class Lines:
    """A few observations that are no images, number by number: dots, and their reconstructions as lines."""

    def __init__(self, ax: Axes, images: np.ndarray, name: str = "f(z)"):
        observations = images.reshape(len(images), -1)[:MOST_LINES]
        self.ax, self.x = ax, np.arange(1, observations.shape[1] + 1)
        marker = dict(marker="o", linestyle="none") if len(self.x) <= 64 else dict(alpha=0.4, linewidth=3)
        self.observed = [ax.plot(self.x, y, **marker)[0] for y in observations]
        self.lines = [ax.plot([], [], color=line.get_color(), linewidth=1.4)[0] for line in self.observed]
        names = "dots" if len(self.x) <= 64 else "broad"
        ax.set_xlabel("number")
        head(ax, f"y ({names}), {'reconstructions ' if name == 'f(z)' else ''}{name} (lines)")
        ax.margins(0.06)

    def update(self, reconstructions: np.ndarray) -> None:
        """Moves the lines."""
        for line, y in zip(self.lines, reconstructions.reshape(len(reconstructions), -1), strict=False):
            line.set_data(self.x, y)
        self.ax.relim()
        self.ax.autoscale_view()


def are_images(images: np.ndarray) -> bool:
    """Whether observations (n, ...) can be drawn: (n, height, width, 1 or 3)."""
    return images.ndim == 4 and images.shape[-1] in (1, 3)


def filled(images: np.ndarray) -> np.ndarray:
    """Returns images with light grey in the place of every number that is nan."""
    return np.where(np.isfinite(images), images, np.float32(2 * EMPTY - 1))


def framed(image: np.ndarray) -> np.ndarray:
    """Returns a small copy of an image (h, w, c) in a white frame, nan as grey: RGBA from 0 to 255."""
    pixels = np.uint8(255 * np.broadcast_to(to_display(filled(image)), (*image.shape[:2], 3)))
    scale = THUMBNAIL / max(pixels.shape)
    size = [max(1, round(scale * side)) for side in pixels.shape[1::-1]]
    small = Image.fromarray(pixels).resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST)
    return np.asarray(ImageOps.expand(small, 1, "white").convert("RGBA"))


def main_variation(observations: np.ndarray) -> np.ndarray:
    """Returns each observation's place along the direction in which they vary most, as a rank from 0 to 1: (n,).

    A number that is nan stands at the mean of the others of its kind, and so has no say.
    """
    y = observations.reshape(len(observations), -1).astype(np.float64)
    y = y[:, :: -(-y.shape[1] // 256)]
    seen = np.isfinite(y)
    mean = np.sum(y, axis=0, where=seen) / np.maximum(1, seen.sum(axis=0))
    scores = np.linalg.svd(np.where(seen, y - mean, 0), full_matrices=False)[0][:, 0]
    return np.argsort(np.argsort(scores)) / max(1, len(scores) - 1)


def encode(pixels: np.ndarray, small: bool) -> bytes:
    """Returns (height, width, 3) from 0 to 255 as PNG bytes; `small` means in 256 colours."""
    image = Image.fromarray(pixels)
    image = image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE) if small else image
    return encoded(image, compress_level=9 if small else 3)

"""Complete the picture: the first pixels of an image are known, a model draws the rest, and a slider says how many.

    x_known given,   x_rest ~ p(x_rest | x_known)        several draws side by side, and the mean of many

Any model of bits will do that is a function complete(key, x, known) -> x. A draw has its key, and keeps it while the
slider moves: a model that draws its uniform numbers from the key first, all of them, then changes only where it must.
"""

import html
from collections.abc import Callable, Sequence

import ipywidgets
import jax
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from abp_jax.images import arguments
from abp_jax.relatives import bits
from abp_jax.widgets.encoding import encoded, guarded
from abp_jax.widgets.names import Names

PAPER, INK, UNKNOWN = (232, 232, 232), (40, 40, 40), (250, 250, 250)
DRAWN_PAPER, DRAWN_INK = (253, 226, 217), (228, 87, 46)
SIDE, GAP, LABEL = 88, 10, 22  # of a picture, between two, and of the line above, in pixels of the screen


def coloured(x: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Returns what the viewer shows of pixels: those known from grey to black, those drawn from pale to strong red.

    x: from 0 to 1, (...): bits, or probabilities. known: True or False for each, (...). Returns (..., 3), uint8.
    """
    x, known = np.asarray(x, float)[..., None], np.asarray(known, bool)[..., None]
    colours = np.where(known, (1 - x) * PAPER + x * INK, (1 - x) * DRAWN_PAPER + x * DRAWN_INK)
    return np.uint8(np.rint(colours))


class CompletionViewer(ipywidgets.VBox):
    """Shows completions of an image, with a slider for how many of its pixels are known.

    From left to right: the image; what is known of it; completions, drawn pixels in red; the mean of `num_averaged`
    completions, an estimate of the probability that each pixel is 1. Errors are shown under the picture.

    Args:
      complete: (key, x (n,), known) -> (n,): draws all pixels of x after the first `known`, for jax to trace. Such as
        lambda key, x, known: nade.complete(key, params, x, known).
      images: bits, (N, n), to choose from.
      key: for the draws.
      shape: (height, width) of an image, by default square.
      order: in which order pixels become known, (n,), by default 0, ..., n - 1.
      num_completions: how many are shown.
      num_averaged: how many the mean is of, at least as many.
      names: of the images, by default "image 1", "image 2", ...

    Attributes:
      slider: the IntSlider of `known`; it moves by rows (by as many pixels as an image is wide).
      pixels: a Checkbox: move by single pixels.
      choice: the Dropdown of the image (its index).
      again: the Button for another draw, which counts up `draw`.
      image, message: the ipywidgets.Image, and HTML beneath it.

    Raises:
      ValueError, TypeError: an argument is not of its kind or shape, or complete doesn't return x of its own shape.
    """

    def __init__(
        self,
        complete: Callable,
        images: np.ndarray,
        *,
        key: jax.Array,
        shape: tuple[int, int] | None = None,
        order: np.ndarray | None = None,
        num_completions: int = 6,
        num_averaged: int = 100,
        names: Sequence[str] | None = None,
    ):
        self.images, self.key, self.draw = bits.checked("images", images), arguments.key(key), 0
        n = self.images.shape[1]
        self.shape, self.order = bits.image_shape(shape, n), _order(order, n)
        self.num_completions = arguments.whole("num_completions", num_completions, of="completions")
        self.num_averaged = arguments.whole("num_averaged", num_averaged, least=self.num_completions)
        names = [f"image {i + 1}" for i in range(len(images))] if names is None else list(names)
        if len(names) != len(images):
            raise ValueError(f"names must be one for each of the {len(images)} images, got {len(names)}.")
        self._complete = jax.jit(jax.vmap(complete, (0, None, None)))
        self._check(complete)
        options = [(name, i) for i, name in enumerate(names)]
        self.choice = ipywidgets.Dropdown(options=options, description="image", layout={"width": "200px"})
        self.slider = ipywidgets.IntSlider(
            n // 2 // self.shape[1] * self.shape[1],
            max=n,
            step=self.shape[1],
            description="known",
            layout={"width": "340px"},
        )
        self.pixels = ipywidgets.Checkbox(description="pixel by pixel", indent=False, layout={"width": "120px"})
        self.again = ipywidgets.Button(description="another draw", icon="refresh", layout={"width": "124px"})
        self.image, self.message = ipywidgets.Image(format="png", layout={"max_width": "100%"}), ipywidgets.HTML()
        self._draw()
        for control in (self.slider, self.choice):
            control.observe(guarded(self.message, self._draw), names="value")
        self.pixels.observe(guarded(self.message, self._change_step), names="value")
        self.again.on_click(guarded(self.message, self._draw_again))
        controls = ipywidgets.HBox([self.choice, self.slider, self.pixels, self.again], layout={"flex_flow": "wrap"})
        names = Names(picture="the image, what is known of it, and completions of the rest")
        super().__init__([controls, self.image, self.message, names])

    def completions(self, known: int, image: int | None = None, draw: int | None = None) -> np.ndarray:
        """Draws completions; the widget does not change.

        Args:
          known: how many pixels, the first of the order, are those of the image: 0 to n.
          image: an index, by default of the one chosen.
          draw: 0, 1, ...: the same number gives the same keys, by default the one shown.

        Returns:
          (num_averaged, n), of which the first num_completions are those that `picture` shows.
        """
        known = arguments.whole("known", known, least=0, most=len(self.order))
        x = self.images[self.choice.value if image is None else image]
        keys = jax.random.split(jax.random.fold_in(self.key, self.draw if draw is None else draw), self.num_averaged)
        return np.asarray(self._complete(keys, x, known))

    def picture(self, known: int, image: int | None = None, draw: int | None = None) -> np.ndarray:
        """Draws what the widget shows: (height, width, 3), uint8. Arguments as in `completions`."""
        return self._picture(self.completions(known, image, draw), known, image)

    def explain(self, known: int, image: int | None = None, draw: int | None = None) -> str:
        """Returns a sentence or two on these completions. Arguments as in `completions`."""
        return self._explain(self.completions(known, image, draw), known, image)

    def _check(self, complete: Callable):
        n, wanted = len(self.order), "complete must be a function (key, x, known) -> x of one image"
        keys = jax.random.split(self.key, self.num_averaged)
        try:
            found = jax.eval_shape(self._complete, keys, self.images[0], 0)
        except Exception as error:
            raise ValueError(f"{wanted} that jax can trace: {type(error).__name__}: {error}") from error
        if getattr(found, "shape", None) != (self.num_averaged, n):
            raise ValueError(f"{wanted}, of shape ({n},) as it came; got {getattr(found, 'shape', found)}.")

    def _mask(self, known: int):
        mask = np.zeros(len(self.order), bool)
        mask[self.order[:known]] = True
        return mask

    def _picture(self, found: np.ndarray, known: int, image: int | None):
        x = np.asarray(self.images[self.choice.value if image is None else image])
        mask = self._mask(known)
        given = np.where(mask[:, None], coloured(x, mask), np.uint8(UNKNOWN))
        shown = [coloured(x, np.ones_like(mask)), given]
        shown += [coloured(one, mask) for one in (*found[: self.num_completions], found.mean(axis=0))]
        labels = ["image", "known", "completions", *[""] * (self.num_completions - 1), f"mean of {self.num_averaged}"]
        h, w = self.shape
        zoom = max(1, SIDE // max(h, w))
        canvas = Image.new("RGB", (len(shown) * (w * zoom + GAP) - GAP, LABEL + h * zoom), "white")
        draw = ImageDraw.Draw(canvas)
        for i, (one, label) in enumerate(zip(shown, labels, strict=True)):
            left = i * (w * zoom + GAP)
            canvas.paste(Image.fromarray(one.reshape(h, w, 3)).resize((w * zoom, h * zoom), 0), (left, LABEL))
            draw.text((left, 2), label, fill=INK, font=ImageFont.load_default(13))
        return np.asarray(canvas)

    def _explain(self, found: np.ndarray, known: int, image: int | None):
        x = np.asarray(self.images[self.choice.value if image is None else image])
        n, rest = len(x), ~self._mask(known)
        if known == n:
            return f"All {n} pixels are known: nothing is left to draw."
        different = len(np.unique(found, axis=0))
        agree = np.mean(found[:, rest] == x[rest])
        return (
            f"{known} of {n} pixels known, {n - known} drawn. Of {len(found)} completions {different} are different; "
            f"{agree:.0%} of the pixels drawn are as in the image."
        )

    def _draw(self):
        known = self.slider.value
        found = self.completions(known)
        self.image.value = encoded(self._picture(found, known, None), compress_level=1)
        self.message.value = html.escape(self._explain(found, known, None))

    def _draw_again(self):
        self.draw += 1
        self._draw()

    def _change_step(self):
        self.slider.step = 1 if self.pixels.value else self.shape[1]


def _order(order: np.ndarray | None, n: int):
    found = np.arange(n) if order is None else np.asarray(order)
    if found.shape != (n,) or not np.array_equal(np.sort(found), np.arange(n)):
        raise ValueError(f"order must hold each of 0, ..., {n - 1} once, got {arguments.shown(order)}.")
    return found

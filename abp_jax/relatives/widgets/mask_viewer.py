"""The mask viewer: change the order and the degrees of a MADE, and see what each output can see, and what p sums to."""

from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import traitlets

from abp_jax.images import arguments
from abp_jax.relatives import made_masks
from abp_jax.relatives.widgets import mask_drawing
from abp_jax.widgets.encoding import guarded
from abp_jax.widgets.names import Names

FOLDER = Path(__file__).parent
MOST_PIXELS, MOST_HIDDEN = 10, 16


class Drawing(anywidget.AnyWidget):
    """An SVG whose units can be clicked.

    Attributes:
      svg: the drawing.
      clicked: [kind of unit, its index, when]: "input", "output" or "hidden".
    """

    _esm = (FOLDER / "mask_viewer.js").read_text("utf-8")
    _css = (FOLDER / "mask_viewer.css").read_text("utf-8")
    svg = traitlets.Unicode().tag(sync=True)
    clicked = traitlets.List().tag(sync=True)


class MaskViewer(ipywidgets.VBox):
    """Shows the masks of a MADE with random weights, and the sum of its p(x) over all states, computed at every move.

    Click an output to light up what it sees; click two inputs to let them change places in the order. Buttons draw
    another order, or go back to 1, ..., n. Sliders redraw the hidden degrees, and say how many units and layers there
    are. "balanced" takes degrees as `made_masks.degrees` does, each equally often up to one; without it each is drawn
    on its own, and pairs of pixels may be cut apart. "break the rule" puts >= for > below the outputs.

    Args:
      num_pixels: n, from 2 to 10.
      num_hidden: units of each hidden layer, from 1 to 16; where degrees are balanced, at least n - 1 are used.
      num_layers: hidden layers, 1 or 2.
      seed: for degrees, and for the weights, which stay as they are.

    Attributes:
      order: the pixels, the first one first, a tuple of 0, ..., n - 1; set it to change it.
      output: the pixel whose conditional is lit up.
      degrees, masks: what is shown: of the pixels, then of each hidden layer; and the masks that follow.
      total: the sum of p(x) over all 2^n states.
      hidden, layers, seed: the sliders. balanced, broken: the checkboxes. shuffle, reset: the buttons.
      drawing: the Drawing. message: HTML, empty but for errors.

    Raises:
      TypeError, ValueError: an argument is no whole number, or out of its range.
    """

    order = traitlets.Any(())
    output = traitlets.Int()

    def __init__(self, num_pixels: int = 8, num_hidden: int = 8, *, num_layers: int = 1, seed: int = 0):
        n = arguments.whole("num_pixels", num_pixels, least=2, most=MOST_PIXELS, of="pixels")
        hidden = arguments.whole("num_hidden", num_hidden, most=MOST_HIDDEN, of="units")
        layers = arguments.whole("num_layers", num_layers, most=2, of="layers")
        seed = arguments.whole("seed", seed, least=0, most=99)
        self._chosen, self._shuffles = None, np.random.default_rng(seed)
        self._states = ((np.arange(2**n)[:, None] >> np.arange(n)[::-1]) & 1).astype(float)
        wide = {"style": {"description_width": "90px"}, "layout": {"width": "300px"}}
        slider = lambda name, value, low, high: ipywidgets.IntSlider(value, low, high, description=name, **wide)
        self.seed = slider("degrees", seed, 0, 99)
        self.hidden = slider("hidden units", hidden, 1, MOST_HIDDEN)
        self.layers = slider("layers", layers, 1, 2)
        box = lambda name: ipywidgets.Checkbox(False, description=name, indent=False, layout={"width": "230px"})
        self.balanced, self.broken = box("balanced degrees"), box("break the rule: ≥ below outputs")
        self.balanced.value = True
        self.shuffle = ipywidgets.Button(description="shuffle the order", icon="random")
        self.reset = ipywidgets.Button(description="order 1, ..., n", icon="undo")
        self.drawing, self.message = Drawing(), ipywidgets.HTML()
        rows = [self.shuffle, self.reset, self.balanced, self.broken], [self.seed, self.hidden, self.layers]
        super().__init__([*map(ipywidgets.HBox, rows), self.drawing, self.message, Names()])
        self.order, self.output = tuple(range(n)), n // 2
        self.draw()
        for control in (self.seed, self.hidden, self.layers, self.balanced, self.broken):
            control.observe(guarded(self.message, self.draw), names="value")
        self.observe(guarded(self.message, self.draw), names=["order", "output"])
        self.shuffle.on_click(guarded(self.message, lambda: self._set_order(self._shuffles.permutation(n))))
        self.reset.on_click(guarded(self.message, lambda: self._set_order(range(n))))
        self.drawing.observe(guarded(self.message, lambda: self._click(self.drawing.clicked)), names="clicked")

    @traitlets.validate("order")
    def _permutation(self, proposal: dict) -> tuple[int, ...]:
        n = self._states.shape[1]
        try:
            order = tuple(int(k) for k in proposal["value"])
        except (TypeError, ValueError):
            order = ()
        if sorted(order) != list(range(n)):
            raise ValueError(f"order must hold each of 0, ..., {n - 1} once, got {proposal['value']!r}.")
        return order

    @traitlets.validate("output")
    def _pixel(self, proposal: dict) -> int:
        return arguments.whole("output", proposal["value"], least=0, most=len(self.order) - 1)

    def draw(self):
        """Computes everything anew from the order and the controls, and shows it; an error of before is gone."""
        self.message.value = ""
        n = len(self.order)
        sizes = [max(self.hidden.value, n - 1 if self.balanced.value else 1)] * self.layers.value
        self.degrees = [np.argsort(self.order) + 1, *hidden_degrees(n, sizes, self.seed.value, self.balanced.value)]
        self.masks = masks(self.degrees, strict=not self.broken.value)
        self.total = float(probabilities(self.masks, random_weights(n, sizes), self._states).sum())
        self.drawing.svg = mask_drawing.draw(self.degrees, self.masks, self.output, self._chosen, self.total)

    def _set_order(self, order: Any):
        self._chosen = None
        self.order = tuple(int(k) for k in order)
        self.draw()

    def _click(self, clicked: list):
        kind, index = (*clicked, None, None)[:2]
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(self.order):
            return
        if kind == "output":
            self.output = index
        elif kind == "input" and self._chosen in (None, index):
            self._chosen = index if self._chosen is None else None
            self.draw()
        elif kind == "input":
            swap = {index: self._chosen, self._chosen: index}
            self._set_order(swap.get(k, k) for k in self.order)


def hidden_degrees(n: int, sizes: list[int], seed: int, balanced: bool) -> list[np.ndarray]:
    """Returns degrees from 1 to n - 1 of hidden layers of these sizes: each equally often up to one, or at random."""
    rng = np.random.default_rng(seed)
    if not balanced:
        return [rng.integers(1, n, size) for size in sizes]
    return [rng.permutation(np.resize(rng.permutation(n - 1) + 1, size)) for size in sizes]


def masks(degrees: list[np.ndarray], strict: bool = True) -> made_masks.Masks:
    """Returns `made_masks.masks` in NumPy, which compiles nothing; without `strict`, with >= below the outputs too."""
    place, below, layers = degrees[0], degrees[0], []
    for m in degrees[1:]:
        layers.append(m[:, None] >= below)
        below = m
    layers.append(place[:, None] > below if strict else place[:, None] >= below)
    return made_masks.Masks(np.argsort(place), tuple(layers))


def random_weights(n: int, sizes: list[int]) -> list[np.ndarray]:
    """Returns normal weights of each layer, always the same ones: a larger network's begin with a smaller one's."""
    rng, sizes, full = np.random.default_rng(0), [n, *sizes, n], max(MOST_PIXELS, MOST_HIDDEN)
    return [1.5 * rng.normal(size=(full, full))[:a, :b] for a, b in zip(sizes[1:], sizes[:-1], strict=True)]


def probabilities(masks: made_masks.Masks, weights: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    """Returns the product of the n outputs for examples x (N, n), as if it were p(x): (N,). Biases are zero."""
    h = x
    for layer, (mask, W) in enumerate(zip(masks.layers, weights, strict=True)):
        h = (np.maximum(h, 0) if layer else h) @ np.where(mask, W, 0).T
    return np.exp(-np.logaddexp(0, (1 - 2 * x) * h).sum(axis=1))

"""The critic's view: move a Gaussian p_G before p_data on a line, and see D*, C(G) and where three losses send p_G.

All is a sum over a grid of the line, in 64 bits, but for the ticks: these are slopes as batches of draws have them.
"""

from pathlib import Path

import anywidget
import ipywidgets
import numpy as np
import traitlets

from abp_jax.images import arguments
from abp_jax.relatives.widgets import critics_drawing, sliders
from abp_jax.relatives.widgets.critics_drawing import View
from abp_jax.widgets.encoding import guarded
from abp_jax.widgets.names import Names

FOLDER = Path(__file__).parent
GRID = np.linspace(-30, 30, 6001)
CELL = GRID[1] - GRID[0]
MEANS, WIDTHS = (-6.0, 6.0), (0.3, 3.0)
DATA = {  # (share, mean, width) of each Gaussian
    "one Gaussian": ((1.0, 0.0, 1.0),),
    "two Gaussians": ((0.5, -2.0, 0.6), (0.5, 2.0, 0.6)),
}
NUM_BATCHES, NUM_DRAWS = 24, 64
NOISE = np.random.default_rng(0).normal(size=(NUM_BATCHES, NUM_DRAWS))  # the same in every view: ticks move smoothly
LOSSES = {  # g(a), and its derivative
    "minimax": (lambda a: -_softplus(a), lambda a: -_sigmoid(a)),
    "non-saturating": (lambda a: _softplus(-a), lambda a: -_sigmoid(-a)),
    "maximum likelihood": (lambda a: -np.exp(np.minimum(a, 700)), lambda a: -np.exp(np.minimum(a, 700))),
}


class Drawing(anywidget.AnyWidget):
    """An SVG on which one can drag.

    Attributes:
      svg: the drawing.
      scale: pixels of the SVG for one unit of the line.
      at: mean and width of p_G as they are.
      dragged: mean and width of p_G as the hand wants them.
    """

    _esm = (FOLDER / "critics_view.js").read_text("utf-8")
    _css = (FOLDER / "critics_view.css").read_text("utf-8")
    svg = traitlets.Unicode().tag(sync=True)
    scale = traitlets.Float().tag(sync=True)
    at = traitlets.List().tag(sync=True)
    dragged = traitlets.List().tag(sync=True)


class CriticsView(ipywidgets.VBox):
    """Shows p_data, p_G, the optimal critic, C(G), and the slopes of the three losses in the mean and width of p_G.

    Drag the drawing: sideways moves the mean, upwards makes p_G narrower. Or use the sliders.

    Args:
      mean: of p_G, from -6 to 6.
      width: its standard deviation, from 0.3 to 3.
      data: "one Gaussian", N(0, 1), or "two Gaussians", at -2 and 2, of width 0.6.

    Attributes:
      mean, width: the sliders. data: the buttons.
      view: the View that is shown.
      drawing: the Drawing. message: HTML, empty but for errors.

    Raises:
      TypeError, ValueError: an argument is not of its kind, or out of its range.
    """

    def __init__(self, mean: float = 3.0, width: float = 1.0, data: str = "one Gaussian"):
        mean, width = _within("mean", mean, MEANS), _within("width", width, WIDTHS)
        wide = {"style": {"description_width": "50px"}, "layout": {"width": "340px"}, "readout_format": ".2f"}
        slider = lambda name, value, ends: ipywidgets.FloatSlider(value, min=ends[0], max=ends[1], step=0.01, **wide)
        self.mean, self.width = slider("mean", mean, MEANS), slider("width", width, WIDTHS)
        self.mean.description, self.width.description = "mean", "width"
        self.data = ipywidgets.ToggleButtons(options=list(DATA), value=_known(data), style={"button_width": "120px"})
        self.drawing, self.message = Drawing(), ipywidgets.HTML()
        self.drawing.scale = critics_drawing.place(1.0) - critics_drawing.place(0.0)
        super().__init__([ipywidgets.HBox([self.mean, self.width, self.data]), self.drawing, self.message, Names()])
        self._moving, self._at = False, (mean, width)
        self.draw()
        for slider in (self.mean, self.width):
            slider.observe(guarded(self.message, self._slide), names="value")
        self.data.observe(guarded(self.message, self.draw), names="value")
        self.drawing.observe(guarded(self.message, self._drag), names="dragged")

    def draw(self):
        """Computes everything anew from the controls, and shows it; an error of before is gone."""
        self.message.value = ""
        self.view = view(*self._at, self.data.value)
        self.drawing.at = list(self._at)
        self.drawing.svg = critics_drawing.draw(self.view, self._at[0], NUM_DRAWS)

    def _slide(self):
        """A browser also puts a slider that was moved from here on a whole step, and tells: that moves nothing."""
        at = tuple(sliders.wanted(*pair) for pair in zip((self.mean, self.width), self._at, strict=True))
        if at != self._at and not self._moving:
            self._at = at
            self.draw()

    def _drag(self):
        wanted = self.drawing.dragged
        numbers = [x for x in wanted if isinstance(x, (int, float)) and not isinstance(x, bool) and np.isfinite(x)]
        if len(wanted) != 2 or len(numbers) != 2:
            return
        self._moving = True
        self._at = tuple(float(np.clip(x, *ends)) for x, ends in zip(numbers, (MEANS, WIDTHS), strict=True))
        try:
            self.mean.value, self.width.value = self._at
        finally:
            self._moving = False
        self.draw()


def view(mean: float, width: float, data: str = "one Gaussian") -> View:
    """Returns the View of p_G = N(mean, width^2) before the data. Arguments as of `CriticsView`.

    With the critic held still, the slope of E_G g(a) in a parameter of p_G is E_G g(a) d log p_G.
    """
    mean, width = _within("mean", mean, MEANS), _within("width", width, WIDTHS)
    mixture, u = DATA[_known(data)], (GRID - mean) / width
    log_p, log_q = log_density(GRID, mixture), log_density(GRID, ((1.0, mean, width),))
    p, q, a = np.exp(log_p), np.exp(log_q), log_p - log_q
    log_m = np.logaddexp(log_p, log_q) - np.log(2)
    kl = lambda log_p, log_q: CELL * np.sum(np.exp(log_p) * (log_p - log_q))
    jsd = (kl(log_p, log_m) + kl(log_q, log_m)) / 2
    value = -CELL * np.sum(p * _softplus(-a) + q * _softplus(a))
    weighted = {name: q * g(a) for name, (g, _) in LOSSES.items()} | {"maximum likelihood": -p}  # q e^a = p
    slopes = {name: (CELL * np.sum(w * u) / width, CELL * np.sum(w * (u**2 - 1))) for name, w in weighted.items()}
    estimates = {name: _estimates(slope, mean, width, mixture) for name, (_, slope) in LOSSES.items()}
    return View(GRID, p, q, _sigmoid(a), value, jsd, kl(log_p, log_q), kl(log_q, log_p), slopes, estimates)


def log_density(y: np.ndarray, mixture: tuple) -> np.ndarray:
    """Returns the log density at each y of a mixture of Gaussians (share, mean, width)."""
    each = [np.log(share) - 0.5 * ((y - m) / s) ** 2 - np.log(s) - 0.5 * np.log(2 * np.pi) for share, m, s in mixture]
    return np.logaddexp.reduce(each)


def _estimates(slope, mean: float, width: float, mixture: tuple):
    """The slope in the mean by batches of draws y = mean + width u: the mean of g'(a(y)) a'(y), (batches,)."""
    y, own = mean + width * NOISE, ((1.0, mean, width),)
    a = log_density(y, mixture) - log_density(y, own)
    return np.mean(slope(a) * (_score(y, mixture) - _score(y, own)), axis=1)


def _score(y: np.ndarray, mixture: tuple):
    """d log p / dy."""
    log_p = log_density(y, mixture)
    return sum(np.exp(log_density(y, ((w, m, s),)) - log_p) * (m - y) / s**2 for w, m, s in mixture)


def _softplus(a: np.ndarray):
    return np.logaddexp(0, a)


def _sigmoid(a: np.ndarray):
    return np.exp(-_softplus(-a))


def _within(name: str, value: float, ends: tuple[float, float]):
    value = arguments.number(name, value, least=-np.inf)
    if not ends[0] <= value <= ends[1]:
        raise ValueError(f"{name} must be from {ends[0]:g} to {ends[1]:g}, got {value:g}.")
    return value


def _known(data: str):
    if data not in DATA:
        raise ValueError(f"data must be one of {list(DATA)}, got {data!r}.")
    return data

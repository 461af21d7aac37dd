"""Two divergences under the hand: one normal q, the posterior of y = z^2 + e with its two humps, KL(q||p) and KL(p||q).

    z ~ N(0, 1),  y = z^2 + e,  e ~ N(0, sigma^2):    p(z | y) is even in z, with two humps at about +-sqrt(y)

For q = N(m, s^2) all but two sums over a lattice is a formula. With E z^2 = m^2 + s^2, E z^4 = m^4 + 6 m^2 s^2 + 3 s^4,

    bound(m, s) = E_q log p(y, z) + log s + (1 + log 2 pi) / 2,         KL(q || p) = log p(y) - bound(m, s)
    KL(p || q) = E_p log p(z | y) + log s + (E_p (z - m)^2 / s^2 + log 2 pi) / 2

Sleep lowers the second, whose minimum has the mean 0 and the variance E_p z^2 of the posterior. The bound is highest at

    s^2 = (a - sqrt(a^2 - 12 sigma^2)) / 12 with a = 2 y - sigma^2,     m^2 = y - 3 s^2 - sigma^2 / 2

if there is such a number, on either side; for smaller y at m = 0, where 6 s^4 - (2 y - sigma^2) s^2 = sigma^2.
"""

from pathlib import Path
from typing import Any, NamedTuple

import anywidget
import ipywidgets
import numpy as np
import traitlets

from abp_jax.images import arguments
from abp_jax.relatives.widgets import divergence_picture, sliders
from abp_jax.widgets.encoding import encoded, guarded
from abp_jax.widgets.names import Names

FOLDER = Path(__file__).parent
Z = np.linspace(-6, 6, 4001)  # the lattice of the sums
LOG_2PI = np.log(2 * np.pi)


class Posterior(NamedTuple):
    """p(z | y) of y = z^2 + e.

    Attributes:
      y, sigma: what is observed, and the standard deviation of e.
      density: p(z | y) on the lattice Z, (num,).
      log_evidence: log p(y).
      variance: E_p z^2; the mean is 0.
      negative_entropy: E_p log p(z | y).
    """

    y: float
    sigma: float
    density: np.ndarray
    log_evidence: float
    variance: float
    negative_entropy: float


class Scores(NamedTuple):
    """How well a q does, in nats: KL(q || p), KL(p || q) and the bound, each of the shape of its mean and width."""

    kl_q_p: Any
    kl_p_q: Any
    bound: Any


def posterior(y: float, sigma: float) -> Posterior:
    """Returns p(z | y), by sums over the lattice Z. sigma > 0; at least 0.02, or the lattice is too coarse."""
    y, sigma = arguments.number("y", y, least=-np.inf), arguments.number("sigma", sigma, least=0.02, or_least=True)
    log_joint = -0.5 * (y - Z**2) ** 2 / sigma**2 - 0.5 * Z**2 - np.log(sigma) - LOG_2PI
    top, h = log_joint.max(), Z[1] - Z[0]
    log_evidence = top + np.log(h * np.exp(log_joint - top).sum())
    log_p = log_joint - log_evidence
    p = np.exp(log_p)
    return Posterior(y, sigma, p, float(log_evidence), float(h * p @ Z**2), float(h * p @ log_p))


def scores(p: Posterior, mean: Any, width: Any) -> Scores:
    """Returns the scores of q = N(mean, width^2), numbers or arrays of one shape."""
    variance = width**2
    second, fourth = mean**2 + variance, mean**4 + 6 * mean**2 * variance + 3 * variance**2
    squares = p.y**2 - 2 * p.y * second + fourth  # E_q (y - z^2)^2
    log_joint = -0.5 * squares / p.sigma**2 - 0.5 * second - np.log(p.sigma) - LOG_2PI
    bound = log_joint + np.log(width) + 0.5 * (1 + LOG_2PI)
    kl_p_q = p.negative_entropy + np.log(width) + 0.5 * ((p.variance + mean**2) / variance + LOG_2PI)
    return Scores(p.log_evidence - bound, kl_p_q, bound)


def best_asleep(p: Posterior) -> tuple[float, float]:
    """Returns mean and width of the q with the lowest KL(p || q): those of p itself."""
    return 0.0, p.variance**0.5


def best_bound(p: Posterior) -> tuple[float, float]:
    """Returns mean and width of the q with the highest bound, the lowest KL(q || p): of two such the right one."""
    a, noise = 2 * p.y - p.sigma**2, p.sigma**2
    places = [(0.0, (a + (a**2 + 24 * noise) ** 0.5) / 12)]
    if a > 0 and a**2 > 12 * noise:
        variance = (a - (a**2 - 12 * noise) ** 0.5) / 12
        places += [((p.y - 3 * variance - noise / 2) ** 0.5, variance)] * (p.y > 3 * variance + noise / 2)
    places = [(mean, variance**0.5) for mean, variance in places]
    return max(places, key=lambda q: scores(p, *q).bound)


class Picture(anywidget.AnyWidget):
    """A picture that a pointer can be moved on.

    Attributes:
      png: the picture.
      pointed: [x, y, when]: where a pointer with a pressed button is, as shares of the width and the height.
    """

    _esm = (FOLDER / "two_divergences.js").read_text("utf-8")
    png = traitlets.Bytes().tag(sync=True)
    pointed = traitlets.List().tag(sync=True)


class TwoDivergences(ipywidgets.VBox):
    """Shows p(z | y), a q under the hand, and maps of both divergences over the mean and the width of q.

    Drag on the left: the pointer holds the peak of q, a narrow q is a high one. Or drag on a map. Buttons put q at the
    lowest point of either map; where KL(q || p) has two, at that on q's side.

    Args:
      y: what is observed, from -1 to 3.
      sigma: standard deviation of e, from 0.1 to 1.
      mean, width: of q, to begin with; from -3 to 3, and from 0.05 to 3.

    Attributes:
      y, mean, width: FloatSliders.
      asleep, awake: the Buttons of the lowest KL(p || q) and the lowest KL(q || p).
      picture: the Picture. message: HTML, the numbers in words.
      posterior: the exact one of this y.

    Raises:
      TypeError, ValueError: an argument is no number, or out of its range.
    """

    def __init__(self, y: float = 1.0, sigma: float = 0.3, *, mean: float = 0.3, width: float = 0.5):
        self.sigma = _within("sigma", sigma, 0.1, 1)
        wide = {"style": {"description_width": "110px"}, "layout": {"width": "300px"}}
        slider = lambda kind, name, value, low, high, **more: kind(
            value, min=low, max=high, description=name, readout_format=".2f", **more, **wide
        )
        M, S = divergence_picture.MEANS, divergence_picture.WIDTHS
        log_s, line = np.log10(S), ipywidgets.FloatSlider
        self.y = slider(line, "observed y", _within("y", y, -1, 3), -1, 3, step=0.05)
        self.mean = slider(line, "mean m of q", _within("mean", mean, *M), *M, step=0.01)
        self.width = slider(
            ipywidgets.FloatLogSlider, "width s of q", _within("width", width, *S), *log_s, base=10, step=0.005
        )
        button = lambda name: ipywidgets.Button(description=name, layout={"width": "220px"})
        self.asleep, self.awake = button("sleep: lowest KL(p‖q)"), button("bound: lowest KL(q‖p)")
        self.picture, self.message = Picture(), ipywidgets.HTML()
        self._still, self._q = False, (self.mean.value, self.width.value)
        self._observe()
        for control, redraw in ((self.y, self._observe), (self.mean, self._slide), (self.width, self._slide)):
            control.observe(guarded(self.message, redraw), names="value")
        self.asleep.on_click(guarded(self.message, lambda: self.move(*best_asleep(self.posterior))))
        self.awake.on_click(guarded(self.message, self._to_the_bound))
        self.picture.observe(guarded(self.message, self._follow), names="pointed")
        rows = [self.y, self.asleep, self.awake], [self.mean, self.width]
        super().__init__([*map(ipywidgets.HBox, rows), self.picture, self.message, Names()])

    @property
    def scores(self) -> Scores:
        """Those of the q that is shown."""
        return scores(self.posterior, *self._q)

    def move(self, mean: float, width: float) -> None:
        """Puts q = N(mean, width^2), as far as the sliders go, and draws once."""
        ends = divergence_picture.MEANS, divergence_picture.WIDTHS
        self._still, self._q = True, tuple(float(np.clip(x, *e)) for x, e in zip((mean, width), ends, strict=True))
        try:
            self.mean.value, self.width.value = self._q
        finally:
            self._still = False
        self._draw()

    def _observe(self):
        self.posterior = posterior(self.y.value, self.sigma)
        self._maps = maps(self.posterior)
        self._draw()

    def _slide(self):
        """A browser also puts a slider that was moved from here on a whole step, and tells: that moves nothing."""
        q = tuple(sliders.wanted(*pair) for pair in zip((self.mean, self.width), self._q, strict=True))
        if q != self._q and not self._still:
            self._q = q
            self._draw()

    def _draw(self):
        (mean, width), found = self._q, self.scores
        self.picture.png = encoded(
            divergence_picture.draw(Z, self.posterior.density, mean, width, self._maps, found[:2]), compress_level=1
        )
        self.message.value = (
            f"log p(y) = {self.posterior.log_evidence:.3f} nats = bound {found.bound:.3f} + KL(q‖p) "
            f"{found.kl_q_p:.3f}; and KL(p‖q) = {found.kl_p_q:.3f}."
        )

    def _to_the_bound(self):
        mean, width = best_bound(self.posterior)
        self.move(-mean if self._q[0] < 0 else mean, width)

    def _follow(self):
        pointed = self.picture.pointed
        if len(pointed) >= 2 and all(isinstance(v, int | float) and np.isfinite(v) for v in pointed[:2]):
            place = divergence_picture.q_at(*pointed[:2], self.posterior.density.max())
            if place is not None:
                self.move(*place)


def maps(p: Posterior) -> divergence_picture.Maps:
    """Returns both divergences over the means and widths of the maps, and where each is lowest."""
    mean, width = divergence_picture.map_points()
    kl_q_p, kl_p_q, _ = scores(p, mean, width)
    m, s = best_bound(p)
    return divergence_picture.Maps(kl_q_p, kl_p_q, ((m, s), (-m, s)), (best_asleep(p),))


def picture(y: float, sigma: float, mean: float, width: float) -> np.ndarray:
    """Returns what the widget shows for this q: (height, width, 3), uint8, for a page without a kernel."""
    p = posterior(y, sigma)
    return divergence_picture.draw(Z, p.density, mean, width, maps(p), scores(p, mean, width)[:2])


def _within(name: str, value: Any, low: float, high: float):
    found = arguments.number(name, value, least=-np.inf)
    if not low <= found <= high:
        raise ValueError(f"{name} must be from {low:g} to {high:g}, got {found:g}.")
    return found

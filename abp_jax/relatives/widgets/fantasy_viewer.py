"""The fantasy viewer: block Gibbs on the images of a restricted Boltzmann machine, step by step under a slider.

What such a machine draws by itself, without data, Hinton called its fantasies. All states are computed once; the slider
only shows them. Pictures are drawn without matplotlib, which is too slow for a slider: twice as large, then halved.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import ipywidgets
import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from abp_jax.images import arguments
from abp_jax.relatives import bits
from abp_jax.relatives.rbm import RBM, free_energy, hidden_logits, visible_logits
from abp_jax.widgets.encoding import WITHOUT_WIDGETS, encoded, guarded
from abp_jax.widgets.names import Names

MOST_CHAINS = 12
STARTS = ("data", "noise")
INK, PALE, CHAIN, BAND = (40, 40, 40), (214, 214, 214), (228, 87, 46), (205, 226, 211)
CELL, GAP, LEFT, TOP, PLOT = 112, 12, 150, 70, 620  # of the picture, before it is halved


class Chains(NamedTuple):
    """Chains of block Gibbs: h ~ p(h | v) beside each v, and the next v ~ p(v | h).

    Attributes:
      v: the visible bits, (chains, k + 1, visible), the first where the chain starts.
      h: the hidden bits drawn from each v, (chains, k + 1, hidden).
      free_energy: F(v), (chains, k + 1).
    """

    v: np.ndarray
    h: np.ndarray
    free_energy: np.ndarray


@partial(jax.jit, static_argnames="num_steps")
def run_chains(key: jax.Array, rbm: RBM, v: jax.Array, num_steps: int) -> Chains:
    """Runs a chain of `num_steps` steps of block Gibbs from each v (chains, visible), and keeps every state."""

    def step(v, key):
        up, down = jax.random.split(key)
        h = _drawn(up, hidden_logits(rbm, v))
        return _drawn(down, visible_logits(rbm, h)), (v, h, free_energy(rbm, v))

    def one(key, v):
        return Chains(*jax.lax.scan(step, v, jax.random.split(key, num_steps + 1))[1])

    return jax.vmap(one)(jax.random.split(key, len(v)), v)


def _drawn(key: jax.Array, logits: jax.Array):
    return jax.random.bernoulli(key, jax.nn.sigmoid(logits)).astype(logits.dtype)


class FantasyViewer(ipywidgets.VBox):
    """Shows chains of block Gibbs on a learned machine, with a slider for k, the number of steps.

    From the top: where the chains start, v^(k), and the hidden bits h^(k) drawn from it; beside them the free energy of
    every chain, and a band with 90 % of the machine's own draws, if these are given. Chains start at the images, or at
    as many coins for every bit. Errors are shown under the picture.

    Args:
      rbm: the machine.
      images: to start from, bits, (n, visible), n from 1 to 12.
      key: for the coins and the chains.
      draws: from p(v), such as `rbm.exact_draws`, (m, visible), for the band.
      num_steps: how far the chains go.
      shape: of an image, (height, width); by default a square.

    Attributes:
      slider: the IntSlider of k.
      start: ToggleButtons, "data" or "noise".
      again: Button: the same with new random numbers.
      image, message: the ipywidgets.Image, and the free energies at k.

    Raises:
      TypeError, ValueError: an argument is not as above, or they don't fit together.
    """

    def __init__(
        self,
        rbm: RBM,
        images: jax.Array,
        *,
        key: jax.Array,
        draws: jax.Array | None = None,
        num_steps: int = 100,
        shape: Sequence[int] | None = None,
    ):
        self.rbm, self.key = _machine(rbm), arguments.key(key)
        self._images = bits.checked("images", images, self.rbm.b.size).astype(self.rbm.W.dtype)
        if len(self._images) > MOST_CHAINS:
            raise ValueError(f"images must be at most {MOST_CHAINS}, one for each chain; got {len(self._images)}.")
        self._shape = bits.image_shape(shape, self.rbm.b.size)
        self.num_steps, self.restarts = arguments.whole("num_steps", num_steps), 0
        self.band = None if draws is None else self._band(bits.checked("draws", draws, self.rbm.b.size))
        self._run()
        self.slider = ipywidgets.IntSlider(0, 0, self.num_steps, description="steps k", layout={"width": "460px"})
        self.start = ipywidgets.ToggleButtons(options=STARTS, description="start from", style={"button_width": "70px"})
        self.again = ipywidgets.Button(description="new random numbers", icon="refresh")
        self.image, self.message = ipywidgets.Image(format="png"), ipywidgets.HTML()
        self.image.layout.object_fit = "contain"
        self._draw()
        self.slider.observe(guarded(self.message, self._draw), names="value")
        self.start.observe(guarded(self.message, self._draw), names="value")
        self.again.on_click(guarded(self.message, self._start_again))
        buttons = ipywidgets.HBox([self.start, self.again])
        names = Names(picture="the chains after k steps, and their free energies")
        super().__init__([buttons, self.slider, self.image, self.message, names])

    def chains(self, start: str = "data") -> Chains:
        """Returns the chains from "data" or from "noise"."""
        if start not in STARTS:
            raise ValueError(f"start must be one of {', '.join(STARTS)}; got {start!r}.")
        return self._chains[start]

    def picture(self, k: int | None = None, start: str | None = None) -> np.ndarray:
        """Returns what is shown after k steps, by default as the slider and the buttons stand: (height, width, 3)."""
        k = self.slider.value if k is None else arguments.whole("k", k, least=0, most=self.num_steps)
        shown = self.chains(self.start.value if start is None else start)
        return draw(shown, k, self._shape, self.band)

    def _repr_mimebundle_(self, **options):
        bundle = super()._repr_mimebundle_(**options)
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        data["text/plain"] = WITHOUT_WIDGETS.format("fantasy viewer")
        return bundle

    def _band(self, draws: jax.Array):
        found = jax.vmap(partial(free_energy, self.rbm))(draws.astype(self.rbm.W.dtype))
        return tuple(map(float, np.quantile(found, (0.05, 0.95))))

    def _run(self):
        key = jax.random.fold_in(self.key, self.restarts)
        coins_key, *keys = jax.random.split(key, 1 + len(STARTS))
        coins = jax.random.bernoulli(coins_key, shape=self._images.shape).astype(self._images.dtype)
        runs = (run_chains(k, self.rbm, v, self.num_steps) for k, v in zip(keys, (self._images, coins), strict=True))
        self._chains = {start: Chains(*map(np.asarray, run)) for start, run in zip(STARTS, runs, strict=True)}

    def _draw(self):
        k, energies = self.slider.value, self.chains(self.start.value).free_energy
        self.image.value = encoded(self.picture(), compress_level=1)
        text = f"k = {k}: free energy {energies[:, k].mean():.1f} on the mean of {len(energies)} chains"
        if self.band:
            text += f"; nine in ten of the machine's own draws have {self.band[0]:.1f} to {self.band[1]:.1f}"
        self.message.value = text + "."

    def _start_again(self):
        self.restarts += 1
        self._run()
        self._draw()


def _machine(rbm: RBM) -> RBM:
    try:
        W, b, c = map(jnp.asarray, rbm)
    except (TypeError, ValueError):
        raise ValueError(f"rbm must be an RBM(W, b, c), got {arguments.shown(rbm)}.") from None
    jax.eval_shape(hidden_logits, RBM(W, b, c), jnp.zeros(b.shape))  # raises ValueError if they don't fit together
    if not all(bool(jnp.all(jnp.isfinite(p))) for p in (W, b, c)):
        raise ValueError("rbm must have finite parameters, but holds nan or infinite values.")
    return RBM(W, b, c)


def draw(chains: Chains, k: int, shape: tuple[int, int], band: tuple[float, float] | None = None) -> np.ndarray:
    """Returns the picture of the chains after k steps, (height, width, 3), uint8.

    shape: of an image. band: of free energies, to be shaded.
    """
    num, hidden = len(chains.v), chains.h.shape[-1]
    columns = int(np.ceil(hidden**0.5))
    width = LEFT + num * (CELL + GAP)
    height = 2 * TOP + 3 * CELL + 2 * GAP
    canvas = Image.new("RGB", (width + 120 + PLOT, height), "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(26)
    padded = np.full((num, -(-hidden // columns) * columns), np.nan)
    padded[:, :hidden] = chains.h[:, k]
    visible = [("start", chains.v[:, 0], shape), (f"v, k = {k}", chains.v[:, k], shape)]
    for row, (name, values, form) in enumerate([*visible, (f"h, k = {k}", padded, (-1, columns))]):
        top = TOP + row * (CELL + GAP)
        pen.text((0, top + CELL / 2), name, INK, font, anchor="lm")
        for i, one in enumerate(values):
            canvas.paste(_tiles(one.reshape(form), hidden=row == 2), (LEFT + i * (CELL + GAP), top))
    _energies(pen, chains.free_energy, k, (width + 110, TOP, width + 90 + PLOT, height - TOP), band)
    return np.asarray(canvas.reduce(2))


def _tiles(values: np.ndarray, hidden: bool):
    """Bits as squares, white for 1 on black; hidden ones apart from each other, in colour for 1. nan: no bit."""
    on, off = (CHAIN, PALE) if hidden else ((255, 255, 255), (0, 0, 0))
    side = max(1, CELL // max(values.shape))
    colors = np.where(values[..., None] > 0.5, on, off)
    colors[np.isnan(values)] = 255
    tile = np.kron(colors, np.ones((side, side, 1))).astype(np.uint8)
    if hidden:
        for edge in (0, 1):
            tile[edge::side] = tile[:, edge::side] = 255
    return Image.fromarray(tile)


def _energies(pen: ImageDraw.ImageDraw, energies: np.ndarray, k: int, box: tuple, band: tuple | None):
    """Draws the free energy of each chain over log(1 + k), pale as a whole and strong up to k."""
    left, top, right, bottom = box
    low, high = (float(pick([*energies.ravel(), *(band or ())])) for pick in (np.min, np.max))
    font, span = ImageFont.load_default(24), (high - low) or 1.0
    x = left + (right - left) * np.log1p(np.arange(energies.shape[1])) / np.log1p(energies.shape[1] - 1)
    level = lambda value: bottom - 8 - (bottom - top - 16) * (value - low) / span
    if band:
        pen.rectangle((left, level(band[1]), right, level(band[0])), BAND)
    curves = [[*zip(x.tolist(), level(one).tolist(), strict=True)] for one in energies]
    for points in curves:
        pen.line(points, PALE, 2)
    for points in (points[: k + 1] for points in curves):
        pen.line(points, CHAIN, 2)
        pen.ellipse((points[-1][0] - 6, points[-1][1] - 6, points[-1][0] + 6, points[-1][1] + 6), CHAIN)
    pen.line((left, top, left, bottom, right, bottom), INK, 2)
    for tick in [t for t in (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if t < energies.shape[1]]:
        pen.line((x[tick], bottom, x[tick], bottom + 8), INK, 2)
        pen.text((x[tick], bottom + 12), str(tick), INK, font, anchor="mt")
    for value in (low, (low + high) / 2, high):
        pen.text((left - 10, level(value)), f"{value:.0f}", INK, font, anchor="rm")
    pen.text((right, bottom + 40), "steps k", INK, font, anchor="rt")
    title = "free energy F(v)" + "; green: 90 % of exact draws" * bool(band)
    pen.text((left, top - 14), title, INK, font, anchor="lb")

"""The step-size laboratory: a slider for s, and a chain over the exact posterior, drawn anew at every move.

On a Gaussian of precision P a step is z' - m = A (z - m) + s u. In a direction of curvature lambda, with unit noise,

    plain Langevin            A = 1 - s^2 lambda / 2     stable below s = 2 / sqrt(lambda_max)
    Gauss-Newton Langevin     A = 1 - s^2 / 2            stable below s = 2, in every direction alike

and where |A| < 1 the chain settles at 1 / (1 - s^2 lambda / 4), or 1 / (1 - s^2 / 4), times the exact variance. A chain
with an accept step settles at the exact variance, whatever s is; s decides how fast.
"""

import base64
import html
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import ipywidgets
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from abp_jax import laboratory_picture, langevin, model, quadrature, samplers
from abp_jax.generators import functional
from abp_jax.widgets import png

NUM_STEPS = 50  # that a trail starts with, and grows by
LOST = 50.0  # standard deviations from the mean: a chain that far out is not followed any longer
RANGE = (1 / 50, 3)  # of the slider, in largest stable steps


class Chain(NamedTuple):
    """What a kind of chain has.

    Attributes:
      gradient: a drift along grad log p.
      preconditioned: drift and noise measured by the Gauss-Newton precision, so that s has no unit.
      accepts: an accept step.
    """

    gradient: bool
    preconditioned: bool
    accepts: bool


CHAINS = {
    "plain Langevin": Chain(gradient=True, preconditioned=False, accepts=False),
    "Gauss-Newton Langevin": Chain(gradient=True, preconditioned=True, accepts=False),
    "random walk": Chain(gradient=False, preconditioned=False, accepts=True),
    "MALA": Chain(gradient=True, preconditioned=False, accepts=True),
    "Gauss-Newton MALA": Chain(gradient=True, preconditioned=True, accepts=True),
}


class Target(NamedTuple):
    """One image's posterior, and what a step does on the Gaussian that touches it at its mode.

    Attributes:
      y: the image.
      posterior: exact (see `quadrature`).
      precision: Gauss-Newton precision P at the highest mode, (2, 2).
      curvatures: its eigenvalues, the soft direction's first, then the stiff one's, (2,).
      directions: its eigenvectors in columns, (2, 2).
      stable_step: 2 / sqrt(largest curvature).
      log_density: log p(y, z) over the square shown, rows from the lowest z2, (rows, columns).
      half_width: of that square, whose centre is the exact mean.
    """

    y: jax.Array
    posterior: quadrature.ExactPosterior
    precision: np.ndarray
    curvatures: np.ndarray
    directions: np.ndarray
    stable_step: float
    log_density: np.ndarray
    half_width: float

    @property
    def exact_variances(self) -> np.ndarray:
        """Of the exact posterior, along the soft and the stiff direction, (2,)."""
        return np.diag(self.directions.T @ self.posterior.covariance @ self.directions)

    def distance(self, z: np.ndarray) -> np.ndarray:
        """Of places (m, 2) from the exact mean, in standard deviations: |P^1/2 (z - mean)|, (m,)."""
        return np.linalg.norm((z - self.posterior.mean) @ np.linalg.cholesky(self.precision), axis=1)


class Run(NamedTuple):
    """A trail.

    Attributes:
      trail: where the chain started and all places after, finite numbers, (m + 1, 2).
      acceptance: share of accepted proposals; nan for a chain without an accept step.
      lost_after: the number of steps after which the chain was more than LOST standard deviations from the mean, or not
        a number at all; None if it never was.
    """

    trail: np.ndarray
    acceptance: float
    lost_after: int | None


def largest_step(chain: Chain, target: Target) -> float:
    """Returns the largest stable s at the mode. For a random walk, which has no drift, this is a scale and no limit."""
    return 2.0 if chain.preconditioned else target.stable_step


def multipliers(chain: Chain, target: Target, step_size: float) -> np.ndarray:
    """Returns A along the soft and the stiff direction, (2,): by it the drift multiplies the distance from the mode."""
    if not chain.gradient:
        return np.ones(2)
    return 1 - step_size**2 / 2 * (np.ones(2) if chain.preconditioned else target.curvatures)


def stationary_variances(chain: Chain, target: Target, step_size: float) -> np.ndarray:
    """Returns the variances that the chain settles at on the Gaussian N(mode, P^-1), as multiples of the exact ones.

    Along an eigenvector s^2 (I - A^2)^-1 is s^2 / (1 - A^2), with s^2 times 1 / lambda for a preconditioned chain.

    Returns:
      Along the soft and the stiff direction, (2,); 1 with an accept step, inf where the step is not stable.
    """
    if chain.accepts:
        return np.ones(2)
    noise = step_size**2 * (np.ones(2) if chain.preconditioned else target.curvatures)
    shrinkage = 1 - multipliers(chain, target, step_size) ** 2
    return np.where(shrinkage > 0, noise / np.where(shrinkage > 0, shrinkage, 1), np.inf)


def effective_draws(trail: np.ndarray) -> float:
    """Returns how many independent draws the worse coordinate of a trail (m, d) is worth, from 1 to m.

    m / (1 + 2 sum of autocorrelations), summed in pairs as long as the pairs are positive, none larger than the one
    before (Geyer, Statistical Science 1992); and at most the number of different places, since the correlations of a
    chain that stood still tell nothing.
    """
    m = len(trail)
    centred = trail - trail.mean(axis=0)
    spectrum = np.abs(np.fft.rfft(centred, 2 * m, axis=0)) ** 2
    covariances = np.fft.irfft(spectrum, axis=0)[: m - m % 2]
    correlations = covariances / np.maximum(covariances[:1], np.finfo(float).tiny)
    pairs = np.minimum.accumulate(correlations[::2] + correlations[1::2], axis=0)
    sums = np.where(pairs > 0, pairs, 0).sum(axis=0)
    return float(min(np.min(m / np.maximum(2 * sums - 1, 1)), len(np.unique(trail, axis=0))))


class StepSizeLaboratory(ipywidgets.HBox):
    """A chain on the exact posterior of one image, with its step size under your hand.

    Every move of the slider runs the same number of steps again, with the same noise, so that the trail deforms with
    the step size. Trails start at the highest mode. The first choice of a chain costs its compilation, the first choice
    of an image its exact posterior: seconds, once. What goes wrong is said under the numbers.

    Args:
      generator: with a latent vector of two numbers; any shape of output.
      images: (n, ...), of that shape.
      sigma: standard deviation of the noise e.
      key: for the noise of the chains.
      names: of the images, by default "image 1", "image 2", ...
      first: index of the image to begin with.

    Attributes:
      slider: the FloatLogSlider of s.
      chain, choice: Dropdowns of the kind of chain (a name in CHAINS) and of the image (its index).
      more, again: Buttons: go on by NUM_STEPS steps; start again, with new noise.
      image: the ipywidgets.Image.
      readout, message: HTML: the numbers, and what they mean.

    Raises:
      ValueError: the posterior can't be had: the generator's latent vector has not two numbers, or shapes don't fit.
    """

    def __init__(
        self,
        generator: nnx.Module,
        images: jax.Array,
        *,
        sigma: float = 0.3,
        key: jax.Array,
        names: Sequence[str] | None = None,
        first: int = 0,
    ):
        self.generate, self.params = functional(generator)
        self.images, self.sigma, self.key = jnp.asarray(images), sigma, key
        self.num_steps, self.restarts = NUM_STEPS, 0
        self._judge = quadrature.Judge(partial(self.generate, self.params), sigma)
        self._programs, self._targets, self._backgrounds = {}, {}, {}
        names = [f"image {i + 1}" for i in range(len(images))] if names is None else names
        wide = {"style": {"description_width": "70px"}, "layout": {"width": "318px"}}
        self.chain = ipywidgets.Dropdown(options=list(CHAINS), description="chain", **wide)
        options = [(name, i) for i, name in enumerate(names)]
        self.choice = ipywidgets.Dropdown(options=options, value=first, description="image", **wide)
        self.choice.layout.width = "256px"
        limit = largest_step(CHAINS[self.chain.value], self.target(first))
        self.slider = ipywidgets.FloatLogSlider(
            limit / 2,
            base=10,
            min=np.log10(limit * RANGE[0]),
            max=np.log10(limit * RANGE[1]),
            step=0.01,
            description="step size",
            readout_format=".3g",
            **wide,
        )
        self.more = ipywidgets.Button(description=f"{NUM_STEPS} more steps", icon="forward")
        self.again = ipywidgets.Button(description="start again", icon="refresh")
        self.face, self.readout, self.message = (ipywidgets.HTML() for _ in range(3))
        self.image = ipywidgets.Image(format="png", **laboratory_picture.SIZE)
        self.image.add_class("abp-laboratory")
        self.readout.add_class("abp-readout")
        self.message.add_class("abp-message")
        self._limit = limit
        self._show_face()
        self._draw()
        self._on_slide = self._guarded(self._draw)
        self.slider.observe(self._on_slide, names="value")
        self.chain.observe(self._guarded(self._change_chain), names="value")
        self.choice.observe(self._guarded(self._change_image), names="value")
        self.more.on_click(self._guarded(self._run_on))
        self.again.on_click(self._guarded(self._start_again))
        buttons = ipywidgets.HBox([self.more, self.again])
        shown = [ipywidgets.HTML(STYLE), ipywidgets.HBox([self.choice, self.face]), self.chain, self.slider, buttons]
        controls = ipywidgets.VBox([*shown, self.readout, self.message])
        controls.add_class("abp-controls")
        super().__init__([controls, self.image])

    def target(self, image: int) -> Target:
        """Returns the exact posterior of an image, by its index; computed once and kept."""
        if image not in self._targets:
            self._targets[image] = _target(self._judge, self.images[image])
        return self._targets[image]

    def run(
        self, step_size: float, chain: str | None = None, image: int | None = None, num_steps: int | None = None
    ) -> Run:
        """Runs a chain from the mode, with the noise of the laboratory; the widget does not change.

        Args:
          step_size: s > 0.
          chain: a name in CHAINS, by default the one chosen.
          image: an index, by default of the one chosen.
          num_steps: rounded up to a multiple of NUM_STEPS, by default as many as the trail shown was to have.
        """
        chain = self.chain.value if chain is None else chain
        target = self.target(self.choice.value if image is None else image)
        program = self._program(chain)
        z = jnp.asarray(target.posterior.modes[0], jnp.float32)
        key = jax.random.fold_in(self.key, self.restarts)
        trail, accepted, lost_after = [np.asarray(z)[None]], [], None
        for i in range(-(-(num_steps or self.num_steps) // NUM_STEPS)):
            z, acceptance = program(self.params, jax.random.fold_in(key, i), z, target.y, step_size)
            piece, z = np.asarray(z, np.float64), z[-1]
            lost = _first_lost(piece, target)
            trail.append(piece if lost is None else piece[:lost][np.isfinite(piece[:lost]).all(axis=1)])
            accepted.append(np.asarray(acceptance)[:lost])
            if lost is not None:
                lost_after = i * NUM_STEPS + lost
                break
        share = float(np.concatenate(accepted).mean()) if CHAINS[chain].accepts else float("nan")
        return Run(np.concatenate(trail).astype(np.float64), share, lost_after)

    def picture(self, run: Run, step_size: float, chain: str | None = None, image: int | None = None) -> np.ndarray:
        """Draws a run over the exact posterior, as the widget does: (height, width, 3), uint8.

        Args:
          run: from `run`, with the same further arguments.
          step_size, chain, image: as there. They give the ring: one standard deviation of the noise of one step.
        """
        chain = CHAINS[self.chain.value if chain is None else chain]
        image = self.choice.value if image is None else image
        target = self.target(image)
        if image not in self._backgrounds:
            self._backgrounds[image] = laboratory_picture.background(target)
        shape = _inverse_root(target.precision) if chain.preconditioned else np.eye(2)
        return laboratory_picture.trail_over(self._backgrounds[image], target, run.trail, step_size * shape)

    def explain(self, run: Run, step_size: float, chain: str | None = None, image: int | None = None) -> str:
        """Returns one or two sentences on what such a step does. Arguments as in `picture`."""
        chain = CHAINS[self.chain.value if chain is None else chain]
        target = self.target(self.choice.value if image is None else image)
        words = _words(chain, target, step_size, run)
        if run.lost_after is not None:
            words += (
                f" After {run.lost_after} steps the chain was more than {LOST:.0f} standard deviations from the mean, "
                "and is not followed any further."
            )
        return words

    def _program(self, chain):
        if chain not in self._programs:
            self._programs[chain] = jax.jit(partial(_run, CHAINS[chain], self.generate, self.sigma))
        return self._programs[chain]

    def _guarded(self, callback):
        """An exception in a callback would be lost in a log that nobody reads: it is shown instead."""

        def show_errors(_):
            try:
                callback()
            except Exception as error:
                self.message.value = f"<b>{type(error).__name__}:</b> {html.escape(str(error))}"

        return show_errors

    def _draw(self):
        s, chain, target = self.slider.value, CHAINS[self.chain.value], self.target(self.choice.value)
        run = self.run(s)
        self.image.value = laboratory_picture.encode(self.picture(run, s))
        self.readout.value = _readout(chain, target, s, run)
        self.message.value = html.escape(self.explain(run, s))

    def _run_on(self):
        self.num_steps += NUM_STEPS
        self._draw()

    def _start_again(self):
        self.num_steps, self.restarts = NUM_STEPS, self.restarts + 1
        self._draw()

    def _change_image(self):
        self.message.value = "The exact posterior of this image is computed ..."
        self._show_face()
        self._set_range(self.slider.value)
        self._draw()

    def _change_chain(self):
        self.message.value = "This chain is compiled ..."
        limit = largest_step(CHAINS[self.chain.value], self.target(self.choice.value))
        self._set_range(self.slider.value / self._limit * limit)  # as large as before, measured by what is stable
        self._draw()

    def _set_range(self, value):
        """Moves the ends of the slider to what suits this chain and image, and the slider to `value`."""
        self._limit = limit = largest_step(CHAINS[self.chain.value], self.target(self.choice.value))
        low, high = (float(np.log10(limit * r)) for r in RANGE)
        self.slider.unobserve(self._on_slide, names="value")
        with self.slider.hold_trait_notifications():
            self.slider.min, self.slider.max = min(low, np.log10(value)), max(high, np.log10(value))
            self.slider.value = value
        self.slider.observe(self._on_slide, names="value")

    def _show_face(self):
        y = np.asarray(self.images[self.choice.value])
        if y.ndim == 3:
            source = base64.b64encode(png(y)).decode()
            self.face.value = f'<img class="abp-face" src="data:image/png;base64,{source}" alt="the image chosen">'


def _run(chain, generate, sigma, params, key, z, y, step_size):
    """NUM_STEPS steps from z: places (NUM_STEPS, 2), and whether each was accepted (NUM_STEPS,)."""
    f = partial(generate, params)
    residual = partial(_swapped, model.residual, f, y, sigma)
    log_density = partial(_swapped, model.log_joint, f, y, sigma)
    if not chain.accepts:
        kind, density = (
            (langevin.gauss_newton_step, residual) if chain.preconditioned else (langevin.langevin_step, log_density)
        )
        trail, _ = langevin.sample(key, z, lambda key, z: kind(key, z, density, step_size), NUM_STEPS)
        return trail, jnp.ones(NUM_STEPS)
    if chain.preconditioned:
        sampler = samplers.gauss_newton_mala(residual, z.size)
    else:
        sampler = (samplers.mala if chain.gradient else samplers.random_walk)(log_density)
    samples = samplers.run(key, sampler, samplers.start(sampler, z[None]), step_size, NUM_STEPS)
    return samples.z[:, 0], samples.info.accepted[:, 0]


def _swapped(function, generate, y, sigma, z):
    return function(generate, z, y, sigma)


def _target(judge, y, num=64):
    (posterior,) = judge.posteriors(y[None])
    mode = jnp.asarray(posterior.modes[0], jnp.float32)
    precision = judge.precision(mode, y)
    stable_step = float(langevin.largest_stable_step(precision))
    precision = np.asarray(precision, np.float64)
    curvatures, directions = np.linalg.eigh(precision)
    half_width = 4.5 / np.sqrt(curvatures[0])
    offsets = np.linspace(-half_width, half_width, num)
    axes = [jnp.asarray(centre + offsets, jnp.float32) for centre in posterior.mean]
    log_density = judge.log_density_on_grid(y, *axes)
    return Target(y, posterior, precision, curvatures, directions, stable_step, log_density, float(half_width))


def _first_lost(trail, target):
    """The number of steps after which the chain is far out or not a number, or None."""
    with np.errstate(all="ignore"):
        lost = ~(target.distance(trail) < LOST)
    return int(lost.argmax()) + 1 if lost.any() else None


def _inverse_root(precision):
    """A matrix whose square is P^-1."""
    curvatures, directions = np.linalg.eigh(precision)
    return directions / np.sqrt(curvatures) @ directions.T


# What is said


def _words(chain, target, step_size, run):
    if chain.accepts:
        return _words_on_acceptance(chain, run.acceptance)
    soft, stiff = multipliers(chain, target, step_size)
    if step_size >= largest_step(chain, target):
        where = "in every direction" if chain.preconditioned else "along the stiff direction"
        return (
            f"Past the largest stable step: {where} each step multiplies the distance from the mode by {stiff:.2f}. "
            "It overshoots, and lands further out on the other side, every time. There is no law to settle at."
        )
    settles = stationary_variances(chain, target, step_size)[1]
    distance = target.distance(run.trail).max()
    if distance > 6 * np.sqrt(settles):
        return (
            "On the Gaussian at the mode this step would be stable. But the posterior is not quite a Gaussian: the "
            f"chain came to places of larger curvature, where the step is too large, and got {distance:.0f} standard "
            "deviations away."
        )
    half_life = np.log(0.5) / np.log(np.clip(abs(soft), 1e-9, 1 - 1e-9))
    if half_life > len(run.trail) / 2:
        return (
            f"Small: half of the distance along the soft direction is forgotten after {half_life:.0f} steps only. The "
            f"chain creeps, and {len(run.trail) - 1} steps have seen a corner of the posterior."
        )
    way = "overshoots to the other side, but lands nearer than it was" if stiff < 0 else "moves towards the mode"
    return (
        f"Stable: along the stiff direction a step {way} ({stiff:.2f} times the distance). In the long run the "
        f"variance there is {settles:.2f} times the exact one: the price of having no accept step."
    )


def _words_on_acceptance(chain, acceptance):
    share = f"{acceptance:.2f} of the proposals are accepted"
    if acceptance < 0.1:
        return (
            f"{share}: nearly all end far out and are refused, so that the chain stands still. Its law is exact all "
            "the same, but nobody can wait for it."
        )
    if acceptance < 0.3:
        return f"{share}: most end too far out. The law of the chain is exact, but it stands still for many steps."
    if acceptance > (0.95 if chain.gradient else 0.75):
        return (
            f"{share}: the steps are smaller than they need to be, and the chain creeps. Its law is exact all the same."
        )
    return f"{share}. The accept step makes the posterior the law of this chain; the step size decides how soon."


def _readout(chain, target, step_size, run):
    """The numbers, as a table."""
    limit = largest_step(chain, target)
    places = run.trail[1:]
    lost = run.lost_after is not None
    variances = ["left"] * 2
    if not lost:
        variances = _texts(np.var(places @ target.directions, axis=0) / target.exact_variances, ".2f")
    name = "scale of the stiff direction" if not chain.gradient else "largest stable step"
    accepted = f"{run.acceptance:.2f}" if chain.accepts else "no accept step"
    lines = [
        ("step size", f"{step_size:.3g}"),
        (name, f"{limit:.3g}"),
        ("step size / that", f"{step_size / limit:.2f}"),
        ("accepted", accepted),
        ("steps", f"{len(places)}"),
        ("worth independent draws", "none" if lost else f"{effective_draws(places):.1f}"),
    ]
    table = [
        ("exact standard deviation", _texts(np.sqrt(target.exact_variances), ".3g")),
        ("drift multiplies by", _texts(multipliers(chain, target, step_size), ".2f")),
        ("long-run variance / exact", _texts(stationary_variances(chain, target, step_size), ".2f")),
        ("trail's variance / exact", variances),
    ]
    first = "".join(f"<tr><td>{a}</td><td>{b}</td></tr>" for a, b in lines)
    second = "".join(f"<tr><td>{a}</td>{''.join(f'<td>{b}</td>' for b in values)}</tr>" for a, values in table)
    second = second.replace("<td>inf</td>", "<td>&infin;</td>")
    return f"<table>{first}</table><table><tr><th></th><th>soft</th><th>stiff</th></tr>{second}</table>"


def _texts(values, spec):
    return [format(v, spec) for v in values]


STYLE = """<style>
.abp-laboratory {margin: 0 0 0 12px; object-fit: contain; align-self: flex-start}
.abp-face {width: 48px; height: 48px; image-rendering: pixelated; margin: 0 0 0 8px}
.abp-readout table {border-collapse: collapse; margin: 6px 0; line-height: 1.35}
.abp-readout td, .abp-readout th {padding: 1px 8px; text-align: right; font-variant-numeric: tabular-nums}
.abp-readout td:first-child {text-align: left}
.abp-controls {flex: none; width: 332px}
.abp-message {width: 322px}
.abp-message .widget-html-content, .abp-message .jupyter-widgets-html-content {white-space: normal; line-height: 1.4}
</style>"""

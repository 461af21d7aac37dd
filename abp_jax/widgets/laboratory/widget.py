"""The step-size laboratory: a slider for s, and a chain over the exact posterior that follows it."""

import html
from collections.abc import Sequence

import ipywidgets
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from abp_jax.evaluation import quadrature
from abp_jax.widgets.encoding import address, encoded, guarded, png
from abp_jax.widgets.laboratory import picture
from abp_jax.widgets.laboratory.chains import (
    CHAINS,
    LOST,
    NUM_STEPS,
    Run,
    Target,
    first_lost,
    inverse_root,
    largest_step,
    run_segment,
    target_of,
)
from abp_jax.widgets.laboratory.explanation import explanation, table
from abp_jax.widgets.names import Names

RANGE = (1 / 50, 3)  # of the slider, in largest stable steps


class StepSizeLaboratory(ipywidgets.HBox):
    """Shows a chain on the exact posterior of one image, with a slider for its step size.

    Every move of the slider runs the same number of steps again, with the same noise, so that the trajectory deforms
    with the step size. Trajectories start at the highest mode. The first choice of a chain costs its compilation, the
    first choice of an image its exact posterior: seconds, once. Errors are shown under the table.

    Args:
      generator: with a two-dimensional latent vector; any shape of output.
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
      readout, message: HTML: the table of values, and an explanation.

    Raises:
      ValueError: z is not two-dimensional, or shapes don't fit.
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
        self.generator, self.images, self.sigma, self.key = generator, jnp.asarray(images), sigma, key
        self.num_steps, self.restarts = NUM_STEPS, 0
        self._exact, self._targets, self._backgrounds = quadrature.PosteriorQuadrature(generator, sigma), {}, {}
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
        self.image = ipywidgets.Image(format="png", **picture.SIZE)
        self.image.add_class("abp-laboratory")
        self.readout.add_class("abp-readout")
        self.message.add_class("abp-message")
        self._limit = limit
        self._show_face()
        self._draw()
        self._on_slide = guarded(self.message, self._draw)
        self.slider.observe(self._on_slide, names="value")
        self.chain.observe(guarded(self.message, self._change_chain), names="value")
        self.choice.observe(guarded(self.message, self._change_image), names="value")
        self.more.on_click(guarded(self.message, self._run_on))
        self.again.on_click(guarded(self.message, self._start_again))
        buttons = ipywidgets.HBox([self.more, self.again])
        shown = [ipywidgets.HTML(STYLE), ipywidgets.HBox([self.choice, self.face]), self.chain, self.slider, buttons]
        controls = ipywidgets.VBox([*shown, self.readout, self.message])
        controls.add_class("abp-controls")
        super().__init__([controls, self.image, Names(picture="the trajectory over the exact posterior")])

    def target(self, image: int) -> Target:
        """Returns the exact posterior of an image, by its index; computed once and kept."""
        if image not in self._targets:
            self._targets[image] = target_of(self._exact, self.images[image])
        return self._targets[image]

    def run(
        self, step_size: float, chain: str | None = None, image: int | None = None, num_steps: int | None = None
    ) -> Run:
        """Runs a chain from the mode, with the noise of the laboratory; the widget does not change.

        Args:
          step_size: s > 0.
          chain: a name in CHAINS, by default the one chosen.
          image: an index, by default of the one chosen.
          num_steps: rounded up to a multiple of NUM_STEPS, by default as many as the trajectory shown was to have.
        """
        chain = self.chain.value if chain is None else chain
        target = self.target(self.choice.value if image is None else image)
        z = jnp.asarray(target.posterior.modes[0], jnp.float32)
        key = jax.random.fold_in(self.key, self.restarts)
        trajectory, accepted, lost_after = [np.asarray(z)[None]], [], None
        for i in range(-(-(num_steps or self.num_steps) // NUM_STEPS)):
            z, acceptance = run_segment(
                self.generator, jax.random.fold_in(key, i), z, target.y, step_size, chain, self.sigma
            )
            piece, z = np.asarray(z, np.float64), z[-1]
            lost = first_lost(piece, target)
            trajectory.append(piece if lost is None else piece[:lost][np.isfinite(piece[:lost]).all(axis=1)])
            accepted.append(np.asarray(acceptance)[:lost])
            if lost is not None:
                lost_after = i * NUM_STEPS + lost
                break
        share = float(np.concatenate(accepted).mean()) if CHAINS[chain].adjusted else float("nan")
        return Run(np.concatenate(trajectory).astype(np.float64), share, lost_after)

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
            self._backgrounds[image] = picture.background(target)
        shape = inverse_root(target.precision) if chain.stable_below else np.eye(2)
        return picture.trajectory_over(self._backgrounds[image], target, run.trajectory, step_size * shape)

    def explain(self, run: Run, step_size: float, chain: str | None = None, image: int | None = None) -> str:
        """Returns one or two sentences on what such a step does. Arguments as in `picture`."""
        chain = CHAINS[self.chain.value if chain is None else chain]
        target = self.target(self.choice.value if image is None else image)
        text = explanation(chain, target, step_size, run)
        if run.lost_after is not None:
            text += (
                f" After {run.lost_after} steps the chain was more than {LOST:.0f} standard deviations from the mean, "
                "and is not followed any further."
            )
        return text

    def _draw(self):
        s, chain, target = self.slider.value, CHAINS[self.chain.value], self.target(self.choice.value)
        run = self.run(s)
        self.image.value = encoded(self.picture(run, s), compress_level=1)
        self.readout.value = table(chain, target, s, run)
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

    def _set_range(self, value: float):
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
            self.face.value = f'<img class="abp-face" src="{address(png(y))}" alt="the image chosen">'


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

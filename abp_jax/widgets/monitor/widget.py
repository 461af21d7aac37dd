"""The training monitor: one picture of a run, drawn again as often as its share of the time allows."""

import base64
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import IPython
import jax
import numpy as np
from IPython.display import display

from abp_jax.fitting import FitResult
from abp_jax.generators import compiled, reconstruct
from abp_jax.images import data
from abp_jax.plots import evenly_spaced
from abp_jax.samplers import KINDS
from abp_jax.training import devices, stability
from abp_jax.widgets.monitor.picture import MOST_PAIRS, MOST_POINTS, MonitorPicture

MOST_STEPS = 16  # examples whose largest stable step is asked for


class TrainingMonitor:
    """A picture of the training that follows it: `abp.fit(generator, images, callback=abp.TrainingMonitor(images))`.

    It shows the iteration, the error and the time; the share of accepted proposals or, for chains without a Metropolis
    correction, the step size and the largest stable one (red beyond it); the error so far; the first two coordinates of
    all z, with circles at one and two standard deviations of the prior; and a few reconstructions.

    In a notebook it is one output, drawn over again, whose last state stays in the saved notebook. Elsewhere nothing is
    shown; the last picture is in `png`, for `save`. One monitor is one picture: a `fit` that resumes goes on in it.

    Budget: drawing takes at most `share` of the training time. Three pictures are always drawn (at the start, soon
    after it, at the end), so a short run may exceed it.

    Args:
      images: (n, ...), those that `fit` learns; float32, or uint8 from 0 to 255.
      share: of the time of training that drawing may take.

    Attributes:
      png: the last picture, as bytes; None before the first.
      text: the values of the last picture, which screen readers are given.
      costs: the seconds that each picture took.

    Raises:
      ValueError: share is not between 0 and 1, or, when training begins, `fit` learns other images.
    """

    def __init__(self, images: jax.Array, *, share: float = 0.03):
        if not 0 < share < 1:
            raise ValueError(f"share must be between 0 and 1, got {share}.")
        if np.ndim(images) < 2 or len(images) == 0:
            raise ValueError(f"images (n, ...) are expected, those that fit learns; got shape {np.shape(images)}.")
        self.share, self.png, self.text, self.costs = share, None, "", []
        self._shape = images.shape
        self._rows = evenly_spaced(len(images), MOST_POINTS)
        self._images = data.decode(np.asarray(images[self._rows]))
        self._pairs, self._asked = (evenly_spaced(len(self._rows), most) for most in (MOST_PAIRS, MOST_STEPS))
        self._picture = self._display = self._begin = self._done = None

    def __call__(self, done: int, snapshot: Callable[[], FitResult]) -> None:
        """What `fit` calls, see there."""
        begin = time.perf_counter()
        self._begin = begin if self._begin is None else self._begin
        ended, self._done = done == self._done, done
        (due,) = devices.agreed(ended or self._is_due(begin - self._begin - sum(self.costs)))
        if due:
            self._draw(snapshot(), begin - self._begin, ended)
            self.costs.append(time.perf_counter() - begin)

    def save(self, path: str | Path) -> None:
        """Writes the last picture to a PNG file. Raises ValueError if there is none yet."""
        if self.png is None:
            raise ValueError("no picture yet: pass the monitor to fit as callback, and save after that.")
        Path(path).write_bytes(self.png)

    def _is_due(self, training: float):
        """Whether there is time for one more picture after so many seconds of training."""
        if len(self.costs) < 2:
            return True
        one = min(self.costs[-2:])  # the second compiles too
        unavoidable = sum(self.costs[:2]) + one  # the last one too
        allowed = max(self.share / 2 * training, self.share * training - unavoidable)
        return sum(self.costs[2:]) + one <= allowed

    def _draw(self, result: FitResult, seconds: float, ended: bool):
        if self._picture is None:
            self._check(result)
            self._picture = MonitorPicture(self._images, self._pairs, result.z.shape[1])
        z = np.asarray(result.z)[self._rows]
        reconstructions = None
        if len(result.losses):  # nothing is compiled before the first iteration
            reconstructions = np.asarray(reconstruct(result.generator, z[self._pairs]))
        error = f"{result.losses[-1]:.3g}" if len(result.losses) else "–"
        numbers = [
            ("iterations", f"{len(result.losses):,}", False),
            ("mean squared error", error, not np.all(np.isfinite(result.losses))),
            ("time", f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min", False),
            self._chains(result, z),
        ]
        self.png = self._picture.draw(numbers, result.losses, z, reconstructions, ended)
        self.text = "Training: " + ", ".join(f"{caption} {value}" for caption, value, _ in numbers)
        self._show()

    def _check(self, result: FitResult):
        """The images that the monitor has must be those of the run."""
        output = jax.eval_shape(result.generator, jax.ShapeDtypeStruct(result.z.shape[1:], np.float32)).shape
        if self._shape != (len(result.z), *output):
            raise ValueError(
                f"TrainingMonitor has images of shape {self._shape}, but fit learns {(len(result.z), *output)}: give "
                "both the same images."
            )

    def _chains(self, result: FitResult, z: np.ndarray):
        """Caption, value and alarm: how the chains fare."""
        chain, kind = result.chain, KINDS[result.chain.sampler]
        if not np.isnan(result.acceptance):
            return f"accepted ({chain.sampler})", f"{result.acceptance:.0%} of the proposals", result.acceptance < 0.1
        if kind.adjusted:
            return f"accepted ({chain.sampler})", "–", False
        caption, limit = f"step size ({chain.sampler})", kind.stable_below
        if limit is None and len(result.losses) == 0:
            return caption, f"{chain.step_size:g}", False
        if limit is None:
            images = self._images[self._asked]
            stable = _stable_steps(result.generator, images, z[self._asked], np.float32(result.sigma))
            limit = float(stable.min())
        return caption, f"{chain.step_size:g}, stable below {limit:.2g}", chain.step_size >= limit

    def _show(self):
        """In a notebook, puts the picture in the place of the one before."""
        if getattr(IPython.get_ipython(), "kernel", None) is None:
            return
        bundle = {"image/png": base64.b64encode(self.png).decode(), "text/plain": self.text}
        show = partial(display, display_id=True) if self._display is None else self._display.update
        shown = show(bundle, raw=True, metadata={"image/png": {"alt": self.text}})
        self._display = self._display or shown


@compiled
def _stable_steps(f: Callable, images: jax.Array, z: jax.Array, sigma: float):
    return stability.largest_stable_steps(f, images, z, sigma)

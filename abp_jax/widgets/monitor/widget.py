"""The training monitor: one picture of a run, drawn again as often as its share of the time allows."""

import base64
import time
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import IPython
import jax
import numpy as np
from IPython.display import display

from abp_jax.fitting import FitResult
from abp_jax.generators import compiled, reconstruct
from abp_jax.images import arguments
from abp_jax.images.files import to_write, write_whole
from abp_jax.plots import evenly_spaced
from abp_jax.samplers import KINDS
from abp_jax.training import devices, stability
from abp_jax.widgets.monitor.curves import MOST_POINTS
from abp_jax.widgets.monitor.observations import as_seen, check_fit, check_same, given
from abp_jax.widgets.monitor.picture import MOST_PAIRS, MonitorPicture

MOST_STEPS = 16  # examples whose largest stable step is asked for


class TrainingMonitor:
    """A picture of the training that follows it: `abp.fit(generator, images, callback=abp.TrainingMonitor(images))`.

    It shows the iteration, the error and the time; the share of accepted proposals or, for chains without a Metropolis
    correction, the step size and the largest stable one (red beyond it); the error so far; the first two coordinates of
    all z, with circles at one and two standard deviations of the prior; and a few reconstructions.

    In a notebook it is one output, drawn over again, whose last state stays in the saved notebook. Elsewhere nothing is
    shown; the last picture is in `png`, for `save`. One monitor is one picture of one run: a `fit` that resumes goes on
    in it, and where it stands in the same cell that was run again, it is shown anew. A `fit` that begins at iteration 0
    begins a new picture, with a clock of its own. The time between two runs is not counted.

    `relatives.vae.fit_vae` and `relatives.wake_sleep.fit_wake_sleep` take it as their callback too. They minimise nats,
    which may be negative: the curve is then that of the loss, on a linear scale, and there is nothing to say of chains.

    Budget: drawing takes at most `share` of the training time. Three pictures are always drawn (at the start, soon
    after it, at the end), so a short run may exceed it.

    Args:
      images: (n, ...), those that `fit` learns; float32, or uint8 from 0 to 255.
      mask: as `fit` has it; what it hides is drawn in grey. Without one, what is nan or infinite counts as hidden.
      measure: as `fit` has it; `images` are then the observations A(image), and what is drawn beside them is A(f(z)).
      share: of the time of training that drawing may take.

    Attributes:
      png: the last picture, as bytes; None before the first.
      text: the values of the last picture, which screen readers are given.
      costs: the seconds that each picture took, since iteration 0.

    Raises:
      TypeError, ValueError: an argument is not as above; or, when training begins, `fit` learns other images.
    """

    def __init__(
        self,
        images: jax.Array,
        *,
        mask: jax.Array | None = None,
        measure: Callable | None = None,
        share: float = 0.03,
    ):
        if arguments.number("share", share) >= 1:
            raise ValueError(f"share must be between 0 and 1, got {share}.")
        if measure is not None and not callable(measure):
            raise ValueError(f"measure must be a function of one image, as fit has it, got {arguments.shown(measure)}.")
        images, mask = given(images, mask)
        self.share, self.png, self.text, self.costs, self._measure = share, None, "", [], measure
        self._shape = images.shape
        self._rows = evenly_spaced(len(images), MOST_POINTS)
        self._images = as_seen(images[self._rows], None if mask is None else mask[self._rows])
        self._pairs, self._asked = (evenly_spaced(len(self._rows), most) for most in (MOST_PAIRS, MOST_STEPS))
        self._picture = self._display = self._run = self._done = None
        self._begin, self._last, self._cell = 0.0, 0.0, (None, None)
        self._ended, self._stable_steps = False, None

    def __call__(self, done: int, snapshot: Callable[[], Any]) -> None:
        """What `fit` calls, see there. Raises ValueError where a run begins whose images are not the monitor's."""
        now = time.perf_counter()
        begins = self._begins(done, snapshot)
        again = begins and self._start(done, snapshot, now)
        self._ended, self._done = done == self._done and not begins, done
        (due,) = devices.agreed(self._ended or again or self._is_due(now - self._begin - sum(self.costs)))
        if due:
            self._draw(snapshot(), now - self._begin, self._ended)
            self.costs.append(time.perf_counter() - now)
        self._last = time.perf_counter()

    def save(self, path: str | Path) -> None:
        """Writes the last picture to a PNG file, whole or not at all. Raises ValueError if there is none yet, or if the
        path is that of a folder.
        """
        if self.png is None:
            raise ValueError("no picture yet: pass the monitor to fit as callback, and save after that.")
        write_whole(to_write(path), self.png)

    def _begins(self, done: int, snapshot: Callable):
        """Whether this call is the first of a run: `fit` says the same number twice only at its end."""
        owner = getattr(snapshot, "__self__", None)  # the run, unless somebody stands between it and the monitor
        another = owner is not None and self._run is not None and owner is not self._run()
        self._run = None if owner is None else weakref.ref(owner)
        return self._done is None or self._ended or done < self._done or another

    def _start(self, done: int, snapshot: Callable, now: float):
        """Makes ready for a run, new or resumed. Returns whether its cell was run again, and so lacks the picture."""
        self._done = None  # until its images are seen to be the monitor's
        result, measure = snapshot(), self._measure
        f = result.generator
        observed = f if measure is None else lambda z: measure(f(z))
        check_fit(self._shape, self._images, f, observed, len(result.z))
        run = getattr(snapshot, "__self__", None)
        if getattr(getattr(run, "images", None), "is_fully_addressable", False):
            masks = None if run.masks is None else np.asarray(run.masks[self._rows])
            check_same(self._images, as_seen(run.images[self._rows], masks))
        self._stable_steps = _stable_steps if measure is None else _stable_steps_of(measure)
        self._picture = MonitorPicture(
            self._images, self._pairs, result.z.shape[1], measure is not None, _in_nats(result)
        )
        (name, execution), (name_before, before) = _cell(), self._cell
        run_again = name is not None and name == name_before and execution != before  # so its output is gone
        if done == 0 or run_again:
            self._display = None
        if self._display is None:
            self._cell = name, execution
        if done == 0 or not self.costs:
            self.costs, self._begin = [], now
        else:
            self._begin += now - self._last  # what lay between the runs was no training
        return run_again

    def _is_due(self, training: float):
        """Whether there is time for one more picture after so many seconds of training."""
        if len(self.costs) < 2:
            return True
        one = min(self.costs[-2:])  # the second compiles too
        unavoidable = sum(self.costs[:2]) + one  # the last one too
        allowed = max(self.share / 2 * training, self.share * training - unavoidable)
        return sum(self.costs[2:]) + one <= allowed

    def _draw(self, result: Any, seconds: float, ended: bool):
        z = np.asarray(result.z)[self._rows]
        reconstructions = None
        if len(result.losses):  # nothing is compiled before the first iteration
            reconstructions = reconstruct(result.generator, z[self._pairs])
            reconstructions = reconstructions if self._measure is None else jax.vmap(self._measure)(reconstructions)
            reconstructions = np.asarray(reconstructions)
        in_nats = _in_nats(result)
        error = f"{result.losses[-1]:{'.1f' if in_nats else '.3g'}}" if len(result.losses) else "–"
        numbers = [
            ("iterations", f"{len(result.losses):,}", False),
            ("loss, in nats" if in_nats else "mean squared error", error, not np.all(np.isfinite(result.losses))),
            ("time", f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min", False),
            *([] if in_nats else [self._chains(result, z)]),
        ]
        self.png = self._picture.draw(numbers, result.losses, z, reconstructions, ended)
        self.text = "Training: " + ", ".join(f"{caption} {value}" for caption, value, _ in numbers)
        self._show()

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
            seen = np.isfinite(images)
            images, masks = (images, None) if seen.all() else (np.where(seen, images, np.float32(0)), seen)
            stable = self._stable_steps(
                result.generator, images, z[self._asked], jax.tree.map(np.float32, result.sigma), masks
            )
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


def _in_nats(result: Any):
    """Whether it is of a run without chains, whose losses are nats and no squared errors."""
    return not isinstance(result, FitResult)


@compiled
def _stable_steps(f: Callable, images: jax.Array, z: jax.Array, sigma: float, masks: jax.Array | None):
    return stability.largest_stable_steps(f, images, z, sigma, masks)


def _stable_steps_of(measure: Callable):
    """Compiled anew for every run: what `measure` refers to may have changed since the last one."""

    def stable(f: Callable, images: jax.Array, z: jax.Array, sigma: float, masks: jax.Array | None):
        return stability.largest_stable_steps(lambda z: measure(f(z)), images, z, sigma, masks)

    return compiled(stable)


def _cell():
    """The notebook's name for the cell that is executed now, and that of the execution; None where there are none."""
    parent = getattr(IPython.get_ipython(), "get_parent", dict)() or {}
    return parent.get("metadata", {}).get("cellId"), parent.get("header", {}).get("msg_id")

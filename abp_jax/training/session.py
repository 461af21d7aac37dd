"""A run between two compiled calls: what is saved, shown and handed to the callback then, and how it ends."""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from abp_jax.learning import ABPState
from abp_jax.training import checkpoints, loop

WHERE_THE_REST_IS = "The result of the iterations before is in this error's attribute `result`."


class RunInterrupted(RuntimeError):
    """Stands for an error that ended a run and takes no attribute; that one is its cause. `result`: the FitResult."""


class Session:
    """Where a run stands, for those who look at it between two calls.

    Args:
      run: after `done` iterations.
      done: how many.
      result: (run, done) -> what `fit` returns.
      save: (state, losses) -> None, writes a checkpoint; None for none.
      callback: of `fit`; None for none.

    Attributes:
      images, masks: what the run learns, while it does; None before.
    """

    images = masks = None

    def __init__(
        self,
        run: loop.Run,
        done: int,
        result: Callable[[loop.Run, int], Any],
        save: Callable[[ABPState, np.ndarray], None] | None,
        callback: Callable | None,
    ):
        self.run, self.done, self._result, self._save, self._callback = run, done, result, save, callback

    def move(self, run: loop.Run, done: int) -> bool:
        """Takes what a call has reached; the run before must not be used any more. Returns whether it is sound."""
        self.run, self.done = run, done
        return self.sound

    @property
    def sound(self) -> bool:
        """Whether nothing has diverged."""
        return int(self.run.failure) == loop.SOUND

    def result(self) -> Any:
        """Returns what `fit` returns, of the memory of the run itself."""
        return self._result(self.run, self.done)

    def snapshot(self) -> Any:
        """Returns a copy of the result that stays good: the next call overwrites the memory of `run`."""
        return self._result(jax.tree.map(jnp.copy, self.run), self.done)

    def save(self) -> None:
        """Writes a checkpoint, if there is a folder for it."""
        if self._save is not None:
            self._save(self.run.state, loop.losses(self.run, self.done))

    def report(self) -> None:
        """Calls the callback. Its own error is raised as it is, after a checkpoint."""
        if self._callback is None:
            return
        try:
            self._callback(self.done, self.snapshot)
        except BaseException as error:
            note(error, f"Raised by the callback of fit after {self.done} iterations.")
            self.save()
            raise

    def to_the_end(
        self,
        images: jax.Array,
        masks: jax.Array | None,
        phases: list[tuple[Callable, int]],
        ready: dict[Callable, Callable],
        every: int,
        progress: bool,
        explain: Callable[[loop.Run, int], str],
        diverged: type[Exception],
    ) -> Any:
        """Runs all phases, with the bar, checkpoints and the callback in between, and returns the result.

        Whatever ends the run early carries the result in its attribute `result`.

        Args:
          images, masks, phases, ready, every: as in `loop.calls`; every: the iterations between two checkpoints.
          progress: whether to show a bar.
          explain: (run, done) -> why it has diverged.
          diverged: (message, result) -> the error that says so.
        """
        self.images, self.masks = images, masks
        try:
            with loop.stop_requests() as stop_requested:
                self._iterate(images, masks, phases, ready, every, progress, stop_requested)
            try:
                if not self.sound:
                    message = f"{explain(self.run, self.done)} {WHERE_THE_REST_IS}"
                    raise diverged(f"Diverged at iteration {self.done + 1} with {message}", self.result())
                self.save()
            finally:
                self.report()
        except BaseException as error:
            self._hand_over(error)
            raise
        return self.result()

    def _iterate(self, images, masks, phases, ready, every, progress, stop_requested):
        self.report()  # before the bar, which thus stays below a picture
        end = phases[-1][1]
        with ProgressBar(end, self.done, progress) as bar:
            for run, done in loop.calls(self.run, images, masks, phases, ready, every, stop_requested):
                if not self.move(run, done):
                    break
                bar.show(run, done)
                if done % every == 0:
                    self.save()
                self.report()
            if self.sound and self.done < end:
                bar.write(f"Stopped after {self.done} of {end} iterations; the result so far is returned.")

    def _hand_over(self, error: BaseException):
        """Puts the result so far into an error, unless it has it or a call was cut off in the middle."""
        if getattr(error, "result", None) is not None:
            return
        if any(getattr(leaf, "is_deleted", bool)() for leaf in jax.tree.leaves(self.run)):
            note(error, "What was learned since the last checkpoint is lost: a compiled call was cut off.")
            return
        try:
            error.result = self.snapshot()
        except Exception:  # it takes none
            stand_in = RunInterrupted(f"{type(error).__name__} after {self.done} iterations. {WHERE_THE_REST_IS}")
            stand_in.result = self.snapshot()
            raise stand_in from error
        note(error, f"After {self.done} iterations of fit. {WHERE_THE_REST_IS}")


def note(error: BaseException, text: str) -> None:
    """Adds a note to an error, if it takes one."""
    with contextlib.suppress(Exception):
        error.add_note(text)


class ProgressBar(tqdm):
    """Iterations done, the error, and the share of accepted proposals; on the first process alone."""

    def __init__(self, num_iterations: int, done: int, progress: bool):
        silent = not progress or jax.process_index() > 0
        super().__init__(total=num_iterations, initial=done, disable=silent, file=sys.stdout, ncols=78, mininterval=0.5)

    def show(self, run: loop.Run, done: int) -> None:
        """Shows where a sound run stands after `done` iterations."""
        acceptance = loop.acceptance(run)
        accepted = "" if np.isnan(acceptance) else f", accepted {acceptance:.0%}"
        self.set_postfix_str(f"error {float(run.losses[done - 1]):.4f}{accepted}", refresh=False)
        self.update(done - self.n)


def begin_or_continue(
    folder: str | Path | None, state: ABPState, losses: np.ndarray, record: dict[str, Any], num_iterations: int
) -> tuple[ABPState, np.ndarray]:
    """Returns the state and the losses of the checkpoint in a folder; else writes these there, and returns them.

    So a folder that can't be written is said before the work. Raises ValueError for a checkpoint of another record, and
    where more iterations are done than asked for.
    """
    where = "resume"
    if folder is not None and checkpoints.exists(folder):
        state, losses = checkpoints.restore(folder, state, record)
        where = str(folder)
    elif folder is not None:
        checkpoints.save(folder, state, losses, record)
    if len(losses) > num_iterations:
        raise ValueError(
            f"num_iterations={num_iterations} counts those done before, and {where} has {len(losses)} already. "
            f"For {num_iterations} more, pass num_iterations={len(losses) + num_iterations}."
        )
    return state, losses

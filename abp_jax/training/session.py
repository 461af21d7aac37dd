"""A run between two compiled calls: what is saved, shown and handed to the callback then."""

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


class Session:
    """Where a run stands, for those who look at it between two calls.

    Args:
      run: after `done` iterations.
      done: how many.
      result: (run, done) -> what `fit` returns.
      save: (state, losses) -> None, writes a checkpoint; None for none.
      callback: of `fit`; None for none.
    """

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
        return bool(self.run.failure == loop.SOUND)

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
        """Calls the callback. Its own error is raised as it is, but nothing learned is lost by it."""
        if self._callback is None:
            return
        try:
            self._callback(self.done, self.snapshot)
        except Exception as error:
            self.save()
            error.result = self.snapshot()
            error.add_note(f"Raised by the callback of fit after {self.done} iterations. {WHERE_THE_REST_IS}")
            raise


class ProgressBar(tqdm):
    """Iterations done, the error, and the share of accepted proposals; on the first process alone."""

    def __init__(self, num_iterations: int, done: int, progress: bool):
        silent = not progress or jax.process_index() > 0
        super().__init__(total=num_iterations, initial=done, disable=silent, file=sys.stdout, ncols=78, mininterval=0.5)

    def show(self, run: loop.Run, done: int) -> None:
        """Shows where a sound run stands after `done` iterations."""
        acceptance = float(run.acceptance)
        accepted = "" if np.isnan(acceptance) else f", accepted {acceptance:.0%}"
        self.set_postfix_str(f"error {float(run.losses[done - 1]):.4f}{accepted}", refresh=False)
        self.update(done - self.n)


def begin_or_continue(
    folder: str | Path | None, state: ABPState, losses: np.ndarray, record: dict[str, Any]
) -> tuple[ABPState, np.ndarray]:
    """Returns the state and the losses of the checkpoint in a folder; else writes these there, and returns them.

    So a folder that can't be written is said before the work. Raises ValueError for a checkpoint of another record.
    """
    if folder is not None and checkpoints.exists(folder):
        return checkpoints.restore(folder, state, record)
    if folder is not None:
        checkpoints.save(folder, state, losses, record)
    return state, losses

"""Who takes part in the exercise: ours, flax's layer, three forms of PyTorch; each a process of its own."""

import sys
from pathlib import Path
from typing import NamedTuple

from abp_jax.checks import DEFAULTS

from benchmarks import machine
from benchmarks.workers import TaskFailed, Worker

LABELS = {
    "ours": "ours, 30 plain Langevin steps",
    "default": f"ours, default sampler ({DEFAULTS['gauss_newton'][0]} Gauss-Newton steps), whitening",
    "flax": "stock flax (nnx.ConvTranspose), 30 plain steps",
    "eager": "PyTorch, 30 plain steps",
    "channels_last": "PyTorch channels_last, 30 plain steps",
    "compile": "PyTorch torch.compile, 30 plain steps",
}
TORCH = ("eager", "channels_last", "compile")
ACTIONS = ("iteration", "forward", "gradient", "learning", "product", "render")
FLAX_STEPS = 2


class Settings(NamedTuple):
    """What to measure, and how often.

    Attributes:
      gpu: whether to compute on a GPU.
      width: of the exercise's network.
      size: of its images.
      rounds: rounds of the side-by-side tables.
      growth_rounds: rounds of the tables that need a fresh process for each row.
    """

    gpu: bool = False
    width: int = 64
    size: int = 64
    rounds: int = 5
    growth_rounds: int = 1

    @property
    def iterations(self) -> int:
        """Iterations in one timed call: on a GPU enough of them to hide the start of the call."""
        return 20 if self.gpu else 1

    @property
    def product(self) -> int:
        """Side of the matrices whose product gives the rate of the machine."""
        return 8192 if self.gpu else 2048


def environment(gpu: bool) -> dict[str, str]:
    """Variables of a worker: the CPU alone, or a GPU whose memory is left to others too."""
    return {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"} if gpu else {"JAX_PLATFORMS": "cpu"}


# Threads of PyTorch that spin while they wait make it several times slower where anything else computes at all.
PATIENT_THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}


def say(text: str) -> None:
    """Prints a line of progress."""
    print(text, file=sys.stderr, flush=True)


def jax_worker(settings: Settings, **more) -> Worker:
    """A worker with our generator, or with flax's layer for form="flax"."""
    shape = {"width": settings.width, "size": settings.size}
    timing = {"iterations": settings.iterations, "product": settings.product}
    return Worker("benchmarks.tasks_jax", shape | timing | more, environment(settings.gpu))


class Contestants:
    """The workers of the exercise, ready: every action that will be timed has been compiled.

    Args:
      settings: of the run.
      folder: for the file through which the weights travel.
      actions: what will be timed, beside what is special to one of them.

    Attributes:
      workers: name -> Worker, for "ours", "flax" and, where PyTorch works, TORCH.
      compile_seconds: name -> seconds of the first iteration, compilation included.
      missing: name -> why it can't take part.
      searched: the runs of the search for PyTorch's settings, if there was one.
    """

    def __init__(self, settings: Settings, folder: Path, actions: tuple[str, ...] = ACTIONS):
        self.settings, self.exchange = settings, str(folder / "exercise.npz")
        self.workers, self.compile_seconds, self.missing, self.searched = {}, {}, {}, None
        self._add("ours", jax_worker(settings), actions)
        self.workers["ours"].ask("export", file=self.exchange)
        if "iteration" in actions:
            self.compile_seconds["default"] = self.workers["ours"].ask("prepare", action="default_iteration")
        flax_actions = [action for action in actions if action not in ("iteration", "product")]
        self._add("flax", jax_worker(settings, form="flax", chain_steps=FLAX_STEPS), flax_actions)
        for form in TORCH:
            if machine.has_torch():
                self._add(form, self._torch_worker(form), actions)
            else:
                self.missing[form] = machine.TORCH_HINT

    def _torch_worker(self, form):
        timing = {"iterations": self.settings.iterations, "product": self.settings.product}
        more = {"form": form, "device": "cuda" if self.settings.gpu else "cpu", "exchange": self.exchange}
        return Worker("benchmarks.tasks_torch", timing | more, environment(self.settings.gpu) | PATIENT_THREADS)

    def _add(self, name, worker, actions):
        say(f"  starting and compiling: {LABELS[name]}")
        try:
            seconds = [worker.ask("prepare", action=action) for action in actions]
        except TaskFailed as error:
            if name not in TORCH:
                raise
            self.missing[name] = f"failed: {error}"
            worker.close()
            return
        self.workers[name], self.compile_seconds[name] = worker, seconds[0]

    def torch_names(self) -> list[str]:
        """The contestants with PyTorch that take part."""
        return [name for name in TORCH if name in self.workers]

    def close(self):
        """Ends all workers."""
        for worker in self.workers.values():
            worker.close()

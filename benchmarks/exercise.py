"""The exercise on its eleven faces, side by side: an iteration, a forward pass, a gradient in z, an image."""

import math
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

from abp_jax.inference import DEFAULTS
from benchmarks import machine
from benchmarks.report import Section, range_of, seconds_of
from benchmarks.rounds import alternate, ratios, spread
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


def timed(contestants: Contestants, action: str, repeats: int = 1, flax_rounds: int = 2) -> dict[str, list[float]]:
    """Rounds of one action, of all contestants that have it."""
    say(f"  timing: {action}")
    tasks = {name: partial(w.seconds, action, repeats) for name, w in contestants.workers.items()}
    return alternate(tasks, contestants.settings.rounds, fewer={"flax": flax_rounds})


def iteration(contestants: Contestants) -> Section:
    """One iteration of the exercise. Flax's is put together from a few of its steps and a learning step."""
    say("  timing: iteration")
    settings = contestants.settings
    tasks = {"default": partial(contestants.workers["ours"].seconds, "default_iteration")}
    for name, worker in contestants.workers.items():
        tasks[name] = partial(worker.seconds, "iteration") if name != "flax" else partial(_flax_iteration, worker)
    seconds = alternate(tasks, settings.rounds, fewer={"flax": 1})
    counts = {name: 1 if name == "flax" else settings.iterations for name in seconds}
    seconds = {name: [s / counts[name] for s in values] for name, values in seconds.items()}
    note = (
        "Alternating back-propagation on the eleven faces: inference, then a learning step with Adam. The ratio says "
        f"how many times ours with plain steps is faster. Flax's iteration is 30 times a step (of a chain of "
        f"{FLAX_STEPS}) plus a learning step, each measured. Compilation: the first iteration, once a run."
    )
    compilation = {name: seconds_of(s) for name, s in contestants.compile_seconds.items() if name != "flax"}
    rows = _rows(contestants, seconds, lambda name: [compilation.get(name, "")])
    return Section("One iteration", note, [*COLUMNS, "first iteration"], rows, seconds)


COLUMNS = ["contestant", "seconds", "times ours", "quartiles of the ratio"]


def _flax_iteration(worker):
    return 30 / FLAX_STEPS * worker.seconds("gradient") + worker.seconds("learning")


def _rows(contestants, seconds, more=lambda name: []):
    """A row for each contestant: seconds, and ratios to ours round by round."""
    rows = []
    for name, label in LABELS.items():
        if name in seconds:
            ratio = spread(ratios(seconds[name], seconds["ours"]))
            ours = ["1", ""] if name == "ours" else [f"{ratio.median:.2f}", range_of(ratio)]
            rows.append([label, seconds_of(spread(seconds[name]).median), *ours, *more(name)])
        elif name in contestants.missing:
            rows.append([label, contestants.missing[name]])
    return rows


def forward(contestants: Contestants) -> Section:
    """A forward pass of the eleven images."""
    seconds = timed(contestants, "forward", repeats=20 if contestants.settings.gpu else 3)
    return Section("A forward pass of eleven images", "", COLUMNS, _named(_rows(contestants, seconds)), seconds)


def gradient(contestants: Contestants) -> Section:
    """The gradient in z of eleven images, inside a chain, and how near it comes to the rate of matrix products."""
    flops = nominal_flops(contestants.settings.width, contestants.settings.size, 11)
    products = {f"product {name}": w for name, w in contestants.workers.items() if name not in ("flax", "default")}
    steps = {name: FLAX_STEPS if name == "flax" else 10 for name in contestants.workers}
    say("  timing: gradient, and a matrix product")
    tasks = {name: partial(w.seconds, "gradient") for name, w in contestants.workers.items()}
    tasks |= {name: partial(w.seconds, "product", 3) for name, w in products.items()}
    seconds = alternate(tasks, contestants.settings.rounds, fewer={"flax": 2})
    seconds = {name: [s / steps.get(name, 1) for s in values] for name, values in seconds.items()}
    rates = {name: rate(seconds[name], 2 * contestants.settings.product**3) for name in products}
    gradients = {name: rate(values, 2 * flops) for name, values in seconds.items() if name in steps}

    def shares(name):
        own = rates.get(f"product {name}")
        jax_share = spread(ratios(gradients[name], rates["product ours"])).median
        return [f"{jax_share:.0%}", f"{spread(ratios(gradients[name], own)).median:.0%}" if own else ""]

    note = (
        f"One step of a chain. Nominal work: {2 * flops / 1e9:.2f} GFLOP, twice a forward pass. Its rate is given as a "
        f"share of that of a {contestants.settings.product}³ product of float32, timed in the same rounds: "
        + ", ".join(
            f"{name.split(' ')[1]} {spread(values).median / 1e9:,.0f} GFLOP/s" for name, values in rates.items()
        )
        + " (ours is jax). A share above 100% means less work than nominal, or a product that ran below its rate."
    )
    columns = [*COLUMNS, "share of jax's product", "share of its own product"]
    rows = _rows(contestants, {name: seconds[name] for name in steps}, shares)
    return Section("The gradient in z inside a chain", note, columns, _named(rows), seconds)


def rate(seconds: list[float], flops: float) -> list[float]:
    """Floating point operations per second, round by round."""
    return [flops / s for s in seconds]


def nominal_flops(width: int, size: int, num_images: int) -> float:
    """Of the transposed convolutions of a forward pass: 2 * 25 * in * out for each pixel of a layer's input."""
    sides = [4 * 2**i for i in range(round(math.log2(size / 4)))]
    inputs = [width * size // (2 * side) for side in sides]  # channels
    outputs = [*inputs[1:], 3]
    return 50 * num_images * sum(side**2 * a * b for side, a, b in zip(sides, inputs, outputs, strict=True))


def learning(contestants: Contestants) -> Section:
    """The gradient in W of the eleven images; for PyTorch Adam's update too, which takes little."""
    seconds = timed(contestants, "learning")
    note = "The gradient in W. PyTorch's row includes Adam."
    return Section("Learning", note, COLUMNS, _named(_rows(contestants, seconds)), seconds)


def slider(contestants: Contestants) -> Section:
    """One image for the slider."""
    seconds = timed(contestants, "render", repeats=20)
    note = (
        f"From z to the numbers of one image of 64 x 64, width {contestants.settings.width}, as a slider asks for it."
    )
    return Section(
        f"One image, width {contestants.settings.width}", note, COLUMNS, _named(_rows(contestants, seconds)), seconds
    )


def _named(rows):
    """These rows have no chain: only the library counts."""
    return [[row[0].split(",")[0], *row[1:]] for row in rows]

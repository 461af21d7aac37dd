"""Contestants in turn, ratios within a round, and the machine. Imports no jax: the PyTorch process needs none."""

import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch")


class Settings(NamedTuple):
    """What to measure on: a GPU or the CPU; quick: everything tiny, to try the code; rounds: of side-by-side tables."""

    gpu: bool = False
    quick: bool = False
    rounds: int = 5


class Section(NamedTuple):
    """One table: its heading, what was measured and how, names of columns, rows of text, the numbers behind them."""

    title: str
    note: str
    columns: list[str]
    rows: list[list[str]]
    measured: dict


class Rounds(NamedTuple):
    """Seconds of each task, one for each round it took part in; the share of the processor that others used."""

    seconds: dict[str, list[float]]
    others: float

    def median(self, name: str) -> str:
        """Returns the median seconds of a task, with a unit."""
        return seconds_of(statistics.median(self.seconds[name]))

    def ratios(self, name: str, reference: str) -> list[float]:
        """Returns how many times as long a task took as another, round by round."""
        return [a / b for a, b in zip(self.seconds[name], self.seconds[reference], strict=False)]

    def times(self, name: str, reference: str) -> str:
        """Returns the median of `ratios`, and the quartiles; of fewer than four the smallest and the largest."""
        ratios = self.ratios(name, reference)
        if len(ratios) == 1 or name == reference:
            return f"{ratios[0]:.2f}"
        low, median, high = statistics.quantiles(ratios, n=4, method="inclusive")
        low, high = (low, high) if len(ratios) >= 4 else (min(ratios), max(ratios))
        return f"{median:.2f} ({low:.2f} to {high:.2f})"

    def conditions(self) -> str:
        """Returns how many rounds there were, and what else the machine did."""
        return f"{max(map(len, self.seconds.values()))} rounds; others used {self.others:.0%} of the processor."


def alternate(tasks: dict[str, Callable[[], float]], rounds: int, once: Sequence[str] = ()) -> Rounds:
    """Asks every task for its seconds once a round, in an order that turns around; those in `once` one time only."""
    seconds, busy = {name: [] for name in tasks}, []
    for r in range(rounds):
        for name in list(tasks)[:: -1 if r % 2 else 1]:
            if r == 0 or name not in once:
                busy.append(used_by_others())
                seconds[name].append(tasks[name]())
    return Rounds(seconds, statistics.mean(busy))


def used_by_others(seconds: float = 0.25) -> float:
    """Returns the share of all processors in use while this process rests; nan where the system does not tell."""
    if not (file := Path("/proc/stat")).exists():
        return float("nan")
    ticks = lambda: [int(word) for word in file.read_text("ascii").splitlines()[0].split()[1:9]]
    before = ticks()
    time.sleep(seconds)
    passed = [b - a for a, b in zip(before, ticks(), strict=True)]
    return 1 - (passed[3] + passed[4]) / max(1, sum(passed))  # idle and iowait


def stopwatch(action: Callable, repeats: int = 1) -> float:
    """Returns the median seconds of some calls."""
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def compiled(action: Callable) -> Callable[[], float]:
    """Calls it once; returns a task, the median seconds of three calls."""
    action()
    return partial(stopwatch, action, 3)


class Clock:
    """A callback for `fit`. Attribute calls: the seconds and the iterations of each of its compiled calls."""

    def __init__(self):
        self.calls, self.done, self.last = [], 0, 0.0

    def __call__(self, done: int, snapshot: Callable) -> None:
        now = time.perf_counter()
        if done > self.done:
            self.calls.append((now - self.last, done - self.done))
        self.done, self.last = done, now

    def iteration(self) -> float:
        """Returns the median seconds of an iteration, without the first call, which compiles."""
        return statistics.median(seconds / count for seconds, count in self.calls[1:])


def describe() -> str:
    """Returns processor, memory, system and versions, without any name or path of this machine."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    machine = f"{(names or [platform.processor()])[0]}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}"
    installed = {d.name.lower(): d.version for d in importlib.metadata.distributions()}
    versions = [f"{name} {installed.get(name, 'not installed')}" for name in PACKAGES]
    return "; ".join([machine, ", ".join([f"python {platform.python_version()}", *versions])])


def seconds_of(seconds: float) -> str:
    """Three digits, with a unit."""
    factor, unit = next((f, u) for f, u in ((1, "s"), (1e3, "ms"), (1e6, "µs")) if seconds * f >= 1 or u == "µs")
    value = seconds * factor
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"

"""The machine and the versions, as a reader of the results wants to know them."""

import importlib.metadata
import importlib.util
import os
import platform
import statistics
import time
from pathlib import Path

PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "torch")
TORCH_HINT = "torch is not installed: pip install '.[bench]'"


def has_torch() -> bool:
    """Whether PyTorch can be imported here; importing it would start its threads."""
    return importlib.util.find_spec("torch") is not None


def describe() -> dict[str, str]:
    """Returns processor, memory, system and versions, without any name or path of this machine."""
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return {
        "processor": f"{_processor()}, {len(os.sched_getaffinity(0)) if LINUX else os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "versions": f"python {platform.python_version()}, {versions}",
    }


def with_variables(more: dict[str, str]) -> dict[str, str]:
    """Returns the environment with some variables more."""
    return {**os.environ, **more}


class Pause:
    """The rest before a measurement. What computes meanwhile is not ours, for every worker of ours waits then.

    Attributes:
      seconds: of one look. The threads of the last contestant come to rest in it too.
      patience: seconds to wait at most until others compute less than QUIET; 0 takes the machine as it is.
      busy: the share of all processors that was in use, at each pause where the system tells.
    """

    QUIET = 0.1

    def __init__(self, seconds: float = 0.25, patience: float = 0.0):
        self.seconds, self.patience, self.busy = seconds, patience, []

    def __call__(self) -> None:
        """Rests."""
        until = time.monotonic() + self.patience
        share = self._look()
        while share is not None and share > self.QUIET and time.monotonic() < until:
            share = self._look()
        if share is not None:
            self.busy.append(share)

    def report(self) -> str:
        """Returns what others computed since the last report, and forgets it."""
        busy, self.busy = self.busy, []
        return f"Others used {statistics.mean(busy):.0%} of the processor." if busy else ""

    def _look(self):
        before = _ticks()
        time.sleep(self.seconds)
        after = _ticks()
        return before and (after[0] - before[0]) / max(1, after[1] - before[1])


def _ticks():
    """Processor time in use and in all, since the system started, in its own unit; None where it isn't told."""
    file = Path("/proc/stat")
    if not file.exists():
        return None
    ticks = [int(word) for word in file.read_text("ascii").splitlines()[0].split()[1:9]]
    return sum(ticks) - ticks[3] - ticks[4], sum(ticks)  # but for idle and iowait


LINUX = platform.system() == "Linux"


def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _processor():
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "an unknown processor"

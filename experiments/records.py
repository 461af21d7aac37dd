"""What has been run: one JSON file for each experiment, which its notebook reads, and arrays beside it if any.

A file is never half-written.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "data" / "experiments"
CHECKPOINTS = ROOT / "build" / "experiments"


class Records:
    """The runs of one experiment, by name: the settings and the result of each.

    Args:
      experiment: the name of the file, without .json.
      folder: where it is.
    """

    def __init__(self, experiment: str, folder: Path = FOLDER):
        self.path = folder / f"{experiment}.json"
        self.runs = json.loads(self.path.read_text("utf-8")) if self.path.exists() else {}

    def once(self, name: str, settings: dict, run: Callable[[], dict]) -> dict:
        """Returns the result of `run()`, or the one on file if it has the same settings."""
        settings = json.loads(json.dumps(settings))  # as the file gives them back
        found = self.runs.get(name)
        if found is None or found["settings"] != settings:
            result = run()
            self.runs[name] = {"settings": settings, "result": result}
            self.write()
        return self.runs[name]["result"]

    def write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".json.new")
        lines = [f"{json.dumps(name)}: {json.dumps(run)}" for name, run in self.runs.items()]  # one for each run
        new.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
        os.replace(new, self.path)


class Arrays:
    """The arrays of one experiment, by run and name, in one compressed file beside its record.

    Args:
      experiment: the name of the file, without .npz.
      folder: where it is.
    """

    def __init__(self, experiment: str, folder: Path = FOLDER):
        self.path, self.of_run = folder / f"{experiment}.npz", {}
        if self.path.exists():
            with np.load(self.path) as found:
                for key in found.files:
                    run, _, name = key.rpartition("/")
                    self.of_run.setdefault(run, {})[name] = found[key]

    def __contains__(self, run: str) -> bool:
        return run in self.of_run

    def __getitem__(self, run: str) -> dict[str, np.ndarray]:
        return self.of_run[run]

    def keep(self, run: str, **arrays: np.ndarray) -> None:
        """Writes the arrays of a run, in place of those it had."""
        self.of_run[run] = arrays
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".npz.new")
        with new.open("wb") as file:
            flat = {f"{run}/{name}": array for run, found in self.of_run.items() for name, array in found.items()}
            np.savez_compressed(file, **flat)
        os.replace(new, self.path)

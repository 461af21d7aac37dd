"""What has been run: one JSON file for each experiment, which its notebook reads. A record is never half-written."""

import json
import os
from collections.abc import Callable
from pathlib import Path

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

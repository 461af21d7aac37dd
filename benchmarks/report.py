"""Sections of results: kept as JSON, shown as one page."""

import datetime
import json
import math
from pathlib import Path
from typing import NamedTuple

from benchmarks.rounds import Spread

FOLDER = Path(__file__).parent
HEADER = """<!-- Written by `make bench`; don't edit. -->
# Benchmarks

`make bench` measures on the CPU, `make bench GPU=1` on a GPU; each renews its own part of this page.

Every contestant is a process of its own, which waits while another one computes. They take turns, round by round, and
ratios are taken within a round, so that what slows the machine down slows down both sides. Given are medians, and of
ratios the quartiles (of fewer than four rounds the smallest and the largest).
"""
PARTS = {"cpu": "CPU", "gpu": "GPU"}
ORDER = (
    *("iteration", "forward", "gradient", "learning", "slider", "slider32", "target", "search", "run", "bfloat16"),
    *("images", "pixels", "latents", "devices", "pass", "chains", "monitor", "explorer"),
)


class Section(NamedTuple):
    """One table.

    Attributes:
      title: its heading.
      note: what was measured and how.
      columns: names.
      rows: of text; short ones are filled up.
      measured: the numbers behind it, which JSON can hold.
    """

    title: str
    note: str
    columns: list[str]
    rows: list[list[str]]
    measured: dict | list = {}


class Results:
    """The sections of one part, kept in a file, so that a run can renew some of them.

    Args:
      part: "cpu" or "gpu".
      folder: where the files are.
    """

    def __init__(self, part: str, folder: Path = FOLDER):
        self.folder, self.file = folder, folder / f"results_{part}.json"
        self.content = read(self.file)

    def describe(self, machine: dict[str, str]) -> None:
        """Says on what machine the coming sections are measured."""
        self.content["machine"] = machine

    def add(self, name: str, section: Section, others: str = "") -> None:
        """Puts a section in its place and writes everything, the page too. others: what else the machine did."""
        when = {"date": datetime.date.today().isoformat(), "others": others, "machine": self.content["machine"]}
        self.content["sections"][name] = when | section._asdict()
        self.file.write_text(json.dumps(self.content, indent=1) + "\n", "utf-8")
        (self.folder / "RESULTS.md").write_text(page(self.folder), "utf-8")

    def measured(self, name: str) -> dict | None:
        """The numbers of a section, or None if it was never measured."""
        section = self.content["sections"].get(name)
        return section and section["measured"]


def read(file: Path) -> dict:
    """Returns what a results file holds."""
    return json.loads(file.read_text("utf-8")) if file.exists() else {"machine": {}, "sections": {}}


def page(folder: Path = FOLDER) -> str:
    """Returns the whole page."""
    parts = [HEADER]
    for part, title in PARTS.items():
        content = read(folder / f"results_{part}.json")
        parts.append(f"## {title}\n")
        if not content["sections"]:
            parts.append("Not measured.\n")
            continue
        parts.append("".join(f"- {key}: {value}\n" for key, value in content["machine"].items()))
        parts += [render(section, content["machine"]) for section in ordered(content["sections"])]
    return "\n".join(parts)


def ordered(sections: dict[str, dict]) -> list[dict]:
    """The sections in the order of the page."""
    return [sections[name] for name in sorted(sections, key=ORDER.index)]


def render(section: dict, machine: dict) -> str:
    """Returns one section as text. Says so if it was measured on another machine than the newest one."""
    columns = section["columns"]
    rows = [[*row, *[""] * (len(columns) - len(row))] for row in section["rows"]]
    lines = [columns, ["---"] + ["---:"] * (len(columns) - 1), *rows]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    elsewhere = "" if section["machine"] == machine else f" With: {'; '.join(section['machine'].values())}."
    note = f"{section['note']} Measured on {section['date']}. {section['others']}{elsewhere}".strip()
    return f"### {section['title']}\n\n{note}\n\n{table}\n"


def seconds_of(seconds: float) -> str:
    """Three digits, with a unit; nothing for nan."""
    if math.isnan(seconds):
        return ""
    value, unit = next(
        ((seconds * f, u) for f, u in ((1, "s"), (1e3, "ms")) if seconds * f >= 1), (seconds * 1e6, "µs")
    )
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def range_of(ratio: Spread) -> str:
    """The ends of a spread."""
    return f"{ratio.low:.2f} to {ratio.high:.2f}"

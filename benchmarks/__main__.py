"""`python -m benchmarks` measures, section by section, and writes RESULTS.md; --help lists the options."""

import argparse
import datetime
import json
import os
import sys
from functools import partial
from pathlib import Path

import jax

from benchmarks import chains, growth, iteration, layer, learning, screens, timing

ON_A_GPU_ONLY = ("precision",)  # a CPU rounds no product of float32, and has no fast units for bfloat16
FOLDER = Path(__file__).parent
SECTIONS = {
    "iteration": iteration.iteration,
    "learning": learning.learning,
    "chains": chains.chains,
    "precision": learning.precision,
    "layer": layer.layer,
    "images": partial(growth.grow, "More images"),
    "pixels": partial(growth.grow, "Larger images"),
    "latents": partial(growth.grow, "More latent dimensions"),
    "screens": screens.screens,
}
HEADER = """<!-- Written by `make bench`; don't edit. -->
# Benchmarks

`make bench` measures on the CPU, `make bench GPU=1` on a GPU; each renews its own part of this page. Contestants take
turns, round by round, and wait while another one computes; ratios are taken within a round, so that what slows the
machine down slows down both sides. Given are medians, and of ratios the quartiles (of fewer than four rounds the
smallest and the largest).
"""


def main() -> None:
    """Measures the sections asked for; each is written as soon as it is there. --quick only prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--gpu", action="store_true", help="measure on a GPU")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="these sections; keep the others")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the side-by-side tables")
    parser.add_argument("--quick", action="store_true", help="everything tiny, and nothing written: to try the code")
    given = parser.parse_args()
    settings = timing.Settings(given.gpu, given.quick, 2 if given.quick else given.rounds)
    machine = f"{timing.describe()}; computes on {choose_device(given.gpu)}"
    for name in given.only or [name for name in SECTIONS if given.gpu or name not in ON_A_GPU_ONLY]:
        print(f"{name} ...", file=sys.stderr, flush=True)
        section = SECTIONS[name](settings)._asdict()
        section |= {"date": datetime.date.today().isoformat(), "machine": machine}
        print(render(section, "this one"))
        if not given.quick:
            write(name, section, FOLDER / f"results_{'gpu' if given.gpu else 'cpu'}.json")


def choose_device(gpu: bool) -> str:
    """Tells jax, and the processes that will be started, what to compute on, and not to read compiled programs."""
    if gpu:
        os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # PyTorch computes there too
    else:
        os.environ["JAX_PLATFORMS"] = "cpu"
        jax.config.update("jax_platforms", "cpu")
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"
    jax.config.update("jax_enable_compilation_cache", False)
    if gpu and jax.default_backend() != "gpu":
        sys.exit(f"--gpu needs a GPU that jax can use, but jax computes on {jax.default_backend()}.")
    return f"{jax.default_backend()} - {jax.device_count()} x {jax.devices()[0].device_kind}"


def write(name: str, section: dict, file: Path) -> None:
    """Puts a section in its place in the file, and writes the page."""
    sections = read(file) | {name: section}
    if name == "iteration":
        sections["states"] = iteration.states(sections.get("states"), section)
    lines = [f"{json.dumps(name)}: {json.dumps(sections[name])}" for name in [*SECTIONS, "states"] if name in sections]
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
    (FOLDER / "RESULTS.md").write_text(page(FOLDER), "utf-8")


def read(file: Path) -> dict:
    """Returns the sections in a file; none if there is no file."""
    return json.loads(file.read_text("utf-8")) if file.exists() else {}


def page(folder: Path) -> str:
    """Returns RESULTS.md: the machines, then the sections."""
    blocks = [HEADER]
    for part in ("cpu", "gpu"):
        sections = read(folder / f"results_{part}.json")
        machines = dict.fromkeys(section["machine"] for section in sections.values() if "machine" in section)
        names = {machine: f"machine {letter}" for machine, letter in zip(machines, "ABCDEFGH", strict=False)}
        blocks.append(f"## {part.upper()}\n")
        blocks.append("".join(f"- {name}: {machine}\n" for machine, name in names.items()) or "Not measured.\n")
        blocks += [render(section, names.get(section.get("machine"))) for section in sections.values()]
    return "\n".join(blocks)


def render(section: dict, machine: str | None) -> str:
    """Returns one section as text. machine: None where the rows say it."""
    columns = section["columns"]
    rows = [[*row, *[""] * (len(columns) - len(row))] for row in section["rows"]]
    table = [columns, ["---"] + ["---:"] * (len(columns) - 1), *rows]
    lines = "\n".join("| " + " | ".join(line) + " |" for line in table)
    where = f" On {machine}, {section['date']}." if machine else ""
    return f"### {section['title']}\n\n{section['note']}{where}\n\n{lines}\n"


if __name__ == "__main__":
    main()

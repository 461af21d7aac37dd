"""`python -m benchmarks` measures and writes RESULTS.md; --help lists the options."""

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import chains, exercise, explorer, growth, machine, monitor, precision, target
from benchmarks.contestants import Contestants, Settings, environment, say
from benchmarks.report import ORDER, Results
from benchmarks.workers import pause

SIDE_BY_SIDE = {
    "iteration": exercise.iteration,
    "forward": exercise.forward,
    "gradient": exercise.gradient,
    "learning": exercise.learning,
    "slider": exercise.slider,
    "search": target.search,
    "target": target.target,
    "run": target.whole_run,
}
ALONE = {
    "bfloat16": precision.bfloat16,
    "images": growth.images,
    "pixels": growth.pixels,
    "latents": growth.latents,
    "devices": growth.devices,
    "pass": growth.one_pass,
    "chains": chains.chains,
    "explorer": explorer.explorer,
    "monitor": monitor.monitor,
}
USUAL = [name for name in ORDER if name not in ("search", "run", "pass", "chains", "monitor", "explorer")]
USUAL_ON_A_GPU = [
    name for name in ORDER if name not in ("search", "images", "pixels", "latents", "devices", "chains", "explorer")
]
NO_GPU = "make bench GPU=1 needs a GPU that jax can use, but jax computes on: {}. Install '.[cuda13]' or '.[cuda12]'."


def main():
    """Measures section by section; each is written as soon as it is there."""
    arguments = parse()
    settings = Settings(arguments.gpu, rounds=arguments.rounds, growth_rounds=arguments.growth_rounds)
    pause.patience = arguments.patience
    results = Results("gpu" if settings.gpu else "cpu")
    results.describe(machine.describe() | {"computes on": computes_on(settings)})
    if not machine.has_torch():
        say(machine.TORCH_HINT)
    chosen = arguments.only or (USUAL_ON_A_GPU if settings.gpu else USUAL)
    begin = time.perf_counter()
    measure(settings, chosen, results)
    say(f"{(time.perf_counter() - begin) / 60:.1f} minutes; written to benchmarks/RESULTS.md:\n")
    print((results.folder / "RESULTS.md").read_text("utf-8"))


def measure(settings: Settings, chosen: list[str], results: Results) -> None:
    """Measures the chosen sections and adds them to the results."""
    side_by_side(settings, [name for name in SIDE_BY_SIDE if name in chosen], results)
    if "slider32" in chosen:
        side_by_side(settings._replace(width=32), ["slider"], results, rename="slider32", actions=("render",))
    for name in [name for name in ALONE if name in chosen]:
        say(name)
        results.add(name, ALONE[name](settings), pause.report())


def side_by_side(settings: Settings, names: list[str], results: Results, rename: str = "", **more) -> None:
    """Measures sections that share their contestants."""
    if not names:
        return
    say(f"the contestants, width {settings.width}")
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.closing(Contestants(settings, Path(folder), **more)) as contestants,
    ):
        for name in names:
            say(name)
            contestants.searched = results.measured("search") or Results("cpu").measured("search")
            results.add(rename or name, SIDE_BY_SIDE[name](contestants), pause.report())


def computes_on(settings: Settings) -> str:
    """Returns the devices that jax computes on. Ends the program if that should be a GPU and is none."""
    code = "import jax; print(jax.default_backend(), '-', jax.device_count(), 'x', jax.devices()[0].device_kind)"
    variables = machine.with_variables(environment(settings.gpu))
    done = subprocess.run([sys.executable, "-c", code], env=variables, stdout=subprocess.PIPE, text=True)
    if settings.gpu and not done.stdout.startswith("gpu"):
        sys.exit(NO_GPU.format(done.stdout.strip() or "nothing"))
    return done.stdout.strip()


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("--gpu", action="store_true", help="measure on a GPU")
    parser.add_argument("--only", nargs="+", choices=ORDER, help="measure these sections, and keep the others")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the side-by-side tables")
    parser.add_argument("--growth-rounds", type=int, default=1, help="rounds of the tables of growth")
    parser.add_argument("--patience", type=float, default=0, help="seconds to wait for a quiet machine, each time")
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""Executes the course with Colab's versions: try_colab.py [--python PYTHON] [--by bundle|badge] [NOTEBOOK ...]

Makes an environment with the packages of colab.txt and without the course. Then every notebook runs twice in an empty
folder: as `make colab` bundles it, and as its badge opens it, which installs the course from git: from the last commit
of this repository, under its public address. Before each run the course is uninstalled. No package that was there may
change, and the course must have been imported from the environment.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bundle_for_colab
import nbformat
import run_notebooks
from set_address import ROOT, address

PINNED = Path(__file__).with_name("colab.txt")
PROBE = "import json, abp_jax, jax, flax, optax, numpy\nprint(json.dumps([abp_jax.__file__, [{}]]))".format(
    ", ".join(f"{name}.__version__" for name in ("jax", "flax", "optax", "numpy"))
)


def python_of(folder: Path) -> Path:
    return folder / "venv" / "bin" / "python"


def pip(folder: Path, *arguments: str) -> str:
    command = [python_of(folder), "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def packages(folder: Path) -> dict[str, str]:
    return {entry["name"]: entry["version"] for entry in json.loads(pip(folder, "list", "--format=json"))}


def make_kernel(folder: Path) -> None:
    """Lets nbclient start the environment's kernel under the name colab, away from this user's settings and caches."""
    repository = f"[url {json.dumps(ROOT.as_uri())}]\n\tinsteadOf = {address()}\n[safe]\n\tdirectory = *\n"
    (folder / "gitconfig").write_text(repository)
    environment = {
        "PATH": f"{python_of(folder).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": "",
        "PYTHONNOUSERSITE": "1",
        "IPYTHONDIR": str(folder / "ipython"),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "GIT_CONFIG_GLOBAL": str(folder / "gitconfig"),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # no word about frozen modules
    }
    start = [str(python_of(folder)), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = dict(argv=start, display_name="Colab", language="python", env=environment)
    file = folder / "kernels" / "colab" / "kernel.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(spec))
    os.environ["JUPYTER_PATH"] = str(folder)


def run(notebook: nbformat.NotebookNode, folder: Path, cap: float) -> None:
    """Executes a notebook where the course is absent. Raises NotebookError, also if it changed what was there."""
    before = packages(folder)
    if "abp-jax" in before:
        pip(folder, "uninstall", "--yes", "--quiet", "abp-jax")
        del before["abp-jax"]
    notebook.cells.append(nbformat.v4.new_code_cell(PROBE))
    with tempfile.TemporaryDirectory() as empty:
        asyncio.run(run_notebooks.execute(notebook, Path(empty), cap, "colab"))
    after = packages(folder)
    file, versions = json.loads(notebook.cells[-1].outputs[0].text)
    if after.pop("abp-jax", None) is None or not Path(file).is_relative_to(folder / "venv"):
        raise run_notebooks.NotebookError(f"the course was imported from {file}")
    changed = {name: (version, after.get(name)) for name, version in before.items() if after.get(name) != version}
    if changed or versions != [after[name] for name in ("jax", "flax", "optax", "numpy")]:
        raise run_notebooks.NotebookError(f"packages changed: {changed}, imported {versions}")
    if added := after.keys() - before.keys():
        print(" (added", *sorted(added), end=")")


def read(file: Path, way: str, wheel: tuple[str, bytes]) -> nbformat.NotebookNode:
    """Returns a notebook as its badge opens it, or as a bundle."""
    text = file.read_text("utf-8")
    if way == "bundle":
        text = json.dumps(bundle_for_colab.bundle(json.loads(text), *wheel, address()))
    return nbformat.reads(text, as_version=4)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all of notebooks/")
    parser.add_argument("--python", default=sys.executable, help="the interpreter; Colab has 3.12 or 3.13")
    parser.add_argument("--by", choices=["bundle", "badge"], help="one of the two ways; default: both")
    parser.add_argument("--cap", type=float, default=20, help="minutes after which a notebook is stopped")
    arguments = parser.parse_args()
    wheel, failed = bundle_for_colab.build_wheel(), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        subprocess.run([arguments.python, "-m", "venv", folder / "venv"], check=True)
        pip(folder, "install", "--quiet", "--requirement", str(PINNED))
        make_kernel(folder)
        there = packages(folder)
        print("Python", arguments.python, *(f"{n} {there[n]}" for n in ("jax", "flax", "optax", "numpy", "ipywidgets")))
        for way in [arguments.by] if arguments.by else ["bundle", "badge"]:
            for file in arguments.notebooks or sorted((ROOT / "notebooks").glob("*.ipynb")):
                print(f"{way} {file.name} ", end="", flush=True)
                start = time.monotonic()
                try:
                    run(read(file, way, wheel), folder, arguments.cap)
                    print(f" {(time.monotonic() - start) / 60:.1f} min", flush=True)
                except run_notebooks.NotebookError as error:
                    failed.append(f"{way} {file.name}")
                    print(f" failed after {(time.monotonic() - start) / 60:.1f} min:\n{error}", flush=True)
    if failed:
        print("failed:", *failed, sep="\n")
    return len(failed) > 0


if __name__ == "__main__":
    sys.exit(main())

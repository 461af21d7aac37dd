"""Writes dist/colab: each notebook with the course inside it, to be uploaded to Colab alone.

A bundle has one cell more than its notebook, shown folded: it holds the wheel, package and data, as text, and writes it
to a file. The cell after it, the notebook's own first one, installs that file instead of asking the repository. The
clothes, which are larger than all the rest, are in the bundles of those notebooks alone that ask for them; so is the
record of the exercise, with its pictures.
"""

import base64
import io
import json
import posixpath
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from set_address import ROOT, address

FOLDER = ROOT / "dist" / "colab"
# The text comes last and in one line: whoever unfolds the cell can read the lines above it.
CARRIER = """\
#@title The course, carried by this notebook. Run this cell first.
import base64, pathlib, tempfile
wheel = pathlib.Path(tempfile.mkdtemp(), "{name}")
wheel.write_bytes(base64.b64decode("{text}"));"""
CLOTHES = ("abp_jax/_data/clothes/", "abp_jax/_data/experiments/")  # and what was learned from them
EXERCISE = "abp_jax/_data/experiments/exercise"
GENERATORS = "abp_jax/_data/lion_tiger_generator"
FOLDED = {"cellView": "form", "jupyter": {"source_hidden": True}}  # on Colab; in JupyterLab


def build_wheel() -> tuple[str, bytes]:
    """Returns the name and the bytes of the wheel; the same files give the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
        built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if built.returncode:
            sys.exit(built.stderr)
        (wheel,) = Path(folder).glob("*.whl")
        return wheel.name, wheel.read_bytes()


def carried(wheel: bytes, clothes: bool, exercise: bool, generators: bool) -> bytes:
    """Returns the wheel with or without the clothes and what was learned from them, the exercise, the generators."""
    parts = ((EXERCISE, exercise), (CLOTHES, clothes), (GENERATORS, generators))
    here = lambda name: next((wanted for part, wanted in parts if name.startswith(part)), True)
    smaller = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(wheel)) as old, zipfile.ZipFile(smaller, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in filter(lambda entry: here(entry.filename), old.infolist()):
            content = old.read(entry)
            if entry.filename.endswith(".dist-info/RECORD"):  # the list of the files
                content = b"".join(line for line in content.splitlines(True) if here(line.decode()))
            new.writestr(entry, content)
    return smaller.getvalue()


def bundle(notebook: dict, name: str, wheel: bytes, address: str) -> dict:
    """Returns the notebook with the wheel inside, without badges, and without links that lead nowhere on Colab."""
    cells = [dict(cell, source="".join(cell["source"])) for cell in notebook["cells"]]
    for cell in cells:
        if cell["cell_type"] == "markdown":
            cell["source"] = mend_links(re.sub(r"^\[!\[Open in .*\n\n", "", cell["source"], flags=re.M), address)
    first = next(i for i, cell in enumerate(cells) if cell["cell_type"] == "code")
    repository = f'"abp-jax[samplers] @ git+{address}"'
    if repository not in cells[first]["source"]:
        raise ValueError(f"the first cell was expected to install {repository}, but it is\n{cells[first]['source']}")
    cells[first]["source"] = cells[first]["source"].replace(repository, '"{wheel}[samplers]"')
    code = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "code")
    exercise = 'load_experiment("exercise")'
    clothes = re.search("load_(fashion_mnist|clothes|experiment)", code.replace(exercise, ""))
    generators = "load_lion_tiger_generator" in code
    wheel = carried(wheel, clothes is not None, exercise in code, generators)
    carrier = CARRIER.format(name=name, text=base64.b64encode(wheel).decode())
    cells.insert(first, code_cell(carrier))
    return notebook | {"cells": cells}


def code_cell(source: str) -> dict:
    return dict(cell_type="code", execution_count=None, id="the-course", metadata=FOLDED, outputs=[], source=source)


def mend_links(text: str, address: str) -> str:
    """Points relative links to the repository, or leaves only their words while its address is the placeholder."""

    def mend(match):
        words, target = match.groups()
        if "/OWNER/" in address:
            return words
        return f"[{words}]({address}/blob/main/{posixpath.normpath(f'notebooks/{target}')})"

    return re.sub(r"(?<!!)\[([^\[\]]*)\]\((?!https?:|mailto:|#)([^)\s]+)\)", mend, text)


def main() -> None:
    name, wheel = build_wheel()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.ipynb"):
        old.unlink()
    for file in sorted((ROOT / "notebooks").glob("*.ipynb")):
        bundled = bundle(json.loads(file.read_text("utf-8")), name, wheel, address())
        text = json.dumps(bundled, indent=1, ensure_ascii=False) + "\n"
        (FOLDER / file.name).write_text(text, "utf-8", newline="\n")
        print(f"{(FOLDER / file.name).relative_to(ROOT)}: {len(text.encode()) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

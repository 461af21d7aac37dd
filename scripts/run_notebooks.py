"""Executes notebooks in place, one line each: run_notebooks.py [--cap MINUTES] [--record] [NOTEBOOK ...]

Every notebook runs from top to bottom in a fresh kernel of this Python. A notebook is written only if all of it ran,
and without what depends on the machine or the moment: times, widget states, versions, the history of progress bars.

--record is for a machine that does nothing else. It writes the minutes that each page took, the number of cores and the
rate of a product of two matrices into docs/running_times.json, and from there into the README's map and page 00's.
"""

import argparse
import asyncio
import base64
import io
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # this Python's kernel, not one installed for the user

import nbformat
import numpy as np
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
WIDGET = "application/vnd.jupyter.widget-view+json"
OF_A_MACHINE = [str(ROOT), sys.prefix, str(Path.home()) + os.sep, os.path.join(tempfile.gettempdir(), "ipykernel_")]
RUNNING_TIMES = ROOT / "docs" / "running_times.json"
MAPS = [ROOT / "README.md", ROOT / "notebooks" / "00_start_here.ipynb"]


class NotebookError(Exception):
    """A notebook did not run, or shows what it should not."""


async def execute(notebook: nbformat.NotebookNode, folder: Path, cap: float, kernel: str = "python3") -> None:
    """Runs every cell, filling in the outputs. Prints a dot every 5 s. Raises NotebookError."""
    client = NotebookClient(
        notebook,
        kernel_name=kernel,
        timeout=None,
        startup_timeout=120,
        extra_arguments=["--log-level=CRITICAL"],
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
    )
    dots = asyncio.create_task(print_dots())
    end = time.monotonic() + cap * 60
    try:
        await asyncio.wait_for(client.async_execute(), cap * 60)
    except (CellExecutionError, DeadKernelError, TimeoutError) as error:
        late = f"it was stopped after {cap:g} minutes, the cap"
        raise NotebookError(late if time.monotonic() > end else str(error)) from None
    finally:
        dots.cancel()


async def print_dots() -> None:
    while True:
        await asyncio.sleep(5)
        print(".", end="", flush=True)


def clean(notebook: nbformat.NotebookNode) -> None:
    """Leaves in a notebook that ran what a reader should see. Raises NotebookError if an output names this machine."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata["kernelspec"] = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    notebook.metadata["language_info"] = {"name": "python"}
    for number, cell in enumerate(notebook.cells):
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = list(filter(None, map(clean_output, join_streams(cell.outputs))))
            check(number, cell.outputs)


def join_streams(outputs: list) -> list:
    """Joins neighbouring pieces of one stream and shows each line as a terminal would leave it."""
    joined = []
    for output in outputs:
        last = joined[-1] if joined else {}
        if output.output_type == "stream" and last.get("name") == output.name:
            last.text += output.text
        else:
            joined.append(output)
    for output in joined:
        if output.output_type == "stream":
            output.text = "\n".join(map(overwrite, output.text.replace("\r\n", "\n").split("\n")))
    return joined


def overwrite(line: str) -> str:
    """Applies the carriage returns of a line, as progress bars print them, and drops escape codes.

    >>> overwrite("\\r 10%|#   | \\r100%|####|")
    '100%|####|'
    """
    shown = ""
    for piece in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).split("\r"):
        shown = piece + shown[len(piece) :]
    return shown.rstrip() if "\r" in line else shown


def clean_output(output: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    """Drops what is empty, and the widgets, which are dead in a saved notebook: the picture beside them stays."""
    if output.output_type == "stream":
        return output if output.text.strip() else None
    if WIDGET in output.get("data", {}):
        del output.data[WIDGET]
        return output if set(output.data) - {"text/plain"} else None
    if "image/png" in output.get("data", {}):
        shrink(output.data)
    if output.output_type == "error":  # of a cell that is meant to fail; the way through the files differs elsewhere
        output.traceback = output.traceback[-1:]
    return output


def shrink(data: dict) -> None:
    """Keeps a picture as a JPEG, where that takes less than half of the bytes, and a drawing in 256 colours."""
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
    jpeg = encode(image, "JPEG", quality=90, subsampling=0)
    if len(jpeg) < len(data["image/png"]) / 2:
        data["image/jpeg"] = jpeg
        del data["image/png"]
    else:
        drawing = encode(image.quantize(256, dither=Image.Dither.NONE), "PNG")
        data["image/png"] = min(drawing, data["image/png"], key=len)


def encode(image: Image.Image, kind: str, **options) -> str:
    file = io.BytesIO()
    image.save(file, kind, optimize=True, **options)
    return base64.b64encode(file.getvalue()).decode()


def check(number: int, outputs: list) -> None:
    for output in outputs:
        data = output.get("data", {})
        shown = [output.get("text", ""), data.get("text/plain", ""), data.get("text/html", "")]
        text = "\n".join(shown + output.get("traceback", []))
        found = [word for word in OF_A_MACHINE if word in text] or re.findall(r"\bat 0x[0-9a-f]{6,}", text)
        if found:
            raise NotebookError(f"the output of cell {number} shows {found[0]!r}, which differs on another machine")


def run(file: Path, cap: float) -> None:
    """Executes one notebook and replaces its file. Raises NotebookError, and then leaves the file as it was."""
    notebook = nbformat.read(file, as_version=4)
    asyncio.run(execute(notebook, file.resolve().parent, cap))
    clean(notebook)
    nbformat.validate(notebook)
    new = file.with_name(f".{file.name}.new")
    nbformat.write(notebook, new)
    os.replace(new, file)


def record(minutes: dict[str, float], times: Path = RUNNING_TIMES, maps: list[Path] = MAPS) -> None:
    """Writes the minutes that pages took, by number, into the record, and all that it has into the maps."""
    machine = {"cores": os.cpu_count(), "GFLOP/s": round(product_rate() / 1e9)}
    recorded = json.loads(times.read_text()) | {
        page: {"minutes": round(m, 1), **machine} for page, m in minutes.items()
    }
    rows = [f'  "{page}": {json.dumps(recorded[page])}' for page in sorted(recorded)]
    times.write_text("{\n" + ",\n".join(rows) + "\n}\n")
    for file in maps:
        file.write_text(with_running_times(file.read_text("utf-8"), recorded), "utf-8")


def with_running_times(text: str, recorded: dict[str, dict]) -> str:
    """A map with the minutes recorded as the last number of each page's row.

    >>> with_running_times("| [13 Against PCA](13_against_pca.ipynb) | Is it? | 30 | 3 |", {"13": {"minutes": 1.2}})
    '| [13 Against PCA](13_against_pca.ipynb) | Is it? | 30 | 1.2 |'
    """
    row = r"(\| \[(\d\d) [^\]\n]*\]\([^)\n]*\.ipynb\)[^\n]*\| )[\d.]+ \|"
    return re.sub(row, lambda found: f"{found[1]}{recorded[found[2]]['minutes']:g} |", text)


def product_rate(size: int = 2000, repeats: int = 5) -> float:
    """The multiplications and additions a second in a product of two matrices of 32 bits, the fastest of a few."""
    matrix, seconds = np.ones((size, size), np.float32), []
    for _ in range(repeats):
        start = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all of notebooks/")
    parser.add_argument("--cap", type=float, default=15, help="minutes after which a notebook is stopped")
    parser.add_argument("--record", action="store_true", help="write the running times, on an idle machine")
    arguments = parser.parse_args()
    failed, minutes = [], {}
    for file in arguments.notebooks or sorted((ROOT / "notebooks").glob("*.ipynb")):
        print(f"{file.name} ", end="", flush=True)
        start = time.monotonic()
        try:
            run(file, arguments.cap)
            minutes[file.name[:2]] = (time.monotonic() - start) / 60
            print(f" {minutes[file.name[:2]]:.1f} min, {file.stat().st_size / 1e3:.0f} kB", flush=True)
        except NotebookError as error:
            failed.append(file.name)
            print(f" failed after {(time.monotonic() - start) / 60:.1f} min and left as it was:\n{error}", flush=True)
    if arguments.record:
        record(minutes)
    if failed:
        print("failed:", *failed)
    return len(failed) > 0


if __name__ == "__main__":
    sys.exit(main())

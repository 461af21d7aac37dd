"""How soon the step-size laboratory redraws, in a real JupyterLab in a real browser: measure_laboratory.py

The page makes the small generator of notebook 08, shows the laboratory and waits. A script in the page notes the time
of every key press on the slider and of every new picture, once it is loaded. Prints, for each kind of chain, the
milliseconds from key press to picture. Needs Chromium and Playwright: pip install 'abp-jax[test]'.
"""

import argparse
import contextlib
import os
import tempfile
from pathlib import Path

import nbformat
import numpy as np

from benchmarks.browser import browser_page, jupyterlab, run_all_cells

CELL = """
import jax
from flax import nnx
import abp_jax as abp
from abp_jax.laboratory import StepSizeLaboratory

images = abp.load_lion_tiger(size=32)
generator = abp.ConvGenerator(image_size=32, width=16, rngs=nnx.Rngs(0))
result = abp.fit(generator, images, key=jax.random.key(0), progress=False)
laboratory = StepSizeLaboratory(result.generator, images, key=jax.random.key(1))
laboratory
"""
STOPWATCH = """() => {
  const started = !!window.presses;
  window.presses = []; window.pictures = [];
  if (started) return;
  const image = document.querySelector('img.abp-laboratory');
  document.addEventListener('keydown', () => presses.push(performance.now()), true);
  image.addEventListener('load', () => pictures.push(performance.now()));
}"""


@contextlib.contextmanager
def laboratory_page(folder: Path, cells: list[str], timeout: float = 120):
    """Runs the cells in a browser and waits, `timeout` seconds at most, for the laboratory; gives Playwright's page."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    with jupyterlab(folder, notebook) as url, browser_page(url, 1200, timeout) as page:
        run_all_cells(page)
        page.locator("img.abp-laboratory").wait_for()
        page.get_by_text("| Idle").first.wait_for()
        yield page


def choose_chain(page, name: str) -> None:
    """Chooses a kind of chain, and waits for its first trail."""
    image = page.locator("img.abp-laboratory")
    if page.locator(".widget-dropdown select").nth(1).input_value() != name:
        before = image.get_attribute("src")
        page.locator(".widget-dropdown select").nth(1).select_option(label=name)
        page.wait_for_function("src => document.querySelector('img.abp-laboratory').src != src", arg=before)
    page.get_by_text("| Idle").first.wait_for()


def key_to_picture(page, presses: int) -> np.ndarray:
    """Returns the milliseconds from each of some key presses on the slider to its picture."""
    page.evaluate(STOPWATCH)
    handle = page.locator(".widget-slider .noUi-handle").first
    handle.focus()
    for i in range(presses):
        handle.press("ArrowLeft" if i % 2 else "ArrowRight")
        page.wait_for_function("n => presses.length > n && pictures.at(-1) > presses.at(-1)", arg=i)
    presses, pictures = map(np.array, page.evaluate("() => [presses, pictures]"))
    return pictures[np.searchsorted(pictures, presses)] - presses  # the first picture after each press


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presses", type=int, default=40, help="key presses for each chain")
    presses = parser.parse_args().presses
    from abp_jax.laboratory import CHAINS

    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder, laboratory_page(Path(folder), [CELL]) as page:
        for name in CHAINS:
            choose_chain(page, name)
            times = key_to_picture(page, presses)[5:]  # the first ones warm the browser up
            low, middle, high = np.quantile(times, [0.1, 0.5, 0.9])
            print(f"{name:22s} median {middle:4.0f} ms, from {low:.0f} (10%) to {high:.0f} (90%)", flush=True)
    print(f"load after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()

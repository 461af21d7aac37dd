"""How soon the step-size laboratory redraws, in a real JupyterLab in a real browser: measure_laboratory.py

The page makes the small generator of notebook 09, shows the laboratory and waits. A script in the page notes the time
of every key press on the slider and of every new picture, once it is loaded. Prints, for each kind of chain, the
milliseconds from key press to picture. Needs Chromium and Playwright: pip install 'abp-jax[test]'.
"""

import argparse
import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import nbformat
import numpy as np

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
SETTINGS = [  # every cell stays in the page while it is out of sight; no question about news on top of the page
    ("notebook-extension", "tracker", {"windowingMode": "none"}),
    ("apputils-extension", "notification", {"fetchNews": "false", "checkForUpdates": False}),
]
STOPWATCH = """() => {
  const started = !!window.presses;
  window.presses = []; window.pictures = [];
  if (started) return;
  const image = document.querySelector('img.abp-laboratory');
  document.addEventListener('keydown', () => presses.push(performance.now()), true);
  image.addEventListener('load', () => pictures.push(performance.now()));
}"""


def browser_path() -> str | None:
    """Returns where Chromium or Chrome is, if it is on the PATH."""
    names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
    return next(filter(None, map(shutil.which, names)), None)


@contextlib.contextmanager
def jupyterlab(folder: Path, cells: list[str]):
    """Starts JupyterLab on a notebook of these cells in an empty folder; gives the notebook's URL."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    nbformat.write(notebook, folder / "page.ipynb")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    token = secrets.token_hex(8)
    for extension, name, value in SETTINGS:
        settings = folder / "s" / "@jupyterlab" / extension
        settings.mkdir(parents=True)
        (settings / f"{name}.jupyterlab-settings").write_text(json.dumps(value))
    environment = os.environ | {name: str(folder / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    environment |= {"JUPYTERLAB_SETTINGS_DIR": str(folder / "s"), "JUPYTERLAB_WORKSPACES_DIR": str(folder / "w")}
    options = [f"--port={port}", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}", "--no-browser"]
    command = [sys.executable, "-m", "jupyterlab", "--allow-root", "--log-level=ERROR", *options]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_it_answers(f"{url}/api/status?token={token}", server)
        yield f"{url}/lab/tree/page.ipynb?token={token}"
    finally:
        if server.poll() is None:
            request = urllib.request.Request(f"{url}/api/shutdown?token={token}", method="POST")
            urllib.request.urlopen(request, timeout=30).close()
        server.wait(60)


def wait_until_it_answers(url: str, server: subprocess.Popen) -> None:
    """Raises RuntimeError if the server ends before it answers."""
    while server.poll() is None:
        try:
            return urllib.request.urlopen(url, timeout=30).close()
        except OSError:
            pass
    raise RuntimeError("JupyterLab did not start")


@contextlib.contextmanager
def laboratory_page(folder: Path, cells: list[str], timeout: float = 120):
    """Runs the cells in a browser and waits, `timeout` seconds at most, for the laboratory; gives Playwright's page."""
    from playwright.sync_api import sync_playwright

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--no-first-run"]
    with jupyterlab(folder, cells) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=quiet)
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 1200})
            page.set_default_timeout(1000 * timeout)
            page.goto(url)
            page.get_by_text("| Idle").first.wait_for()  # the kernel is there
            page.get_by_role("menuitem", name="Run", exact=True).click()
            page.get_by_text("Run All Cells", exact=True).click()
            page.locator("img.abp-laboratory").wait_for()
            page.get_by_text("| Idle").first.wait_for()
            yield page
        finally:
            browser.close()


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

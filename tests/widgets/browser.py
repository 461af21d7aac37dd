"""A real JupyterLab or Notebook 7 in a real browser, for the tests and measurements that look at widgets."""

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import nbformat

SETTINGS = [  # every cell stays in the page while it is out of sight; no question about news on top of the page
    ("notebook-extension", "tracker", {"windowingMode": "none"}),
    ("apputils-extension", "notification", {"fetchNews": "false", "checkForUpdates": False}),
]
DARK = [("apputils-extension", "themes", {"theme": "JupyterLab Dark"})]

# JupyterLab says so in its status bar. Notebook 7 has none: there the kernel's name appears, and its circle.
KERNEL_IS_READY = """() => document.querySelector('.jp-StatusBar-Widget, #jp-bottom-panel .jp-StatusBar-TextItem')
  ? document.body.innerText.includes('| Idle')
  : document.querySelector('.jp-KernelName')?.innerText.includes('Python 3')
    && document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]') !== null"""

# What moves by itself: animations and transitions that run, and frames that are asked for, in a quarter of a second.
MOVES = """async () => {
  const ask = window.requestAnimationFrame, running = new Set();
  let frames = 0;
  const look = () => document.getAnimations().forEach(one => one.playState === 'running' && running.add(one));
  window.requestAnimationFrame = draw => { frames += 1; return ask(draw); };
  look();
  await new Promise(done => setTimeout(done, 250));
  look();
  window.requestAnimationFrame = ask;
  return frames + running.size;
}"""


def browser_path() -> str | None:
    """Returns where Chromium or Chrome is, if it is on the PATH."""
    names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
    return next(filter(None, map(shutil.which, names)), None)


@contextlib.contextmanager
def jupyterlab(folder: Path, notebook: nbformat.NotebookNode, app: str = "lab", dark: bool = False):
    """Starts JupyterLab, or Notebook 7 (app="notebook"), on a notebook in an empty folder; gives the notebook's URL."""
    nbformat.write(notebook, folder / "page.ipynb")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    token = secrets.token_hex(8)
    for extension, name, value in SETTINGS + DARK * dark:
        settings = folder / "s" / "@jupyterlab" / extension
        settings.mkdir(parents=True, exist_ok=True)
        (settings / f"{name}.jupyterlab-settings").write_text(json.dumps(value))
    environment = os.environ | {name: str(folder / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    environment |= {"JUPYTERLAB_SETTINGS_DIR": str(folder / "s"), "JUPYTERLAB_WORKSPACES_DIR": str(folder / "w")}
    options = [f"--port={port}", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}", "--no-browser"]
    module = {"lab": "jupyterlab", "notebook": "notebook"}[app]
    command = [sys.executable, "-m", module, "--allow-root", "--log-level=ERROR", *options]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_it_answers(f"{url}/api/status?token={token}", server)
        yield f"{url}/{'lab/tree' if app == 'lab' else 'notebooks'}/page.ipynb?token={token}"
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
    raise RuntimeError("Jupyter did not start")


@contextlib.contextmanager
def browser_page(url: str, height: int, timeout: float = 120, width: int = 1280):
    """Opens a URL in Chromium; gives Playwright's page, which waits `timeout` seconds at most."""
    from playwright.sync_api import sync_playwright

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--no-first-run"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=quiet)
        try:
            page = browser.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(1000 * timeout)
            page.goto(url)
            yield page
        finally:
            browser.close()


def barriers(page, within: str = "html") -> list[tuple[str, list[str]]]:
    """Returns what axe-core finds that keeps readers out of a page: each rule that is broken, and where.

    All its rules are tried: those of WCAG 2, levels A and AA, and its own of good practice.

    Args:
        page: Playwright's page.
        within: the selector of the part that is looked at.
    """
    from axe_playwright_python.sync_playwright import Axe

    options = {"resultTypes": ["violations"], "iframes": False, "preload": False}  # it fetches nothing
    report = Axe().run(page, within, options).response
    assert "color-contrast" in {rule["id"] for rule in report["passes"]}  # it was there, and looked at the texts
    return [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in report["violations"]]


def run_all_cells(page) -> None:
    """Runs the notebook that a page shows, once its kernel is there."""
    page.wait_for_function(KERNEL_IS_READY)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()


@contextlib.contextmanager
def notebook_page(folder: Path, cells: list[str], height: int, timeout: float = 120):
    """Runs the cells in JupyterLab in a browser; gives Playwright's page, which waits `timeout` seconds at most."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    with jupyterlab(folder, notebook) as url, browser_page(url, height, timeout) as page:
        run_all_cells(page)
        yield page


@contextlib.contextmanager
def laboratory_page(folder: Path, cells: list[str], timeout: float = 120):
    """`notebook_page` of cells that show the step-size laboratory, once it is there."""
    with notebook_page(folder, cells, 1200, timeout) as page:
        page.locator("img.abp-laboratory").wait_for()
        page.get_by_text("| Idle").first.wait_for()
        yield page


def choose_chain(page, name: str) -> None:
    """Chooses a kind of chain in the laboratory, and waits for its first trail."""
    image = page.locator("img.abp-laboratory")
    if page.locator(".widget-dropdown select").nth(1).input_value() != name:
        before = image.get_attribute("src")
        page.locator(".widget-dropdown select").nth(1).select_option(label=name)
        page.wait_for_function("src => document.querySelector('img.abp-laboratory').src != src", arg=before)
    page.get_by_text("| Idle").first.wait_for()

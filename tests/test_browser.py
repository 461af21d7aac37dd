"""The sliders of notebook 00, moved by a real mouse in a real JupyterLab in a real browser."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import jax.numpy as jnp
import nbformat
import numpy as np
import pytest

import abp_jax as abp

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "00_start_here.ipynb"
READ_IMAGE = """() => {
  const image = document.querySelector('img.abp-pixelated'), canvas = document.createElement('canvas');
  canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
  const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  return [canvas.height, canvas.width, Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data)];
}"""
READ_SLIDERS = "() => [...document.querySelectorAll('.widget-slider .noUi-target')].map(s => s.noUiSlider.get(true))"

SETTINGS = [  # every cell stays in the page while it is out of sight; no question about news on top of the page
    ("notebook-extension", "tracker", {"windowingMode": "none"}),
    ("apputils-extension", "notification", {"fetchNews": "false", "checkForUpdates": False}),
]


def browser_path():
    names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"]
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        message = "no Chromium on the PATH: 'apt-get install chromium' or your system's like gets one"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    return found


@pytest.fixture
def lab(tmp_path):
    """The URL of a running JupyterLab on a copy of the notebook."""
    browser_path()  # first of all, since without a browser the rest is in vain
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []  # so that what the page shows was computed now
    nbformat.write(notebook, tmp_path / NOTEBOOK.name)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    token = secrets.token_hex(8)
    options = [
        f"--port={port}",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={tmp_path}",
        "--no-browser",
    ]
    for extension, name, value in SETTINGS:
        folder = tmp_path / "s" / "@jupyterlab" / extension
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.jupyterlab-settings").write_text(json.dumps(value))
    environment = os.environ | {name: str(tmp_path / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    environment |= {"JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "s"), "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "w")}
    command = [sys.executable, "-m", "jupyterlab", "--allow-root", "--log-level=ERROR", *options]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until_it_answers(f"{url}/api/status?token={token}", server)
        yield f"{url}/lab/tree/{NOTEBOOK.name}?token={token}"
    finally:
        request = urllib.request.Request(f"{url}/api/shutdown?token={token}", method="POST")
        urllib.request.urlopen(request, timeout=30).close()
        server.wait(60)


def wait_until_it_answers(url, server):
    while server.poll() is None:
        try:
            return urllib.request.urlopen(url, timeout=30).close()
        except OSError:
            pass
    pytest.fail("JupyterLab did not start")


@pytest.fixture
def page(lab):
    from playwright.sync_api import sync_playwright

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--no-first-run"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path(), args=quiet)
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        page.set_default_timeout(120_000)
        page.goto(lab)
        yield page
        browser.close()


def shown(page):
    height, width, pixels = page.evaluate(READ_IMAGE)
    return np.array(pixels, np.uint8).reshape(height, width, 4)[..., :3]


def expected(generator, z):
    return 255 * abp.plots.to_display(abp.reconstruct(generator, jnp.array([z]))[0])


def test_the_image_follows_the_mouse(page):
    page.get_by_text("| Idle").first.wait_for()  # the kernel is there
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    page.locator("img.abp-pixelated").wait_for()
    page.get_by_text("same bytes on the screen: True").wait_for()  # the last cell has run
    generator, _ = abp.load_lion_tiger_generator()
    handles = page.locator(".widget-slider .noUi-handle")
    assert handles.count() == 2

    for i, distance in enumerate((60, -70)):
        handles.nth(i).scroll_into_view_if_needed()
        before, source = page.evaluate(READ_SLIDERS), page.locator("img.abp-pixelated").get_attribute("src")
        box = handles.nth(i).bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + distance, y, steps=15)
        page.wait_for_function(  # the picture is live: it has changed while the button is still down
            "src => document.querySelector('img.abp-pixelated').src != src", arg=source
        )
        page.mouse.up()
        after = page.evaluate(READ_SLIDERS)
        assert (after[i] - before[i]) * distance > 0 and after[1 - i] == before[1 - i]
        while True:  # until the last of the messages on their way has arrived; the page's own timeout ends it
            source = page.locator("img.abp-pixelated").get_attribute("src")
            if np.abs(shown(page) - expected(generator, page.evaluate(READ_SLIDERS))).max() < 1.01:
                break
            page.wait_for_function("src => document.querySelector('img.abp-pixelated').src != src", arg=source)
    style = page.evaluate("() => getComputedStyle(document.querySelector('img.abp-pixelated')).imageRendering")
    assert style == "pixelated"

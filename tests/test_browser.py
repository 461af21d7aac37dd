"""The sliders of notebook 00, moved by a real mouse in a real JupyterLab in a real browser."""

from pathlib import Path

import jax.numpy as jnp
import nbformat
import numpy as np
import pytest

import abp_jax as abp
from benchmarks.browser import browser_page, jupyterlab, run_all_cells

NOTEBOOK = Path(__file__).parent.parent / "notebooks" / "00_start_here.ipynb"
READ_IMAGE = """() => {
  const image = document.querySelector('img.abp-pixelated'), canvas = document.createElement('canvas');
  canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
  const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  return [canvas.height, canvas.width, Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data)];
}"""
READ_SLIDERS = "() => [...document.querySelectorAll('.widget-slider .noUi-target')].map(s => s.noUiSlider.get(true))"


@pytest.fixture
def page(chromium, tmp_path):
    """A running JupyterLab on a copy of the notebook, in a browser."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []  # so that what the page shows was computed now
    with jupyterlab(tmp_path, notebook) as url, browser_page(url, 1400) as page:
        yield page


def shown(page):
    height, width, pixels = page.evaluate(READ_IMAGE)
    return np.array(pixels, np.uint8).reshape(height, width, 4)[..., :3]


def expected(generator, z):
    return 255 * abp.plots.to_display(abp.reconstruct(generator, jnp.array([z]))[0])


def test_the_image_follows_the_mouse(page):
    run_all_cells(page)
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

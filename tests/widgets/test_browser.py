"""The explorer of notebook 00 under a real mouse, in a real JupyterLab and a real Notebook 7 (dark) in a real browser.

Screenshots are left in build/screenshots.
"""

import base64
from pathlib import Path

import jax.numpy as jnp
import nbformat
import numpy as np
import pytest

import abp_jax as abp
from tests.widgets.browser import barriers, browser_page, jupyterlab, run_all_cells

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks" / "00_start_here.ipynb"
FACES = ROOT / "data" / "lion_tiger"
READ = """() => {
  const canvas = document.querySelector('.abp-image'), {z1, z2} = document.querySelector('.abp-plane').dataset;
  const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  return [Number(z1), Number(z2), canvas.height, canvas.width, Array.from(pixels)];
}"""
NEXT_FRAME = "() => new Promise(done => requestAnimationFrame(done))"
STATUS = "text => document.querySelector('.abp-status').textContent.includes(text)"


@pytest.fixture(scope="module", params=["lab", "notebook"])
def page(request, tmp_path_factory):
    """The notebook, run in JupyterLab or in Notebook 7 (with the dark theme)."""
    request.getfixturevalue("chromium")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []  # so that what the page shows was computed now
    folder, app = tmp_path_factory.mktemp("jupyter"), request.param
    with jupyterlab(folder, notebook, app, dark=app == "notebook") as url, browser_page(url, 1400) as page:
        page.complaints = []
        page.on("pageerror", lambda error: "abp-" in str(error.stack) and page.complaints.append(str(error)))
        run_all_cells(page)
        page.get_by_text("the same picture on the screen: True").wait_for()  # the last cell has run
        page.locator(".abp-explorer").scroll_into_view_if_needed()
        page.app = app
        yield page
        assert page.complaints == []


@pytest.fixture(autouse=True)
def screenshot(request, page):
    """What the page looks like after each test."""
    yield
    folder = ROOT / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    name = request.node.originalname.removeprefix("test_")
    page.locator(".abp-explorer").screenshot(path=folder / f"{page.app}_{name}.png")


@pytest.fixture(scope="module")
def shipped():
    return abp.load_lion_tiger_generator()


def where(page):
    return np.array(page.evaluate(READ)[:2])


def wait_until_drawn(page, generator):
    """Waits for the image of where the ring stands, to the last bit but one; the page's own timeout ends it."""
    for _ in range(3000):
        *z, height, width, pixels = page.evaluate(READ)
        shown = np.array(pixels, float).reshape(height, width, 4)[..., :3]
        drawn = 255 * abp.plots.to_display(abp.reconstruct(generator, jnp.array([z], jnp.float32))[0])
        if np.abs(shown - drawn).max() < 1.01:
            return np.array(z)
        page.evaluate(NEXT_FRAME)
    raise AssertionError(f"at z = {z} the image is not the generator's")


def test_the_image_follows_a_drag(page, shipped):
    box = page.locator(".abp-plane").bounding_box()
    at = lambda x, y: (box["x"] + x * box["width"], box["y"] + y * box["height"])
    before = page.evaluate(READ)[-1]
    page.mouse.move(*at(0.1, 0.95))
    page.mouse.down()
    for t in np.linspace(0, 1, 20):
        page.mouse.move(*at(0.1 + 0.55 * t, 0.95 - 0.05 * t))
    page.wait_for_function(
        f"before => ({READ})().at(-1).some((v, i) => v !== before[i])", arg=before
    )  # still held down
    page.mouse.up()
    z = wait_until_drawn(page, shipped[0])
    np.testing.assert_allclose(z, [-2.5 + 5 * 0.65, 2.5 - 5 * 0.9], atol=0.03)
    ring = page.locator(".abp-ring").bounding_box()
    np.testing.assert_allclose([ring["x"] + 13, ring["y"] + 13], at(0.65, 0.9), atol=1.5)


def test_keys_move_the_ring_and_not_the_notebook(page, shipped):
    start = where(page)
    page.locator(".abp-ring").focus()
    page.evaluate("() => { window.active = document.querySelector('.jp-Notebook .jp-mod-active'); }")
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp", "Shift+ArrowUp", "ArrowDown"):
        page.keyboard.press(key)
    np.testing.assert_allclose(wait_until_drawn(page, shipped[0]), start + [-0.1, 0.25], atol=1e-6)
    assert page.evaluate("() => window.active === document.querySelector('.jp-Notebook .jp-mod-active')")
    assert page.evaluate("() => document.activeElement.className") == "abp-ring"


def test_sliders(page, shipped):
    slider = page.get_by_role("slider", name="z1", exact=True)
    start = where(page)
    slider.press("ArrowRight")
    np.testing.assert_allclose(wait_until_drawn(page, shipped[0]), start + [0.05, 0], atol=1e-6)
    box = slider.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2, steps=8)
    page.mouse.up()
    z = wait_until_drawn(page, shipped[0])
    np.testing.assert_allclose(z, [-1.25, start[1]], atol=0.1)
    assert page.locator(".abp-value").first.inner_text() == f"{z[0]:.2f}".replace("-", "−")


def test_thumbnails_and_the_path_between_two(page, shipped):
    generator, z = shipped
    page.get_by_role("button", name="Go to image 2", exact=True).click()
    np.testing.assert_allclose(wait_until_drawn(page, generator), z[1], atol=1e-4)
    page.get_by_role("button", name="Go to image 8", exact=True).press("Enter")
    np.testing.assert_allclose(wait_until_drawn(page, generator), z[7], atol=1e-4)
    page.get_by_role("slider", name="Place on the path").fill("0.25")
    np.testing.assert_allclose(wait_until_drawn(page, generator), 0.75 * z[1] + 0.25 * z[7], atol=1e-4)
    play = page.get_by_title("Play the straight path")
    play.click()
    assert play.inner_text() == "Stop"
    page.wait_for_function("() => document.querySelector('.abp-path button').textContent === 'Play'")
    np.testing.assert_allclose(wait_until_drawn(page, generator), z[7], atol=1e-4)


def test_buttons(page, shipped):
    generator, z = shipped
    before = where(page)
    page.get_by_role("button", name="Random z").click()
    assert np.abs(wait_until_drawn(page, generator) - before).max() > 1e-6
    with page.expect_download() as download:
        page.get_by_role("button", name="Save image").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
    page.get_by_role("button", name="Copy z").click()
    page.wait_for_function("() => document.querySelector('.abp-status').textContent.includes('z = [')")
    page.get_by_role("button", name="Reset").click()
    np.testing.assert_allclose(wait_until_drawn(page, generator), z[0], atol=1e-4)


def test_the_posterior_of_the_chosen_image(page, shipped):
    page.get_by_role("button", name="Go to image 3", exact=True).click()
    page.get_by_role("checkbox", name="Posterior").check()
    page.wait_for_function(STATUS, arg="image 3. The lens: p(z | Y)")
    assert page.locator(".abp-lens").is_visible() and page.locator(".abp-lens path").count() == 3
    assert page.locator(".abp-contours").get_attribute("d").startswith("M")
    page.get_by_role("checkbox", name="Posterior").uncheck()
    page.locator(".abp-lens").wait_for(state="hidden")


@pytest.mark.parametrize("how", ["upload", "drop"])
def test_a_picture_of_your_own(page, shipped, how):
    """One of the faces, so that the chains should find the z of that face. The trail grows while they run."""
    page.evaluate(
        """() => { window.trails = []; new MutationObserver(() => trails.push(
        document.querySelector('.abp-trails').getAttribute('d').length)).observe(
        document.querySelector('.abp-trails'), {attributes: true}); }"""
    )
    face = FACES / "tiger_03.png"
    if how == "upload":
        page.locator(".abp-file input").set_input_files(face)
    else:
        drop_file(page, face.name, face.read_bytes())
    page.wait_for_function("() => window.trails.length > 10")
    page.wait_for_function(STATUS, arg="tiger_03.png: mean squared error")
    generator, z = shipped
    np.testing.assert_allclose(wait_until_drawn(page, generator), z[7], atol=0.1)
    assert page.evaluate("() => window.trails.at(-1) > window.trails[2]")
    assert page.get_by_role("button", name="Go to tiger_03.png").count() == 1 + (how == "drop")


def drop_file(page, name, content):
    """Drops a file on the plane, as from the desktop."""
    transfer = page.evaluate_handle(
        """([name, text]) => { const transfer = new DataTransfer();
        transfer.items.add(new File([Uint8Array.from(atob(text), c => c.charCodeAt(0))], name)); return transfer; }""",
        [name, base64.b64encode(content).decode()],
    )
    page.dispatch_event(".abp-plane", "drop", {"dataTransfer": transfer})


def test_a_file_that_is_no_image_is_said(page):
    before = where(page)
    for _ in range(2):  # the second time the same words are said again
        drop_file(page, "letter.txt", b"Dear reader")
        page.get_by_role("alert").get_by_text("letter.txt could not be read as an image").wait_for()
        page.wait_for_function("() => document.querySelector('.abp-status').textContent === ''")
    np.testing.assert_array_equal(where(page), before)
    page.locator(".abp-ring").press("ArrowLeft")
    page.get_by_role("alert").get_by_text("letter.txt").wait_for(state="hidden")  # it goes with the next move


def test_names_for_screen_readers(page):
    tree = page.locator(".abp-explorer").aria_snapshot()
    for line in ('slider "z1"', 'slider "Place on the plane', 'button "Go to image 11"', 'checkbox "Posterior"'):
        assert line in tree
    assert 'img "The image that the generator draws"' in tree and 'button ""' not in tree
    assert barriers(page, ".abp-explorer") == []


def test_theme_and_contrast(page):
    """The theme of the page around, and text that stands out from it at least 4.5 to 1 (WCAG 2 AA)."""
    assert page.locator(".abp-explorer").get_attribute("data-theme") == ("dark" if page.app == "notebook" else "light")
    paper = page.evaluate("""() => { for (let e = document.querySelector('.abp-explorer'); e; e = e.parentElement) {
        const c = getComputedStyle(e).backgroundColor; if (!c.endsWith(', 0)')) return c; } }""")
    for selector in (".abp-name", ".abp-hint", ".abp-status"):
        assert (
            contrast(page.evaluate(f"() => getComputedStyle(document.querySelector('{selector}')).color"), paper) > 4.5
        )
    style = """() => { const {color, backgroundColor} = getComputedStyle(document.querySelector('.abp-button'));
        return [color, backgroundColor]; }"""
    assert contrast(*page.evaluate(style)) > 4.5


def contrast(ink, paper):
    """The ratio of relative luminances of two colours, written rgb(r, g, b)."""
    luminances = []
    for color in (ink, paper):
        c = np.array([float(v) for v in color[color.index("(") + 1 : -1].split(",")[:3]]) / 255
        c = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        luminances.append(c @ [0.2126, 0.7152, 0.0722] + 0.05)
    return max(luminances) / min(luminances)

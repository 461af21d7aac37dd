"""The exported page, in a real browser without a network, against the generator."""

import base64
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

import abp_jax as abp
from abp_jax.widgets.explorer import page as explorer_page
from tests.widgets.browser import MOVES, barriers

READ_IMAGE = """() => {
  const shown = document.querySelector('.abp-image'), copy = document.createElement('canvas');
  [copy.width, copy.height] = [shown.width, shown.height];
  const context = copy.getContext('2d');
  context.drawImage(shown, 0, 0);
  return [copy.height, copy.width, Array.from(context.getImageData(0, 0, copy.width, copy.height).data)];
}"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The page of the shipped generator, and its report."""
    generator, z = abp.load_lion_tiger_generator()
    path = tmp_path_factory.mktemp("page") / "explorer.html"
    return generator, z, abp.export_explorer(generator, path, z=z, images=abp.load_lion_tiger())


@pytest.fixture
def page(exported, chromium):
    """The page in Chromium, offline. What it complains about makes the test fail."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1000, "height": 900}, offline=True)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page, complaints, requests = context.new_page(), [], []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(exported[2].path.as_uri())
        page.locator(".abp-plane").wait_for()
        yield page
        assert complaints == []
        assert all(url.startswith(("file:", "data:", "blob:")) for url in requests)
        browser.close()


def shown(page):
    """The image as shown, (h, w, 3), from 0 to 255."""
    height, width, data = page.evaluate(READ_IMAGE)
    return np.array(data).reshape(height, width, 4)[..., :3]


def where(page):
    return np.array(page.evaluate("view.point"))


def wait_for_frame(page):
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def root_mean_square(page, generator):
    drawn = np.asarray(abp.reconstruct(generator, jnp.asarray(where(page), jnp.float32)[None])[0])
    return float(np.sqrt(np.mean((shown(page) - 255 * abp.plots.to_display(drawn)) ** 2)))


def test_is_small_and_says_how_far_it_is(exported):
    generator, _, report = exported
    text = report.path.read_text("utf-8")
    assert report.num_bytes == report.path.stat().st_size < 2e6
    assert f"differs from the generator by {report.error:.1f} of 255" in text
    assert "http://" not in text.replace("http://www.w3.org", "") and "https://" not in text
    places = jax.random.uniform(jax.random.key(5), (200, 2), minval=-2.5, maxval=2.5)
    images = 255 * abp.plots.to_display(abp.reconstruct(generator, places)).reshape(200, -1)
    grid = np.asarray(abp.latent_grid(generator, -2.5, 2.5, explorer_page.NUM)).reshape(
        explorer_page.NUM, explorer_page.NUM, -1
    )
    parts = explorer_page._factorise(
        255 * abp.plots.to_display(grid[::-1]).reshape(explorer_page.NUM**2, -1), report.rank
    )
    ours = explorer_page.evaluate(parts, places, -2.5, 2.5)
    np.testing.assert_allclose(np.sqrt(np.mean((ours - images) ** 2)), report.error, rtol=0.15)


def test_the_committed_page_is_made_from_the_shipped_generator(exported):
    text = (Path(__file__).parents[2] / "docs" / "explorer.html").read_text("utf-8")
    numbers = [json.loads(t.split('id="data">')[1].split("</script>")[0]) for t in (text, exported[2].path.read_text())]
    assert [thumb["name"] for thumb in numbers[0]["thumbs"]] == [f"lion {i}" for i in range(1, 6)] + [
        f"tiger {i}" for i in range(1, 7)
    ]
    committed, fresh = (parts_of(one) for one in numbers)
    places = np.random.default_rng(1).uniform(-2.5, 2.5, (100, 2))
    difference = explorer_page.evaluate(committed, places, -2.5, 2.5) - explorer_page.evaluate(fresh, places, -2.5, 2.5)
    assert np.sqrt(np.mean(difference**2)) < 0.5
    assert text.split('"use strict"')[1] == exported[2].path.read_text("utf-8").split('"use strict"')[1]


def parts_of(data):
    """The Parts that a page holds."""
    dtypes = {"mean": np.float32, "basis": np.int8, "coefficients": np.int16, "scale": np.float32}
    parts = [np.frombuffer(base64.b64decode(data[name]), dtype) for name, dtype in dtypes.items()]
    parts = explorer_page.Parts(*parts)
    rank = data["rank"]
    return parts._replace(basis=parts.basis.reshape(rank, -1), coefficients=parts.coefficients.reshape(-1, rank))


def test_starts_at_the_first_z_and_follows_a_drag_to_the_generator_s_image(page, exported):
    generator, z, report = exported
    np.testing.assert_allclose(where(page), z[0], atol=1e-4)
    assert root_mean_square(page, generator) < 3 * report.error
    box = page.locator(".abp-plane").bounding_box()
    at = lambda x, y: (box["x"] + x * box["width"], box["y"] + y * box["height"])
    page.mouse.move(*at(0.1, 0.93))
    page.mouse.down()
    for t in np.linspace(0, 1, 20):
        page.mouse.move(*at(0.1 + 0.55 * t, 0.93 - 0.05 * t))
    page.mouse.up()
    wait_for_frame(page)
    np.testing.assert_allclose(where(page), [-2.5 + 5 * 0.65, 2.5 - 5 * 0.88], atol=0.03)
    assert root_mean_square(page, generator) < 3 * report.error
    assert page.locator(".abp-value").first.inner_text() == f"{where(page)[0]:.2f}".replace("-", "−")


def test_the_browser_computes_what_was_measured(page, exported):
    """`evaluate` is the arithmetic of the page, so the error that it measured is that of the page."""
    parts = parts_of(page.evaluate("data"))
    for z in ([0.31, -1.17], [-2.5, 2.5], [2.5, -0.01], [2.49, 2.49]):
        page.evaluate("z => { view.place(z); draw(); }", z)
        wait_for_frame(page)
        expected = explorer_page.evaluate(parts, np.array([z]), -2.5, 2.5)[0]
        np.testing.assert_allclose(shown(page).ravel(), expected, atol=1)


def test_keys_thumbnails_and_the_path(page, exported):
    _, z, _ = exported
    for _ in range(16):  # the plane is drawn, a row of images a frame
        wait_for_frame(page)
    assert page.evaluate(MOVES) == 0 and barriers(page) == []
    page.locator(".abp-plane").focus()
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp", "Shift+ArrowDown"):
        page.keyboard.press(key)
    wait_for_frame(page)
    np.testing.assert_allclose(where(page), z[0] + np.array([-0.1, 0.05 - 0.25]), atol=1e-4)
    assert page.get_by_title("Play the straight path").is_disabled()
    page.get_by_role("button", name="Go to image 2", exact=True).click()
    wait_for_frame(page)
    np.testing.assert_allclose(where(page), z[1], atol=1e-4)
    page.get_by_role("button", name="Go to image 6").press("Enter")
    wait_for_frame(page)
    np.testing.assert_allclose(where(page), z[5], atol=1e-4)
    page.locator(".abp-path input").fill("0.25")
    wait_for_frame(page)
    np.testing.assert_allclose(where(page), 0.75 * z[1] + 0.25 * z[5], atol=1e-4)
    page.get_by_title("Play the straight path").click()
    page.wait_for_function("!view.playing")
    np.testing.assert_allclose(where(page), z[5], atol=1e-4)


def test_buttons(page, exported, tmp_path):
    _, z, _ = exported
    page.get_by_text("Random z").click()
    wait_for_frame(page)
    assert np.abs(where(page) - z[0]).max() > 1e-3
    page.get_by_text("Copy z").click()
    page.get_by_text("Copied z").wait_for()
    np.testing.assert_allclose(page.evaluate("navigator.clipboard.readText().then(JSON.parse)"), where(page), atol=1e-4)
    with page.expect_download() as download:
        page.get_by_text("Save image").click()
    download.value.save_as(tmp_path / "image.png")
    saved = Image.open(tmp_path / "image.png").convert("RGB")
    np.testing.assert_array_equal(np.asarray(saved), shown(page))
    page.get_by_text("Reset").click()
    wait_for_frame(page)
    np.testing.assert_allclose(where(page), z[0], atol=1e-4)


def test_on_a_phone(exported, chromium):
    """400 pixels wide, dark, by touch: nothing sticks out, a tap moves the ring, and the plane does not scroll.

    Who wants no motion goes along a path in four leaps.
    """
    generator, z, report = exported
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        phone = dict(viewport={"width": 400, "height": 800}, has_touch=True, is_mobile=True, color_scheme="dark")
        page = browser.new_context(offline=True, reduced_motion="reduce", **phone).new_page()
        page.goto(report.path.as_uri())
        box = page.locator(".abp-plane").bounding_box()
        page.touchscreen.tap(box["x"] + 0.9 * box["width"], box["y"] + 0.95 * box["height"])
        wait_for_frame(page)
        np.testing.assert_allclose(where(page), [2.0, -2.25], atol=0.03)
        assert root_mean_square(page, generator) < 3 * report.error
        assert page.evaluate("document.documentElement.scrollWidth") == 400
        assert page.locator(".abp-explorer").get_attribute("data-theme") == "dark"
        assert page.evaluate("getComputedStyle(document.querySelector('.abp-plane')).touchAction") == "none"
        assert barriers(page) == []
        for name in ("image 2", "image 6"):
            page.get_by_role("button", name=f"Go to {name}", exact=True).press("Enter")
        page.get_by_title("Play the straight path").click()
        np.testing.assert_allclose(where(page), 0.75 * z[1] + 0.25 * z[5], atol=1e-4)
        wait_for_frame(page)
        assert page.evaluate(MOVES) == 0
        browser.close()


def test_a_title_cannot_break_the_page(tmp_path):
    generator = abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(0))
    name = "</script><b>$data"
    report = abp.export_explorer(generator, tmp_path / "a.html", z=jnp.zeros((1, 2)), names=[name], title=name)
    text = report.path.read_text("utf-8")
    assert text.count("</script>") == 2 and "&lt;/script&gt;&lt;b&gt;$data</title>" in text
    assert list(tmp_path.iterdir()) == [report.path]


def test_titles_and_names_may_be_anything(tmp_path, monkeypatch):
    for name, value in (("NUM", 9), ("NUM_CHECKS", 20), ("LARGEST_ERROR", 1e3)):
        monkeypatch.setattr(explorer_page, name, value)
    generator, z = abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(0)), np.zeros((2, 2))
    pictures = np.full((2, 8, 8, 3), 255, np.uint8)
    for title, shown, names in (
        ("caf\udce9", "caf\ufffd", np.arange(2)),
        ("\ud800", "\ufffd", ["\udcff", None]),
        (Path("a.png"), "a.png", jnp.arange(2)),
        (7, "7", [b"caf\xe9", 2.5]),
    ):
        options = dict(names=names, low=np.float32(-2), high=jnp.float32(2), images=pictures)
        report = abp.export_explorer(generator, tmp_path / "new" / "a.html", z=z, title=title, **options)
        assert f"<title>{shown}</title>" in report.path.read_text("utf-8")
    assert list(tmp_path.iterdir()) == [report.path.parent] and list(report.path.parent.iterdir()) == [report.path]


def test_a_path_that_is_no_file_is_said_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path, f"{tmp_path}/", ".", "", None, [tmp_path / "a.html"], tmp_path / "file" / "a.html"):
        with pytest.raises(ValueError, match="^path must be"):
            abp.export_explorer(None, path)
    assert [f.name for f in tmp_path.iterdir()] == ["file"]


def test_a_page_that_can_not_be_finished_leaves_nothing(tmp_path, monkeypatch):
    for name, value in (("NUM", 9), ("NUM_CHECKS", 20), ("LARGEST_ERROR", 1e3)):
        monkeypatch.setattr(explorer_page, name, value)
    monkeypatch.setattr(Path, "replace", lambda self, other: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        abp.export_explorer(abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(0)), tmp_path / "a.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(z=np.zeros((2, 2)), names="ab"), "names must be a list with one name for each z"),
        (dict(z=np.zeros((1, 2)), images=np.full((1, 8, 8, 3), np.nan)), "images hold nan or infinite values"),
        (
            dict(z=np.zeros((1, 2)), images=np.full((1, 8, 8, 3), 255.0)),
            "images for a ConvGenerator have values from -1 to 1",
        ),
        (dict(high=np.inf), "high must be finite and above -2.5, got inf"),
        (dict(z=np.zeros((2, 3))), r"z must be \(n, 2\), .* got shape \(2, 3\)"),
        (dict(z=np.full((2, 2), np.nan)), "z holds nan or infinite values"),
        (dict(z=np.zeros((2, 2)), names=["a"]), "names must be as many as z: got 1 for 2"),
        (dict(low=1.0, high=1.0), "high must be finite and above 1, got 1"),
        (dict(generator=abp.ConvGenerator(3, image_size=8, width=4, rngs=nnx.Rngs(0))), "this generator has 3"),
        (dict(generator=abp.LinearGenerator(2, 5, rngs=nnx.Rngs(0))), r"this generator gives \(5,\)"),
    ],
)
def test_bad_arguments_write_nothing(tmp_path, changes, message):
    generator = changes.pop("generator", None) or abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=message):
        abp.export_explorer(generator, tmp_path / "a.html", **changes)
    assert list(tmp_path.iterdir()) == []

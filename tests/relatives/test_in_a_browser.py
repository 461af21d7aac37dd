"""The widgets of parts V and VI under a hand, in a real JupyterLab and a real Notebook 7."""

import re

import jax
import jax.numpy as jnp
import nbformat
import numpy as np
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax import evidence
from abp_jax.relatives import tables
from abp_jax.relatives.encoders import ConvEncoder
from abp_jax.relatives.widgets import critics_drawing, divergence_picture, two_divergences
from tests.widgets.browser import barriers, browser_page, jupyterlab, notebook_page, run_all_cells
from tests.widgets.test_browser import drop_file
from tests.widgets.test_explorer import as_file

CELLS = [
    """
import jax
from abp_jax.relatives import bits, nade, rbm, tables
from abp_jax.relatives.widgets.completion_viewer import CompletionViewer
from abp_jax.relatives.widgets.evidence_explorer import EvidenceExplorer
from abp_jax.relatives.widgets.fantasy_viewer import FantasyViewer
from abp_jax.relatives.widgets.gibbs_viewer import GibbsViewer
from abp_jax.relatives.widgets.mask_viewer import MaskViewer

places = {"D": (0, 2), "I": (1.4, 2), "G": (0.7, 1), "S": (2.1, 1), "L": (0.7, 0)}
explorer = EvidenceExplorer(tables.student(), places, {"S": "SAT"}, {"S": ("low", "high")})
explorer""",
    "GibbsViewer(num_chains=200, key=jax.random.key(0))",
    """
W, x = jax.random.normal(jax.random.key(1), (4, 9)), bits.bars_and_stripes(3)
FantasyViewer(rbm.RBM(W, 0 * W[0], 0 * W[:, 0]), x[:5], key=jax.random.key(2), num_steps=20)""",
    """
params = nade.init(jax.random.key(3), 9, 4)
CompletionViewer(lambda key, x, known: nade.complete(key, params, x, known), x[:4], key=jax.random.key(4))""",
    "MaskViewer(5, 6)",
]
SLIDERS = 1, 2, 3  # the cells whose first slider moves a picture


@pytest.mark.parametrize("app", ["lab", "notebook"])
def test_widgets_answer_the_hand(chromium, tmp_path, app):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in CELLS])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    with jupyterlab(tmp_path, notebook, app) as url, browser_page(url, 3000) as page:
        run_all_cells(page)
        outputs = page.locator(".jp-CodeCell").locator(".jp-OutputArea-output")
        cell = lambda k: page.locator(".jp-CodeCell").nth(k)
        cell(4).locator(".abp-mask-viewer svg").wait_for()  # the last is there

        intelligence = tables.marginal(tables.given(tables.joint(tables.student()), S=1), "I").values
        numbers = [f"{p:.3f}" for p in jax.device_get(intelligence)]  # 0.127 and 0.873, which nothing else shows
        assert cell(0).locator(".abp-number", has_text=numbers[1]).count() == 0
        cell(0).locator("[aria-label^='SAT = high']").click()
        cell(0).locator(".abp-number", has_text=numbers[0]).wait_for()
        cell(0).locator(".abp-number", has_text=numbers[1]).wait_for()

        for k in SLIDERS:
            cell(k).locator("img.widget-image").first.wait_for()
            picture = f"document.querySelectorAll('.jp-CodeCell')[{k}].querySelector('img.widget-image').src"
            before, handle = page.evaluate(picture), cell(k).locator(".noUi-handle").first
            handle.scroll_into_view_if_needed()
            box = handle.bounding_box()
            x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
            page.mouse.move(x, y)
            page.mouse.down()
            page.mouse.move(x + 40, y, steps=8)
            page.mouse.up()
            page.wait_for_function(f"src => {picture} !== src", arg=before)

        drawing = cell(4).locator(".abp-mask-viewer").first
        before = drawing.inner_html()
        drawing.locator("[data-unit^='output']").last.click()
        page.wait_for_function("([el, html]) => el.innerHTML !== html", arg=[drawing.element_handle(), before])
        assert outputs.filter(has_text=re.compile("Error")).count() == 0
        page.get_by_role("slider", name="hidden units").wait_for()
        assert barriers(page, ".jp-OutputArea-output") == []


PART_VI = [
    """
from abp_jax.relatives.widgets.two_divergences import TwoDivergences
TwoDivergences(y=1.0, sigma=0.3)""",
    """
from abp_jax.relatives.widgets.critics_view import CriticsView
CriticsView(mean=3.0, width=1.0)""",
    """
import jax.numpy as jnp
from flax import nnx
import abp_jax as abp
from abp_jax.relatives.encoders import ConvEncoder
from abp_jax.relatives.widgets.encoder_explorer import EncoderExplorer
generator, encoder = abp.ConvGenerator(2, 8, 4, rngs=nnx.Rngs(0)), ConvEncoder(2, 8, 4, rngs=nnx.Rngs(1))
EncoderExplorer(generator, encoder, jnp.zeros((3, 2)))""",
]
NUMBER = r"[-−]?\d+\.\d+"
COLOUR_AT = """async ([image, x, y]) => {
  await image.decode();
  const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight), pen = canvas.getContext('2d');
  pen.drawImage(image, 0, 0);
  return Array.from(pen.getImageData(x * canvas.width, y * canvas.height, 1, 1).data).slice(0, 3);
}"""


@pytest.fixture(scope="module")
def page(chromium, tmp_path_factory):
    """Part VI's widgets, run in JupyterLab."""
    with notebook_page(tmp_path_factory.mktemp("jupyter"), [cell.strip() for cell in PART_VI], 2600) as page:
        page.locator(".abp-explorer").wait_for()  # the last is there
        page.get_by_text("| Idle").first.wait_for()
        page.get_by_role("slider", name="mean m of q").wait_for()
        assert barriers(page, ".jp-OutputArea-output") == []
        yield page
        assert page.locator(".jp-OutputArea-output", has_text=re.compile("Error")).count() == 0


def cell_of(page, k):
    found = page.locator(".jp-CodeCell").nth(k)
    found.scroll_into_view_if_needed()
    return found


def drag(page, target, start, end):
    """Drags from one place to another, in shares of the target's size; gives both in pixels, from its corner."""
    box = target.bounding_box()
    corner, size = np.array([box["x"], box["y"]]), np.array([box["width"], box["height"]])
    places = [np.rint(corner + size * np.array(place)) for place in (start, end)]
    page.mouse.move(*places[0].tolist())
    page.mouse.down()
    page.mouse.move(*places[1].tolist(), steps=8)
    page.mouse.up()
    return [place - corner for place in places], size


def numbers(text):
    return [float(number.replace("−", "-")) for number in re.findall(NUMBER, text)]


def exact_scores(y, sigma, mean, width):
    """log p(y), the bound, KL(q || p) and KL(p || q), by sums over z alone."""
    z = np.linspace(-9, 9, 40_001)
    log_normal = lambda x, mean, width: -0.5 * ((x - mean) / width) ** 2 - np.log(width) - 0.5 * np.log(2 * np.pi)
    log_joint, log_q = log_normal(z, 0, 1) + log_normal(y, z**2, sigma), log_normal(z, mean, width)
    step = z[1] - z[0]
    log_evidence = np.log(step * np.exp(log_joint).sum())
    p, q, log_p = np.exp(log_joint - log_evidence), np.exp(log_q), log_joint - log_evidence
    kl_q_p, kl_p_q = step * q @ (log_q - log_p), step * p @ (log_p - log_q)
    return log_evidence, log_evidence - kl_q_p, kl_q_p, kl_p_q


def wait_for_scores(page, cell, mean, width):
    """Waits until the numbers under the picture are those of q = N(mean, width^2)."""
    expected = exact_scores(1.0, 0.3, mean, width)
    said = cell.locator(".widget-html-content", has_text="log p(y)")
    for _ in range(200):
        if np.allclose(numbers(said.inner_text()), expected, atol=2e-3):
            return
        page.wait_for_timeout(20)
    np.testing.assert_allclose(numbers(said.inner_text()), expected, atol=2e-3)


@pytest.mark.parametrize(("start", "end"), [((0.1, 0.7), (0.31, 0.52)), ((0.6, 0.3), (0.69, 0.43))])
def test_two_divergences_under_a_drag(page, start, end):
    """On the left, and on the first map: q is where the pointer is, and its numbers are exact."""
    cell = cell_of(page, 0)
    image = cell.locator("img[alt*='maps of KL']")
    (_, at), size = drag(page, image, start, end)
    peak = two_divergences.posterior(1.0, 0.3).density.max()
    wait_for_scores(page, cell, *divergence_picture.q_at(*at / size, peak))
    page.wait_for_function(
        f"async args => ({COLOUR_AT})(args).then(c => c.join() === '{','.join(map(str, divergence_picture.Q))}')",
        arg=[image.element_handle(), *(at / size).tolist()],
    )


def test_two_divergences_by_button_and_by_key(page):
    cell, p = cell_of(page, 0), two_divergences.posterior(1.0, 0.3)
    cell.get_by_role("button", name="sleep").click()
    wait_for_scores(page, cell, 0.0, p.variance**0.5)
    cell.locator(".noUi-handle").nth(1).focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    wait_for_scores(page, cell, 0.03, p.variance**0.5)


def wait_for_view(page, cell, mean, width):
    """Waits until the arrows start at p_G's mean, and the numbers are those of N(mean, width^2) against N(0, 1)."""
    reverse = (mean**2 + width**2 - 1) / 2 - np.log(width)
    forward = (mean**2 + 1) / (2 * width**2) - 0.5 + np.log(width)
    read = "svg => [...svg.querySelectorAll('text')].map(t => t.textContent)"
    for _ in range(200):
        svg = cell.locator(".abp-critics-view svg")
        words = svg.evaluate(read)
        shown = [numbers(words[words.index(name) + 1])[0] for name in ("KL(data, G)", "KL(G, data)")]
        if np.allclose(shown, [forward, reverse], rtol=1e-3, atol=2e-3):
            break
        page.wait_for_timeout(20)
    np.testing.assert_allclose(shown, [forward, reverse], rtol=1e-3, atol=2e-3)
    slope = numbers(words[words.index("maximum likelihood") + 1])[0]  # that of KL(data, G) in the mean
    np.testing.assert_allclose(slope, mean / width**2, rtol=1e-3, atol=2e-3)
    starts = svg.evaluate("svg => [...svg.querySelectorAll('circle')].map(c => Number(c.getAttribute('cx')))")
    np.testing.assert_allclose(starts, critics_drawing.place(mean), atol=0.06)


def test_the_critics_view_under_a_drag_and_by_key(page):
    cell = cell_of(page, 1)
    wait_for_view(page, cell, 3.0, 1.0)
    svg = cell.locator(".abp-critics-view svg")
    (start, end), size = drag(page, svg, (0.4, 0.4), (0.3, 0.45))
    moved = (end - start) * critics_drawing.WIDTH / size[0]  # in units of the drawing
    mean, width = 3.0 + moved[0] / (critics_drawing.place(1.0) - critics_drawing.place(0.0)), np.exp(moved[1] / 120)
    wait_for_view(page, cell, mean, width)
    cell.locator(".noUi-handle").first.focus()
    page.keyboard.press("Home")
    wait_for_view(page, cell, -6.0, width)


def test_a_picture_dropped_on_the_encoder_explorer(page):
    """It goes where the encoder says, and climbs from there to a peak of p(z | y)."""
    generator, encoder = abp.ConvGenerator(2, 8, 4, rngs=nnx.Rngs(0)), ConvEncoder(2, 8, 4, rngs=nnx.Rngs(1))
    picture = np.asarray(abp.load_lion_tiger(size=8)[4])
    seen = jnp.asarray(np.rint(127.5 * (picture + 1)) / 127.5 - 1, jnp.float32)  # as the file has it
    guess = encoder(seen).mean
    peak = evidence.find_mode(generator, guess, seen, 0.3)
    errors = [float(jnp.mean((generator(z) - seen) ** 2)) for z in (guess, peak)]
    cell_of(page, 2)
    drop_file(page, "mine.png", as_file(picture))
    page.wait_for_function("() => document.querySelector('.abp-status').textContent.includes('the encoder')")
    status = page.locator(".abp-status").inner_text()
    np.testing.assert_allclose(numbers(status), [*errors, np.linalg.norm(guess - peak)], atol=0.02)
    z = page.locator(".abp-plane").evaluate("plane => [Number(plane.dataset.z1), Number(plane.dataset.z2)]")
    np.testing.assert_allclose(z, peak, atol=0.02)

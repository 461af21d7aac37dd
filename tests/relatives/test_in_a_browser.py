"""The five widgets of part V under a hand, in a real JupyterLab and a real Notebook 7."""

import jax
import nbformat
import pytest

from abp_jax.relatives import tables
from tests.widgets.browser import browser_page, jupyterlab, run_all_cells

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
        assert outputs.filter(has_text="Error").count() == 0

"""How live the screens are, in JupyterLab in a real browser: from a key to the new picture, and in a drag.

Each beside an explorer whose pictures are ready made, in the same page: the same messages and bytes, nothing computed.
"""

import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.timing import Section, Settings, alternate
from tests.widgets.browser import browser_path, choose_chain, notebook_page

CELLS = [
    """import itertools
import jax
import numpy as np
from flax import nnx
import abp_jax as abp

class NoModel(abp.LatentExplorer):
    def render(self, z):
        return next(pictures)

generator, z = abp.load_lion_tiger_generator()
images = abp.load_lion_tiger()
pictures = itertools.cycle(np.random.default_rng(0).permuted(images, axis=0))
small_images = abp.load_lion_tiger(size=32)
small = abp.ConvGenerator(image_size=32, width=16, rngs=nnx.Rngs(0))
small = abp.fit(small, small_images, 100, key=jax.random.key(0), progress=False).generator""",
    "NoModel(generator, z, images=images)",
    "abp.LatentExplorer(generator, z, images=images)",
    "abp.StepSizeLaboratory(small, small_images, key=jax.random.key(1))",
    "print('all is there')",
]
STOPWATCH = """() => {
  window.paints = []; window.inputs = [];
  const now = list => () => window[list].push(performance.now()), put = CanvasRenderingContext2D.prototype.putImageData;
  CanvasRenderingContext2D.prototype.putImageData = function (...rest) {
    put.apply(this, rest);
    if (this.canvas.isConnected) now('paints')();
  };
  document.addEventListener('load', event => event.target.matches('img.abp-laboratory') && now('paints')(), true);
  for (const name of ['keydown', 'pointermove']) document.addEventListener(name, now('inputs'), true);
}"""
CLEAR = "() => { window.paints = []; window.inputs = []; }"


def screens(settings: Settings) -> Section:
    """A key on each of them, in turn; drags of the two explorers."""
    if browser_path() is None:
        return Section("The screens", "Not measured: needs Chromium or Chrome on the PATH.", ["screen"], [], {})
    num_keys, seconds = (4, 1.0) if settings.quick else (12, 3.0)
    with tempfile.TemporaryDirectory() as folder, notebook_page(Path(folder), CELLS, 3600, 300) as page:
        page.get_by_text("all is there", exact=True).wait_for()
        page.locator("img.abp-laboratory").wait_for()
        page.evaluate(STOPWATCH)
        roots = {name: page.locator(".abp-explorer").nth(i) for i, name in enumerate(("no model", "the explorer"))}
        tasks = {name: partial(key_to_picture, page, e.locator(".abp-ring"), num_keys) for name, e in roots.items()}
        options = page.locator(".widget-dropdown select").nth(1).locator("option")
        for kind in options.evaluate_all("all => all.map(option => option.value)")[: 1 if settings.quick else None]:
            choose_chain(page, kind)  # compiles
            slider = page.locator(".widget-slider .noUi-handle").first
            tasks[f"the laboratory, {kind}"] = partial(key_to_picture, page, slider, num_keys, kind)
        keys = alternate(tasks, settings.rounds)
        drags = alternate({name: partial(drag, page, e, seconds) for name, e in roots.items()}, settings.rounds)
    rows = [[name, keys.median(name), keys.times(name, "no model")] for name in tasks]
    for row in rows[:2]:
        row += [drags.median(row[0]), drags.times(row[0], "no model")]
    note = (
        "JupyterLab and Chromium on this machine. The explorer has the shipped generator, 64 x 64, in the first row "
        "pictures that are ready made; the laboratory a small one, 32 x 32. A key on the ring or the slider until the "
        f"new picture: the median of {num_keys}. A drag: time between two images while the mouse moves. "
    )
    columns = ["", "key to picture", "times no model", "between images in a drag", "times no model"]
    return Section("The screens", note + keys.conditions(), columns, rows, keys.seconds | {"drags": drags.seconds})


def key_to_picture(page, handle, num_keys: int, kind: str | None = None) -> float:
    """Returns the median seconds from a key on a handle to the next picture; kind: of chain, chosen before."""
    if kind:
        choose_chain(page, kind)
    handle.scroll_into_view_if_needed()
    handle.focus()
    seconds = []
    for i in range(num_keys + 1):
        page.evaluate(CLEAR)
        handle.press("ArrowLeft" if i % 2 else "ArrowRight")
        page.wait_for_function("() => window.paints.length > 0")
        seconds.append(page.evaluate("() => window.paints[0] - window.inputs[0]") / 1e3)
    return float(np.median(seconds[1:]))  # the first warms up


def drag(page, root, seconds: float) -> float:
    """Returns the mean seconds between two images, in a drag along two turns of a spiral."""
    root.scroll_into_view_if_needed()
    box = root.locator(".abp-plane").bounding_box()
    page.evaluate(CLEAR)
    begin = now = time.perf_counter()
    while now < begin + seconds:
        u = (now - begin) / seconds
        x, y = (0.5 + (0.42 - 0.2 * u) * turn(4 * np.pi * u) for turn in (np.cos, np.sin))
        page.mouse.move(box["x"] + box["width"] * x, box["y"] + box["height"] * y)
        if now == begin:
            page.mouse.down()
        now = time.perf_counter()
    page.mouse.up()
    first, last, paints = page.evaluate("() => [window.inputs[0], window.inputs.at(-1), window.paints]")
    page.wait_for_timeout(1000)  # until nothing comes any more
    return (last - first) / 1e3 / max(1, sum(first < paint < last for paint in paints))

"""How live the latent explorer is, in JupyterLab in a real browser, against the same page with no model in it."""

import contextlib
import os
import tempfile
import time
from pathlib import Path

import jax.numpy as jnp
import nbformat
import numpy as np

import abp_jax as abp
from benchmarks.browser import browser_page, jupyterlab, run_all_cells
from benchmarks.contestants import Settings, say
from benchmarks.report import Section

CELLS = [
    """import itertools
import numpy as np
import abp_jax as abp

class NoModel(abp.LatentExplorer):
    def render(self, z):  # the same messages and bytes, and nothing computed
        return next(pictures)

generator, z = abp.load_lion_tiger_generator()
images = abp.load_lion_tiger()
pictures = itertools.cycle(np.random.default_rng(0).permuted(images, axis=0))""",
    "abp.LatentExplorer(generator, z, images=images)",
    "NoModel(generator, z, images=images)",
    "print('all is there')",
]
STOPWATCH = """() => {
  window.paints = []; window.inputs = [];
  const put = CanvasRenderingContext2D.prototype.putImageData;
  CanvasRenderingContext2D.prototype.putImageData = function (...rest) {
    put.apply(this, rest);
    if (this.canvas.isConnected) window.paints.push(performance.now());
  };
  for (const name of ['keydown', 'pointermove'])
    document.addEventListener(name, () => window.inputs.push(performance.now()), true);
}"""
CLEAR = "() => { window.paints = []; window.inputs = []; }"
READ = """root => {
  const canvas = root.querySelector('.abp-image'), {z1, z2} = root.querySelector('.abp-plane').dataset;
  const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return [[Number(z1), Number(z2)], [canvas.height, canvas.width, 4], Array.from(data)]; }"""
TRAIL = """path => {
  window.trail = null;
  const stepped = () => { if (path.getAttribute('d').includes('L')) window.trail ??= performance.now(); };
  path.setAttribute('d', '');
  new MutationObserver(stepped).observe(path, {attributes: true});
  return performance.now(); }"""
MOVE_EVERY_FRAME = """milliseconds => new Promise(done => {
  const plane = document.querySelector('.abp-plane'), box = plane.getBoundingClientRect(), begin = performance.now();
  let frames = 0;
  window.paints = [];
  const frame = () => {
    const u = (performance.now() - begin) / milliseconds, radius = 0.42 - 0.2 * u, angle = 4 * Math.PI * u;
    if (u >= 1) return done([window.paints.length, frames, (performance.now() - begin) / 1e3]);
    frames++;
    plane.dispatchEvent(new PointerEvent('pointermove', {pointerId: 1, bubbles: true,
      clientX: box.x + box.width * (0.5 + radius * Math.cos(angle)),
      clientY: box.y + box.height * (0.5 + radius * Math.sin(angle))}));
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
})"""
PRESSES, SECONDS = 12, 3.0  # in a round


def explorer(settings: Settings) -> Section:
    """Key presses and drags in turns, on the explorer and on the one with no model; then a picture of one's own."""
    rounds = []
    with opened(CELLS) as page:
        for _ in range(settings.rounds):
            model, none = (measure(page, page.locator(".abp-explorer").nth(i)) for i in (0, 1))
            rounds.append((model, none))
            each = " and ".join(f"key {m['key']:.0f} ms, {m['fps']:.0f} frames/s" for m in (model, none))
            say(f"  {each}, load {os.getloadavg()[0]:.1f}")
        root = page.locator(".abp-explorer").first
        off = difference(root)
        first, again = own_picture(page, root), own_picture(page, root)
    exported = measure_exported()
    ratio = lambda name: np.quantile([m[name] / n[name] for m, n in rounds], [0.25, 0.5, 0.75])
    middle = lambda name, i: float(np.median([r[i][name] for r in rounds]))
    show = lambda q: f"{q[1]:.2f} ({q[0]:.2f} to {q[2]:.2f})"
    rows = [
        ["key to image", f"{middle('key', 0):.0f} ms", f"{middle('key', 1):.0f} ms", show(ratio("key"))],
        ["frames/s in a drag", f"{middle('fps', 0):.1f}", f"{middle('fps', 1):.1f}", show(ratio("fps"))],
        ["last move to last image", f"{middle('settle', 0):.0f} ms", f"{middle('settle', 1):.0f} ms", ""],
        ["own picture to first trail", f"{again:.2f} s", "", ""],
        ["exported page, frames/s in a drag", f"{exported['fps']:.1f}", f"{exported['frames']:.1f}", ""],
    ]
    note = (
        f"JupyterLab and Chromium on this machine; the shipped generator. In each of {settings.rounds} rounds "
        f"{PRESSES} key presses and a drag of {SECONDS:g} s on the explorer, and on one whose pictures are ready made, "
        "in the same page. After the last drag the image differs from the generator's by "
        f"{off:.0f} of 255 at most. The first picture of one's own took {first:.1f} s to its first trail, compilation "
        "included. The exported page draws without a kernel: images drawn against frames that the browser showed."
    )
    columns = ["", "explorer", "with no model", "ratio"]
    measured = {"rounds": rounds, "own picture": [first, again], "difference": off, "exported": exported}
    return Section("The latent explorer", note, columns, rows, measured)


@contextlib.contextmanager
def opened(cells: list[str]):
    """Runs the cells in a JupyterLab; gives the page."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    with tempfile.TemporaryDirectory() as folder, jupyterlab(Path(folder), notebook) as url:
        with browser_page(url, 2600) as page:
            run_all_cells(page)
            page.get_by_text("all is there", exact=True).wait_for()
            page.wait_for_function("() => document.querySelectorAll('.abp-explorer').length === 2")
            page.evaluate(STOPWATCH)
            yield page


def measure(page, root) -> dict[str, float]:
    """Key to image and last move to last image in milliseconds, and frames per second of a drag."""
    root.scroll_into_view_if_needed()
    ring = root.locator(".abp-ring")
    ring.focus()
    times = []
    for i in range(PRESSES):
        page.evaluate(CLEAR)
        page.keyboard.press(("ArrowLeft", "ArrowUp", "ArrowRight", "ArrowDown")[i % 4])
        page.wait_for_function("() => window.paints.length > 0")
        times.append(page.evaluate("() => window.paints[0] - window.inputs[0]"))
    return {"key": float(np.median(times[2:])), **drag(page, root)}


def drag(page, root) -> dict[str, float]:
    """A drag of SECONDS along two turns of a spiral."""
    box = root.locator(".abp-plane").bounding_box()
    page.evaluate(CLEAR)
    begin = now = time.perf_counter()
    while now < begin + SECONDS:
        u = (now - begin) / SECONDS
        radius, angle = 0.42 - 0.2 * u, 4 * np.pi * u
        place = (0.5 + radius * np.cos(angle), 0.5 + radius * np.sin(angle))
        page.mouse.move(box["x"] + box["width"] * place[0], box["y"] + box["height"] * place[1])
        if now == begin:
            page.mouse.down()
        now = time.perf_counter()
    page.mouse.up()
    count = -1
    while count != (count := page.evaluate("() => window.paints.length")):
        page.evaluate("() => new Promise(done => setTimeout(done, 500))")  # until nothing comes for half a second
    paints, moves = map(np.array, page.evaluate("() => [window.paints, window.inputs]"))
    during = np.sum((paints > moves[0]) & (paints < moves[-1]))
    return {"fps": float(during / (moves[-1] - moves[0]) * 1e3), "settle": float(max(0, paints[-1] - moves[-1]))}


def difference(root) -> float:
    """The largest difference of the image shown from the generator's, of 255."""
    z, shape, data = root.evaluate(READ)
    generator, _ = abp.load_lion_tiger_generator()
    drawn = 255 * abp.plots.to_display(abp.reconstruct(generator, jnp.array([z], jnp.float32))[0])
    return float(np.abs(np.rint(drawn) - np.reshape(data, shape)[..., :3]).max())


def own_picture(page, root) -> float:
    """Seconds from choosing a file to the first step of the chains on the plane."""
    path = root.locator(".abp-trails")
    begin = path.evaluate(TRAIL)
    root.locator(".abp-file input").set_input_files(abp.data.data_folder() / "lion_tiger" / "tiger_03.png")
    page.wait_for_function("() => window.trail !== null")
    root.get_by_text("mean squared error").wait_for()
    return (page.evaluate("() => window.trail") - begin) / 1e3


def measure_exported() -> dict[str, float]:
    """Images that the exported page draws, and frames that the browser shows, per second of a drag.

    The mouse is held down by Playwright and moved by the page, once a frame: from outside it moves less often.
    """
    page_file = Path(__file__).parent.parent / "docs" / "explorer.html"
    with browser_page(page_file.as_uri(), 900) as page:
        page.evaluate(STOPWATCH)
        box = page.locator(".abp-plane").bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        drawn, frames, seconds = page.evaluate(MOVE_EVERY_FRAME, 1e3 * SECONDS)
        page.mouse.up()
        return {"fps": drawn / seconds, "frames": frames / seconds}

"""The callback of `fit` and the monitor: real runs of small generators, a real kernel, real signals."""

import io
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import nbclient
import nbformat
import numpy as np
import pytest
from flax import nnx
from PIL import Image

import abp_jax as abp
from abp_jax.training import loop

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
import run_notebooks


@pytest.fixture
def small_generator():
    return abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(0))


@pytest.fixture
def short_calls(monkeypatch):
    """Every call is one iteration."""
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 0)


def leaves(result):
    """Everything in a FitResult, as NumPy arrays."""
    state = result.state._replace(key=jax.random.key_data(result.state.key))
    params = abp.generators.functional(result.generator)[1]
    return [np.asarray(leaf) for leaf in jax.tree.leaves((state, params, result.z, result.losses, result.sigma))]


def assert_same_bits(a, b):
    for x, y in zip(leaves(a), leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


class Recorder:
    """Keeps every snapshot, and stops the run after some iterations as Ctrl-C does."""

    def __init__(self, stop_after=None):
        self.stop_after, self.calls = stop_after, []

    def __call__(self, done, snapshot):
        self.calls.append((done, snapshot()))
        if done == self.stop_after:
            signal.raise_signal(signal.SIGINT)
            self.stop_after = None


def test_a_snapshot_is_what_fit_returns_when_stopped_there(small_generator, tiny_faces, key, short_calls):
    options = dict(key=key, num_warmup=2, batch_size=4, progress=False)
    recorder = Recorder()
    result = abp.fit(small_generator, tiny_faces, 8, callback=recorder, **options)
    assert [done for done, _ in recorder.calls] == [*range(9), 8]
    for done, snapshot in recorder.calls:  # now, when the run has long gone on and ended
        assert len(snapshot.losses) == int(snapshot.state.iteration) == done
    assert_same_bits(recorder.calls[-1][1], result)
    for stop_after in (0, 1, 5):
        stopping = Recorder(stop_after)
        stopped = abp.fit(small_generator, tiny_faces, 8, callback=stopping, **options)
        assert_same_bits(stopped, recorder.calls[stop_after][1])
        assert [done for done, _ in stopping.calls] == [*range(stop_after + 1), stop_after]


def test_a_snapshot_can_be_resumed(small_generator, tiny_faces, key, short_calls):
    options = dict(key=key, learning_rate=lambda t: 1e-3, progress=False)
    recorder = Recorder()
    whole = abp.fit(small_generator, tiny_faces, 8, callback=recorder, **options)
    resumed = Recorder()
    again = abp.fit(small_generator, tiny_faces, 8, resume=recorder.calls[5][1], callback=resumed, **options)
    assert_same_bits(again, whole)
    assert [done for done, _ in resumed.calls] == [5, 6, 7, 8, 8]


def test_the_result_names_the_settings_of_the_chains(small_generator, tiny_faces, key):
    result = abp.fit(small_generator, tiny_faces, 3, key=key, sigma=lambda t: 1 / (1 + t), progress=False)
    assert result.chain == (pytest.approx(1 / 3), "gauss_newton_mala", 1, 1.0, 0) and result.chain.sigma == result.sigma


def test_watching_changes_no_bit(small_generator, tiny_faces, key):
    monitor = abp.TrainingMonitor(tiny_faces, share=0.9)
    options = dict(key=key, num_warmup=5, progress=False)
    watched = abp.fit(small_generator, tiny_faces, 40, callback=monitor, **options)
    assert_same_bits(watched, abp.fit(small_generator, tiny_faces, 40, **options))
    assert len(monitor.costs) >= 3 and "iterations 40," in monitor.text


@pytest.mark.parametrize("share", [0.05, 0.4])
def test_drawing_takes_at_most_its_share(tiny_faces, share):
    """What it decides by, on given costs: pictures of a second, and as many of them as are ever allowed."""
    monitor, training = abp.TrainingMonitor(tiny_faces, share=share), 1000.0
    monitor.costs = [0.5, 2.0]  # the second compiles
    while monitor._is_due(training):
        monitor.costs.append(1.0)
    assert share * training - 1 < sum(monitor.costs) + 1.0 <= share * training  # the last one comes in any case
    assert not monitor._is_due(training) and monitor._is_due(training + 2 / share)


def test_the_end_is_shown_in_any_case(small_generator, tiny_faces, key):
    monitor = abp.TrainingMonitor(tiny_faces, share=1e-6)
    abp.fit(small_generator, tiny_faces, 30, key=key, callback=monitor, progress=False)
    assert "iterations 30," in monitor.text and len(monitor.costs) == 3


def test_the_first_picture_does_not_wait_for_a_compiler(small_generator, tiny_faces, key):
    monitor, seen = abp.TrainingMonitor(tiny_faces), []

    def watch(done, snapshot):
        monitor(done, snapshot)
        seen.append((done, len(monitor.costs), monitor.text))

    abp.fit(small_generator, tiny_faces, 2, key=key, callback=watch, progress=False)
    assert seen[0][:2] == (0, 1) and "mean squared error –" in seen[0][2]
    assert seen[1][:2] == (1, 2) and "mean squared error 0." in seen[1][2]


def images_of(kind, key):
    """Observations and a generator for them."""
    faces, rngs = abp.load_lion_tiger(size=8), nnx.Rngs(0)
    conv = lambda **options: abp.ConvGenerator(image_size=8, width=4, rngs=rngs, **options)
    if kind == "vectors":
        return abp.LinearGenerator(2, 5, rngs=rngs), jax.random.normal(key, (30, 5))
    if kind == "long vectors":
        return abp.MLPGenerator(9, 100, (8,), rngs=rngs), jax.random.normal(key, (11, 100))
    if kind == "grey":
        return conv(channels=1), faces[:3].mean(axis=-1, keepdims=True)
    if kind == "bytes":
        return conv(), jnp.uint8(np.round((np.tile(faces, (5, 1, 1, 1)) + 1) * 127.5))
    return conv(latent_dim={"d = 1": 1, "d = 3": 3}[kind]), faces


@pytest.mark.parametrize(
    ("kind", "sampler", "stability"),
    [
        ("vectors", "langevin", r"step size \(langevin\) 0\.01, stable below 0\.\d+$"),
        ("long vectors", "langevin", r"step size \(langevin\) 0\.01, stable below 0\.\d+$"),
        ("grey", "mala", r"accepted \(mala\) \d+% of the proposals$"),
        ("bytes", "langevin", r"step size \(langevin\) 0\.01, stable below 0\.\d+$"),
        ("d = 1", "gauss_newton", r"step size \(gauss_newton\) 0\.5, stable below 2$"),
        ("d = 3", "adapted_langevin", r"step size \(adapted_langevin\) 0\.5, stable below 1$"),
    ],
)
def test_every_kind_of_data_has_a_picture(kind, sampler, stability, key, tmp_path):
    generator, images = images_of(kind, key)
    monitor = abp.TrainingMonitor(images)
    options = dict(num_warmup=2, whitening=kind != "grey", progress=False)
    abp.fit(generator, images, 4, key=key, sampler=sampler, callback=monitor, **options)
    assert re.search(stability, monitor.text)
    assert pixels(monitor.png).shape == (412, 960, 3) and len(monitor.png) < 100_000
    monitor.save(tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes() == monitor.png


def test_divergence_is_shown_and_raised(key):
    y = 10 * jax.random.normal(key, (20, 5))
    monitor, recorder = abp.TrainingMonitor(y), Recorder()

    def both(done, snapshot):
        monitor(done, snapshot)
        recorder(done, snapshot)

    generator = abp.LinearGenerator(2, 5, rngs=nnx.Rngs(0))
    options = dict(sampler="langevin", step_size=2.0, whitening=False, progress=False)
    with pytest.raises(abp.ChainDiverged, match="largest stable step is") as caught:
        abp.fit(generator, y, 50, key=key, callback=both, **options)
    done = len(caught.value.result.losses)
    assert recorder.calls[-1][0] == recorder.calls[-2][0] == done
    assert_same_bits(recorder.calls[-1][1], caught.value.result)
    assert f"iterations {done}," in monitor.text and "2, stable below 0." in monitor.text
    red = (pixels(monitor.png)[:60, 480:] == [0xC8, 0x1D, 0x25]).all(axis=-1)
    assert red.any()  # the alarm


def test_an_error_in_the_callback_loses_nothing(small_generator, tiny_faces, key, tmp_path, short_calls):
    class Enough(Exception):
        pass

    def raise_at_three(done, snapshot):
        if done == 3:
            raise Enough("three will do")

    options = dict(key=key, checkpoint_dir=tmp_path, progress=False)
    with pytest.raises(Enough, match="three will do") as caught:
        abp.fit(small_generator, tiny_faces, 8, callback=raise_at_three, **options)
    assert "callback of fit after 3 iterations" in caught.value.__notes__[0]
    assert len(caught.value.result.losses) == 3
    recorder = Recorder()
    whole = abp.fit(small_generator, tiny_faces, 8, callback=recorder, **options)
    assert recorder.calls[0][0] == 3  # from the checkpoint
    assert_same_bits(whole, abp.fit(small_generator, tiny_faces, 8, key=key, progress=False))


@pytest.mark.parametrize("share", [0, 1, -0.1, float("nan")])
def test_bad_share(share):
    with pytest.raises(ValueError, match="share must be (positive|between 0 and 1), got"):
        abp.TrainingMonitor(np.zeros((3, 5)), share=share)


def test_bad_arguments(small_generator, tiny_faces, key, tmp_path):
    with pytest.raises(ValueError, match=r"images must be \(n, \.\.\.\).*got shape \(\)"):
        abp.TrainingMonitor(3)
    with pytest.raises(ValueError, match="no picture yet: pass the monitor to fit"):
        abp.TrainingMonitor(tiny_faces).save(tmp_path / "picture.png")
    for images in (tiny_faces[:5], abp.load_lion_tiger(size=16)):
        message = r"TrainingMonitor has images of shape .* but fit learns \(11, 8, 8, 3\): give both the same"
        with pytest.raises(ValueError, match=message):
            abp.fit(small_generator, tiny_faces, 3, key=key, callback=abp.TrainingMonitor(images), progress=False)
    for callback in ("plot", abp.TrainingMonitor):
        with pytest.raises(ValueError, match="callback must be a function of done and snapshot, or a TrainingMonitor"):
            abp.fit(small_generator, tiny_faces, 3, key=key, callback=callback)


FIT = """
import os
import jax
from flax import nnx
import abp_jax as abp

images = abp.load_lion_tiger(size=8)
generator = abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(0))
monitor = abp.TrainingMonitor(images, share=0.5)
"""
STOP_WHILE_IT_DRAWS = (
    FIT
    + """
import signal, threading

def callback(done, snapshot):
    second = len(monitor.costs) == 1  # which takes long, and is drawn in any case; the signal comes from elsewhere
    if second:
        threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT)).start()
    monitor(done, snapshot)
    if second:
        print("DREW", len(monitor.costs), monitor.costs[-1] > 0.03)

result = abp.fit(generator, images, 1_000_000, key=jax.random.key(0), callback=callback, progress=False)
print("KEPT", len(result.losses), monitor.text)
"""
)


def test_a_stop_while_it_draws_is_not_lost():
    """A plain Python program too, in which nothing is shown."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", STOP_WHILE_IT_DRAWS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "DREW 2 True" in done.stdout
    assert "KEPT 1 Training: iterations 1," in done.stdout  # it stopped right after that picture


def run_cells(sources, stop_when=None):
    """Executes cells in a real kernel. Once `stop_when` holds for the cells, sends what the stop button sends."""
    cells = [nbformat.v4.new_code_cell(source) for source in [FIT + "print(os.getpid())", *sources]]
    client = nbclient.NotebookClient(nbformat.v4.new_notebook(cells=cells), timeout=300, kernel_name="python3")
    ended = threading.Event()

    def stop():
        while not ended.wait(0.1):
            if stop_when(cells[1:]):
                return os.kill(int(cells[0].outputs[0].text), signal.SIGINT)

    thread = threading.Thread(target=stop if stop_when else ended.wait)
    thread.start()
    try:
        client.execute()
    finally:
        ended.set()
        thread.join()
    for cell in cells:
        cell.outputs = run_notebooks.join_streams(cell.outputs)
    return cells[1:]


@pytest.mark.slow
def test_a_notebook_keeps_one_picture_above_one_bar():
    fit = "result = abp.fit(generator, images, 300, key=jax.random.key(0), callback=monitor)"
    training, words = run_cells([fit, "print(len(monitor.costs), monitor.text)"])
    picture, printed = training.outputs
    assert (picture.output_type, printed.output_type, printed.name) == ("display_data", "stream", "stdout")
    assert set(picture.data) == {"image/png", "text/plain"} and len(picture.data["image/png"]) < 150_000
    assert re.fullmatch(r"100%\S+ 300/300 .*, error 0\.\d{4}, accepted \d+%\]\s*", printed.text)
    num_pictures, text = words.outputs[0].text.strip().split(" ", 1)
    assert int(num_pictures) >= 3 and "iterations 300," in text
    assert picture.data["text/plain"] == picture.metadata["image/png"]["alt"] == text  # the last state


@pytest.mark.slow
def test_the_stop_button_leaves_the_picture_of_the_end():
    fit = "result = abp.fit(generator, images, 1_000_000, key=jax.random.key(0), callback=monitor)"

    def several_pictures(cells):
        pictures = [output for output in cells[0].outputs if output.output_type == "display_data"]
        return pictures and int(re.search(r"iterations (\d+)", pictures[0].data["text/plain"])[1]) > 100

    training, done = run_cells([fit, "print(len(result.losses))"], stop_when=several_pictures)
    picture, printed = training.outputs
    assert picture.output_type == "display_data" and "the result so far is returned" in printed.text
    assert f"iterations {int(done.outputs[0].text):,}," in picture.data["text/plain"]

"""The monitor beside `fit`: what a mask hides, what measure gives, and one run after another."""

import io
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

import abp_jax as abp
from abp_jax.inference import Chain
from abp_jax.widgets.monitor import observations, picture, widget
from tests.widgets.test_monitor import run_cells

MASK = np.random.default_rng(0).random((40, 6)) < 0.7
Y = np.random.default_rng(1).normal(size=MASK.shape).astype(np.float32)


def linear(latent_dim=2, data_dim=6):
    return abp.LinearGenerator(latent_dim, data_dim, rngs=nnx.Rngs(0))


def fit(monitor, images, generator=None, num=3, **options):
    options = dict(key=jax.random.key(0), num_warmup=1, progress=False) | options
    return abp.fit(generator or linear(), images, num, callback=monitor, **options)


class Run:
    """Calls a monitor as `fit` does, without the work: the examples stand still."""

    def __init__(self, n=40, latent_dim=2):
        self.z, self.generator = jax.random.normal(jax.random.key(1), (n, latent_dim)), linear(latent_dim)
        self.done = 0

    def snapshot(self):
        losses = np.linspace(1, 0.5, self.done)
        return abp.FitResult(self.generator, self.z, losses, None, 0.3, chain=Chain(0.3, "gauss_newton", 5, 0.5))

    def __call__(self, monitor, begin, end, wrapped=False):
        for self.done in [*range(begin, end + 1), end]:
            monitor(self.done, (lambda: self.snapshot()) if wrapped else self.snapshot)


class Screen:
    """Stands in for a notebook: what is displayed, in which cell and execution, and what is drawn over."""

    def __init__(self, monkeypatch):
        self.shown, self.cell = [], (None, "execution 1")
        monkeypatch.setattr(widget.IPython, "get_ipython", lambda: self)
        monkeypatch.setattr(widget, "display", self.display)
        self.kernel = True

    def get_parent(self):
        name, execution = self.cell
        return {"metadata": {"cellId": name} if name else {}, "header": {"msg_id": execution}}

    def display(self, *args, **options):
        self.shown.append(self.cell)
        self.update = lambda *args, **options: None
        return self


def values_of(image):
    return np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))


@pytest.mark.parametrize("behind", [np.nan, np.inf, -np.inf])
def test_what_is_hidden_never_reaches_the_picture(behind):
    """Whether the monitor has the mask or only what is not a number: the same picture, to the last bit."""
    images = np.where(MASK, Y, np.float32(behind))
    drawn = []
    for options in (dict(), dict(mask=MASK), dict(mask=jnp.asarray(MASK))):
        monitor = abp.TrainingMonitor(images, **options)
        Run()(monitor, 0, 3)
        monitor._picture.draw([("", "", False)] * 4, np.ones(3), np.zeros((40, 2)), np.zeros((8, 6)), False)
        drawn.append(monitor._picture.z.dots.get_array())
    assert np.isfinite(drawn[0]).all()
    for other in drawn[1:]:
        np.testing.assert_array_equal(other, drawn[0])


def test_hidden_pixels_are_grey(tiny_faces):
    seen = np.zeros(tiny_faces.shape[:3], bool)
    seen[:, :, :4] = True
    for images, mask in ((tiny_faces, seen), (np.where(seen[..., None], tiny_faces, np.nan), None)):
        given = observations.as_seen(*observations.given(images, mask))
        shown = picture.MonitorPicture(given, np.arange(8), 2).pairs.images
        np.testing.assert_array_equal(shown[:, :, :4], tiny_faces[:8, :, :4])
        np.testing.assert_allclose(shown[:, :, 4:], 2 * picture.EMPTY - 1)


def test_directions_are_found_from_what_is_seen():
    y = Y.copy()
    y[:, 2] *= 10
    y[:5, 4] = np.nan
    ranks = picture.main_variation(y)
    assert abs(np.corrcoef(ranks, y[:, 2].argsort().argsort())[0, 1]) > 0.97
    assert np.isfinite(picture.main_variation(np.full((3, 4), np.nan))).all()


def test_a_run_with_a_mask_or_a_measure_is_followed(tiny_faces):
    """In earnest, with the sampler whose largest stable step needs what is observed."""
    monitor = abp.TrainingMonitor(np.where(MASK, Y, np.nan), mask=MASK)
    fit(monitor, np.where(MASK, Y, np.nan), mask=MASK, sampler="langevin")
    assert "stable below 0." in monitor.text
    measure = lambda y: y[:3]
    monitor = abp.TrainingMonitor(Y[:, :3], measure=measure)
    result = fit(monitor, Y[:, :3], measure=measure, sampler="langevin")
    assert "iterations 3," in monitor.text and "stable below 0." in monitor.text
    lines = [line.get_ydata() for line in monitor._picture.pairs.lines]
    np.testing.assert_allclose(lines, abp.reconstruct(result.generator, result.z[monitor._pairs[:3]])[:, :3], rtol=1e-5)


def test_a_measure_that_is_not_told_is_said():
    measure = lambda y: y[:3]
    for monitor, images in (
        (abp.TrainingMonitor(Y[:, :3]), Y[:, :3]),
        (abp.TrainingMonitor(Y, measure=measure), Y[:, :3]),
    ):
        with pytest.raises(ValueError, match=r"give both the same images\. If fit has measure=, give it to both"):
            fit(monitor, images, measure=measure)


def test_arguments_of_the_wrong_kind_are_named(tiny_faces):
    for mask in (MASK.astype(float), MASK[:3], MASK.ravel(), "mask", MASK[:, :2]):
        with pytest.raises(
            ValueError,
            match=r"mask must be boolean|mask of shape .* doesn't fit images of shape \(40, 6\)",
        ):
            abp.TrainingMonitor(Y, mask=mask)
    for images in ([[1, 2], [3]], "abc", [["a"]], None, Y + 0j, [], np.zeros((0, 3))):
        with pytest.raises((TypeError, ValueError), match=r"images must be "):
            abp.TrainingMonitor(images)
    with pytest.raises(TypeError, match="images is a masked array: pass images="):
        abp.TrainingMonitor(np.ma.masked_array(Y, ~MASK))
    with pytest.raises(ValueError, match="measure must be a function of one image, as fit has it, got 'A'"):
        abp.TrainingMonitor(Y, measure="A")
    for share in ("a", None, [0.1]):
        with pytest.raises(TypeError, match="share must be one number, positive; got"):
            abp.TrainingMonitor(Y, share=share)
    for images in (list(Y), Y.tolist(), Y.astype(object), jnp.asarray(Y), np.float16(Y)):
        assert abp.TrainingMonitor(images)._images.shape == Y.shape
    monitor = abp.TrainingMonitor((tiny_faces + 1) * 127.5)
    with pytest.raises(ValueError, match="TrainingMonitor has values up to 255, but .* from -1 to 1"):
        fit(monitor, tiny_faces, abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(0)))


def test_a_run_from_the_start_has_a_display_and_a_clock_of_its_own(monkeypatch):
    screen, monitor = Screen(monkeypatch), abp.TrainingMonitor(Y)
    Run()(monitor, 0, 3)
    assert screen.shown == [screen.cell]
    time.sleep(0.2)
    begin, screen.cell = time.perf_counter(), (None, "execution 2")
    Run()(monitor, 0, 2)
    assert len(screen.shown) == 2 and monitor._begin >= begin and len(monitor.costs) == 3
    Run(latent_dim=1)(monitor, 0, 2)  # another generator
    assert len(screen.shown) == 3 and isinstance(monitor._picture.z, picture.ZLine)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_run_that_resumes_goes_on_in_the_same_picture(monkeypatch, wrapped):
    """In another cell; and what lay between the two is no time of training."""
    screen, monitor = Screen(monkeypatch), abp.TrainingMonitor(Y)
    screen.cell = ("cell 1", "execution 1")
    Run()(monitor, 0, 3, wrapped)
    trained = monitor._last - monitor._begin
    time.sleep(0.5)
    screen.cell, begin = ("cell 2", "execution 2"), time.perf_counter()
    Run()(monitor, 3, 5, wrapped)
    assert screen.shown == [("cell 1", "execution 1")] and "iterations 5," in monitor.text
    assert monitor._last - monitor._begin <= trained + time.perf_counter() - begin


def test_a_cell_that_is_run_again_has_its_picture_though_the_run_resumes(monkeypatch):
    """From a checkpoint: the output was cleared, so the picture is displayed anew, once for an execution."""
    screen, monitor = Screen(monkeypatch), abp.TrainingMonitor(Y)
    screen.cell = ("cell 1", "execution 1")
    Run()(monitor, 0, 3)
    Run()(monitor, 3, 4)  # in a loop of the same cell
    assert len(screen.shown) == 1
    screen.cell = ("cell 1", "execution 2")
    Run()(monitor, 4, 4)
    assert screen.shown == [("cell 1", "execution 1"), ("cell 1", "execution 2")]


def test_a_run_that_was_cut_off_does_not_hide_the_next(monkeypatch):
    """No end was told: the same number comes next, of another run."""
    screen, monitor = Screen(monkeypatch), abp.TrainingMonitor(Y)
    cut_off = Run()
    monitor(0, cut_off.snapshot)
    Run()(monitor, 0, 2)
    assert len(screen.shown) == 2 and len(monitor.costs) == 3 and "iterations 2," in monitor.text


def test_other_images_are_refused_whenever_a_run_begins():
    monitor = abp.TrainingMonitor(Y)
    Run()(monitor, 0, 3)
    for n in (5, 39, 41):
        for _ in range(2):
            with pytest.raises(ValueError, match=rf"images of shape \(40, 6\), but fit learns \({n}, 6\): give both"):
                Run(n)(monitor, 0, 3)
    Run()(monitor, 0, 3)
    assert "iterations 3," in monitor.text


@pytest.mark.slow
def test_a_second_run_shows_its_picture_in_its_own_cell():
    """By the messages of a real kernel: each cell has one output, which shows the end of its run."""
    run = "result = abp.fit(generator, images, 30, key=jax.random.key(0), callback=monitor, progress=False)"
    first, _, second, again = run_cells([run, "1;", run, run])
    for cell in (first, second, again):
        assert [output.output_type for output in cell.outputs] == ["display_data"]
        assert "iterations 30," in cell.outputs[0].data["text/plain"]

"""The Gibbs viewer: its chains against the matrix, its curve against powers by hand, and what it shows."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from abp_jax.relatives import markov_chains, tables
from abp_jax.relatives.widgets import gibbs_picture, gibbs_viewer
from abp_jax.relatives.widgets.gibbs_viewer import NUM_STEPS, SCANS, GibbsViewer

PAIR = (tables.Table(("X", "Y"), jnp.array([[4.0, 1.0], [1.0, 2.0]])),)


@pytest.fixture(scope="module")
def kept():
    """The misconception, for tests that leave its controls alone."""
    return GibbsViewer(key=jax.random.key(0))


@pytest.fixture
def viewer():
    return GibbsViewer(PAIR, num_chains=300, key=jax.random.key(1), order=["00", "01", "11", "10"], start="00")


def shown(viewer):
    return np.asarray(Image.open(io.BytesIO(viewer.image.value)))


def test_pi_is_the_table(kept):
    np.testing.assert_allclose(kept.pi, tables.joint(tables.misconception(), "ABCD").values.ravel(), atol=1e-6)
    assert kept.start.value == "1001"  # the other island: from there random scan takes longest


@pytest.mark.parametrize("scan", SCANS)
def test_chains_are_where_the_matrix_says(kept, scan):
    """2,000 chains, within five standard errors in every state after any number of steps."""
    run = kept.run(scan, "0011")
    assert run.chains.shape == run.exact.shape == (NUM_STEPS + 1, 16)
    np.testing.assert_array_equal(run.chains[0], np.eye(16)[3])
    bound = 5 * np.sqrt(run.exact * (1 - run.exact) / 2000) + 3 / 2000
    assert np.all(np.abs(run.chains - run.exact) < bound)
    assert np.abs(run.chains[40] - run.chains[41]).max() > 0


@pytest.mark.parametrize("scan", SCANS)
def test_the_curve_is_the_distance_and_falls_like_the_eigenvalue(kept, scan):
    T = np.asarray(SCANS[scan][1](kept._log_p), np.float64)
    run = kept.run(scan, "1001")
    for k in (0, 1, 7, 30):
        after = np.linalg.matrix_power(T, k)[9]
        np.testing.assert_allclose(run.exact[k], after, atol=1e-5)
        np.testing.assert_allclose(run.distances[k], np.abs(after - kept.pi).sum() / 2, atol=1e-5)
    np.testing.assert_allclose(run.eigenvalue, markov_chains.second_eigenvalue(T), rtol=1e-4)
    np.testing.assert_allclose(run.distances[-1] / run.distances[-2], run.eigenvalue, rtol=1e-3)
    np.testing.assert_allclose(run.distances[-1], run.asymptote[-1], rtol=1e-3)
    assert np.all(np.diff(run.distances) <= 1e-12)


def test_controls_change_the_picture(viewer):
    seen = [viewer.image.value]
    for name, value in (("slider", 5), ("scan", "sweep"), ("start", "11")):
        getattr(viewer, name).value = value
        seen.append(viewer.image.value)
    viewer.again.click()
    seen.append(viewer.image.value)
    assert len(set(seen)) == len(seen)
    np.testing.assert_array_equal(shown(viewer), viewer.picture(5, "sweep", "11"))
    assert "300 chains, 10 bits redrawn in each" in viewer.message.value
    viewer.scan.value = "random scan"
    assert "300 chains, 5 bits redrawn in each" in viewer.message.value


def test_other_draws_are_other_chains_of_the_same_law(viewer):
    before = viewer.run("sweep", "00")
    viewer.again.click()
    after = viewer.run("sweep", "00")
    assert np.abs(before.chains - after.chains).max() > 0
    np.testing.assert_array_equal(before.exact, after.exact)


def test_bars_stand_where_they_should(viewer):
    """At k = 0 all chains are in the first state shown; the bar of pi's largest state, 00 too, ends at 1/2."""
    left, top, right, bottom = gibbs_picture.BARS
    middle = lambda slot: int(left + (right - left) * (slot + 0.5) / 4)
    at = lambda picture, slot, p: tuple(picture[int(bottom - (bottom - top) * p), middle(slot)])
    first = viewer.picture(0)
    assert first.shape == (2 * gibbs_picture.SIZE["height"], 2 * gibbs_picture.SIZE["width"], 3)
    assert at(first, 0, 0.9) == gibbs_picture.CHAINS and at(first, 2, 0.1) != gibbs_picture.CHAINS
    late = viewer.picture(100)  # pi is 1/2, 1/8, 1/4, 1/8 in this order
    for slot, p in enumerate((4 / 8, 1 / 8, 2 / 8, 1 / 8)):
        assert at(late, slot, p - 0.09) == gibbs_picture.CHAINS
        assert at(late, slot, p + 0.15) != gibbs_picture.CHAINS
        assert at(late, slot, p) == gibbs_picture.EXACT


def test_a_slide_is_quick_and_runs_no_chain(viewer, monkeypatch):
    viewer.run()
    monkeypatch.setattr(gibbs_viewer, "_shares", None)
    viewer.slider.value = 3
    assert "Error" not in viewer.message.value
    viewer.start.value = "01"  # needs chains: the error is shown, and none leaves the callback
    assert "Error" in viewer.message.value


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"order": ["00", "01"]}, ValueError, "order must hold each of the 4 states"),
        ({"start": "2"}, ValueError, "start must be one of 00 ... 11, got '2'"),
        ({"num_chains": 0}, ValueError, "num_chains must be positive"),
        ({"key": 0}, TypeError, "key must be a key"),
        ({"factors": tables.student()}, ValueError, "factors must be of 2 to 5 variables"),
        ({"factors": [tables.Table(("X", "Y"), jnp.eye(2))]}, ValueError, "factors must be positive"),
    ],
    ids=range(6),
)
def test_bad_arguments_are_named(change, error, message):
    with pytest.raises(error, match=message):
        GibbsViewer(**{"factors": PAIR, "key": jax.random.key(0)} | change)


def test_bad_arguments_of_a_run_are_named(viewer):
    for call, message in (
        (lambda: viewer.run("gibbs"), "scan must be one of"),
        (lambda: viewer.run(start="000"), "start must be one of"),
        (lambda: viewer.picture(101), "k must be at most 100"),
    ):
        with pytest.raises(ValueError, match=message):
            call()

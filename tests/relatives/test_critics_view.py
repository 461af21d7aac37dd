"""The critic's view, driven without a browser: its numbers are those of the library, and the hand moves p_G."""

import time
import xml.etree.ElementTree as ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm

from abp_jax.compilation.precision import double_precision
from abp_jax.relatives import adversarial, divergences
from abp_jax.relatives.widgets import critics_drawing, critics_view
from abp_jax.relatives.widgets.critics_view import CriticsView

LOSSES = {
    "minimax": adversarial.minimax,
    "non-saturating": adversarial.non_saturating,
    "maximum likelihood": adversarial.maximum_likelihood,
}


@pytest.fixture
def viewer():
    return CriticsView()


def arrows(viewer):
    """Where each arrow of the drawing ends, in its units from the left: {"minimax mean": ...}."""
    root = ElementTree.fromstring(viewer.drawing.svg)
    groups = root.iter("{http://www.w3.org/2000/svg}g")
    return {g.attrib["data-loss"]: float(g.attrib["data-end"]) for g in groups}


@pytest.mark.parametrize(
    ("mean", "width", "data"), [(3.0, 1.0, "one Gaussian"), (-1.3, 0.5, "one Gaussian"), (0.7, 2.0, "two Gaussians")]
)
def test_the_numbers_are_those_of_the_library(mean, width, data):
    """Divergences, the value and D*; and each slope is the derivative of the expected loss, by jax."""
    shown = critics_view.view(mean, width, data)
    cell = critics_view.CELL
    with double_precision():
        y = jnp.asarray(shown.y)
        shares, means, widths = (jnp.asarray(part) for part in zip(*critics_view.DATA[data], strict=True))
        each = jax.vmap(lambda m, s: norm.logpdf(y, m, s))(means, widths)
        log_p = jax.scipy.special.logsumexp(each, axis=0, b=shares[:, None])
        log_q = norm.logpdf(y, mean, width)
        np.testing.assert_allclose(shown.p_data, np.exp(log_p), rtol=1e-9, atol=1e-300)
        np.testing.assert_allclose(shown.critic, jax.nn.sigmoid(log_p - log_q), rtol=1e-6, atol=1e-300)
        np.testing.assert_allclose(shown.value, divergences.game_value(log_p, log_q, cell), rtol=1e-10)
        np.testing.assert_allclose(shown.jsd, divergences.jensen_shannon(log_p, log_q, cell), rtol=1e-9)
        np.testing.assert_allclose(shown.kl, divergences.kl(log_p, log_q, cell), rtol=1e-9)
        np.testing.assert_allclose(shown.reverse_kl, divergences.kl(log_q, log_p, cell), rtol=1e-9)
        assert abs(shown.value - (2 * shown.jsd - np.log(4))) < 1e-10
        for name, loss in LOSSES.items():
            if name == "maximum likelihood":  # -p_data / p_G may overflow where p_G is 0, and weighs nothing there
                expected = lambda m, t: -cell * jnp.sum(jnp.exp(log_p) * norm.logpdf(y, m, jnp.exp(t)))
            else:
                g = loss(log_p - log_q)
                expected = lambda m, t, g=g: cell * jnp.sum(jnp.exp(norm.logpdf(y, m, jnp.exp(t))) * g)
            wanted = jax.grad(expected, argnums=(0, 1))(mean, np.log(width))
            np.testing.assert_allclose(shown.slopes[name], wanted, rtol=1e-8)


def test_batches_estimate_the_slope():
    """Their mean is within five standard errors, where p_G is not far from the data."""
    shown = critics_view.view(0.7, 1.1)
    for name, estimates in shown.estimates.items():
        error = estimates.std(ddof=1) / len(estimates) ** 0.5
        assert abs(estimates.mean() - shown.slopes[name][0]) < 5 * error


def test_equal_densities_leave_the_critic_guessing(viewer):
    viewer.mean.value, viewer.width.value = 0.0, 1.0
    assert abs(viewer.view.value + np.log(4)) < 1e-12 and np.abs(viewer.view.critic - 0.5).max() < 1e-12
    for slope in viewer.view.slopes.values():
        np.testing.assert_allclose(slope, 0, atol=1e-10)
    for name, end in arrows(viewer).items():
        assert abs(end - (critics_drawing.place(0.0) if "mean" in name else 850)) < 0.01


def test_arrows_go_down_the_slopes(viewer):
    """At mean 3 the arrow of maximum likelihood ends at the data's mean, minimax hardly moves; a wide p_G narrows."""
    found = arrows(viewer)
    assert abs(found["maximum likelihood mean"] - critics_drawing.place(0.0)) < 0.1
    assert found["non-saturating mean"] < critics_drawing.place(0.5)
    assert critics_drawing.place(2.6) < found["minimax mean"] < critics_drawing.place(3.0)
    viewer.mean.value, viewer.width.value = 0.0, 2.0
    assert all(end < 850 for name, end in arrows(viewer).items() if "width" in name)
    viewer.width.value = 0.5
    assert all(end > 850 for name, end in arrows(viewer).items() if "width" in name)


def test_the_hand_moves_it_within_the_ranges(viewer):
    viewer.drawing.dragged = [-2.25, 0.61]
    assert (viewer.mean.value, viewer.width.value) == (-2.25, 0.61) and viewer.drawing.at == [-2.25, 0.61]
    viewer.drawing.dragged = [99, 1e-9]
    assert (viewer.mean.value, viewer.width.value) == (6.0, 0.3)
    before = viewer.drawing.svg
    for nonsense in ([], [1.0], [float("nan"), 1.0], ["a", "b"], [None, None], [True, 1.0], [1.0, 2.0, 3.0]):
        viewer.drawing.dragged = nonsense
    assert viewer.drawing.svg == before and not viewer.message.value
    viewer.data.value = "two Gaussians"
    assert viewer.drawing.svg != before


def test_a_drag_draws_once(viewer, monkeypatch):
    count = []
    draw = viewer.draw
    monkeypatch.setattr(viewer, "draw", lambda: (count.append(1), draw()))
    viewer.drawing.dragged = [1.0, 2.0]
    assert len(count) == 1


def test_everywhere_there_is_a_drawing(viewer):
    """At the corners of the ranges too: numbers, and a drawing that can be read."""
    for data in critics_view.DATA:
        viewer.data.value = data
        for mean in critics_view.MEANS:
            for width in critics_view.WIDTHS:
                viewer.drawing.dragged = [mean, width]
                assert not viewer.message.value and "nan" not in viewer.drawing.svg
                assert np.all(np.isfinite([viewer.view.value, viewer.view.kl, *viewer.view.slopes["minimax"]]))


def test_an_update_follows_the_hand(viewer):
    viewer.mean.value = 0.0
    started = time.perf_counter()
    for mean in np.linspace(-2, 2, 20):
        viewer.drawing.dragged = [float(mean), 1.1]
    assert (time.perf_counter() - started) / 20 < 0.05


def test_errors_are_shown_and_pass(viewer, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(critics_view, "GRID", None)
        viewer.mean.value = 1.0
        assert viewer.message.value.startswith("<b>")
    viewer.mean.value = 1.5
    assert viewer.message.value == ""


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"mean": 7}, ValueError, "mean must be from -6 to 6, got 7"),
        ({"width": 0.1}, ValueError, "width must be from 0.3 to 3, got 0.1"),
        ({"width": "wide"}, TypeError, "width must be one number"),
        ({"data": "three"}, ValueError, "data must be one of"),
    ],
    ids=range(4),
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        CriticsView(**arguments)

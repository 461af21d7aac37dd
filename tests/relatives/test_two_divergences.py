"""The widget of the two divergences, without a browser: its formulas against sums over a lattice, and the hand."""

import io
import time

import numpy as np
import pytest
from PIL import Image
from scipy import optimize, stats

from abp_jax.relatives.widgets import divergence_picture, two_divergences
from abp_jax.relatives.widgets.two_divergences import TwoDivergences

SIGMA = 0.3


@pytest.fixture(scope="module")
def kept():
    return TwoDivergences()


@pytest.fixture
def widget(kept):
    kept.y.value = 1.0
    kept.move(0.3, 0.5)
    return kept


def shown(widget):
    return np.asarray(Image.open(io.BytesIO(widget.picture.png)))


def by_sums(y, mean, width):
    """KL(q || p), KL(p || q), the bound and log p(y), each as a sum over a lattice of its own."""
    z = np.linspace(-9, 9, 20001)
    h = z[1] - z[0]
    log_joint = stats.norm.logpdf(y, z**2, SIGMA) + stats.norm.logpdf(z)
    log_evidence = np.log(h * np.exp(log_joint).sum())
    log_p, log_q = log_joint - log_evidence, stats.norm.logpdf(z, mean, width)
    p, q = h * np.exp(log_p), h * np.exp(log_q)
    return q @ (log_q - log_p), p @ (log_p - log_q), q @ (log_joint - log_q), log_evidence


@pytest.mark.parametrize("y", [-0.5, 0.2, 1.0, 2.0])
@pytest.mark.parametrize(("mean", "width"), [(0.0, 0.95), (0.9, 0.16), (-1.3, 0.4)])
def test_scores_are_sums_over_a_lattice(y, mean, width):
    p = two_divergences.posterior(y, SIGMA)
    found = two_divergences.scores(p, mean, width)
    np.testing.assert_allclose([*found, p.log_evidence], by_sums(y, mean, width), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(p.log_evidence - found.bound, found.kl_q_p, atol=1e-12)


@pytest.mark.parametrize("y", [-0.5, 0.2, 0.55, 0.6, 1.0, 2.0])
def test_both_optima_are_those_that_a_search_finds(y):
    p = two_divergences.posterior(y, SIGMA)
    for best, score, start in (
        (two_divergences.best_asleep(p), lambda q: two_divergences.scores(p, q[0], np.exp(q[1])).kl_p_q, [0.5, 0]),
        (two_divergences.best_bound(p), lambda q: two_divergences.scores(p, q[0], np.exp(q[1])).kl_q_p, [0.9, -1.5]),
    ):
        options = {"xatol": 1e-8, "fatol": 1e-12, "maxiter": 2000}
        search = optimize.minimize(score, start, method="Nelder-Mead", options=options)
        at_best = score((best[0], np.log(best[1])))
        assert at_best < search.fun + 1e-10
        if search.fun < at_best + 1e-9:  # a search may end in the wrong valley
            np.testing.assert_allclose([abs(search.x[0]), np.exp(search.x[1])], best, atol=2e-3)


def test_asleep_averages_and_the_bound_pays_one_bit():
    p = two_divergences.posterior(1.0, SIGMA)
    mean, width = two_divergences.best_asleep(p)
    z = two_divergences.Z
    moments = np.average(z, weights=p.density), np.average(z**2, weights=p.density) ** 0.5
    np.testing.assert_allclose((mean, width), moments, atol=1e-3)
    np.testing.assert_allclose(two_divergences.scores(p, mean, width)[:2], (7.36, 1.01), atol=0.01)
    p = two_divergences.posterior(2.0, SIGMA)
    best = two_divergences.scores(p, *two_divergences.best_bound(p))
    assert np.log(2) < best.kl_q_p < np.log(2) + 0.02 and best.kl_p_q > 100
    assert two_divergences.scores(p, *two_divergences.best_asleep(p)).kl_q_p > 30


def test_buttons_put_q_where_either_divergence_is_lowest(widget):
    widget.mean.value = -0.4
    widget.awake.click()
    assert widget.mean.value < 0 and widget.message.value.startswith(
        "log p(y) = -1.335 nats = bound -2.058 + KL(q‖p) 0.723"
    )
    np.testing.assert_allclose((-widget.mean.value, widget.width.value), two_divergences.best_bound(widget.posterior))
    before = widget.scores
    widget.asleep.click()
    assert widget.mean.value == 0 and abs(widget.width.value - 0.946) < 1e-3
    assert widget.scores.kl_p_q < before.kl_p_q and widget.scores.kl_q_p > before.kl_q_p
    assert "and KL(p‖q) = 1.011." in widget.message.value


def test_every_control_changes_the_picture_and_the_words(widget):
    for control, value in ((widget.mean, -1.0), (widget.width, 0.2), (widget.y, 0.2), (widget.y, 2.0)):
        before = widget.picture.png, widget.message.value
        control.value = value
        assert widget.picture.png != before[0] and widget.message.value != before[1]
    expected = two_divergences.picture(2.0, SIGMA, widget.mean.value, widget.width.value)
    np.testing.assert_array_equal(shown(widget), expected)


def test_the_hand_holds_the_peak_on_the_left_and_the_place_on_a_map(widget):
    size = 2 * divergence_picture.SIZE["width"], 2 * divergence_picture.SIZE["height"]
    left, top, right, bottom = divergence_picture.CURVES
    widget.picture.pointed = [(left + (right - left) * 4 / 6) / size[0], 0.5, 1]
    assert abs(widget.mean.value - 1) < 0.01
    peak = 1 / (widget.width.value * np.sqrt(2 * np.pi))
    height = (bottom - 0.5 * size[1]) / (bottom - top)
    np.testing.assert_allclose(peak, height * max(1, 2.2 * widget.posterior.density.max()), rtol=0.01)
    red = np.argwhere(np.all(shown(widget) == divergence_picture.Q, axis=-1))
    near = np.abs(red - (0.5 * size[1], left + (right - left) * 4 / 6)).max(axis=1) < 8
    assert near.sum() > 100  # the disc is where the hand is
    for left, top, right, bottom in divergence_picture.MAPS:
        widget.picture.pointed = [(left + right) / 2 / size[0], (top + bottom) / 2 / size[1], 2]
        np.testing.assert_allclose((widget.mean.value, widget.width.value), (0, (0.05 * 3) ** 0.5), atol=0.01)
        widget.move(1, 1)


def test_a_hand_beside_the_panels_or_out_of_them_does_no_harm(widget):
    before = widget.mean.value, widget.width.value
    for pointed in ([], [0.47, 0.5, 1], [float("nan"), 0.5, 2], ["a", "b", 3], [0.5], [7.0, -3.0, 4]):
        widget.picture.pointed = pointed
        assert (widget.mean.value, widget.width.value) == before and "Error" not in widget.message.value
    widget.picture.pointed = [0.25, 0.98 * divergence_picture.CURVES[3] / 780, 5]  # as low as can be: as wide as can be
    assert widget.width.value <= 3


def test_the_maps_are_of_the_scores_and_lowest_at_the_crosses(widget):
    mean, width = divergence_picture.map_points()
    maps = two_divergences.maps(widget.posterior)
    assert maps.kl_q_p.shape == maps.kl_p_q.shape == (width.size, mean.size)
    for row, column in ((3, 5), (200, 100), (299, 0)):
        expected = two_divergences.scores(widget.posterior, mean[0, column], width[row, 0])
        np.testing.assert_allclose((maps.kl_q_p[row, column], maps.kl_p_q[row, column]), expected[:2])
    for values, best in ((maps.kl_q_p, maps.best_q_p), (maps.kl_p_q, maps.best_p_q)):
        row, column = np.unravel_index(values.argmin(), values.shape)
        distances = [np.hypot(mean[0, column] - m, np.log(width[row, 0] / s)) for m, s in best]
        assert min(distances) < 0.05
        for m, s in best:
            np.testing.assert_allclose(
                values.min(), two_divergences.scores(widget.posterior, m, s)[values is maps.kl_p_q], rtol=0.02
            )


def test_it_follows_the_hand(widget):
    times = []
    for mean in np.linspace(-1, 1, 9):
        start = time.perf_counter()
        widget.mean.value = float(mean)
        times.append(time.perf_counter() - start)
    assert np.median(times) < 0.25  # 40 ms where nothing else runs


def test_errors_are_shown_and_not_raised(widget, monkeypatch):
    monkeypatch.setattr(divergence_picture, "draw", None)
    widget.mean.value = 0.77
    assert "TypeError" in widget.message.value


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"y": 4}, ValueError, "y must be from -1 to 3, got 4"),
        ({"sigma": 0}, ValueError, "sigma must be from 0.1 to 1, got 0"),
        ({"width": -1}, ValueError, "width must be from 0.05 to 3"),
        ({"mean": "0"}, TypeError, "mean must be one number"),
        ({"mean": float("nan")}, ValueError, "mean must be"),
    ],
    ids=range(5),
)
def test_bad_arguments_are_named(change, error, message):
    with pytest.raises(error, match=message):
        TwoDivergences(**change)

"""The mask viewer, driven without a browser: its masks are the library's, its sums those of all states."""

import itertools
import time
import xml.etree.ElementTree as ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from abp_jax.compilation import precision
from abp_jax.relatives import made, made_masks
from abp_jax.relatives.widgets import mask_drawing, mask_viewer
from abp_jax.relatives.widgets.mask_viewer import MaskViewer
from tests.relatives import exact


@pytest.fixture
def viewer():
    return MaskViewer(8, 9, seed=3)


def click(viewer, kind, index):
    click.count += 1
    viewer.drawing.clicked = [kind, index, click.count]


click.count = 0


def in_order(viewer):
    return made_masks.paths(viewer.masks)[np.ix_(viewer.order, viewer.order)]


def units(viewer, name):
    """The circles of the drawing whose class is this one."""
    root = ElementTree.fromstring(viewer.drawing.svg)
    return [g[0].attrib for g in root.iter("{http://www.w3.org/2000/svg}g") if g.attrib["class"] == name]


@pytest.mark.parametrize("layers", [1, 2])
def test_masks_and_sums_are_those_of_the_library(viewer, layers):
    viewer.layers.value = layers
    viewer.shuffle.click()
    expected = made_masks.masks([jnp.asarray(m) for m in viewer.degrees])
    jax.tree.map(np.testing.assert_array_equal, tuple(viewer.masks), tuple(expected))
    np.testing.assert_array_equal(expected.order, viewer.order)
    weights = mask_viewer.random_weights(8, [9] * layers)
    with precision.double_precision():
        params = made.MADE(tuple(map(jnp.asarray, weights)), tuple(jnp.zeros(len(W)) for W in weights))
        p = exact.table(lambda x: made.log_prob(params, expected, x), 8)
    np.testing.assert_allclose(mask_viewer.probabilities(viewer.masks, weights, exact.all_states(8)), p, rtol=1e-9)
    assert abs(viewer.total - 1) < 1e-12 and "1.000000000000, a distribution" in viewer.drawing.svg


def test_every_control_redraws_and_the_sum_stays_one(viewer):
    changes = [(viewer.seed, 17), (viewer.hidden, 14), (viewer.layers, 2), (viewer.balanced, False), (viewer.hidden, 2)]
    for control, value in changes:
        before = viewer.drawing.svg
        control.value = value
        assert viewer.drawing.svg != before and not viewer.message.value
        assert abs(viewer.total - 1) < 1e-12
        assert not np.triu(in_order(viewer)).any()
    assert "pairs are cut apart" in viewer.drawing.svg  # two units of random degrees are too few
    viewer.balanced.value = True
    assert len(viewer.degrees[1]) == 7 and (in_order(viewer)[np.tri(8, k=-1, dtype=bool)] > 0).all()


def test_a_broken_rule_is_seen_in_the_sum_and_on_the_diagonal(viewer):
    viewer.broken.value = True
    assert abs(viewer.total - 1) > 0.01 and "no distribution" in viewer.drawing.svg
    assert np.count_nonzero(np.diag(in_order(viewer))) == 7 and "not strictly triangular" in viewer.drawing.svg
    viewer.broken.value = False
    assert abs(viewer.total - 1) < 1e-12


def test_two_clicks_on_inputs_swap_their_places(viewer):
    click(viewer, "input", 2)
    assert [u["stroke"] for u in units(viewer, "abp-input")].count(mask_drawing.BLUE) == 1
    assert viewer.order == tuple(range(8))
    click(viewer, "input", 5)
    assert viewer.order == (0, 1, 5, 3, 4, 2, 6, 7) and not np.triu(in_order(viewer)).any()
    click(viewer, "input", 4)
    click(viewer, "input", 4)  # let go
    click(viewer, "input", 0)
    assert viewer.order == (0, 1, 5, 3, 4, 2, 6, 7)
    viewer.reset.click()
    assert viewer.order == tuple(range(8))
    assert mask_drawing.BLUE not in [u["stroke"] for u in units(viewer, "abp-input")]


def test_a_clicked_output_lights_up_what_it_sees(viewer):
    """Those before it in the order, and no other; a change of another input leaves its log odds alone."""
    viewer.shuffle.click()
    for k in range(8):
        click(viewer, "output", k)
        lit = [i for i, unit in enumerate(units(viewer, "abp-input")) if unit["fill"] == mask_drawing.ACCENT]
        assert lit == sorted(viewer.order[: viewer.order.index(k)]) and viewer.output == k
        np.testing.assert_array_equal(mask_drawing.seen_by(viewer.masks, k)[0], made_masks.paths(viewer.masks)[k] > 0)


def test_nonsense_from_the_browser_is_let_pass(viewer):
    before = viewer.drawing.svg
    for clicked in (
        [],
        ["input"],
        ["input", 99, 1],
        ["output", "3", 2],
        ["hidden", 1, 3],
        [None, None],
        ["input", True],
    ):
        viewer.drawing.clicked = clicked
    assert viewer.drawing.svg == before and not viewer.message.value


def test_an_update_follows_the_hand(viewer):
    viewer.layers.value, viewer.hidden.value = 2, 16
    started = time.perf_counter()
    for seed in range(20, 40):
        viewer.seed.value = seed
    assert (time.perf_counter() - started) / 20 < 0.05


def test_errors_are_shown_and_pass(viewer):
    states, viewer._states = viewer._states, None
    viewer.seed.value = 50
    assert viewer.message.value.startswith("<b>")
    viewer._states = states
    viewer.seed.value = 51
    assert viewer.message.value == ""


def test_balanced_degrees_come_equally_often_up_to_one():
    for n, size in itertools.product((2, 5, 8), (1, 7, 16)):
        (m,) = mask_viewer.hidden_degrees(n, [size], seed=0, balanced=True)
        counts = np.bincount(m, minlength=n)[1:]
        assert m.min() >= 1 and m.max() <= n - 1 and counts.max() - counts.min() <= 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_pixels": 1}, "num_pixels must be at least 2, got 1"),
        ({"num_pixels": 11}, "num_pixels must be at most 10, got 11"),
        ({"num_hidden": 0}, "num_hidden must be positive, got 0"),
        ({"num_layers": 3}, "num_layers must be at most 2, got 3"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        MaskViewer(**arguments)


def test_an_order_that_is_none_is_refused(viewer):
    for order in ([0, 1], range(1, 9), "abc", 7):
        with pytest.raises(ValueError, match=r"order must hold each of 0, \.\.\., 7 once"):
            viewer.order = order
    with pytest.raises(ValueError, match="output must be at most 7, got 8"):
        viewer.output = 8
    assert viewer.order == tuple(range(8))
    viewer.order = reversed(range(8))
    assert viewer.order == (7, 6, 5, 4, 3, 2, 1, 0) and not np.triu(in_order(viewer)).any()

"""Complete the picture: the draws are of the exact conditional, the known pixels stay, and the slider only moves on."""

import io
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from abp_jax.relatives import made, made_masks, nade
from abp_jax.relatives.widgets import completion_viewer
from abp_jax.relatives.widgets.completion_viewer import CompletionViewer
from tests.relatives import exact

PARAMS = exact.as_large(nade.init(jax.random.key(0), 6, 4), 1.5)
IMAGES = np.float32([[1, 0, 1, 1, 0, 1], [0, 1, 1, 0, 0, 0]])


def complete(key, x, known):
    return nade.complete(key, PARAMS, x, known)


@pytest.fixture(scope="module")
def kept():
    """For tests that leave its controls alone."""
    return CompletionViewer(complete, IMAGES, key=jax.random.key(1), shape=(2, 3), num_averaged=20_000)


@pytest.fixture
def viewer():
    return CompletionViewer(complete, IMAGES, key=jax.random.key(1), shape=(2, 3), names=["one", "two"])


def shown(viewer):
    return np.asarray(Image.open(io.BytesIO(viewer.image.value)))


@pytest.mark.parametrize("known", [0, 2])
def test_completions_are_of_the_conditional_table(kept, known):
    draws = kept.completions(known, image=0)
    assert np.all(draws[:, :known] == IMAGES[0, :known])
    p = exact.table(partial(nade.log_prob, PARAMS), 6).reshape(2**known, -1)[exact.index(IMAGES[0]) >> (6 - known)]
    assert exact.chi_square(draws[:, known:], p) > 1e-3


def test_the_slider_changes_only_what_it_must(kept):
    """A draw that had the next pixel right already stays as it is."""
    before, after = kept.completions(2, 0), kept.completions(3, 0)
    right = before[:, 2] == IMAGES[0, 2]
    assert 0 < right.mean() < 1
    np.testing.assert_array_equal(before[right], after[right])


def test_with_all_pixels_known_it_is_the_image(kept):
    np.testing.assert_array_equal(kept.completions(6, 1), np.tile(IMAGES[1], (20_000, 1)))
    assert kept.explain(6, 1) == "All 6 pixels are known: nothing is left to draw."


def test_the_pictures_colours(kept):
    """The image, what is known, a completion and the mean, each at its place: one pixel of the second row."""
    picture, found = kept.picture(3, 0), kept.completions(3, 0)
    zoom = completion_viewer.SIDE // 3
    row = completion_viewer.LABEL + zoom + zoom // 2
    at = lambda i: picture[row, i * (3 * zoom + completion_viewer.GAP) + zoom // 2]
    np.testing.assert_array_equal(at(0), completion_viewer.INK)
    np.testing.assert_array_equal(at(1), completion_viewer.UNKNOWN)
    for i in range(6):
        drawn = completion_viewer.DRAWN_INK if found[i, 3] else completion_viewer.DRAWN_PAPER
        np.testing.assert_array_equal(at(2 + i), drawn)
    share = found[:, 3].mean()
    expected = (1 - share) * np.array(completion_viewer.DRAWN_PAPER) + share * np.array(completion_viewer.DRAWN_INK)
    np.testing.assert_allclose(at(8), expected, atol=1)


def test_the_controls(viewer):
    assert viewer.slider.value == 3 and viewer.slider.step == 3
    np.testing.assert_array_equal(shown(viewer), viewer.picture(3, 0, 0))
    viewer.slider.value = 0
    np.testing.assert_array_equal(shown(viewer), viewer.picture(0, 0, 0))
    viewer.choice.value = 1
    np.testing.assert_array_equal(shown(viewer), viewer.picture(0, 1, 0))
    viewer.again.click()
    np.testing.assert_array_equal(shown(viewer), viewer.picture(0, 1, 1))
    assert np.any(viewer.completions(0, 1, 1) != viewer.completions(0, 1, 0))
    viewer.pixels.value = True
    viewer.slider.value = 1
    assert viewer.message.value.startswith("1 of 6 pixels known, 5 drawn. Of 100 completions")
    np.testing.assert_array_equal(shown(viewer), viewer.picture(1, 1, 1))


def test_the_slider_follows_the_hand():
    """64 pixels: no compilation while it moves, and under a twentieth of a second of Python a move."""
    params = nade.init(jax.random.key(0), 64, 64)
    images = jax.random.bernoulli(jax.random.key(1), 0.5, (3, 64))
    viewer = CompletionViewer(lambda k, x, known: nade.complete(k, params, x, known), images, key=jax.random.key(2))
    sizes, times = viewer._complete._cache_size(), []
    for known in range(0, 64, 8):
        start = time.perf_counter()
        viewer.slider.value = known
        times.append(time.perf_counter() - start)
    assert viewer._complete._cache_size() == sizes
    assert min(times[1:]) < 0.05


def test_a_model_with_an_order_of_its_own():
    """Known pixels are the first of the order, wherever they lie."""
    masks = made_masks.masks(made_masks.degrees(jax.random.key(0), [4, 2, 0, 5, 1, 3], (8,)))
    params = made.init(jax.random.key(1), 6, (8,))
    order = np.asarray(masks.order)
    draw = lambda key, x, known: made.complete(key, params, masks, x, known)
    viewer = CompletionViewer(draw, IMAGES, key=jax.random.key(1), shape=(2, 3), order=order)
    found = viewer.completions(2)
    assert np.all(found[:, order[:2]] == IMAGES[0, order[:2]]) and np.any(found[:, order[2:]] != IMAGES[0, order[2:]])
    zoom, width = completion_viewer.SIDE // 3, 3 * (completion_viewer.SIDE // 3) + completion_viewer.GAP
    given = viewer.picture(2)[completion_viewer.LABEL + zoom // 2 :: zoom, width + zoom // 2 :: zoom][:2, :3]
    unknown = np.all(given == completion_viewer.UNKNOWN, axis=-1).ravel()
    np.testing.assert_array_equal(np.flatnonzero(~unknown), np.sort(order[:2]))


def test_errors_are_shown_and_pass(viewer):
    images, viewer.images = viewer.images, None
    viewer.slider.value = 0
    assert viewer.message.value.startswith("<b>TypeError:</b> ")
    viewer.images = images
    viewer.slider.value = 6
    assert viewer.message.value.startswith("All 6 pixels")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": IMAGES * 0.5}, "images must hold bits"),
        ({"images": IMAGES[0]}, r"images must be \(examples, n\)"),
        ({"shape": (2, 2)}, r"shape must be \(height, width\) with 6 pixels in all, got \(2, 2\)"),
        ({"shape": None}, "shape must be"),
        ({"order": [0, 1, 2, 3, 4, 4]}, "order must hold each of 0, ..., 5 once"),
        ({"names": ["one"]}, "names must be one for each of the 2 images, got 1"),
        ({"num_completions": 0}, "num_completions must be positive, got 0"),
        ({"num_averaged": 3}, "num_averaged must be at least 6, got 3"),
        ({"complete": lambda key, x, known: x[:3]}, r"of shape \(6,\) as it came; got \(100, 3\)"),
        ({"complete": lambda x: x}, "complete must be a function .* that jax can trace: TypeError"),
        ({"complete": lambda key, x, known: x if known else -x}, "that jax can trace: TracerBool"),
    ],
)
def test_what_can_not_be_is_refused(change, message):
    given = {"complete": complete, "images": IMAGES, "key": jax.random.key(0), "shape": (2, 3)} | change
    with pytest.raises(ValueError, match=message):
        CompletionViewer(given.pop("complete"), given.pop("images"), **given)


def test_a_picture_larger_than_its_place_is_not_shrunk():
    images = jnp.zeros((1, 100 * 100))
    viewer = CompletionViewer(lambda key, x, known: x, images, key=jax.random.key(0), num_averaged=6)
    assert viewer.picture(0).shape[0] == completion_viewer.LABEL + 100

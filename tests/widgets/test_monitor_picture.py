"""The monitor's picture: what is drawn where, read back from its pixels."""

import io

import jax
import numpy as np
import pytest
from PIL import Image

from abp_jax.widgets.monitor import picture as monitor_picture


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@pytest.fixture(scope="module")
def drawn():
    """Three images, black, dark and bright, at three places; reconstructions brighter by 0.2."""
    images = np.broadcast_to(np.float32([-1, -0.5, 0.5])[:, None, None, None], (3, 16, 16, 3))
    z, losses = np.array([[2.0, 1.0], [-1.5, 0.5], [0.3, -2.0]]), np.array([1.0, 0.1, 0.01])
    picture = monitor_picture.MonitorPicture(images, np.arange(3), 2)
    numbers = [("a", "1", False), ("b", "2", True), ("c", "3", False), ("d", "4", False)]
    return picture, pixels(picture.draw(numbers, losses, z, images + 0.2, final=False)), z, losses


def shade_at(shown, transform, place):
    x, y = transform.transform(place)
    return shown[shown.shape[0] - 1 - round(y), round(x)]


def test_small_images_lie_where_their_z_are(drawn):
    picture, shown, z, _ = drawn
    for place, value in zip(z, (-1, -0.5, 0.5), strict=True):
        np.testing.assert_allclose(shade_at(shown, picture.z.ax.transData, place), 127.5 * (value + 1), atol=2)


def test_reconstructions_lie_below_their_images(drawn):
    picture, shown, _, _ = drawn
    for column, value in enumerate((-1, -0.5, 0.5)):
        for row, shift in enumerate((0, 0.2)):
            shade = shade_at(shown, picture.pairs.shown.axes.transData, (17 * column + 8, 17 * row + 8))
            np.testing.assert_allclose(shade, 127.5 * (value + shift + 1), atol=2)


def test_the_curve_goes_through_the_errors(drawn):
    picture, shown, _, losses = drawn
    for iteration, loss in enumerate(losses, start=1):
        x, y = np.round(picture.loss.ax.transData.transform((iteration, loss))).astype(int)
        near = shown[::-1][y - 1 : y + 2, x - 1 : x + 2]
        assert (np.abs(near.astype(int) - [0xE4, 0x57, 0x2E]).max(axis=-1) < 40).any()


def test_the_colours_follow_the_direction_of_the_largest_variation(key):
    along = np.asarray(jax.random.normal(key, (40,)))
    y = 0.01 * np.asarray(jax.random.normal(jax.random.key(1), (40, 6))) + 3 * along[:, None] * np.eye(6)[2]
    ranks = monitor_picture.main_variation(y)
    assert sorted(ranks) == pytest.approx(np.linspace(0, 1, 40))
    assert abs(np.corrcoef(ranks, along.argsort().argsort())[0, 1]) == pytest.approx(1)


def test_a_long_run_is_thinned_out_and_ends_where_it_ends():
    picture = monitor_picture.MonitorPicture(np.zeros((4, 5), np.float32), np.arange(4), 2)
    losses = np.linspace(1, 0.1, 12_345)
    picture.loss.update(losses)
    x, y = picture.loss.line.get_data()
    assert 500 < len(x) <= 1000 and x[-1] == 12_345
    np.testing.assert_array_equal(y, losses[x - 1])

import matplotlib.pyplot as plt
import numpy as np
import pytest

import abp_jax as abp
from abp_jax import plots


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def test_display_maps_every_image_alike_and_clips():
    """No stretching of each image to its own minimum and maximum: that would hide errors of amplitude."""
    faint = np.array([[[-0.1]], [[0.1]]])
    np.testing.assert_allclose(plots.to_display(faint), [[[0.45]], [[0.55]]])
    np.testing.assert_allclose(plots.to_display(np.array([-3.0, -1.0, 0.0, 1.0, 3.0])), [0, 0, 0.5, 1, 1])


def test_tiles_stand_in_reading_order():
    levels = np.linspace(-1, 1, 5)
    tiled = plots.tile(np.broadcast_to(levels[:, None, None, None], (5, 2, 2, 1)), num_columns=3, gap=1)
    assert tiled.shape == (5, 8, 3)
    np.testing.assert_allclose(tiled[0, ::3, 0], [0, 0.25, 0.5])
    np.testing.assert_allclose(tiled[3, ::3, 0], [0.75, 1, 1])  # the empty place is white


def test_rows_have_their_names_beside_them_and_columns_above(ax):
    grey, colour = np.full((4, 8, 8, 1), -1.0), np.zeros((4, 8, 8, 3)) + np.array([1.0, -1.0, -1.0])
    plots.image_rows({"grey": grey, "red": colour}, ax, columns=("left", "right"))
    shown = ax.images[0].get_array()
    np.testing.assert_allclose(shown[4, ::10], 0)  # the first row is black, and the second is red
    np.testing.assert_allclose(shown[14, ::10], np.tile([1.0, 0.0, 0.0], (4, 1)))
    ax.figure.canvas.draw()
    places = {text.get_text(): ax.transData.inverted().transform(text.get_window_extent()) for text in ax.texts}
    assert list(places) == ["grey", "red", "left", "right"]
    for name, middle in (("grey", 3.5), ("red", 13.5)):
        assert places[name][1, 0] < 0 and places[name][:, 1].mean() == pytest.approx(middle, abs=1)
    for name, middle in (("left", 8.5), ("right", 28.5)):  # of two images and the gap between them
        assert places[name][:, 1].max() < 0 and places[name][:, 0].mean() == pytest.approx(middle, abs=1)


def test_rows_of_different_lengths_are_refused(ax):
    with pytest.raises(ValueError, match="same shape"):
        plots.image_rows({"two": np.zeros((2, 8, 8, 1)), "three": np.zeros((3, 8, 8, 1))}, ax)


def test_panel_puts_high_z2_on_top(ax):
    """The generator here paints z1 in red and z2 in green, so each tile says where it thinks it is."""
    z = np.asarray(abp.generators.grid_points(-2, 2, 8))
    images = np.zeros((64, 2, 2, 3)) + np.stack([z[:, 0] / 2, z[:, 1] / 2, 0 * z[:, 0]], axis=1)[:, None, None]
    image = plots.panel(images, ax).images[0]
    left, right, bottom, top = image.get_extent()
    assert (left, bottom) == (-2 - 2 / 7, -2 - 2 / 7) and (right, top) == (2 + 2 / 7, 2 + 2 / 7)
    np.testing.assert_allclose(image.get_array()[0, 0], [0, 1, 0.5], atol=1e-6)  # z1 = -2, z2 = 2
    np.testing.assert_allclose(image.get_array()[-1, -1], [1, 0, 0.5], atol=1e-6)


def test_thumbnails_lie_at_their_z(ax):
    z = np.array([[0.5, -1.0], [1.0, 2.0]])
    plots.thumbnails(np.zeros((2, 4, 4, 3)), z, ax)
    np.testing.assert_allclose([a.xy for a in ax.artists], z)


def test_density_peaks_where_the_log_density_does(ax):
    values = np.full((10, 20), -1e5)
    values[2, 15] = -3e4
    image = plots.density(values, ax, (0, 20, 0, 10)).images[0]
    assert np.unravel_index(np.argmax(image.get_array()), (10, 20)) == (2, 15) and image.origin == "lower"
    assert image.get_array().max() == 1


def test_trail_and_losses(ax):
    path = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]])
    plots.trail(path, ax)
    np.testing.assert_allclose(ax.collections[0].get_segments()[1], path[1:])
    plots.loss_curve(np.array([1.0, 0.1]), ax)
    assert ax.get_yscale() == "log" and ax.lines[-1].get_xdata().tolist() == [1, 2]


def test_axes():
    assert len(plots.new_axes(3)) == 3
    plt.close("all")

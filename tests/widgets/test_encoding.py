import io

import jax
import numpy as np
import pytest
from PIL import Image

import abp_jax as abp


@pytest.mark.parametrize("channels", [1, 3])
def test_png_holds_the_rounded_pixels(channels):
    image = np.random.default_rng(0).uniform(-1.2, 1.2, (5, 7, channels))
    decoded = np.asarray(Image.open(io.BytesIO(abp.widgets.png(image)))).reshape(5, 7, channels)
    np.testing.assert_array_equal(decoded, np.rint(255 * abp.plots.to_display(image)))


def test_device_line_names_the_device():
    assert jax.__version__ in abp.describe_device() and jax.devices()[0].device_kind in abp.describe_device()

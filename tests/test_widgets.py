import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

import abp_jax as abp


@pytest.fixture
def generator():
    return abp.ConvGenerator(image_size=16, width=4, rngs=nnx.Rngs(0))


def shown(explorer):
    return np.asarray(Image.open(io.BytesIO(explorer.image.value)))


def expected(generator, z):
    return np.uint8(np.round(255 * abp.plots.to_display(abp.reconstruct(generator, jnp.array([z]))[0])))


def test_image_follows_the_sliders(generator):
    explorer = abp.LatentExplorer(generator)
    np.testing.assert_array_equal(shown(explorer), expected(generator, [0.0, 0.0]))
    explorer.sliders[0].value, explorer.sliders[1].value = 1.5, -0.5
    np.testing.assert_array_equal(explorer.z, [1.5, -0.5])
    np.testing.assert_array_equal(shown(explorer), expected(generator, [1.5, -0.5]))
    assert "left: 80.00%; bottom: 40.00%" in explorer.marker.value


def test_starts_at_the_first_z_and_marks_all(generator):
    explorer = abp.LatentExplorer(generator, jnp.array([[0.5, 1.0], [-1.0, 2.0]]))
    np.testing.assert_array_equal(explorer.z, [0.5, 1.0])
    plane = explorer.children[0].children[-1].children[0].value
    assert plane.count("abp-dot") == 2 and "left: 30.00%; bottom: 90.00%" in plane


@pytest.mark.parametrize("latent_dim", [1, 5])
def test_one_slider_for_each_dimension(latent_dim):
    generator = abp.ConvGenerator(latent_dim, image_size=8, width=4, channels=1, rngs=nnx.Rngs(0))
    explorer = abp.LatentExplorer(generator)
    assert [s.description for s in explorer.sliders] == [f"z{i + 1}" for i in range(latent_dim)]
    explorer.sliders[-1].value = 1.0
    np.testing.assert_array_equal(shown(explorer), expected(generator, [0.0] * (latent_dim - 1) + [1.0])[..., 0])


def test_bad_arguments(generator):
    with pytest.raises(ValueError, match="z has 3 coordinates, but the generator takes 2"):
        abp.LatentExplorer(generator, jnp.zeros((4, 3)))
    with pytest.raises(ValueError, match="shows images"):
        abp.LatentExplorer(abp.LinearGenerator(2, 5, rngs=nnx.Rngs(0)))


def test_device_line_names_the_device():
    assert jax.__version__ in abp.describe_device() and jax.devices()[0].device_kind in abp.describe_device()

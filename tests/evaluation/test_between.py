import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax.evaluation import between


class Painter(nnx.Module):
    """Draws one image, whatever z is, with `noise` of its own for every z."""

    def __init__(self, image, noise=0.0, gain=1.0):
        self.latent_dim, self.image, self.noise, self.gain = 2, nnx.Variable(jnp.asarray(image)), noise, gain

    def __call__(self, z):
        seed = jax.random.fold_in(jax.random.key(0), jax.lax.bitcast_convert_type(z[0], jnp.uint32))
        speckle = self.noise * jax.random.normal(seed, self.image[...].shape)
        return jnp.clip(self.gain * self.image[...] + speckle, -1, 1)


def test_by_hand(key):
    images = jnp.zeros((1, 2, 2, 1)).at[0, 0, 0, 0].set(1.0)
    np.testing.assert_allclose(between.gradient_energy(images), [1.0])  # 1 in one of two pairs, across and down
    others = jnp.stack([images[0], images[0] + 1, images[0] - 0.5])
    np.testing.assert_allclose(between.nearest_distance(images, others[1:]), [0.25])
    colour = jnp.zeros((1, 1, 2, 3)).at[0, 0, 1].set(jnp.array([3.0, 0.0, 0.0]))
    np.testing.assert_allclose(between.colour_energy(jnp.tile(colour, (1, 2, 1, 1))), [(4 + 1 + 1) / 3], rtol=1e-6)
    np.testing.assert_allclose(between.colour_energy(images), [0.0])


def test_a_generator_of_the_training_images_is_perfect(tiny_faces, key):
    found = between.between(Painter(tiny_faces[0]), tiny_faces[:1], key, 8)
    np.testing.assert_allclose(found[:3], [1, 1, 0], atol=1e-5)
    assert found.burnt == found.burnt_training == pytest.approx(np.mean(np.abs(tiny_faces[0]) > 0.98))


def test_each_fault_is_seen(tiny_faces, key):
    sound = between.between(Painter(tiny_faces[0]), tiny_faces[:1], key, 8)
    speckle = between.between(Painter(tiny_faces[0], noise=0.3), tiny_faces[:1], key, 8)
    assert speckle.sharpness > 1.2 and speckle.fringe > 1.2 and speckle.distance > 0.02
    assert between.between(Painter(tiny_faces[0], gain=4.0), tiny_faces[:1], key, 8).burnt > sound.burnt + 0.3
    assert between.between(Painter(tiny_faces[0], gain=0.5), tiny_faces[:1], key, 8).sharpness < 0.3
    grey = tiny_faces[:1].mean(-1, keepdims=True)
    for images in (grey, np.repeat(grey, 3, axis=-1)):
        assert np.isnan(between.between(Painter(images[0]), images, key, 8).fringe)


def test_what_it_can_t_take_is_named(tiny_faces, key):
    with pytest.raises(ValueError, match="images of shape"):
        between.between(Painter(tiny_faces[0]), tiny_faces[0], key)
    with pytest.raises(ValueError, match="latent_dim of at least 2"):
        between.between(abp.ConvGenerator(1, 8, 4, rngs=nnx.Rngs(0)), tiny_faces, key, 8)

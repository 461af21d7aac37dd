"""The explorer with an encoder: a dropped picture goes where the encoder says, and climbs."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax import evidence
from abp_jax.relatives.encoders import ConvEncoder, MLPEncoder
from abp_jax.relatives.widgets.encoder_explorer import EncoderExplorer
from tests.widgets.test_explorer import as_file, drop


@pytest.fixture(scope="module")
def networks():
    return abp.ConvGenerator(2, 8, 4, rngs=nnx.Rngs(0)), ConvEncoder(2, 8, 4, rngs=nnx.Rngs(1))


def test_a_picture_is_placed_by_the_encoder_and_climbs(networks):
    generator, encoder = networks
    explorer = EncoderExplorer(generator, encoder, jnp.zeros((3, 2)))
    visited = []
    explorer.observe(lambda change: visited.append(change["new"]), names="z")
    picture = np.asarray(abp.load_lion_tiger(size=8)[4])
    drop(explorer, "mine.png", as_file(picture))
    seen = np.rint(127.5 * (picture + 1)) / 127.5 - 1  # as the file has it
    guess = encoder(jnp.asarray(seen, jnp.float32)).mean
    np.testing.assert_allclose(visited[0], guess, atol=0.02)
    np.testing.assert_allclose(explorer.guess.mean, guess, atol=0.02)
    peak = evidence.find_mode(generator, explorer.guess.mean, jnp.asarray(seen, jnp.float32), 0.3)
    np.testing.assert_allclose(explorer.z, peak, atol=0.02)
    assert "at the encoder's guess" in explorer._status and explorer._failure == ""
    assert [own["name"] for own in explorer._own] == ["mine.png"]


def test_a_bad_picture_is_said(networks):
    explorer = EncoderExplorer(*networks, jnp.zeros((3, 2)))
    drop(explorer, "text.txt", b"no picture")
    assert "text.txt" in explorer._failure and explorer.guess is None and explorer._own == []


def test_what_does_not_fit_is_said(networks):
    generator, encoder = networks
    with pytest.raises(TypeError, match="encoder must be a function of an image"):
        EncoderExplorer(generator, "encoder", jnp.zeros((3, 2)))
    with pytest.raises(ValueError, match="encoder must have latent_dim 2"):
        EncoderExplorer(generator, MLPEncoder(192, 3, rngs=nnx.Rngs(0)), jnp.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"one image \(height, width, 1\)"):
        EncoderExplorer(generator, ConvEncoder(2, 8, 4, 1, rngs=nnx.Rngs(0)), jnp.zeros((3, 2)))

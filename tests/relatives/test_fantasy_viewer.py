"""The fantasy viewer without a browser: its chains against exact distributions, its pictures and traits."""

import io
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from abp_jax.relatives import bits, contrastive_divergence
from abp_jax.relatives import rbm as boltzmann
from abp_jax.relatives.rbm import RBM
from abp_jax.relatives.widgets import fantasy_viewer
from abp_jax.relatives.widgets.fantasy_viewer import FantasyViewer, run_chains
from tests.relatives.machines import random_machine

IMAGES = np.float32([[1, 0, 0, 1], [1, 1, 1, 1], [0, 0, 1, 0]])


@pytest.fixture
def viewer():
    machine = random_machine(5, 4)
    draws = boltzmann.exact_draws(jax.random.key(2), machine, 50)
    return FantasyViewer(machine, IMAGES, key=jax.random.key(1), draws=draws, num_steps=12)


def shown(viewer):
    return np.asarray(Image.open(io.BytesIO(viewer.image.value)))


def test_v_after_k_steps_has_its_exact_law():
    """Each v^(k) as often as the matrix of the chain says, within 4.5 standard errors; no step is missing."""
    machine, num, start = random_machine(3, 3, scale=1.5, seed=1), 20_000, 5
    T = np.asarray(contrastive_divergence.block_matrix(machine), np.float64)
    v = jnp.tile(bits.state(start, 3, jnp.float32), (num, 1))
    chains = run_chains(jax.random.key(0), machine, v, 2)
    for k in range(3):
        p = np.linalg.matrix_power(T, k)[start]
        often = np.bincount(np.asarray(bits.index(chains.v[:, k])), minlength=8)
        assert np.all(np.abs(often - num * p) <= 4.5 * np.sqrt(num * p * (1 - p)) + 1e-3)
    for k in range(3):  # h beside v is drawn from that v, and the next v from that h
        v, h = chains.v[:, k], chains.h[:, k]
        m = jax.nn.sigmoid(jax.vmap(partial(boltzmann.hidden_logits, machine))(v))
        assert np.abs(jnp.mean((h - m)[:, :, None] * v[:, None], axis=0)).max() < 4.5 * 0.5 / num**0.5
        if k < 2:
            p = jax.nn.sigmoid(jax.vmap(partial(boltzmann.visible_logits, machine))(h))
            assert np.abs(jnp.mean((chains.v[:, k + 1] - p)[:, :, None] * h[:, None], axis=0)).max() < 2.3 / num**0.5


def test_chains_start_where_they_should(viewer):
    data, noise = viewer.chains("data"), viewer.chains("noise")
    assert data.v.shape == (3, 13, 4) and data.h.shape == (3, 13, 5) and data.free_energy.shape == (3, 13)
    np.testing.assert_array_equal(data.v[:, 0], IMAGES)
    assert set(np.unique(noise.v)) | set(np.unique(noise.h)) == {0, 1}
    F = jax.vmap(jax.vmap(partial(boltzmann.free_energy, viewer.rbm)))(noise.v)
    np.testing.assert_allclose(noise.free_energy, F, rtol=1e-5)


def test_sliding_shows_the_states_and_computes_none(viewer, monkeypatch):
    monkeypatch.setattr(fantasy_viewer, "run_chains", None)
    for start in ("data", "noise"):
        viewer.start.value = start
        for k in (0, 1, 12):
            viewer.slider.value = k
            np.testing.assert_array_equal(shown(viewer), viewer.picture(k, start))
            energy = viewer.chains(start).free_energy[:, k].mean()
            assert viewer.message.value.startswith(f"k = {k}: free energy {energy:.1f} on the mean of 3 chains")
    assert "nine in ten of the machine's own draws" in viewer.message.value


def test_the_picture_has_the_bits_where_they_are(viewer):
    left, top, cell, gap = (n // 2 for n in (fantasy_viewer.LEFT, fantasy_viewer.TOP, fantasy_viewer.CELL, 12))
    chains, picture = viewer.chains("noise"), viewer.picture(7, "noise")
    for i in range(3):
        for row, bit in enumerate(chains.v[i, 7].reshape(2, 2)):
            for column, on in enumerate(bit):
                y, x = top + cell + gap + 14 + 28 * row, left + i * (cell + gap) + 14 + 28 * column
                np.testing.assert_array_equal(picture[y, x], 255 * on)
        for j, on in enumerate(chains.h[i, 7]):  # 5 bits: 3 columns, 2 rows
            y, x = top + 2 * (cell + gap) + 9 + 18 * (j // 3), left + i * (cell + gap) + 9 + 18 * (j % 3)
            np.testing.assert_array_equal(picture[y, x], fantasy_viewer.CHAIN if on else fantasy_viewer.PALE)


def test_new_random_numbers(viewer):
    before, first = viewer.chains("data").v, shown(viewer)
    viewer.slider.value = 12
    viewer.again.click()
    after = viewer.chains("data").v
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    assert np.any(after != before) and np.any(shown(viewer) != first) and viewer.slider.value == 12


def test_the_band_holds_nine_in_ten_of_the_draws(viewer):
    draws = boltzmann.exact_draws(jax.random.key(2), viewer.rbm, 50)
    F = np.asarray(jax.vmap(partial(boltzmann.free_energy, viewer.rbm))(draws))
    np.testing.assert_allclose(viewer.band, np.quantile(F, (0.05, 0.95)), rtol=1e-5)
    bare = FantasyViewer(viewer.rbm, IMAGES, key=jax.random.key(1), num_steps=1)
    assert bare.band is None and "nine in ten" not in bare.message.value and bare.picture().shape[2] == 3


def test_errors_are_shown_and_pass(viewer):
    kept, viewer._chains = viewer._chains, {}
    viewer.slider.value = 3
    assert viewer.message.value.startswith("<b>KeyError:</b>")
    viewer._chains = kept
    viewer.slider.value = 4
    assert viewer.message.value.startswith("k = 4")


def test_without_a_front_end_there_is_a_word(viewer):
    bundle = viewer._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert "fantasy viewer: run this cell" in data["text/plain"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (dict(images=np.ones((2, 5), np.float32)), r"images must be \(examples, 4\).* got shape \(2, 5\)"),
        (dict(images=np.full((2, 4), 0.5, np.float32)), "images must hold bits"),
        (dict(images=np.ones((13, 4), np.float32)), "images must be at most 12, one for each chain; got 13"),
        (dict(draws=np.ones((2, 3), np.float32)), r"draws must be \(examples, 4\)"),
        (dict(num_steps=0), "num_steps must be positive, got 0"),
        (dict(shape=(3, 2)), r"shape must be \(height, width\) with 4 pixels in all, got \(3, 2\)"),
        (dict(rbm=RBM(np.ones((4, 5)), np.ones(4), np.ones(5))), r"W must be \(hidden, visible\)"),
        (dict(rbm=RBM(np.ones((5, 4)), np.full(4, np.nan), np.ones(5))), "rbm must have finite parameters"),
        (dict(rbm=3), r"rbm must be an RBM\(W, b, c\), got 3"),
    ],
)
def test_refusals(changed, message):
    arguments = dict(rbm=random_machine(5, 4), images=IMAGES, key=jax.random.key(0), num_steps=2) | changed
    with pytest.raises(ValueError, match=message):
        FantasyViewer(**arguments)


def test_refusals_of_the_picture(viewer):
    with pytest.raises(ValueError, match="k must be at most 12, got 13"):
        viewer.picture(13)
    with pytest.raises(ValueError, match="start must be one of data, noise; got 'zeros'"):
        viewer.picture(0, "zeros")


def test_images_that_are_no_squares_need_a_shape():
    machine = random_machine(2, 6)
    images = np.zeros((1, 6), np.float32)
    with pytest.raises(ValueError, match="shape must be .* 6 pixels"):
        FantasyViewer(machine, images, key=jax.random.key(0))
    FantasyViewer(machine, images, key=jax.random.key(0), shape=(2, 3), num_steps=1)

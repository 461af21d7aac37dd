"""The rows of both tables with a latent z, at small sizes: what is learned, kept, judged and counted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import abp_jax as abp
from abp_jax.evaluation import lattice
from abp_jax.relatives import bits
from experiments import latent_models, latent_rows

WIDTHS = dict(widths=(8,))
WITH_ENCODER = WIDTHS | dict(encoder_widths=(16,), learning_rate=1e-2, num_iterations=100, num_draws=2)
SMALL = {
    "lattice": WIDTHS | dict(spacings=(0.5, 0.4), num_epochs=(20, 2), learning_rate=0.02),
    "ABP": WIDTHS | dict(num_iterations=100, num_steps=1, prior_draws=10, learning_rate=1e-2),
    "VAE, d = 2": WITH_ENCODER,
    "importance-weighted": WITH_ENCODER | dict(objective="importance"),
    "wake and sleep": WITH_ENCODER,
    "VAE, d = 10": WITH_ENCODER,
}


def digits():
    train, valid, test = bits.load_digits()
    return bits.Split(train[:200], valid[:30], test[:20])


@pytest.mark.parametrize("row", SMALL)
def test_each_way_learns_bits_and_is_judged_by_the_test_images(row):
    split = digits()
    measured = latent_rows.ROWS[row][0](split, 0, **SMALL[row])
    d = 10 if row == "VAE, d = 10" else 2
    assert measured.num_parameters == 8 * d + 8 + 64 * 8 + 64
    assert measured.samples.shape == (16, 64) and set(np.unique(measured.samples)) <= {0, 1}
    assert measured.log_probs.shape == (20,)
    start = latent_models.generator(split, 0, d, (8,))
    z = jax.random.normal(jax.random.key(0), (1000, d))
    log_p = abp.model.log_likelihoods(jax.vmap(start)(z), jnp.asarray(split.test), abp.Bernoulli())
    untrained = np.mean(jax.nn.logsumexp(log_p, axis=1) - np.log(1000))
    assert untrained + 5 < measured.log_probs.mean() < -15


def test_the_settings_of_both_data_sets_fit_the_rows():
    """Every row has the same decoder, and an encoder if it needs one."""
    for row, (_, kind, settings) in latent_rows.ROWS.items():
        assert kind == ("bound" if row == "VAE, d = 10" else "exact")
        assert set(settings) == {"digits", "clothes"}
        assert {found["widths"] for found in settings.values()} == {latent_rows.W["widths"]}
        assert ("encoder_widths" in settings["digits"]) == (row not in ("lattice", "ABP"))
    split = digits()
    assert latent_rows.encoder_parameters(split, 2, (16,)) == 64 * 16 + 16 + 16 * 5 + 5


def test_the_best_look_is_kept():
    values = {10: -3.0, 20: -1.0, 30: -2.0}
    best = latent_models.Best(lambda result: values[result], every=10)
    for done in (0, 7, 10, 20, 25, 30, 30):
        best(done, lambda done=done: done)
    assert best.result == 20 and best.value == -1 and best.curve == list(values.items())


def test_the_bound_is_below_log_p_and_with_many_draws_close(key):
    split = digits()
    best = latent_models.autoencoder(split, 0, abp.Bernoulli(), latent_dim=2, **WITH_ENCODER)
    exact = lattice.exact_log_evidence(best.result.generator, split.test, abp.Bernoulli())
    bound = lambda key, k: latent_models.bound(key, best.result, split.test, abp.Bernoulli(), k)
    few, many = np.mean([bound(one, 1) for one in jax.random.split(key, 20)], axis=0), bound(key, 1000)
    assert few.mean() < exact.mean() - 0.05
    np.testing.assert_allclose(many, exact, atol=0.3)
    assert abs(np.mean(many - exact)) < 0.03
    score = latent_models.lattice_score(split.test, abp.Bernoulli(), best.result)
    np.testing.assert_allclose(score, exact.mean(), atol=1e-2)


def test_grey_clothes_are_those_whose_bits_are_learned():
    grey, found = bits.load_grey_clothes(), bits.load_clothes()
    assert [len(part) for part in grey] == [7000, 1000, 2000]
    for ours, theirs in zip(grey, found, strict=True):
        np.testing.assert_array_equal(np.float32(ours >= 0), theirs)
        assert ours.min() == -1 and ours.max() <= 1 and ours.dtype == np.float32

"""The rows of both tables with a latent z, at small sizes: what is learned, kept, judged and counted."""

import json
from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax.evaluation import lattice
from abp_jax.relatives import bits
from experiments import grey_models, grey_table, latent_models, latent_rows
from experiments.records import Arrays, Records

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


def line(sigma=0.4, n=1200):
    """Grey values around a line, in three parts."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=(n, 2)) @ rng.normal(size=(2, 6)) + sigma * rng.normal(size=(n, 6))
    return bits.split(np.float32(y), (800, 200, 200))


def test_sigma_is_chosen_by_the_validation_images():
    f = abp.LinearGenerator(2, 6, rngs=nnx.Rngs(0))
    y = np.random.default_rng(0).normal(size=(800, 2)) @ np.asarray(f.first.kernel[...])
    y = np.float32(y + 0.3 * np.random.default_rng(1).normal(size=y.shape))
    assert grey_models.best_sigma(f, y) == pytest.approx(0.3, abs=0.01)


def test_one_component_is_a_normal_distribution_and_more_are_better():
    split = line()
    one, three = (grey_models.mixture(split, 0, k, 30, one_sigma=True) for k in (1, 3))
    mean, sigma = split.train.mean(axis=0), np.sqrt(np.mean((split.train - split.train.mean(axis=0)) ** 2))
    errors = np.sum((split.test - mean) ** 2, axis=1) / (2 * sigma**2)
    np.testing.assert_allclose(one.log_probs, -errors - 3 * np.log(2 * np.pi * sigma**2), rtol=1e-4)
    assert one.sigma == pytest.approx(sigma, rel=1e-4) and (one.num_parameters, three.num_parameters) == (7, 21)
    assert three.log_probs.mean() > one.log_probs.mean() + 0.1
    own = grey_models.mixture(split, 0, 3, 30, one_sigma=False)
    assert own.num_parameters == 23 and np.isnan(own.sigma)


def test_decoders_of_grey_values_come_near_the_model_that_made_them():
    split = line()
    factors = grey_models.factors(split, 0, 2)
    assert factors.num_parameters == 6 * 2 - 1 + 6 + 1
    learn = grey_models.decoder(latent_models.alternating)
    abp_row = learn(split, 0, 0.4, widths=(16,), num_iterations=400, learning_rate=1e-2)
    assert factors.log_probs.mean() - 0.5 < abp_row.log_probs.mean() < factors.log_probs.mean() + 0.2
    assert abp_row.sigma == pytest.approx(0.4, abs=0.02)
    assert abp_row.samples.shape == abp_row.means.shape == (16, 6)
    np.testing.assert_allclose(np.std(abp_row.samples - abp_row.means), abp_row.sigma, rtol=0.3)
    game = dict(widths=(16,), critic_widths=(16,), num_iterations=200, learning_rates=(1e-3, 1e-3))
    best = grey_models.adversary(split, 0, 0.4, latent_dim=2, **game)
    assert len(best.curve) == latent_models.LOOKS and best.value == max(value for _, value in best.curve)


def test_the_grey_table_keeps_what_was_measured(tmp_path, monkeypatch):
    split = bits.Split(*(part[:50] for part in bits.load_grey_clothes()))
    monkeypatch.setattr(grey_table, "bits", SimpleNamespace(load_grey_clothes=lambda: split))
    rows = {"factor analysis": (grey_models.factors, dict(latent_dim=2))}
    rows["mixture"] = (grey_models.mixture, dict(num_components=2, num_rounds=3, one_sigma=False))
    grey_table.grey_table(rows, (0, 1), tmp_path)
    records, arrays = Records("grey_table", tmp_path).runs, Arrays("grey_table", tmp_path)
    assert list(records) == ["factor analysis, seed 0", "mixture, seed 0", "mixture, seed 1"]
    for name, run in records.items():
        log_probs = arrays[name]["log_probs"]
        assert log_probs.shape == (50,) and arrays[name]["samples"].dtype == np.uint8
        np.testing.assert_allclose(run["result"]["test"][0], log_probs.mean(), atol=2e-3)
    unfit = (lambda *_: grey_models.Grey(np.zeros(3), *[np.zeros((16, 196))] * 2, 1, 0.0, 1.0), {})
    with pytest.raises(ValueError, match="of shape"):
        grey_table.run(*unfit[:1], 0, {}, partial(lambda **_: None))


def test_grey_values_on_file_are_of_the_present_settings_and_of_one_decoder():
    runs, arrays = Records("grey_table").runs, Arrays("grey_table")
    expected = grey_table.runs(grey_table.ROWS)
    assert {name: run["settings"] for name, run in runs.items()} == {
        name: json.loads(json.dumps(settings)) for name, (_, _, settings) in expected.items()
    }
    assert arrays.path.stat().st_size < 1.5e6
    decoders = [run["result"] for name, run in runs.items() if not name.startswith(("factor", "mixture"))]
    start = latent_models.generator(bits.load_grey_clothes(), 0, 2, (100, 100))
    assert {result["parameters"] for result in decoders} == {latent_models.num_parameters(start) + 1}
    for name, run in runs.items():
        found = np.asarray(arrays[name]["log_probs"], float)
        mean, error = run["result"]["test"]
        assert run["result"]["kind"] == "exact" and len(found) == 2000
        assert found.mean() == pytest.approx(mean, abs=2e-3)
        assert found.std(ddof=1) / len(found) ** 0.5 == pytest.approx(error, abs=2e-3)


def test_grey_clothes_are_those_whose_bits_are_learned():
    grey, found = bits.load_grey_clothes(), bits.load_clothes()
    assert [len(part) for part in grey] == [7000, 1000, 2000]
    for ours, theirs in zip(grey, found, strict=True):
        np.testing.assert_array_equal(np.float32(ours >= 0), theirs)
        assert ours.min() == -1 and ours.max() <= 1 and ours.dtype == np.float32

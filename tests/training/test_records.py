"""What is read of the experiments: each record, what it was measured on, and what is said where there is none."""

import json
import shutil

import jax
import numpy as np
import pytest

import abp_jax as abp
from abp_jax.images import masks
from abp_jax.training import records

RUNS = {  # of each experiment
    "whitening": ["with", "without"],
    "regimes": ["overfitting", "good", "underfitting"],
    "against_pca": [(d, seed) for seed in (0, 1, 2) for d in (20, 60, 100, 200)],
    "incomplete": ["P.5", "P.7", "P.9", "a third", "a half", "projections"],
    "exercise": [(v, seed) for seed in (0, 1) for v in ("as posed", "averaged", "without whitening", "cured")],
}
each_experiment = pytest.mark.parametrize("name", RUNS)


@pytest.fixture(scope="module")
def fashion_mnist():
    return abp.load_fashion_mnist()


@each_experiment
def test_settings_and_results_are_those_of_the_file(name):
    experiment = abp.load_experiment(name)
    file = json.loads((abp.data.data_folder() / "experiments" / f"{name}.json").read_text("utf-8"))
    assert experiment.name == name
    assert list(experiment.results) == list(experiment.settings) == RUNS[name]
    assert list(experiment.results.values()) == [record["result"] for record in file.values()]
    for settings, record in zip(experiment.settings.values(), file.values(), strict=True):
        assert settings == record["settings"] | {"latent_dim": settings["latent_dim"]}


def test_a_run_against_pca_has_the_latent_dimension_of_its_name():
    experiment = abp.load_experiment("against_pca")
    file = json.loads((abp.data.data_folder() / "experiments" / "against_pca.json").read_text("utf-8"))
    for (d, seed), settings in experiment.settings.items():
        assert experiment.results[d, seed] == file[f"against_pca d={d} seed={seed}"]["result"]
        assert settings["latent_dim"] == d


@each_experiment
def test_generators_are_those_of_the_settings(name):
    experiment = abp.load_experiment(name)
    splits = {run: experiment.splits(run)["learned"].images for run in records.GENERATORS[name]}
    for run, learned in splits.items():
        generator, z = experiment.generator(run)
        assert generator.latent_dim == experiment.settings[run]["latent_dim"]
        assert z.shape == (min(1000, len(learned)), generator.latent_dim)
        assert jax.eval_shape(generator, z[0]).shape == learned.shape[1:]


@pytest.mark.parametrize(("name", "run", "least"), [("regimes", "good", 0.9), ("against_pca", (20, 0), 0.9)])
def test_the_z_on_file_are_of_the_images_of_the_split(name, run, least):
    """Of nearly all images the z that stands in their row is a better one than that of the next row."""
    experiment = abp.load_experiment(name)
    images = experiment.splits(run)["learned"].images[:100]
    generator, z = experiment.generator(run)
    own, others = (abp.reconstruction_error(generator, np.roll(z[:100], k, axis=0), images) for k in (0, 1))
    assert np.mean(own < others) > least


def test_splits_of_the_regimes(fashion_mnist):
    experiment = abp.load_experiment("regimes")
    for run, num in (("overfitting", 100), ("good", 10_000), ("underfitting", 20_000)):
        splits = experiment.splits(run)
        assert len(splits["learned"].images) == num == experiment.settings[run]["images"]
        first = min(num, 9000)
        np.testing.assert_array_equal(splits["learned"].images[:first], fashion_mnist[:first])
        np.testing.assert_array_equal(splits["test"].images, fashion_mnist[9000:])
        assert splits["learned"].observed is None


def test_splits_against_pca(fashion_mnist):
    splits = abp.load_experiment("against_pca").splits((60, 2))
    order = np.random.default_rng(2).permutation(10_000)
    for name, rows in (("learned", order[:1000]), ("validation", order[1000:1300]), ("test", order[1300:1600])):
        np.testing.assert_array_equal(splits[name].images, fashion_mnist[rows])


def test_splits_and_masks_of_incomplete_data(fashion_mnist):
    experiment = abp.load_experiment("incomplete")
    assert list(experiment.masks) == RUNS["incomplete"][:-1]
    splits = experiment.splits("P.7")
    rows = {"learned": slice(1000), "train": slice(200), "validation": slice(1000, 1200), "test": slice(1200, 1700)}
    for name, some in rows.items():
        np.testing.assert_array_equal(splits[name].images, fashion_mnist[some])
    np.testing.assert_array_equal(splits["train"].observed, splits["learned"].observed[:200])
    by_hand = masks.scattered_blocks(500, 32, 0.7, seed=2)
    np.testing.assert_array_equal(splits["test"].observed, by_hand)
    np.testing.assert_array_equal(experiment.masks["P.7"](500, 32, seed=2), by_hand)
    for run, result in experiment.results.items():
        missing = np.mean(~experiment.splits(run)["learned"].observed)
        assert missing == result.get("hidden", 1.0)  # of the projections, which observe no pixel
        assert len(result["generator"]["test"]) == len(splits["test"].images)
        assert len(result["generator"]["train"]) == len(splits["train"].images)


def test_projections_are_orthonormal_and_as_many_as_were_measured():
    experiment = abp.load_experiment("incomplete")
    A = experiment.projections
    assert A.shape == (experiment.results["projections"]["measurements"], 1024) and A.dtype == np.float32
    np.testing.assert_allclose(A @ A.T, np.eye(len(A)), atol=1e-6)
    assert abp.load_experiment("regimes").projections is None


@pytest.mark.parametrize("variant", records.EXERCISE_VARIANTS)
def test_pictures_are_those_of_the_record(variant):
    """The errors of the reconstructions are those that were measured, but for what a JPEG file loses: about 0.01."""
    experiment = abp.load_experiment("exercise")
    pictures = experiment.pictures((variant, 0))
    assert {name: part.shape for name, part in pictures.items()} == {
        "reconstructions": (11, 64, 64, 3),
        "draws": (13, 64, 64, 3),
        "panel": (64, 64, 64, 3),
    }
    learned = experiment.splits((variant, 0))["learned"].images
    errors = np.mean((pictures["reconstructions"] - learned) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(errors, experiment.results[variant, 0]["errors"], atol=0.03)


def test_an_unknown_name_is_answered_with_those_that_there_are():
    with pytest.raises(ValueError, match="no experiment is called 'masks'.*'incomplete'"):
        abp.load_experiment("masks")
    experiment = abp.load_experiment("incomplete")
    with pytest.raises(ValueError, match="'incomplete' has no run 'P.8'.*'P.7'.*'projections'"):
        experiment.splits("P.8")
    with pytest.raises(ValueError, match="no pictures of the run 'P.5' are on file"):
        experiment.pictures("P.5")
    with pytest.raises(ValueError, match="no pictures of the run .'cured', 1. are on file"):
        abp.load_experiment("exercise").pictures(("cured", 1))
    with pytest.raises(ValueError, match="no generator of the run 'P.5' is on file.*'P.7', 'projections'"):
        experiment.generator("P.5")


def test_a_missing_record_is_said_with_what_is_there_and_what_to_do(tmp_path, monkeypatch):
    source = abp.data.data_folder() / "experiments"
    monkeypatch.setattr(records, "data_folder", lambda: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"regimes.json; records that are there: none\. Install"):
        abp.load_experiment("regimes")
    (tmp_path / "experiments").mkdir()
    shutil.copy(source / "whitening.json", tmp_path / "experiments")
    with pytest.raises(FileNotFoundError, match="there: whitening.json.*make experiments"):
        abp.load_experiment("regimes")
    with pytest.raises(ValueError, match="with_whitening.safetensors"):
        abp.load_experiment("whitening").generator("with")

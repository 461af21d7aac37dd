"""The experiments: records that are never half-written, and what is learned and measured."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import abp_jax as abp
from abp_jax.training import records
from experiments import against_pca, binary, exercise, incomplete, recipe, regimes, whitening
from experiments.__main__ import EXPERIMENTS, forget
from experiments.records import Records

ROOT = Path(__file__).parents[2]


def test_a_finished_run_is_not_run_again_unless_its_settings_changed(tmp_path):
    runs = []
    result = lambda value: lambda: runs.append(value) or {"error": value}
    records = Records("trial", tmp_path)
    assert records.once("a", {"d": 2, "sizes": (1, 2)}, result(0.5)) == {"error": 0.5}
    assert Records("trial", tmp_path).once("a", {"d": 2, "sizes": (1, 2)}, result(0.6)) == {"error": 0.5}
    assert records.once("a", {"d": 3, "sizes": (1, 2)}, result(0.7)) == {"error": 0.7}
    assert runs == [0.5, 0.7]
    assert [f.name for f in tmp_path.iterdir()] == ["trial.json"]
    with pytest.raises(KeyboardInterrupt):
        records.once("b", {}, interrupted)
    assert list(json.loads((tmp_path / "trial.json").read_text("utf-8"))) == ["a"]


def interrupted():
    raise KeyboardInterrupt


def shipped(experiment):
    return Records(experiment).runs


def test_shipped_records_are_of_the_present_settings():
    for name, settings in regimes.REGIMES.items():
        assert shipped("regimes")[name]["settings"] == settings | {"images": records.NUM_IMAGES[name]}
    for name in ("with", "without"):
        assert shipped("whitening")[name]["settings"] == whitening.SETTINGS
    expected = dict.fromkeys(records.MASKS, incomplete.SETTINGS | incomplete.CHOICES)
    expected |= {"projections": incomplete.SETTINGS | {"last_sigma": incomplete.PROJECTIONS_SIGMA}}
    found = {name: run["settings"] for name, run in shipped("incomplete").items()}
    assert found == json.loads(json.dumps(expected))
    assert list(shipped("against_pca")) == list(records.AGAINST_PCA.values())
    for (d, _), name in records.AGAINST_PCA.items():
        expected = against_pca.SETTINGS | {"last_sigma": against_pca.LAST_SIGMA[d]}
        assert shipped("against_pca")[name]["settings"] == expected
    expected = {name: json.loads(json.dumps(settings)) for name, (*_, settings) in binary.runs().items()}
    assert {name: run["settings"] for name, run in shipped("binary").items()} == expected
    assert list(shipped("exercise")) == list(records.EXERCISE.values())
    for (variant, _), name in records.EXERCISE.items():
        expected = exercise.SIZES | exercise.VARIANTS[variant] | dict(num_iterations=600)
        assert shipped("exercise")[name]["settings"] == expected


def test_what_the_notebooks_conclude_is_what_was_measured():
    for d in records.LATENT_DIMS:
        runs = [abp.load_experiment("against_pca").results[d, seed] for seed in records.SEEDS]
        ratios = np.array([run["test"] / run["pca test"] for run in runs])
        assert ratios.max() <= (0.7 if d == 200 else 0.55)
    experiment = abp.load_experiment("incomplete")
    for name in experiment.masks:
        result = experiment.results[name]
        for split in ("train", "test"):
            ours = np.array(result["generator"][split])
            for other in ("pca", "nearest neighbour", "mean image"):
                gain = ours - result[other][split]
                assert len(gain) == {"train": 200, "test": 500}[split]
                assert gain.mean() < 0
                assert split == "test" or gain.mean() < -2 * gain.std(ddof=1) / len(gain) ** 0.5
    last = {name: result["curve"][-1] for name, result in abp.load_experiment("regimes").results.items()}
    mean = {name: [point[kind]["mean"] for kind in ("train", "test", "negative")] for name, point in last.items()}
    assert mean["overfitting"][1] > 60 * mean["overfitting"][0]
    assert mean["good"][1] < 1.17 * mean["good"][0] and mean["good"][2] > 3 * mean["good"][1]
    assert mean["underfitting"][1] < 1.15 * mean["underfitting"][0] and mean["underfitting"][0] > 3 * mean["good"][0]


def test_what_the_page_of_the_exercise_concludes_is_what_was_measured():
    results = abp.load_experiment("exercise").results
    error = {run: np.median(result["losses"][-50:]) for run, result in results.items()}
    at_300 = {run: np.median(result["losses"][250:300]) for run, result in results.items()}
    z = {run: result["z"]["root mean square"][-1] for run, result in results.items()}
    white = np.mean((1 - abp.load_lion_tiger()) ** 2)
    assert abs(np.median(results["as posed", 1]["losses"][50:100]) - white) < 2e-4  # one seed of two learns nothing
    assert error["as posed", 1] > 0.5 > 0.1 > error["as posed", 0]
    for seed in (0, 1):
        assert 0.03 < at_300["averaged", seed] < error["averaged", seed] < 0.1  # more iterations do not help
        assert 2 < z["as posed", seed] / z["averaged", seed] < 5
        assert at_300["without whitening", seed] < at_300["averaged", seed] / 5
        assert error["without whitening", seed] < error["averaged", seed] / 25
        assert 0.8 < error["cured", seed] / error["without whitening", seed] < 1
        assert 4.5 < z["without whitening", seed] < 6 and z["cured", seed] == pytest.approx(1, abs=1e-3)


@pytest.mark.slow
def test_the_exercise_runs_at_another_size(tmp_path):
    exercise.exercise(image_size=8, width=2, num_iterations=20, folder=tmp_path)
    runs = json.loads((tmp_path / "exercise.json").read_text("utf-8"))
    assert list(runs) == list(records.EXERCISE.values())
    for run in runs.values():
        assert len(run["result"]["losses"]) == 20 and run["result"]["diverged"] is None
        assert run["result"]["z"]["iterations"] == [0, 10, 20]
        assert run["result"]["largest stable steps"]["iterations"] == [0]
    assert {path.name for path in tmp_path.glob("*.jpg")} == set(records.EXERCISE_PICTURES.values())


def test_the_shipped_generator_has_the_error_that_its_record_says():
    experiment = abp.load_experiment("regimes")
    generator, _ = experiment.generator("good")
    images = regimes.measured("good")["test"][:50]
    errors = recipe.error(generator, recipe.descend(generator, images, num_steps=50), images)
    recorded = experiment.results["good"]["curve"][-1]["test"]
    mean, standard_error = recipe.mean_and_error(errors)
    assert abs(mean - recorded["mean"]) < 4 * np.hypot(standard_error, recorded["standard error"])


def test_sigma_falls_and_then_stays():
    sigma = recipe.falling_sigma(400, 0.1)
    assert float(sigma(0)) == pytest.approx(2.0)
    assert float(sigma(150)) == pytest.approx(2.0 * (0.1 / 2.0) ** 0.5, rel=1e-4)
    assert float(sigma(300)) == float(sigma(399)) == pytest.approx(0.1)


def test_held_out_clothes_are_not_learned():
    learned = records.regimes_splits("underfitting")["learned"].images
    assert len(learned) == 20_000
    kinds = regimes.measured("overfitting")
    flat = {image.tobytes() for image in np.int8(np.rint(learned * 127))}
    mirrored = np.concatenate([kinds["test"], kinds["test"][:, :, ::-1]])
    assert not any(image.tobytes() in flat for image in np.int8(np.rint(mirrored * 127)))
    assert all(image.tobytes() in flat for image in np.int8(np.rint(kinds["train"] * 127)))
    assert [len(images) for images in kinds.values()] == [100, 200, 200]


def test_what_is_chosen_is_chosen_on_validation_images():
    splits, observed = records.incomplete_splits("a third"), 3.0
    sizes = {name: len(split.images) for name, split in splits.items()}
    assert sizes == {"learned": 1000, "train": 200, "validation": 200, "test": 500}
    flat = {name: {image.tobytes() for image in split.images} for name, split in splits.items()}
    assert flat["train"] < flat["learned"]
    assert not (flat["learned"] & flat["validation"] or flat["learned"] & flat["test"])
    assert not flat["validation"] & flat["test"]

    def off_by(errors):  # what is observed does not count
        return lambda split: np.where(
            split.observed[..., None], observed, split.images + errors[next(k for k, s in splits.items() if s is split)]
        )

    better_in_the_test = off_by({"train": 0.1, "validation": 0.2, "test": 0.0})
    better_in_validation = off_by({"train": 0.4, "validation": 0.1, "test": 0.3})
    best = incomplete.best_measured({"a": better_in_the_test, "b": better_in_validation}, splits)
    assert best["chosen"] == "b"
    assert best["validation"] == pytest.approx({"a": 0.04, "b": 0.01}, rel=1e-4)
    np.testing.assert_allclose(best["train"], np.full(200, 0.16), rtol=1e-4)
    np.testing.assert_allclose(best["test"], np.full(500, 0.09), rtol=1e-4)


def test_least_squares_has_the_projections_and_is_the_nearest_to_black():
    A, images = records.projections().astype(float), abp.load_fashion_mnist(5).reshape(5, -1)
    found = incomplete.nearest_to_black(images @ A.T, A)
    np.testing.assert_allclose(found @ A.T, images @ A.T, atol=1e-5)
    along = np.random.default_rng(0).normal(size=1024)
    along -= A.T @ (A @ along)  # a direction that is not measured
    np.testing.assert_allclose((found + 1) @ along, 0, atol=1e-4)
    np.testing.assert_allclose(incomplete.nearest_to_black(-A.sum(axis=1)[None], A), -1, atol=1e-6)


def test_models_of_bits_are_measured_by_their_test_images():
    independent = binary.run("digits", "independent pixels", 0, {})
    np.testing.assert_allclose(independent["test"], [-25.20, 0.22], atol=0.01)
    settings = dict(hidden=4, method="pcd", learning_rate=0.2, steps=500)
    machine = binary.run("digits", "RBM 4", 0, settings)
    assert independent["test"][0] + 1 < machine["test"][0] < -18
    np.testing.assert_allclose(machine["annealed"], machine["log Z"], atol=0.1)
    chain = binary.run("digits", "chain", 0, dict(learning_rate=3e-3, num_epochs=2))
    assert chain["epochs"] == 2 and 64 * np.log(0.5) < chain["test"][0] < -18  # better than coins


def test_annealed_importance_sampling_on_record_holds_the_exact_log_z():
    results = [run["result"] for run in shipped("binary").values() if run["settings"].get("hidden") in (16, 20)]
    assert len(results) == 12
    for result in results:
        log_z, (below, above) = result["log Z"][0], result["mean logs"]
        assert below <= log_z <= above
        np.testing.assert_allclose(result["annealed"], log_z, atol=0.1)


def test_again_forgets_one_experiment_and_no_other(tmp_path):
    names = ["with whitening, 16 wide", "without whitening, 16 wide", "regime good, 16 wide", "incomplete P.5, 16 wide"]
    for name in names:
        (tmp_path / "checkpoints" / name / "600").mkdir(parents=True)
    (tmp_path / "checkpoints" / "regimes_points.json").touch()
    for experiment in EXPERIMENTS:
        (tmp_path / f"{experiment}.json").touch()
    (tmp_path / "one_table.npz").touch()
    left = lambda: sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    forget("regimes", tmp_path, tmp_path / "checkpoints")
    assert left() == sorted(name for name in names if "regime" not in name)
    forget("whitening", tmp_path, tmp_path / "checkpoints")
    assert left() == ["incomplete P.5, 16 wide"]
    records_left = sorted(path.stem for path in tmp_path.glob("*.json"))
    assert records_left == sorted(set(EXPERIMENTS) - {"regimes", "whitening"})
    forget("one_table", tmp_path, tmp_path / "checkpoints")
    assert not list(tmp_path.glob("one_table*"))
    forget("whitening", tmp_path, tmp_path / "checkpoints")  # nothing there: nothing to do


@pytest.mark.slow
def test_ctrl_c_leaves_a_checkpoint_and_no_result(tmp_path):
    program = f"""
import sys
from pathlib import Path
from experiments import recipe
from experiments.records import Records
from abp_jax import load_fashion_mnist

recipe.CHECKPOINTS = Path({str(tmp_path / "checkpoints")!r})
settings = dict(latent_dim=4, width=1, num_iterations=int(sys.argv[1]), num_steps=5, last_sigma=0.3)
learned = lambda: recipe.learn("trial", load_fashion_mnist(100), **settings)
Records("trial", Path({str(tmp_path)!r})).once("run", settings, lambda: {{"error": float(learned().losses[-1])}})
"""
    command = [sys.executable, "-c", program, "1000000"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    bar = ""
    while not re.search(r"\| [1-9]\d+/1000000", bar):  # the bar is written over itself, without line ends
        piece = process.stdout.read(20)
        assert piece, process.stderr.read()
        bar += piece
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=120)
    assert process.returncode != 0 and "KeyboardInterrupt" in errors
    assert "Stopped after" in rest
    assert not (tmp_path / "trial.json").exists()
    (folder,) = (tmp_path / "checkpoints").iterdir()
    assert len(list(folder.iterdir())) > 0

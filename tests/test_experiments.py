"""The experiments: records that are never half-written, and what is learned and measured."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from flax import nnx

import abp_jax as abp
from experiments import against_pca, incomplete, recipe, regimes, whitening
from experiments.records import FOLDER, Records

ROOT = Path(__file__).parent.parent


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
    for name, (num, settings) in regimes.REGIMES.items():
        assert shipped("regimes")[name]["settings"] == settings | {"images": num}
    for name in ("with", "without"):
        assert shipped("whitening")[name]["settings"] == whitening.SETTINGS
    for name, last_sigma in incomplete.LAST_SIGMA.items():
        expected = incomplete.SETTINGS | {"last_sigma": last_sigma}
        found = shipped("incomplete")[name]["settings"]
        assert {key: found[key] for key in expected} == expected
    runs = {f"against_pca d={d} seed={seed}": d for d in against_pca.LATENT_DIMS for seed in against_pca.SEEDS}
    assert shipped("against_pca").keys() == runs.keys()
    for name, d in runs.items():
        expected = against_pca.SETTINGS | {"last_sigma": against_pca.LAST_SIGMA[d]}
        assert shipped("against_pca")[name]["settings"] == expected


def test_what_the_notebooks_conclude_is_what_was_measured():
    for d in against_pca.LATENT_DIMS:
        runs = [shipped("against_pca")[f"against_pca d={d} seed={seed}"]["result"] for seed in against_pca.SEEDS]
        ratios = np.array([run["test"] / run["pca test"] for run in runs])
        assert ratios.max() < 1
        assert d > 20 or ratios.mean() <= 0.8
    for name in incomplete.MASKS:
        result = shipped("incomplete")[name]["result"]
        for split in ("train", "test"):
            assert result["generator"][split] < min(errors[split] for errors in result["pca"].values())
            assert result["generator"][split] < result["nearest neighbour"][split]
    last = {name: run["result"]["curve"][-1] for name, run in shipped("regimes").items()}
    mean = {name: [point[kind]["mean"] for kind in ("train", "test", "negative")] for name, point in last.items()}
    assert mean["overfitting"][1] > 3 * mean["overfitting"][0]
    assert mean["good"][1] < 1.15 * mean["good"][0] and mean["good"][2] > 3 * mean["good"][1]
    assert mean["underfitting"][1] < 1.15 * mean["underfitting"][0] and mean["underfitting"][0] > 3 * mean["good"][0]


def test_the_shipped_generator_has_the_error_that_its_record_says():
    settings = shipped("regimes")["good"]["settings"]
    blank = abp.ConvGenerator(settings["latent_dim"], 32, settings["width"], 1, rngs=nnx.Rngs(0))
    generator, _ = abp.load_generator(FOLDER / "good_generator.safetensors", blank)
    images = regimes.measured(settings["images"])["test"][:50]
    errors = recipe.error(generator, recipe.descend(generator, images, num_steps=50), images)
    recorded = shipped("regimes")["good"]["result"]["curve"][-1]["test"]
    mean, standard_error = recipe.mean_and_error(errors)
    assert abs(mean - recorded["mean"]) < 4 * np.hypot(standard_error, recorded["standard error"])


def test_sigma_falls_and_then_stays():
    sigma = recipe.falling_sigma(400, 0.1)
    assert float(sigma(0)) == pytest.approx(2.0)
    assert float(sigma(150)) == pytest.approx(2.0 * (0.1 / 2.0) ** 0.5, rel=1e-4)
    assert float(sigma(300)) == float(sigma(399)) == pytest.approx(0.1)


def test_held_out_clothes_are_not_learned():
    learned, kinds = regimes.clothes(20_000), regimes.measured(100)
    flat = {image.tobytes() for image in np.int8(np.rint(learned * 127))}
    mirrored = np.concatenate([kinds["test"], kinds["test"][:, :, ::-1]])
    assert not any(image.tobytes() in flat for image in np.int8(np.rint(mirrored * 127)))
    assert all(image.tobytes() in flat for image in np.int8(np.rint(kinds["train"] * 127)))
    assert [len(images) for images in kinds.values()] == [100, 200, 200]


def test_ctrl_c_leaves_a_checkpoint_and_no_result(tmp_path):
    program = f"""
import sys
from pathlib import Path
from experiments import recipe
from experiments.records import Records
from abp_jax import load_clothes

recipe.CHECKPOINTS = Path({str(tmp_path / "checkpoints")!r})
settings = dict(latent_dim=4, width=1, num_iterations=int(sys.argv[1]), num_steps=5, last_sigma=0.3)
learned = lambda: recipe.learn("trial", load_clothes(100), **settings)
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

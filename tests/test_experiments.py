"""The experiments' own parts: records that are never half-written, and baselines that do what they say."""

import json

import numpy as np
import pytest

from experiments import recipe, regimes
from experiments.missing_pca import MissingPCA, nearest_neighbour
from experiments.records import Records


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


@pytest.fixture(scope="module")
def low_rank():
    """Rows of rank 3 with noise of .1, and which of their numbers are seen."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 40)) + 2 + 0.1 * rng.normal(size=(400, 40))
    return rows, rng.random(rows.shape) < 0.5


def test_pca_with_missing_data_recovers_a_low_rank(low_rank):
    rows, seen = low_rank
    rows = rows / np.abs(rows).max()  # images lie in [-1, 1]
    pca = MissingPCA(np.where(seen, rows, np.nan), seen, 3)
    recovered = pca.recover(np.where(seen, rows, np.nan), seen)
    assert np.mean((recovered - rows)[~seen] ** 2) < 0.02 * rows.var()


def test_pca_with_everything_seen_is_pca(low_rank):
    from sklearn.decomposition import PCA

    rows = low_rank[0] / np.abs(low_rank[0]).max()
    everything = np.ones(rows.shape, bool)
    ours = MissingPCA(rows, everything, 3, num_rounds=300)
    theirs = PCA(3).fit(rows)
    np.testing.assert_allclose(ours.variance, theirs.noise_variance_, rtol=0.1)
    by_theirs = theirs.inverse_transform(theirs.transform(rows))
    np.testing.assert_allclose(ours.recover(rows, everything), by_theirs, atol=0.01)


def test_nearest_neighbour_takes_what_its_neighbours_show():
    library = np.array([[0.0, 0.0, 0.1, 0.2], [1.0, 1.0, 0.9, 0.8]])
    library_seen = np.array([[True, True, True, False], [True, True, True, True]])
    rows, seen = np.array([[0.1, 0.0, 9.0, 9.0]]), np.array([[True, True, False, False]])
    filled = nearest_neighbour(rows, seen, library, library_seen)
    np.testing.assert_array_equal(filled, [[0.1, 0.0, 0.1, 0.8]])  # the last one from the second nearest
    itself = nearest_neighbour(library, library_seen, library, library_seen, same=True)
    np.testing.assert_array_equal(itself, [[0.0, 0.0, 0.1, 0.8], [1.0, 1.0, 0.9, 0.8]])


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

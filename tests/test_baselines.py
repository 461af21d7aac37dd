"""What the generator is compared with must itself be right: against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from abp_jax.baselines import missing_pca, nearest_neighbour


@pytest.fixture(scope="module")
def low_rank():
    """Rows of rank 3 with noise of .1, and which of their numbers are seen."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 40)) + 2 + 0.1 * rng.normal(size=(400, 40))
    return rows, rng.random(rows.shape) < 0.5


def test_pca_with_missing_data_recovers_a_low_rank(low_rank):
    rows, seen = low_rank
    rows = rows / np.abs(rows).max()  # images lie in [-1, 1]
    pca = missing_pca(np.where(seen, rows, np.nan), seen, 3)
    recovered = pca.recover(np.where(seen, rows, np.nan), seen)
    assert np.mean((recovered - rows)[~seen] ** 2) < 0.02 * rows.var()


def test_pca_with_everything_seen_is_pca(low_rank):
    rows = low_rank[0] / np.abs(low_rank[0]).max()
    everything = np.ones(rows.shape, bool)
    ours = missing_pca(rows, everything, 3, num_rounds=300)
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

"""What the generator is compared with must itself be right: against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from abp_jax.evaluation.baselines import MissingPCA, missing_pca, nearest_neighbour


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


@pytest.fixture(scope="module")
def noisy():
    """Rows of rank 1 with a mean and a noise of .5, and which of their numbers are seen."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(300, 1)) @ np.array([[1.0, -0.8, 0.6, 0.4, -0.5]]) + 0.3 + 0.5 * rng.normal(size=(300, 5))
    return rows, rng.random(rows.shape) < 0.6


def log_likelihood(pca, rows, seen):
    """Of what is seen, up to a constant: each row is normal with covariance W W' + s^2 I."""
    covariance, total = pca.loading @ pca.loading.T + pca.variance * np.eye(rows.shape[1]), 0.0
    for row, mask in zip(rows, seen, strict=True):
        error, of_seen = (row - pca.mean)[mask], covariance[np.ix_(mask, mask)]
        total -= 0.5 * (error @ np.linalg.solve(of_seen, error) + np.linalg.slogdet(of_seen)[1])
    return total


def test_em_ends_where_what_is_seen_is_most_likely(noisy):
    pca = missing_pca(*noisy, 1, num_rounds=300)
    highest = log_likelihood(pca, *noisy)
    for name, values in {
        "variance": (0.9 * pca.variance, 1.1 * pca.variance),
        "mean": (pca.mean - 0.05, pca.mean + 0.05),
        "loading": (0.95 * pca.loading, 1.05 * pca.loading),
    }.items():
        for value in values:
            assert log_likelihood(pca._replace(**{name: value}), *noisy) < highest


def test_posterior_is_that_of_the_seen_numbers_and_recovery_stays_in_range(noisy):
    rows, seen = (array[:9] for array in noisy)
    loading = np.array([[1.0, -0.8, 0.6, 0.4, -0.5], [0.2, 0.1, -0.7, 0.9, 0.3]]).T
    pca = MissingPCA(loading, np.full(5, 0.3), 0.25)
    mean, covariance = pca.posterior(rows, seen)
    for i in range(9):
        of_seen = loading[seen[i]]
        expected = np.linalg.inv(of_seen.T @ of_seen / 0.25 + np.eye(2))
        np.testing.assert_allclose(covariance[i], expected)
        np.testing.assert_allclose(mean[i], expected @ of_seen.T @ (rows[i] - 0.3)[seen[i]] / 0.25)
    far = pca.recover(100 * rows, seen)
    assert far.min() == -1 and far.max() == 1


def test_the_mean_is_that_of_all_rows_and_not_of_those_where_it_is_seen():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(2000, 1)) @ np.array([[0.5, 0.5, 0.5]]) + 0.1 * rng.normal(size=(2000, 3))
    seen = np.ones(rows.shape, bool)
    seen[:, 2] = rows[:, 0] < 0
    np.testing.assert_allclose(missing_pca(rows, seen, 1, num_rounds=300).mean, 0, atol=0.05)


def test_a_number_that_is_never_seen_has_no_loading(noisy):
    rows, seen = noisy[0], noisy[1].copy()
    seen[:, 2] = False
    pca = missing_pca(rows, seen, 1)
    np.testing.assert_allclose(pca.loading[2], 0, atol=1e-9)
    assert np.isfinite(pca.recover(rows, seen)).all()


def test_rows_and_what_is_seen_must_have_one_shape():
    with pytest.raises(ValueError, match=r"rows \(4, 3\) and seen \(4, 2\) must have the same shape"):
        missing_pca(np.zeros((4, 3)), np.ones((4, 2), bool), 1)


def test_nearest_neighbour_takes_what_its_neighbours_show():
    library = np.array([[0.0, 0.0, 0.1, 0.2], [1.0, 1.0, 0.9, 0.8]])
    library_seen = np.array([[True, True, True, False], [True, True, True, True]])
    rows, seen = np.array([[0.1, 0.0, 9.0, 9.0]]), np.array([[True, True, False, False]])
    filled = nearest_neighbour(rows, seen, library, library_seen)
    np.testing.assert_array_equal(filled, [[0.1, 0.0, 0.1, 0.8]])  # the last one from the second nearest
    itself = nearest_neighbour(library, library_seen, library, library_seen, same=True)
    np.testing.assert_array_equal(itself, [[0.0, 0.0, 0.1, 0.8], [1.0, 1.0, 0.9, 0.8]])


def test_nearest_neighbour_by_a_loop_over_pairs():
    rng = np.random.default_rng(2)
    rows, library = rng.normal(size=(40, 12)), rng.normal(size=(30, 12))
    seen, library_seen = rng.random((40, 12)) < 0.5, rng.random((30, 12)) < 0.5
    library_seen[:, 5], library_seen[0, 1:] = False, False  # a number that no row has; a row with one number at most
    filled = nearest_neighbour(rows, seen, library, library_seen)
    for i in range(40):
        both = seen[i] & library_seen
        distances = [np.mean((rows[i] - library[j])[both[j]] ** 2) if both[j].any() else np.inf for j in range(30)]
        order = np.argsort(distances, kind="stable")
        for c in range(12):
            found = [library[j, c] for j in order if library_seen[j, c]]
            assert filled[i, c] == (rows[i, c] if seen[i, c] else found[0] if found else -1.0)


def test_a_row_of_the_library_does_not_fill_itself():
    rows, seen = np.random.default_rng(0).normal(size=(5, 3)), np.ones((5, 3), bool)
    seen[:, 2] = False
    filled = nearest_neighbour(rows, seen, rows, np.ones((5, 3), bool), same=True)
    assert not np.any(filled[:, 2] == rows[:, 2])

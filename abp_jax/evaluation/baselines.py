"""What fills in hidden pixels without a generator: PCA with missing data, and neighbours. Images are rows (n, D)."""

from typing import NamedTuple

import numpy as np


class MissingPCA(NamedTuple):
    """Probabilistic PCA, y = W z + m + e with z ~ N(0, I) and e ~ N(0, s^2 I), for rows of which a part is seen.

    Attributes:
      loading: W, (D, d).
      mean: m, (D,).
      variance: s^2.
    """

    loading: np.ndarray
    mean: np.ndarray
    variance: float

    def posterior(self, rows: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns mean (n, d) and covariance (n, d, d) of z given the numbers of rows (n, D) where `seen` is True."""
        d = self.loading.shape[1]
        precision = (seen.astype(float) @ _outer(self.loading)).reshape(-1, d, d) / self.variance + np.eye(d)
        covariance = np.linalg.inv(precision)
        pull = np.where(seen, rows - self.mean, 0.0) @ self.loading / self.variance
        return np.einsum("nij,nj->ni", covariance, pull), covariance

    def recover(self, rows: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Returns the whole rows that are expected given what is seen, within [-1, 1]: (n, D)."""
        return np.clip(self.posterior(rows, seen)[0] @ self.loading.T + self.mean, -1, 1)


def missing_pca(rows: np.ndarray, seen: np.ndarray, num_components: int, num_rounds: int = 60) -> MissingPCA:
    """Learns PCA from rows of which only a part is seen, by EM (Ilin and Raiko, JMLR 2010).

    The E step is the exact posterior of z given what is seen of each row; the M step a regression for each column over
    the rows where it is seen.

    Args:
      rows: (n, D) in [-1, 1]; what is hidden may be anything.
      seen: (n, D), bool.
      num_components: d.
      num_rounds: of EM.

    Raises:
      ValueError: rows and seen differ in shape.
    """
    if rows.shape != seen.shape:
        raise ValueError(f"rows {rows.shape} and seen {seen.shape} must have the same shape (n, D).")
    n, d, weights, y = len(rows), num_components, seen.astype(float), np.where(seen, rows, 0.0)
    mean = y.sum(axis=0) / np.maximum(1, weights.sum(axis=0))
    variance = float(np.sum(weights * (y - mean) ** 2) / weights.sum())
    pca = MissingPCA(0.1 * np.random.default_rng(0).normal(size=(rows.shape[1], d)), mean, variance)
    for _ in range(num_rounds):
        z, covariance = pca.posterior(rows, seen)
        with_one = np.concatenate([z, np.ones((n, 1))], axis=1)  # the mean is one more column of W
        moments = _outer(with_one).reshape(n, d + 1, d + 1)
        moments[:, :d, :d] += covariance
        left = np.tensordot(weights.T, moments, axes=1) + 1e-3 * np.eye(d + 1)  # (D, d + 1, d + 1)
        solution = np.linalg.solve(left, (y.T @ with_one)[..., None])[..., 0]
        loading, mean = solution[:, :d], solution[:, d]
        spread = covariance.reshape(n, -1) @ _outer(loading).T  # of W z around its mean: (n, D)
        squares = weights * ((y - z @ loading.T - mean) ** 2 + spread)
        pca = MissingPCA(loading, mean, max(1e-6, float(squares.sum() / weights.sum())))
    return pca


def _outer(rows: np.ndarray):
    """Each row's products with itself: (n, d) to (n, d * d)."""
    return (rows[:, :, None] * rows[:, None, :]).reshape(len(rows), -1)


def nearest_neighbour(
    rows: np.ndarray, seen: np.ndarray, library: np.ndarray, library_seen: np.ndarray, same: bool = False
) -> np.ndarray:
    """Fills each row from rows of the library that are near it, by the mean square over what is seen of both.

    A hidden pixel takes the value of the nearest row in which it is seen, or -1 if there is none. Rows of the library
    that share no seen pixel with it come last.

    Args:
      rows: (n, D) in [-1, 1]; what is hidden may be anything.
      seen: (n, D), bool.
      library: (m, D).
      library_seen: (m, D), bool.
      same: row i is row i of the library, and does not fill itself.

    Returns:
      (n, D), where it is seen as it was.
    """
    weights, others = seen.astype(np.float64), library_seen.astype(np.float64)
    y, x = np.where(seen, rows, 0.0), np.where(library_seen, library, 0.0)
    squares = (y**2) @ others.T - 2 * y @ x.T + weights @ (x**2).T
    shared = weights @ others.T
    distances = np.where(shared > 0, squares / np.maximum(1, shared), np.inf)
    if same:
        np.fill_diagonal(distances, np.inf)
    order, filled = np.argsort(distances, axis=1, kind="stable"), np.where(seen, rows, np.nan)
    for i in range(len(rows)):
        for j in order[i]:
            missing = np.isnan(filled[i])
            if not missing.any():
                break
            filled[i, missing & library_seen[j]] = library[j, missing & library_seen[j]]
    return np.where(np.isnan(filled), -1.0, filled)

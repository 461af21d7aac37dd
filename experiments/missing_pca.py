"""What has no generator in it: PCA with missing data, and the nearest neighbour. Images are rows (n, D) here."""

import numpy as np


class MissingPCA:
    """Probabilistic PCA learned from rows of which only a part is seen, by EM (Ilin and Raiko, JMLR 2010).

    y = W z + m + e with e ~ N(0, s^2 I): the E step is the exact posterior of z given what is seen of the row, the M
    step a regression for each pixel over the rows where it is seen. A pixel that is never seen keeps the prior's 0.

    Args:
      rows: (n, D).
      seen: (n, D), bool.
      num_components: d.
      num_rounds: of EM.
    """

    def __init__(self, rows: np.ndarray, seen: np.ndarray, num_components: int, num_rounds: int = 60):
        rng, weights = np.random.default_rng(0), seen.astype(np.float64)
        y = np.where(seen, rows, 0.0)
        self.mean = y.sum(axis=0) / np.maximum(1, weights.sum(axis=0))
        self.loading = rng.normal(size=(rows.shape[1], num_components)) * 0.1
        self.variance = float(np.sum(weights * (y - self.mean) ** 2) / weights.sum())
        for _ in range(num_rounds):
            z, covariance = self.posterior(rows, seen)
            second = covariance + z[:, :, None] * z[:, None, :]  # E zz'
            extended = np.concatenate([z, np.ones((len(z), 1))], axis=1)
            d = num_components
            moments = np.zeros((len(z), d + 1, d + 1))
            moments[:, :d, :d], moments[:, d, :], moments[:, :, d] = second, extended, extended
            left = np.tensordot(weights.T, moments, axes=1) + 1e-3 * np.eye(d + 1)  # (D, d + 1, d + 1)
            solution = np.linalg.solve(left, (y.T @ extended)[..., None])[..., 0]
            self.loading, self.mean = solution[:, :d], solution[:, d]
            errors = weights * (y - z @ self.loading.T - self.mean) ** 2
            spread = np.einsum("pi,nij,pj->np", self.loading, covariance, self.loading, optimize=True)
            self.variance = max(1e-6, float(np.sum(errors + weights * spread) / weights.sum()))

    def posterior(self, rows: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns mean (n, d) and covariance (n, d, d) of z given what is seen."""
        weights, d = seen.astype(np.float64), self.loading.shape[1]
        outer = (self.loading[:, :, None] * self.loading[:, None, :]).reshape(-1, d * d)
        precision = (weights @ outer).reshape(-1, d, d) / self.variance + np.eye(d)
        covariance = np.linalg.inv(precision)
        pull = np.where(seen, rows - self.mean, 0.0) @ self.loading / self.variance
        return np.einsum("nij,nj->ni", covariance, pull), covariance

    def recover(self, rows: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Returns the whole rows that are expected given what is seen: (n, D)."""
        return np.clip(self.posterior(rows, seen)[0] @ self.loading.T + self.mean, -1, 1)


def nearest_neighbour(
    rows: np.ndarray, seen: np.ndarray, library: np.ndarray, library_seen: np.ndarray, same: bool = False
) -> np.ndarray:
    """Fills each row from rows of the library that are near it, by the mean square over what is seen of both.

    A hidden pixel takes the value of the nearest row in which it is seen. With same=True the library are the rows
    themselves, and none fills itself.
    """
    weights, others = seen.astype(np.float64), library_seen.astype(np.float64)
    y, x = np.where(seen, rows, 0.0), np.where(library_seen, library, 0.0)
    squares = (y**2) @ others.T - 2 * y @ x.T + weights @ (x**2).T
    distances = squares / np.maximum(1, weights @ others.T)
    if same:
        np.fill_diagonal(distances, np.inf)
    order, filled = np.argsort(distances, axis=1), np.where(seen, rows, np.nan)
    for i in range(len(rows)):
        for j in order[i]:
            missing = np.isnan(filled[i])
            if not missing.any():
                break
            filled[i, missing & library_seen[j]] = library[j, missing & library_seen[j]]
    return np.where(np.isnan(filled), -1.0, filled)

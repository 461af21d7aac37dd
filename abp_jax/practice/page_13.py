"""Exercises of page 13, against PCA: what principal components leave, by their exact errors on the page's images."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import jax
import numpy as np
from flax import nnx

from abp_jax import factor_analysis as fa
from abp_jax.generators import ConvGenerator
from abp_jax.practice.exercises import Function, Numbers, exercise
from abp_jax.training import records


class Components(NamedTuple):
    """What a split has: PCA of its learned images, and the others.

    Attributes:
      mean: (D,).
      directions: the first 300 right singular vectors, (300, D).
      variances: along all directions in which there is any, the largest first, (1000,).
      test: held-out images as rows, (300, D).
    """

    mean: np.ndarray
    directions: np.ndarray
    variances: np.ndarray
    test: np.ndarray

    def errors(self) -> np.ndarray:
        """Mean squared error on the held-out images with 0, 1, ... of the directions: (301,)."""
        centred = self.test - self.mean
        kept = np.sum((centred @ self.directions.T) ** 2, axis=0)
        return (np.sum(centred**2) - np.cumsum([0, *kept])) / self.test.size


@cache
def split(seed: int) -> Components:
    """PCA of the thousand images that the runs of a seed learned."""
    splits = records.against_pca_splits((20, seed))
    learned, test = (splits[part].images.reshape(-1, 1024).astype(float) for part in ("learned", "test"))
    mean = learned.mean(axis=0)
    centred = learned - mean
    squares, left = np.linalg.eigh(centred @ centred.T)
    squares, left = squares[::-1], left[:, :-301:-1]
    directions = left.T @ centred / np.sqrt(squares[:300, None])
    return Components(mean, directions, squares / 1000, test)


@exercise(
    "13.1",
    Numbers(0.002),
    'The error to match is `experiment.results[20, 1]["test"]`; mean, V and the 300 rows are those of '
    "`experiment.splits((20, 1))`.",
    "`needed` of the page, with this mean, V and rows, and this error in the place of `ours`.",
    "For n images the generator needs 85,953 + 20 n numbers and PCA 1,024 (k + 1) + k n. Solve for the n where the two "
    "are equal; it need not be whole.",
)
def columns_and_images() -> list[float]:
    """The columns that PCA needs to match the generator of split 1, and the images at which the numbers are equal."""
    to_match = records.load_experiment("against_pca").results[20, 1]["test"]
    columns = int(np.argmax(split(1).errors() <= to_match))
    network = nnx.eval_shape(lambda: ConvGenerator(20, 32, 16, 1, rngs=nnx.Rngs(0)))
    weights = sum(w.size for w in jax.tree.leaves(nnx.state(network)))
    return [columns, (weights - 1024 * (columns + 1)) / (columns - 20)]


@exercise(
    "13.2",
    Function([(20,), (60,), (100,), (200,)], Numbers(0.002)),
    "`np.linalg.svd` gives the singular values too, between the two sets of vectors; the page throws them away.",
    "The sum of all their squares is that of all numbers, less the mean image. How much of it do d of them take?",
    "The sum of the squares from the (d + 1)-th on, over 1000 * 1024.",
)
def error_from_singular_values() -> Callable:
    """A function of d: PCA's mean squared error on the thousand images of split 0 that it was learned from."""
    variances = split(0).variances
    return lambda d: float(variances[d:].sum() / split(0).mean.size)


@exercise(
    "13.3",
    Numbers(0.005),
    "`np.diff(images, axis=2)` gives the differences to the right neighbour, for images of shape (300, 32, 32, 1).",
    "Take the mean of their absolute values: of `test`, and of PCA's images with 20 and with 200 columns.",
    "`np.abs(np.diff(by_hand(rows).reshape(test.shape), axis=2)).mean()` is the second; the third has V[:200].",
)
def sharpness() -> list[float]:
    """The mean difference of neighbours in a row: of the 300 images of split 0, and of PCA with 20 and 200 columns."""
    mean, directions, _, test = split(0)
    by_pca = [mean + (test - mean) @ directions[:d].T @ directions[:d] for d in (20, 200)]
    return [float(np.abs(np.diff(rows.reshape(-1, 32, 32), axis=2)).mean()) for rows in (test, *by_pca)]


@exercise(
    "13.4",
    Numbers(0.005),
    "Work in one of the d directions, of variance c. There w^2 + sigma^2 = c, so that m is (1 - sigma^2 / c) times y.",
    "The mode loses (sigma^2 / c)^2 c, and the draw's own variance is w^2 sigma^2 / c = sigma^2 (1 - sigma^2 / c).",
    "The two add up to sigma^2 in every direction, whatever c is. There are d directions, and 1,024 numbers.",
)
def error_of_draws() -> list[float]:
    """How much a linear generator's draws lose against PCA on what was learned: d = 20, sigma = 0.15; 200 and 0.05."""
    variances, size = split(0).variances, split(0).mean.size
    lost = []
    for d, sigma in [(20, 0.15), (200, 0.05)]:
        c = variances[:d]
        w = np.sqrt(c - sigma**2)  # of the most likely generator: see page 01
        model = fa.FactorAnalysis(np.diag(w), np.zeros(d), sigma)
        means, covariance = jax.jit(fa.posterior)(model, np.diag(np.sqrt(c)))  # rows that have these variances together
        off = np.diag(np.sqrt(c)) - np.asarray(means) * w
        lost.append(float((np.sum(off**2) + np.sum(w**2 * np.diag(covariance))) / size))
    return lost

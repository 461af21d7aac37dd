"""Exercises of page 14, incomplete data: masks and projections of linear models, and the errors on record."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax import factor_analysis as fa
from abp_jax.practice.exercises import Function, Numbers, exercise
from abp_jax.training import records


@exercise(
    "14.1",
    Function([(0.0,), (0.5,), (0.7,), (0.9,), (1.0,)], Numbers(1e-3)),
    "The precision of z is |w|^2 / sigma^2 + 1 where all pixels are observed. Which of the two terms has the mask?",
    "Each observed pixel adds w_j^2 / sigma^2, and a missing one adds nothing.",
    "1 / (100 * (1 - share) + 1). The prior stays, whatever is missing.",
)
def variance_behind_a_mask() -> Callable:
    """A function of the missing share: the posterior variance of z, if all pixels together have precision 100."""

    @jax.jit
    def variance(num_observed: int) -> jax.Array:
        w = jnp.where(jnp.arange(100) < num_observed, 1.0, 0.0)
        return 1 / fa.posterior_precision(fa.FactorAnalysis(w[:, None], jnp.zeros(100), 1.0))[0, 0]

    return lambda share: float(variance(round(100 * (1 - share))))


@exercise(
    "14.2",
    Function([(1,), (2,), (10,), (100,)], Numbers(1e-3)),
    "Without noise, the truth and a draw are f at two draws of z from the same distribution, the posterior.",
    "Both are v away from the posterior mean, in squares, and independently: a single draw is 2 v away from the truth.",
    "The mean of K draws is v / K away from the posterior mean, and the truth v. The sum, over v, is 1 + 1 / K.",
)
def error_of_a_mean() -> Callable:
    """A function of K: the expected error of the mean of K draws, over that of the posterior mean."""

    @jax.jit
    def parts() -> tuple[jax.Array, jax.Array]:
        W = jnp.array([[1.6, 0.2], [0.9, -0.5], [0.3, 0.7], [-0.4, 0.8]])
        observed, missing = fa.FactorAnalysis(W[:2], jnp.zeros(2), 0.5), W[2:]
        A = fa.posterior(observed, jnp.eye(2)).mean.T  # the posterior mean is A y
        C = fa.posterior(observed, jnp.eye(2)).covariance
        off = missing @ (A @ W[:2] - jnp.eye(2)), 0.5 * missing @ A  # by which the mean errs: times z, times the noise
        return sum(jnp.sum(part**2) for part in off), jnp.trace(missing @ C @ missing.T)

    of_the_mean, spread = parts()
    return lambda num_draws: float((of_the_mean + spread / num_draws) / of_the_mean)


@exercise(
    "14.3",
    Numbers(0.01),
    "Paired is what `ratio` of the page computes, from the errors of the test images in `experiment.results`.",
    "With other images for PCA, the errors of the two means are independent: their variances add up, those of PCA "
    "times r squared.",
    "sqrt(var(ours) + r^2 var(theirs)) / sqrt(500) / mean(theirs), with variances over 499. Paired, take the variance "
    "of ours - r * theirs.",
)
def errors_of_a_ratio() -> list[float]:
    """Behind P.7, on test images: the standard error of generator over PCA, paired and if the images were others."""
    record = records.load_experiment("incomplete").results["P.7"]
    ours, theirs = (np.array(record[name]["test"]) for name in ("generator", "pca"))
    r = ours.mean() / theirs.mean()
    covariance = np.cov(ours, theirs) / len(ours)
    weights = np.array([1, -r]) / theirs.mean()  # the derivatives of the ratio in the two means
    return [float(np.sqrt(weights @ c @ weights)) for c in (covariance, np.diag(np.diag(covariance)))]


@exercise(
    "14.4",
    Function([(100,), (200,), (400,), (800,)], Numbers(0.005)),
    "Least squares finds of x - black the part in the measured directions, and sets the rest to zero.",
    "Of any fixed vector, random orthonormal directions, m of 1,024, hold on average the share m / 1,024.",
    "(1 - m / 1024) times the mean of (x + 1)^2 over the test images: black is -1.",
)
def least_squares_error() -> Callable:
    """A function of m: the expected error per pixel of least squares, from m random projections of the test images."""
    images = records.incomplete_splits("P.7")["test"].images
    above_black = float(np.mean((images + 1) ** 2))
    return lambda m: (1 - m / images[0].size) * above_black

"""Exercises of page 12, train, test, negative. The errors are those on record, which the page prints."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax import factor_analysis as fa
from abp_jax import model
from abp_jax.evaluation import lattice
from abp_jax.practice.exercises import Function, Numbers, exercise
from abp_jax.training.records import load_experiment


def last_errors(regime: str) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard errors of train, test and negative at the end of a training, (3,) each."""
    last = load_experiment("regimes").results[regime]["curve"][-1]
    return tuple(
        np.array([last[kind][of] for kind in ("train", "test", "negative")]) for of in ("mean", "standard error")
    )


@exercise(
    "12.1",
    Numbers(0.01),
    "The gap is a difference of two independent means. Which standard error has a difference?",
    "The variances add up, so the standard error of the gap is the root of the sum of the two squares.",
    "`(test['mean'] - train['mean']) / np.hypot(test['standard error'], train['standard error'])`, each from the "
    "record: the digits of the table are too few.",
)
def gaps() -> np.ndarray:
    """The gap between test and train in its own standard errors: overfitting, good, underfitting."""
    found = []
    for regime in ("overfitting", "good", "underfitting"):
        (train, test, _), (of_train, of_test, _) = last_errors(regime)
        found.append((test - train) / np.sqrt(of_train**2 + of_test**2))
    return np.array(found)


@exercise(
    "12.2",
    Numbers(0.01),
    "With an error e, log p(y | z) is -log(2 pi sigma^2) / 2 - e / (2 sigma^2) for each pixel. It is highest at "
    "sigma^2 = e.",
    "Insert e = test, once with sigma^2 = train and once with sigma^2 = test, and take the difference.",
    "With r = test / train it is (r - 1 - log r) / 2.",
)
def cost_of_a_small_sigma() -> np.ndarray:
    """Nats for each pixel of test that sigma^2 = error of train loses to the best sigma: overfitting, good."""
    nats = []
    for regime in ("overfitting", "good"):
        train, test, _ = last_errors(regime)[0]
        log_p = [model.log_noise(jnp.sqrt(jnp.array([test])), variance**0.5) for variance in (train, test)]
        nats.append(log_p[1] - log_p[0])
    return np.array(nats)


@exercise(
    "12.3",
    Function([(2,), (11,), (100,)], Numbers(1e-3)),
    "Call v the variance of a pixel. How far is an image that was not learned from the mean of n others, in v?",
    "The mean has variance v / n, so test is v (1 + 1/n). A learned image is part of the mean, and draws it to itself.",
    "The sum of squares about their own mean is (n - 1) v, so train is v (1 - 1/n). Divide.",
)
def test_over_train() -> Callable:
    """A function of n: the error of test over that of train, both expected, where f is the mean of n images."""

    def ratio(n: int) -> float:
        others = np.eye(n) - 1 / n  # learned images less their mean
        train = np.sum(others**2) / n
        test = 1 + np.sum(np.full(n, 1 / n) ** 2)
        return test / train

    return ratio


@exercise(
    "12.4",
    Numbers(0.01),
    "The lattice replaces an integral by h^2 times a sum. For a round Gaussian the sum is a product: treat one "
    "direction, and count its nats twice.",
    "In one direction, in units of s: the log of 4 times the sum of the density of N(0, 1) at ..., -4, 0, 4, ... for "
    "the hit.",
    "Half-way between, the points are ..., -6, -2, 2, 6, ..., and the sum is too small. Multiply both logs by 2.",
)
def coarse_lattice() -> jax.Array:
    """The lattice's log p(y) less the exact one where h = 4 s: if a point hits the mean, and in the middle of four."""
    sigma = 0.05
    plane = fa.FactorAnalysis(jnp.eye(2), jnp.zeros(2), sigma)
    h = 4 * (1 / sigma**2 + 1) ** -0.5  # the posterior of the plane has precision 1 / sigma^2 + 1
    z = np.float32(lattice.points(h, 1.0))

    @jax.jit
    def off(y: jax.Array) -> jax.Array:
        return lattice.log_evidence(lambda z: z, z, y, sigma, h) - fa.log_marginal_likelihood(plane, y)

    return off((1 + sigma**2) * h * jnp.array([[0.0, 0.0], [0.5, 0.5]]))  # their posteriors have mean 0 and h / 2

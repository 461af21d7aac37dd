"""Exercises of page 03, alternating back-propagation: what is learned with exact averages over the chains."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax import factor_analysis as fa
from abp_jax.practice.exercises import Numbers, exercise

SIGMA = 0.5


@cache
@jax.jit
def best_model() -> fa.FactorAnalysis:
    """The most likely model of the page's 200 observations: the stronger factor is the first column."""
    return fa.maximum_likelihood(data(), 2, SIGMA)


@jax.jit
def data() -> jax.Array:
    """The observations of the page, (200, 8)."""
    key_W, key_b, key_z, key_e = jax.random.split(jax.random.split(jax.random.key(0), 5)[0], 4)
    W, b = 0.5 * jax.random.normal(key_W, (8, 2)), jax.random.normal(key_b, (8,))
    noise = SIGMA * jax.random.normal(key_e, (200, 8))
    return jax.random.normal(key_z, (200, 2)) @ W.T + b[None, :] + noise


def chain_variance(precision: np.ndarray, step_size: float, noise: float = 1.0) -> np.ndarray:
    """The stationary variance of Langevin steps whose u is multiplied by `noise`."""
    return (noise * step_size) ** 2 / (1 - (1 - step_size**2 * precision / 2) ** 2)


def learned_lengths(step_size: float, noise: float = 1.0) -> np.ndarray:
    """Where the learning step leaves the two columns of W, w = E[yz] / E[z^2]: their lengths, (2,)."""
    w = np.linalg.norm(best_model().loading, axis=0)
    c = w**2 + SIGMA**2
    for _ in range(5000):  # a quarter of the way each time: the whole way could jump past the goal
        precision = w**2 / SIGMA**2 + 1
        m = w / (SIGMA**2 * precision)  # over y
        w = w + (m * c / (m**2 * c + chain_variance(precision, step_size, noise)) - w) / 4
    return w


@exercise(
    "03.1",
    Numbers(0.02),
    "The formula below the box: w^2 + sigma^2 = c / (1 + c s^2 / (4 sigma^2)), for each of the two c.",
    "A factor whose variance is a instead of c costs (c/a - 1 - log(c/a)) / 2. Both factors count.",
    "c/a is simply 1 + c s^2 / (4 sigma^2). Call that r, and sum (r - 1 - log r) / 2 over the two.",
)
def nats_lost() -> float:
    """The log-likelihood per example that Langevin steps of size 0.25 lose, by the formula."""
    best = best_model()
    shorter = best.loading * (learned_lengths(0.25) / jnp.linalg.norm(best.loading, axis=0))[None, :]
    mean = jax.jit(lambda model: fa.log_marginal_likelihood(model, data()).mean())
    return float(mean(best) - mean(best._replace(loading=shorter)))


@exercise(
    "03.2",
    Numbers(0.01),
    "The noise enters the variance of the chain by its square: v is noise^2 times what it was.",
    "So lambda v = 0.25 / (1 - s^2 lambda / 4). Insert it in the box, with lambda = (w^2 + sigma^2) / sigma^2.",
    "Solve w^2 + sigma^2 = 4 c (1 - s^2 (w^2 + sigma^2) / (4 sigma^2)) for w^2 + sigma^2, with s = 0.1.",
)
def variances_with_half_the_noise() -> np.ndarray:
    """With noise = 0.5 and s = 0.1: the two variances w^2 + sigma^2 that are learned, the smaller first."""
    return learned_lengths(0.1, noise=0.5)[::-1] ** 2 + SIGMA**2


@exercise(
    "03.3",
    Numbers(0.005),
    "E[z^2] is the variance of m over the examples, plus v. With exact samples the sum is 1 at the best W.",
    "At the best W c = sigma^2 lambda, so m has variance 1 - 1/lambda, and v = 1 / (lambda (1 - s^2 lambda / 4)).",
    "E[z^2] = 1 + (1/lambda) q / (1 - q), with q = s^2 lambda / 4 and lambda = c / sigma^2.",
)
def mean_square_of_z() -> np.ndarray:
    """At the best W, with s = 0.4: the stationary E[z^2] of the two factors, that of the weaker one first."""
    means, covariance = jax.jit(fa.posterior)(best_model(), data())
    return (np.mean(means**2, axis=0) + chain_variance(1 / np.diag(covariance), 0.4))[::-1]

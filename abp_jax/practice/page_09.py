"""Exercises of page 09, how good the model is: on its linear model, whose log p(y) is known, and by exact formulas."""

from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax import factor_analysis as fa
from abp_jax import model
from abp_jax.practice.exercises import Function, Numbers, exercise

SIGMA = 0.5


@cache
def linear() -> tuple[fa.FactorAnalysis, jax.Array]:
    """The linear model of the page and its y, (20,)."""
    key_W, key_z, key_e = jax.random.split(jax.random.split(jax.random.key(10), 5)[0], 3)
    W = jax.random.normal(key_W, (20, 2))
    y = W @ jax.random.normal(key_z, (2,)) + SIGMA * jax.random.normal(key_e, (20,))
    return fa.FactorAnalysis(W, jnp.zeros(20), jnp.asarray(SIGMA)), y


@jax.jit
def annealed_evidence(factors: fa.FactorAnalysis, y: jax.Array, b: float) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The log of the integral of p(z) p(y | z)^b, and E log p(y | z) under the prior and under p_b. All scalars."""
    warm = factors._replace(sigma=factors.sigma / jnp.sqrt(b))  # p(y | z)^b is this likelihood, but for its constant
    constant = b * model.log_noise(jnp.zeros_like(y), factors.sigma) - model.log_noise(jnp.zeros_like(y), warm.sigma)
    posterior = fa.posterior(warm, y[None, :])

    def expected(mean, covariance):
        spread = jnp.trace(factors.loading @ covariance @ factors.loading.T) / (2 * factors.sigma**2)
        return model.log_noise(y - factors.loading @ mean, factors.sigma) - spread

    evidence = constant + fa.log_marginal_likelihood(warm, y[None, :])[0]
    return evidence, expected(jnp.zeros(2), jnp.eye(2)), expected(posterior.mean[0], posterior.covariance)


@exercise(
    "09.1",
    Numbers(0.01),
    "p_b of a linear model is Gaussian: its precision is b W'W / sigma^2 + I, its mean the inverse of that times "
    "b W'y / sigma^2. Here b = 0.1.",
    "Between Gaussians 2 KL(N(m, C) || N(n, E)) = tr(E^-1 C) + (m - n)' E^-1 (m - n) - d + log det E - log det C.",
    "One of the two is always N(0, I). Forward: it comes first in the KL, and E^-1 is the precision above; this one is "
    "by far the larger. Backward: p_b comes first.",
)
def cost_of_the_first_stage() -> np.ndarray:
    """With b_1 = 0.1 on the linear model: KL(p_0 || p_b1) of the forward run, KL(p_b1 || p_0) of the backward."""
    evidence, under_prior, under_warm = (float(value) for value in annealed_evidence(*linear(), 0.1))
    return np.array([evidence - 0.1 * under_prior, 0.1 * under_warm - evidence])


@exercise(
    "09.2",
    Numbers(0.01),
    "The mode of a linear model is the posterior's mean m. The first number is `model.log_likelihood(f, m, y, sigma)`.",
    "The rest is log p(y) less that. It is also log p(m) - log p(m | y), by Bayes.",
    "So the rest is -|m|^2 / 2 + log(det C) / 2: the 2 pi cancel. C is the posterior's covariance.",
)
def pixels_and_rest() -> np.ndarray:
    """Of the linear model: log p(y | m) at the mode m, and what log p(y) has beside it."""
    factors, y = linear()
    at_mode = model.log_noise(y - factors.loading @ fa.posterior(factors, y[None, :]).mean[0], SIGMA)
    return np.array([at_mode, fa.log_marginal_likelihood(factors, y[None, :])[0] - at_mode], float)


@exercise(
    "09.3",
    Function([(0.4,), (1.5,), (2.6,), (5.0,)], Numbers(0.005)),
    "Per dimension log p(y | z) is -log(2 pi sigma^2) / 2 - error^2 / (2 sigma^2). Which sigma is the best one?",
    "The derivative in sigma is 0 where sigma is the root mean square error itself: there the second term is -1/2.",
    "The difference of the two values is ratio^2 / 2 - 1/2 - log(ratio).",
)
def gain_of_the_best_sigma() -> Callable:
    """A function of the error over sigma: the nats per dimension that the best sigma gains, W and z unchanged."""

    def gain(ratio: float) -> float:
        error = jnp.array([ratio])
        at = jax.vmap(lambda sigma: model.log_noise(error, sigma))(ratio * jnp.exp(jnp.linspace(-0.5, 0.5, 1001)))
        return float(at.max() - model.log_noise(error, 1.0))

    return gain


@exercise(
    "09.4",
    Function([(0.8,), (1.3,), (2.0,), (3.0,)], Numbers(0.005)),
    "In the posterior's standard coordinates it is N(0, I), and q is N(0, alpha^2 I). The weight over p(y) is "
    "their ratio.",
    "For one coordinate KL(q || p) = (alpha^2 - 1 - log alpha^2) / 2. And E_q w^2 / p(y)^2 is the integral of "
    "p^2 / q, a Gaussian integral of precision 2 - 1 / alpha^2.",
    "For two coordinates: KL = alpha^2 - 1 - 2 log alpha; the integral is alpha^4 / (2 alpha^2 - 1), the variance is "
    "this less 1.",
)
def of_a_stretched_q() -> Callable:
    """A function of alpha, d = 2: log p(y) - L_1, and Var(w) / p(y)^2, if q is the posterior stretched by alpha."""
    line = np.arange(-30, 30.1, 0.25)
    u = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    log_p = np.asarray(jax.vmap(model.log_prior)(jnp.asarray(u, jnp.float32)), float)

    def both(alpha: float) -> np.ndarray:
        log_q = np.asarray(jax.vmap(model.log_prior)(jnp.asarray(u / alpha, jnp.float32)), float) - 2 * np.log(alpha)
        gap = np.sum(np.exp(log_q) * (log_q - log_p)) * 0.25**2
        return np.array([gap, np.sum(np.exp(2 * log_p - log_q)) * 0.25**2 - 1])

    return both

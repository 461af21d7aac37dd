"""Exercises of page 23, whose gap it is: on its linear model, whose posterior is known."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax import factor_analysis as fa
from abp_jax.practice.exercises import Function, Numbers, exercise
from abp_jax.practice.page_22 import posterior
from abp_jax.relatives import encoders
from abp_jax.relatives.encoders import Gaussian

SIGMA = 0.3


@jax.jit
def observed() -> tuple[fa.FactorAnalysis, jax.Array]:
    """The model of the page and its y, (10,)."""
    key_W, key_noise = jax.random.split(jax.random.key(23), 7)[:2]
    W = jax.random.normal(key_W, (10, 2)) @ jnp.array([[1.0, 0.9], [0.0, 0.6]])
    y = W @ jnp.array([0.5, -0.5]) + SIGMA * jax.random.normal(key_noise, (10,))
    return fa.FactorAnalysis(W, jnp.zeros(10), jnp.asarray(SIGMA)), y


@exercise(
    "23.1",
    Numbers(0.01),
    "Mean field loses nothing where the posterior's correlation is 0. What does turning W do to P?",
    "P becomes Q'PQ, and should be diagonal: Q holds the eigenvectors of P. Or try all angles of a fine grid, and take "
    "the one at which sum_i log P_ii is least.",
    "The entry beside the diagonal is P_12 cos 2a - (P_11 - P_22) / 2 sin 2a. So tan 2a = 2 P_12 / (P_11 - P_22); "
    "choose the solution from 0 to 90.",
)
def turn_without_loss() -> float:
    """By how many degrees, from 0 to 90, the linear model's z must be turned for mean field to lose nothing."""

    @jax.jit
    @jax.vmap
    def lost(angle: jax.Array) -> jax.Array:  # but for a constant
        c, s = jnp.cos(angle), jnp.sin(angle)
        factors = observed()[0]
        P = fa.posterior_precision(factors._replace(loading=factors.loading @ jnp.array([[c, -s], [s, c]])))
        return jnp.log(jnp.diag(P)).sum()

    degrees = np.linspace(0, 90, 9001)
    return float(degrees[np.argmin(lost(np.radians(degrees)))])


@exercise(
    "23.2",
    Function([(0.8,), (1.5,), (2.0,), (3.0,)], Numbers(1e-3)),
    "The mean of w / p(y) is 1. Its mean square is the integral of p(z | y)^2 / q(z), a Gaussian integral.",
    "In the coordinates v of the posterior, z = mu + S v, both dimensions are alike. In one, p^2 / q is a constant "
    "times exp(-v^2 (1 - 1 / (2 c^2))), and the integral is c^2 / sqrt(2 c^2 - 1).",
    "Two dimensions: the square of that, c^4 / (2 c^2 - 1). The variance is that less 1.",
)
def variance_of_a_weight() -> Callable:
    """A function of c: the variance of w / p(y) where q is the posterior with its factor multiplied by c."""
    exact = jax.jit(posterior)(*observed())
    line = jnp.arange(-12, 12.05, 0.1)
    v = jnp.stack(jnp.meshgrid(line, line), axis=-1).reshape(-1, 2)

    @jax.jit
    def variance(c: float) -> jax.Array:
        def squared(v: jax.Array) -> jax.Array:  # p^2 / q, and the area of a point
            log_p, log_q = (encoders.log_density(q, encoders.draw(exact, v)) for q in (exact, wider))
            return jnp.exp(2 * log_p - log_q + encoders.log_determinant(exact)) * 0.1**2

        wider = exact._replace(factor=c * exact.factor)
        return jax.vmap(squared)(v).sum() - 1

    return variance


@exercise(
    "23.3",
    Numbers(0.01),
    "Compute mu and P anew for 2 * SIGMA, with `factor_analysis.posterior`, and leave the two q as they are.",
    "`kl_by_formula` uses the P and mu of the old noise: put the new ones in. The first q is almost, but not just, "
    "half as wide as it should be, since the prior stays.",
    "The formula of the first section, (tr(PC) - 2 - log det(PC) + delta' P delta) / 2, with the new P and mu, and the "
    "C and m of `guesses['the posterior itself']` and of the last of `guesses`.",
)
def gaps_at_twice_the_noise() -> np.ndarray:
    """The gaps at twice the noise of two q made for sigma = 0.3: the posterior then, and the one two widths beside."""

    @jax.jit
    def found(factors: fa.FactorAnalysis, y: jax.Array) -> list[jax.Array]:
        exact, P = posterior(factors, y), fa.posterior_precision(factors)
        narrow = jnp.diag(jnp.diag(P) ** -0.5)
        beside = Gaussian(exact.mean + narrow @ jnp.array([2.0, 0.0]), narrow)
        noisy = posterior(factors._replace(sigma=2 * SIGMA), y)
        whitened = lambda b: jax.scipy.linalg.solve_triangular(noisy.factor, b, lower=True)
        return [
            encoders.kl_to_prior(Gaussian(whitened(q.mean - noisy.mean), whitened(q.factor))) for q in (exact, beside)
        ]

    return np.array(found(*observed()))

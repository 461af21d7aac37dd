"""Exercises of page 02, Langevin dynamics."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from abp_jax import factor_analysis as fa
from abp_jax import langevin, model
from abp_jax.practice.exercises import Function, Numbers, exercise

FACTORS = fa.FactorAnalysis(jnp.array([[1.4, 0.8], [0.8, 0.5], [-0.3, 0.4]]), jnp.array([0.5, 0.0, -0.5]), 0.3)
y = jnp.array([-0.3, -0.4, -1.9])


@exercise(
    "02.1",
    Function([(0.1,), (0.5,), (1.0,), (1.2,)], Numbers(1e-3)),
    "On N(0, 1) the gradient is -z. Write the new z as a factor times z, plus s u.",
    "The step is (1 - s^2) z + s u. A variance v that it leaves alone satisfies v = (1 - s^2)^2 v + s^2.",
    "Solve for v: s^2 over 1 - (1 - s^2)^2. Multiply the square out, and divide by s^2.",
)
def variance_without_the_half() -> Callable:
    """A function of s: the stationary variance on N(0, 1) of the step with drift s^2 instead of s^2 / 2."""

    @jax.jit
    def variance(s: float) -> jax.Array:
        twice = lambda z: 2 * model.log_prior(z)  # whose drift with the half is that of N(0, 1) without it
        step = lambda z: langevin.langevin_step(jax.random.key(0), z, twice, s)[0]
        A = jax.jacfwd(step)(jnp.zeros(1))[0, 0]
        return s**2 / (1 - A**2)

    return variance


@exercise(
    "02.2",
    Numbers(0.01),
    "All four follow from the eigenvalues of P, `jnp.linalg.eigvalsh` of what the exercise calls.",
    "The limit is 2 / sqrt(largest eigenvalue), kappa the ratio of the two. What is q = s^2 lambda / 4 at half the "
    "limit?",
    "q = 1/4, so that the third number is kappa / q - 1. The fourth has kappa = 1 and q = s^2 / 4.",
)
@jax.jit
def sharper_posterior() -> jax.Array:
    """With sigma = 0.03: the largest stable step, the condition number, and the steps for a draw of both kinds."""
    P = fa.posterior_precision(FACTORS._replace(sigma=0.03))
    limit, curvatures = langevin.largest_stable_step(P), jnp.linalg.eigvalsh(P)
    rho = 1 - (limit / 2) ** 2 * curvatures[0] / 2, 1 - 0.5**2 / 2
    costs = [(1 + r) / (1 - r) for r in rho]
    return jnp.stack([limit, curvatures[1] / curvatures[0], *map(jnp.asarray, costs)])


@exercise(
    "02.3",
    Numbers(0.01),
    "m_t = R_t' m goes round a circle about 0, the mean of the prior. Its distance from 0 is the radius, always.",
    "The chain does not care how long the arc is: the distance between two points of the circle is a chord.",
    "A chord over an angle DRIFT has length 2 |m| sin(DRIFT / 2).",
)
@jax.jit
def jump_of_the_mean() -> jax.Array:
    """With DRIFT = 2.0: how far m_t moves in one iteration, over its distance from the prior's mean."""
    c, s = jnp.cos(2.0), jnp.sin(2.0)
    turned = FACTORS._replace(loading=FACTORS.loading @ jnp.array([[c, -s], [s, c]]))
    before, after = (fa.posterior(factors, y[None]).mean[0] for factors in (FACTORS, turned))
    return jnp.linalg.norm(after - before) / jnp.linalg.norm(before)

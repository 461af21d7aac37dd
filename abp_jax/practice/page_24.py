"""Exercises of page 24, wake and sleep: on the parabola y = z^2 + e, by sums over a lattice of z."""

from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

from abp_jax.practice.exercises import Numbers, exercise
from abp_jax.relatives import toys
from abp_jax.relatives.encoders import Gaussian, kl_to_prior

SIGMA = 0.3
NUM = 4001  # points of the lattice, from -6 to 6


def parabola(z: jax.Array) -> jax.Array:
    return z**2


def staircase(z: jax.Array) -> jax.Array:
    return jnp.round(4 * z**2) / 4


@jax.jit
def log_parabola(y: float) -> jax.Array:
    """The log probabilities of the lattice's points given y, (NUM,)."""
    return toys.log_posterior(parabola, jnp.full(1, y), SIGMA, toys.lattice(NUM, 6.0))


def deviation(log_p: jax.Array) -> float:
    """The standard deviation of a distribution on the lattice that is symmetric about 0."""
    return float(jnp.sqrt(jnp.exp(log_p) @ toys.lattice(NUM, 6.0)[:, 0] ** 2))


@cache
def one_hump(y: float) -> tuple[float, float]:
    """Mean and width of the normal q of the highest bound at y: the formulas of the page."""
    a = 2 * y - SIGMA**2
    if a > 0 and a**2 > 12 * SIGMA**2:
        variance = (a - np.sqrt(a**2 - 12 * SIGMA**2)) / 12
        return np.sqrt(y - 3 * variance - SIGMA**2 / 2), np.sqrt(variance)
    return 0.0, np.sqrt((a + np.sqrt(a**2 + 24 * SIGMA**2)) / 12)


@exercise(
    "24.1",
    Numbers(0.003),
    "Both means are 0, by symmetry. Sleep's q has the deviation of the posterior, a sum over the lattice.",
    "The bound at m = 0: log s - s^2 / 2 - (y^2 - 2 y s^2 + 3 s^4) / (2 sigma^2). Where is its derivative in s 0?",
    "With v = s^2 and a = 2 y - sigma^2 that is 6 v^2 - a v - sigma^2 = 0.",
)
def widths_where_no_z_fits() -> list[float]:
    """At y = -0.5: the width of sleep's q, and that of the q of the highest bound."""
    return [deviation(log_parabola(-0.5)), one_hump(-0.5)[1]]


@exercise(
    "24.2",
    Numbers(0.02),
    "log q is no longer quadratic, so there is no formula for E_q log q: take the sum over a lattice.",
    "q = (N(m, s^2) + N(-m, s^2)) / 2 with `two_divergences.best_bound`; the sum of q log(q / p), times the spacing.",
    "Where both humps are one, at y = 0.2, it is what one hump had. Elsewhere nearly log 2 is won back.",
)
def two_humps() -> list[float]:
    """For y = 0.2, 1 and 2: KL(q || p) of half N(m, s^2) and half N(-m, s^2), with m and s as the bound chose them."""
    z, found = toys.lattice(NUM, 6.0)[:, 0], []
    for y in (0.2, 1.0, 2.0):
        m, s = one_hump(y)
        log_q = jnp.logaddexp(norm.logpdf(z, m, s), norm.logpdf(z, -m, s))
        found.append(float(toys.both_divergences(log_parabola(y), log_q)[0]))
    return found


@exercise(
    "24.3",
    Numbers(0.02),
    "The mean over both draws is a double sum over a lattice, weighed by q(z_1) q(z_2). A spacing of 0.02 will do.",
    "The gradient is -(w_1 g_1 + w_2 g_2) / (w_1 + w_2), with g = ((z - m) / s^2, (z - m)^2 / s^3 - 1 / s).",
    "Both draws play the same part: -2 E[w_1 / (w_1 + w_2) g_1], where w_1 / (w_1 + w_2) = sigmoid(log w_1 - log w_2).",
)
@jax.jit
def two_draws() -> jax.Array:
    """The mean of the encoder's gradient in m and s, reweighted wake with two draws, at q = N(0.5, 0.8^2) and y = 1."""
    z, m, s = toys.lattice(601, 6.0), 0.5, 0.8
    log_q = norm.logpdf(z[:, 0], m, s)
    log_w = toys.log_posterior(parabola, jnp.ones(1), SIGMA, z) - log_q
    q = jax.nn.softmax(log_q)
    g = jnp.stack([(z[:, 0] - m) / s**2, (z[:, 0] - m) ** 2 / s**3 - 1 / s])
    return -2 * (g * q[None, :]) @ jax.nn.sigmoid(log_w[:, None] - log_w[None, :]) @ q


@exercise(
    "24.4",
    Numbers(0.002),
    "f has slope 0 nearly everywhere, so log p(y | z) does not reach q. Which part of the bound is left?",
    "-KL(q || p(z)) of a normal q: -(m^2 + s^2 - 1 - 2 log s) / 2. Its slopes in m and s at 0.5 and 0.8.",
    "-m and 1 / s - s. What dreams teach is the deviation of the exact posterior of the staircase at y = 1.",
)
def on_the_staircase() -> list[float]:
    """The pathwise slopes of the bound in m and s at q = N(0.5, 0.8^2), y = 1; and the deviation that dreams teach."""
    slope = jax.jit(jax.grad(lambda q: -kl_to_prior(q)))(Gaussian(jnp.array([0.5]), jnp.array([[0.8]])))
    posterior: Callable = jax.jit(toys.log_posterior, static_argnums=0)
    taught = deviation(posterior(staircase, jnp.ones(1), SIGMA, toys.lattice(NUM, 6.0)))
    return [float(slope.mean[0]), float(slope.factor[0, 0]), taught]

"""Exercises of page 25, generator against critic: on the line, where the best critic is known."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.stats import norm

from abp_jax.practice.exercises import Function, Numbers, exercise
from abp_jax.relatives.adversarial import maximum_likelihood, minimax, non_saturating
from abp_jax.relatives.divergences import grid


@exercise(
    "25.1",
    Function([(-3.0,), (-0.5,), (0.0,), (2.0,)], Numbers(1e-3)),
    "The derivation of the non-saturating loss begins with the gradient of KL(G, data). What stands there before JSD?",
    "That gradient is the integral of (-a*) times that of p_G. Which g of the logit is it, then?",
    "-log D = -a - log(1 - D): take away what minimax contributes, and -a is left.",
)
def fourth_loss() -> Callable:
    """A function of the logit a, with g(0) = 0: the g that descends KL(G, data) alone."""
    alone = lambda a: non_saturating(a) + minimax(a)  # (KL - 2 JSD) + 2 JSD
    return lambda a: float(alone(jnp.asarray(a)) - alone(jnp.zeros(())))


@exercise(
    "25.2",
    Numbers(0.01),
    "For each y the critic maximises 3 p log D + q log(1 - D). Which D* is that, and what is its logit?",
    "The logit is larger by log 3. One draw's slope was theta D, theta (1 - D) and theta e^a: put a + log 3 there.",
    "Take the means over p_G, sums over a grid as in `shift`, with a = -theta y + theta^2 / 2, and divide by the fair.",
)
@jax.jit
def unfair_slopes() -> jax.Array:
    """At theta = 2, three data points for each draw: the mean slopes of the three losses, over the fair ones."""
    theta, y = 2.0, grid(-8, 12, 4000, dim=1)[0][:, 0]
    p_G, a = jnp.exp(norm.logpdf(y, theta)), -theta * y + theta**2 / 2
    mean = lambda g, a: jnp.sum(p_G * jax.vmap(jax.grad(g))(a))
    losses = (minimax, non_saturating, maximum_likelihood)
    return jnp.stack([mean(g, a + jnp.log(3.0)) / mean(g, a) for g in losses])


@exercise(
    "25.3",
    Numbers(0.01),
    "While the critic is held still, every loss of the page is lowest where its logit is highest.",
    "So look for the highest point of a* = log p_data - log p_G, on the grid. It is not at the top of a mode.",
    "At the left mode: (y + 2) / 0.6^2 = (y - 1) / 1.5^2.",
)
def best_answer() -> np.ndarray:
    """Where on the first section's line a new generator without noise puts all its draws, if that critic is frozen."""
    y = grid(-12, 12, 24_000, dim=1)[0][:, 0]
    log_p = jnp.logaddexp(norm.logpdf(y, -2, 0.6), norm.logpdf(y, 2, 0.6))
    return np.asarray(y)[np.argmax(log_p - norm.logpdf(y, 1, 1.5))]

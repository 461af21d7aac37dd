"""Exercises of page 04, a non-linear generator. The sheet is the one that the data lie on, without their noise."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax import factor_analysis as fa
from abp_jax import model
from abp_jax.practice.exercises import Function, Numbers, exercise

SIGMA = 0.1


def profile(t: jax.Array) -> jax.Array:
    """The S of the sheet, (sin t, sign(t) (1 - cos t)): coordinates 1 and 3 of y, in the last axis."""
    return jnp.stack([jnp.sin(t), jnp.sign(t) * (1 - jnp.cos(t))], axis=-1)


@exercise(
    "04.1",
    Numbers(0.02),
    "At a given noise only |y - f|^2 changes on the way. What is it at t = 0, and where is it largest?",
    "The upper half of the S is a circle about (0, 1) of radius 1; y is 0.5 to the left of its centre. The farthest "
    "point is the one to the right of the centre, t = pi / 2.",
    "|y - f|^2 goes from 1.25 to 2.25. Don't forget the 2 of 2 sigma^2.",
)
def barriers() -> jax.Array:
    """How many nats log p(y | z) falls on the way round the fold, at sigma = 0.7, 0.3 and 0.1."""
    way = jnp.array([-0.5, 1.0])[None, :] - profile(jnp.linspace(0, jnp.pi, 1001))
    log_p = jax.vmap(jax.vmap(model.log_noise, (0, None)), (None, 0))(way, jnp.array([0.7, 0.3, 0.1]))
    return log_p[:, 0] - log_p.min(axis=1)


@exercise(
    "04.2",
    Function([(1.1,), (1.3,), (1.5,), (1.7,)], Numbers(1e-3)),
    "Simplest is a fine grid of t from -turns * pi to 0, the distances of its points from the end, the least one.",
    "The end is f(turns * pi), with f(t) = (sin t, sign(t) (1 - cos t)) as in the text above the exercises.",
    "In closed form: the lower half is a circle of radius 1 about (0, -1). So the distance is that of the end from "
    "(0, -1), less 1.",
)
def gap() -> Callable:
    """A function of turns: how far the end t = turns * pi is from the nearest point of the profile with t <= 0."""

    def distance(turns: float) -> float:
        lower = profile(jnp.linspace(-turns * jnp.pi, 0, 10_001))
        return float(np.linalg.norm(lower - profile(jnp.asarray(turns * jnp.pi))[None, :], axis=1).min())

    return distance


@exercise(
    "04.3",
    Numbers(0.02),
    "Split y - f(z) into the part across the sheet, one dimension, and the part along it, two.",
    "Across it, the noise of y is left, of variance sigma^2, wherever z is. At the mode nothing is left along it.",
    "A draw has the posterior's spread along the sheet, sigma^2 in each of the two dimensions. Divide the sums by 3.",
)
@jax.jit
def errors_on_a_flat_sheet() -> jax.Array:
    """The mean squared error per number on a flat sheet, sigma = 0.1: at the mode, and of a draw from the posterior."""
    plane = fa.FactorAnalysis(100 * jnp.eye(3, 2), jnp.zeros(3), SIGMA)  # so long that the prior hardly counts
    means, covariance = fa.posterior(plane, jnp.eye(3))
    across = jnp.eye(3) - plane.loading @ means.T
    spread = plane.loading @ covariance @ plane.loading.T
    at_mode = SIGMA**2 * jnp.trace(across @ across.T) + jnp.sum((across @ plane.loading) ** 2)
    return jnp.stack([at_mode, at_mode + jnp.trace(spread)]) / 3

"""Exercises of page 04, a non-linear generator. The sheet is the one that the data lie on, without their noise."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from abp_jax import inference, model
from abp_jax.evaluation.metrics import reconstruction_error
from abp_jax.practice.exercises import Choice, Function, Numbers, exercise

SIGMA = 0.1


def profile(t: jax.Array) -> jax.Array:
    """The S of the sheet, (sin t, sign(t) (1 - cos t)): coordinates 1 and 3 of y, in the last axis."""
    return jnp.stack([jnp.sin(t), jnp.sign(t) * (1 - jnp.cos(t))], axis=-1)


class Sheet(nnx.Module):
    """The generator that made the data: it takes N(0, I_2) to the sheet, evenly."""

    latent_dim = 2

    def __call__(self, z: jax.Array) -> jax.Array:
        """Maps z of shape (2,) to y of shape (3,)."""
        across, along = 2 * jax.scipy.stats.norm.cdf(z) - 1
        first, third = profile(1.2 * jnp.pi * across)
        return jnp.stack([first, 1.5 * along, third])


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
    Choice(("all a little", "a few a lot", "none")),
    "A point has one narrow mode, or two of different height. What happens to a chain that begins at the wrong place?",
    "At sigma = 0.1 a chain does not cross between modes: look at the right panel of the figure with the two modes.",
    "Most starts from N(0, I) find the only mode there is. The few that end on another layer stay there, and the "
    "layers are many sigma apart.",
)
def who_loses() -> str:
    """With one start in place of sixteen: do all held-out points lose a little, a few a lot, or none?"""
    sheet, key = Sheet(), jax.random.key(0)
    y = jax.vmap(sheet)(jax.random.normal(key, (100, 2)))
    y += SIGMA * jax.random.normal(jax.random.fold_in(key, 1), y.shape)
    errors = []
    for num_starts in (16, 1):
        z = inference.infer(sheet, y, key=key, sigma=SIGMA, num_starts=num_starts)
        errors.append(np.asarray(reconstruction_error(sheet, z, y)))
    lost = np.sort(errors[1] - errors[0])
    if lost.max() < SIGMA**2:
        return "none"
    return "a few a lot" if lost[-20:].sum() > 0.9 * lost.sum() else "all a little"

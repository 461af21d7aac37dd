"""Exercises of page 11, interpolation. The generator and its z are those that come with the course."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.scipy.special import gammainc

from abp_jax.evaluation import paths
from abp_jax.generators import LinearGenerator, reconstruct, with_params
from abp_jax.practice.exercises import Function, Numbers, exercise
from abp_jax.training.records import load_experiment


@exercise(
    "11.1",
    Function([(0.5, np.pi / 2), (0.25, np.pi / 2), (0.5, 2.5), (1.5, np.pi / 2), (-0.5, 1.0)], Numbers(1e-3)),
    "The square of the length is z'z. Multiply it out for z = (1 - t) a + t b.",
    "a'a = b'b = 1, and a'b is the cosine of the angle.",
    "|z|^2 = (1 - t)^2 + t^2 + 2 t (1 - t) cos(angle), at every t, between the ends or beyond them.",
)
def length_on_the_line() -> Callable:
    """A function of t and the angle: |z(t)| on the straight line through two ends of length 1."""

    def length(t: float, angle: float) -> float:
        a, b = np.array([1.0, 0.0]), np.array([np.cos(angle), np.sin(angle)])
        return np.linalg.norm((1 - t) * a + t * b)

    return length


@exercise(
    "11.2",
    Numbers(0.01),
    "|z|^2 is a sum of d squares of N(0, 1): a chi-square variable with d degrees of freedom.",
    "What is asked is its distribution function at d / 2. In two dimensions that is 1 - exp(-1/2).",
    "`scipy.stats.chi2.cdf(d / 2, d)`, or `jax.scipy.special.gammainc(d / 2, d / 4)`.",
)
def mass_inside() -> np.ndarray:
    """The share of draws from N(0, I_d) that are shorter than sqrt(d / 2), for d = 2, 16 and 64."""
    return np.array([gammainc(d / 2, d / 4) for d in (2, 16, 64)])


@exercise(
    "11.3",
    Numbers(0.005),
    "f is linear, so the images of the straight line lie on a straight line between the two images.",
    "The images of the arc are (2 cos u, sin u), for u from 0 to pi / 2: a quarter of an ellipse, to be added up chord "
    "by chord.",
    "The quarter's length is the integral of sqrt(4 sin^2 u + cos^2 u), and the two images are sqrt(5) apart.",
)
def lengths_of_a_linear_generator() -> jax.Array:
    """For f(z) = (2 z1, z2) between (1, 0) and (0, 1): how long are line and arc, over the distance of their images?"""
    blank = LinearGenerator(2, 2, rngs=nnx.Rngs(0))
    stretch = with_params(blank, {"first": {"kernel": jnp.diag(jnp.array([2.0, 1.0])), "bias": jnp.zeros(2)}})
    a, b = jnp.eye(2)
    apart = jnp.linalg.norm(stretch(a) - stretch(b))
    return jnp.stack([paths.length(stretch, path(a, b, 401)) for path in (paths.straight, paths.spherical)]) / apart


@exercise(
    "11.4",
    Numbers(0.01),
    "Make many frames of the arc, 129 say, and add up their distances: how far has the image moved at each of them?",
    "`np.cumsum` of the chords, with a 0 in front, is the length walked at each t. You want the t at given lengths.",
    "Swap the axes: `np.interp(shares * walked[-1], walked, t)`, with the shares 1/8, 2/8, ..., 7/8.",
)
def even_frames() -> np.ndarray:
    """On the arc from z_shipped[0] to z_shipped[1]: the seven t at which 1/8, 2/8, ..., 7/8 of its length is walked."""
    generator, z = load_experiment("regimes").generator("good")
    t = np.linspace(0, 1, 129)
    images = np.asarray(reconstruct(generator, paths.spherical(z[0], z[1], len(t)))).reshape(len(t), -1)
    walked = np.append(0, np.cumsum(np.linalg.norm(np.diff(images, axis=0), axis=1)))
    return np.interp(np.arange(1, 8) / 8 * walked[-1], walked, t)

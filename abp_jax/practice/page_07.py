"""Exercises of page 07, samplers compared with the exact posterior. That of a face is summed over a lattice."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import softmax

from abp_jax import langevin, model
from abp_jax.generators import functional
from abp_jax.images.data import load_lion_tiger
from abp_jax.practice.exercises import Function, Numbers, exercise
from abp_jax.practice.page_08 import multiplier
from abp_jax.training.generator_files import load_lion_tiger_generator

SIGMA, IMAGE_SIZE, FACE = 0.3, 16, 1  # the face of the longest posterior


def plane(half_width: float, num: int) -> np.ndarray:
    """The points of a square lattice about 0, (num * num, 2)."""
    line = np.linspace(-half_width, half_width, num)
    return np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)


@exercise(
    "07.1",
    Function([(1.5, 0.5), (3.0, 0.5), (3.0, 0.95), (10.0, 0.7)], Numbers(0.005)),
    "Let the curvatures be 1 (wide) and kappa (narrow). Then s = share * 2 / sqrt(kappa), and A = 1 - s^2 lambda / 2.",
    "A draw of a chain with autocorrelation A costs (1 + A) / (1 - A) steps. The variance is 1 / (1 - s^2 lambda / 4) "
    "times the exact one.",
    "With q = share^2: draws a step are 1 / (kappa / q - 1), the narrow variance is 1 / (1 - q) times too large.",
)
def gain_and_price() -> Callable:
    """A function of kappa and share: draws a step along the wide axis, and the narrow axis's variance / exact."""

    def both(kappa: float, share: float) -> np.ndarray:
        P = jnp.diag(jnp.array([1.0, kappa]))
        s = share * langevin.largest_stable_step(P)
        wide, narrow = np.diag(multiplier(lambda z: -z @ P @ z / 2, s, 2))
        return np.array([(1 - wide) / (1 + wide), s**2 / (1 - narrow**2) * kappa])

    return both


@exercise(
    "07.2",
    Numbers(0.01),
    "`quadrature.exact_posteriors(fold, y, 0.2)` gives points and weights. Which of them belong to the peak at z1 > 0?",
    "The weights are probabilities: sum those of the points with z1 > 0.",
    "`e.weights[e.z[:, 0] > 0].sum()`. (The peaks are at z1 near 1.2 and -1.7, and equally wide; the first is nearer "
    "to the prior's mode.)",
)
def share_of_the_right_peak() -> float:
    """The posterior's probability that z1 > 0, for f(z) = (z1^2 + z1 / 2, z2), y = (2, 0.3), sigma = 0.2."""
    fold = lambda z: jnp.stack([z[0] ** 2 + z[0] / 2, z[1]])
    log_joint = jax.jit(jax.vmap(lambda z: model.log_joint(fold, z, jnp.array([2.0, 0.3]), 0.2)))
    z = plane(4.0, 400)  # with no point at z1 = 0
    return float(softmax(np.asarray(log_joint(jnp.asarray(z, jnp.float32)), float))[z[:, 0] > 0].sum())


@exercise(
    "07.3",
    Numbers(0.03),
    "Without the determinant the target is p / sqrt(det G): divide the weights of the exact posterior by sqrt(det G) "
    "at their points. There G is `langevin.precision(r, z)`.",
    "Normalise the new weights. Under them average x of `comparison.standardise`; under the old ones its mean is 0.",
    "The answer is the length of the new mean of x, a vector of two numbers: `np.linalg.norm(new @ x)`.",
)
def shift_without_the_determinant() -> float:
    """On the longest posterior: by how many standard deviations the mean moves if p becomes p / sqrt(det G)."""
    images, (generator, learned) = load_lion_tiger(size=IMAGE_SIZE), load_lion_tiger_generator(IMAGE_SIZE)
    f = partial(*functional(generator))
    residual = partial(model.residual, f, y=jnp.asarray(images[FACE]), sigma=SIGMA)
    at = jax.jit(lambda z: jax.lax.map(partial(langevin.gauss_newton, residual), z, batch_size=33))
    root = np.linalg.cholesky(np.asarray(jax.jit(partial(langevin.precision, residual))(learned[FACE]), float))
    z = np.asarray(learned[FACE]) + np.linalg.solve(root.T, plane(8.0, 33).T).T  # half a standard deviation apart
    log_p, _, G = (np.asarray(value, float) for value in at(jnp.asarray(z, jnp.float32)))
    right, wrong = softmax(log_p), softmax(log_p - np.linalg.slogdet(G)[1] / 2)
    mean = right @ z
    shift = wrong @ z - mean
    return float(np.sqrt(shift @ np.linalg.solve((right[:, None] * (z - mean)).T @ (z - mean), shift)))


@exercise(
    "07.4",
    Function([(3,), (5,), (8,), (20,)], Numbers(0.002)),
    "Each leapfrog step turns (z, velocity) by theta round an ellipse. By which angle does the whole glide turn it?",
    "After a turn by phi the place is z cos(phi) plus a multiple of the velocity. Back at the start: phi is a full "
    "turn. Independent of the start: the smallest phi with cos(phi) = 0.",
    "cos(theta) = 1 - s^2/2 means s = 2 sin(theta / 2). Insert theta = pi / (2 leaps), and 2 pi / leaps.",
)
def glides() -> Callable:
    """A function of the leapfrog steps of a glide on N(0, 1): the s of a fresh draw, and the s of a full turn."""
    slope = jax.grad(model.log_prior)

    def leap(state: jax.Array, s: float) -> jax.Array:
        z, velocity = state[:1], state[1:] + s / 2 * slope(state[:1])
        z = z + s * velocity
        return jnp.concatenate([z, velocity + s / 2 * slope(z)])

    drop = 1 - jax.jacfwd(leap)(jnp.zeros(2), 1.0)[0, 0]  # cos(theta) = 1 - drop s^2
    return lambda leaps: np.sqrt((1 - np.cos(np.array([np.pi / 2, 2 * np.pi]) / leaps)) / drop)

"""Exercises of page 06, the latent explorer: posteriors of the shipped generator, added up on a lattice."""

from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import softmax

from abp_jax import model
from abp_jax.evaluation.between import SATURATED
from abp_jax.generators import latent_grid
from abp_jax.practice.exercises import Numbers, exercise
from abp_jax.practice.page_05 import SIGMA, learned, linearised

HALF = 5  # points of the lattice to each side, a standard deviation apart


def precision(image: int) -> np.ndarray:
    """The Gauss-Newton precision of a posterior at its stored z, (2, 2)."""
    _, z, images = learned()
    return np.asarray(linearised()(z[image], images[image])[2], float)


@cache
def on_points() -> Callable:
    """Compiled: (z, y) -> log p(y, z), for z of shape (m, 2)."""
    f = learned()[0]
    return jax.jit(lambda z, y: jax.lax.map(lambda z: model.log_joint(f, z, y, SIGMA), z))


@cache
def posterior(image: int) -> tuple[np.ndarray, float]:
    """The covariance (2, 2) and the entropy in nats of a posterior, summed over a lattice around its mode.

    With a standard deviation between its points such a sum has many digits right: see `evaluation.quadrature`.
    """
    _, z, images = learned()
    mode, y = z[image], images[image]
    for _ in range(3):  # of Gauss and Newton, to the mode
        _, gradient, matrix = linearised()(mode, y)
        mode = mode + jnp.linalg.solve(matrix, gradient)
    axes = np.linalg.inv(np.linalg.cholesky(np.asarray(matrix, float))).T
    steps = np.stack(np.meshgrid(*2 * [np.arange(-HALF, HALF + 1)]), axis=-1).reshape(-1, 2)
    points = np.asarray(mode) + steps @ axes.T
    weights = softmax(np.asarray(on_points()(jnp.asarray(points, jnp.float32), y), float))
    away = points - weights @ points
    log_density = np.log(weights / abs(np.linalg.det(axes)))
    return (away * weights[:, None]).T @ away, -weights @ log_density


@exercise(
    "06.1",
    Numbers(0.01),
    "The area of an ellipse is in proportion to the product of its two widths, which a table of the page has.",
    "It is the determinant of the covariance that counts. Set IMAGE to that image and run the page again.",
    "Its number is 7. The line that begins with `grid` has the two standard deviations; G inverse isn't near enough.",
)
def of_the_largest_ellipse() -> np.ndarray:
    """The exact standard deviations of z1 and z2 under the posterior whose ellipse has the largest area."""
    _, z, _ = learned()
    widest = min(range(len(z)), key=lambda image: np.linalg.det(precision(image)))
    return np.sqrt(np.diag(posterior(widest)[0]))


@exercise(
    "06.2",
    Numbers(0.02),
    "`abp.latent_grid(generator, low, high, num=2)` draws the four corners of a square.",
    "Count the numbers, three for each pixel, that are larger than 0.98 in absolute value.",
    "`jnp.mean(jnp.abs(corners) > 0.98)` is the share of one square: give that of (-2, 2) and that of (-4, 4).",
)
def burnt_corners() -> np.ndarray:
    """The shares of numbers beyond 0.98 in the pictures at (2, 2), (2, -2), (-2, 2), (-2, -2), and at twice these z."""
    return np.array([np.mean(np.abs(latent_grid(learned()[0], -r, r, 2)) > SATURATED) for r in (2.0, 4.0)])


@exercise(
    "06.3",
    Numbers(0.02),
    "A Gaussian of covariance C in two dimensions has the entropy log(2 pi e) + (1/2) log det C. The prior has C = I.",
    "By how much does the entropy fall from C = I to C = G^-1? Nats are natural logarithms.",
    "It falls by (1/2) log det G, which is -log(narrow * wide), of the two widths of the table.",
)
def nats_told() -> float:
    """How many nats image 0 tells of its z: the entropy of the prior less that of the posterior."""
    return float(np.log(2 * np.pi * np.e) - posterior(0)[1])


@exercise(
    "06.4",
    Numbers(0.02),
    "A mean over the numbers of the image divides the likelihood's part of G, and not the prior's, which is I.",
    "An eigenvalue of G is 1 / width^2. Take the prior's 1 off, divide by 12,288, and put it on again.",
    "The new width is 1 / sqrt((1 / width^2 - 1) / 12288 + 1), of the narrow and of the wide one of image 0.",
)
def widths_under_a_mean() -> np.ndarray:
    """The widths of image 0's posterior by G at its z, [narrow, wide], if log p(y | z) is divided by 12,288."""
    eigenvalues = np.linalg.eigvalsh(precision(0))[::-1]
    return ((eigenvalues - 1) / learned()[2][0].size + 1) ** -0.5

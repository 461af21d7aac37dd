"""Exercises of page 08, the step-size laboratory. The faces are 32 pixels wide, and so is their generator."""

from collections.abc import Callable
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax import langevin, model
from abp_jax.generators import functional
from abp_jax.images.data import load_lion_tiger
from abp_jax.practice.exercises import Function, Numbers, exercise
from abp_jax.training.generator_files import load_lion_tiger_generator

SIGMA, IMAGE_SIZE = 0.3, 32


def multiplier(log_density: Callable, step_size: jax.Array, dim: int) -> jax.Array:
    """The A of unadjusted Langevin on a Gaussian: the Jacobian of a step, (dim, dim)."""
    step = lambda z: langevin.langevin_step(jax.random.key(0), z, log_density, step_size)[0]
    return jax.jacfwd(step)(jnp.zeros(dim))


@cache
def slopes() -> tuple[Callable, np.ndarray, np.ndarray]:
    """A function of z and the number of a face, to grad log p(y, z) and G; the learned z; and their G, (11, 2, 2)."""
    images, (generator, z) = jnp.asarray(load_lion_tiger(size=IMAGE_SIZE)), load_lion_tiger_generator(IMAGE_SIZE)
    f = partial(*functional(generator))
    compiled = jax.jit(lambda z, y: langevin.gauss_newton(partial(model.residual, f, y=y, sigma=SIGMA), z)[1:])
    at = lambda z, face: [np.asarray(x, float) for x in compiled(jnp.asarray(z, jnp.float32), images[face])]
    return at, np.asarray(z), np.stack([at(z[i], i)[1] for i in range(len(images))])


@exercise(
    "08.1",
    Numbers(0.005),
    "Draws are independent where the next one does not depend on the last: for which s is A = 0?",
    "1 - s^2/2 = 0. What is left of the step is s u.",
    "s is the root of 2, and the variance of s u is s^2. The formula in the box says the same.",
)
@jax.jit
def independent_draws() -> jax.Array:
    """On N(0, 1): the s at which successive draws are independent, and the variance of these draws."""
    A = lambda s: multiplier(model.log_prior, s, 1)[0, 0]
    s = (1 - A(1.0)) ** -0.5  # A falls with s^2, from 1
    return jnp.stack([s, s**2 / (1 - A(s) ** 2)])


@exercise(
    "08.2",
    Numbers(0.02),
    "Both limits stand in the table of the eleven faces: take half of the largest, over the smallest.",
    "Along the stiff direction A = 1 - s^2 lambda / 2, and the limit is 2 / sqrt(lambda). Write lambda by the limit.",
    "With s as a share of the limit, s^2 lambda = 4 share^2, so that A = 1 - 2 share^2.",
)
def on_the_narrowest() -> np.ndarray:
    """Half the largest of the eleven limits, on the face of the smallest: its share of the limit there, and stiff A."""
    largest = np.linalg.eigvalsh(slopes()[2])[:, 1]
    s = 1 / np.sqrt(largest.min())
    return np.array([s * np.sqrt(largest.max()) / 2, 1 - s**2 * largest.max() / 2])


@exercise(
    "08.3",
    Function([(2.0,), (10.0,), (50.0,), (300.0,)], Numbers(0.005)),
    "Let the curvatures be 1 and kappa. The limit is 2 / sqrt(kappa). What is s^2 at half of it?",
    "s^2 = 1 / kappa, so that along the soft direction A = 1 - 1 / (2 kappa).",
    "After n steps a distance is A^n of what it was. Solve A^n = 1/2 for n, by logarithms.",
)
def steps_to_halve() -> Callable:
    """A function of kappa: the steps in which, at half the limit, a distance along the soft direction is halved."""

    def steps(kappa: float) -> float:
        P = jnp.diag(jnp.array([1.0, kappa]))
        A = multiplier(lambda z: -z @ P @ z / 2, langevin.largest_stable_step(P) / 2, 2)
        return float(jnp.log(0.5) / jnp.log(A[0, 0]))

    return steps


@exercise(
    "08.4",
    Numbers(0.02),
    "The circle is mode + L^-T 5 (cos, sin), with L L' = G: `mode` and `G` of the page are those of this face.",
    "`mode + jnp.linalg.solve(L.T, 5 * circle.T).T` with L from `jnp.linalg.cholesky(G)`: 64 angles or more.",
    "Apply `precision` to all places of the circle by `jax.vmap`; average the roots of the determinants, and divide by "
    "the root of that of G.",
)
def growth_of_the_precision() -> float:
    """The mean of sqrt(det G) on the circle of 5 standard deviations about the mode, over that at the mode."""
    at, z, G = slopes()
    curvatures = np.linalg.eigvalsh(G)
    face = int(np.argmax(curvatures[:, 1] / curvatures[:, 0]))  # the page's FACE
    mode = z[face]
    for _ in range(20):
        mode = mode + np.linalg.solve(*at(mode, face)[::-1])  # Gauss-Newton: z + G^-1 grad log p
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    circle = 5 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    root = np.linalg.cholesky(at(mode, face)[1])  # L
    places = mode + np.linalg.solve(root.T, circle.T).T
    volumes = [np.sqrt(np.linalg.det(at(place, face)[1])) for place in places]
    return float(np.mean(volumes) / np.prod(np.diag(root)))

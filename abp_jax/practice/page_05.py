"""Exercises of page 05, a ConvNet generator. The faces are the shipped ones, and so is what has learned them."""

from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from abp_jax import langevin, model
from abp_jax.generators import ConvGenerator
from abp_jax.images.data import load_lion_tiger
from abp_jax.practice.exercises import Function, Numbers, exercise
from abp_jax.training import generator_files, optimizers

SIGMA, STEP_SIZE = 0.3, 0.3  # of the chains of act 1


@cache
def learned() -> tuple[nnx.Module, jax.Array, jax.Array]:
    """The shipped generator, the eleven z, (11, 2), and the faces, (11, 64, 64, 3)."""
    return *generator_files.load_lion_tiger_generator(), jnp.asarray(load_lion_tiger())


@cache
def linearised() -> Callable:
    """Compiled: (z, y) -> log p(y, z) up to a constant, its gradient (2,), and the Gauss-Newton precision (2, 2)."""
    f = learned()[0]
    return jax.jit(lambda z, y: langevin.gauss_newton(lambda z: model.residual(f, z, y, SIGMA), z))


@cache
def largest_curvature() -> float:
    """The largest eigenvalue of the eleven precisions at the stored z."""
    precisions = [linearised()(z, y)[2] for z, y in zip(*learned()[1:], strict=True)]
    return np.linalg.eigvalsh(np.array(precisions, float)).max()


@exercise(
    "05.1",
    Function([(8, 16), (32, 16), (64, 64), (128, 32)], Numbers(1e-9)),
    "The cell that prints the layers shows the pattern. From below: the last has 3 channels, and takes in `width`.",
    "There are log2(image_size / 4) convolutions. One from a to b channels has 25 a b weights in its kernel and b in "
    "its bias.",
    "The first layer makes 4 * 4 * c numbers of the two of z, c = width * 2**(layers - 1): 3 * 16 c weights with its "
    "bias.",
)
def weights() -> Callable:
    """A function of image_size and width: how many weights a ConvGenerator of two latent dimensions has, in colour."""

    def count(image_size: int, width: int) -> float:
        shapes = nnx.eval_shape(lambda: ConvGenerator(2, image_size, width, rngs=nnx.Rngs(0)))
        return float(sum(w.size for w in jax.tree.leaves(nnx.state(shapes, nnx.Param))))

    return count


@exercise(
    "05.2",
    Numbers(0.02),
    "Each image has its own largest stable step. A step that all eleven chains can take is the least of them.",
    "It is 2 / sqrt(lambda), with lambda the largest eigenvalue of F'F / sigma^2 + I. What of that is averaged?",
    "Averaging over 11 is a noise of 0.3 sqrt(11): call `abp.stability.largest_stable_steps` with either sigma, "
    "and take the minimum.",
)
def stable_steps() -> np.ndarray:
    """The largest step of unadjusted Langevin that is stable for all eleven: of the model, and averaged over them."""
    curvature = largest_curvature()
    return 2 / np.sqrt([curvature, (curvature - 1) / 11 + 1])


@exercise(
    "05.3",
    Numbers(0.01),
    "(z, W1) -> (a z, W1 / a) draws the same images. What does it do to F = df/dz?",
    "F becomes F / a, so lambda becomes (lambda - 1) / a^2 + 1: the prior's 1 stays. Which one allows a step of 0.3?",
    "lambda = (2 / 0.3)^2 allows it. Solve for a, with the lambda = (2 / step)^2 of either answer of exercise 2. "
    "The z of size 1 become a.",
)
def sizes_of_z() -> np.ndarray:
    """The root mean square of z at which a step of 0.3 is stable for all eleven: of the model, and averaged."""
    likelihood = (largest_curvature() - 1) / np.array([1, 11])
    size = np.sqrt(np.mean(np.asarray(learned()[1]) ** 2))
    return size * np.sqrt(likelihood / ((2 / STEP_SIZE) ** 2 - 1))


@exercise(
    "05.4",
    Function([(1e-4,), (1e-3,), (0.01,), (0.1,), (0.5,)], Numbers(1e-3)),
    "Insert X = U S V' in the step. What does X X' do to U and V, and what to S?",
    "U and V stay, and every singular value goes its own way: a step takes s to a s + b s^3 + c s^5.",
    "Start with s and put s = 3.4445 s - 4.7750 s^3 + 2.0315 s^5 five times; return what comes out.",
)
def newton_schulz() -> Callable:
    """A function of s: what the five Newton-Schulz steps make of a singular value s."""

    def after(s: float) -> float:
        return float(optimizers.orthogonal(jnp.diag(jnp.array([s, (1 - s**2) ** 0.5])))[0, 0])  # of norm 1

    return after

"""Grades the four functions of the assignment: points, and for what is wrong a word on the likely cause.

A linear generator f(z) = W z + b shows each part of an answer by itself. At z = 0 and y = b both gradients vanish, so
a Langevin step there is its noise and nothing else. Subtract that noise from a step elsewhere, with the same key, and
what is left is the drift: two numbers, one in front of the likelihood's gradient and one in front of the prior's.

    grade.part_1(langevin_step)
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import abp_jax as abp

SIGMA, STEP_SIZE, NUM_CHAINS = 0.5, 0.2, 3000
W = jnp.array([[0.9, 0.1], [-0.3, 0.8], [0.5, -0.6], [0.2, 0.7], [-0.8, 0.2], [0.4, 0.3]])
PARAMS = {"W": W, "b": jnp.linspace(-0.5, 0.5, 6)}
KEY = jax.random.key(232)


class Check(NamedTuple):
    """One thing that an answer is asked for.

    Attributes:
      what: in words.
      points: what it is worth.
      passed: whether the answer has it.
      hint: the likely cause where it does not.
    """

    what: str
    points: int
    passed: bool
    hint: str


class Grade(NamedTuple):
    """What a notebook shows of a part: its points, check by check."""

    part: str
    checks: tuple[Check, ...]

    @property
    def points(self) -> int:
        return sum(check.points for check in self.checks if check.passed)

    def __repr__(self) -> str:
        lines = [f"{self.part}: {self.points} of {sum(check.points for check in self.checks)} points"]
        for check in self.checks:
            score = f"{check.points if check.passed else 0}/{check.points}"
            lines.append(f"  {score}  {check.what}" + ("" if check.passed else f". {check.hint}"))
        return "\n".join(lines)


def generate(params: dict, z: jax.Array) -> jax.Array:
    """The linear generator: (params, z of shape (2,)) -> y of shape (6,)."""
    return params["W"] @ z + params["b"]


def graded(part: str, points: int) -> Callable:
    """Makes a function that returns checks into one that returns a Grade, also of one that stops."""

    def decorate(checks: Callable) -> Callable:
        def grade(answer: Callable) -> Grade:
            try:
                return Grade(part, tuple(checks(answer)))
            except Exception as error:  # whatever a student's program does wrong, it is said and not raised
                stopped = f"It stops: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
                return Grade(part, (Check("runs, and returns what is asked for", points, False, stopped),))

        grade.__doc__ = checks.__doc__
        return grade

    return decorate


@graded("Part 1, the Langevin step", 10)
def part_1(langevin_step: Callable):
    """Grades langevin_step(key, z, y, f, sigma, step_size) -> z of shape (d,), ten points."""
    f = partial(generate, PARAMS)
    step = lambda key, z, y: langevin_step(key, z, y, f, SIGMA, STEP_SIZE)
    z, y = jnp.array([1.5, -1.0]), jnp.array([0.3, 1.2, -0.8, 0.5, 0.1, -0.4])
    still = step(KEY, jnp.zeros(2), PARAMS["b"])
    yield Check("the shape is that of z", 1, jnp.shape(still) == (2,), f"It is {jnp.shape(still)} and not (2,).")
    likelihood = jax.grad(lambda z: abp.model.log_likelihood(f, z, y, SIGMA))(z)
    drift = (step(KEY, z, y) - z - still) / STEP_SIZE**2
    of_likelihood, of_prior = np.linalg.solve(np.stack([likelihood, -z], axis=1), np.asarray(drift))
    uphill = of_likelihood > 0 and of_prior > 0
    yield Check("the drift leads uphill", 2, bool(uphill), "The gradient of log p(y, z) comes with a plus, both parts.")
    half = abs(abs(of_prior) - 0.5) < 0.01
    hint = "the half of s^2 / 2 is missing." if abs(abs(of_prior) - 1) < 0.01 else "it should be s^2 / 2."
    yield Check("the drift is s^2 / 2 times the gradient", 2, half, f"In front of -z stands {of_prior:.3f} s^2: {hint}")
    ratio = of_likelihood / of_prior if of_prior else np.inf
    causes = {1 / y.size: "the errors are averaged over y, not summed.", SIGMA**2: "1 / sigma^2 is missing."}
    hint = next((cause for value, cause in causes.items() if abs(ratio / value - 1) < 0.02), "see equation 2.")
    yield Check("a sum over y, over 2 sigma^2", 2, abs(ratio - 1) < 0.02, f"{ratio:.3f} of the likelihood: {hint}")
    noise = jax.vmap(lambda key: step(key, jnp.zeros(2), PARAMS["b"]))(jax.random.split(KEY, NUM_CHAINS)) / STEP_SIZE
    sd, mean = noise.std(axis=0), noise.mean(axis=0)
    right = bool((abs(sd - 1) < 0.06).all() and (abs(mean) < 5 / NUM_CHAINS**0.5).all()) and _uncorrelated(noise)
    unit = "u must be multiplied by s, and not by s^2, 1 or sqrt(s). " if not right else ""
    yield Check("the noise is s u, u ~ N(0, I)", 2, right, f"{unit}Its deviation is {float(sd.mean()):.2f} s.")
    off = _variance_off(step, y)
    yield Check("the chain's stationary variance", 1, off < 0.08, f"It is off by {100 * off:.0f} %: see page 02.")


def _uncorrelated(noise: jax.Array) -> bool:
    return bool(abs(jnp.corrcoef(noise.T)[0, 1]) < 5 / NUM_CHAINS**0.5)


def _variance_off(step: Callable, y: jax.Array) -> float:
    """How far the chain's variances are from 1 / (lambda (1 - s^2 lambda / 4)), along the axes of the posterior."""

    def forth(z, key):
        return jax.vmap(lambda key, z: step(key, z, y))(jax.random.split(key, NUM_CHAINS), z), None

    curvature, axes = np.linalg.eigh(W.T @ W / SIGMA**2 + np.eye(2))
    z, _ = jax.lax.scan(forth, jnp.zeros((NUM_CHAINS, 2)), jax.random.split(KEY, 100))
    variance = np.diag(axes.T @ np.cov(np.asarray(z).T) @ axes)
    off = np.abs(variance * curvature * (1 - STEP_SIZE**2 * curvature / 4) - 1).max()
    return float(off) if np.isfinite(off) else np.inf


@graded("Part 2, the gradient in W", 6)
def part_2(weights_gradient: Callable):
    """Grades weights_gradient(params, z, y, generate, sigma) -> like params, six points."""
    z, y = jax.random.normal(KEY, (12, 2)), jax.random.normal(jax.random.key(1), (12, 6))
    joint = lambda params, z, y: abp.model.log_joint(partial(generate, params), z, y, SIGMA)
    exact = jax.grad(lambda params: jax.vmap(joint, (None, 0, 0))(params, z, y).sum())(PARAMS)
    answer = weights_gradient(PARAMS, z, y, generate, SIGMA)
    shapes = lambda tree: jax.tree.map(jnp.shape, tree)
    alike = shapes(answer) == shapes(exact)
    yield Check("an array for each of the params", 1, alike, f"The shapes are {shapes(answer)}.")
    flat, right = (jax.flatten_util.ravel_pytree(tree)[0] for tree in (answer, exact))
    ratio = float(flat @ right / (right @ right))
    yield Check("it leads uphill", 2, ratio > 0, "It is the gradient of log p with a plus; only a loss has a minus.")
    causes = {
        1 / 12: "a mean over the examples",
        1 / 72: "a mean over examples and numbers",
        SIGMA**2: "no 1 / sigma^2",
    }
    hint = next((f": {cause}" for value, cause in causes.items() if abs(abs(ratio) / value - 1) < 0.01), "")
    yield Check("a sum over examples and over y", 2, abs(abs(ratio) - 1) < 1e-3, f"{abs(ratio):.4f} of it{hint}.")
    apart = float(jnp.linalg.norm(flat - ratio * right) / jnp.linalg.norm(right))
    yield Check("its direction", 1, apart < 1e-3, "It is not along the gradient: are z and y of one example together?")


@graded("Part 3, the loop", 8)
def part_3(alternate: Callable):
    """Grades alternate(key, params, z, y, infer_step, learn_step, num_iterations, num_steps) -> params, z.

    Eight points. The two steps that it is given count instead of learning, so that every call leaves a trace.
    """
    n, iterations, steps = 1000, 5, 4
    start, y = jnp.zeros((n, 2)), jnp.zeros((n, 6))
    run = lambda infer, learn: alternate(KEY, jnp.zeros(()), start, y, infer, learn, iterations, steps)
    count, z = run(lambda key, params, z, y: z + 1, lambda params, z, y: params + 1)
    alone = int(z[0, 0])
    yield Check("one learning step in each iteration", 1, int(count) == iterations, f"There were {int(count)} of 5.")
    enough = alone in (steps, iterations * steps)
    yield Check("num_steps Langevin steps in each iteration", 1, enough, f"z moved {alone} times; 20 are asked for.")
    warm = alone == iterations * steps
    yield Check("warm start: each z goes on from its last value", 2, warm, "z begins anew in each iteration.")
    total, _ = run(lambda key, params, z, y: z + 1, lambda params, z, y: params + z[0, 0])
    order = int(total) in (60, 20)  # 4 + 8 + 12 + 16 + 20, or 5 * 4 from cold starts
    yield Check("W is learned from the z just inferred", 2, order, "The learning step sees the z from before.")
    _, z = run(lambda key, params, z, y: z + jax.random.normal(key, z.shape), lambda params, z, y: params)
    own = float(z[:, 0].std()) > 0.1
    yield Check("each image has noise of its own", 1, own, "All images have the same noise: one key for each.")
    spread = float(jnp.mean(z**2)) / alone
    fresh = not own or abs(spread - 1) < 0.2  # cannot be told of noise that all share
    yield Check("and fresh noise at each step", 1, fresh, f"Its variance is {spread:.1f} times that of fresh noise.")


@graded("Part 4, the panel", 4)
def part_4(panel: Callable):
    """Grades panel(f, num) -> images (num * num, height, width, channels) over (-2, 2), four points."""
    picture = lambda z: z.reshape(1, 2, 1)  # of two pixels, which say from which z it is
    images = np.asarray(panel(picture, 8))
    exact = np.asarray(abp.generators.grid_points(-2, 2, 8)).reshape(64, 1, 2, 1)
    yield Check("64 images", 1, images.shape == exact.shape, f"The shape is {images.shape}, not {exact.shape}.")
    in_order = lambda images: np.array(sorted(map(tuple, np.round(images.reshape(-1, 2), 4).tolist())))
    values = images.size == exact.size and np.allclose(in_order(images), in_order(exact), atol=1e-3)
    yield Check("eight points from -2 to 2 in each coordinate", 2, values, "Both ends belong to them.")
    hint = "z1 grows along a row, and the top row has z2 = 2."
    yield Check("in reading order", 1, images.shape == exact.shape and np.allclose(images, exact, atol=1e-3), hint)

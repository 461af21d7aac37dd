"""Exercises of page 01, factor analysis."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax import factor_analysis as fa
from abp_jax.images.data import load_lion_tiger
from abp_jax.practice.exercises import Choice, Function, Numbers, exercise

W = jnp.array([[1.6], [0.9]])
b = jnp.array([1.0, -0.5])


@exercise(
    "01.1",
    Numbers(0.01),
    "Everything is in the precision G = |W|^2 / sigma^2 + 1, and |W|^2 = 1.6^2 + 0.9^2.",
    "The standard deviation is the root of C = 1 / G. For the second number write W'(y - b) as |W|^2 times the z of "
    "the foot.",
    "m = |W|^2 / (sigma^2 G) times the z of the foot. That factor is 1 - C.",
)
@jax.jit
def bar_and_pull() -> jax.Array:
    """With sigma = 0.8: the posterior's standard deviation, and m over the z of the perpendicular's foot."""
    mean, covariance = fa.posterior(fa.FactorAnalysis(W, b, 0.8), W.T + b[None, :])  # this y has its foot at z = 1
    return jnp.stack([jnp.sqrt(covariance[0, 0]), mean[0, 0]])


@exercise(
    "01.2",
    Function([(1.5,), (3.0,), (10.0,), (38.0,)], Numbers(1e-3)),
    "Begin with the ratio of section 3, v (1 + a) / (a v + 1 + a).",
    "Divide its numerator and denominator by a, and let a grow.",
    "What is left is v over v plus something that does not depend on v.",
)
def shrinkage() -> Callable:
    """A function of v: by which factor one iteration of EM multiplies |W| where a is much larger than v."""

    @jax.jit
    def factor(v: float) -> jax.Array:
        y = jnp.sqrt(v) * jnp.array([[1.0, 0.0], [-1.0, 0.0]])  # of variance v along the first axis, and sigma is 1
        long = fa.FactorAnalysis(jnp.array([[1e4], [0.0]]), jnp.zeros(2), 1.0)
        return fa.em_step(long, y, learn_sigma=False).loading[0, 0] / long.loading[0, 0]

    return factor


@exercise(
    "01.3",
    Numbers(0.01),
    "Leave out sigma=0.3 in `fa.maximum_likelihood(flat, 2)`: it is then estimated, a field of what comes back.",
    "The answer is sigma, not its square. `flat` holds the eleven faces, one row of 12,288 numbers each.",
    "Without the library: sigma^2 is the sum of the variances in all directions but the first two, over D - 2. The sum "
    "of all variances is D times the error of the mean that section 7 prints.",
)
def noise_of_the_faces() -> jax.Array:
    """The sigma that the eleven faces ask for, with two factors."""
    faces = load_lion_tiger()
    return jax.jit(lambda flat: fa.maximum_likelihood(flat, 2).sigma)(faces.reshape(len(faces), -1))


@exercise(
    "01.4",
    Choice(("likelihood", "images", "z")),
    "Write W Q for W, with Q Q' = I, in the marginal N(b, W W' + sigma^2 I).",
    "So the marginal stays. Now put W Q into the formula for m.",
    "The new m is Q' m. What is the new loading times the new m?",
)
def what_turns() -> str:
    """What changes if the factors are turned by 90 degrees: the likelihood, the images W m, or the z?"""
    observed = jnp.eye(3)

    @jax.jit
    def of(model: fa.FactorAnalysis) -> dict:
        z = fa.posterior(model, observed).mean
        return {"likelihood": fa.log_marginal_likelihood(model, observed), "images": z @ model.loading.T, "z": z}

    model = fa.FactorAnalysis(jnp.array([[1.6, 0.2], [0.9, -0.5], [0.3, 0.7]]), jnp.zeros(3), 0.3)
    before, after = of(model), of(model._replace(loading=model.loading @ jnp.array([[0.0, -1.0], [1.0, 0.0]])))
    (changed,) = [name for name in before if not np.allclose(before[name], after[name], atol=1e-3)]
    return changed

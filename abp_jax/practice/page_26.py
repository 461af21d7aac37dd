"""Exercises of page 26, a DCGAN on clothes: what a normalisation couples, and what small weights let through."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from abp_jax import generators
from abp_jax.practice.exercises import Numbers, exercise
from abp_jax.relatives import batch_norm


def normalise(x: jax.Array, bias: float = 0.0) -> jax.Array:
    """A batch (n, features), normalised over the batch, with scale 1."""
    ones = jnp.ones(x.shape[1])
    return batch_norm.normalise(x, *batch_norm.batch_statistics(x), ones, bias * ones)


@exercise(
    "26.1",
    Numbers(0.001),
    "What are m and s of one number, and of two?",
    "Of one, x - m = 0. Of two, x - m is half of their difference, once with each sign.",
    "s is half of their distance too, but for the small epsilon: so the two become bias + 1 and bias - 1.",
)
def of_one_and_of_two() -> np.ndarray:
    """One feature, scale 1, bias 3: what the batch of 0.1 alone becomes, then the two of the batch 0.1 and -7."""
    return np.concatenate([normalise(jnp.array(batch)[:, None], 3.0)[:, 0] for batch in ([0.1], [0.1, -7.0])])


@exercise(
    "26.2",
    Numbers(0.005),
    "The formula, with i = 1: the derivative in x_j is -(1 + x_j) / n, with the normalised x_j. Square and sum.",
    "Normalised features sum to 0, and their squares to n, with the first among them: sums over j > 1 follow.",
    "The sum over j > 1 of (1 + x_j)^2 is (n - 1) - 2 + (n - 1).",
)
def all_others() -> list[float]:
    """At normalised x_1 = 1 and s = 1: the root of the sum of squared derivatives in the others, n = 4, 16 and 64."""
    found = []
    for n in (4, 16, 64):
        column = jnp.where(jnp.arange(n) % 2 == 0, 1.0, -1.0)[:, None]
        slope = jax.jit(jax.grad(lambda x: normalise(x)[0, 0]))(column)
        found.append(float(jnp.linalg.norm(slope[1:])))
    return found


@exercise(
    "26.3",
    Numbers(0.0),
    "Which numbers go into one mean: a column of the 8 x 5, a row, or none?",
    "Within what shares a mean, every derivative is there, and none across. How many groups, and how large?",
    "Five columns of 8 x 8, eight rows of 5 x 5, and 40 numbers on their own.",
)
def derivatives_that_are_not_zero() -> list[int]:
    """Of 8 examples with 5 features: derivatives not 0 under batch, layer and running statistics."""
    x, constant = jax.random.normal(jax.random.key(0), (8, 5)), (jnp.zeros(5), jnp.ones(5))
    over_features = lambda x: normalise(x.T).T
    running = lambda x: batch_norm.normalise(x, *constant, jnp.ones(5), jnp.zeros(5))
    return [int(jnp.sum(jax.jit(jax.jacobian(f))(x) != 0)) for f in (normalise, over_features, running)]


def small_weights(key: jax.Array, generator: nnx.Module) -> nnx.Module:
    """The generator with the kernels of the paper's start, N(0, 0.02^2), and biases 0."""
    params = generators.functional(generator)[1]
    for layer in ("first", "conv0", "conv1"):
        key, now = jax.random.split(key)
        kernel, bias = params[layer]["kernel"], params[layer]["bias"]
        params[layer] = {"kernel": 0.02 * jax.random.normal(now, kernel.shape), "bias": 0 * bias}
    return generators.with_params(generator, params)


@exercise(
    "26.4",
    Numbers(0.02),
    "Without biases, what does a layer of leaky ReLU make of its input times 2? And three layers, each twice as large?",
    "Three layers, each c times as large, hand on c^3 times as much, as long as tanh is nearly straight.",
    "The third root of the ratio of the two deviations that the page prints, taken before they are rounded.",
)
def larger_weights() -> float:
    """How many times as large the paper's kernels must be for as much of z to arrive as with normalisation."""

    @jax.jit
    def arrives(key: jax.Array) -> tuple[jax.Array, jax.Array]:  # the deviations of a pixel over z, with and without
        z = jax.random.normal(key, (8, 16))
        normed = small_weights(key, batch_norm.BatchNormGenerator(16, 16, 16, 1, rngs=nnx.Rngs(3)))
        plain = small_weights(key, generators.ConvGenerator(16, 16, 16, 1, rngs=nnx.Rngs(3)))
        return tuple(jnp.std(images, axis=0).mean() for images in (normed.batch(z)[0], jax.vmap(plain)(z)))

    normed, plain = arrives(jax.random.split(jax.random.key(26), 7)[0])
    return float(normed / plain) ** (1 / 3)

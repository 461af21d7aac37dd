"""Exercises of page 28, what you can do now: its shoes and its linear toy, on which everything is known."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import softmax

from abp_jax import factor_analysis as fa
from abp_jax import model
from abp_jax.images.datasets import fashion_mnist_labels, load_fashion_mnist
from abp_jax.practice.exercises import Numbers, exercise
from abp_jax.practice.page_22 import TOY, y


def clothes(kinds: tuple[int, ...], num: int) -> np.ndarray:
    """The first clothes of some kinds, (num, 16, 16, 1)."""
    return load_fashion_mnist(600, size=16)[np.isin(fashion_mnist_labels(600), kinds)][:num]


@exercise(
    "28.1",
    Numbers(0.01),
    "`linear._replace(sigma=0.2)` is the rival with another noise and the same W; `log_marginal_likelihood` judges it.",
    "The half that chooses is `held_out[::2]`. What may be reported is the mean log p(y) of `held_out[1::2]`.",
    "Report it at the sigma that the first half chose, however much better the other half is at one of its own.",
)
def chosen_sigma() -> np.ndarray:
    """The sigma that half of the held-out shoes choose for the linear rival, and mean log p(y) of the others at it."""
    candidates = np.array([0.15, 0.2, 0.25, 0.3, 0.35, 0.4])

    @jax.jit
    def values(flat: jax.Array) -> jax.Array:  # mean log p(y) of both halves, (2, candidates)
        linear = fa.maximum_likelihood(flat[:120], 2, 0.3)
        mean = lambda s, some: fa.log_marginal_likelihood(linear._replace(sigma=s), some).mean()
        return jnp.stack([jax.vmap(mean, (0, None))(candidates, flat[i::2]) for i in (120, 121)])

    by_half = values(jnp.asarray(clothes((5, 7, 9), 144).reshape(144, -1)))
    best = np.argmax(by_half[0])
    return np.array([candidates[best], by_half[1, best]])


@exercise(
    "28.2",
    Numbers(0.01),
    "The move is symmetric in z and z+, so the ratio in the acceptance is that of the density that stays. Which one?",
    "The likelihood alone, as a function of z. For a linear f it is a normal density: least squares.",
    "Mean (W'W)^-1 W'y, covariance sigma^2 (W'W)^-1; the variances are its diagonal.",
)
def without_the_root() -> jax.Array:
    """The two means and then the two variances of the z that the wrong walk draws on the linear toy."""
    precision = TOY.loading.T @ TOY.loading / TOY.sigma**2
    covariance = jnp.linalg.inv(precision)
    return jnp.concatenate([covariance @ TOY.loading.T @ y / TOY.sigma**2, jnp.diag(covariance)])


@exercise(
    "28.3",
    Numbers(0.01),
    "Split a garment into the mean of itself and its mirror image, and the rest. What of the rest can be drawn?",
    "The rest changes its sign in the mirror, a symmetric image does not: they are at a right angle. None of it.",
    "The rest is (y - mirrored y) / 2. Take the mean of its square over all pixels and garments.",
)
def left_by_symmetry() -> np.ndarray:
    """The mean squared error that no generator of symmetric images can go below on the forty garments."""
    garments = clothes((0, 1, 3), 40)
    return np.mean(((garments - garments[:, :, ::-1]) / 2) ** 2)


def jumps_accepted(log_likelihood: np.ndarray, prior: np.ndarray) -> float:
    """The share of prior jumps accepted in the posterior on a lattice; both (points,), the prior's weights sum to 1."""
    order = np.argsort(-log_likelihood)
    above = np.cumsum(prior[order]) - prior[order] / 2
    return 2 * softmax(log_likelihood + np.log(prior))[order] @ above


@exercise(
    "28.4",
    Numbers(0.01),
    "On the lattice the prior and the posterior are two lists of weights. The acceptance is min(1, l(z+) / l(z)).",
    "All pairs of points are too many. Sort by the likelihood l: what is the share where z+ explains y better than z?",
    "It is twice that share: the sum over z of its posterior weight times the prior's weight of all that is better.",
)
def share_of_prior_jumps() -> list[float]:
    """The shares of prior jumps accepted on the linear toy, of whose y one, two and all three numbers are seen."""
    line = np.arange(-4.5, 4.5, 0.05)
    lattice = jnp.asarray(np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2), jnp.float32)
    prior = softmax(np.asarray(jax.vmap(model.log_prior)(lattice), float))
    seen = lambda k: jax.vmap(lambda z: model.log_noise(y[:k] - TOY.loading[:k] @ z, TOY.sigma))(lattice)
    return [jumps_accepted(np.asarray(seen(k), float), prior) for k in (1, 2, 3)]

"""Exercises of page 22, the variational autoencoder: on its toy, three numbers from two coordinates of z."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax import factor_analysis as fa
from abp_jax import model
from abp_jax.images.data import load_lion_tiger
from abp_jax.practice.exercises import Numbers, exercise
from abp_jax.relatives import encoders, gaps
from abp_jax.relatives.encoders import Gaussian

TOY = fa.FactorAnalysis(jnp.array([[1.2, 0.9], [0.4, 0.9], [0.8, 0.2]]), jnp.zeros(3), 0.6)
y = jnp.array([0.9, 0.8, 0.1])


def posterior(factors: fa.FactorAnalysis, y: jax.Array) -> Gaussian:
    """The exact posterior of y."""
    found = fa.posterior(factors, y[None])
    return Gaussian(found.mean[0], jnp.linalg.cholesky(found.covariance))


@exercise(
    "22.1",
    Numbers(0.01),
    "A mean over D numbers is their sum divided by D. What must stand in the place of sigma^2 for that?",
    "D sigma^2, so sigma sqrt(D): a face has 16 * 16 * 3 numbers, and the toy three.",
    "For the second number make `model._replace(sigma=SIGMA_TOY * 3**0.5)`, take its `factor_analysis.posterior`, and "
    "give `price` the Gaussian of its mean and the Cholesky factor of its covariance.",
)
def mean_in_place_of_the_sum() -> np.ndarray:
    """For which sigma a mean over the pixels of a face stands, at 0.3; and the price of the toy's posterior then."""
    noisy = TOY._replace(sigma=TOY.sigma * len(y) ** 0.5)
    price = jax.jit(lambda toy: encoders.kl_to_prior(posterior(toy, y)))(noisy)
    return np.array([0.3 * load_lion_tiger(size=16)[0].size ** 0.5, price])


@exercise(
    "22.2",
    Numbers(0.05),
    "Take ten draws at once, and from the w of each the mean of the other nine; what is left multiplies the same "
    "S^-T u as before.",
    "The draws needed go with the variance. So compare the variance of one term with that of the pathwise gradient, in "
    "the first coordinate, at the guess `off`.",
    "`w - (w.sum() - w) / 9` in the place of `w` in `score`, for many groups of ten. Divide the standard deviation of "
    "the terms by that of `gradients['pathwise'][:, 0]`, and square.",
)
def draws_with_a_baseline() -> float:
    """How many times the pathwise gradient's draws the score function needs, less the mean w of nine other draws."""
    widths = jnp.diag(posterior(TOY, y).factor @ posterior(TOY, y).factor.T) ** 0.5
    off = Gaussian(jnp.zeros(2), jnp.diag(widths))
    nodes, weights = np.polynomial.hermite_e.hermegauss(12)  # exact for the polynomials in u that follow
    u = jnp.asarray(np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2))
    mean = lambda values: np.outer(weights, weights).ravel() @ values / weights.sum() ** 2

    @jax.jit
    @jax.vmap
    def terms(u: jax.Array) -> tuple[jax.Array, ...]:
        z, log_joint = encoders.draw(off, u), lambda z: model.log_joint(lambda z: TOY.loading @ z, z, y, TOY.sigma)
        return log_joint(z) - encoders.log_density(off, z), (u / widths)[0], jax.grad(log_joint)(z)[0]

    w, score, pathwise = (np.asarray(values, float) for values in terms(u))
    variance = lambda values: mean(values**2) - mean(values) ** 2
    w = w - mean(w)
    return (variance(w * score) + variance(w) / 9 * mean(score**2)) / variance(pathwise)


@exercise(
    "22.3",
    Numbers(0.01),
    "Without its price a guess may be as narrow as it likes. What does E log p(y | z) gain from a wide one?",
    "Nothing: S goes to 0, and m to where |y - W m|^2 is least. `jnp.linalg.lstsq(W, y)` finds it.",
    "The gap is log p(y) less E log p(y | z) plus the price, and of a narrow S = s I only the price still moves, as "
    "-log det S. Two coordinates, each divided by ten.",
)
def without_the_price() -> np.ndarray:
    """Where E log p(y | z) alone leads m, two numbers; and what a ten times narrower S then adds to the gap."""
    m = jnp.linalg.lstsq(TOY.loading, y)[0]
    price = jax.jit(lambda width: encoders.kl_to_prior(Gaussian(m, width * jnp.eye(2))))
    return np.array([*m, price(1e-4) - price(1e-3)])


@exercise(
    "22.4",
    Numbers(0.01),
    "Move the widths of `alone` and look at `kl(q, posterior)`: both should be narrower.",
    "Write the divergence with the posterior's precision P: of S it has (sum_i P_ii s_i^2) / 2 - sum_i log s_i. Set "
    "the derivative in s_i to zero.",
    "s_i = 1 / sqrt(P_ii), with P = W'W / sigma^2 + I. The gap is `kl` of that guess, with the posterior's mean.",
)
def best_diagonal_guess() -> np.ndarray:
    """The two widths of the best diagonal guess on the toy, and how far its bound is below log p(y)."""

    @jax.jit
    def found(toy: fa.FactorAnalysis) -> tuple:
        start, f = Gaussian(posterior(toy, y).mean, jnp.eye(2)), partial(jnp.matmul, toy.loading)
        q, bound = gaps.best_gaussian(f, y, toy.sigma, start, "diagonal", num_steps=10)
        return jnp.diag(q.factor), fa.log_marginal_likelihood(toy, y[None])[0] - bound

    widths, gap = found(TOY)
    return np.array([*widths, gap])

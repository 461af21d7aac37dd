"""The rows of the table of grey clothes: log p is a density here, of 196 numbers in [-1, 1], in nats.

Every function takes the split, a seed and its settings, and returns what was measured, a `Grey`. All decoders learn
with the same sigma; then each gets the one at which its validation images are most probable. Widths, rates and
iterations were chosen with the validation images of seed 0.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.scipy.special import logsumexp
from scipy.optimize import minimize_scalar

from abp_jax import factor_analysis
from abp_jax.relatives import adversarial, critics
from abp_jax.relatives.bits import Split
from experiments import latent_models
from experiments.measured import NUM_SAMPLES, timed

SIGMAS = 0.1, 1.0  # where the best is looked for


class Grey(NamedTuple):
    """Of one model, learned once.

    Attributes:
      log_probs: log p of each test image in nats, (N,).
      samples: draws of the model, (16, D).
      means: the same draws before the noise is added, (16, D).
      num_parameters: how many numbers were learned, sigma among them.
      seconds: of learning.
      sigma: of the noise; nan where there are several.
    """

    log_probs: np.ndarray
    samples: np.ndarray
    means: np.ndarray
    num_parameters: int
    seconds: float
    sigma: float


def decoder(learn: Callable) -> Callable:
    """Returns the row of a way to learn a decoder of z with two dimensions, one of those in `latent_models`."""

    def row(split: Split, seed: int, sigma: float, **settings) -> Grey:
        found, seconds = timed(lambda: learn(split, seed, sigma, latent_dim=2, **settings))
        f = getattr(found, "result", found).generator
        sigma = best_sigma(f, split.valid)
        z_key, e_key = jax.random.split(jax.random.key(seed))
        means = np.asarray(jax.vmap(f)(jax.random.normal(z_key, (NUM_SAMPLES, 2))))
        samples = means + sigma * np.asarray(jax.random.normal(e_key, means.shape))
        log_probs = latent_models.log_evidence(f, split.test, sigma)
        return Grey(log_probs, samples, means, latent_models.num_parameters(f) + 1, seconds, sigma)

    return row


def best_sigma(f: nnx.Module, images: np.ndarray) -> float:
    """Returns the sigma of the highest mean log p(y) on a lattice."""
    loss = lambda log_sigma: -latent_models.mean_log_p(f, images, np.exp(log_sigma))
    found = minimize_scalar(loss, bounds=np.log(SIGMAS), method="bounded")
    return float(np.exp(found.x))


def adversary(
    split, seed, sigma, *, latent_dim, widths, critic_widths, num_iterations: int, learning_rates
) -> latent_models.Best:
    """The game against a critic. Which look is best, log p at the best of five sigma says."""
    spread = sigma * np.geomspace(0.7, 2, 5)

    def score(result):
        return max(latent_models.mean_log_p(result.generator, split.valid, s) for s in spread)

    best = latent_models.Best(score)
    adversarial.fit_gan(
        latent_models.generator(split, seed, latent_dim, widths),
        critics.MLPCritic(split.train.shape[1], critic_widths, rngs=nnx.Rngs(seed + 1000)),
        split.train,
        num_iterations,
        key=jax.random.key(seed),
        sigma=sigma,
        learning_rates=learning_rates,
        batch_size=latent_models.BATCH,
        every=num_iterations // latent_models.LOOKS,
        callback=lambda done, result: best(done, lambda: result),
    )
    return best


def factors(split: Split, seed: int, latent_dim: int) -> Grey:
    """Factor analysis, by its singular values."""
    found, seconds = timed(lambda: factor_analysis.maximum_likelihood(split.train, latent_dim))
    z_key, e_key = jax.random.split(jax.random.key(seed))
    means = jax.random.normal(z_key, (NUM_SAMPLES, latent_dim)) @ found.loading.T + found.mean[None, :]
    samples = means + found.sigma * jax.random.normal(e_key, means.shape)
    log_probs = factor_analysis.log_marginal_likelihood(found, split.test)
    used = found.loading.size + found.mean.size + 1 - latent_dim * (latent_dim - 1) // 2  # a rotation changes nothing
    return Grey(np.asarray(log_probs, float), samples, means, used, seconds, float(found.sigma))


class Mixture(NamedTuple):
    """Shares, (k,), means, (k, D), and variances, (k,), each of all D numbers of its component."""

    log_shares: jax.Array
    means: jax.Array
    variances: jax.Array


def mixture(split: Split, seed: int, num_components: int, num_rounds: int, one_sigma: bool) -> Grey:
    """A mixture of Gaussians N(m_k, s_k^2 I) by EM, from training images as the first means."""
    key = jax.random.key(seed)
    found, seconds = timed(lambda: _expectation_maximisation(key, split.train, num_components, num_rounds, one_sigma))
    which_key, e_key = jax.random.split(jax.random.fold_in(key, 1))
    which = jax.random.categorical(which_key, found.log_shares, shape=(NUM_SAMPLES,))
    means = found.means[which]
    samples = means + jnp.sqrt(found.variances[which])[:, None] * jax.random.normal(e_key, means.shape)
    log_probs = logsumexp(_log_joint(found, jnp.asarray(split.test)), axis=1)
    used = found.means.size + num_components - 1 + (1 if one_sigma else num_components)
    sigma = float(found.variances[0] ** 0.5) if one_sigma else float("nan")
    return Grey(np.asarray(log_probs, float), samples, means, used, seconds, sigma)


LEAST = 0.01  # of a variance: that of a component of few images falls to 0, and its density rises without end


def _expectation_maximisation(key, y, num_components, num_rounds, one_sigma):
    y = jnp.asarray(y)
    first = y[jax.random.choice(key, len(y), (num_components,), replace=False)]
    start = Mixture(jnp.full(num_components, -jnp.log(num_components)), first, jnp.full(num_components, jnp.var(y)))

    def one(_, found):
        log_joint = _log_joint(found, y)
        shares = jax.nn.softmax(log_joint, axis=1)
        weight = jnp.sum(shares, axis=0) + 1e-3
        means = (shares.T @ y) / weight[:, None]
        squares = jnp.sum(shares * _squares(y, means), axis=0)
        variances = squares.sum() / y.size * jnp.ones_like(squares) if one_sigma else squares / weight / y.shape[1]
        return Mixture(jnp.log(weight / weight.sum()), means, jnp.maximum(variances, LEAST))

    return jax.jit(lambda: jax.lax.fori_loop(0, num_rounds, one, start))()


def _log_joint(found: Mixture, y: jax.Array):
    """log p(y_i, component k), (n, k)."""
    constant = found.log_shares - 0.5 * y.shape[1] * jnp.log(2 * jnp.pi * found.variances)
    return constant[None, :] - _squares(y, found.means) / (2 * found.variances)[None, :]


def _squares(y: jax.Array, means: jax.Array):
    return jnp.sum(y**2, axis=1)[:, None] - 2 * y @ means.T + jnp.sum(means**2, axis=1)[None, :]

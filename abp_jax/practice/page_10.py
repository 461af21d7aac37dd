"""Exercises of page 10, reconstruction and synthesis. The generators and their z come with the course."""

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax import factor_analysis as fa
from abp_jax import model
from abp_jax.generators import reconstruct
from abp_jax.practice.exercises import Numbers, exercise
from abp_jax.relatives.encoders import Gaussian, kl_to_prior
from abp_jax.training.records import load_experiment

SEED, NUM_SHOWN = 11, 12


@exercise(
    "10.1",
    Numbers(0.01),
    "What is asked has a closed form in the mean m and the covariance C of z. Whitened, m = 0 and C = I, and it is 0.",
    "It is half of a sum of four terms: the trace of C, |m|^2, -d, and minus the log of the determinant of C.",
    "`(np.trace(C) + m @ m - 64 - np.linalg.slogdet(C)[1]) / 2`, with `C = np.cov(z.T, bias=True)`.",
)
def nats_from_the_prior() -> float:
    """Of the z learned without whitening: KL(N(m, C) | N(0, I)), with their mean and covariance, in nats."""
    z = np.asarray(load_experiment("whitening").generator("without")[1], float)
    return float(kl_to_prior(Gaussian(z.mean(axis=0), np.linalg.cholesky(np.cov(z.T, bias=True)))))


@exercise(
    "10.2",
    Numbers(0.02),
    "Scale z, and not the image: `abp.reconstruct(generator, 0.5 * drawn)`.",
    "A pixel is grey if its absolute value is below 0.5: `np.abs(images) < 0.5`, as in the section on the kinds.",
    "`[np.mean(np.abs(abp.reconstruct(generator, scale * drawn)) < 0.5) for scale in (0.5, 1, 1.5)]`.",
)
def grey_at_three_scales() -> np.ndarray:
    """The share of grey pixels in the images of 0.5 drawn, drawn and 1.5 drawn."""
    generator, _ = load_experiment("regimes").generator("good")
    key_samples = jax.random.split(jax.random.key(SEED), 3)[2]
    drawn = jax.random.normal(key_samples, (4 * NUM_SHOWN, generator.latent_dim))
    scaled = jnp.concatenate([scale * drawn for scale in (0.5, 1.0, 1.5)])
    return np.mean(np.abs(reconstruct(generator, scaled)).reshape(3, -1) < 0.5, axis=1)


@exercise(
    "10.3",
    Numbers(0.005),
    "Here the posterior is N(m, 1 / lambda) with lambda = w^2 / sigma^2 + 1 and m = w (y - b) / (sigma^2 lambda). "
    "What is the best z?",
    "y has variance w^2 + sigma^2 = sigma^2 lambda, so m has variance w^2 / (sigma^2 lambda) = 1 - 1 / lambda.",
    "A draw adds 1 / lambda to that. And whitening divides by the standard deviation of the best z.",
)
@jax.jit
def a_faint_direction() -> jax.Array:
    """With w^2 = sigma^2 / 10: the variance of the best z, that of draws, and the factor that widens the first to 1."""
    faint = fa.FactorAnalysis(jnp.array([[0.1**0.5]]), jnp.zeros(1), 1.0)
    y = jnp.sqrt(1.1) * jnp.array([[1.0], [-1.0]])  # of the variance that the model gives to y
    means, covariance = fa.posterior(faint, y)
    of_means = jnp.mean(means**2)
    return jnp.stack([of_means, of_means + covariance[0, 0], of_means**-0.5])


@exercise(
    "10.4",
    Numbers(0.01),
    "On a fine grid of z compute both densities. The hole is where the prior is more than ten times the cloud.",
    "Each kind has variance 1 - 0.95^2 = 0.0975, and half of the weight. Add up the prior over the hole, times the "
    "spacing of the grid.",
    "Split it at |z| = 0.95: what lies nearer to 0 is between the kinds, what is farther away is beyond them.",
)
def holes_of_two_kinds() -> np.ndarray:
    """The share of draws from N(0, 1) that fall into holes of the cloud of two kinds: between them, and beyond."""
    centre, z = 0.95, np.linspace(-8, 8, 160_001)
    prior = np.exp(jax.vmap(model.log_prior)(z[:, None]))
    squares = np.square(z[:, None] - [centre, -centre]) / (1 - centre**2)
    cloud = np.mean(np.exp(-squares / 2), axis=1) / np.sqrt(2 * np.pi * (1 - centre**2))
    hole = np.where(prior > 10 * cloud, prior, 0) * (z[1] - z[0])
    return np.array([hole[np.abs(z) < centre].sum(), hole[np.abs(z) > centre].sum()])

"""The rows of the one table with a latent z: the same decoder of logits f(z), learned in six ways.

Every function takes the split, the seed and its settings, and returns what was `Measured`, as in `bit_rows`. The number
of parameters is that of the decoder; `encoder_parameters` says what an encoder adds. Widths, rates and iterations were
chosen with the validation images of seed 0.
"""

from collections.abc import Callable

import jax

import abp_jax as abp
from abp_jax.evaluation import lattice
from abp_jax.relatives.bits import Split
from experiments import latent_models
from experiments.measured import NUM_SAMPLES, Measured, timed

BITS = abp.Bernoulli()


def exact(learn: Callable) -> Callable:
    """Returns the row of a way to learn with z of two dimensions, judged by a lattice."""

    def row(split: Split, seed: int, **settings) -> Measured:
        found, seconds = timed(lambda: learn(split, seed, BITS, latent_dim=2, **settings))
        f = _result(found).generator
        return _measured(f, lattice.exact_log_evidence(f, split.test, BITS), seed, seconds)

    return row


def ten_dimensions(split: Split, seed: int, **settings) -> Measured:
    """A variational autoencoder with z of ten dimensions, judged by its importance-weighted bound."""
    best, seconds = timed(lambda: latent_models.autoencoder(split, seed, BITS, latent_dim=10, **settings))
    key = jax.random.fold_in(jax.random.key(seed), 1)
    log_probs = latent_models.bound(key, best.result, split.test, BITS, latent_models.MANY)
    return _measured(best.result.generator, log_probs, seed, seconds)


def encoder_parameters(split: Split, latent_dim: int, encoder_widths: tuple[int, ...]) -> int:
    return latent_models.num_parameters(latent_models.encoder(split, 0, latent_dim, encoder_widths))


def _result(found):
    return getattr(found, "result", found)


def _measured(f, log_probs, seed: int, seconds: float) -> Measured:
    samples = latent_models.draws(jax.random.key(seed), f, BITS, NUM_SAMPLES)
    return Measured(log_probs, samples, latent_models.num_parameters(f), seconds)


def settings(digits: dict, clothes: dict, **common) -> dict[str, dict]:
    """The settings of each data set."""
    return {"digits": common | digits, "clothes": common | clothes}


W = dict(widths=(100, 100))
ENCODER = W | dict(encoder_widths=(200, 200), learning_rate=3e-3)
ITERATIONS = dict(num_iterations=10_000), dict(num_iterations=12_000)
ABP = W | dict(sampler="gauss_newton_mala", num_steps=1, prior_draws=50, learning_rate=3e-3)
CLIMB = dict(spacings=(0.25,), num_epochs=(150,)), dict(spacings=(0.25, 0.125), num_epochs=(60, 15))
IMPORTANCE = ENCODER | dict(num_draws=8, objective="importance")
ROWS = {  # as in `one_table`
    "lattice": (exact(latent_models.climber), "exact", settings(*CLIMB, **W, learning_rate=1e-2)),
    "ABP": (
        exact(latent_models.alternating),
        "exact",
        settings(dict(num_iterations=6_000), dict(num_iterations=12_000), **ABP),
    ),
    "VAE, d = 2": (exact(latent_models.autoencoder), "exact", settings(*ITERATIONS, **ENCODER, num_draws=2)),
    "importance-weighted": (exact(latent_models.autoencoder), "exact", settings(*ITERATIONS, **IMPORTANCE)),
    "wake and sleep": (exact(latent_models.dreamer), "exact", settings(*ITERATIONS, **ENCODER, num_draws=4)),
    "VAE, d = 10": (ten_dimensions, "bound", settings(*ITERATIONS, **ENCODER, num_draws=2)),
}

"""The second table: clothes as grey values, one decoder with z of two dimensions, and the density of test images.

A density has the unit of the numbers: in [0, 1] instead of [-1, 1] all would be 196 log 2 = 136 nats higher. Of each
run the record keeps the mean of log p over the test images and its standard error, sigma, the number of parameters and
the seconds of learning, on one core; the arrays beside it keep log p of every test image, for paired differences, and
sixteen draws, with the noise and without.
"""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import jax
import numpy as np

from abp_jax.relatives import bits
from experiments import grey_models, latent_models, recipe
from experiments.grey_models import Grey
from experiments.records import FOLDER, Arrays, Records

SEEDS = (0, 1, 2)
NO_SEED = ("factor analysis",)  # nothing in it is drawn
W = dict(sigma=0.25, widths=(100, 100))
ITERATIONS = dict(num_iterations=10_000)
ENCODER = W | ITERATIONS | dict(encoder_widths=(200, 200), learning_rate=2e-3)
ABP = W | ITERATIONS | dict(learning_rate=3e-3)
MIXTURE = dict(num_components=200, num_rounds=100)
ROWS = {  # name -> function, settings
    "factor analysis": (grey_models.factors, dict(latent_dim=2)),
    "mixture, one sigma": (grey_models.mixture, MIXTURE | dict(one_sigma=True)),
    "mixture": (grey_models.mixture, MIXTURE | dict(one_sigma=False)),
    "lattice": (
        grey_models.decoder(latent_models.climber),
        W | dict(spacings=(0.25, 0.125), num_epochs=(60, 15), learning_rate=1e-2),
    ),
    "ABP": (grey_models.decoder(latent_models.alternating), ABP),
    "ABP without draws": (grey_models.decoder(latent_models.alternating), ABP | dict(prior_draws=0)),
    "ABP without correction": (
        grey_models.decoder(latent_models.alternating),
        ABP | dict(sampler="gauss_newton", prior_draws=10),
    ),
    "VAE": (grey_models.decoder(latent_models.autoencoder), ENCODER | dict(num_draws=2)),
    "importance-weighted": (
        grey_models.decoder(latent_models.autoencoder),
        ENCODER | dict(num_draws=16, objective="importance"),
    ),
    "wake and sleep": (grey_models.decoder(latent_models.dreamer), ENCODER | dict(num_draws=4)),
    "GAN": (
        grey_models.decoder(grey_models.adversary),
        W | dict(num_iterations=20_000, critic_widths=(200, 200), learning_rates=(5e-4, 5e-4)),
    ),
}


def runs(rows: dict, seeds: Iterable[int] = SEEDS) -> dict[str, tuple[str, int, dict]]:
    """Returns name -> row, seed and settings of every run: the first seed of all rows before the next one."""
    return {
        f"{row}, seed {seed}": (row, seed, settings)
        for seed in seeds
        for row, (_, settings) in rows.items()
        if not (row in NO_SEED and seed != SEEDS[0])
    }


def run(function: Callable, seed: int, settings: dict, keep: Callable) -> dict:
    """Learns and judges one model. keep takes its arrays by name; the rest is returned.

    Raises:
      ValueError: log_probs are not one for each test image, or not finite.
    """
    split = bits.load_grey_clothes()
    measured = Grey(*function(split, seed, **settings))
    log_probs = np.asarray(measured.log_probs, float)
    if log_probs.shape != (len(split.test),) or not np.all(np.isfinite(log_probs)):
        raise ValueError(f"log_probs must be finite and of shape ({len(split.test)},), got {log_probs.shape}.")
    pictures = dict(samples=_levels(measured.samples), means=_levels(measured.means))
    keep(log_probs=np.round(log_probs, 3).astype(np.float32), **pictures)
    mean = [round(value, 4) for value in recipe.mean_and_error(log_probs.tolist())]
    sigma = None if np.isnan(measured.sigma) else round(measured.sigma, 4)
    found = {"kind": "exact", "test": mean, "sigma": sigma}
    return found | {"parameters": int(measured.num_parameters), "seconds": round(measured.seconds, 2)}


def grey_table(rows: dict = ROWS, seeds: Iterable[int] = SEEDS, folder: Path = FOLDER) -> None:
    """All of them. What is on file stays if its arrays are there too."""
    records, arrays = Records("grey_table", folder), Arrays("grey_table", folder)
    records.runs = {name: run for name, run in records.runs.items() if name in arrays}
    for name, (row, seed, settings) in runs(rows, seeds).items():
        keep = partial(arrays.keep, name)
        result = records.once(name, settings, partial(run, rows[row][0], seed, settings, keep))
        jax.clear_caches()
        mean, error = result["test"]
        recipe.say(f"{name}: {mean:.2f} ± {error:.2f}, sigma {result['sigma']}, {result['seconds']:.1f} s")


def _levels(images: np.ndarray) -> np.ndarray:
    """Numbers in [-1, 1] as uint8, what lies outside clipped."""
    return np.uint8(np.rint(np.clip(127.5 * (np.asarray(images) + 1), 0, 255)))

"""Notebook 10: what whitening does to samples. The same images of Fashion-MNIST, learned with it and without."""

from functools import partial

import numpy as np

import abp_jax as abp
from abp_jax.training.records import GENERATORS, whitening_splits
from experiments import recipe
from experiments.records import FOLDER, Records

SETTINGS = dict(
    optimizer="Muon", latent_dim=64, width=16, num_iterations=600, num_steps=recipe.NUM_STEPS, last_sigma=0.15
)


def run(whitening: bool) -> dict:
    """Learns, and saves the generator. Returns the losses, and how z is spread: the eigenvalues of its covariance."""
    name = "with" if whitening else "without"
    images = whitening_splits(name)["learned"].images
    result = recipe.learn(f"{name} whitening", images, whitening=whitening, **SETTINGS)
    abp.save_generator(FOLDER / GENERATORS["whitening"][name], result.generator, result.z, np.float16)
    spread = np.linalg.eigvalsh(np.cov(np.asarray(result.z, np.float64).T, bias=True))[::-1]
    return {"losses": np.round(result.losses, 5).tolist(), "eigenvalues": np.round(spread, 4).tolist()}


def whitening() -> None:
    """Both."""
    records = Records("whitening")
    for whitening in (True, False):
        name = "with" if whitening else "without"
        recipe.say(f"{name} whitening")
        result = records.once(name, SETTINGS, partial(run, whitening))
        recipe.say(
            f"  error {result['losses'][-1]:.4f}, variances of z {result['eigenvalues'][0]:.2f} to "
            f"{result['eigenvalues'][-1]:.2f}"
        )

"""Notebooks 10 and 12: errors on training, test and negative images while three generators learn Fashion-MNIST.

100 images with a large network, 10,000 with the same, 20,000 with a small one: overfitting, good, underfitting. The
second is the generator that notebook 10 shows.
"""

import math
from functools import partial

import numpy as np

import abp_jax as abp
from abp_jax.training.records import GENERATORS, NUM_IMAGES, regimes_splits
from experiments import recipe
from experiments.records import FOLDER, Records

NUM_MEASURED = 200  # of each kind, for the errors
STAGES = 8  # points of a curve
LARGE = dict(optimizer="Muon", latent_dim=64, width=16, num_steps=recipe.NUM_STEPS)
SMALL = dict(optimizer="Muon", latent_dim=4, width=1, num_steps=recipe.NUM_STEPS)
REGIMES = {  # settings
    "overfitting": LARGE | dict(num_iterations=600, last_sigma=0.1),
    "good": LARGE | dict(num_iterations=3000, last_sigma=0.15),
    "underfitting": SMALL | dict(num_iterations=1000, last_sigma=0.3),
}


def measured(regime: str) -> dict[str, np.ndarray]:
    """The images whose errors are followed: learned ones, test images, and digits, which are no clothes."""
    splits, rng = regimes_splits(regime), np.random.default_rng(0)
    return {
        "train": splits["learned"].images[rng.permutation(NUM_IMAGES[regime])[:NUM_MEASURED]],
        "test": splits["test"].images[:NUM_MEASURED],
        "negative": abp.load_digits(NUM_MEASURED),
    }


def stages(num_iterations: int) -> list[int]:
    """Iterations after which errors are measured, denser at the start."""
    return [math.ceil(num_iterations * (k / STAGES) ** 2) for k in range(1, STAGES + 1)]


def run(regime: str, records: Records) -> dict:
    """Learns a regime. Its losses, and the mean errors on each kind of images at every stage."""
    settings, images, curve = REGIMES[regime], regimes_splits(regime)["learned"].images, []
    for until in stages(settings["num_iterations"]):

        def point(until=until):
            result = recipe.learn(f"regime {regime}", images, until=until, **settings)
            errors = {}
            for kind, some in measured(regime).items():
                z = recipe.descend(result.generator, some, num_steps=50)
                mean, standard_error = recipe.mean_and_error(recipe.error(result.generator, z, some))
                errors[kind] = {"mean": mean, "standard error": standard_error}
            return errors

        recipe.say(f"{regime}: {until} iterations")
        errors = records.once(f"{regime} {until}", settings, point)
        recipe.say("  " + ", ".join(f"{kind} {e['mean']:.4f}" for kind, e in errors.items()))
        curve.append({"iterations": until, **errors})
    result = recipe.learn(f"regime {regime}", images, **settings)
    abp.save_generator(FOLDER / GENERATORS["regimes"][regime], result.generator, result.z[:1000], np.float16)
    return {"images": NUM_IMAGES[regime], "curve": curve, "losses": np.round(result.losses, 5).tolist()}


def regimes() -> None:
    """The three of them."""
    points, records = Records("regimes_points", FOLDER.parent.parent / "build" / "experiments"), Records("regimes")
    for regime, settings in REGIMES.items():
        records.once(regime, settings | {"images": NUM_IMAGES[regime]}, partial(run, regime, points))

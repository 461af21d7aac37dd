"""Notebooks 10 and 12: errors on training, held-out and other images while three generators learn clothes.

100 images with a large network, 10,000 with the same, 20,000 with a small one: learned by heart, learned well, learned
too little. The second is the generator that notebook 10 shows.
"""

import math
from functools import partial

import numpy as np

import abp_jax as abp
from abp_jax.images import datasets
from experiments import recipe
from experiments.records import FOLDER, Records

NUM_HELD_OUT = 1000  # the last of the 10,000 clothes: none of the three learns them or their mirror images
NUM_MEASURED = 200  # of each kind, for the errors
STAGES = 8  # points of a curve
LARGE = dict(latent_dim=64, width=16, num_steps=recipe.NUM_STEPS)
SMALL = dict(latent_dim=4, width=1, num_steps=recipe.NUM_STEPS)
REGIMES = {  # images, settings
    "overfitting": (100, LARGE | dict(num_iterations=600, last_sigma=0.1)),
    "good": (10_000, LARGE | dict(num_iterations=3000, last_sigma=0.15)),
    "underfitting": (20_000, SMALL | dict(num_iterations=1000, last_sigma=0.3)),
}


def clothes(num: int) -> np.ndarray:
    """The first of the 9,000 that may be learned; where `num` is more, `datasets.enlarge` draws from them."""
    return datasets.enlarge(abp.load_clothes()[:-NUM_HELD_OUT], num)


def measured(num: int) -> dict[str, np.ndarray]:
    """The images whose errors are followed: learned ones, held-out ones, and digits, which are no clothes."""
    rng = np.random.default_rng(0)
    learned = rng.permutation(num)[:NUM_MEASURED]
    return {
        "train": clothes(num)[learned],
        "test": abp.load_clothes()[-NUM_HELD_OUT:][:NUM_MEASURED],
        "negative": abp.load_digits(NUM_MEASURED),
    }


def stages(num_iterations: int) -> list[int]:
    """Iterations after which errors are measured, denser at the start."""
    return [math.ceil(num_iterations * (k / STAGES) ** 2) for k in range(1, STAGES + 1)]


def run(regime: str, records: Records) -> dict:
    num, settings = REGIMES[regime]
    images, curve = clothes(num), []
    for until in stages(settings["num_iterations"]):

        def point(until=until):
            result = recipe.learn(f"regime {regime}", images, until=until, **settings)
            errors = {}
            for kind, some in measured(num).items():
                z = recipe.descend(result.generator, some, num_steps=50)
                mean, standard_error = recipe.mean_and_error(recipe.error(result.generator, z, some))
                errors[kind] = {"mean": mean, "standard error": standard_error}
            return errors

        recipe.say(f"{regime}: {until} iterations")
        errors = records.once(f"{regime} {until}", settings, point)
        recipe.say("  " + ", ".join(f"{kind} {e['mean']:.4f}" for kind, e in errors.items()))
        curve.append({"iterations": until, **errors})
    result = recipe.learn(f"regime {regime}", images, **settings)
    abp.save_generator(FOLDER / f"{regime}_generator.safetensors", result.generator, result.z[:1000], np.float16)
    return {"images": num, "curve": curve, "losses": np.round(result.losses, 5).tolist()}


def regimes() -> None:
    """The three of them."""
    points, records = Records("regimes_points", FOLDER.parent.parent / "build" / "experiments"), Records("regimes")
    for regime, (num, settings) in REGIMES.items():
        records.once(regime, settings | {"images": num}, partial(run, regime, points))

"""Notebook 05: the exercise sheet's own run, with the settings of its starter code, and what changes until it is cured.

Four variants on the eleven shipped faces, two seeds of each, whose losses, z and images are kept. They are meant for a
GPU. A run that was killed begins again.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import numpy as np
import optax
from flax import nnx
from PIL import Image

import abp_jax as abp
from abp_jax import fitting
from abp_jax.images.data import pixels
from abp_jax.training.records import EXERCISE, EXERCISE_PARTS, EXERCISE_PICTURES
from experiments import recipe
from experiments.records import FOLDER, Records

EVERY, STABLE_EVERY = 10, 50  # iterations between two looks at z, and at the largest stable steps
NUM_FACES = 11
SIZES = dict(latent_dim=2, image_size=64, width=64)  # the network of the sheet
STARTER = dict(sampler="langevin", num_steps=30, step_size=0.3, whitening=False, num_warmup=0, weight_decay=0.0)
COURSE = dict(sampler="gauss_newton", num_steps=8, step_size=0.5, num_warmup=20, weight_decay=0.4)
KEPT, FALLING = (dict(learning_rate=1e-3, rate_falls=falls) for falls in (False, True))
VARIANTS = {
    "as posed": STARTER | KEPT | dict(sigma=0.3),
    # The gradient of the log likelihood over n is that of sigma * sqrt(n). As W learns, Adam does not feel its scale.
    "averaged": STARTER | KEPT | dict(sigma=0.3 * NUM_FACES**0.5),
    "without whitening": COURSE | FALLING | dict(sigma=0.3, whitening=False),
    "cured": COURSE | FALLING | dict(sigma=0.3, whitening=True),
}


class History:
    """A callback of `fit` that keeps how large z is, and the largest stable steps of unadjusted Langevin.

    The first at every tenth iteration, the second at every fiftieth, for the sigma of the chains.
    """

    def __init__(self, images: np.ndarray, sigma: float):
        self.images, self.sigma = images, sigma
        self.z = {"iterations": [], "root mean square": [], "largest": []}
        self.stable = {"iterations": [], "smallest": [], "median": [], "largest": []}

    def __call__(self, done: int, snapshot: Callable[[], abp.FitResult]) -> None:
        if done % EVERY == 0 and done not in self.z["iterations"]:
            result = snapshot()
            z = np.asarray(result.z, np.float64)
            _append(self.z, done, np.sqrt(np.mean(z**2)), np.abs(z).max())
            if done % STABLE_EVERY == 0:
                steps = np.asarray(stable_steps(result.generator, self.images, result.z, self.sigma))
                _append(self.stable, done, steps.min(), np.median(steps), steps.max())


@nnx.jit
def stable_steps(generator: nnx.Module, images: jax.Array, z: jax.Array, sigma: float) -> jax.Array:
    """The largest stable step of each image, (n,), in one compiled program."""
    return abp.stability.largest_stable_steps(generator, images, z, sigma)


def _append(table: dict[str, list], done: int, *values: float) -> None:
    for column, value in zip(table.values(), [done, *(round(float(value), 4) for value in values)], strict=True):
        column.append(value)


def run(variant: str, seed: int, settings: dict, folder: Path) -> dict:
    """Learns, and keeps images of seed 0. Returns losses, z, largest stable steps, and why it diverged, if it did."""
    images = abp.load_lion_tiger(size=settings["image_size"])
    generator = abp.ConvGenerator(*(settings[name] for name in SIZES), rngs=nnx.Rngs(seed))
    history, diverged = History(images, settings["sigma"]), None
    options = {name: value for name, value in settings.items() if name not in SIZES}
    kept = lambda rate, num_iterations: optax.constant_schedule(rate)
    schedule = fitting.constant_then_cosine if options.pop("rate_falls") else kept
    rate = schedule(options.pop("learning_rate"), settings["num_iterations"])
    options["optimizer"] = abp.optimizers.adam(rate, options.pop("weight_decay"))  # the exercise's
    try:  # without a folder checkpoint_every is where `fit` calls the callback, at least
        result = abp.fit(
            generator, images, key=jax.random.key(seed), checkpoint_every=EVERY, callback=history, **options
        )
    except fitting.ChainDiverged as failure:
        result, diverged = failure.result, str(failure)
    if diverged is None and len(result.losses) < settings["num_iterations"]:  # Ctrl-C
        raise KeyboardInterrupt
    if seed == 0:
        keep_images(folder / EXERCISE_PICTURES[variant], result)
    errors = recipe.error(result.generator, result.z, images)
    return {
        "device": abp.describe_device(),
        "diverged": diverged,
        "weights": sum(w.size for w in jax.tree.leaves(nnx.state(result.generator))),
        "losses": np.round(result.losses, 5).tolist(),
        "errors": np.round(errors, 5).tolist(),
        "z": history.z,
        "largest stable steps": history.stable,
        "last z": np.round(np.asarray(result.z, np.float64), 4).tolist(),
    }


def keep_images(path: Path, result: abp.FitResult) -> None:
    """Writes one picture of the reconstructions, of draws z ~ N(0, I) and of the panel, as `Experiment.pictures` reads.

    Rows of eight, in this order and without gaps, so that no block of 8x8 pixels of the JPEG file crosses an edge.
    """
    draws = jax.random.normal(jax.random.key(1), (EXERCISE_PARTS["draws"], result.z.shape[1]))
    parts = [abp.reconstruct(result.generator, z) for z in (result.z, draws)] + [abp.latent_grid(result.generator)]
    assert [len(part) for part in parts] == list(EXERCISE_PARTS.values())
    picture = abp.plots.tile(np.concatenate(parts), num_columns=8, gap=0)
    Image.fromarray(pixels(2 * picture - 1)).save(path, quality=85)


def exercise(image_size: int = 64, width: int = 64, num_iterations: int = 600, folder: Path = FOLDER) -> None:
    """Every variant and seed, on images of this size."""
    records = Records("exercise", folder)
    sizes = SIZES | dict(image_size=image_size, width=width)
    for (variant, seed), name in EXERCISE.items():
        settings = sizes | VARIANTS[variant] | dict(num_iterations=num_iterations)
        recipe.say(name)
        result = records.once(name, settings, partial(run, variant, seed, settings, folder))
        recipe.say(
            f"  error {result['losses'][-1]:.4f} after {len(result['losses'])} iterations, root mean square of z "
            f"{result['z']['root mean square'][-1]:.2f}" + (f"; {result['diverged']}" if result["diverged"] else "")
        )

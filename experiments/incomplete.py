"""Notebook 14: learning from images of which only a part is observed, and filling in the rest."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import abp_jax as abp
from abp_jax.evaluation.baselines import missing_pca, nearest_neighbour
from abp_jax.training.records import GENERATORS, MASKS, NUM_MEASUREMENTS, Split, incomplete_splits, projections
from experiments import recipe
from experiments.records import FOLDER, Records

SETTINGS = dict(optimizer="Muon", latent_dim=20, width=16, num_iterations=600, num_steps=recipe.NUM_STEPS)
CHOICES = dict(last_sigma=(0.2, 0.3, 0.45), num_components=(5, 10, 20, 40, 60, 80))  # the generator's, and PCA's
PROJECTIONS_SIGMA = 0.15
NUM_DRAWS = 10  # of z, whose images are averaged: the expected image
FIRST_SIGMAS = (1.0, 0.5)  # of the descent to each draw

Recover = Callable[[Split], np.ndarray]  # whole images, from what is observed


def on_missing(recovered: np.ndarray, split: Split) -> np.ndarray:
    """Mean squared error over the missing pixels of each image: (n,)."""
    missing = ~split.observed[..., None]
    errors = np.where(missing, recovered.reshape(split.images.shape) - split.images, 0)
    return np.sum(errors**2, axis=(1, 2, 3)) / np.sum(missing, axis=(1, 2, 3))


def measured(recover: Recover, splits: dict[str, Split]) -> dict[str, list[float]]:
    """Returns the errors of each image, of those learned and of those held out to the end."""
    return {name: np.round(on_missing(recover(splits[name]), splits[name]), 5).tolist() for name in ("train", "test")}


def best_measured(candidates: dict[str, Recover], splits: dict[str, Split]) -> dict:
    """Measures the candidate that has the smallest error on "validation"."""
    split = splits["validation"]
    validation = {name: float(on_missing(recover(split), split).mean()) for name, recover in candidates.items()}
    chosen = min(validation, key=validation.get)
    return {"validation": validation, "chosen": chosen} | measured(candidates[chosen], splits)


def expected_images(generator: nnx.Module, y: np.ndarray, sigma: float, **observation) -> np.ndarray:
    """The mean of f(z) over draws from the posteriors given y: (n, h, w, c). observation: mask or measure.

    What is missing may have several explanations, and a chain stays with one. So each draw has a descent of its own.
    """
    total = 0.0
    for draw in range(NUM_DRAWS):
        options = dict(sigma=(*FIRST_SIGMAS, sigma), sampler=recipe.SAMPLER, num_steps=30, num_starts=1)
        z = abp.infer(generator, y, key=jax.random.key(100 + draw), **options, **observation)
        total = total + np.asarray(abp.reconstruct(generator, z)) / NUM_DRAWS
    return total


def run_mask(name: str) -> dict:
    """Learns behind one kind of mask. Errors on missing pixels, of images learned and of others."""
    splits = incomplete_splits(name)
    learned = splits["learned"]

    results, by_generator = {}, {}
    for sigma in CHOICES["last_sigma"]:
        recipe.say(f"  generator, down to a noise of {sigma}")
        result = recipe.learn(f"incomplete {name}", learned.images, mask=learned.observed, last_sigma=sigma, **SETTINGS)
        draw = partial(expected_images, result.generator, sigma=sigma)
        results[str(sigma)], by_generator[str(sigma)] = result, lambda s, draw=draw: draw(s.images, mask=s.observed)
    recipe.say("  expected images")
    generator = best_measured(by_generator, splits)
    if file := GENERATORS["incomplete"].get(name):
        best = results[generator["chosen"]]
        abp.save_generator(FOLDER / file, best.generator, best.z, np.float16)

    rows, observed = _rows(learned)
    rows = rows.astype(float)
    by_pca = {}
    for d in CHOICES["num_components"]:
        recipe.say(f"  PCA with missing data, d = {d}")
        pca = missing_pca(rows, observed, d)
        by_pca[str(d)] = lambda s, pca=pca: pca.recover(*_rows(s))
    mean = np.where(observed, rows, 0).sum(axis=0) / observed.sum(axis=0)
    neighbour = lambda s: nearest_neighbour(*_rows(s), rows, observed, same=s is splits["train"])
    return {
        "hidden": float(np.mean(~observed)),
        "generator": generator,
        "pca": best_measured(by_pca, splits),
        "nearest neighbour": measured(neighbour, splits),
        "mean image": measured(lambda s: np.broadcast_to(mean, (len(s.images), len(mean))), splits),
    }


def _rows(split: Split) -> Split:
    """Each image, and where it is observed, as a row: (n, 1024)."""
    return Split(*(part.reshape(len(part), -1) for part in split))


def measure(A: jax.Array, image: jax.Array) -> jax.Array:
    """A image, (200,). The rows of A have length 1, so a projection has as much noise as a pixel."""
    return A @ image.ravel()


def nearest_to_black(y: np.ndarray, A: np.ndarray) -> np.ndarray:
    """Least squares: of all the images with these projections the ones that are nearest to black, (n, 1024)."""
    return -1 + (y + A.sum(axis=1)) @ A


def run_projections() -> dict:
    """Learns from 200 random projections of each image. Errors of the whole images."""
    splits, A = incomplete_splits("projections"), projections()
    project = partial(measure, jnp.asarray(A))
    observe = lambda split: split.images.reshape(len(split.images), -1) @ A.T
    result = recipe.learn(
        "incomplete projections",
        observe(splits["learned"]),
        measure=project,
        last_sigma=PROJECTIONS_SIGMA,
        **SETTINGS,
    )
    abp.save_generator(FOLDER / GENERATORS["incomplete"]["projections"], result.generator, result.z, np.float16)
    draw = lambda split: expected_images(result.generator, observe(split), PROJECTIONS_SIGMA, measure=project)
    return {
        "measurements": NUM_MEASUREMENTS,
        "generator": measured(draw, splits),
        "least squares": measured(lambda split: nearest_to_black(observe(split), A), splits),
    }


def incomplete() -> None:
    """All masks, then the projections."""
    records = Records("incomplete")
    for name in MASKS:
        recipe.say(f"incomplete: {name}")
        result = records.once(name, SETTINGS | CHOICES, partial(run_mask, name))
        report(result, "generator", "pca", "nearest neighbour")
    recipe.say("incomplete: random projections")
    result = records.once("projections", SETTINGS | {"last_sigma": PROJECTIONS_SIGMA}, run_projections)
    report(result, "generator", "least squares")


def report(result: dict, *names: str) -> None:
    for name in names:
        recipe.say(f"  {name}: error {np.mean(result[name]['train']):.4f}, test {np.mean(result[name]['test']):.4f}")

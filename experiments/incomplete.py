"""Notebook 14: learning from clothes of which only a part is seen, and filling in the rest."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import abp_jax as abp
from abp_jax.evaluation.baselines import missing_pca, nearest_neighbour
from abp_jax.images import masks
from experiments import recipe
from experiments.records import FOLDER, Records

NUM_TRAIN, NUM_TEST, NUM_MEASURED, SIZE = 1000, 500, 200, 32
MASKS = {
    "P.5": partial(masks.scattered_blocks, hidden=0.5),
    "P.7": partial(masks.scattered_blocks, hidden=0.7),
    "P.9": partial(masks.scattered_blocks, hidden=0.9),
    "a third": partial(masks.one_block, block=SIZE // 3),
    "a half": partial(masks.one_block, block=SIZE // 2),
}
SETTINGS = dict(latent_dim=20, width=16, num_iterations=600, num_steps=recipe.NUM_STEPS)
CHOICES = dict(last_sigma=(0.2, 0.3, 0.45), num_components=(5, 10, 20, 40, 60, 80))  # the generator's, and PCA's
NUM_MEASUREMENTS, PROJECTIONS_SIGMA = 200, 0.15  # of 1,024 numbers
NUM_DRAWS = 10  # of z, whose images are averaged: the expected image
FIRST_SIGMAS = (1.0, 0.5)  # of the descent to each draw


class Split(NamedTuple):
    """Images (n, 32, 32, 1), and what is seen of them (n, 32, 32)."""

    images: np.ndarray
    seen: np.ndarray


Recover = Callable[[Split], np.ndarray]  # whole images, from what is seen


def data(mask: str | None = None) -> dict[str, Split]:
    """Returns 1,000 clothes to learn, 200 of these to measure, 200 others, and 500 others; no mask hides all pixels.

    What there is to choose is chosen by the errors on "validation"; those on "test" are measured after the choice.
    """
    images = abp.load_clothes(NUM_TRAIN + NUM_MEASURED + NUM_TEST)
    parts = np.split(images, [NUM_TRAIN, NUM_TRAIN + NUM_MEASURED])
    draw = MASKS[mask] if mask else lambda num, size, seed: np.zeros((num, size, size), bool)
    learned, validation, test = (Split(part, draw(len(part), SIZE, seed=seed)) for seed, part in enumerate(parts))
    train = Split(learned.images[:NUM_MEASURED], learned.seen[:NUM_MEASURED])
    return {"learned": learned, "train": train, "validation": validation, "test": test}


def on_hidden(recovered: np.ndarray, split: Split) -> np.ndarray:
    """Mean squared error over the hidden pixels of each image: (n,)."""
    hidden = ~split.seen[..., None]
    errors = np.where(hidden, recovered.reshape(split.images.shape) - split.images, 0)
    return np.sum(errors**2, axis=(1, 2, 3)) / np.sum(hidden, axis=(1, 2, 3))


def measured(recover: Recover, splits: dict[str, Split]) -> dict[str, list[float]]:
    """Returns the errors of each image, of those learned and of those held out to the end."""
    return {name: np.round(on_hidden(recover(splits[name]), splits[name]), 5).tolist() for name in ("train", "test")}


def best_measured(candidates: dict[str, Recover], splits: dict[str, Split]) -> dict:
    """Measures the candidate that has the smallest error on "validation"."""
    split = splits["validation"]
    validation = {name: float(on_hidden(recover(split), split).mean()) for name, recover in candidates.items()}
    chosen = min(validation, key=validation.get)
    return {"validation": validation, "chosen": chosen} | measured(candidates[chosen], splits)


def expected_images(generator, observed: np.ndarray, sigma: float, **seen) -> np.ndarray:
    """The mean of f(z) over draws from the posteriors given what is seen: (n, h, w, c).

    What is hidden may have several explanations, and a chain stays with one. So each draw has a descent of its own.
    """
    total = 0.0
    for draw in range(NUM_DRAWS):
        options = dict(sigma=(*FIRST_SIGMAS, sigma), sampler=recipe.SAMPLER, num_steps=30, num_starts=1)
        z = abp.infer(generator, observed, key=jax.random.key(100 + draw), **options, **seen)
        total = total + np.asarray(abp.reconstruct(generator, z)) / NUM_DRAWS
    return total


def run_mask(name: str) -> dict:
    """Learns behind one kind of mask. Recovery errors on hidden pixels, of images learned and of others."""
    splits = data(name)
    learned = splits["learned"]

    results, by_generator = {}, {}
    for sigma in CHOICES["last_sigma"]:
        recipe.say(f"  generator, down to a noise of {sigma}")
        result = recipe.learn(f"incomplete {name}", learned.images, mask=learned.seen, last_sigma=sigma, **SETTINGS)
        draw = partial(expected_images, result.generator, sigma=sigma)
        results[str(sigma)], by_generator[str(sigma)] = result, lambda s, draw=draw: draw(s.images, mask=s.seen)
    recipe.say("  expected images")
    generator = best_measured(by_generator, splits)
    if name == "P.7":
        best = results[generator["chosen"]]
        abp.save_generator(FOLDER / "incomplete_generator.safetensors", best.generator, best.z, np.float16)

    rows, seen = _rows(learned)
    rows = rows.astype(float)
    by_pca = {}
    for d in CHOICES["num_components"]:
        recipe.say(f"  PCA with missing data, d = {d}")
        pca = missing_pca(rows, seen, d)
        by_pca[str(d)] = lambda s, pca=pca: pca.recover(*_rows(s))
    mean = np.where(seen, rows, 0).sum(axis=0) / seen.sum(axis=0)
    neighbour = lambda s: nearest_neighbour(*_rows(s), rows, seen, same=s is splits["train"])
    return {
        "hidden": float(np.mean(~seen)),
        "generator": generator,
        "pca": best_measured(by_pca, splits),
        "nearest neighbour": measured(neighbour, splits),
        "mean image": measured(lambda s: np.broadcast_to(mean, (len(s.images), SIZE * SIZE)), splits),
    }


def _rows(split: Split) -> Split:
    """Each image, and what is seen of it, as a row: (n, 1024)."""
    return Split(*(part.reshape(len(part), -1) for part in split))


def projections() -> np.ndarray:
    """Returns A, 200 orthonormal directions among 1,024 numbers: (200, 1024)."""
    normal = np.random.default_rng(0).normal(size=(SIZE * SIZE, NUM_MEASUREMENTS))
    return np.float32(np.linalg.qr(normal)[0].T)


def measure(A: np.ndarray, image):
    """A image, (200,). The rows of A have length 1, so the noise of a number is as large as that of a pixel."""
    return A @ image.ravel()


def nearest_to_black(observed: np.ndarray, A: np.ndarray) -> np.ndarray:
    """Least squares: of all the images with these projections the ones that are nearest to black, (n, 1024)."""
    return -1 + (observed + A.sum(axis=1)) @ A


def run_projections() -> dict:
    """Learns from 200 random projections of each image. Errors of the whole images."""
    splits, A = data(), projections()
    project = partial(measure, jnp.asarray(A))
    observe = lambda split: split.images.reshape(len(split.images), -1) @ A.T
    result = recipe.learn(
        "incomplete projections",
        observe(splits["learned"]),
        measure=project,
        last_sigma=PROJECTIONS_SIGMA,
        **SETTINGS,
    )
    abp.save_generator(FOLDER / "projections_generator.safetensors", result.generator, result.z, np.float16)
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

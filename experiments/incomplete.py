"""Notebook 14: learning from clothes of which only a part is seen, and filling in the rest."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import abp_jax as abp
from abp_jax import masks
from abp_jax.baselines import missing_pca, nearest_neighbour
from experiments import recipe
from experiments.records import FOLDER, Records

NUM_TRAIN, NUM_TEST, SIZE = 1000, 200, 32
MASKS = {
    "P.5": partial(masks.scattered_blocks, hidden=0.5),
    "P.7": partial(masks.scattered_blocks, hidden=0.7),
    "P.9": partial(masks.scattered_blocks, hidden=0.9),
    "a third": partial(masks.one_block, block=SIZE // 3),
    "a half": partial(masks.one_block, block=SIZE // 2),
}
SETTINGS = dict(latent_dim=20, width=16, num_iterations=600, num_steps=recipe.NUM_STEPS, last_sigma=0.15)
PCA_DIMS = (5, 10, 20, 40)
NUM_MEASUREMENTS = 200  # of 1,024 numbers
NUM_DRAWS = 10  # of z, whose images are averaged: the expected image


def data() -> tuple[np.ndarray, np.ndarray]:
    """Returns the first 1,000 clothes, to be learned, and 200 others."""
    images = abp.load_clothes(NUM_TRAIN + NUM_TEST)
    return images[:NUM_TRAIN], images[NUM_TRAIN:]


def projections() -> np.ndarray:
    """Returns A, 200 orthonormal directions among 1,024 numbers: (200, 1024)."""
    normal = np.random.default_rng(0).normal(size=(SIZE * SIZE, NUM_MEASUREMENTS))
    return np.float32(np.linalg.qr(normal)[0].T)


def measure(A: np.ndarray, image):
    """A image, (200,). The rows of A have length 1, so the noise of a number is as large as that of a pixel."""
    return A @ image.ravel()


def expected_images(generator, images, z, **seen) -> np.ndarray:
    """The mean of f(z) over draws from the posteriors given what is seen, by chains from z: (n, h, w, c)."""
    total = 0.0
    for draw in range(NUM_DRAWS):
        options = dict(sigma=SETTINGS["last_sigma"], sampler=recipe.SAMPLER, num_steps=10, num_starts=1)
        z = abp.infer(generator, images, key=jax.random.key(100 + draw), z=z, **options, **seen)
        total = total + np.asarray(abp.reconstruct(generator, z)) / NUM_DRAWS
    return total


def on_hidden(recovered: np.ndarray, images: np.ndarray, seen: np.ndarray) -> float:
    """Mean squared error over the pixels that were hidden."""
    return float(np.mean((recovered.reshape(images.shape) - images)[~seen] ** 2))


def run_mask(name: str) -> dict:
    """Learns behind one kind of mask. Recovery errors on hidden pixels, of images learned and of others."""
    train, test = data()
    seen, seen_test = MASKS[name](NUM_TRAIN, SIZE, seed=0), MASKS[name](NUM_TEST, SIZE, seed=1)
    result = recipe.learn(f"incomplete {name}", train, mask=seen, **SETTINGS)
    z_test = recipe.descend(result.generator, test, mask=seen_test)
    if name == "P.7":
        abp.save_generator(FOLDER / "incomplete_generator.safetensors", result.generator, result.z, np.float16)
    rows, rows_test = (images.reshape(len(images), -1).astype(float) for images in (train, test))
    flat, flat_test = (mask.reshape(len(mask), -1) for mask in (seen, seen_test))
    by_pca = {}
    for d in PCA_DIMS:
        recipe.say(f"  PCA with missing data, d = {d}")
        pca = missing_pca(rows, flat, d)
        by_pca[str(d)] = {
            "train": on_hidden(pca.recover(rows, flat), train, seen),
            "test": on_hidden(pca.recover(rows_test, flat_test), test, seen_test),
        }
    mean = np.where(flat, rows, 0).sum(axis=0) / flat.sum(axis=0)
    return {
        "hidden": float(np.mean(~seen)),
        "generator": {
            "train": on_hidden(expected_images(result.generator, train, result.z, mask=seen), train, seen),
            "test": on_hidden(expected_images(result.generator, test, z_test, mask=seen_test), test, seen_test),
        },
        "pca": by_pca,
        "nearest neighbour": {
            "train": on_hidden(nearest_neighbour(rows, flat, rows, flat, same=True), train, seen),
            "test": on_hidden(nearest_neighbour(rows_test, flat_test, rows, flat), test, seen_test),
        },
        "mean image": {
            "train": on_hidden(np.tile(mean, (NUM_TRAIN, 1)), train, seen),
            "test": on_hidden(np.tile(mean, (NUM_TEST, 1)), test, seen_test),
        },
    }


def run_projections() -> dict:
    """Learns from 200 random projections of each image. Errors of the whole images."""
    train, test = data()
    A = projections()
    project = partial(measure, jnp.asarray(A))
    observed, observed_test = (images.reshape(len(images), -1) @ A.T for images in (train, test))
    result = recipe.learn("incomplete projections", observed, measure=project, **SETTINGS)
    z_test = recipe.descend(result.generator, observed_test, measure=project)
    square = lambda images, recovered: float(np.mean((recovered.reshape(images.shape) - images) ** 2))
    return {
        "measurements": NUM_MEASUREMENTS,
        "generator": {
            "train": square(train, expected_images(result.generator, observed, result.z, measure=project)),
            "test": square(test, expected_images(result.generator, observed_test, z_test, measure=project)),
        },
        "least squares": {"train": square(train, observed @ A), "test": square(test, observed_test @ A)},
    }


def incomplete() -> None:
    """All masks, then the projections."""
    records = Records("incomplete")
    for name in MASKS:
        recipe.say(f"incomplete: {name}")
        result = records.once(name, SETTINGS, partial(run_mask, name))
        report(generator=result["generator"], neighbour=result["nearest neighbour"], pca=best_pca(result))
    recipe.say("incomplete: random projections")
    result = records.once("projections", SETTINGS | {"measurements": NUM_MEASUREMENTS}, run_projections)
    report(generator=result["generator"], least_squares=result["least squares"])


def best_pca(result: dict) -> dict[str, float]:
    """The errors of the d at which PCA does best on the test images themselves, which favours it."""
    return min(result["pca"].values(), key=lambda errors: errors["test"])


def report(**errors: dict[str, float]) -> None:
    recipe.say("  error: " + ", ".join(f"{name} {e['train']:.4f}, test {e['test']:.4f}" for name, e in errors.items()))

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

NUM_TRAIN, NUM_TEST, SIZE = 1000, 200, 32  # errors are measured on 200 of the images learned, and on 200 others
MASKS = {
    "P.5": partial(masks.scattered_blocks, hidden=0.5),
    "P.7": partial(masks.scattered_blocks, hidden=0.7),
    "P.9": partial(masks.scattered_blocks, hidden=0.9),
    "a third": partial(masks.one_block, block=SIZE // 3),
    "a half": partial(masks.one_block, block=SIZE // 2),
}
SETTINGS = dict(latent_dim=20, width=16, num_iterations=600, num_steps=recipe.NUM_STEPS)
LAST_SIGMA = {"P.5": 0.15, "P.7": 0.2, "P.9": 0.3, "a third": 0.3, "a half": 0.2, "projections": 0.15}
PCA_DIMS = (5, 10, 20, 40, 60)
NUM_MEASUREMENTS = 200  # of 1,024 numbers
NUM_DRAWS = 10  # of z, whose images are averaged: the expected image
FIRST_SIGMAS = (1.0, 0.5)  # of the descent to each draw


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


def expected_images(generator, images, sigma: float, **seen) -> np.ndarray:
    """The mean of f(z) over draws from the posteriors given what is seen: (n, h, w, c).

    What is hidden may have several explanations, and a chain stays with one. So each draw has a descent of its own.
    """
    total = 0.0
    for draw in range(NUM_DRAWS):
        options = dict(sigma=(*FIRST_SIGMAS, sigma), sampler=recipe.SAMPLER, num_steps=30, num_starts=1)
        z = abp.infer(generator, images, key=jax.random.key(100 + draw), **options, **seen)
        total = total + np.asarray(abp.reconstruct(generator, z)) / NUM_DRAWS
    return total


def nearest_to_black(observed: np.ndarray, A: np.ndarray) -> np.ndarray:
    """Least squares: of all the images with these projections the ones that are nearest to black, (n, 1024)."""
    return -1 + (observed + A.sum(axis=1)) @ A


def on_hidden(recovered: np.ndarray, images: np.ndarray, seen: np.ndarray) -> float:
    """Mean squared error over the pixels that were hidden."""
    return float(np.mean((recovered.reshape(images.shape) - images)[~seen] ** 2))


def run_mask(name: str, settings: dict) -> dict:
    """Learns behind one kind of mask. Recovery errors on hidden pixels, of images learned and of others."""
    train, test = data()
    seen, seen_test = MASKS[name](NUM_TRAIN, SIZE, seed=0), MASKS[name](NUM_TEST, SIZE, seed=1)
    result = recipe.learn(f"incomplete {name}", train, mask=seen, **settings)
    if name == "P.7":
        abp.save_generator(FOLDER / "incomplete_generator.safetensors", result.generator, result.z, np.float16)
    recipe.say("  expected images")
    measured = {"train": (train[:NUM_TEST], seen[:NUM_TEST]), "test": (test, seen_test)}
    draw = partial(expected_images, result.generator, sigma=settings["last_sigma"])
    by_generator = {split: on_hidden(draw(some, mask=mask), some, mask) for split, (some, mask) in measured.items()}

    rows, flat = train.reshape(NUM_TRAIN, -1).astype(float), seen.reshape(NUM_TRAIN, -1)

    def errors(recover):  # recover: split, rows, what is seen of them -> rows
        return {
            split: on_hidden(recover(split, some.reshape(NUM_TEST, -1), mask.reshape(NUM_TEST, -1)), some, mask)
            for split, (some, mask) in measured.items()
        }

    by_pca = {}
    for d in PCA_DIMS:
        recipe.say(f"  PCA with missing data, d = {d}")
        pca = missing_pca(rows, flat, d)
        by_pca[str(d)] = errors(lambda split, some, mask: pca.recover(some, mask))  # noqa: B023
    mean = np.where(flat, rows, 0).sum(axis=0) / flat.sum(axis=0)
    neighbour = lambda split, some, mask: nearest_neighbour(some, mask, rows, flat, same=split == "train")
    return {
        "hidden": float(np.mean(~seen)),
        "generator": by_generator,
        "pca": by_pca,
        "nearest neighbour": errors(neighbour),
        "mean image": errors(lambda split, some, mask: np.tile(mean, (NUM_TEST, 1))),
    }


def run_projections(settings: dict) -> dict:
    """Learns from 200 random projections of each image. Errors of the whole images."""
    train, test = data()
    A = projections()
    project = partial(measure, jnp.asarray(A))
    observe = lambda images: images.reshape(len(images), -1) @ A.T
    result = recipe.learn("incomplete projections", observe(train), measure=project, **settings)
    abp.save_generator(FOLDER / "projections_generator.safetensors", result.generator, result.z, np.float16)
    measured = {"train": train[:NUM_TEST], "test": test}
    draw = partial(expected_images, result.generator, sigma=settings["last_sigma"], measure=project)
    square = lambda images, recovered: float(np.mean((recovered.reshape(images.shape) - images) ** 2))
    return {
        "measurements": NUM_MEASUREMENTS,
        "generator": {split: square(some, draw(observe(some))) for split, some in measured.items()},
        "least squares": {split: square(some, nearest_to_black(observe(some), A)) for split, some in measured.items()},
    }


def incomplete() -> None:
    """All masks, then the projections."""
    records = Records("incomplete")
    for name in MASKS:
        recipe.say(f"incomplete: {name}")
        settings = SETTINGS | {"last_sigma": LAST_SIGMA[name]}
        result = records.once(name, settings, partial(run_mask, name, settings))
        report(generator=result["generator"], neighbour=result["nearest neighbour"], pca=best_pca(result))
    recipe.say("incomplete: random projections")
    settings = SETTINGS | {"last_sigma": LAST_SIGMA["projections"]}
    result = records.once("projections", settings, partial(run_projections, settings))
    report(generator=result["generator"], least_squares=result["least squares"])


def best_pca(result: dict) -> dict[str, float]:
    """The errors of the d at which PCA does best on the test images themselves, which favours it."""
    return min(result["pca"].values(), key=lambda errors: errors["test"])


def report(**errors: dict[str, float]) -> None:
    recipe.say("  error: " + ", ".join(f"{name} {e['train']:.4f}, test {e['test']:.4f}" for name, e in errors.items()))

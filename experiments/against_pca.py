"""Notebook 13: the error of reconstructing clothes that were not learned, by the generator and by PCA, at several d."""

import numpy as np
from sklearn.decomposition import PCA

import abp_jax as abp
from experiments import recipe
from experiments.records import FOLDER, Records

LATENT_DIMS = (20, 60, 100, 200)
SEEDS = (0, 1, 2)
NUM_TRAIN, NUM_CHOICE, NUM_TEST = 1000, 300, 300  # the paper learns from 1,000 and measures 300
SETTINGS = dict(width=16, num_iterations=600, num_steps=recipe.NUM_STEPS)
LAST_SIGMA = {20: 0.15, 60: 0.1, 100: 0.07, 200: 0.05}  # found with the 300 of the first split that are for choices


def split(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns 1,000 clothes to learn and 300 others to measure, drawn from the 10,000.

    The 300 drawn between them are for choices, so that no choice has seen what this split measures.
    """
    order = np.random.default_rng(seed).permutation(10_000)
    train, _, test, _ = np.split(abp.load_clothes()[order], np.cumsum([NUM_TRAIN, NUM_CHOICE, NUM_TEST]))
    return train, test


def run(latent_dim: int, seed: int, name: str, settings: dict) -> dict:
    train, test = split(seed)
    result = recipe.learn(name, train, latent_dim=latent_dim, seed=seed, **settings)
    z = recipe.descend(result.generator, test)
    if (latent_dim, seed) == (LATENT_DIMS[0], SEEDS[0]):
        abp.save_generator(FOLDER / "against_pca_generator.safetensors", result.generator, result.z, np.float16)
    pca = PCA(latent_dim, svd_solver="full").fit(train.reshape(NUM_TRAIN, -1))
    by_pca = lambda images: pca.inverse_transform(pca.transform(images.reshape(len(images), -1))).reshape(images.shape)
    return {
        "train": float(np.mean(recipe.error(result.generator, result.z, train))),
        "test": float(np.mean(recipe.error(result.generator, z, test))),
        "pca train": float(np.mean((train - by_pca(train)) ** 2)),
        "pca test": float(np.mean((test - by_pca(test)) ** 2)),
        "root mean square of z": float(np.sqrt(np.mean(np.square(z)))),
        "largest direction of z": float(np.sqrt(np.linalg.eigvalsh(np.cov(np.asarray(z).T))[-1])),
    }


def against_pca() -> None:
    """Every d and seed; smaller d first, and the seeds in turn, so that the table fills evenly."""
    records = Records("against_pca")
    for seed in SEEDS:
        for latent_dim in LATENT_DIMS:
            name = f"against_pca d={latent_dim} seed={seed}"
            settings = SETTINGS | dict(last_sigma=LAST_SIGMA[latent_dim])
            recipe.say(name)
            result = records.once(name, settings, lambda: run(latent_dim, seed, name, settings))  # noqa: B023
            ratio = result["test"] / result["pca test"]
            recipe.say(f"  test: generator {result['test']:.4f}, PCA {result['pca test']:.4f}, ratio {ratio:.2f}")

"""Notebook 13: the error on test images of Fashion-MNIST, of the generator and of PCA, at several d."""

from functools import partial

import numpy as np
from sklearn.decomposition import PCA

import abp_jax as abp
from abp_jax.training.records import AGAINST_PCA, GENERATORS, against_pca_splits
from experiments import recipe
from experiments.records import FOLDER, Records

SETTINGS = dict(optimizer="Muon", width=16, num_iterations=600, num_steps=recipe.NUM_STEPS)
LAST_SIGMA = {20: 0.15, 60: 0.1, 100: 0.07, 200: 0.05}  # found with the validation images of seed 0


def run(latent_dim: int, seed: int, settings: dict) -> dict:
    """Learns from a thousand images. Errors on these, and on the 300 of the test."""
    splits = against_pca_splits((latent_dim, seed))
    train, test = splits["learned"].images, splits["test"].images
    result = recipe.learn(AGAINST_PCA[latent_dim, seed], train, latent_dim=latent_dim, seed=seed, **settings)
    z = recipe.descend(result.generator, test)
    if file := GENERATORS["against_pca"].get((latent_dim, seed)):
        abp.save_generator(FOLDER / file, result.generator, result.z, np.float16)
    pca = PCA(latent_dim, svd_solver="full").fit(train.reshape(len(train), -1))
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
    for (latent_dim, seed), name in AGAINST_PCA.items():
        settings = SETTINGS | dict(last_sigma=LAST_SIGMA[latent_dim])
        recipe.say(name)
        result = records.once(name, settings, partial(run, latent_dim, seed, settings))
        ratio = result["test"] / result["pca test"]
        recipe.say(f"  test: generator {result['test']:.4f}, PCA {result['pca test']:.4f}, ratio {ratio:.2f}")

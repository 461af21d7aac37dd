"""Ways to learn Y = f(Z; W) + e from the same start, on one data set: bits with `Bernoulli()` as sigma, or numbers.

Each takes the split, a seed and sigma, looks at itself twenty times, and returns what was best on the validation
images: by log p(y) on a lattice of z where z has two dimensions, else by the importance-weighted bound.
"""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.scipy.special import logsumexp

import abp_jax as abp
from abp_jax import model
from abp_jax.evaluation import lattice
from abp_jax.relatives import encoders, lattice_likelihood, vae, variational, wake_sleep
from abp_jax.relatives.bits import Split

LOOKS = 20  # at the validation images, during a run
BATCH = 100
SPACING, HALF_WIDTH = 0.1, 4.0  # of the lattice for the validation images
FEW, MANY = 50, 1000  # draws of z for the bound of a validation image, of a test image


class Best:
    """A callback that keeps the result whose score is highest. every: iterations between two looks."""

    def __init__(self, score: Callable, every: int = 1):
        self.score, self.every, self.value, self.result, self.curve = score, every, -math.inf, None, []

    def __call__(self, done: int, snapshot: Callable) -> None:
        if done % self.every == 0 and done and done not in [at for at, _ in self.curve]:
            result = snapshot()
            value = float(self.score(result))
            self.curve.append((done, value))
            if value > self.value:
                self.value, self.result = value, result


def generator(split: Split, seed: int, latent_dim: int, widths: tuple[int, ...]) -> abp.MLPGenerator:
    """Where W starts: of one seed the same for all ways."""
    return abp.MLPGenerator(latent_dim, split.train.shape[1], widths, rngs=nnx.Rngs(seed))


def encoder(split: Split, seed: int, latent_dim: int, widths: tuple[int, ...]) -> encoders.MLPEncoder:
    return encoders.MLPEncoder(split.train.shape[1], latent_dim, widths, rngs=nnx.Rngs(seed + 1000))


def num_parameters(module: nnx.Module) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(module, nnx.Param)))


def by_encoder(split: Split, seed: int, sigma: model.Noise, settings: dict, learn: Callable) -> vae.VAEResult:
    """learn: `vae.fit_vae` or `wake_sleep.fit_wake_sleep`, with what is theirs.

    settings: latent_dim, widths, encoder_widths, num_iterations, learning_rate.
    """
    d, num = settings["latent_dim"], settings["num_iterations"]
    best = Best(partial(lattice_score if d <= 2 else bound_score, split.valid, sigma), num // LOOKS)
    learn(
        generator(split, seed, d, settings["widths"]),
        encoder(split, seed, d, settings["encoder_widths"]),
        split.train,
        num,
        key=jax.random.key(seed),
        sigma=sigma,
        batch_size=BATCH,
        learning_rate=settings["learning_rate"],
        progress=False,
        callback=best,
    )
    return best


def autoencoder(split, seed, sigma, *, num_draws: int, objective: str = "elbo", **settings) -> Best:
    """The variational autoencoder, or with "importance" the importance-weighted one."""
    return by_encoder(split, seed, sigma, settings, partial(vae.fit_vae, num_draws=num_draws, objective=objective))


def dreamer(split, seed, sigma, *, num_draws: int, **settings) -> Best:
    """Wake and sleep."""
    return by_encoder(split, seed, sigma, settings, partial(wake_sleep.fit_wake_sleep, num_draws=num_draws))


def alternating(split, seed, sigma, *, latent_dim, widths, num_iterations: int, **settings) -> Best:
    """Alternating back-propagation. settings: any of `abp.fit`."""
    every = num_iterations // LOOKS
    best = Best(partial(lattice_score, split.valid, sigma), every)
    start = generator(split, seed, latent_dim, widths)
    settings = dict(batch_size=BATCH, progress=False, checkpoint_every=every) | settings
    abp.fit(start, split.train, num_iterations, key=jax.random.key(seed), sigma=sigma, callback=best, **settings)
    return best


def climber(
    split, seed, sigma, *, latent_dim, widths, spacings, num_epochs, learning_rate: float, **settings
) -> lattice_likelihood.LatticeFit:
    """Maximum likelihood by a lattice: as many epochs at each of the spacings, the rate of each falling to 0."""
    found = None
    steps = len(split.train) // BATCH
    for stage, (spacing, epochs) in enumerate(zip(spacings, num_epochs, strict=True)):
        found = lattice_likelihood.fit(
            generator(split, seed, latent_dim, widths) if found is None else found.generator,
            *split[:2],
            key=jax.random.fold_in(jax.random.key(seed), stage),
            sigma=sigma,
            num_epochs=epochs,
            patience=epochs,
            batch_size=BATCH,
            learning_rate=optax.cosine_decay_schedule(learning_rate / 3**stage, epochs * steps),
            spacing=spacing,
            **settings,
        )
    return found


def log_evidence(f: nnx.Module, images: np.ndarray, sigma: model.Noise) -> np.ndarray:
    """Returns log p(y_i), (n,), for the table, each to a hundredth of a nat."""
    return lattice.exact_log_evidence(f, images, sigma, tolerance=0.01, max_points=200_000)


def lattice_score(images: np.ndarray, sigma: model.Noise, result) -> float:
    """The mean of log p over the images, on a lattice that is fine enough to choose by."""
    return mean_log_p(result.generator, images, sigma)


def mean_log_p(f: nnx.Module, images: np.ndarray, sigma: model.Noise) -> float:
    z = jnp.asarray(lattice.points(SPACING, HALF_WIDTH, f.latent_dim), jnp.float32)
    return float(jnp.mean(_on_lattice(*nnx.split(f), z, jnp.asarray(images), sigma)))


@partial(jax.jit, static_argnums=0)
def _on_lattice(graphdef, params, z, images, sigma):
    return lattice.log_evidence(nnx.merge(graphdef, params), z, images, sigma, SPACING)


def bound_score(images: np.ndarray, sigma: model.Noise, result) -> float:
    return float(np.mean(bound(jax.random.key(0), result, images, sigma, FEW)))


def bound(key: jax.Array, result: vae.VAEResult, images: np.ndarray, sigma: model.Noise, k: int) -> np.ndarray:
    """Returns for each image log (1/k) sum_i p(y, z_i) / q(z_i | y), z_i drawn by its encoder: in expectation below
    log p(y), (n,)."""
    keys = jax.random.split(key, len(images))
    return np.asarray(_bound(*nnx.split((result.generator, result.encoder)), keys, jnp.asarray(images), sigma, k))


@partial(jax.jit, static_argnums=(0, 4, 5))
def _bound(graphdef, params, keys, images, sigma, k):
    f, encode = nnx.merge(graphdef, params)

    def one(given):
        key, y = given
        return logsumexp(variational.log_weights(key, f, encode(y), y, sigma, k)) - jnp.log(k)

    return jax.lax.map(one, (keys, images))


def draws(key: jax.Array, f: nnx.Module, sigma: model.Noise, num: int) -> np.ndarray:
    """Returns y = f(z) + e, or bits: (num, D)."""
    return np.asarray(wake_sleep.dream(key, f, sigma, num)[1])

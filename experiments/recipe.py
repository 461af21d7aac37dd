"""How every generator of the experiments is learned, and how z is inferred for images that it did not learn."""

import jax
import numpy as np
import optax
from flax import nnx

import abp_jax as abp
from abp_jax import fitting
from experiments.records import CHECKPOINTS

LEARNING_RATE = 2e-3  # of AdamW, and that of which Muon's is a multiple
SAMPLER = "preconditioned_langevin"
NUM_STEPS = 5  # of Langevin dynamics in an iteration; 10 learn no better in the same time
FIRST_SIGMA = 2.0  # the range of the images: z is nearly free, and finds its place among the others
DESCENT = (0.3, 0.1, 0.05)  # of sigma, for images that were not learned


def falling_sigma(num_iterations: int, last: float) -> optax.Schedule:
    """sigma falls from 2 to `last` along an exponential, over the first three quarters of the iterations."""
    return optax.exponential_decay(FIRST_SIGMA, int(0.75 * num_iterations), last / FIRST_SIGMA, end_value=last)


def learn(
    name: str,
    images: np.ndarray,
    *,
    latent_dim: int,
    width: int,
    num_iterations: int,
    last_sigma: float,
    num_steps: int,
    optimizer: str = "Muon",
    seed: int = 0,
    until: int | None = None,
    **options,
) -> abp.FitResult:
    """Learns a ConvGenerator in batches of 100, from where a killed run of this name stood.

    Args:
      name: of the folder of checkpoints.
      images: (n, 32, 32, 1) in [-1, 1]; or what `measure` gives of them.
      latent_dim, width: of the generator.
      num_iterations: of the whole run, to which its schedules belong.
      last_sigma: see `falling_sigma`.
      num_steps: of each chain in an iteration.
      optimizer: "Muon", by which `abp.fit` learns a ConvGenerator if it is not told, or "AdamW" without weight decay.
      seed: of the first W, and of the run.
      until: stop earlier, after this many iterations.
      options: mask, measure or whitening, as for `abp.fit`.

    Raises:
      KeyboardInterrupt: it was stopped; the same call goes on from there.
    """
    generator = abp.ConvGenerator(latent_dim, 32, width, 1, rngs=nnx.Rngs(seed))
    rate = fitting.constant_then_cosine(LEARNING_RATE, num_iterations)  # `fit` by itself would end it at `until`
    by = {"Muon": dict(learning_rate=rate), "AdamW": dict(optimizer=abp.optimizers.adam(rate))}
    until = until or num_iterations
    result = abp.fit(
        generator,
        images,
        until,
        key=jax.random.key(seed),
        sigma=falling_sigma(num_iterations, last_sigma),
        sampler=SAMPLER,
        num_steps=num_steps,
        batch_size=100,
        checkpoint_dir=CHECKPOINTS / f"{name}, {width} wide, {num_iterations} to {last_sigma}, {optimizer}",
        checkpoint_every=100,
        **by[optimizer],
        **options,
    )
    if len(result.losses) < until:  # Ctrl-C: `fit` has saved its state; a half-learned generator is not measured
        raise KeyboardInterrupt
    return result


def descend(generator: nnx.Module, images: np.ndarray, *, num_steps: int = 100, seed: int = 1) -> jax.Array:
    """Infers z from 0 while sigma falls, `num_steps` at each of its values. Returns (n, d)."""
    return abp.infer(
        generator,
        images,
        key=jax.random.key(seed),
        sigma=DESCENT,
        sampler=SAMPLER,
        num_steps=num_steps,
        num_starts=1,
    )


def error(generator: nnx.Module, z: jax.Array, images: np.ndarray, mask: np.ndarray | None = None) -> list[float]:
    """Returns the mean squared error of each image, over the pixels where the mask is True."""
    return np.asarray(abp.reconstruction_error(generator, z, images, mask), float).tolist()


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """Returns the mean and its standard error."""
    return float(np.mean(values)), float(np.std(values, ddof=1) / len(values) ** 0.5)


def say(text: str) -> None:
    print(text, flush=True)

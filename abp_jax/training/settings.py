"""The settings of a run: checks before any work, the learning rate, and the record that a checkpoint keeps."""

import hashlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from abp_jax.generators import ConvGenerator, functional
from abp_jax.images.observation import noise_images
from abp_jax.inference import Chain
from abp_jax.learning import ABPState


def smallest_sigma(sigma: float | Callable, learn_sigma: bool, num_iterations: int) -> float:
    """Returns the smallest sigma of a whole run; where it is learned, the one that it starts from.

    Raises ValueError for a schedule that is to be learned too.
    """
    if not callable(sigma):
        return sigma
    if learn_sigma:
        raise ValueError(
            "sigma is a schedule and learn_sigma=True: it can't follow both. Pass a number to start from, or drop "
            "learn_sigma."
        )
    return float(jnp.min(jax.vmap(lambda t: jnp.asarray(sigma(t), float))(jnp.arange(num_iterations))))


def check(generator: nnx.Module, images: jax.Array, whitening: bool, callback: Callable | None) -> None:
    """Raises ValueError for a callback that can't be called, and where whitening can't work.

    It needs a layer to absorb the map, and examples enough for a covariance.
    """
    if callback is not None and (isinstance(callback, type) or not callable(callback)):
        raise ValueError(f"callback must be a function of done and snapshot, or a TrainingMonitor, got {callback}.")
    if not whitening:
        return
    if not hasattr(generator, "first"):
        raise ValueError("whitening needs a linear layer named `first` in the generator; or pass whitening=False.")
    if set(functional(generator)[1]["first"]) != {"kernel", "bias"}:
        raise ValueError("whitening needs a layer `first` with a kernel and a bias; or pass whitening=False.")
    if len(images) <= generator.latent_dim:
        raise ValueError(
            f"whitening needs more examples than latent dimensions, got {len(images)} examples and latent_dim "
            f"{generator.latent_dim}. Add examples, lower latent_dim, or pass whitening=False."
        )


def resumed(old: ABPState, fresh: ABPState) -> ABPState:
    """Returns the state to go on from: the old one, with its sigma only if the new run learns it too.

    Raises ValueError unless the two states have the same shapes.
    """
    shapes = [[leaf.shape for leaf in jax.tree.leaves((s.params, s.z))] for s in (old, fresh)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"resume has parameters and z of shapes {shapes[0]}, this generator and these images need {shapes[1]}. "
            "Resume with the generator and the images of that run."
        )
    learned = old.sigma if fresh.sigma is not None and old.sigma is not None else fresh.sigma
    return old._replace(sigma=learned)


def default_learning_rate(generator: nnx.Module) -> float:
    """Returns 2e-3; for a ConvGenerator whose widest layer has more than 256 features in proportion less.

    Adam moves every weight by about the learning rate, so the output of a layer moves with the number of its inputs
    (Yang and Hu, ICML 2021). With 512 features and 64 x 64 pixels the error swings at 2e-3 and falls at 1e-3.
    """
    widest = max(generator.features) if isinstance(generator, ConvGenerator) else 1
    return 2e-3 * min(1.0, 256 / widest)


def constant_then_cosine(learning_rate: float, num_iterations: int) -> optax.Schedule:
    """Returns the schedule of `fit`: constant for the first half of the iterations, then along a cosine to 0."""
    half = num_iterations // 2
    fall = optax.cosine_decay_schedule(learning_rate, max(1, num_iterations - half))
    return optax.join_schedules([optax.constant_schedule(learning_rate), fall], [half])


def adam(
    learning_rate: float | optax.Schedule, num_iterations: int, weight_decay: float
) -> optax.GradientTransformation:
    """Returns the optimizer of `fit`: AdamW with b1 = 0.5, a number as `constant_then_cosine`, a schedule as it is."""
    rate = learning_rate if callable(learning_rate) else constant_then_cosine(learning_rate, num_iterations)
    return optax.adamw(rate, b1=0.5, weight_decay=weight_decay)


def record(
    chain: Chain,
    generator: nnx.Module,
    images: jax.Array,
    key: jax.Array,
    mask: jax.Array | None,
    measure: Callable | None,
    *,
    sigma: float | Callable,
    learn_sigma: bool,
    learning_rate: float | optax.Schedule,
    num_iterations: int,
    **others: bool | int | float,
) -> dict[str, Any]:
    """Returns what a run follows from, as JSON knows it: a checkpoint of another record is not continued.

    Args:
      chain: settings of the chains, sigma a number.
      others: numbers of `fit`, kept as they are.
      generator, images, key, sigma, learn_sigma, learning_rate, num_iterations, mask, measure: as in `fit`.
    """
    settings = chain._asdict() | others
    settings["learning_rate"] = "a schedule" if callable(learning_rate) else [float(learning_rate), int(num_iterations)]
    settings |= dict(key=jax.random.key_data(key).tolist(), images=fingerprint(images))
    if callable(sigma):
        settings["sigma"] = "a schedule"
    if learn_sigma:  # recorded only then: checkpoints of earlier versions are still good
        settings["learn_sigma"] = True
    if mask is not None:
        settings["mask"] = fingerprint(mask)
    if measure is not None:
        settings["measure"] = fingerprint(np.asarray(measure(noise_images(generator, 1)[0])))
    return settings


def fingerprint(array: jax.Array) -> str:
    """Returns 16 digits of the SHA-256 of an array's bytes; of one spread over processes, its type and shape."""
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        return f"{array.dtype}{array.shape}"  # no process has all of it
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]

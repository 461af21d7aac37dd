"""What the training monitor is given to show, with nan for every number that nobody has seen."""

from typing import Any

import jax
import numpy as np
from flax import nnx

from abp_jax.generators import ConvGenerator
from abp_jax.images import arguments, data
from abp_jax.images.observation import check_mask


def given(images: Any, mask: Any = None) -> tuple[Any, np.ndarray | None]:
    """Checks what a monitor is given.

    Args:
      images: (n, ...), an array or what NumPy makes one of.
      mask: True where a number is seen, of the shape of images or without their last axis; or None.

    Returns:
      images as an array; mask, bool and of the same shape, or None.

    Raises:
      TypeError, ValueError: images are no array of n observations, or the mask does not fit them.
    """
    images = arguments.array("images", images)
    if getattr(images, "is_fully_addressable", True):  # what is spread over processes no process has whole
        images = np.asarray(images)
    if images.ndim < 2 or len(images) == 0:
        raise ValueError(f"images must be (n, ...), those that fit learns; got shape {images.shape}.")
    return images, None if mask is None else check_mask(images, mask)


def as_seen(images: Any, mask: np.ndarray | None) -> np.ndarray:
    """Returns images (n, ...) as float32, uint8 decoded, and nan where they are not seen or not finite.

    Behind a mask anything may stand, and `fit` takes nothing that is not finite elsewhere.
    """
    images = np.asarray(data.decode(np.asarray(images)), np.float32)
    seen = np.isfinite(images) if mask is None else np.isfinite(images) & mask
    return np.where(seen, images, np.float32(np.nan))


def check_same(images: np.ndarray, learned: np.ndarray) -> None:
    """Raises ValueError unless these are the observations that a run learns, where both are seen. Both as `as_seen`."""
    both = np.isfinite(images) & np.isfinite(learned)
    apart = np.abs(np.where(both, images, 0) - np.where(both, learned, 0)).max()
    if apart > 1e-3 * np.abs(np.where(both, learned, 0)).max():
        raise ValueError(
            f"TrainingMonitor has other images than fit learns, by up to {apart:.2g}: give both the same images, in "
            "the same order, or make a new monitor for this run."
        )


def check_fit(shape: tuple, images: np.ndarray, generator: nnx.Module, observed: Any, n: int) -> None:
    """Raises ValueError unless a monitor's observations are like those of the run that calls it.

    Args:
      shape: of all the observations that the monitor was given.
      images: some of them, as `as_seen` returns them.
      generator: of the run.
      observed: z -> what is observed of its image.
      n: how many examples the run has.
    """
    output = jax.eval_shape(observed, jax.ShapeDtypeStruct((generator.latent_dim,), np.float32)).shape
    if shape != (n, *output):
        raise ValueError(
            f"TrainingMonitor has images of shape {shape}, but fit learns {(n, *output)}: give both the same images. "
            "If fit has measure=, give it to both: TrainingMonitor(observations, measure=measure)."
        )
    largest = np.max(np.abs(images), where=np.isfinite(images), initial=0)
    if observed is generator and isinstance(generator, ConvGenerator) and largest > 1.01:
        raise ValueError(
            f"TrainingMonitor has values up to {largest:g}, but those of images that fit learns go from -1 to 1: give "
            "both the same images."
        )

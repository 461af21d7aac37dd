"""Which classes a generator makes, and how often: each image is given the class of its nearest labelled neighbours.

    class of y = the most frequent one among the k labelled images with the smallest |y - x|^2

A generator that left some kinds of clothes out, or makes one of them over and over, shows it in the shares. The
neighbours err: put the shares of real images beside, counted in the same way. Source of the classifier: Cover and Hart,
Nearest neighbor pattern classification, IEEE Transactions on Information Theory 1967.
"""

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax.compilation.precision import full_precision
from abp_jax.images import arguments


@full_precision
def nearest_class(images: jax.Array, labelled: jax.Array, labels: jax.Array, k: int = 5) -> jax.Array:
    """Returns the class of each image, by its k nearest neighbours; of several equally frequent ones, the nearest's.

    Args:
      images: (n, ...).
      labelled: (m, ...), images of the same shape, none of which should be among `images`.
      labels: (m,), their classes, whole numbers from 0 on.
      k: how many neighbours, from 1 to m.

    Returns:
      (n,), whole numbers.

    Raises:
      TypeError, ValueError: an argument is not of its kind or out of its range, or the shapes don't fit.
    """
    images, labelled = (
        jnp.asarray(arguments.array("images", images)),
        jnp.asarray(arguments.array("labelled", labelled)),
    )
    if images.ndim < 2 or images.shape[1:] != labelled.shape[1:]:
        raise ValueError(f"images and labelled must hold images of one shape, got {images.shape}, {labelled.shape}.")
    labels, num_classes = _checked(labels, len(labelled))
    labels = jnp.asarray(labels)
    k = arguments.whole("k", k, most=len(labelled))
    labelled = labelled.reshape(len(labelled), -1)

    def one(y):
        # the distance, less |y|^2, which is the same for all
        nearness = 2 * labelled @ y.ravel() - jnp.sum(labelled**2, axis=1)
        neighbours = labels[jax.lax.top_k(nearness, k)[1]]  # the nearest first
        votes = jnp.zeros(num_classes, int).at[neighbours].add(1)
        return neighbours[jnp.argmax(votes[neighbours])]

    return jax.lax.map(one, images, batch_size=256)


def class_shares(images: jax.Array, labelled: jax.Array, labels: jax.Array, k: int = 5) -> jax.Array:
    """Returns the share of each class in the images, (largest label + 1,), which add up to 1. Arguments as above."""
    found = nearest_class(images, labelled, labels, k)
    return jnp.bincount(found, length=_checked(labels, len(labelled))[1]) / len(found)


def total_variation(p: jax.Array, q: jax.Array) -> jax.Array:
    """Returns half the sum of |p - q|, of two lists of shares (c,): the share that would have to change its class."""
    if p.shape != q.shape:
        raise ValueError(f"p and q must be shares of the same classes, got {p.shape} and {q.shape}.")
    return 0.5 * jnp.sum(jnp.abs(p - q))


def _checked(labels, num: int):
    """The labels as an array of NumPy, known while a program is traced too, and how many classes there may be."""
    labels = np.asarray(arguments.array("labels", labels))
    if labels.shape != (num,) or not np.issubdtype(labels.dtype, np.integer) or int(labels.min()) < 0:
        raise ValueError(f"labels must be {num} whole numbers from 0 on, got {labels.dtype}, {labels.shape}.")
    return labels, int(labels.max()) + 1

"""A small random machine and data for it."""

import jax
import numpy as np

from abp_jax.relatives.rbm import RBM
from tests.relatives.exact import all_states


def random_machine(hidden, visible, scale=1.0, seed=0, dtype=None):
    keys = jax.random.split(jax.random.key(seed), 3)
    shapes = ((hidden, visible), (visible,), (hidden,))
    return RBM(*(scale * jax.random.normal(key, shape, dtype) for key, shape in zip(keys, shapes, strict=True)))


def joint_by_hand(rbm):
    """exp(-E(v, h)) for all v in rows and all h in columns, by loops over W."""
    W, b, c = map(np.asarray, rbm)
    v, h = all_states(len(b)), all_states(len(c))
    pairs = sum(W[j, i] * np.outer(v[:, i], h[:, j]) for j in range(len(c)) for i in range(len(b)))
    return np.exp(pairs + (v @ b)[:, None] + (h @ c)[None])

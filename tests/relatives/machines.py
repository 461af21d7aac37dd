"""A small random machine and data for it."""

import itertools

import jax
import numpy as np

from abp_jax.relatives.rbm import RBM


def random_machine(hidden, visible, scale=1.0, seed=0, dtype=None):
    keys = jax.random.split(jax.random.key(seed), 3)
    shapes = ((hidden, visible), (visible,), (hidden,))
    return RBM(*(scale * jax.random.normal(key, shape, dtype) for key, shape in zip(keys, shapes, strict=True)))


def all_states(n):
    return np.array(list(itertools.product((0.0, 1.0), repeat=n)))


def joint_by_hand(rbm):
    """exp(-E(v, h)) for all v in rows and all h in columns, by loops over W."""
    W, b, c = map(np.asarray, rbm)
    v, h = all_states(len(b)), all_states(len(c))
    pairs = sum(W[j, i] * np.outer(v[:, i], h[:, j]) for j in range(len(c)) for i in range(len(b)))
    return np.exp(pairs + (v @ b)[:, None] + (h @ c)[None])


def bars_and_stripes():
    """3 x 3: the fourteen patterns."""
    rows = np.array([np.repeat(row, 3) for row in all_states(3)])
    columns = np.array([np.tile(row, 3) for row in all_states(3)])
    return np.unique(np.concatenate([rows, columns]), axis=0)

"""Exact answers for n bits that are few enough to list: all states, their probabilities, chi-square of draws."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import chi2


def all_states(n):
    """Every x of n bits, in the order of counting, the first bit the highest: (2^n, n)."""
    return np.array(list(itertools.product((0.0, 1.0), repeat=n)))


def index(x):
    """The row of each x (..., n) in `all_states`."""
    return np.asarray(x, int) @ (1 << np.arange(np.shape(x)[-1])[::-1])


def table(log_prob, n):
    """p(x) of every state, (2^n,), by the log density of one example."""
    return np.exp(np.asarray(jax.jit(jax.vmap(log_prob))(jnp.asarray(all_states(n), jnp.result_type(float)))))


def chi_square(draws, p):
    """How probable draws (N, n) of the table p are that fit worse; states expected less than 5 times are one cell."""
    counts = np.bincount(index(draws), minlength=len(p))
    expected = len(draws) * p / p.sum()
    rare = expected < 5
    counts, expected = ([*a[~rare], a[rare].sum()] for a in (counts, expected))
    cells = [(c, e) for c, e in zip(counts, expected, strict=True) if e > 0]
    assert len(cells) > 5
    return chi2.sf(sum((c - e) ** 2 / e for c, e in cells), len(cells) - 1)


def as_large(tree, size, seed=0):
    """The same tree with normal numbers of this size for its floating-point arrays."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(size * rng.normal(size=a.shape), a.dtype), tree)

"""Class shares: neighbours counted by hand, and chunks that make no difference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from abp_jax.relatives.class_shares import class_shares, nearest_class, total_variation

LABELLED = jnp.array([0.0, 1, 2, 10, 11, 12, 20]).reshape(-1, 1, 1, 1)
LABELS = jnp.array([0, 0, 1, 1, 1, 2, 3])


@pytest.mark.parametrize(
    ("k", "where", "expected"),
    [(1, 1.8, 1), (3, 1.8, 0), (3, 10.6, 1), (1, 11.9, 2), (3, 19.0, 3), (2, 11.9, 2), (5, 19.0, 1)],
)
def test_the_most_frequent_class_of_the_nearest(k, where, expected):
    """With k = 3 at 19 the neighbours have three classes, and the nearest decides; so with k = 2 at 11.9."""
    assert int(nearest_class(jnp.full((1, 1, 1, 1), where), LABELLED, LABELS, k)[0]) == expected


def test_shares_are_counts(key):
    images = jnp.array([0.1, 0.2, 10.1, 19.9]).reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(class_shares(images, LABELLED, LABELS, 1), [0.5, 0.25, 0, 0.25])
    images = jax.random.uniform(key, (300, 1, 1, 1), maxval=20)
    np.testing.assert_allclose(jnp.sum(class_shares(images, LABELLED, LABELS)), 1, rtol=1e-6)


def test_distances_are_those_of_numpy_and_chunks_make_no_difference(key):
    images, labelled = jax.random.normal(key, (300, 4, 4, 1)), jax.random.normal(jax.random.key(1), (50, 4, 4, 1))
    labels = jnp.arange(50) % 4
    distances = ((np.asarray(images)[:, None] - np.asarray(labelled)[None]) ** 2).sum(axis=(2, 3, 4))
    np.testing.assert_array_equal(nearest_class(images, labelled, labels, 1), labels[distances.argmin(axis=1)])
    halves = [nearest_class(images[:100], labelled, labels), nearest_class(images[100:], labelled, labels)]
    np.testing.assert_array_equal(nearest_class(images, labelled, labels), jnp.concatenate(halves))


def test_total_variation():
    p, q = jnp.array([0.5, 0.5, 0]), jnp.array([0.2, 0.3, 0.5])
    np.testing.assert_allclose(total_variation(p, q), 0.5)
    assert float(total_variation(p, p)) == 0


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="images of one shape"):
        class_shares(jnp.zeros((2, 4, 4, 1)), LABELLED, LABELS)
    with pytest.raises(ValueError, match="labels must be 7 whole numbers"):
        class_shares(LABELLED, LABELLED, LABELS[:3])
    with pytest.raises(ValueError, match="labels must be 7 whole numbers"):
        class_shares(LABELLED, LABELLED, LABELS - 1)
    with pytest.raises(ValueError, match="k must be at most 7"):
        class_shares(LABELLED, LABELLED, LABELS, 8)
    with pytest.raises(ValueError, match="shares of the same classes"):
        total_variation(jnp.ones(2), jnp.ones(3))

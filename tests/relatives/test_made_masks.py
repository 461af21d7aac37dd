"""Masks of MADE: a printed example, paths counted one by one, every pair of pixels connected."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from abp_jax.relatives import made_masks


def in_order(masks):
    """The path counts with rows and columns in the order of the pixels."""
    order = np.asarray(masks.order)
    return made_masks.paths(masks)[np.ix_(order, order)]


def test_the_mask_of_five_by_five():
    """Between hidden layers of degrees (1, 2, 1, 2, 3) and (1, 1, 2, 1, 3)."""
    masks = made_masks.masks([jnp.arange(1, 6), jnp.array([1, 2, 1, 2, 3]), jnp.array([1, 1, 2, 1, 3])])
    expected = [[1, 0, 1, 0, 0], [1, 0, 1, 0, 0], [1, 1, 1, 1, 0], [1, 0, 1, 0, 0], [1, 1, 1, 1, 1]]
    np.testing.assert_array_equal(masks.layers[1], expected)
    np.testing.assert_array_equal(masks.layers[0][4], [1, 1, 1, 0, 0])  # degree 3 sees the first three pixels
    np.testing.assert_array_equal(masks.layers[2][3], [1, 1, 1, 1, 1])  # the fourth pixel's output sees degrees below 4
    np.testing.assert_array_equal(masks.layers[2][2], [1, 1, 1, 1, 0])
    assert made_masks.paths(masks)[4, 3] == 0  # no unit of degree 4: the last pixel can't see the fourth


def test_paths_are_counted():
    """One by one, through every pair of hidden units."""
    degrees = made_masks.degrees(jax.random.key(3), [2, 0, 3, 1], (5, 4))
    first, second, last = made_masks.masks(degrees).layers
    expected = np.zeros((4, 4))
    for k, j, a, b in itertools.product(range(4), range(4), range(5), range(4)):
        expected[k, j] += bool(first[a, j] & second[b, a] & last[k, b])
    np.testing.assert_array_equal(made_masks.paths(made_masks.masks(degrees)), expected)


@pytest.mark.parametrize("hidden", [(), (11,), (16,), (11, 11), (30, 12, 19)])
@pytest.mark.parametrize("seed", [0, 1])
def test_paths_lead_from_each_pixel_to_all_later_ones_and_to_no_other(hidden, seed):
    order = jax.random.permutation(jax.random.key(seed), 12)
    masks = made_masks.masks(made_masks.degrees(jax.random.key(seed + 10), order, hidden))
    np.testing.assert_array_equal(masks.order, order)
    np.testing.assert_array_equal(in_order(masks) > 0, np.tri(12, k=-1, dtype=bool))  # 66 pairs


def test_each_degree_comes_equally_often_up_to_one():
    place, m = made_masks.degrees(jax.random.key(0), [1, 2, 0, 4, 3], (10,))
    np.testing.assert_array_equal(place, [3, 1, 2, 5, 4])
    assert sorted(np.bincount(m, minlength=6)) == [0, 0, 2, 2, 3, 3]
    assert np.bincount(m)[0] == 0
    assert np.any(m != made_masks.degrees(jax.random.key(1), range(5), (10,))[1])


def test_a_stack_of_orders():
    """Each a permutation of its own, each with all paths."""
    stack = made_masks.random_masks(jax.random.key(0), 6, (8,), 5)
    each = [jax.tree.map(lambda a, i=i: a[i], stack) for i in range(5)]
    assert len({tuple(np.asarray(masks.order)) for masks in each}) == 5
    assert all(np.array_equal(in_order(masks) > 0, np.tri(6, k=-1, dtype=bool)) for masks in each)


def test_one_pixel_has_no_path():
    for hidden in [(), (3,), (1, 2)]:
        assert made_masks.paths(made_masks.masks(made_masks.degrees(jax.random.key(0), [0], hidden))) == 0


def test_degrees_that_would_cut_pixels_apart_are_refused():
    with pytest.raises(ValueError, match="hidden must be at least n - 1 = 4 units a layer, got 3"):
        made_masks.degrees(jax.random.key(0), range(5), (10, 3))
    with pytest.raises(TypeError, match="hidden must be a whole number of units"):
        made_masks.degrees(jax.random.key(0), range(5), (10.0,))
    for order in ([], [0, 0, 1], [1, 2, 3]):
        with pytest.raises(ValueError, match=r"order must hold each of 0, \.\.\., n - 1 once"):
            made_masks.degrees(jax.random.key(0), order, (10,))

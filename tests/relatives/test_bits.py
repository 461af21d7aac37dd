"""Bits: their order, their probabilities, and the sets of images that are made of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from abp_jax.images import datasets
from abp_jax.relatives import bits


def test_states_are_the_binary_numbers_in_order():
    np.testing.assert_array_equal(bits.states(2), [[0, 0], [0, 1], [1, 0], [1, 1]])
    np.testing.assert_array_equal(bits.index(bits.states(6)), np.arange(64))
    np.testing.assert_array_equal(bits.state(jnp.array([[6, 1]]), 4), [[[0, 1, 1, 0], [0, 0, 0, 1]]])
    np.testing.assert_array_equal(bits.state(5, 3), [1, 0, 1])
    table = np.arange(16).reshape(2, 2, 2, 2)
    x = np.int32(bits.states(4))
    np.testing.assert_array_equal(table[tuple(x.T)], np.arange(16))  # the order of a table read row by row


def test_bernoulli_is_the_product_of_the_pixels(key):
    logits = jax.random.normal(key, (7,))
    p, x = jax.nn.sigmoid(logits), bits.states(7)
    log_prob = jax.vmap(bits.bernoulli_log_prob, (0, None))(x, logits)
    np.testing.assert_allclose(log_prob, np.log(np.prod(np.where(x == 1, p, 1 - p), axis=1)), rtol=1e-5)
    np.testing.assert_allclose(jnp.sum(jnp.exp(log_prob)), 1, rtol=1e-5)
    gradient = jax.grad(bits.bernoulli_log_prob, argnums=1)(x[5], logits)
    np.testing.assert_allclose(gradient, x[5] - p, atol=1e-6)


def test_bernoulli_keeps_its_digits_where_logits_are_large():
    certain = bits.bernoulli_log_prob(jnp.array([1.0, 0.0]), jnp.array([30.0, -40.0]))
    np.testing.assert_allclose(certain, -(np.exp(-30.0) + np.exp(-40.0)), rtol=1e-5)


def test_one_call_and_chunks_agree(key):
    x = bits.load_clothes().train[:1200]
    logits = jax.random.normal(key, x.shape)
    log_prob = jax.jit(jax.vmap(bits.bernoulli_log_prob))
    chunks = jnp.concatenate([log_prob(x[i : i + 100], logits[i : i + 100]) for i in range(0, 1200, 100)])
    np.testing.assert_allclose(log_prob(x, logits), chunks, rtol=1e-6)


@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_bars_and_stripes_are_all_pictures_of_equal_columns_or_equal_rows(side):
    x = np.asarray(bits.states(side**2)).reshape(-1, side, side)
    bars = (x == x[:, :1]).all(axis=(1, 2))
    stripes = (x == x[:, :, :1]).all(axis=(1, 2))
    found = bits.index(bits.bars_and_stripes(side))
    np.testing.assert_array_equal(np.sort(found), np.flatnonzero(bars | stripes))
    assert len(found) == 2 ** (side + 1) - 2


def test_digits_are_thresholded_at_eight_of_sixteen():
    from sklearn.datasets import load_digits

    digits = bits.load_digits()
    assert [part.shape for part in digits] == [(1200, 64), (297, 64), (300, 64)]
    order = np.random.default_rng(0).permutation(1797)
    np.testing.assert_array_equal(np.concatenate(digits), load_digits().data[order] >= 8)


def test_clothes_are_thresholded_means_of_two_by_two():
    clothes = bits.load_clothes()
    assert [part.shape for part in clothes] == [(7000, 196), (1000, 196), (2000, 196)]
    order = np.random.default_rng(0).permutation(10_000)[:300]
    original = np.rint(127.5 * (datasets.load_fashion_mnist()[order, ..., 0] + 1)).astype(int)[:, 2:-2, 2:-2]
    sums = sum(original[:, i::2, j::2] for i in (0, 1) for j in (0, 1))
    np.testing.assert_array_equal(clothes.train[:300], (2 * sums >= 4 * 255).reshape(300, 196))


@pytest.mark.parametrize(("load", "log_prob", "error"), [("load_digits", -25.20, 0.23), ("load_clothes", -94.08, 0.43)])
def test_independent_pixels_explain_the_test_images_as_well_as_they_did(load, log_prob, error):
    """Anchors: mean log p of the test images, in nats, and its standard error. p is from the training images."""
    train, _, test = getattr(bits, load)()
    p = (train.sum(axis=0) + 0.5) / (len(train) + 1)
    found = jax.vmap(bits.bernoulli_log_prob, (0, None))(test, jnp.log(p / (1 - p)))
    np.testing.assert_allclose([found.mean(), found.std() / len(test) ** 0.5], [log_prob, error], atol=0.01)


def test_parts_follow_each_other():
    train, valid, test = bits.split(np.arange(10), (5, 2, 2))
    assert (train.tolist(), valid.tolist(), test.tolist()) == ([0, 1, 2, 3, 4], [5, 6], [7, 8])


def test_a_pixel_at_the_threshold_is_one():
    np.testing.assert_array_equal(bits.binarise(np.array([[[-0.5], [0.0]], [[0.2], [-0.1]]])), [[0, 1], [1, 0]])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bits.states(0), "n must be positive"),
        (lambda: bits.states(25), "n must be at most 24"),
        (lambda: bits.index(jnp.zeros((2, 32))), "1 to 31 bits, got"),
        (lambda: bits.bernoulli_log_prob(jnp.zeros((2, 3)), jnp.zeros(3)), "jax.vmap"),
        (lambda: bits.binarise(np.zeros(3)), "images must have shape"),
        (lambda: bits.split(np.zeros(3), (2, 2, 2)), "at most 3 examples"),
        (lambda: bits.split(np.zeros(3), (2, 1)), "three numbers"),
        (lambda: bits.bars_and_stripes(0), "side must be positive"),
    ],
    ids=range(8),
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()

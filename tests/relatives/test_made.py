"""MADE: a distribution for each order and for their mixture, but not for averaged log odds; draws of the table."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import log_sigmoid

from abp_jax.compilation import precision
from abp_jax.relatives import binary_baselines, made, made_masks
from tests.relatives import exact

HIDDEN = [(), (7,), (9, 6)]


@pytest.fixture
def float64():
    with precision.double_precision():
        yield


def model(n, hidden, size=1.0, seed=0, direct=False):
    return exact.as_large(made.init(jax.random.key(0), n, hidden, direct), size, seed)


def masks_of(order, hidden, seed=0):
    return made_masks.masks(made_masks.degrees(jax.random.key(seed), order, hidden))


@pytest.mark.parametrize(("hidden", "direct"), [((), False), ((11,), False), ((16, 13), False), ((11,), True)])
def test_the_probabilities_sum_to_one(float64, hidden, direct):
    """Over all 2^12 states, in an order drawn at random."""
    order = jax.random.permutation(jax.random.key(4), 12)
    params = model(12, hidden, size=3.0 if len(hidden) < 2 else 1.0, direct=direct)
    p = exact.table(partial(made.log_prob, params, masks_of(order, hidden)), 12)
    assert abs(p.sum() - 1) < 1e-12
    assert p.max() < 0.9


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_the_definition(float64, hidden, direct):
    """With the masks put on once and for all, in NumPy. In the order 2, 0, 1, 3 each pixel has those before it."""
    masks, params = masks_of([2, 0, 1, 3], hidden), model(4, hidden, direct=direct)
    earlier = np.array([[0, 0, 1, 0], [1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 0]])
    A = earlier * np.asarray(params.direct) if direct else 0 * earlier
    weights = [np.where(M, W, 0) for M, W in zip(masks.layers, params.weights, strict=True)]
    for x in exact.all_states(4):
        h = x
        for W, b in zip(weights[:-1], params.biases[:-1], strict=True):
            h = np.maximum(W @ h + np.asarray(b), 0)
        p = 1 / (1 + np.exp(-(weights[-1] @ h + np.asarray(params.biases[-1]) + A @ x)))
        expected = np.log(np.where(x, p, 1 - p)).sum()
        np.testing.assert_allclose(made.log_prob(params, masks, x), expected, rtol=1e-12)


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_each_conditional_depends_on_what_comes_before_it(float64, hidden, direct):
    """In the order, not merely not on itself; and a change of a later pixel changes nothing, to the last digit."""
    order = np.array([3, 1, 5, 0, 2, 4])
    masks, params = masks_of(order, hidden), model(6, hidden, direct=direct)
    x = exact.all_states(6)[37]
    for place, j in enumerate(order):
        flipped = np.where(np.arange(6) == j, 1 - x, x)
        before, after = made.logits(params, masks, x), made.logits(params, masks, flipped)
        np.testing.assert_array_equal(before[order[: place + 1]], after[order[: place + 1]])


def test_without_a_hidden_layer_it_is_the_logistic_chain(float64):
    params = model(6, ())
    chain = binary_baselines.Chain(params.weights[0], params.biases[0])
    masked = exact.table(partial(made.log_prob, params, masks_of(range(6), ())), 6)
    np.testing.assert_allclose(masked, exact.table(partial(binary_baselines.chain_log_prob, chain), 6), rtol=1e-12)


def test_a_masked_weight_has_no_gradient_and_keeps_its_value(float64):
    """Whichever order is in use: what one mask hides is there for the next."""
    params, x = model(6, (7,)), jnp.ones(6)
    first, second = masks_of(range(6), (7,)), masks_of([5, 4, 3, 2, 1, 0], (7,), seed=1)
    before = made.log_prob(params, second, x)
    gradient = jax.grad(made.log_prob)(params, first, x)
    for mask, slope in zip(first.layers, gradient.weights, strict=True):
        assert np.all(np.asarray(slope)[~np.asarray(mask)] == 0)
    assert np.any(gradient.weights[0] != 0)
    assert made.log_prob(params, second, x) == before
    assert len(jax.tree.leaves(params)) == 4  # two weights and two biases: no mask among what is learned


def test_the_mixture_is_a_distribution(float64):
    params, stack = model(8, (9,)), made_masks.random_masks(jax.random.key(0), 8, (9,), 4)
    each = [made_masks.Masks(stack.order[o], tuple(layer[o] for layer in stack.layers)) for o in range(4)]
    tables = [exact.table(partial(made.log_prob, params, masks), 8) for masks in each]
    mixture = exact.table(partial(made.mixture_log_prob, params, stack), 8)
    np.testing.assert_allclose(mixture, np.mean(tables, axis=0), rtol=1e-12)
    assert abs(mixture.sum() - 1) < 1e-12


def test_averaged_log_odds_are_no_distribution(float64):
    """Two pixels, both orders: the mean log odds of one given the other are 0 or w / 2.

    With s = sigmoid(w / 2) the four "probabilities" are 1/4, (1 - s) / 2 twice, and s^2.
    """
    w, s = 4 * np.log(3), 0.9
    params = made.MADE((jnp.full((2, 2), w),), (jnp.zeros(2),))
    pair = [made_masks.masks([jnp.array(place)]) for place in ([1, 2], [2, 1])]
    stack = jax.tree.map(lambda *masks: jnp.stack(masks), *pair)

    def averaged(x):
        logits = jnp.mean(jax.vmap(made.logits, (None, 0, None))(params, stack, x), axis=0)
        return jnp.sum(log_sigmoid((2 * x - 1) * logits))

    np.testing.assert_allclose(exact.table(averaged, 2), [1 / 4, (1 - s) / 2, (1 - s) / 2, s**2], rtol=1e-12)
    both = [1 / 4, (1 / 4 + 1 / 164) / 2, (1 / 4 + 1 / 164) / 2, 81 / 164]  # sigmoid(w) = 81 / 82
    np.testing.assert_allclose(exact.table(partial(made.mixture_log_prob, params, stack), 2), both, rtol=1e-12)


@pytest.mark.parametrize("hidden", [(), (9, 6)])
def test_draws_are_of_the_table(hidden):
    params, masks = model(6, hidden, size=0.7), masks_of([4, 2, 0, 5, 1, 3], hidden)
    draw = partial(made.sample, made=params, masks=masks)
    draws = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(1), 20_000))
    assert exact.chi_square(draws, exact.table(partial(made.log_prob, params, masks), 6)) > 1e-3


def test_completions_are_of_the_conditional_table():
    """Known are pixels 4 and 2, which come first in the order."""
    params, masks = model(6, (7,), size=0.7), masks_of([4, 2, 0, 5, 1, 3], (7,))
    x = jnp.array([1.0, 1, 0, 1, 1, 1])
    draw = partial(made.complete, made=params, masks=masks, x=x, known=2)
    draws = np.asarray(jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(1), 20_000)))
    assert np.all(draws[:, [4, 2]] == [1, 0])
    states = exact.all_states(6)
    p = exact.table(partial(made.log_prob, params, masks), 6) * ((states[:, 4] == 1) & (states[:, 2] == 0))
    assert exact.chi_square(draws, p) > 1e-3
    np.testing.assert_array_equal(made.complete(jax.random.key(0), params, masks, x, 6), x)


@pytest.mark.parametrize("log_prob", [made.log_prob, made.mixture_log_prob], ids=["one_order", "mixture"])
def test_one_call_is_chunks_of_a_hundred(log_prob):
    params = model(12, (32,), size=0.3)
    masks = made_masks.random_masks(jax.random.key(0), 12, (32,), 3)
    masks = masks if log_prob is made.mixture_log_prob else jax.tree.map(lambda a: a[0], masks)
    x = jnp.asarray(exact.all_states(12)[:1_200], jnp.float32)
    log_prob = jax.jit(jax.vmap(partial(log_prob, params, masks)))
    chunks = jnp.concatenate([log_prob(x[i : i + 100]) for i in range(0, len(x), 100)])
    np.testing.assert_allclose(log_prob(x), chunks, rtol=1e-5)


@pytest.mark.parametrize("hidden", [(), (3,)])
def test_one_pixel_is_a_coin(float64, hidden):
    params, masks = model(1, hidden), masks_of([0], hidden)
    expected = log_sigmoid(params.biases[-1][0])
    np.testing.assert_allclose(made.log_prob(params, masks, jnp.ones(1)), expected, rtol=1e-12)
    assert abs(exact.table(partial(made.log_prob, params, masks), 1).sum() - 1) < 1e-12
    assert made.sample(jax.random.key(0), params, masks).shape == (1,)


def test_what_can_not_be_is_refused():
    params, masks = model(5, (6,)), masks_of(range(5), (6,))
    with pytest.raises(ValueError, match=r"one example of 5 bits, \(5,\), got \(2, 5\): jax.vmap"):
        made.log_prob(params, masks, jnp.zeros((2, 5)))
    with pytest.raises(ValueError, match=r"masks must have the shapes of the weights, \[\(6, 5\), \(5, 6\)\], got"):
        made.log_prob(params, masks_of(range(5), (7,)), jnp.zeros(5))
    with pytest.raises(ValueError, match="known must be at least 0, got -1"):
        made.complete(jax.random.key(0), params, masks, jnp.zeros(5), -1)
    with pytest.raises(ValueError, match="hidden must be positive, got 0"):
        made.init(jax.random.key(0), 5, (0,))

"""Maximum likelihood: the empirical table where a model can be it; the best epoch; each example once an epoch."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from abp_jax.relatives import binary_baselines, made, made_masks, nade
from abp_jax.relatives.likelihood_fit import fit, log_probs
from tests.relatives import exact

COUNTS = np.array([30, 10, 20, 60])  # of 00, 01, 10, 11
PAIRS = np.repeat(exact.all_states(2), COUNTS, axis=0)
BEST = np.sum(COUNTS * np.log(COUNTS / 120)) / 120  # minus the entropy of the table


def models():
    """Each can be any table of two bits."""
    masks = made_masks.masks(made_masks.degrees(jax.random.key(0), [1, 0], (8,)))
    yield "chain", binary_baselines.chain_log_prob, binary_baselines.chain(2)
    yield "nade", nade.log_prob, nade.init(jax.random.key(0), 2, 4)
    yield "made", lambda params, x: made.log_prob(params, masks, x), made.init(jax.random.key(1), 2, (8,))


@pytest.mark.parametrize(("log_prob", "params"), [m[1:] for m in models()], ids=[m[0] for m in models()])
def test_the_highest_likelihood_is_the_empirical_table(key, log_prob, params):
    rate = optax.cosine_decay_schedule(0.05, 1_500)
    found = fit(
        log_prob, params, PAIRS, PAIRS, key=key, num_epochs=500, batch_size=40, learning_rate=rate, patience=500
    )
    np.testing.assert_allclose(exact.table(partial(log_prob, found.params), 2), COUNTS / 120, atol=3e-3)
    np.testing.assert_allclose(found.valid[found.best], BEST, atol=1e-4)


def mean_of_normal(mean, x):
    return -0.5 * jnp.sum((x - mean) ** 2)


def test_the_best_epoch_is_returned_and_patience_ends_the_rest(key):
    """On its way from 0 to 10 the mean passes the 3 of the validation examples."""
    x, x_valid = jnp.full((20, 1), 10.0), jnp.full((5, 1), 3.0)
    found = fit(mean_of_normal, jnp.zeros(1), x, x_valid, key=key, batch_size=10, learning_rate=0.1, patience=4)
    assert found.best == np.argmax(found.valid)
    assert len(found.valid) == len(found.train) + 1 == found.best + 4 + 1
    np.testing.assert_allclose(-0.5 * (3 - found.params[0]) ** 2, found.valid[found.best], rtol=1e-5)
    assert found.valid[0] == -4.5
    assert abs(found.params[0] - 3) < 0.11


def test_an_epoch_is_every_example_once(key):
    """At a rate that hardly moves, the mean over an epoch's minibatches is that of the data."""
    x = jnp.arange(12.0)[:, None]
    settings = dict(key=key, num_epochs=3, batch_size=4, learning_rate=1e-9)
    found = fit(mean_of_normal, jnp.zeros(1), x, x, **settings)
    np.testing.assert_allclose(found.train, found.valid[0], rtol=1e-6)
    np.testing.assert_allclose(found.valid[0], -0.5 * np.mean(np.arange(12.0) ** 2), rtol=1e-6)


def test_minibatches_weigh_the_same(key):
    """Seven examples in threes: one waits, another each epoch."""
    x = jnp.arange(7.0)[:, None]
    settings = dict(key=key, num_epochs=40, batch_size=3, learning_rate=1e-9, patience=40)
    found = fit(mean_of_normal, jnp.zeros(1), x, x, **settings)
    left = np.sum(np.arange(7.0) ** 2) + 2 * 6 * found.train  # the square of the one that waits
    assert set(np.round(left)) == {0, 1, 4, 9, 16, 25, 36}


def test_log_probs_are_the_same_in_chunks_of_a_hundred():
    params = nade.init(jax.random.key(0), 12, 32)
    x = jnp.asarray(exact.all_states(12)[:1_250], jnp.float32)
    whole = jax.jit(jax.vmap(partial(nade.log_prob, params)))(x)
    for size in (100, 1_250, 2_000):
        np.testing.assert_allclose(log_probs(nade.log_prob, params, x, size), whole, rtol=1e-5)


def test_the_same_key_finds_the_same(key):
    first, second = (
        fit(nade.log_prob, nade.init(key, 2, 3), PAIRS, PAIRS, key=key, num_epochs=3, batch_size=50) for _ in range(2)
    )
    np.testing.assert_array_equal(first.valid, second.valid)


def test_what_can_not_be_is_refused(key):
    start = jnp.zeros(1)
    with pytest.raises(ValueError, match="batch_size must be at most 5, got 6"):
        fit(mean_of_normal, start, jnp.ones((5, 1)), jnp.ones((5, 1)), key=key, batch_size=6)
    with pytest.raises(ValueError, match=r"examples of one shape, got \(5, 1\) and \(5, 2\)"):
        fit(mean_of_normal, start, jnp.ones((5, 1)), jnp.ones((5, 2)), key=key, batch_size=5)
    with pytest.raises(ValueError, match="learning_rate must be positive"):
        fit(mean_of_normal, start, jnp.ones((5, 1)), jnp.ones((5, 1)), key=key, batch_size=5, learning_rate=0)
    with pytest.raises(FloatingPointError, match=r"-inf after 1 epochs. Lower learning_rate"):
        fit(mean_of_normal, start, jnp.ones((5, 1)), jnp.ones((5, 1)), key=key, batch_size=5, learning_rate=1e30)

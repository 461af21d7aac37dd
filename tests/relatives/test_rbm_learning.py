"""Learning on bars and stripes, where every answer is known: no machine has more than -log 14 nats a pattern."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from abp_jax.relatives import rbm as boltzmann
from abp_jax.relatives import rbm_gradient, rbm_learning
from abp_jax.relatives.bits import bars_and_stripes
from tests.relatives.machines import random_machine

BEST = -np.log(14)


def mean_log_prob(rbm, x):
    log_z = boltzmann.log_partition(rbm)
    return float(jnp.mean(jax.vmap(lambda v: boltzmann.log_prob(rbm, v, log_z))(jnp.asarray(x))))


@pytest.fixture(scope="module")
def start():
    return rbm_learning.initial(jax.random.key(1), bars_and_stripes(3), 6, scale=0.1)


@pytest.mark.parametrize(("method", "least"), [("exact", -2.9), ("pcd", -3.3), ("cd", -4.2)])
def test_each_method_learns_the_patterns(start, method, least):
    x = bars_and_stripes(3)
    before = mean_log_prob(start, x)
    rbm, record = rbm_learning.fit(start, x, key=jax.random.key(0), method=method, steps=4000, learning_rate=0.5)
    after = mean_log_prob(rbm, x)
    assert before < -6 and least < after < BEST
    np.testing.assert_array_equal(record.step, np.arange(400, 4001, 400))
    jax.tree.map(lambda last, p: np.testing.assert_array_equal(last[-1], p), record.rbm, rbm)
    assert np.all(np.isfinite(record.reconstruction_error))
    assert record.reconstruction_error[-1] < record.reconstruction_error[0]


def test_first_update_and_last_rate_by_hand(key):
    """Two updates on data of one pattern, at rate and rate / 2, by the formulas."""
    x = jnp.ones((5, 3))
    rbm = random_machine(2, 3)
    by_hand = rbm
    for rate in (0.4, 0.2):
        ascent = rbm_gradient.gradient(by_hand, x)
        by_hand = jax.tree.map(lambda p, g, rate=rate: p + rate * g, by_hand, ascent)
    fitted, record = rbm_learning.fit(rbm, x, key=key, method="exact", steps=2, moments=1, learning_rate=0.4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), fitted, by_hand)
    assert record.reconstruction_error.shape == (1,)


def test_persistent_chains_go_on_and_those_of_cd_start_at_the_data(key):
    """Weights that hold every state: chains at the data never leave it, so that CD-1 sees nothing to learn.

    Persistent chains start at the data too, and stay at the start's batch: their means are of one batch, for ever.
    """
    W = 60 * jnp.eye(3)
    rbm = boltzmann.RBM(W, -30 * jnp.ones(3), -30 * jnp.ones(3))
    x = jax.random.bernoulli(key, 0.5, (40, 3)).astype(jnp.float32)
    kwargs = dict(key=key, steps=10, moments=1, batch_size=7, learning_rate=0.01)
    cd, _ = rbm_learning.fit(rbm, x, method="cd", **kwargs)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), cd, rbm)
    pcd, _ = rbm_learning.fit(rbm, x, method="pcd", **kwargs)
    assert np.max(np.abs(pcd.b - rbm.b)) > 1e-3


def test_start_fits_each_bit_alone(key):
    x = np.repeat([[1, 0, 1], [1, 0, 0]], 40, axis=0)
    rbm = rbm_learning.initial(key, x, 500, scale=0.1)
    assert [p.shape for p in rbm] == [(500, 3), (3,), (500,)]
    assert float(jnp.std(rbm.W)) == pytest.approx(0.1, rel=0.1)
    np.testing.assert_array_equal(rbm.b, boltzmann.base_rates(x))
    assert not np.any(rbm.c)


def test_reconstruction_by_hand():
    rbm, v = random_machine(2, 3), np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    W, b, c = map(np.asarray, rbm)
    sigmoid = lambda a: 1 / (1 + np.exp(-a))
    back = sigmoid(sigmoid(v @ W.T + c) @ W + b)
    assert rbm_learning.reconstruction_error(rbm, jnp.asarray(v)) == pytest.approx(np.mean((v - back) ** 2), rel=1e-5)


def test_refusals(key):
    rbm, x = random_machine(2, 3), jnp.ones((5, 3))
    with pytest.raises(ValueError, match="method must be one of cd, pcd, exact; got 'CD'"):
        rbm_learning.fit(rbm, x, key=key, method="CD")
    with pytest.raises(ValueError, match="steps must be a multiple of moments, 10; got 15"):
        rbm_learning.fit(rbm, x, key=key, steps=15)
    with pytest.raises(ValueError, match=r"x must be \(examples, 3\), .* got shape \(5, 4\)"):
        rbm_learning.fit(rbm, jnp.ones((5, 4)), key=key)
    with pytest.raises(ValueError, match="learning_rate must be positive"):
        rbm_learning.fit(rbm, x, key=key, learning_rate=0.0)
    with pytest.raises(ValueError, match="k must be positive, got 0"):
        rbm_learning.fit(rbm, x, key=key, k=0)
    with pytest.raises(ValueError, match="hidden must be positive"):
        rbm_learning.initial(key, x, 0)

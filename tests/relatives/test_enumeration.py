"""Sums over all states against itertools and NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from abp_jax.relatives import enumeration
from tests.relatives.exact import all_states


def test_blocks_leave_out_nothing(monkeypatch):
    """32 states in blocks of 4: the function's values, their gradient and an expectation."""
    monkeypatch.setattr(enumeration, "BLOCK", 4)
    x, a = all_states(5), jnp.arange(5.0) / 3
    np.testing.assert_array_equal(enumeration.over_states(lambda x: x, 5), x)
    log_w = enumeration.over_states(lambda x: jnp.vdot(a, x), 5)
    np.testing.assert_allclose(log_w, x @ a, rtol=1e-6)
    gradient = jax.grad(lambda a: jnp.sum(enumeration.over_states(lambda x: jnp.vdot(a, x), 5)))(a)
    np.testing.assert_allclose(gradient, x.sum(axis=0), rtol=1e-6)
    p = np.exp(x @ a) / np.sum(np.exp(x @ a))
    means = enumeration.expectation(lambda x, p: (p @ x, jnp.sum(p)), log_w)
    np.testing.assert_allclose(means[0], p @ x, rtol=1e-5)
    np.testing.assert_allclose(means[1], 1, rtol=1e-5)


@pytest.mark.parametrize("n", [1, 3, 4])
def test_draws_follow_the_table(key, n):
    """Each state as often as its probability, within 4.5 standard errors."""
    log_w = 2 * jax.random.normal(key, (2**n,))
    p, num = np.array(jax.nn.softmax(log_w), np.float64), 20_000
    drawn = np.array(enumeration.draw(key, log_w, num))
    assert drawn.shape == (num, n)
    often = np.bincount((drawn @ 2.0 ** np.arange(n - 1, -1, -1)).astype(int), minlength=2**n)
    assert np.all(np.abs(often - num * p) < 4.5 * np.sqrt(num * p * (1 - p)) + 1)


def test_draws_of_separate_keys_are_separate(key):
    """Two bits of one draw that are independent in the table are so among the draws."""
    drawn = np.array(enumeration.draw(key, jnp.zeros(16), 20_000))
    assert np.max(np.abs(np.corrcoef(drawn.T) - np.eye(4))) < 4.5 / np.sqrt(20_000)


def test_too_many_bits_are_refused():
    with pytest.raises(ValueError, match="n must be at most 24"):
        enumeration.over_states(jnp.sum, 25)
    with pytest.raises(ValueError, match="n must be positive"):
        enumeration.over_states(jnp.sum, 0)
    with pytest.raises(ValueError, match=r"\(2\^n,\); got shape \(6,\)"):
        enumeration.draw(jax.random.key(0), jnp.zeros(6), 3)
    with pytest.raises(ValueError, match="num must be positive"):
        enumeration.draw(jax.random.key(0), jnp.zeros(8), 0)

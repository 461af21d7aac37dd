"""Annealed importance sampling against log Z by enumeration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from abp_jax.compilation.precision import double_precision
from abp_jax.relatives import annealed_importance
from abp_jax.relatives import rbm as boltzmann
from abp_jax.relatives.rbm import RBM
from tests.relatives.machines import joint_by_hand, random_machine


def test_independent_bits_have_no_variance(key):
    """W = 0 and b the base rates: every machine on the way is the same but for c, and every weight is Z."""
    base = jnp.array([0.5, -1.0, 2.0])
    rbm = RBM(jnp.zeros((2, 3)), base, jnp.zeros(2))
    draws = boltzmann.exact_draws(key, rbm, 8)
    bracket = annealed_importance.annealed_bracket(key, rbm, base, draws, inverse_temperatures=jnp.linspace(0, 1, 5))
    exact = np.log(joint_by_hand(rbm).sum())
    for found in bracket:
        np.testing.assert_allclose(found, exact, rtol=1e-6)


def test_zero_energy_counts_the_states(key):
    """E = 0: Z = 2^(hidden + visible)."""
    rbm = RBM(jnp.zeros((3, 4)), jnp.zeros(4), jnp.zeros(3))
    bracket = annealed_importance.annealed_bracket(key, rbm, rbm.b, jnp.ones((5, 4)))
    np.testing.assert_allclose([bracket.lower, bracket.upper], 7 * np.log(2), rtol=1e-6)


def test_weights_are_unbiased_both_ways(key):
    """E w = Z and E 1/w = 1/Z with one temperature between, by many draws: within 4.5 standard errors."""
    rbm, base, num = random_machine(2, 3, scale=0.7), jnp.array([0.3, -0.2, 0.1]), 20_000
    exact = np.log(joint_by_hand(rbm).sum())
    draws = boltzmann.exact_draws(key, rbm, num)
    b = jnp.array([0.0, 0.3, 1.0])
    found = annealed_importance.annealed_bracket(key, rbm, base, draws, inverse_temperatures=b)
    for weights in (np.exp(found.log_weights - exact), np.exp(exact - found.reverse_log_weights)):
        assert weights.std() > 0.05
        assert abs(weights.mean() - 1) < 4.5 * weights.std() / np.sqrt(num)


def test_bracket_holds_log_z_of_sixteen_hidden_bits():
    """By many temperatures both log means come within 0.1; by few the mean logs stay well below and above."""
    rbm = random_machine(16, 40, scale=0.5, seed=5)
    exact = float(boltzmann.log_partition(rbm))
    keys = jax.random.split(jax.random.key(6), 3)
    draws = boltzmann.exact_draws(keys[0], rbm, 100)
    fine = annealed_importance.annealed_bracket(keys[1], rbm, jnp.zeros(40), draws)
    np.testing.assert_allclose([fine.lower, fine.upper], exact, atol=0.1)
    b = jnp.linspace(0, 1, 21)
    coarse = annealed_importance.annealed_bracket(keys[2], rbm, jnp.zeros(40), draws, inverse_temperatures=b)
    for log_w, side in ((coarse.log_weights, -1), (coarse.reverse_log_weights, 1)):
        assert side * (jnp.mean(log_w) - exact) > 2 * jnp.std(log_w) / 10
    assert coarse.upper - coarse.lower < 2


def test_works_in_float64():
    with double_precision(), jax.debug_nans(True):
        rbm = random_machine(2, 3, dtype=jnp.float64)
        draws = boltzmann.exact_draws(jax.random.key(0), rbm, 100)
        b = jnp.linspace(0, 1, 21)
        bracket = annealed_importance.annealed_bracket(
            jax.random.key(1), rbm, jnp.zeros(3), draws, inverse_temperatures=b
        )
        assert all(part.dtype == jnp.float64 for part in bracket)
        assert abs(bracket.lower - np.log(joint_by_hand(rbm).sum())) < 0.5


def test_refusals(key):
    rbm, base, draws = random_machine(2, 3), jnp.zeros(3), jnp.zeros((4, 3))
    bracket = annealed_importance.annealed_bracket
    with pytest.raises(ValueError, match=r"model_draws must be \(examples, 3\).* got shape \(0, 3\)"):
        bracket(key, rbm, base, jnp.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"model_draws must be \(examples, 3\).* got shape \(4, 2\)"):
        bracket(key, rbm, base, jnp.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"base must be the log odds of the visible bits, \(3,\); got \(2,\)"):
        bracket(key, rbm, jnp.zeros(2), draws)
    with pytest.raises(ValueError, match="steps must be positive, got -1"):
        bracket(key, rbm, base, draws, steps=-1)
    with pytest.raises(ValueError, match="must climb from 0 to 1; got 1 to 0"):
        bracket(key, rbm, base, draws, inverse_temperatures=jnp.array([1.0, 0.0]))
    with pytest.raises(ValueError, match=r"from 0 to 1; got shape \(1,\)"):
        bracket(key, rbm, base, draws, inverse_temperatures=jnp.array([0.0]))

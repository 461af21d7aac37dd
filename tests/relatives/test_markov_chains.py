"""Transition matrices whose answers are known, without any sampling."""

import jax.numpy as jnp
import numpy as np
import pytest

from abp_jax.relatives import markov_chains

TWO = jnp.array([[0.7, 0.3], [0.1, 0.9]])  # pi = (1/4, 3/4), lambda = 1 - 0.3 - 0.1
RING = jnp.array([[0, 0.9, 0.1], [0.1, 0, 0.9], [0.9, 0.1, 0]])  # pi uniform; it goes round, and not back
ALTERNATING = jnp.array([[0.0, 1.0], [1.0, 0.0]])
APART = jnp.eye(2)
ONE_WAY = jnp.array([[0.5, 0.5], [0.0, 1.0]])


def test_two_states_by_hand():
    np.testing.assert_allclose(markov_chains.stationary(TWO), [0.25, 0.75], rtol=1e-5)
    np.testing.assert_allclose(markov_chains.second_eigenvalue(TWO), 0.6, rtol=1e-6)
    assert markov_chains.balance_error(jnp.array([0.25, 0.75]), TWO) < 1e-7
    np.testing.assert_allclose(markov_chains.balance_error(jnp.array([0.5, 0.5]), TWO), 0.1, rtol=1e-5)


def test_a_ring_keeps_its_distribution_without_balance():
    np.testing.assert_allclose(markov_chains.stationary(RING), np.full(3, 1 / 3), rtol=1e-5)
    np.testing.assert_allclose(markov_chains.balance_error(np.full(3, 1 / 3), RING), 0.8 / 3, rtol=1e-5)
    circulant = np.abs(0.9 * np.exp(2j * np.pi / 3) + 0.1 * np.exp(-2j * np.pi / 3))
    np.testing.assert_allclose(markov_chains.second_eigenvalue(RING), circulant, rtol=1e-6)


def test_the_distance_shrinks_by_the_second_eigenvalue():
    mu, pi = np.array([1.0, 0.0]), np.array([0.25, 0.75])
    for t in range(1, 5):
        mu = mu @ np.asarray(TWO)
        np.testing.assert_allclose(np.abs(mu - pi).max(), 0.75 * 0.6**t, rtol=1e-5)


@pytest.mark.parametrize(
    ("T", "irreducible", "ergodic"),
    [(TWO, True, True), (RING, True, True), (ALTERNATING, True, False), (APART, False, False), (ONE_WAY, False, False)],
    ids=["two", "ring", "alternating", "apart", "one way"],
)
def test_irreducible_and_aperiodic(T, irreducible, ergodic):
    assert markov_chains.irreducible(T) == irreducible
    assert markov_chains.ergodic(T) == ergodic


def test_the_slowest_pattern_to_fill():
    """Wielandt's: a cycle of k states with one shortcut; its powers have a zero up to (k - 1)^2, and none after."""
    T = np.roll(np.eye(6), 1, axis=1)
    T[5] = [0.5, 0.5, 0, 0, 0, 0]
    assert markov_chains.ergodic(T)
    assert (np.linalg.matrix_power(T, 25) == 0).any() and (np.linalg.matrix_power(T, 26) > 0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: markov_chains.stationary(APART), "irreducible"),
        (lambda: markov_chains.stationary(jnp.ones((2, 3))), "square matrix"),
        (lambda: markov_chains.second_eigenvalue(TWO.T), "Transposed"),
        (lambda: markov_chains.balance_error(jnp.ones(3), TWO), r"pi must have shape \(2,\)"),
    ],
    ids=range(4),
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()

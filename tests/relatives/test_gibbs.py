"""Gibbs sampling: what its matrices keep, which are reversible, and draws against the table."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from abp_jax.compilation import precision
from abp_jax.relatives import bits, gibbs, markov_chains, tables


@pytest.fixture(autouse=True)
def double():
    with precision.double_precision():
        yield


def misconception():
    return jnp.log(tables.joint(tables.misconception(), "ABCD").values.ravel())


def rough(n, seed=0):
    """log p of 2^n states up to a constant, any numbers."""
    return 3 * jax.random.normal(jax.random.key(seed), (2**n,), float)


def conditional(p, a, i):
    """p(x_i = a_i | x_-i = a_-i), by hand: the state's probability over that of it and its neighbour."""
    return p[a] / (p[a] + p[tuple(1 - v if k == i else v for k, v in enumerate(a))])


def test_a_site_redraws_one_bit_from_its_conditional():
    """Every entry, by three cases: the same state, a neighbour over bit i, anything else."""
    log_p = rough(3)
    p = np.exp(log_p).reshape(2, 2, 2)
    for i in range(3):
        T = np.asarray(gibbs.site_matrix(log_p, i)).reshape((2,) * 6)
        for a, b in np.ndindex((8, 8)):
            a, b = np.unravel_index(a, (2, 2, 2)), np.unravel_index(b, (2, 2, 2))
            agree = all(a[k] == b[k] for k in range(3) if k != i)
            np.testing.assert_allclose(T[(*a, *b)], conditional(p, b, i) if agree else 0, rtol=1e-12)


@pytest.mark.parametrize("log_p", [misconception, lambda: rough(5)], ids=["misconception", "rough"])
def test_what_keeps_p_and_what_is_reversible(log_p):
    log_p = log_p()
    p = jax.nn.softmax(log_p)
    n = int(np.log2(len(p)))
    blocks = gibbs.sweep(log_p, [range(2, n), range(2)])
    chains = [gibbs.random_scan(log_p), gibbs.sweep(log_p), gibbs.block_matrix(log_p, (0, 2)), blocks]
    for T in chains:
        np.testing.assert_allclose(jnp.sum(T, axis=1), 1, rtol=1e-12)
        np.testing.assert_allclose(p @ T, p, atol=1e-12)
    errors = [markov_chains.balance_error(p, T) for T in chains]
    assert errors[0] < 1e-15 and errors[2] < 1e-15 and errors[1] > 1e-3 and errors[3] > 1e-4
    for T in (chains[0], chains[1], blocks):
        np.testing.assert_allclose(markov_chains.stationary(T), p, atol=1e-12)
        assert markov_chains.ergodic(T)
    assert not markov_chains.irreducible(gibbs.site_matrix(log_p, 0))


def test_the_first_bits_of_two_blocks_are_a_reversible_chain():
    log_p, V, H = rough(5), 4, 8
    T = gibbs.visible_chain(log_p, 2)
    both = gibbs.sweep(log_p, [(2, 3, 4), (0, 1)]).reshape(V, H, V, H)
    np.testing.assert_allclose(T, both.sum(axis=3)[:, 5], rtol=1e-12)  # whichever h one starts from
    p_v = jax.nn.softmax(log_p).reshape(V, H).sum(axis=1)
    np.testing.assert_allclose(p_v @ T, p_v, atol=1e-15)
    assert markov_chains.balance_error(p_v, T) < 1e-15


def test_how_long_to_wait_for_the_misconception():
    log_p = misconception()
    np.testing.assert_allclose(markov_chains.second_eigenvalue(gibbs.random_scan(log_p)), 0.98454, atol=5e-6)
    np.testing.assert_allclose(markov_chains.second_eigenvalue(gibbs.sweep(log_p)), 0.8798, atol=5e-5)


def test_random_scan_with_other_probabilities():
    log_p, q = rough(3), [0.5, 0.3, 0.2]
    expected = sum(q_i * gibbs.site_matrix(log_p, i) for i, q_i in enumerate(q))
    np.testing.assert_allclose(gibbs.random_scan(log_p, q), expected, rtol=1e-12)


def test_a_sweep_redraws_the_first_bit_first():
    log_p = rough(3)
    T = [np.asarray(gibbs.site_matrix(log_p, i)) for i in range(3)]
    np.testing.assert_allclose(gibbs.sweep(log_p), T[0] @ T[1] @ T[2], rtol=1e-12)
    np.testing.assert_allclose(gibbs.sweep(log_p, [2, (0, 1)]), T[2] @ gibbs.block_matrix(log_p, (0, 1)), rtol=1e-12)


@pytest.mark.parametrize(
    ("sample", "matrix"),
    [(gibbs.sample, gibbs.sweep), (gibbs.sample_random_scan, gibbs.random_scan)],
    ids=["sweep", "random scan"],
)
def test_a_step_of_the_sampler_is_a_row_of_the_matrix(sample, matrix, key):
    """20,000 chains make one step from the same state: their counts against T, within four standard errors."""
    log_p, num = rough(3, seed=1) / 3, 20_000
    density = lambda x: log_p[bits.index(x)]
    one = lambda key: bits.index(sample(key, density, jnp.array([1.0, 0, 1]), 1)[0])
    counts = np.bincount(jax.jit(jax.vmap(one))(jax.random.split(key, num)), minlength=8)
    expected = np.asarray(matrix(log_p)[5])
    assert np.all(np.abs(counts / num - expected) <= 4 * np.sqrt(expected * (1 - expected) / num))


@pytest.mark.parametrize(
    ("sample", "matrix", "num"),
    [(gibbs.sample, gibbs.sweep, 100_000), (gibbs.sample_random_scan, gibbs.random_scan, 400_000)],
    ids=["sweep", "random scan"],
)
def test_a_long_chain_visits_each_state_as_often_as_p_says(sample, matrix, num, key):
    """Within four standard errors, of draws that hang together: lambda bounds their number by (1 - l) / (1 + l)."""
    log_p = misconception()
    p = np.exp(log_p)
    draws = jax.jit(lambda key: sample(key, lambda x: log_p[bits.index(x)], jnp.zeros(4), num))(key)
    eigenvalue = markov_chains.second_eigenvalue(matrix(log_p))
    effective = num * (1 - eigenvalue) / (1 + eigenvalue)
    frequencies = np.bincount(bits.index(draws), minlength=16) / num
    assert np.all(np.abs(frequencies - p) < 4 * np.sqrt(p * (1 - p) / effective) + 4 / effective)


def test_single_precision_stays_single():
    log_p = jnp.float32(rough(3))
    T = gibbs.sweep(log_p)
    assert T.dtype == jnp.float32
    draws = gibbs.sample(jax.random.key(0), lambda x: -jnp.sum(x), jnp.zeros(3, jnp.float32), 2)
    assert draws.dtype == jnp.float32 and draws.shape == (2, 3)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: gibbs.sweep(jnp.zeros(5)), ValueError, "all 2"),
        (lambda: gibbs.sweep(jnp.array([0, -jnp.inf])), ValueError, "finite"),
        (lambda: gibbs.site_matrix(jnp.zeros(4), 2), ValueError, "block must be at most 1"),
        (lambda: gibbs.block_matrix(jnp.zeros(4), (1, 1)), ValueError, "each once"),
        (lambda: gibbs.random_scan(jnp.zeros(4), [1.0, 0.0]), ValueError, "2 positive numbers"),
        (lambda: gibbs.visible_chain(jnp.zeros(4), 2), ValueError, "num_visible must be at most 1"),
        (lambda: gibbs.sample(jax.random.key(0), jnp.sum, jnp.zeros((2, 2)), 1), ValueError, "x must be one state"),
        (lambda: gibbs.sample(jax.random.key(0), jnp.sum, jnp.zeros(2), 0), ValueError, "num_sweeps must be positive"),
        (lambda: gibbs.sample(0, jnp.sum, jnp.zeros(2), 1), TypeError, "key must be a key"),
    ],
    ids=range(9),
)
def test_bad_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()

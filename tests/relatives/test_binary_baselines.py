"""Mixtures and the logistic chain: sums over all states, EM that never falls, draws of the table."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from abp_jax.compilation import precision
from abp_jax.relatives import binary_baselines as baselines
from tests.relatives import exact


@pytest.fixture
def float64():
    with precision.double_precision():
        yield


def a_mixture(K, n, size=2.0):
    logits = exact.as_large(jnp.zeros((K, n)), size)
    return baselines.Mixture(jax.nn.log_softmax(exact.as_large(jnp.zeros(K), 1.0, seed=1)), logits)


def a_chain(n, size=2.0):
    return exact.as_large(baselines.chain(n), size)


def some_bits(N, n):
    """Two kinds of rows, so that there is something for a mixture to find."""
    rng = np.random.default_rng(0)
    p = np.where(np.arange(N)[:, None] < N // 3, 0.8, 0.3)
    return (rng.random((N, n)) < p).astype(int)


def test_the_probabilities_sum_to_one(float64):
    for log_prob in (
        partial(baselines.mixture_log_prob, a_mixture(5, 12)),
        partial(baselines.chain_log_prob, a_chain(12)),
    ):
        assert abs(exact.table(log_prob, 12).sum() - 1) < 1e-12


def test_the_mixture_is_its_formula(float64):
    mixture = a_mixture(3, 4)
    w, p = np.exp(mixture.log_weights), 1 / (1 + np.exp(-np.asarray(mixture.logits)))
    expected = [sum(w[k] * np.prod(np.where(x, p[k], 1 - p[k])) for k in range(3)) for x in exact.all_states(4)]
    np.testing.assert_allclose(exact.table(partial(baselines.mixture_log_prob, mixture), 4), expected, rtol=1e-12)


def test_the_chain_is_its_formula(float64):
    """And what lies on the diagonal of W and above it has no part in it."""
    W, b = map(np.asarray, a_chain(4))
    expected = []
    for x in exact.all_states(4):
        p = [1 / (1 + np.exp(-(sum(W[i, j] * x[j] for j in range(i)) + b[i]))) for i in range(4)]
        expected.append(np.prod(np.where(x, p, 1 - np.array(p))))
    np.testing.assert_allclose(exact.table(partial(baselines.chain_log_prob, a_chain(4)), 4), expected, rtol=1e-12)
    gradient = jax.grad(baselines.chain_log_prob)(a_chain(4), jnp.ones(4))
    np.testing.assert_array_equal(gradient.W != 0, np.tri(4, k=-1, dtype=bool))


def test_draws_are_of_the_table():
    for sample, log_prob, model in (
        (baselines.mixture_sample, baselines.mixture_log_prob, a_mixture(3, 6, 1.0)),
        (baselines.chain_sample, baselines.chain_log_prob, a_chain(6, 1.0)),
    ):
        draws = jax.jit(jax.vmap(sample, (0, None)))(jax.random.split(jax.random.key(0), 20_000), model)
        assert exact.chi_square(draws, exact.table(partial(log_prob, model), 6)) > 1e-3


def test_independent_pixels_are_counted(float64):
    """Three rows and a pseudo-count of 1/2: p = (ones + 1/2) / 4."""
    mixture = baselines.independent([[1, 0, 1], [1, 0, 0], [1, 1, 0]], pseudo_count=0.5)
    np.testing.assert_allclose(jax.nn.sigmoid(mixture.logits[0]), [3.5 / 4, 1.5 / 4, 1.5 / 4], rtol=1e-12)
    np.testing.assert_allclose(mixture.log_weights, [0], atol=1e-15)


def test_one_round_of_em_by_hand(float64):
    mixture, x, a = a_mixture(3, 5), some_bits(40, 5), 0.7
    w, p = np.exp(mixture.log_weights), 1 / (1 + np.exp(-np.asarray(mixture.logits)))
    r = np.array([[w[k] * np.prod(np.where(row, p[k], 1 - p[k])) for k in range(3)] for row in x])
    r /= r.sum(axis=1, keepdims=True)
    after = baselines.em_step(mixture, jnp.asarray(x, float), a)
    np.testing.assert_allclose(np.exp(after.log_weights), (r.sum(axis=0) + a) / (40 + 3 * a), rtol=1e-12)
    expected = (r.T @ x + a) / (r.sum(axis=0)[:, None] + 2 * a)
    np.testing.assert_allclose(jax.nn.sigmoid(after.logits), expected, rtol=1e-12)


def test_em_never_falls(float64):
    """Of the log-likelihood with the logarithm of the prior, in each of 50 rounds."""
    mixture, x, a = a_mixture(4, 6), jnp.asarray(some_bits(100, 6), float), 0.5

    def objective(mixture):
        prior = jnp.sum(mixture.log_weights) + jnp.sum(jax.nn.log_sigmoid(mixture.logits))
        prior += jnp.sum(jax.nn.log_sigmoid(-mixture.logits))
        return jnp.sum(jax.vmap(partial(baselines.mixture_log_prob, mixture))(x)) + a * prior

    step = jax.jit(lambda mixture: (baselines.em_step(mixture, x, a), objective(mixture)))
    values = []
    for _ in range(50):
        mixture, value = step(mixture)
        values.append(float(value))
    assert np.all(np.diff(values) > -1e-10)
    assert values[-1] > values[0] + 10


def test_a_learned_mixture_beats_independent_pixels(key):
    x = some_bits(300, 8)
    mixture = baselines.fit_mixture(key, x, 2)
    mean = lambda mixture: float(jnp.mean(jax.vmap(partial(baselines.mixture_log_prob, mixture))(jnp.asarray(x))))
    assert mean(mixture) > mean(baselines.independent(x)) + 0.3
    np.testing.assert_allclose(sorted(np.exp(mixture.log_weights)), [1 / 3, 2 / 3], atol=0.07)


def test_one_component_is_independent_pixels(key):
    x = some_bits(50, 8)
    for learned, counted in zip(baselines.fit_mixture(key, x, 1), baselines.independent(x), strict=True):
        np.testing.assert_allclose(learned, counted, atol=1e-6)


def test_one_call_is_chunks_of_a_hundred():
    x = jnp.asarray(exact.all_states(12)[:1_200], jnp.float32)
    models = [
        partial(baselines.mixture_log_prob, a_mixture(32, 12)),
        partial(baselines.mixture_log_prob, baselines.independent(some_bits(50, 12))),
        partial(baselines.chain_log_prob, a_chain(12)),
    ]
    for log_prob in models:
        log_prob = jax.jit(jax.vmap(log_prob))
        chunks = jnp.concatenate([log_prob(x[i : i + 100]) for i in range(0, len(x), 100)])
        np.testing.assert_allclose(log_prob(x), chunks, rtol=1e-5)


def test_what_can_not_be_is_refused(key):
    with pytest.raises(ValueError, match="x must hold bits, 0 and 1"):
        baselines.independent([[0.5, 1.0]])
    with pytest.raises(ValueError, match=r"x must be \(examples, n\), .* got shape \(2,\)"):
        baselines.fit_mixture(key, [0, 1], 1)
    with pytest.raises(ValueError, match="pseudo_count must be positive, got 0"):
        baselines.independent([[0, 1]], pseudo_count=0)
    with pytest.raises(ValueError, match="num_components must be at most 2, got 3"):
        baselines.fit_mixture(key, [[0, 1], [1, 1]], 3)
    with pytest.raises(ValueError, match=r"one example of 3 bits, \(3,\), got \(2, 3\): jax.vmap"):
        baselines.chain_log_prob(baselines.chain(3), jnp.zeros((2, 3)))

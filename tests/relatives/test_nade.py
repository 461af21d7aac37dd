"""NADE: a distribution over all 2^12 states, incremental as direct; its draws are those of the table."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from abp_jax.compilation import precision
from abp_jax.relatives import nade
from tests.relatives import exact


@pytest.fixture
def float64():
    with precision.double_precision():
        yield


def model(n, d, size=3.0, seed=0):
    return exact.as_large(nade.init(jax.random.key(0), n, d), size, seed)


def by_hand(params, x):
    """p(x) as the definition says, in loops of NumPy."""
    W, b, V, c = (np.asarray(a, float) for a in params)
    p = 1.0
    for k in range(len(x)):
        a = b.copy()
        for j in range(k):
            a += W[:, j] * x[j]
        one = 1 / (1 + np.exp(-(V[k] @ (1 / (1 + np.exp(-a))) + c[k])))
        p *= one if x[k] else 1 - one
    return p


def test_the_definition(float64):
    """n and d differ, so that a transposed weight can't pass."""
    params = model(4, 3)
    expected = [by_hand(params, x) for x in exact.all_states(4)]
    np.testing.assert_allclose(exact.table(partial(nade.log_prob, params), 4), expected, rtol=1e-12)
    np.testing.assert_allclose(exact.table(partial(nade.log_prob_direct, params), 4), expected, rtol=1e-12)


def test_the_probabilities_sum_to_one(float64):
    """Over all 2^12 states."""
    assert abs(exact.table(partial(nade.log_prob, model(12, 7)), 12).sum() - 1) < 1e-12


def test_incremental_is_direct(float64):
    params, x = model(12, 7), jnp.asarray(exact.all_states(12)[::41], float)
    incremental = jax.vmap(partial(nade.log_prob, params))(x)
    np.testing.assert_allclose(incremental, jax.jit(jax.vmap(partial(nade.log_prob_direct, params)))(x), atol=1e-12)


def test_each_conditional_depends_on_what_comes_before_it(float64):
    """And on all of that: the Jacobian of the log odds is strictly lower triangular, and full there."""
    jacobian = np.asarray(jax.jacobian(partial(nade.logits, model(6, 5, size=1.0)))(jnp.full(6, 0.5)))
    assert np.all((jacobian != 0) == np.tri(6, k=-1, dtype=bool))


def test_the_last_column_of_W_is_never_used(float64):
    gradient = jax.grad(lambda params: nade.log_prob(params, jnp.ones(12)))(model(12, 7, size=1.0))
    assert np.all(gradient.W[:, -1] == 0)
    assert np.all(gradient.W[:, :-1] != 0)


def test_the_number_of_parameters():
    """2nd + n + d, of which 2nd + n are used."""
    params = nade.init(jax.random.key(0), 12, 7)
    assert nade.num_parameters(params) == 187
    assert nade.num_parameters(params) - params.W[:, -1].size == 2 * 12 * 7 + 12


def test_draws_are_of_the_table():
    params = model(6, 4, size=1.5)
    draws = jax.jit(jax.vmap(partial(nade.sample, nade=params)))(jax.random.split(jax.random.key(1), 20_000))
    assert exact.chi_square(draws, exact.table(partial(nade.log_prob, params), 6)) > 1e-3


def test_completions_are_of_the_conditional_table():
    """The first two of six pixels are kept, and the sixteen ways to go on come as often as p(x) says."""
    params, x = model(6, 4, size=1.5), jnp.array([1.0, 0, 1, 1, 1, 1])
    draw = partial(nade.complete, nade=params, x=x, known=2)
    draws = np.asarray(jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(1), 20_000)))
    assert np.all(draws[:, :2] == [1, 0])
    p = exact.table(partial(nade.log_prob, params), 6).reshape(4, 16)[2]
    assert exact.chi_square(draws[:, 2:], p) > 1e-3
    np.testing.assert_array_equal(nade.complete(jax.random.key(0), params, x, 6), x)


def test_one_call_is_chunks_of_a_hundred():
    params = model(12, 32, size=0.3)
    x = jnp.asarray(exact.all_states(12)[:1_200], jnp.float32)
    log_prob = jax.jit(jax.vmap(partial(nade.log_prob, params)))
    chunks = jnp.concatenate([log_prob(x[i : i + 100]) for i in range(0, len(x), 100)])
    np.testing.assert_allclose(log_prob(x), chunks, rtol=1e-5)


def test_one_pixel(float64):
    """A coin: p(1) = sigmoid(V sigmoid(b) + c). Saturated, its logarithm is still right."""
    params = nade.NADE(jnp.ones((1, 1)), jnp.zeros(1), jnp.full((1, 1), 2.0), jnp.full(1, 799.0))
    assert float(nade.log_prob(params, jnp.zeros(1))) == -800
    assert float(nade.log_prob(params, jnp.ones(1))) == 0
    assert nade.sample(jax.random.key(0), params) == 1


def test_integer_bits_keep_the_type_of_the_parameters():
    params = model(5, 3)
    x = np.array([1, 0, 1, 1, 0])
    assert nade.log_prob(params, x).dtype == jnp.float32
    assert nade.log_prob(params, x) == nade.log_prob(params, x.astype(bool))
    assert nade.sample(jax.random.key(0), params).dtype == jnp.float32


def test_what_can_not_be_is_refused():
    params = model(5, 3)
    with pytest.raises(ValueError, match=r"one example of 5 bits, \(5,\), got \(2, 5\): jax.vmap"):
        nade.log_prob(params, jnp.zeros((2, 5)))
    with pytest.raises(ValueError, match="num_hidden must be positive, got 0"):
        nade.init(jax.random.key(0), 5, 0)
    with pytest.raises(ValueError, match="known must be at most 5, got 6"):
        nade.complete(jax.random.key(0), params, jnp.zeros(5), 6)
    with pytest.raises(TypeError, match="known must be a whole number"):
        nade.complete(jax.random.key(0), params, jnp.zeros(5), jnp.ones(5, bool))

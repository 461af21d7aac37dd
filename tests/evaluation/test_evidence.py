"""Bounds and brackets of log p(y) against factor analysis."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from abp_jax import factor_analysis
from abp_jax.evaluation import evidence

SIGMA = 0.3


@pytest.fixture(params=[2, 5])
def linear(request, key):
    """A factor analysis with d = 2 or 5, y and the exact answers."""
    W = jax.random.normal(key, (30, request.param))
    model = factor_analysis.FactorAnalysis(W, jnp.arange(30.0) / 10, jnp.asarray(SIGMA))
    y = W @ jax.random.normal(jax.random.key(1), (request.param,)) + model.mean
    y = y + SIGMA * jax.random.normal(jax.random.key(2), (30,))
    exact = factor_analysis.posterior(model, y[None])
    return lambda z: W @ z + model.mean, y, factor_analysis.log_marginal_likelihood(model, y[None])[0], exact


def test_laplace_is_exact_for_a_linear_model(linear, key):
    """The proposal is the posterior: every weight is p(y)."""
    f, y, log_evidence, exact = linear
    mode = evidence.find_mode(f, jnp.ones_like(exact.mean[0]), y, SIGMA)
    np.testing.assert_allclose(mode, exact.mean[0], atol=1e-4)
    log_weights = evidence.importance_log_weights(key, f, mode, y, SIGMA, 100)
    np.testing.assert_allclose(log_weights, log_evidence, atol=2e-3)


def test_bounds_climb_to_the_evidence(linear, key):
    """From a proposal that is off by a standard deviation in each direction: L_1 < L_4 < L_64 < ... -> log p(y)."""
    f, y, log_evidence, exact = linear
    off = exact.mean[0] + jnp.linalg.cholesky(exact.covariance) @ jnp.full_like(exact.mean[0], 0.7)
    log_weights = evidence.importance_log_weights(key, f, off, y, SIGMA, 64_000)
    bounds = [evidence.importance_bound(log_weights, k) for k in (1, 4, 16, 64, 1000)]
    values = np.array([bound.value for bound in bounds])
    assert np.all(np.diff(values) > 0)
    d = len(off)
    np.testing.assert_allclose(values[0], log_evidence - d * 0.7**2 / 2, atol=5 * bounds[0].standard_error)  # the KL
    assert all(bound.value < log_evidence + 4 * bound.standard_error for bound in bounds)
    np.testing.assert_allclose(values[-1], log_evidence, atol=0.02)


def test_annealing_brackets_the_evidence(linear, key):
    f, y, log_evidence, exact = linear
    noise = jax.random.normal(key, (32, len(exact.mean[0])))
    draws = exact.mean + noise @ jnp.linalg.cholesky(exact.covariance).T
    bracket = evidence.annealed_bracket(key, f, draws, y, SIGMA)
    assert bracket.lower - 0.3 < log_evidence < bracket.upper + 0.3
    assert abs(bracket.upper - bracket.lower) < 1
    assert jnp.mean(bracket.log_weights) < log_evidence < jnp.mean(bracket.reverse_log_weights)


def test_too_few_draws_are_refused():
    with pytest.raises(ValueError, match="k=60 with 100 draws"):
        evidence.importance_bound(jnp.zeros(100), 60)

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from abp_jax.evaluation import diagnostics


def test_autocorrelation_of_a_known_chain(key):
    """x' = a x + noise has autocorrelation a^lag; its estimate from n steps errs by a few / sqrt(n)."""
    noise = jax.random.normal(key, (100_000,))
    _, chain = jax.lax.scan(lambda x, u: (0.8 * x + u,) * 2, 0.0, noise)
    np.testing.assert_allclose(diagnostics.autocorrelation(chain, 5), 0.8 ** np.arange(6), atol=0.02)
    with pytest.raises(ValueError, match="longer than max_lag=10"):
        diagnostics.autocorrelation(chain[:10], 10)


def test_diagnostics_know_good_chains_from_bad(key):
    independent = jax.random.normal(key, (500, 4, 2))
    assert jnp.all(jnp.abs(diagnostics.effective_sample_size(independent) / 2000 - 1) < 0.25)
    assert jnp.all(jnp.abs(diagnostics.r_hat(independent) - 1) < 0.02)
    assert (
        diagnostics.effective_sample_size(independent[..., :1]).shape
        == diagnostics.r_hat(independent[..., :1]).shape
        == (1,)
    )
    walk = jnp.cumsum(independent, axis=0)
    assert jnp.all(diagnostics.effective_sample_size(walk) < 50) and jnp.all(diagnostics.r_hat(walk) > 1.1)


def test_autocorrelation_does_not_feel_where_the_chain_is(key):
    chain = jnp.cumsum(jax.random.normal(key, (200,))) / 10
    np.testing.assert_allclose(
        diagnostics.autocorrelation(chain + 50, 20), diagnostics.autocorrelation(chain, 20), atol=1e-3
    )
    by_hand = np.asarray(chain, np.float64) - np.mean(np.asarray(chain, np.float64))
    expected = [by_hand[: 200 - k] @ by_hand[k:] / (by_hand @ by_hand) for k in range(21)]
    np.testing.assert_allclose(diagnostics.autocorrelation(chain, 20), expected, atol=1e-4)

"""How much chains tell: autocorrelation, effective sample size, R-hat."""

import jax
import jax.numpy as jnp

from abp_jax.compilation.precision import full_precision


@full_precision
def autocorrelation(chain: jax.Array, max_lag: int) -> jax.Array:
    """Returns the autocorrelation of a chain of shape (num_steps,) at lags 0 to max_lag: (max_lag + 1,).

    Raises ValueError if the chain is not longer than max_lag.
    """
    if chain.ndim != 1 or len(chain) <= max_lag:
        raise ValueError(f"a chain (num_steps,) longer than max_lag={max_lag} is needed, got shape {chain.shape}.")
    centred = chain - chain.mean()
    return jnp.array([jnp.vdot(centred[: len(chain) - k], centred[k:]) for k in range(max_lag + 1)]) / (
        centred @ centred
    )


def effective_sample_size(z: jax.Array) -> jax.Array:
    """Returns the effective sample size of all chains together, for each coordinate of z.

    The number of independent draws whose mean would be as exact: by BlackJAX, from the autocorrelations within chains
    and the variance between them (Gelman et al., Bayesian Data Analysis, 2013, section 11.5).

    z: (num_steps, chains, d). Returns (d,).
    """
    import blackjax.diagnostics  # here, since it is slow to import

    return blackjax.diagnostics.effective_sample_size(z, chain_axis=1, sample_axis=0).reshape(z.shape[2:])


def r_hat(z: jax.Array) -> jax.Array:
    """Returns Gelman and Rubin's R-hat (by BlackJAX), near 1 where chains agree. z: (num_steps, chains, d) to (d,)."""
    import blackjax.diagnostics

    return blackjax.diagnostics.potential_scale_reduction(z, chain_axis=1, sample_axis=0).reshape(z.shape[2:])

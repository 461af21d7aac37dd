"""log Z of a restricted Boltzmann machine of any size, between two bounds, by annealed importance sampling.

Between a machine without weights and the one in question stand those with mixed parameters,

    theta_b = (1 - b) theta_0 + b theta,   theta_0 = (W = 0, b = base rates, c = 0),   0 = b_0 < ... < b_T = 1

A chain starts at independent bits, whose Z_0 is known, and takes a few steps of block Gibbs at each b. The weight
w = Z_0 prod_t exp(F_{t-1}(v_{t-1}) - F_t(v_{t-1})) has E w = Z (Salakhutdinov and Murray, ICML 2008), so that
E log w <= log Z. The same way back, from draws of p(v), has E 1/w = 1/Z, an upper bound (Burda, Grosse and
Salakhutdinov, AISTATS 2015). F is the free energy, as in `rbm`.

As log p(v) = -F(v) - log Z, the upper bound on log Z is a lower one on log p(v).
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from abp_jax.evaluation.evidence import Bracket
from abp_jax.images import arguments
from abp_jax.relatives import bits
from abp_jax.relatives.rbm import RBM, block_gibbs, free_energy


def mixed(rbm: RBM, base: jax.Array, b: jax.Array) -> RBM:
    """Returns the machine at b between the one of independent bits with log odds `base`, (visible,), and this one."""
    return RBM(b * rbm.W, (1 - b) * base + b * rbm.b, b * rbm.c)


def annealed_bracket(
    key: jax.Array,
    rbm: RBM,
    base: jax.Array,
    model_draws: jax.Array,
    *,
    inverse_temperatures: jax.Array | None = None,
    steps: int = 1,
) -> Bracket:
    """Brackets log Z by annealed importance sampling from independent bits and back from the machine's draws.

    The upper bound holds if `model_draws` are draws from p(v): by `rbm.exact_draws`, or, where that can't be, from the
    ends of long chains, and then it should be said.

    Args:
      key: for both ways.
      rbm: the machine.
      base: log odds of the independent bits, (visible,): `rbm.base_rates` of the data.
      model_draws: (chains, visible), as many chains forth as back.
      inverse_temperatures: b, from 0 to 1, by default 1,000 equal steps.
      steps: of block Gibbs at each b.

    Returns:
      The bracket, where log Z stands for its log p(y).

    Raises:
      ValueError: base or model_draws doesn't fit the machine, steps is below 1, or b doesn't climb from 0 to 1.
    """
    arguments.whole("steps", steps)
    draws = bits.checked("model_draws", model_draws, rbm.b.size).astype(rbm.W.dtype)
    if jnp.shape(base) != rbm.b.shape:
        raise ValueError(f"base must be the log odds of the visible bits, {rbm.b.shape}; got {jnp.shape(base)}.")
    mixtures = partial(mixed, rbm, base)
    log_weight = lambda v, b: -free_energy(mixtures(b), v)
    move = lambda key, v, b: block_gibbs(key, mixtures(b), v, steps)
    return along(key, base, draws, schedule(inverse_temperatures, rbm.W.dtype), log_weight, move, rbm.c.size)


def along(
    key: jax.Array,
    base: jax.Array,
    draws: jax.Array,
    b: jax.Array,
    log_weight: Callable,
    move: Callable,
    num_hidden: int = 0,
) -> Bracket:
    """Brackets log Z of any p(v) of bits, along any path that starts at independent ones.

    Args:
      key: for both ways.
      base: log odds of the independent bits, (visible,).
      draws: of p(v), (chains, visible).
      b: inverse temperatures, (T + 1,), see `schedule`.
      log_weight: (v, b) -> the log of the unnormalised probability of one v at b.
      move: (key, v, b) -> one v, moved by a chain that keeps the distribution at b.
      num_hidden: how many bits are summed over in log_weight, each of them a fair coin at b = 0.
    """
    chains = len(draws)
    log_weights = lambda v, b: jax.vmap(lambda v: log_weight(v, b))(v)

    def moved(key, v, b):
        return jax.vmap(lambda key, v: move(key, v, b))(jax.random.split(key, chains), v)

    def up(carry, now):
        (v, log_w), (key, below, b) = carry, now
        log_w = log_w + log_weights(v, b) - log_weights(v, below)
        return (moved(key, v, b), log_w), None

    def down(carry, now):
        (v, log_w), (key, below, b) = carry, now
        v = moved(key, v, b)
        return (v, log_w + log_weights(v, b) - log_weights(v, below)), None

    start_key, up_key, down_key = jax.random.split(arguments.key(key), 3)
    path = lambda key: (jax.random.split(key, len(b) - 1), b[:-1], b[1:])
    odds = jnp.tile(base, (chains, 1))
    v = jax.random.bernoulli(start_key, jax.nn.sigmoid(odds)).astype(draws.dtype)
    log_z0 = jnp.full(chains, num_hidden * jnp.log(2.0) + jnp.sum(jax.nn.softplus(base)), draws.dtype)
    (_, forward), _ = jax.lax.scan(up, (v, log_z0), path(up_key))
    (_, backward), _ = jax.lax.scan(down, (draws, log_z0), path(down_key), reverse=True)
    log_mean = lambda log_values: logsumexp(log_values) - jnp.log(chains)
    return Bracket(log_mean(forward), -log_mean(-backward), forward, backward)


def schedule(b: jax.Array | None, dtype: jnp.dtype) -> jax.Array:
    """Returns the inverse temperatures b, (T + 1,), once they climb from 0 to 1; by default 1,000 equal steps."""
    b = jnp.asarray(jnp.linspace(0, 1, 1001) if b is None else b, dtype)
    if b.ndim != 1 or len(b) < 2:
        raise ValueError(f"inverse_temperatures must be (T + 1,), from 0 to 1; got shape {b.shape}.")
    if not arguments.is_traced(b):
        known = np.asarray(b)
        if not (known[0] == 0 and known[-1] == 1 and np.all(np.diff(known) >= 0)):
            raise ValueError(f"inverse_temperatures must climb from 0 to 1; got {known[0]:g} to {known[-1]:g}.")
    return b

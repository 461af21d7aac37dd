"""Checks of numbers that are known, inside a function that is being compiled: they look, and they still refuse."""

import jax
import jax.numpy as jnp
import pytest

from abp_jax.relatives import annealed_importance, bits, gibbs, markov_chains
from tests.relatives.machines import random_machine

B = jnp.linspace(0, 1, 5)
LOG_P = jnp.arange(4.0)
T = jnp.array([[0.5, 0.5], [0.25, 0.75]])
BITS = jnp.array([[0.0, 1.0, 1.0]])
RBM = random_machine(2, 3)


def bracket(b):
    key, base = jax.random.key(0), jnp.zeros(3)
    return annealed_importance.annealed_bracket(key, RBM, base, BITS, inverse_temperatures=b)


@pytest.mark.parametrize(
    ("function", "good", "bad"),
    [
        (bracket, B, 2 * B),
        (lambda x: bits.checked("x", x), BITS, 2 * BITS),
        (gibbs.random_scan, LOG_P, LOG_P / 0),
        (lambda T: markov_chains.balance_error(jnp.ones(2) / 2, T), T, 2 * T),
        (markov_chains.stationary, T, jnp.eye(2)),
    ],
    ids=["annealed", "bits", "gibbs", "balance", "stationary"],
)
def test_what_is_known_is_checked_inside_jit_too(function, good, bad):
    outside = function(good)
    for inside in (jax.jit(lambda: function(good))(), jax.jit(function)(good)):
        assert jax.tree.all(jax.tree.map(lambda a, b: bool(jnp.allclose(a, b, atol=1e-5)), inside, outside))
    with pytest.raises(ValueError, match="must"):
        jax.jit(lambda: function(bad))()

"""Pairwise Markov networks against the sum over all states."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from abp_jax.compilation import precision
from abp_jax.relatives import bits, likelihood_fit, pairwise, rbm
from abp_jax.relatives import gibbs as site_gibbs
from tests.relatives import exact


@pytest.fixture
def float64():
    with precision.double_precision():
        yield


def network(n, scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    return pairwise.Pairwise(*(jnp.asarray(scale * rng.normal(size=size)) for size in ((n, n), (n,))))


def log_weights_by_hand(net):
    """b'x + sum over pairs, in loops, of every state."""
    W, b = (np.asarray(a, float) for a in net)
    pairs = lambda x: sum(W[i, j] * x[i] * x[j] for i in range(len(b)) for j in range(i))
    return np.array([b @ x + pairs(x) for x in exact.all_states(len(b))])


def test_the_definition(float64):
    net = network(5)
    log_w = log_weights_by_hand(net)
    np.testing.assert_allclose(jax.vmap(partial(pairwise.log_weight, net))(exact.all_states(5)), log_w, rtol=1e-12)
    log_z = pairwise.log_partition(net)
    assert float(log_z) == pytest.approx(logsumexp(log_w), rel=1e-12)
    assert abs(exact.table(lambda x: pairwise.log_prob(net, x, log_z), 5).sum() - 1) < 1e-12


def test_pseudo_likelihood_is_the_product_of_the_conditionals(float64):
    """Each p(x_i | x_-i) from the table."""
    net = network(5)
    p = np.exp(log_weights_by_hand(net))
    for x in exact.all_states(5)[::3]:
        flipped = [np.where(np.arange(5) == i, 1 - x, x) for i in range(5)]
        here = p[exact.index(x)]
        expected = sum(np.log(here / (here + p[exact.index(other)])) for other in flipped)
        assert float(pairwise.pseudo_log_prob(net, x)) == pytest.approx(expected, rel=1e-10)


def test_the_gradient_is_that_of_the_log_likelihood(float64):
    net, x = network(6), jnp.asarray(exact.all_states(6)[::5])
    mean = lambda net: jnp.mean(jax.vmap(partial(pairwise.log_weight, net))(x)) - pairwise.log_partition(net)
    for found, expected in zip(pairwise.gradient(net, x), jax.grad(mean)(net), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-12)
    assert float(jnp.abs(jax.grad(mean)(net).W).max()) > 0.05


def test_a_sweep_keeps_p_and_is_the_sweep_of_the_site_chain(float64):
    """Draws of p stay so; and from one state the law is that of the exact transition matrix."""
    net = network(5, scale=0.8)
    log_p = jnp.asarray(log_weights_by_hand(net))
    p = np.exp(log_p - logsumexp(log_p))
    draws = pairwise.exact_draws(jax.random.key(0), net, 20_000)
    assert exact.chi_square(draws, p) > 1e-3
    move = jax.jit(jax.vmap(partial(pairwise.gibbs, net=net, num_sweeps=1)))
    keys = jax.random.split(jax.random.key(1), 20_000)
    assert exact.chi_square(move(keys, x=draws), p) > 1e-3
    start = jnp.tile(jnp.array([1.0, 0, 1, 1, 0]), (20_000, 1))
    row = np.asarray(site_gibbs.sweep(log_p))[exact.index(start[0])]
    assert exact.chi_square(move(keys, x=start), row) > 1e-3
    assert exact.chi_square(move(keys, x=start), p) < 1e-6


def test_bracket_holds_log_z_of_twelve_bits():
    """By many temperatures both ends come within 0.05; by few the mean logs stay below and above."""
    net = network(12, scale=0.7, seed=3)
    log_z = float(pairwise.log_partition(net))
    draws_key, fine_key, coarse_key = jax.random.split(jax.random.key(0), 3)
    draws = pairwise.exact_draws(draws_key, net, 200)
    bracket = jax.jit(pairwise.annealed_bracket)
    fine = bracket(fine_key, net, jnp.zeros(12), draws, inverse_temperatures=jnp.linspace(0, 1, 301))
    np.testing.assert_allclose([fine.lower, fine.upper], log_z, atol=0.05)
    coarse = bracket(coarse_key, net, jnp.zeros(12), draws, inverse_temperatures=jnp.linspace(0, 1, 6))
    for log_w, side in ((coarse.log_weights, -1), (coarse.reverse_log_weights, 1)):
        assert side * (jnp.mean(log_w) - log_z) > 2 * jnp.std(log_w) / 200**0.5


def test_weights_are_unbiased_both_ways():
    """E w = Z and E 1/w = 1/Z with one temperature between: within 4.5 standard errors."""
    net, num = network(4, scale=0.7, seed=1), 20_000
    log_z = float(pairwise.log_partition(net))
    draws = pairwise.exact_draws(jax.random.key(0), net, num)
    base, b = jnp.array([0.3, -0.2, 0.1, 0.5]), jnp.array([0.0, 0.3, 1.0])
    found = jax.jit(pairwise.annealed_bracket)(jax.random.key(1), net, base, draws, inverse_temperatures=b)
    for weights in (np.exp(found.log_weights - log_z), np.exp(log_z - found.reverse_log_weights)):
        assert weights.std() > 0.05
        assert abs(weights.mean() - 1) < 4.5 * weights.std() / np.sqrt(num)


def test_a_network_is_found_again_and_the_likelihood_improves_on_the_pseudo_likelihood():
    """From 4,000 draws of seven bits: both come near; what the chains climb is the likelihood itself."""
    true = network(7, scale=0.8, seed=2)
    x = pairwise.exact_draws(jax.random.key(0), true, 4000)
    mean = jax.jit(lambda net: jnp.mean(jax.vmap(partial(pairwise.log_weight, net))(x)) - pairwise.log_partition(net))
    nats = lambda net: float(mean(net))
    start = pairwise.independent(rbm.base_rates(x))
    pseudo = likelihood_fit.fit(
        pairwise.pseudo_log_prob, start, x, x[:500], key=jax.random.key(1), num_epochs=60, learning_rate=2e-2
    ).params
    found, chains = pairwise.fit(pseudo, x, key=jax.random.key(2), steps=3000, learning_rate=0.5, num_chains=200)
    assert chains.shape == (200, 7) and nats(start) < nats(true) - 0.1
    assert nats(found) > nats(true) - 1e-3
    assert nats(found) > nats(pseudo)
    largest = max(float(jnp.abs(part).max()) for part in pairwise.gradient(found, x))
    assert largest < 0.02 < 0.05 < max(float(jnp.abs(part).max()) for part in pairwise.gradient(start, x))


def test_decay_keeps_edges_small():
    x = pairwise.exact_draws(jax.random.key(0), network(5), 200)
    start = pairwise.independent(rbm.base_rates(x))
    size = lambda decay: float(
        jnp.abs(pairwise.fit(start, x, key=jax.random.key(1), steps=500, decay=decay, num_chains=50)[0].W).sum()
    )
    assert size(1.0) < size(0.0) / 3


def test_only_what_lies_below_the_diagonal_is_used():
    net, x = network(5), jnp.array([1.0, 0, 1, 1, 1])
    other = net._replace(W=jnp.tril(net.W, -1) + 7 * jnp.triu(jnp.ones((5, 5))))
    for f in (pairwise.log_weight, pairwise.pseudo_log_prob):
        assert float(f(net, x)) == pytest.approx(float(f(other, x)), rel=1e-6)
    assert pairwise.num_parameters(net) == 15
    np.testing.assert_array_equal(pairwise.couplings(net), pairwise.couplings(net).T)


def test_what_can_not_be_is_refused():
    net = network(5)
    with pytest.raises(ValueError, match=r"one example of 5 bits, \(5,\), got \(2, 5\): jax.vmap"):
        pairwise.log_weight(net, jnp.zeros((2, 5)))
    with pytest.raises(ValueError, match=r"log odds of the bits, \(5,\); got \(4,\)"):
        pairwise.annealed_bracket(jax.random.key(0), net, jnp.zeros(4), jnp.zeros((3, 5)))
    with pytest.raises(ValueError, match="num_chains must be at most 3"):
        pairwise.fit(net, bits.states(5)[:3], key=jax.random.key(0), num_chains=4)

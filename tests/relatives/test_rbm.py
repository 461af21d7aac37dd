"""The restricted Boltzmann machine against the joint table of all v and h."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from abp_jax.compilation.precision import double_precision
from abp_jax.relatives import rbm as boltzmann
from abp_jax.relatives.rbm import RBM
from tests.relatives.exact import all_states
from tests.relatives.machines import joint_by_hand, random_machine

SIZES = [(4, 6), (6, 4), (5, 5), (1, 3)]


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}_hidden_{size[1]}_visible")
def machine(request):
    return random_machine(*request.param)


def test_energy_of_a_state_by_hand():
    """W has its hidden bits in rows, b belongs to v and c to h."""
    rbm = RBM(jnp.array([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]]), jnp.array([0.1, 0.2, 0.4]), jnp.array([100.0, 200.0]))
    v, h = jnp.array([1.0, 0.0, 1.0]), jnp.array([0.0, 1.0])
    assert boltzmann.energy(rbm, v, h) == pytest.approx(-(8 + 32 + 0.1 + 0.4 + 200))
    np.testing.assert_allclose(boltzmann.hidden_logits(rbm, v), [105, 240])
    np.testing.assert_allclose(boltzmann.visible_logits(rbm, h), [8.1, 16.2, 32.4], rtol=1e-6)


def test_conditionals_and_free_energy_are_those_of_the_joint_table(machine):
    table = joint_by_hand(machine)
    v, h = (jnp.asarray(all_states(bias.size), jnp.float32) for bias in (machine.b, machine.c))
    energies = jax.vmap(lambda v: jax.vmap(lambda h: boltzmann.energy(machine, v, h))(h))(v)
    np.testing.assert_allclose(energies, -np.log(table), atol=1e-4)
    np.testing.assert_allclose(jax.vmap(partial(boltzmann.free_energy, machine))(v), -np.log(table.sum(1)), atol=1e-4)
    means = jax.nn.sigmoid(jax.vmap(partial(boltzmann.hidden_logits, machine))(v))
    np.testing.assert_allclose(means, table @ h / table.sum(1)[:, None], atol=1e-5)
    means = jax.nn.sigmoid(jax.vmap(partial(boltzmann.visible_logits, machine))(h))
    np.testing.assert_allclose(means, table.T @ v / table.sum(0)[:, None], atol=1e-5)


def test_partition_function_by_either_layer(machine):
    exact = np.log(joint_by_hand(machine).sum())
    np.testing.assert_allclose(boltzmann.log_partition(machine), exact, rtol=1e-6)
    np.testing.assert_allclose(boltzmann.log_partition(boltzmann.flip(machine)), exact, rtol=1e-6)
    for side in (machine, boltzmann.flip(machine)):
        np.testing.assert_allclose(jax.nn.logsumexp(boltzmann.log_weights(side)), exact, rtol=1e-6)


def test_probabilities_sum_to_one_in_float64():
    with double_precision(), jax.debug_nans(True):
        rbm = random_machine(7, 9, dtype=jnp.float64)
        log_p = partial(boltzmann.log_prob, rbm, log_z=boltzmann.log_partition(rbm))
        p = jnp.exp(jax.vmap(log_p)(jnp.asarray(all_states(9))))
        assert p.dtype == jnp.float64
        assert abs(float(jnp.sum(p)) - 1) < 1e-12


def test_large_weights_stay_finite():
    rbm = jax.tree.map(lambda p: 300 * p, random_machine(4, 6))
    with jax.debug_nans(True):
        log_z, slope = jax.value_and_grad(boltzmann.log_partition)(rbm)
    assert all(bool(jnp.all(jnp.isfinite(a))) for a in (log_z, *slope))


def test_one_call_is_the_same_as_chunks(key):
    rbm = random_machine(10, 64, scale=0.5)
    x = jax.random.bernoulli(key, 0.5, (1000, 64)).astype(jnp.float32)
    log_p = jax.jit(jax.vmap(partial(boltzmann.log_prob, rbm, log_z=boltzmann.log_partition(rbm))))
    chunks = jnp.concatenate([log_p(x[i : i + 100]) for i in range(0, 1000, 100)])
    np.testing.assert_allclose(log_p(x), chunks, rtol=1e-5)
    exact = np.array(x, np.float64)
    W, b, c = (np.array(p, np.float64) for p in rbm)
    h = all_states(10)
    log_z = np.logaddexp.reduce(h @ c + np.logaddexp(0, h @ W + b).sum(1))
    np.testing.assert_allclose(chunks, exact @ b + np.logaddexp(0, exact @ W.T + c).sum(1) - log_z, atol=1e-3)


@pytest.mark.parametrize(("hidden", "visible"), [(4, 3), (3, 4)])
def test_exact_draws_follow_p(key, hidden, visible):
    """Each v as often as its probability, within 4.5 standard errors."""
    rbm, num = random_machine(hidden, visible, seed=2), 20_000
    table = joint_by_hand(rbm)
    p = table.sum(1) / table.sum()
    drawn = np.array(boltzmann.exact_draws(key, rbm, num))
    often = np.bincount((drawn @ 2 ** np.arange(visible - 1, -1, -1)).astype(int), minlength=2**visible)
    assert np.all(np.abs(often - num * p) < 4.5 * np.sqrt(num * p * (1 - p)))


@pytest.mark.parametrize("k", [0, 1, 2])
def test_block_gibbs_takes_exactly_k_steps(key, k):
    """From one v, the law of v^(k) by the joint table: p(h | v), then p(v | h), k times."""
    rbm, num = random_machine(3, 3, scale=1.5, seed=1), 40_000
    table = joint_by_hand(rbm)
    step = (table / table.sum(1)[:, None]) @ (table / table.sum(0)[None]).T
    start = 5
    p = np.linalg.matrix_power(step, k)[start]
    gibbs = lambda key: boltzmann.block_gibbs(key, rbm, all_states(3)[start], k)
    drawn = np.array(jax.jit(jax.vmap(gibbs))(jax.random.split(key, num)))
    often = np.bincount((drawn @ [4, 2, 1]).astype(int), minlength=8)
    assert np.all(np.abs(often - num * p) <= 4.5 * np.sqrt(num * p * (1 - p)))


def test_scikit_learn_has_the_same_machine(key):
    neural_network = pytest.importorskip("sklearn.neural_network")
    rbm = random_machine(5, 8)
    theirs = neural_network.BernoulliRBM(5)
    theirs.components_, theirs.intercept_visible_, theirs.intercept_hidden_ = map(np.asarray, rbm)
    x = np.array(jax.random.bernoulli(key, 0.5, (50, 8)), np.float32)
    means = jax.nn.sigmoid(jax.vmap(partial(boltzmann.hidden_logits, rbm))(x))
    np.testing.assert_allclose(means, theirs._mean_hiddens(x), atol=1e-5)
    np.testing.assert_allclose(jax.vmap(partial(boltzmann.free_energy, rbm))(x), theirs._free_energy(x), atol=1e-4)


def test_base_rates_are_the_log_odds_of_the_means():
    x = np.repeat([[1, 0, 1], [1, 0, 0]], 4, axis=0)
    np.testing.assert_allclose(jax.nn.sigmoid(boltzmann.base_rates(x)), [9 / 10, 1 / 10, 5 / 10], rtol=1e-6)


def test_refusals(key):
    rbm = random_machine(3, 4)
    with pytest.raises(
        ValueError,
        match=r"has 4 bits, \(4,\); got shape \(2, 4\). For several examples: jax.vmap",
    ):
        boltzmann.free_energy(rbm, jnp.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"has 3 bits, \(3,\); got shape \(4,\)"):
        boltzmann.energy(rbm, jnp.zeros(4), jnp.zeros(4))
    with pytest.raises(ValueError, match=r"W must be \(hidden, visible\).* got \(4, 3\), \(4,\), \(3,\)"):
        boltzmann.free_energy(RBM(rbm.W.T, rbm.b, rbm.c), jnp.zeros(4))
    with pytest.raises(ValueError, match="at most 24 bits; this machine's have 30 and 40. `annealed"):
        boltzmann.log_partition(random_machine(30, 40))
    with pytest.raises(ValueError, match="k must be at least 0, got -1"):
        boltzmann.block_gibbs(key, rbm, jnp.zeros(4), -1)
    with pytest.raises(ValueError, match="num must be positive"):
        boltzmann.exact_draws(key, rbm, 0)
    with pytest.raises(ValueError, match="x must hold bits, 0 and 1 only"):
        boltzmann.base_rates(jnp.full((3, 4), 0.5))
    with pytest.raises(ValueError, match=r"x must be \(examples, n\), .* got shape \(4,\)"):
        boltzmann.base_rates(jnp.zeros(4))

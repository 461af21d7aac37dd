"""CD-k by draws against its mean by the matrix, and both against the exact gradient."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from abp_jax.compilation.precision import double_precision
from abp_jax.relatives import contrastive_divergence as cd
from abp_jax.relatives import rbm as boltzmann
from abp_jax.relatives import rbm_gradient
from tests.relatives.exact import all_states
from tests.relatives.machines import joint_by_hand, random_machine

DATA = [1, 6, 6, 12, 13]  # states of four bits, by number


@pytest.fixture
def machine():
    return random_machine(3, 4, scale=1.5, seed=3)


def flat(rbm):
    return np.concatenate([np.ravel(p) for p in rbm])


def data_weights():
    return jnp.bincount(jnp.array(DATA), length=16) / len(DATA)


def test_block_matrix_keeps_p_and_is_reversible():
    with double_precision():
        rbm = random_machine(3, 4, dtype=jnp.float64)
        T = np.array(cd.block_matrix(rbm))
        table = joint_by_hand(rbm)
        p = table.sum(1) / table.sum()
        np.testing.assert_allclose(T.sum(1), 1, atol=1e-12)
        np.testing.assert_allclose(p @ T, p, atol=1e-12)
        np.testing.assert_allclose(p[:, None] * T, (p[:, None] * T).T, atol=1e-12)
        assert np.max(np.abs(T - T.T)) > 0.01  # it is the rows that sum to one
        np.testing.assert_allclose(T, (table / table.sum(1)[:, None]) @ (table / table.sum(0)[None]).T, atol=1e-12)


@pytest.mark.parametrize("k", [1, 2])
def test_mean_of_many_draws_is_the_expected_direction(machine, k):
    """8,000 copies of the data, each with chains of its own: within 4.5 standard errors.

    A wrong k, or hidden means of v^(k-1) beside v^(k), would be off by many.
    """
    copies = 8_000
    v = jnp.asarray(all_states(4)[DATA], jnp.float32)
    one = jax.jit(jax.vmap(lambda key: cd.direction(key, machine, v, v, k)[0]))
    drawn = one(jax.random.split(jax.random.key(4), copies))
    drawn = np.concatenate([np.reshape(p, (copies, -1)) for p in drawn], axis=1)
    error = drawn.std(0) / np.sqrt(copies)
    expected = flat(cd.expected_direction(machine, data_weights(), k))
    assert np.all(np.abs(drawn.mean(0) - expected) < 4.5 * error)
    other = flat(cd.expected_direction(machine, data_weights(), k + 1))
    assert np.max(np.abs(other - expected) / error) > 10  # the test can tell k from k + 1


def test_expected_direction_goes_to_the_gradient_as_the_second_eigenvalue(machine):
    v = jnp.asarray(all_states(4)[DATA], jnp.float32)
    with double_precision():
        rbm = jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), machine)
        exact = flat(rbm_gradient.gradient(rbm, jnp.asarray(v, jnp.float64)))
        weights = jnp.asarray(data_weights(), jnp.float64)
        bias = [np.linalg.norm(flat(cd.expected_direction(rbm, weights, k)) - exact) for k in (1, 2, 20, 21)]
        eigenvalue = np.sort(np.linalg.eigvals(np.array(cd.block_matrix(rbm))).real)[-2]
    assert 0.2 < eigenvalue < 0.95
    assert bias[0] > bias[1] > bias[2]
    assert bias[3] / bias[2] == pytest.approx(eigenvalue, rel=1e-3)


def test_direction_is_autodiff_with_the_chains_held_constant(key, machine):
    """The difference of mean free energies, differentiated as if the ends of the chains were data."""
    v, chains = jnp.asarray(all_states(4)[DATA]), jnp.asarray(all_states(4)[[3, 9]])
    found, ends = cd.direction(key, machine, v, chains, 2)
    assert ends.shape == chains.shape
    mean = lambda rbm, v: jnp.mean(jax.vmap(partial(boltzmann.free_energy, rbm))(v))
    expected = jax.grad(lambda rbm: mean(rbm, ends) - mean(rbm, v))(machine)
    np.testing.assert_allclose(flat(found), flat(expected), atol=1e-6)


def test_contrastive_divergence_is_no_gradient(machine):
    """The Jacobian of a gradient is symmetric; that of expected CD-1 isn't."""
    with double_precision():
        start, unravel = jax.flatten_util.ravel_pytree(jax.tree.map(lambda p: jnp.asarray(p, jnp.float64), machine))
        weights = jnp.asarray(data_weights(), jnp.float64)
        x = jnp.asarray(all_states(4)[DATA])
        fields = {
            "cd": lambda rbm: cd.expected_direction(rbm, weights, 1),
            "exact": lambda rbm: rbm_gradient.gradient(rbm, x),
        }
        jacobians = {
            name: np.asarray(
                jax.jacfwd(lambda p, field=field: jax.flatten_util.ravel_pytree(field(unravel(p)))[0])(start)
            )
            for name, field in fields.items()
        }
    assert np.max(np.abs(jacobians["exact"] - jacobians["exact"].T)) < 1e-10
    assert np.max(np.abs(jacobians["cd"] - jacobians["cd"].T)) > 1e-3


def test_refusals(key, machine):
    v = jnp.zeros((2, 4))
    with pytest.raises(ValueError, match="k must be positive, got 0"):
        cd.direction(key, machine, v, v, 0)
    with pytest.raises(ValueError, match="k must be positive, got 0"):
        cd.expected_direction(machine, data_weights(), 0)
    with pytest.raises(ValueError, match=r"weights must be one for each state, \(16,\); got shape \(4,\)"):
        cd.expected_direction(machine, jnp.ones(4) / 4, 1)
    with pytest.raises(ValueError, match="at most 12 bits; got 13 hidden and 4 visible"):
        cd.block_matrix(random_machine(13, 4))

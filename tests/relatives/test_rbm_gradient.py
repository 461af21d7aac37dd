"""The three formulas against automatic differentiation of the exact log-likelihood."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from abp_jax.compilation.precision import double_precision
from abp_jax.relatives import rbm as boltzmann
from abp_jax.relatives import rbm_gradient
from tests.relatives.exact import all_states
from tests.relatives.machines import joint_by_hand, random_machine


@pytest.mark.parametrize(("hidden", "visible"), [(4, 6), (6, 4), (5, 5)])
def test_formulas_are_the_gradient_of_the_exact_log_likelihood(hidden, visible):
    with double_precision(), jax.debug_nans(True):
        rbm = random_machine(hidden, visible, dtype=jnp.float64)
        x = jax.random.bernoulli(jax.random.key(1), 0.3, (7, visible)).astype(jnp.float64)

        def mean_log_prob(rbm):
            return jnp.mean(jax.vmap(partial(boltzmann.log_prob, rbm, log_z=boltzmann.log_partition(rbm)))(x))

        jax.tree.map(
            partial(np.testing.assert_allclose, atol=1e-12),
            rbm_gradient.gradient(rbm, x),
            jax.grad(mean_log_prob)(rbm),
        )


@pytest.mark.parametrize(("hidden", "visible"), [(3, 5), (5, 3)])
def test_model_statistics_by_the_joint_table(hidden, visible):
    rbm = random_machine(hidden, visible)
    p = joint_by_hand(rbm) / joint_by_hand(rbm).sum()
    v, h = all_states(visible), all_states(hidden)
    found = rbm_gradient.model_statistics(rbm)
    np.testing.assert_allclose(found.W, h.T @ p.T @ v, atol=1e-5)
    np.testing.assert_allclose(found.b, p.sum(1) @ v, atol=1e-5)
    np.testing.assert_allclose(found.c, p.sum(0) @ h, atol=1e-5)


def test_statistics_pair_each_v_with_its_own_hidden_means():
    """Two examples that say opposite things: the mean of the products is not the product of the means."""
    rbm = random_machine(2, 3, scale=3.0)
    x = jnp.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    weights = jnp.array([0.25, 0.75])
    m = [jax.nn.sigmoid(boltzmann.hidden_logits(rbm, v)) for v in x]
    found = rbm_gradient.statistics(rbm, x, weights)
    np.testing.assert_allclose(found.W, 0.25 * np.outer(m[0], x[0]) + 0.75 * np.outer(m[1], x[1]), atol=1e-6)
    np.testing.assert_allclose(found.b, [0.25, 0.25, 0.75], atol=1e-6)
    np.testing.assert_allclose(found.c, 0.25 * m[0] + 0.75 * m[1], atol=1e-6)
    even = rbm_gradient.statistics(rbm, x)
    np.testing.assert_allclose(even.W, (np.outer(m[0], x[0]) + np.outer(m[1], x[1])) / 2, atol=1e-6)


def test_large_machines_are_refused():
    with pytest.raises(ValueError, match="at most 24 bits; this machine's have 30 and 40"):
        rbm_gradient.model_statistics(random_machine(30, 40))

"""The exact gradient of a restricted Boltzmann machine's log-likelihood, by its three formulas.

With m_j(v) = p(h_j = 1 | v), for the data x_1 ... x_n and v ~ p(v):

    dL/dW_ji = mean_d m_j(x_d) x_di - E m_j(v) v_i
    dL/db_i  = mean_d x_di          - E v_i
    dL/dc_j  = mean_d m_j(x_d)      - E m_j(v)

L = mean_d log p(x_d), and p(v) as in `rbm`. Both parts are the same statistics, of the data and of the model: where L
is highest they agree. Source: Ackley, Hinton and Sejnowski, Cognitive Science 1985.
"""

from functools import partial

import jax
import jax.numpy as jnp

from abp_jax.compilation.precision import full_precision
from abp_jax.relatives import enumeration
from abp_jax.relatives.rbm import RBM, flip, hidden_logits, log_weights, smaller_visible


@full_precision
def statistics(rbm: RBM, v: jax.Array, weights: jax.Array | None = None) -> RBM:
    """Returns the weighted mean of (m(v) v', v, m(v)), minus the gradient of F, in the shapes of the parameters.

    Each v is paired with the m(v) of its own.

    Args:
      rbm: the machine.
      v: (n, visible).
      weights: (n,), by default 1/n each.
    """
    weights = jnp.full(len(v), 1 / len(v), v.dtype) if weights is None else weights
    m = jax.nn.sigmoid(jax.vmap(partial(hidden_logits, rbm))(v))
    weighted_v = weights[:, None] * v
    return RBM(m.T @ weighted_v, jnp.sum(weighted_v, axis=0), weights @ m)


def model_statistics(rbm: RBM) -> RBM:
    """Returns E (m(v) v', v, m(v)) over v ~ p(v), exactly, by the states of the smaller layer.

    Raises:
      ValueError: both layers have more than 24 bits.
    """
    small = smaller_visible(rbm)
    found = enumeration.expectation(partial(statistics, small), log_weights(small))
    return found if small is rbm else flip(found)


def gradient(rbm: RBM, x: jax.Array) -> RBM:
    """Returns the exact gradient of the mean log p(x) over x (n, visible), by the three formulas.

    Raises:
      ValueError: both layers have more than 24 bits.
    """
    return difference(statistics(rbm, x), model_statistics(rbm))


def difference(positive: RBM, negative: RBM) -> RBM:
    """Returns the statistics of the data less those of the model, or of its chains."""
    return jax.tree.map(jnp.subtract, positive, negative)

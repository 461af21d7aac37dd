"""Contrastive divergence (CD-k) and persistent chains (PCD) for a restricted Boltzmann machine.

The gradient of the log-likelihood needs means over v ~ p(v), see `rbm_gradient`. CD-k puts in their place the mean
over v^(k), k steps of block Gibbs from the data:

    v^(0) = a batch of data,   h ~ p(h | v^(t)),   v^(t+1) ~ p(v | h),   t = 0 ... k - 1

(Hinton, Neural Computation 2002). Persistent chains go on from where the last update left them (Tieleman, ICML 2008).
Both hold v^(k) constant: how its law depends on the parameters is left out, so that CD-k climbs no function at all
(Sutskever and Tieleman, AISTATS 2010). For small machines the matrix of the chain gives its mean without any draw.
"""

from functools import partial

import jax
import jax.numpy as jnp

from abp_jax.images import arguments
from abp_jax.relatives import bits
from abp_jax.relatives.rbm import RBM, block_gibbs, hidden_logits, visible_logits
from abp_jax.relatives.rbm_gradient import difference, statistics


def direction(key: jax.Array, rbm: RBM, v: jax.Array, chains: jax.Array, k: int = 1) -> tuple[RBM, jax.Array]:
    """Returns the direction of CD-k or of persistent chains, and where the chains then are.

    Args:
      key: for the chains.
      rbm: the machine.
      v: a batch of data, (n, visible).
      chains: where they start, (chains, visible): at v for CD-k; where they last were for persistent chains.
      k: steps of block Gibbs, 1 or more.

    Raises:
      ValueError: k is below 1.
    """
    arguments.whole("k", k)
    keys = jax.random.split(key, len(chains))
    ends = jax.lax.stop_gradient(jax.vmap(lambda key, v: block_gibbs(key, rbm, v, k))(keys, chains))
    return difference(statistics(rbm, v), statistics(rbm, ends)), ends


def block_matrix(rbm: RBM) -> jax.Array:
    """Returns T with T[s, t] = sum_h p(h | v = s) p(v = t | h), one step of block Gibbs: (2^visible, 2^visible).

    The states are numbered as in `bits.states`. For machines of some ten bits a layer.

    Raises:
      ValueError: a layer has more than 12 bits.
    """
    up, down = _conditionals(rbm)
    return jnp.matmul(up, down, precision="highest")


def expected_direction(rbm: RBM, weights: jax.Array, k: int) -> RBM:
    """Returns the mean of `direction` over all draws of CD-k, by the matrix. For k to infinity it is the gradient.

    The weights pass through the two halves of the matrix one after the other, which is as exact and costs less.

    Args:
      rbm: a small machine, see `block_matrix`.
      weights: the probability of each state among the data, (2^visible,).
      k: steps of block Gibbs, 1 or more.

    Raises:
      ValueError: k is below 1, weights is not (2^visible,), or a layer has more than 12 bits.
    """
    if jnp.shape(weights) != (2**rbm.b.size,):
        raise ValueError(f"weights must be one for each state, ({2**rbm.b.size},); got shape {jnp.shape(weights)}.")
    halves, times = _conditionals(rbm), partial(jnp.matmul, precision="highest")
    after = jax.lax.fori_loop(0, arguments.whole("k", k), lambda _, w: times(times(w, halves[0]), halves[1]), weights)
    return statistics(rbm, bits.states(rbm.b.size, rbm.W.dtype), weights - after)


def _conditionals(rbm: RBM):
    """p(h | v) for all v in rows and all h, (2^visible, 2^hidden), and p(v | h), (2^hidden, 2^visible)."""
    hidden, visible = rbm.W.shape
    if max(hidden, visible) > 12:
        raise ValueError(
            f"the matrix of the chain takes layers of at most 12 bits; got {hidden} hidden and {visible} visible."
        )
    up = _conditional(partial(hidden_logits, rbm), visible, hidden, rbm.W.dtype)
    return up, _conditional(partial(visible_logits, rbm), hidden, visible, rbm.W.dtype)


def _conditional(logits, from_bits: int, to_bits: int, dtype):
    """p(t | s) for all states s of one layer, in rows, and t of the other."""
    given = jax.vmap(logits)(bits.states(from_bits, dtype))
    log_p = jnp.matmul(given, bits.states(to_bits, dtype).T, precision="highest")
    return jnp.exp(log_p - jnp.sum(jax.nn.softplus(given), axis=1)[:, None])

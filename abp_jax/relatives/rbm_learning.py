"""Stochastic ascent of a restricted Boltzmann machine's log-likelihood, exact or by chains, and what to watch.

    theta <- theta + rate_t g_t,   rate_t = rate (1 - t / steps)

g is the exact gradient on a batch (`rbm_gradient`), or the direction of CD-k or of persistent chains
(`contrastive_divergence`). A rate that falls to 0 lets the chains keep up with the machine, and the noise of the
batches die out (Robbins and Monro, Annals of Mathematical Statistics 1951).
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from abp_jax.images import arguments
from abp_jax.relatives import bits
from abp_jax.relatives.contrastive_divergence import direction
from abp_jax.relatives.rbm import RBM, base_rates, hidden_logits, visible_logits
from abp_jax.relatives.rbm_gradient import gradient

METHODS = ("cd", "pcd", "exact")


class Record(NamedTuple):
    """What `fit` did, at `len(step)` moments of the way, the last one its end.

    Attributes:
      step: how many updates were done, (moments,).
      rbm: the machine then, each parameter with a leading axis of moments.
      reconstruction_error: mean of (v - p(v = 1 | m(v)))^2 over the batches since the moment before, (moments,). It
        doesn't tell how well a machine does: see `rbm.log_prob`.
    """

    step: jax.Array
    rbm: RBM
    reconstruction_error: jax.Array


def initial(key: jax.Array, x: jax.Array, hidden: int, scale: float = 0.01) -> RBM:
    """Returns the machine to start from: W ~ N(0, scale^2), c = 0, and b fits each bit of the data x (n, visible).

    Raises:
      ValueError: x is no table of bits, hidden is below 1, or the scale is negative.
    """
    x = bits.checked("x", x)
    size = (arguments.whole("hidden", hidden), x.shape[1])
    W = arguments.number("scale", scale, or_least=True) * jax.random.normal(arguments.key(key), size, x.dtype)
    return RBM(W, base_rates(x), jnp.zeros(hidden, x.dtype))


def fit(
    rbm: RBM,
    x: jax.Array,
    *,
    key: jax.Array,
    method: str = "pcd",
    k: int = 1,
    steps: int = 8000,
    batch_size: int = 100,
    learning_rate: float = 0.05,
    moments: int = 10,
) -> tuple[RBM, Record]:
    """Climbs the log-likelihood of x (n, visible) by steps of a rate that falls linearly to 0.

    Args:
      rbm: where to start, see `initial`.
      x: the data, bits.
      key: for batches and chains.
      method: "cd", "pcd" with one chain for each example of a batch, or "exact" (the model's part by enumeration).
      k: steps of block Gibbs an update, for "cd" and "pcd".
      steps: updates, a multiple of `moments`.
      batch_size: examples an update, drawn with replacement.
      learning_rate: of the first update.
      moments: how many machines on the way to keep.

    Raises:
      ValueError: an argument is out of its range, or x does not fit the machine. TypeError: it is of another kind.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}.")
    if arguments.whole("steps", steps) % arguments.whole("moments", moments):
        raise ValueError(f"steps must be a multiple of moments, {moments}; got {steps}.")
    x = bits.checked("x", x, rbm.b.size).astype(rbm.W.dtype)
    rate = arguments.number("learning_rate", learning_rate)
    batch_size, k = arguments.whole("batch_size", batch_size), arguments.whole("k", k)
    return _climb(arguments.key(key), rbm, x, rate, method, k, steps, batch_size, moments)


@partial(jax.jit, static_argnames=("method", "k", "steps", "batch_size", "moments"))
def _climb(key, rbm, x, rate, method, k, steps, batch_size, moments):
    start_key, key = jax.random.split(key)
    batch = lambda key: x[jax.random.randint(key, (batch_size,), 0, len(x))]

    def update(carry, now):
        rbm, chains = carry
        key, step = now
        batch_key, chain_key = jax.random.split(key)
        v = batch(batch_key)
        if method == "exact":
            ascent = gradient(rbm, v)
        else:
            ascent, chains = direction(chain_key, rbm, v, v if method == "cd" else chains, k)
        now = (rate * (1 - step / steps)).astype(x.dtype)
        return (jax.tree.map(lambda p, g: p + now * g, rbm, ascent), chains), reconstruction_error(rbm, v)

    def stretch(carry, now):
        carry, errors = jax.lax.scan(update, carry, now)
        return carry, (carry[0], jnp.mean(errors))

    keys = jax.random.split(key, (moments, steps // moments))
    numbers = jnp.arange(steps).reshape(moments, -1)
    (rbm, _), (machines, errors) = jax.lax.scan(stretch, (rbm, batch(start_key)), (keys, numbers))
    return rbm, Record(numbers[:, -1] + 1, machines, errors)


def reconstruction_error(rbm: RBM, v: jax.Array) -> jax.Array:
    """Returns the mean of (v - p(v = 1 | m(v)))^2 over the bits of all v (n, visible), a scalar."""

    def one(v):
        m = jax.nn.sigmoid(hidden_logits(rbm, v))
        return jnp.mean((v - jax.nn.sigmoid(visible_logits(rbm, m))) ** 2)

    return jnp.mean(jax.vmap(one)(v))

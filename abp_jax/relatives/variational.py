"""The evidence lower bound (ELBO) of one y, by draws from a guess q(z) at p(z | y).

    log p(y) = E_q log [p(y, z) / q(z)] + KL(q || p(z | y))
    ELBO     = E_q log [p(y, z) / q(z)] = E_q log p(y | z) - KL(q || p(z))

The second term of the first line is never negative, so the ELBO never exceeds log p(y), and how far it stays below is
what the guess is off. A draw is z = m + S u with u ~ N(0, I), so its derivatives in m and S are those of z: the
pathwise gradient (Kingma and Welling, ICLR 2014). Where q is the posterior, log [p(y, z) / q(z)] is log p(y) for every
single draw; with the KL to the prior in closed form it would still scatter.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from abp_jax import model
from abp_jax.compilation.precision import full_precision
from abp_jax.images import arguments
from abp_jax.relatives.encoders import Gaussian, draw, log_determinant


@full_precision
def log_weights(key: jax.Array, f: Callable, q: Gaussian, y: jax.Array, sigma: float, num: int) -> jax.Array:
    """Draws z_i from q and weighs them: log p(y, z_i) - log q(z_i), in nats, (num,).

    Their mean estimates the ELBO, and `evidence.importance_bound` makes the importance-weighted bound L_k of them.

    Args:
      key: for the draws.
      f: z -> f(z; W).
      q: what to draw from, its mean (d,).
      y: one observation, as `f` gives it.
      sigma: standard deviation of the noise.
      num: how many draws.

    Raises:
      TypeError, ValueError: key is no key, num no positive whole number; f(z) and y differ in shape.
    """
    num, log_S = arguments.whole("num", num, of="draws"), log_determinant(q)
    u = jax.random.normal(arguments.key(key), (num, q.mean.size), q.mean.dtype)

    def one(u):
        return model.log_joint(f, draw(q, u), y, sigma) - (model.log_prior(u) - log_S)  # log q(z) by its u

    return jax.lax.map(one, u, batch_size=256)


def elbo(key: jax.Array, f: Callable, q: Gaussian, y: jax.Array, sigma: float, num_draws: int = 1) -> jax.Array:
    """Returns an unbiased estimate of the ELBO of one y, in nats, a scalar: the mean of `log_weights`, see there."""
    return jnp.mean(log_weights(key, f, q, y, sigma, num_draws))

"""Points on a figure eight, and a generator's exact answers where z is one number: sums over a lattice of z.

    p(y) = int p(z) p(y | z) dz  ~  sum_j h p(z_j) p(y | z_j),        p(z_j | y) ~ p(z_j) p(y | z_j) / p(y)

for equally spaced z_j at the distance h. A sum over a lattice is the best rule for a smooth density that vanishes at
both ends (Trefethen and Weideman, SIAM Review 2014), once h is below its width: here about sigma / |df/dz|.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from abp_jax import model
from abp_jax.compilation.precision import full_precision
from abp_jax.images import arguments

WIDTH, HEIGHT = 1.5, 0.75  # from the middle to the sides, and to the top


def figure_eight(key: jax.Array, num: int, sigma: float = 0.1) -> jax.Array:
    """Draws points (1.5 cos t, 0.75 sin 2t) + e, t uniform on the circle and e ~ N(0, sigma^2 I): returns y (num, 2).

    The curve crosses itself at 0, and a line can't be laid along it without two ends.

    Raises:
      TypeError, ValueError: num or sigma is not a positive number.
    """
    t_key, e_key = jax.random.split(arguments.key(key))
    t = jax.random.uniform(t_key, (arguments.whole("num", num),), maxval=2 * jnp.pi)
    return eight(t) + arguments.number("sigma", sigma) * jax.random.normal(e_key, (num, 2))


def eight(t: jax.Array) -> jax.Array:
    """Returns the points of the curve at t, of any shape: (..., 2)."""
    return jnp.stack([WIDTH * jnp.cos(t), HEIGHT * jnp.sin(2 * t)], axis=-1)


@full_precision
def figure_eight_log_density(y: jax.Array, sigma: float = 0.1, num: int = 2000) -> jax.Array:
    """Returns log p(y) of `figure_eight` for one point y (2,), by a sum over `num` equally spaced t: a scalar."""
    points = eight(jnp.linspace(0, 2 * jnp.pi, num, endpoint=False, dtype=y.dtype))
    each = jax.vmap(lambda point: model.log_noise(y - point, sigma))(points)
    return logsumexp(each) - jnp.log(jnp.asarray(num, y.dtype))


def lattice(num: int = 1001, half_width: float = 5.0) -> jax.Array:
    """Returns equally spaced z from -half_width to half_width, (num, 1): odd, so that 0 is one of them."""
    return jnp.linspace(-half_width, half_width, num)[:, None]


@full_precision
def log_joint(f: Callable, y: jax.Array, sigma: float, z: jax.Array) -> jax.Array:
    """Returns log h p(y, z_j) at all points of a lattice z (num, 1): (num,), whose logsumexp is log p(y).

    Args:
      f: z -> f(z; W), for z of shape (1,).
      y: one example, as f gives it.
      sigma: standard deviation of e.
      z: see `lattice`.

    Raises:
      ValueError: z is no lattice of numbers.
    """
    if z.ndim != 2 or z.shape[1] != 1 or len(z) < 2:
        raise ValueError(f"z must be a lattice of one number each, (num, 1), got {z.shape}.")
    each = jax.vmap(lambda z: model.log_joint(f, z, y, sigma))(z)
    return each + jnp.log(z[1, 0] - z[0, 0])


def log_evidence(f: Callable, y: jax.Array, sigma: float, z: jax.Array) -> jax.Array:
    """Returns log p(y) for one y, in nats, a scalar. Arguments as in `log_joint`."""
    return logsumexp(log_joint(f, y, sigma, z))


def log_posterior(f: Callable, y: jax.Array, sigma: float, z: jax.Array) -> jax.Array:
    """Returns log of the probabilities of the lattice's points given y, which add up to 1: (num,)."""
    return jax.nn.log_softmax(log_joint(f, y, sigma, z))


def both_divergences(log_p: jax.Array, log_q: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns KL(q || p) and KL(p || q) of two distributions on the same points, in nats, two scalars.

    log_p, log_q: logarithms of the probabilities of the points, (num,), none of them -inf; each is normalised here.
    """
    log_p, log_q = jax.nn.log_softmax(log_p), jax.nn.log_softmax(log_q)
    return jnp.sum(jnp.exp(log_q) * (log_q - log_p)), jnp.sum(jnp.exp(log_p) * (log_p - log_q))

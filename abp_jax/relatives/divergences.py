"""How far apart two densities are, as sums over a grid, and what the best possible critic says of the two.

    KL(p, q)  = E_p log(p / q)
    JSD(p, q) = KL(p, m) / 2 + KL(q, m) / 2,   m = (p + q) / 2,   from 0 to log 2
    V(D)      = E_data log D + E_G log(1 - D) <= -log 4 + 2 JSD(p_data, p_G),   with equality for D* alone
    D*(y)     = p_data(y) / (p_data(y) + p_G(y)) = 1 / (1 + e^-a*(y)),   a* = log p_data - log p_G

and the density of a generator that keeps its noise, Y = f(Z; W) + e, is a sum over a lattice of z:

    p_G(y) = int N(z; 0, I) N(y; f(z), sigma^2 I) dz

A grid holds points of equal cells that cover nearly all of the mass of both. Its density values come as logarithms.
Source: Goodfellow et al., Generative adversarial nets, NIPS 2014.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.nn import softplus
from jax.scipy.special import logsumexp

from abp_jax import model
from abp_jax.compilation.precision import full_precision
from abp_jax.images import arguments

HALF_WIDTH = 5.0  # of the lattice of z: outside are 6e-7 of a coordinate's mass


def grid(low: float, high: float, num: int, dim: int = 2) -> tuple[jax.Array, float]:
    """Returns the middles of num^dim equal cells of the cube (low, high)^dim, and the volume of a cell.

    The points are (num^dim, dim); the last coordinate runs fastest.

    Raises:
      TypeError, ValueError: low is not below high; num or dim is below 1.
    """
    low, num, dim = (
        arguments.number("low", low, least=-jnp.inf),
        arguments.whole("num", num),
        arguments.whole("dim", dim),
    )
    high = arguments.number("high", high, least=low)
    width = (high - low) / num
    axis = low + width * (jnp.arange(num) + 0.5)
    return jnp.stack(jnp.meshgrid(*[axis] * dim, indexing="ij"), axis=-1).reshape(-1, dim), width**dim


@full_precision
def density_on_grid(
    f: Callable, grid: jax.Array, sigma: float, *, latent_dim: int = 2, spacing: float = 0.05
) -> jax.Array:
    """Returns log p_G(y) at each point of a grid (m, D), in nats: (m,).

    The lattice must be so fine that f(z) changes by less than sigma between neighbours wherever there is mass: halve
    the spacing to see. The cost is m times the points of the lattice, (10 / spacing)^d.

    Args:
      f: z -> f(z; W) for one z.
      grid: points y, (m, D).
      sigma: standard deviation of e, > 0.
      latent_dim: d, 1 or 2.
      spacing: of the lattice.

    Raises:
      TypeError, ValueError: a number is out of its range; f does not give points like those of the grid.
    """
    sigma, y = arguments.number("sigma", sigma), jnp.asarray(arguments.array("grid", grid))
    d = arguments.whole("latent_dim", latent_dim, most=2)
    half = round(HALF_WIDTH / arguments.number("spacing", spacing))
    axis = spacing * jnp.arange(-half, half + 1).astype(y.dtype)
    z = jnp.stack(jnp.meshgrid(*[axis] * d, indexing="ij"), axis=-1).reshape(-1, d)
    centres = jax.vmap(f)(z)
    if y.ndim != 2 or centres.shape[1:] != y.shape[1:]:
        raise ValueError(f"grid must be (m, D) with points as f gives them, {centres.shape[1:]}, got {y.shape}.")
    log_prior = jax.nn.log_softmax(jax.vmap(model.log_prior)(z))
    return _log_mixture(log_prior, centres, sigma, y)


@jax.jit
def _log_mixture(log_weights: jax.Array, centres: jax.Array, sigma: float, y: jax.Array):
    """log sum_j w_j N(y_i; c_j, sigma^2 I) for each y_i."""
    log_noise = lambda y: jax.vmap(lambda c: model.log_noise(y - c, sigma))(centres)
    return jax.lax.map(lambda y: logsumexp(log_weights + log_noise(y)), y, batch_size=64)


@full_precision
def kl(log_p: jax.Array, log_q: jax.Array, cell: float) -> jax.Array:
    """Returns KL(p, q) = E_p log(p / q), in nats: a scalar, at least 0.

    Args:
      log_p, log_q: log densities at the points of one grid, of one shape; -inf where a density is 0.
      cell: the volume of a cell of the grid, > 0.

    Raises:
      ValueError: shapes that differ; a cell that is not positive. So for all below.
    """
    log_p, log_q, cell = _checked(log_p, log_q, cell)
    seen = log_p > -jnp.inf
    ratio = jnp.where(seen, log_p, 0) - jnp.where(seen, log_q, 0)  # where p is 0, nothing is added whatever q is
    return cell * jnp.sum(jnp.exp(log_p) * ratio)


def jensen_shannon(log_p: jax.Array, log_q: jax.Array, cell: float) -> jax.Array:
    """Returns JSD(p, q), in nats: a scalar from 0 to log 2. Arguments as in `kl`."""
    log_p, log_q, cell = _checked(log_p, log_q, cell)
    log_m = jnp.logaddexp(log_p, log_q) - jnp.log(jnp.asarray(2, log_p.dtype))
    return (kl(log_p, log_m, cell) + kl(log_q, log_m, cell)) / 2


def optimal_logit(log_p_data: jax.Array, log_p_generator: jax.Array) -> jax.Array:
    """Returns a*(y) = log p_data(y) - log p_G(y), the logit of the optimal critic D*, elementwise."""
    return log_p_data - log_p_generator


@full_precision
def game_value(log_p: jax.Array, log_q: jax.Array, cell: float, a: jax.Array | None = None) -> jax.Array:
    """Returns V(D) = E_p log D + E_q log(1 - D) of the critic D = 1 / (1 + e^-a), in nats: a scalar, at most 0.

    Args:
      log_p, log_q, cell: as in `kl`; p is the data's density, q the generator's.
      a: the critic's logits at the points of the grid; by default the optimal ones, whose value is called C(G).
    """
    log_p, log_q, cell = _checked(log_p, log_q, cell)
    a = optimal_logit(log_p, log_q) if a is None else jnp.asarray(a)
    if a.shape != log_p.shape:
        raise ValueError(f"a must have a logit for each point of the grid, {log_p.shape}, got {a.shape}.")
    return -cell * jnp.sum(jnp.exp(log_p) * softplus(-a) + jnp.exp(log_q) * softplus(a))


def _checked(log_p: jax.Array, log_q: jax.Array, cell: float):
    log_p, log_q = jnp.asarray(log_p), jnp.asarray(log_q)
    if log_p.shape != log_q.shape:
        raise ValueError(f"log_p and log_q must be of one grid, got shapes {log_p.shape} and {log_q.shape}.")
    return log_p, log_q, cell if arguments.is_traced(cell) else arguments.number("cell", cell)

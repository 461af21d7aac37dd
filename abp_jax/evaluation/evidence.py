"""log p(y) for a latent vector of any dimension: importance bounds, and bidirectional Monte Carlo.

For a proposal q(z) and k draws, L_k = E log (1/k) sum_i p(y, z_i) / q(z_i). Jensen's inequality gives L_k <= log p(y),
and averaging over subsets of k + 1 draws gives L_k <= L_{k+1} (Burda, Grosse and Salakhutdinov, ICLR 2016). L_1 is the
evidence lower bound (ELBO).

Annealed importance sampling goes from the prior to the posterior through p(z) p(y|z)^b, 0 = b_0 < ... < b_T = 1, with a
few steps of a chain at each inverse temperature b. The weight w = prod_t p(y|z_{t-1})^(b_t - b_{t-1}) has E w = p(y)
(Neal, Statistics and Computing 2001), so E log w is a lower bound. The same way back, from a draw of the posterior, has
E 1/w = 1/p(y): an upper bound. Both together are bidirectional Monte Carlo (Grosse, Ghahramani and Adams, arXiv
1511.02543).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from abp_jax import langevin, model, samplers
from abp_jax.compilation.precision import full_precision


class Bound(NamedTuple):
    """An estimate of L_k.

    Attributes:
      value: in nats, scalar.
      standard_error: of the value, scalar.
    """

    value: jax.Array
    standard_error: jax.Array


class Bracket(NamedTuple):
    """A stochastic bracket (bidirectional Monte Carlo): in expectation lower <= log p(y) <= upper.

    Attributes:
      lower: log of the mean weight of the forward runs, in nats, scalar.
      upper: minus the log of the mean inverse weight of the backward runs, scalar.
      log_weights: of the forward runs, (chains,).
      reverse_log_weights: of the backward runs, log w again, (chains,).
    """

    lower: jax.Array
    upper: jax.Array
    log_weights: jax.Array
    reverse_log_weights: jax.Array


@full_precision
def importance_log_weights(
    key: jax.Array, f: Callable, z: jax.Array, y: jax.Array, sigma: float, num: int
) -> jax.Array:
    """Draws from the Laplace approximation at z, N(z, G^-1) with the Gauss-Newton precision G, and weighs the draws.

    Args:
      key: for the draws.
      f: z -> f(z; W).
      z: a mode of p(z | y), (d,): see `find_mode`.
      y: as `f` gives it.
      sigma: standard deviation of the noise.
      num: how many draws.

    Returns:
      log p(y, z_i) / q(z_i), (num,).
    """
    precision = langevin.precision(partial(model.residual, f, y=y, sigma=sigma), z)
    cholesky = jnp.linalg.cholesky(precision)
    log_determinant = jnp.sum(jnp.log(jnp.diag(cholesky)))

    def one(key):
        u = jax.random.normal(key, z.shape, z.dtype)
        draw = z + langevin.unwhiten(cholesky, u)
        log_q = model.log_prior(u) + log_determinant
        return model.log_joint(f, draw, y, sigma) - log_q

    return jax.lax.map(one, jax.random.split(key, num), batch_size=256)


def importance_bound(log_weights: jax.Array, k: int) -> Bound:
    """Returns L_k, from log weights (num,) in num // k groups.

    Raises:
      ValueError: fewer than two groups.
    """
    groups = len(log_weights) // k
    if k < 1 or groups < 2:
        raise ValueError(f"L_k needs two groups of k draws or more: k={k} with {len(log_weights)} draws. Draw more.")
    values = logsumexp(log_weights[: groups * k].reshape(groups, k), axis=1) - jnp.log(k)
    return Bound(jnp.mean(values), jnp.std(values, ddof=1) / jnp.sqrt(groups))


@full_precision
def find_mode(f: Callable, z: jax.Array, y: jax.Array, sigma: float, num_steps: int = 30) -> jax.Array:
    """Climbs from z (d,) to a mode of p(z | y), by Gauss-Newton steps, damped where they don't climb. Returns (d,).

    The damping is that of Levenberg and Marquardt: a tenth after every step that climbs, ten times after one that
    would not, which is not taken.
    """
    residual = partial(model.residual, f, y=y, sigma=sigma)

    def one(carry, _):
        z, squares, damping = carry
        _, gradient, precision = langevin.gauss_newton(residual, z)
        step = jnp.linalg.solve(precision + damping * jnp.diag(jnp.diag(precision)), gradient)
        new_squares = jnp.sum(residual(z + step) ** 2)
        better = new_squares <= squares
        damping = jnp.where(better, damping / 10, damping * 10)
        return (jnp.where(better, z + step, z), jnp.where(better, new_squares, squares), damping), None

    start = (z, jnp.sum(residual(z) ** 2), jnp.full((), 1e-2, z.dtype))
    return jax.lax.scan(one, start, None, num_steps)[0][0]


def inverse_temperatures(num: int, smallest: float = 1e-6) -> jax.Array:
    """Returns b: 0, then `num` values from `smallest` to 1 in equal ratios, (num + 1,).

    In equal ratios because p(z) p(y|z)^b narrows by the same factor from each to the next. The smallest must be so
    small that b log p(y|z) hardly differs over the prior: about 1 / (D / sigma^2).
    """
    return jnp.concatenate([jnp.zeros(1), jnp.geomspace(smallest, 1, num)])


@full_precision
def annealed_bracket(
    key: jax.Array,
    f: Callable,
    posterior_z: jax.Array,
    y: jax.Array,
    sigma: float,
    *,
    inverse_temperatures: jax.Array | None = None,
    steps: int = 1,
    step_size: float = 1.0,
) -> Bracket:
    """Brackets log p(y) by annealed importance sampling from the prior and back from the posterior.

    The chains are Gauss-Newton MALA at every b. The upper bound holds if `posterior_z` are draws from p(z | y): from
    the exact posterior, from a long chain with a Metropolis correction, or, for a y that the model made itself, the z
    it was made from.

    Args:
      key: for both ways.
      f: z -> f(z; W).
      posterior_z: (chains, d).
      y: as `f` gives it.
      sigma: standard deviation of the noise.
      inverse_temperatures: b, from 0 to 1, by default `inverse_temperatures(300)`.
      steps: of the chain at each b.
      step_size: of the chain.
    """
    b = _default_schedule(300) if inverse_temperatures is None else jnp.asarray(inverse_temperatures)
    chains, latent_dim = posterior_z.shape
    log_likelihood = jax.vmap(partial(model.log_likelihood, f, y=y, sigma=sigma))

    def move(key, z, b):
        """A few steps at one temperature."""
        residual = partial(model.residual, f, y=y, sigma=sigma, temperature=1 / b)
        sampler = samplers.gauss_newton_mala(residual, latent_dim)
        return samplers.run(key, sampler, samplers.start(sampler, z), step_size, steps).z[-1]

    def up(carry, now):
        (z, log_w), (key, below, b) = carry, now
        log_w = log_w + (b - below) * log_likelihood(z)
        return (move(key, z, b), log_w), None

    def down(carry, now):
        (z, log_w), (key, below, b) = carry, now
        z = move(key, z, b)
        return (z, log_w + (b - below) * log_likelihood(z)), None

    start_key, up_key, down_key = jax.random.split(key, 3)
    z, none = jax.random.normal(start_key, (chains, latent_dim)), jnp.zeros(chains)
    path = lambda key: (jax.random.split(key, len(b) - 1), b[:-1], b[1:])
    (_, forward), _ = jax.lax.scan(up, (z, none), path(up_key))
    (_, backward), _ = jax.lax.scan(down, (posterior_z, none), path(down_key), reverse=True)
    log_mean = lambda log_values: logsumexp(log_values) - jnp.log(chains)
    return Bracket(log_mean(forward), -log_mean(-backward), forward, backward)


temperatures = _default_schedule = inverse_temperatures  # the first is its name before, for one release

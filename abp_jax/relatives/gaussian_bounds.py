"""The ELBO of a normal q without a draw, and the q for which it is highest. For a z of one or two numbers.

    L(q) = E_q log p(y | z) - KL(q || p(z)),   q = N(m, S S'),   L(q) = log p(y) - KL(q || p(z | y))

The expectation is a sum over a lattice of u, with z = m + S u: exact to rounding where f is smooth (see `quadrature`).
The best q is found by natural-gradient steps of rate rho. With l = log p(y, z) and E over u ~ N(0, I):

    Q = (1 - rho) I + rho M,   M = -E (u u' - I) l   and   g = E u l
    S S' <- S Q^-1 S',   m <- m + rho S Q^-1 g

By Stein's identity g = S' E grad l and M = -S' E[grad grad' l] S, so values of f are enough. At the best q, g = 0 and
M = I: the mean gradient vanishes, and the precision of q is the mean curvature (Opper and Archambeau, Neural
Computation 2009; Khan and Nielsen, ISITA 2018).
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax import langevin, model
from abp_jax.compilation.precision import full_precision
from abp_jax.images import arguments
from abp_jax.relatives import encoders
from abp_jax.relatives.encoders import Gaussian

RADIUS = 6.0  # of the lattice, in standard deviations: beyond it is 2e-9 of a normal distribution
COARSE = 0.75, 5.25  # spacing and radius while searching: an error of q counts squared in its bound


@full_precision
def exact_elbo(f: Callable, q: Gaussian, y: jax.Array, sigma: float, spacing: float = 0.25) -> jax.Array:
    """Returns L(q) for one y in nats, a scalar: no draws, a sum over a lattice of u.

    A lattice, since a generator may have kinks, at which rules of higher order lose their digits.

    Args:
      f: z -> f(z; W).
      q: a normal distribution of z (d,), d at most 2.
      y: as `f` gives it.
      sigma: standard deviation of the noise.
      spacing: of the lattice, in standard deviations of q.

    Raises:
      TypeError, ValueError: d is above 2, or the spacing is no positive number.
    """
    u, weights = _lattice(q, spacing, RADIUS)
    return weights @ _log_likelihoods(f, q, y, sigma, u) - encoders.kl_to_prior(q)


@full_precision
def laplace(f: Callable, z: jax.Array, y: jax.Array, sigma: float) -> Gaussian:
    """Returns N(z, G^-1) for one y, with the Gauss-Newton precision G at z (d,): at a mode, Laplace's approximation."""
    precision = langevin.precision(partial(model.residual, f, y=y, sigma=sigma), z)
    return Gaussian(z, jnp.linalg.cholesky(jnp.linalg.inv(precision)))


@full_precision
def best_gaussian(
    f: Callable, y: jax.Array, sigma: float, start: Gaussian, family: str = "full", num_steps: int = 40
) -> tuple[Gaussian, jax.Array]:
    """Climbs to the normal distribution of highest L(q) for one y, from a start of one's choice: a local optimum.

    The rate rho is halved twice after a step that would not climb, which is not taken, and doubled up to 1 after one
    that does.

    Args:
      f: z -> f(z; W).
      y: as `f` gives it.
      sigma: standard deviation of the noise.
      start: a q of z (d,), d at most 2; see `laplace`. For "diagonal" it is first made the best of that family for the
        normal distribution that it is: variances 1 / P_ii, with its precision P.
      family: "full", or "diagonal" for a diagonal S: then z_1, ..., z_d are independent, which is called mean field.
      num_steps: of the climb.

    Returns:
      q* and L(q*).

    Raises:
      TypeError, ValueError: there is no such family, d is above 2, or num_steps is no positive whole number.
    """
    num_steps = arguments.whole("num_steps", num_steps, of="steps")
    q, _ = climb(f, y, sigma, in_family(start, family), family, num_steps)
    return q, exact_elbo(f, q, y, sigma)


def climb(f: Callable, y: jax.Array, sigma: float, q: Gaussian, family: str, num_steps: int):
    """q* and L(q*) on the coarse lattice."""
    u, weights = _lattice(q, *COARSE)
    own = jnp.eye(q.mean.size, dtype=bool) if family == "diagonal" else jnp.ones_like(q.factor, bool)

    def look(q):
        """L(q), and its natural gradient: g and M."""
        log_p = _log_likelihoods(f, q, y, sigma, u)
        mean = weights @ log_p
        weighted = weights * (log_p - mean)
        g = weighted @ u - q.factor.T @ q.mean
        M = q.factor.T @ q.factor - (u * weighted[:, None]).T @ u
        return mean - encoders.kl_to_prior(q), g, jnp.where(own, M, 0)

    def step(carry, _):
        q, (value, g, M), rho = carry
        new = _moved(q, g, M, rho)
        found = look(new)
        better = found[0] > value
        rho = jnp.where(better, jnp.minimum(2 * rho, 1), rho / 4)
        return (*jax.tree.map(partial(jnp.where, better), (new, found), (q, (value, g, M))), rho), None

    start = (q, look(q), jnp.ones((), q.mean.dtype))
    (q, (value, *_), _), _ = jax.lax.scan(step, start, None, num_steps)
    return q, value


def _moved(q: Gaussian, g: jax.Array, M: jax.Array, rho: jax.Array) -> Gaussian:
    """q after one step. No step changes a variance by more than a factor of 8: so Q is positive, whatever M is."""
    values, vectors = jnp.linalg.eigh((1 - rho) * jnp.eye(g.size, dtype=g.dtype) + rho * M)
    inverse = (vectors / jnp.clip(values, 1 / 8, 8)[None, :]) @ vectors.T
    mean = q.mean + rho * q.factor @ (inverse @ g)
    return Gaussian(mean, jnp.linalg.cholesky(q.factor @ inverse @ q.factor.T))


def in_family(q: Gaussian, family: str) -> Gaussian:
    """The q' of the family with the least KL(q' || q): itself, or with variances 1 / P_ii and no covariances."""
    if family not in encoders.FAMILIES:
        raise ValueError(f"family must be one of {', '.join(encoders.FAMILIES)}; got {family!r}.")
    if family == "full":
        return q
    inverse = jax.scipy.linalg.solve_triangular(q.factor, jnp.eye(q.mean.size, dtype=q.factor.dtype), lower=True)
    return q._replace(factor=jnp.diag(1 / jnp.sqrt(jnp.sum(inverse**2, axis=0))))


def _lattice(q: Gaussian, spacing: float, radius: float):
    """u (n, d), and their normal weights (n,), which add up to 1."""
    d = q.mean.size
    if q.mean.shape != (d,) or d > 2 or q.factor.shape != (d, d):
        raise ValueError(
            f"q must be a Gaussian of one z of at most two numbers, with mean (d,) and factor (d, d); got "
            f"{jnp.shape(q.mean)} and {jnp.shape(q.factor)}. jax.vmap makes the batch."
        )
    steps = int(radius / arguments.number("spacing", spacing))
    line = spacing * np.arange(-steps, steps + 1)
    u = np.stack(np.meshgrid(*[line] * d, indexing="ij"), axis=-1).reshape(-1, d)
    weights = np.exp(-0.5 * np.sum(u**2, axis=1))
    return jnp.asarray(u, q.mean.dtype), jnp.asarray(weights / weights.sum(), q.mean.dtype)


def _log_likelihoods(f: Callable, q: Gaussian, y: jax.Array, sigma: float, u: jax.Array):
    """log p(y | m + S u) for all u (n, d): (n,)."""
    one = lambda u: model.log_likelihood(f, encoders.draw(q, u), y, sigma)
    return jax.lax.map(one, u, batch_size=256)

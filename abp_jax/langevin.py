"""Langevin dynamics on one latent vector. Nothing here knows a network: a log density, or a residual, is all it takes.

    z' = z + s^2/2 grad log p(z) + s u,   u ~ N(0, I)                      (equation 7 of the exercise sheet)

Without a Metropolis correction this is the unadjusted Langevin algorithm (ULA): its law is that of p as s -> 0 alone.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve, solve_triangular


class LangevinInfo(NamedTuple):
    """Of where a step began: log p(z) up to a constant, |grad log p(z)|, and the largest eigenvalue of the precision.

    All scalars; the last is None where the step does not know it (Gauss-Newton does).
    """

    log_density: jax.Array
    gradient_norm: jax.Array
    curvature: jax.Array | None


def langevin_step(key: jax.Array, z: jax.Array, log_density: Callable, step_size: float):
    """One step of Langevin dynamics: z' = z + s^2/2 grad log p(z) + s u.

    Args:
      key: a key for u.
      z: (d,).
      log_density: z -> log p(z), a scalar, up to a constant.
      step_size: s > 0. The chain is stable where s < 2 / sqrt(curvature): see `largest_stable_step`.

    Returns:
      z' of shape (d,), and a LangevinInfo.
    """
    value, gradient = jax.value_and_grad(log_density)(z)
    u = jax.random.normal(key, z.shape, z.dtype)
    z = z + step_size**2 / 2 * gradient + step_size * u
    return z, LangevinInfo(value, jnp.linalg.norm(gradient), None)


def gauss_newton_step(key: jax.Array, z: jax.Array, residual: Callable, step_size: float):
    """One step preconditioned by the Gauss-Newton precision: z' = z + s^2/2 G^-1 grad log p(z) + s G^-1/2 u.

    With log p(z) = -|r(z)|^2 / 2 and J = dr/dz, grad log p = -J'r and G = J'J. Each direction moves in units of its
    own posterior width, so s has no unit: 0.5 works at every image size and sigma, and s < 2 is stable wherever f is
    nearly linear. Costs d forward derivatives and no reverse pass.

    The drift leaves out the derivative of G. Where f is linear, G is constant and nothing is missing. Where G varies,
    the chain is biased even as s -> 0 (in one dimension its limit is proportional to p(z) G(z)): negligible within one
    narrow mode, but the relative weights of several modes come out wrong.

    residual: z -> r(z), a vector (see `model.residual`); step_size: s, between 0 and 2; the rest as in `langevin_step`.
    """
    log_density, gradient, precision = gauss_newton(residual, z)
    z = propose(key, z, gradient, jnp.linalg.cholesky(precision), step_size)
    return z, LangevinInfo(log_density, jnp.linalg.norm(gradient), jnp.linalg.eigvalsh(precision)[-1])


def propose(key: jax.Array, z: jax.Array, gradient: jax.Array, cholesky: jax.Array, step_size: float) -> jax.Array:
    """Draws z' = z + s^2/2 P^-1 g + s P^-1/2 u, with LL' = P. z, gradient g: (d,); cholesky L: (d, d). Returns (d,)."""
    u = jax.random.normal(key, z.shape, z.dtype)
    return drifted(z, gradient, cholesky, step_size) + step_size * unwhiten(cholesky, u)


def drifted(z: jax.Array, gradient: jax.Array, cholesky: jax.Array, step_size: float) -> jax.Array:
    """Returns z + s^2/2 P^-1 g, the mean of `propose`. Arguments and result as there."""
    return z + step_size**2 / 2 * cho_solve((cholesky, True), gradient)


def unwhiten(cholesky: jax.Array, u: jax.Array) -> jax.Array:
    """Returns L'^-1 u (d,): of covariance P^-1, with LL' = P, if u has the covariance I. cholesky: L, (d, d)."""
    return solve_triangular(cholesky, u, lower=True, trans="T")


def sample(key: jax.Array, z: jax.Array | Any, step: Callable, num_steps: int) -> tuple[jax.Array | Any, Any]:
    """Runs a chain of `num_steps` steps from where it stands.

    Args:
      key: a key for the whole chain.
      z: (d,), or the state of a `samplers.Sampler`.
      step: (key, z) -> (z, info), for instance `lambda key, z: langevin_step(key, z, log_density, 0.1)`.
      num_steps: how many.

    Returns:
      The trajectory (num_steps, d), whose last row is where the chain ends, or the states and the infos, stacked.
    """

    def one(z, key):
        z, info = step(key, z)
        return z, (z, info)

    _, (trajectory, infos) = jax.lax.scan(one, z, jax.random.split(key, num_steps))
    return trajectory, infos


def precision(residual: Callable, z: jax.Array) -> jax.Array:
    """Returns the Gauss-Newton precision G = J'J of the density -|r(z)|^2 / 2 at z: (d, d)."""
    return gauss_newton(residual, z)[2]


def gauss_newton(residual: Callable, z: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns what one linearisation of r at z (d,) knows of the density -|r(z)|^2 / 2.

    Returns:
      Its log -|r|^2 / 2, a scalar; its gradient -J'r, (d,); its precision to first order, J'J, (d, d).
    """
    r, jacobian_transposed = linearize(residual, z)
    product = partial(jnp.matmul, precision="highest")  # a GPU's own has three digits, too few for widths of 1 and .005
    return -0.5 * product(r, r), -product(jacobian_transposed, r), product(jacobian_transposed, jacobian_transposed.T)


def largest_stable_step(precision: jax.Array) -> jax.Array:
    """Returns 2 / sqrt(lambda_max): with a larger step unadjusted Langevin moves away from the mode, ever faster.

    On a Gaussian of precision P the step multiplies the distance from the mode by I - s^2 P / 2, and that grows in
    some direction when s^2 lambda_max / 2 > 2. precision: (..., d, d). Returns (...).
    """
    return 2 / jnp.sqrt(jnp.linalg.eigvalsh(precision)[..., -1])


def largest_curvature(key: jax.Array, residual: Callable, z: jax.Array, num_rounds: int = 3) -> jax.Array:
    """Estimates the largest eigenvalue of the precision G = J'J at z, by power iteration from a random direction.

    Repeating v <- G v / |v| turns v towards the stiffest direction and |v| into its curvature. Each round costs one
    forward and one reverse derivative, whatever d is. The estimate is never too large; three rounds are near enough to
    choose a step with some room, which is what `adapted_step_size` is for.

    key: for the direction; residual: z -> r(z); z: (d,). Returns a scalar.
    """
    _, jacobian = jax.linearize(residual, z)
    transposed = jax.linear_transpose(jacobian, z)
    v = jax.random.normal(key, z.shape, z.dtype)
    for _ in range(num_rounds):
        (v,) = transposed(jacobian(v / jnp.linalg.norm(v)))
    return jnp.linalg.norm(v)


def adapted_step_size(key: jax.Array, residual: Callable, z: jax.Array, fraction: float) -> jax.Array:
    """Returns `fraction` of the largest stable step of unadjusted Langevin at z (d,), by `largest_curvature`: a scalar.

    At the fraction 0.5 a step halves the distance from the mode in the stiffest direction, and the curvature may turn
    out four times as large before the chain becomes unstable.
    """
    return fraction_of_stable(largest_curvature(key, residual, z), fraction)


def fraction_of_stable(curvature: jax.Array, fraction: float) -> jax.Array:
    """Returns `fraction` of the largest stable step where the largest curvature is this one: a scalar."""
    return fraction * 2 / jnp.sqrt(curvature)


def linearize(function: Callable, z: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns function(z), and J' (d, ...) by one forward derivative for each coordinate of z (d,)."""
    basis = jnp.eye(z.size, dtype=z.dtype)
    return jax.vmap(lambda direction: jax.jvp(function, (z,), (direction,)), out_axes=(None, 0))(basis)

"""Langevin dynamics on one latent vector. Nothing here knows a network: a log density, or a residual, is all it takes.

z' = z + s^2/2 grad log p(z) + s u,   u ~ N(0, I)                                              (seed equation 7)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve, solve_triangular


class LangevinInfo(NamedTuple):
    """What a reader wants to know of one step, as seen from where the step began.

    Attributes:
      log_density: log p(z), up to the constant that the density leaves out; scalar.
      gradient_norm: |grad log p(z)|; scalar.
      curvature: largest eigenvalue of the precision, where the step knows it (Gauss-Newton), else nan; scalar.
    """

    log_density: jax.Array
    gradient_norm: jax.Array
    curvature: jax.Array


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
    return z, LangevinInfo(value, jnp.linalg.norm(gradient), jnp.full((), jnp.nan))


def gauss_newton_step(key: jax.Array, z: jax.Array, residual: Callable, step_size: float):
    """One step preconditioned by the Gauss-Newton precision: z' = z + s^2/2 G^-1 grad log p(z) + s G^-1/2 u.

    With log p(z) = -|r(z)|^2 / 2 and J = dr/dz, grad log p = -J'r and G = J'J. Each direction moves in units of its
    own posterior width, so s has no unit: 0.5 works at every image size and sigma, and s < 2 is stable wherever f is
    nearly linear. Costs d forward derivatives and no reverse pass.

    The drift leaves out the derivative of G. Where f is linear, G is constant and nothing is missing. Elsewhere the
    chain favours places of large G, however small s is (in one dimension it samples p(z) G(z) in the limit). Within one
    narrow mode that is next to nothing; the weights of several modes it gets wrong.

    Args:
      key: a key for u.
      z: (d,).
      residual: z -> r(z), a vector (see `model.residual`).
      step_size: s, between 0 and 2.

    Returns:
      z' of shape (d,), and a LangevinInfo.
    """
    r, jacobian_transposed = linearize(residual, z)
    gradient = -jacobian_transposed @ r
    precision = jacobian_transposed @ jacobian_transposed.T
    cholesky = jnp.linalg.cholesky(precision)
    u = jax.random.normal(key, z.shape, z.dtype)
    drift = cho_solve((cholesky, True), gradient)
    noise = solve_triangular(cholesky, u, lower=True, trans="T")  # covariance G^-1
    z = z + step_size**2 / 2 * drift + step_size * noise
    info = LangevinInfo(-0.5 * r @ r, jnp.linalg.norm(gradient), jnp.linalg.eigvalsh(precision)[-1])
    return z, info


def sample(key: jax.Array, z: jax.Array, step: Callable, num_steps: int):
    """Runs a chain of `num_steps` steps from z.

    Args:
      key: a key for the whole chain.
      z: (d,), where the chain stands (warm start).
      step: (key, z) -> (z, info), for instance `lambda key, z: langevin_step(key, z, log_density, 0.1)`.
      num_steps: how many.

    Returns:
      The trajectory (num_steps, d), whose last row is where the chain ends, and the infos, stacked.
    """

    def one(z, key):
        z, info = step(key, z)
        return z, (z, info)

    _, (trajectory, infos) = jax.lax.scan(one, z, jax.random.split(key, num_steps))
    return trajectory, infos


def precision(residual: Callable, z: jax.Array) -> jax.Array:
    """Returns the Gauss-Newton precision G = J'J of the density -|r(z)|^2 / 2 at z: (d, d)."""
    _, jacobian_transposed = linearize(residual, z)
    return jacobian_transposed @ jacobian_transposed.T


def largest_stable_step(precision: jax.Array) -> jax.Array:
    """Returns 2 / sqrt(lambda_max): plain Langevin with a larger step moves away from the mode, faster every step.

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
    """Returns `fraction` of the largest stable step of plain Langevin at z, 2 / sqrt(largest_curvature): a scalar.

    At the fraction 0.5 a step halves the distance from the mode in the stiffest direction, and the curvature may turn
    out four times as large before the chain becomes unstable.
    """
    return fraction * 2 / jnp.sqrt(largest_curvature(key, residual, z))


def linearize(function, z):
    """function(z), and the transposed Jacobian (d, ...) by one forward derivative for each coordinate of z."""
    basis = jnp.eye(z.size, dtype=z.dtype)
    return jax.vmap(lambda direction: jax.jvp(function, (z,), (direction,)), out_axes=(None, 0))(basis)

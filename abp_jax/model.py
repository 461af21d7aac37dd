"""The model Y = f(Z; W) + e for one example: the only home of the signs, of sigma and of the half.

    Z ~ N(0, I_d),   Y | Z ~ N(f(Z; W), sigma^2 I_D)              (equations 1 and 2 of the exercise sheet)

Sums run over all D numbers of y, never means: dividing by D or by a batch size would be another model, with another
sigma. Where only a part of Y is observed, `mask` says which numbers: the others are left out of every sum and of D.
Where A Y is observed for a linear map A, pass z -> A f(z; W) as `f`: the model is the same with D = m numbers.

The symbols of the course, in the formulas and in the code:

    z, d           latent vector, and its dimension                z (d,) or (n, d); latent_dim
    y, D           observation (an image), and its dimension       y, images (n, ...)
    f(z; W)        generator: one z to one y                       f: z -> y
    W              its weights                                     params; generate: (params, z) -> y
    e, sigma       noise, and its standard deviation               sigma
    r, J           residual, and its Jacobian dr/dz                residual: z -> r; `langevin.linearize`
    G = J'J        Gauss-Newton precision of p(z | y)              precision (d, d)
    P = LL'        any precision, and its Cholesky factor          precision, cholesky
    s, u           step size of a chain, and its N(0, I) noise     step_size
    L(W)           log-likelihood of the data                      in nats

The model and its learning are those of Han, Lu, Zhu and Wu, Alternating Back-Propagation for Generator Network, AAAI
2017; "the exercise sheet" is that of UCLA's STATS 232A on them, whose equations have the numbers cited here.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Density(NamedTuple):
    """p(z | y) up to a constant, for one y, in the forms that chains and bounds ask for.

    Attributes:
      log_density: z -> log p(y, z), a scalar, for z of shape (d,).
      residual: z -> r(z), of shape (D + d,), with log p(y, z) = -|r(z)|^2 / 2 + const.
      mean_precision: () -> the precision (d, d) averaged over where z may be (see `inference.mean_precision`), for
        chains that move in its coordinates; None where nobody asks.
    """

    log_density: Callable
    residual: Callable
    mean_precision: Callable | None = None


def given(f: Callable, y: jax.Array, sigma: float, temperature: float = 1.0, mask: jax.Array | None = None) -> Density:
    """Returns `log_joint` and `residual` as functions of z alone. Arguments as in `log_likelihood`."""
    settings = dict(y=y, sigma=sigma, temperature=temperature, mask=mask)
    return Density(partial(log_joint, f, **settings), partial(residual, f, **settings))


def log_prior(z: jax.Array) -> jax.Array:
    """log p(z) = -|z|^2 / 2 - (d / 2) log 2 pi, for z of shape (d,)."""
    return -0.5 * jnp.sum(z**2) - 0.5 * z.size * jnp.log(2 * jnp.pi)


def seen_errors(e: jax.Array, mask: jax.Array | None) -> tuple[jax.Array, jax.Array | int]:
    """Returns e, with 0 where the mask hides it, and how many numbers of e are seen. mask: like e, True where seen.

    What is hidden has derivative 0 exactly, and e may be anything there.
    """
    return (e, e.size) if mask is None else (jnp.where(mask, e, 0), jnp.sum(mask))


def log_noise(e: jax.Array, sigma: float, mask: jax.Array | None = None) -> jax.Array:
    """log p(e) = -|e|^2 / (2 sigma^2) - (D / 2) log 2 pi sigma^2, for e of any shape with D numbers that are seen."""
    e, num_seen = seen_errors(e, mask)
    return -0.5 * jnp.sum(e**2) / sigma**2 - 0.5 * num_seen * jnp.log(2 * jnp.pi * sigma**2)


def log_likelihood(
    f: Callable, z: jax.Array, y: jax.Array, sigma: float, temperature: float = 1.0, mask: jax.Array | None = None
) -> jax.Array:
    """log p(y | z) / temperature, where log p(y | z) is `log_noise` of the error y - f(z; W).

    Args:
      f: z -> f(z; W).
      z: (d,).
      y: any shape; the output of `f` must have it too.
      sigma: standard deviation of e, in the units of y, > 0.
      temperature: > 0; 1 is the model, larger values flatten the likelihood.
      mask: like y, True where y is seen; by default everywhere.

    Raises:
      ValueError: `f(z)` and y differ in shape.
    """
    return log_noise(y - _checked(f(z), y), sigma, mask) / temperature


def log_joint(
    f: Callable, z: jax.Array, y: jax.Array, sigma: float, temperature: float = 1.0, mask: jax.Array | None = None
) -> jax.Array:
    """log p(y, z) = log p(z) + log p(y | z) / temperature (exercise sheet, equation 4). Arguments as above."""
    return log_prior(z) + log_likelihood(f, z, y, sigma, temperature, mask)


def residual(
    f: Callable, z: jax.Array, y: jax.Array, sigma: float, temperature: float = 1.0, mask: jax.Array | None = None
) -> jax.Array:
    """The vector r(z), of length D + d, with log p(y, z) = -|r(z)|^2 / 2 + const: the data's part, then the prior's.

    Gauss-Newton needs nothing else: with J = dr/dz, the gradient of log p(y, z) is -J'r and the precision of the
    posterior is J'J, to first order. Arguments as in `log_likelihood`.
    """
    errors, _ = seen_errors(y - _checked(f(z), y), mask)
    data_part = errors / (sigma * jnp.sqrt(temperature))
    return jnp.concatenate([data_part.ravel(), z])


def _checked(output: jax.Array, y: jax.Array):
    if output.shape != y.shape:
        raise ValueError(
            f"the generator gives one observation of shape {output.shape}, but y has shape {y.shape}. "
            "These functions take one example: use jax.vmap for a batch."
        )
    return output

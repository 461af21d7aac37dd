"""The model Y = f(Z; W) + e for one example: the only home of the signs, of sigma and of the half.

    Z ~ N(0, I_d),   Y | Z ~ N(f(Z; W), sigma^2 I_D)              (equations 1 and 2 of the exercise sheet)

Where y are bits, pass `Bernoulli()` as sigma: f gives the logits, and P(Y_i = 1 | Z) = 1 / (1 + exp(-f_i(Z; W))).

Sums run over all D numbers of y, never means: dividing by D or by a batch size would be another model, with another
sigma. Where only a part of Y is observed, `mask` says which numbers: the others are left out of every sum and of D.
Where A Y is observed for a linear map A, pass z -> A f(z; W) as `f`: the model is the same with D = m numbers.

The symbols of the course, in the formulas and in the code:

    z, d           latent vector, and its dimension                z (d,) or (n, d); latent_dim
    y, D           observation (an image), and its dimension       y, images (n, ...)
    f(z; W)        generator: one z to one y                       f: z -> y
    W              its weights                                     params; generate: (params, z) -> y
    e, sigma       noise, and its standard deviation               sigma; or Bernoulli(), for bits
    r, J           residual, and its Jacobian dr/dz                residual: z -> r; `langevin.linearize`
    G = J'J        Gauss-Newton precision of p(z | y)              precision (d, d)
    P = LL'        any precision, and its Cholesky factor          precision, cholesky
    s, u           step size of a chain, and its N(0, I) noise     step_size
    L(W)           log-likelihood of the data                      in nats

The model and its learning are those of Han, Lu, Zhu and Wu, Alternating Back-Propagation for Generator Network, AAAI
2017; "the exercise sheet" is that of UCLA's STATS 232A on them, whose equations have the numbers cited here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp


@jax.tree_util.register_static
@dataclass(frozen=True)
class Bernoulli:
    """Stands where sigma does, for observations that are bits: Y_i | Z is 1 with probability 1 / (1 + exp(-f_i(Z))).

    In the place of the errors y - f(z) come the deviance residuals e_i, whose square is -2 log p(y_i | z) and whose
    sign is that of y_i - P(Y_i = 1 | z): so log p(y | z) = -|e|^2 / 2, as with Gaussian noise of sigma = 1 but for the
    constant, and whatever needs a residual works as it does there. (McCullagh and Nelder, Generalized Linear Models,
    1989, section 2.4.3.)
    """


Noise = float | Bernoulli  # what every argument sigma takes


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


def given(f: Callable, y: jax.Array, sigma: Noise, temperature: float = 1.0, mask: jax.Array | None = None) -> Density:
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


def errors(output: jax.Array, y: jax.Array, sigma: Noise) -> jax.Array:
    """Returns e = y - f(z), or for bits the deviance residuals; of the shape of output = f(z) and of y.

    Of a bit that is as good as certain, -log p < 1e-12, the residual is 0: its derivative would be 0 / 0.
    """
    if not isinstance(sigma, Bernoulli):
        return y - output
    sign = 2 * y - 1
    deviance = 2 * jax.nn.softplus(-sign * output)
    uncertain = deviance > 2e-12
    return sign * jnp.where(uncertain, jnp.sqrt(jnp.where(uncertain, deviance, 1)), 0)


def scale(sigma: Noise) -> float:
    """Returns the standard deviation that `errors` have: sigma, or 1 for the deviance residuals of bits."""
    return 1.0 if isinstance(sigma, Bernoulli) else sigma


def standardised(output: jax.Array, sigma: Noise) -> jax.Array:
    """Returns f(z) in units in which Y has standard deviation 1, whatever f(z): of its shape.

    f / sigma; for bits of probability p the arc 2 arcsin sqrt(p), whose J'J is Fisher's information in z (Rao 1945).
    """
    if isinstance(sigma, Bernoulli):
        return 2 * jnp.arctan(jnp.exp(jnp.clip(output / 2, -40, 40)))
    return output / sigma


def log_noise(e: jax.Array, sigma: Noise, mask: jax.Array | None = None) -> jax.Array:
    """log p(e) = -|e|^2 / (2 sigma^2) - (D / 2) log 2 pi sigma^2, for e of any shape with D numbers that are seen.

    For bits, e are the deviance residuals and log p(y | z) = -|e|^2 / 2.
    """
    e, num_seen = seen_errors(e, mask)
    if isinstance(sigma, Bernoulli):
        return -0.5 * jnp.sum(e**2)
    return -0.5 * jnp.sum(e**2) / sigma**2 - 0.5 * num_seen * jnp.log(2 * jnp.pi * sigma**2)


def log_likelihoods(outputs: jax.Array, y: jax.Array, sigma: Noise) -> jax.Array:
    """Returns log p(y_i | z_j) for every pair by one product, (n, m): y (n, D), outputs f(z_j) (m, D)."""
    if isinstance(sigma, Bernoulli):
        return jnp.matmul(y, outputs.T, precision="highest") - jnp.sum(jax.nn.softplus(outputs), axis=1)[None]
    y, outputs = (a - jnp.mean(outputs, axis=0)[None] for a in (y, outputs))  # small parts: right to 1e-7 of |y|^2
    squares = jnp.sum(y**2, axis=1)[:, None] + jnp.sum(outputs**2, axis=1)[None]
    squares -= 2 * jnp.matmul(y, outputs.T, precision="highest")
    return log_noise(jnp.zeros(y.shape[1]), sigma) - 0.5 * squares / sigma**2


def draw(key: jax.Array, output: jax.Array, sigma: Noise) -> jax.Array:
    """Returns y ~ p(y | z) where f(z) = output, which may be a batch: of its shape and type."""
    if isinstance(sigma, Bernoulli):
        return jax.random.bernoulli(key, jax.nn.sigmoid(output)).astype(output.dtype)
    return output + sigma * jax.random.normal(key, output.shape, output.dtype)


def log_likelihood(
    f: Callable, z: jax.Array, y: jax.Array, sigma: Noise, temperature: float = 1.0, mask: jax.Array | None = None
) -> jax.Array:
    """log p(y | z) / temperature, where log p(y | z) is `log_noise` of the `errors`.

    Args:
      f: z -> f(z; W).
      z: (d,).
      y: any shape; the output of `f` must have it too.
      sigma: standard deviation of e, in the units of y, > 0; or `Bernoulli()` where y are bits and f gives logits.
      temperature: > 0; 1 is the model, larger values flatten the likelihood.
      mask: like y, True where y is seen; by default everywhere.

    Raises:
      ValueError: `f(z)` and y differ in shape.
    """
    return log_noise(errors(_checked(f(z), y), y, sigma), sigma, mask) / temperature


def log_joint(
    f: Callable, z: jax.Array, y: jax.Array, sigma: Noise, temperature: float = 1.0, mask: jax.Array | None = None
) -> jax.Array:
    """log p(y, z) = log p(z) + log p(y | z) / temperature (exercise sheet, equation 4). Arguments as above."""
    return log_prior(z) + log_likelihood(f, z, y, sigma, temperature, mask)


def residual(
    f: Callable, z: jax.Array, y: jax.Array, sigma: Noise, temperature: float = 1.0, mask: jax.Array | None = None
) -> jax.Array:
    """The vector r(z), of length D + d, with log p(y, z) = -|r(z)|^2 / 2 + const: the data's part, then the prior's.

    Gauss-Newton needs nothing else: with J = dr/dz, the gradient of log p(y, z) is -J'r and the precision of the
    posterior is J'J, to first order. Arguments as in `log_likelihood`.
    """
    seen, _ = seen_errors(errors(_checked(f(z), y), y, sigma), mask)
    data_part = seen / (scale(sigma) * jnp.sqrt(temperature))
    return jnp.concatenate([data_part.ravel(), z])


def _checked(output: jax.Array, y: jax.Array):
    if output.shape != y.shape:
        raise ValueError(
            f"the generator gives one observation of shape {output.shape}, but y has shape {y.shape}. "
            "These functions take one example: use jax.vmap for a batch."
        )
    return output

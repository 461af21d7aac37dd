"""The chains of the step-size laboratory, and what a step size does to them.

On a Gaussian of precision P a step is z' - m = A (z - m) + s u. In a direction of curvature lambda, with unit noise,

    plain Langevin            A = 1 - s^2 lambda / 2     stable below s = 2 / sqrt(lambda_max)
    Gauss-Newton Langevin     A = 1 - s^2 / 2            stable below s = 2, in every direction alike

and where |A| < 1 the chain settles at 1 / (1 - s^2 lambda / 4), or 1 / (1 - s^2 / 4), times the exact variance. A chain
with an accept step settles at the exact variance, whatever s is; s decides how fast.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax import langevin, model, quadrature, samplers

NUM_STEPS = 50  # that a trail starts with, and grows by
LOST = 50.0  # standard deviations from the mean: a chain that far out is not followed any longer


class Chain(NamedTuple):
    """What a kind of chain has.

    Attributes:
      gradient: a drift along grad log p.
      preconditioned: drift and noise measured by the Gauss-Newton precision, so that s has no unit.
      accepts: an accept step.
    """

    gradient: bool
    preconditioned: bool
    accepts: bool


CHAINS = {
    "plain Langevin": Chain(gradient=True, preconditioned=False, accepts=False),
    "Gauss-Newton Langevin": Chain(gradient=True, preconditioned=True, accepts=False),
    "random walk": Chain(gradient=False, preconditioned=False, accepts=True),
    "MALA": Chain(gradient=True, preconditioned=False, accepts=True),
    "Gauss-Newton MALA": Chain(gradient=True, preconditioned=True, accepts=True),
}


class Target(NamedTuple):
    """One image's posterior, and what a step does on the Gaussian that touches it at its mode.

    Attributes:
      y: the image.
      posterior: exact (see `quadrature`).
      precision: Gauss-Newton precision P at the highest mode, (2, 2).
      curvatures: its eigenvalues, the soft direction's first, then the stiff one's, (2,).
      directions: its eigenvectors in columns, (2, 2).
      stable_step: 2 / sqrt(largest curvature).
      log_density: log p(y, z) over the square shown, rows from the lowest z2, (rows, columns).
      half_width: of that square, whose centre is the exact mean.
    """

    y: jax.Array
    posterior: quadrature.ExactPosterior
    precision: np.ndarray
    curvatures: np.ndarray
    directions: np.ndarray
    stable_step: float
    log_density: np.ndarray
    half_width: float

    @property
    def exact_variances(self) -> np.ndarray:
        """Of the exact posterior, along the soft and the stiff direction, (2,)."""
        return np.diag(self.directions.T @ self.posterior.covariance @ self.directions)

    def distance(self, z: np.ndarray) -> np.ndarray:
        """Of places (m, 2) from the exact mean, in standard deviations: |P^1/2 (z - mean)|, (m,)."""
        return np.linalg.norm((z - self.posterior.mean) @ np.linalg.cholesky(self.precision), axis=1)


class Run(NamedTuple):
    """A trail.

    Attributes:
      trail: where the chain started and all places after, finite numbers, (m + 1, 2).
      acceptance: share of accepted proposals; nan for a chain without an accept step.
      lost_after: the number of steps after which the chain was more than LOST standard deviations from the mean, or not
        a number at all; None if it never was.
    """

    trail: np.ndarray
    acceptance: float
    lost_after: int | None


def largest_step(chain: Chain, target: Target) -> float:
    """Returns the largest stable s at the mode. For a random walk, which has no drift, this is a scale and no limit."""
    return 2.0 if chain.preconditioned else target.stable_step


def multipliers(chain: Chain, target: Target, step_size: float) -> np.ndarray:
    """Returns A along the soft and the stiff direction, (2,): by it the drift multiplies the distance from the mode."""
    if not chain.gradient:
        return np.ones(2)
    return 1 - step_size**2 / 2 * (np.ones(2) if chain.preconditioned else target.curvatures)


def stationary_variances(chain: Chain, target: Target, step_size: float) -> np.ndarray:
    """Returns the variances that the chain settles at on the Gaussian N(mode, P^-1), as multiples of the exact ones.

    Along an eigenvector s^2 (I - A^2)^-1 is s^2 / (1 - A^2), with s^2 times 1 / lambda for a preconditioned chain.

    Returns:
      Along the soft and the stiff direction, (2,); 1 with an accept step, inf where the step is not stable.
    """
    if chain.accepts:
        return np.ones(2)
    noise = step_size**2 * (np.ones(2) if chain.preconditioned else target.curvatures)
    shrinkage = 1 - multipliers(chain, target, step_size) ** 2
    return np.where(shrinkage > 0, noise / np.where(shrinkage > 0, shrinkage, 1), np.inf)


def effective_draws(trail: np.ndarray) -> float:
    """Returns how many independent draws the worse coordinate of a trail (m, d) is worth, from 1 to m.

    m / (1 + 2 sum of autocorrelations), summed in pairs as long as the pairs are positive, none larger than the one
    before (Geyer, Statistical Science 1992); and at most the number of different places, since the correlations of a
    chain that stood still tell nothing.
    """
    m = len(trail)
    centred = trail - trail.mean(axis=0)
    spectrum = np.abs(np.fft.rfft(centred, 2 * m, axis=0)) ** 2
    covariances = np.fft.irfft(spectrum, axis=0)[: m - m % 2]
    correlations = covariances / np.maximum(covariances[:1], np.finfo(float).tiny)
    pairs = np.minimum.accumulate(correlations[::2] + correlations[1::2], axis=0)
    sums = np.where(pairs > 0, pairs, 0).sum(axis=0)
    return float(min(np.min(m / np.maximum(2 * sums - 1, 1)), len(np.unique(trail, axis=0))))


def run_piece(chain, generate, sigma, params, key, z, y, step_size):
    """NUM_STEPS steps from z: places (NUM_STEPS, 2), and whether each was accepted (NUM_STEPS,)."""
    f = partial(generate, params)
    residual = partial(_swapped, model.residual, f, y, sigma)
    log_density = partial(_swapped, model.log_joint, f, y, sigma)
    if not chain.accepts:
        kind, density = (
            (langevin.gauss_newton_step, residual) if chain.preconditioned else (langevin.langevin_step, log_density)
        )
        trail, _ = langevin.sample(key, z, lambda key, z: kind(key, z, density, step_size), NUM_STEPS)
        return trail, jnp.ones(NUM_STEPS)
    if chain.preconditioned:
        sampler = samplers.gauss_newton_mala(residual, z.size)
    else:
        sampler = (samplers.mala if chain.gradient else samplers.random_walk)(log_density)
    samples = samplers.run(key, sampler, samplers.start(sampler, z[None]), step_size, NUM_STEPS)
    return samples.z[:, 0], samples.info.accepted[:, 0]


def _swapped(function, generate, y, sigma, z):
    return function(generate, z, y, sigma)


def target_of(judge, y, num=64):
    (posterior,) = judge.posteriors(y[None])
    mode = jnp.asarray(posterior.modes[0], jnp.float32)
    precision = judge.precision(mode, y)
    stable_step = float(langevin.largest_stable_step(precision))
    precision = np.asarray(precision, np.float64)
    curvatures, directions = np.linalg.eigh(precision)
    half_width = 4.5 / np.sqrt(curvatures[0])
    offsets = np.linspace(-half_width, half_width, num)
    axes = [jnp.asarray(centre + offsets, jnp.float32) for centre in posterior.mean]
    log_density = judge.log_density_on_grid(y, *axes)
    return Target(y, posterior, precision, curvatures, directions, stable_step, log_density, float(half_width))


def first_lost(trail, target):
    """The number of steps after which the chain is far out or not a number, or None."""
    with np.errstate(all="ignore"):
        lost = ~(target.distance(trail) < LOST)
    return int(lost.argmax()) + 1 if lost.any() else None


def inverse_root(precision):
    """A matrix whose square is P^-1."""
    curvatures, directions = np.linalg.eigh(precision)
    return directions / np.sqrt(curvatures) @ directions.T

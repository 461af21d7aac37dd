"""The chains of the step-size laboratory, and what a step size does to them.

On a Gaussian of precision P a step is z' - m = A (z - m) + s u. In a direction of curvature lambda, with unit noise,

    unadjusted Langevin       A = 1 - s^2 lambda / 2     stable below s = 2 / sqrt(lambda_max)
    Gauss-Newton Langevin     A = 1 - s^2 / 2            stable below s = 2, in every direction alike

and where |A| < 1 the chain settles at 1 / (1 - s^2 lambda / 4), or 1 / (1 - s^2 / 4), times the exact variance. A chain
with a Metropolis correction settles at the exact variance, whatever s is; s decides how fast.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax import langevin, model
from abp_jax.evaluation import diagnostics, quadrature
from abp_jax.generators import compiled
from abp_jax.samplers import KINDS, Kind

NUM_STEPS = 50  # steps of a new trajectory; the button adds as many
LOST = 50.0  # standard deviations from the mean: a chain that far out is not followed any longer
CHAINS = {kind.title: kind for kind in KINDS.values() if kind.plain}


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
    """A chain that was run.

    Attributes:
      trajectory: where the chain started and all places after, finite numbers, (m + 1, 2).
      acceptance: share of accepted proposals; nan for a chain without a Metropolis correction.
      lost_after: the number of steps after which the chain was more than LOST standard deviations from the mean, or not
        a number at all; None if it never was.
    """

    trajectory: np.ndarray
    acceptance: float
    lost_after: int | None

    @property
    def trail(self) -> np.ndarray:
        """The trajectory, by its name before, for one release."""
        return self.trajectory


def largest_step(chain: Kind, target: Target) -> float:
    """Returns the largest stable s at the mode. For a random walk, which has no drift, this is a scale and no limit."""
    return chain.stable_below or target.stable_step


def multipliers(chain: Kind, target: Target, step_size: float) -> np.ndarray:
    """Returns A along the soft and the stiff direction, (2,): by it the drift multiplies the distance from the mode."""
    return 1 - step_size**2 / 2 * _curvatures(chain, target) if chain.gradient else np.ones(2)


def stationary_variances(chain: Kind, target: Target, step_size: float) -> np.ndarray:
    """Returns the variances that the chain settles at on the Gaussian N(mode, P^-1), as multiples of the exact ones.

    Along an eigenvector s^2 (I - A^2)^-1 is s^2 / (1 - A^2), with s^2 times 1 / lambda for a preconditioned chain.

    Returns:
      Along the soft and the stiff direction, (2,); 1 with a Metropolis correction, inf where the step is not stable.
    """
    if chain.adjusted:
        return np.ones(2)
    shrinkage = 1 - multipliers(chain, target, step_size) ** 2
    noise = step_size**2 * _curvatures(chain, target)
    return np.where(shrinkage > 0, noise / np.where(shrinkage > 0, shrinkage, 1), np.inf)


def _curvatures(chain: Kind, target: Target):
    """Of the target as the chain feels it: 1 for a preconditioned one, whose stable step has no unit."""
    return target.curvatures if chain.stable_below is None else np.ones(2)


def effective_draws(trajectory: np.ndarray) -> float:
    """Returns the effective sample size of the worse coordinate of a trajectory (m, d), at most its different places.

    (The correlations of a chain that stood still tell nothing.) See `diagnostics.effective_sample_size`.
    """
    estimates = _effective_sample_size(np.asarray(trajectory, np.float32)[:, None])
    return float(max(1, min(np.nanmin(estimates, initial=np.inf), len(np.unique(trajectory, axis=0)))))


_effective_sample_size = jax.jit(diagnostics.effective_sample_size)


@partial(compiled, static=("name", "sigma"))
def run_segment(
    f: Callable, key: jax.Array, z: jax.Array, y: jax.Array, step_size: float, name: str, sigma: float
) -> tuple[jax.Array, jax.Array]:
    """Runs NUM_STEPS steps of the chain CHAINS[name] on p(z | y), from z (2,).

    Returns:
      The trajectory, (NUM_STEPS, 2), and whether each proposal was accepted, (NUM_STEPS,).
    """
    kind = CHAINS[name]
    sampler = kind.make(model.given(f, y, sigma))
    own = lambda key: jax.random.split(key, 1)[0] if kind.adjusted else key  # so each kind keeps the noise it had
    step = lambda key, state: sampler.step(own(key), state, step_size)
    states, info = langevin.sample(key, sampler.init(key, z), step, NUM_STEPS)
    return jax.vmap(sampler.position)(states), info.accepted


def target_of(exact: quadrature.PosteriorQuadrature, y: jax.Array, num: int = 64) -> Target:
    """Returns the Target of an image y (...), with its density on num x num points."""
    (posterior,) = exact.posteriors(y[None])
    mode = jnp.asarray(posterior.modes[0], jnp.float32)
    precision = exact.precision(mode, y)
    stable_step = float(langevin.largest_stable_step(precision))
    precision = np.asarray(precision, np.float64)
    curvatures, directions = np.linalg.eigh(precision)
    half_width = 4.5 / np.sqrt(curvatures[0])
    offsets = np.linspace(-half_width, half_width, num)
    axes = [jnp.asarray(centre + offsets, jnp.float32) for centre in posterior.mean]
    log_density = exact.log_density_on_grid(y, *axes)
    return Target(y, posterior, precision, curvatures, directions, stable_step, log_density, float(half_width))


def first_lost(trajectory: np.ndarray, target: Target) -> int | None:
    """Returns the number of steps after which the chain is far out or not a number, or None. trajectory: (m, 2)."""
    with np.errstate(all="ignore"):
        lost = ~(target.distance(trajectory) < LOST)
    return int(lost.argmax()) + 1 if lost.any() else None


def inverse_root(precision: np.ndarray) -> np.ndarray:
    """Returns the symmetric matrix whose square is P^-1, (d, d), of a precision P."""
    curvatures, directions = np.linalg.eigh(precision)
    return directions / np.sqrt(curvatures) @ directions.T

"""How far a bound lies below log p(y), exactly, and whose fault it is: for a latent vector of two numbers.

    log p(y) - L(q) = KL(q || p(z | y))
                    = [log p(y) - L(q*)] + [L(q*) - L(q)],     q* the best of the family for this y
                       approximation gap    amortisation gap

The first bracket is the fault of the family (no normal distribution is this posterior), the second that of the encoder,
which must answer for every y with one network (Cremer, Li and Duvenaud, ICML 2018). There log p(y) is itself a bound;
here it is a sum over a lattice (`quadrature`), and so are L(q) and L(q*) (`gaussian_bounds`).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from abp_jax.compilation.precision import full_precision
from abp_jax.compilation.programs import compiled
from abp_jax.evaluation.quadrature import ExactPosterior, PosteriorQuadrature
from abp_jax.images import arguments
from abp_jax.images.data import decode
from abp_jax.relatives import vae
from abp_jax.relatives.encoders import Gaussian
from abp_jax.relatives.gaussian_bounds import best_gaussian, climb, exact_elbo, in_family, laplace  # noqa: F401


class Gap(NamedTuple):
    """The gap of one image, in nats.

    Attributes:
      log_evidence: log p(y), exact.
      bound: L(q) of the encoder's q.
      best: L(q*), the highest in the family.
      approximation: log_evidence - best, the family's share. At least 0 but for the error of log_evidence, 1e-3.
      amortisation: best - bound, the encoder's share. At least 0 where its q is of the family.
    """

    log_evidence: float
    bound: float
    best: float
    approximation: float
    amortisation: float


@full_precision
def gaps(
    generator: nnx.Module,
    encoder: nnx.Module,
    images: jax.Array,
    sigma: float,
    *,
    family: str | None = None,
    posteriors: list[ExactPosterior] | None = None,
) -> list[Gap]:
    """Returns the gap of each image (n, ...) and its two shares.

    q* is the best of three climbs: from Laplace's approximation at the highest mode, from the exact mean and
    covariance, and from the encoder's q.

    Args:
      generator: of two latent dimensions.
      encoder: one image -> Gaussian.
      images: (n, ...).
      sigma: standard deviation of the noise.
      family: of q*; by default the encoder's own.
      posteriors: of these images, where they are known already (see `quadrature.exact_posteriors`).

    Raises:
      TypeError, ValueError: z is not two-dimensional, the shapes don't fit, or there is no such family.
    """
    family = encoder.family if family is None else family
    if posteriors is None:
        posteriors = PosteriorQuadrature(generator, sigma).posteriors(images)
    images = decode(arguments.array("images", images))
    images = jnp.asarray(images, None if images.dtype.itemsize > 4 else jnp.float32)
    if len(posteriors) != len(images):
        raise ValueError(f"posteriors must be those of the {len(images)} images, got {len(posteriors)}.")
    stack = lambda name: jnp.asarray(np.stack([getattr(p, name) for p in posteriors]), images.dtype)
    modes = jnp.asarray(np.stack([p.modes[0] for p in posteriors]), images.dtype)
    q = vae.encode(encoder, images)
    bounds, best = _bounds(generator, images, q, modes, stack("mean"), stack("covariance"), sigma=sigma, family=family)
    bounds, best = np.asarray(bounds, float), np.asarray(best, float)
    rows = zip([p.log_evidence for p in posteriors], bounds, best, strict=True)
    return [Gap(log_p, float(b), float(top), log_p - float(top), float(top - b)) for log_p, b, top in rows]


@partial(compiled, static=("sigma", "family"))
def _bounds(f: Callable, images, q, modes, means, covariances, sigma: float, family: str):
    """L(q) and L(q*) for each image: (n,) both."""

    def one(inputs):
        y, q, mode, mean, covariance = inputs
        starts = [laplace(f, mode, y, sigma), Gaussian(mean, jnp.linalg.cholesky(covariance)), q]
        starts = jax.tree.map(lambda *parts: jnp.stack(parts), *(in_family(start, family) for start in starts))
        found, values = jax.vmap(lambda start: climb(f, y, sigma, start, family, 40))(starts)
        highest = jax.tree.map(lambda part: part[jnp.argmax(values)], found)
        return exact_elbo(f, q, y, sigma), exact_elbo(f, highest, y, sigma)

    return jax.lax.map(one, (images, q, modes, means, covariances))

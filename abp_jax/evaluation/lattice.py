"""log p(y) of thousands of observations at once, by one lattice in the plane of z that serves them all.

    p(y) = int p(y | z) p(z) dz  =  h^d sum_g p(y | z_g) p(z_g) + error,   z_g = h g for whole numbers g

f is computed once for each point. The sum over all points of a smooth function that falls to 0 converges faster than
any power of h (Trefethen and Weideman, SIAM Review 2014). What tells how well: every second point along each axis, in
all 2^d ways, is a lattice of twice the spacing. Where these agree, the whole agrees with the integral far better still.
Observations for which they don't go on at half the spacing. Those whose posterior is too narrow for a lattice of the
whole plane, or lies outside it, get one of their own by `quadrature`, which also gives a posterior in full.
"""

import itertools
import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from abp_jax import model
from abp_jax.compilation.precision import full_precision
from abp_jax.compilation.programs import compiled
from abp_jax.evaluation.quadrature import exact_posteriors
from abp_jax.images import arguments
from abp_jax.images.data import decode
from abp_jax.images.observation import check_bits, on_one_device

BLOCK = 1024  # points at a time
MOST_OF_ONE = 5_000_000  # points of a lattice for one image alone
SCAN = 0.02  # between the points from which a posterior is looked for that no shared lattice holds


def points(spacing: float, half_width: float, latent_dim: int = 2) -> np.ndarray:
    """Returns the lattice (spacing g_1, ..., spacing g_d) within (-half_width, half_width)^d: (m, d), float64."""
    most = int(half_width / spacing)
    return spacing * np.array(list(itertools.product(range(-most, most + 1), repeat=latent_dim)), float)


def log_evidence(f: Callable, z: jax.Array, images: jax.Array, sigma: model.Noise, spacing: float):
    """Returns the sum over the points z (m, d) of a lattice, log sum_g spacing^d p(y_i | z_g) p(z_g): (n,).

    For learning: it has a derivative in what f depends on. How far it is from log p(y_i), it doesn't know.
    f: z -> f(z; W), of the shape of an image; images: (n, ...).
    """
    outputs = jax.vmap(f)(z).reshape(len(z), -1)
    log_p = model.log_likelihoods(outputs, images.reshape(len(images), -1), sigma) + _log_prior(z)[None]
    return logsumexp(log_p, axis=1) + z.shape[1] * np.log(spacing)


def exact_log_evidence(
    f: Callable,
    images: jax.Array,
    sigma: model.Noise,
    *,
    latent_dim: int = 2,
    tolerance: float = 1e-3,
    half_width: float = 6.0,
    spacing: float = 0.25,
    max_points: int = 3_000_000,
) -> np.ndarray:
    """Returns log p(y_i) in nats for every observation, where z has one dimension or two: (n,), float64.

    Args:
      f: z -> f(z; W), a generator for instance.
      images: (n, ...), of the shape that f gives; float, or uint8 as in `fit`.
      sigma: standard deviation of the noise, or `Bernoulli()`.
      latent_dim: d, 1 or 2.
      tolerance: in nats, at most how far log p(y_i) by each of the 2^d parts of the lattice may be from that by all of
        it. Single precision allows about 1e-4.
      half_width: of the square that the lattice covers.
      spacing: of the first lattice. It is halved for those images that it is too wide for.
      max_points: of a lattice for several images.

    Raises:
      ValueError: an argument is out of its range, the shapes don't fit, or the finest lattice is not fine enough, that
        of `quadrature` included. With one latent dimension also if what lies outside the lattice matters.
    """
    d = arguments.whole("latent_dim", latent_dim, most=2, of="latent dimensions")
    sigma, tolerance = arguments.noise("sigma", sigma), arguments.number("tolerance", tolerance)
    half_width, spacing = arguments.number("half_width", half_width), arguments.number("spacing", spacing)
    images = decode(on_one_device(arguments.array("images", images)))
    images = jnp.asarray(images, None if images.dtype.itemsize > 4 else jnp.float32)
    shape = jax.eval_shape(f, jax.ShapeDtypeStruct((d,), images.dtype)).shape
    if images.shape[1:] != shape or not len(images):
        raise ValueError(f"images must be (n, {', '.join(map(str, shape))}), as f gives them; got {images.shape}.")
    check_bits(images, sigma)
    found, left, alone = np.zeros(len(images)), np.arange(len(images)), []
    while len(left):
        z = points(spacing, half_width, d)
        if len(z) > max_points:
            break
        parts, outside = _parts(f, z, spacing, images[left], sigma)
        whole = logsumexp(parts, axis=0)
        error = np.max(np.abs(parts + d * np.log(2) - whole[None]), axis=0)
        found[left] = whole + d * np.log(spacing)
        inside = outside - whole <= np.log(tolerance)
        alone, left, spacing = [*alone, *left[~inside]], left[inside & ~(error <= tolerance)], spacing / 2
    if alone and d == 1:
        raise ValueError(f"p(z | y) of an image reaches the rim of the lattice: raise half_width={half_width:g}.")
    if len(left) and d == 1:
        raise ValueError(
            f"log p(y) of {len(left)} images, the first images[{left[0]}], is not known to {tolerance:g} nats at a "
            f"spacing of {2 * spacing:g}, and half of it needs more than max_points={max_points:,}: raise max_points, "
            "or tolerance."
        )
    if rows := [*alone, *left]:
        num_scan = 2 * math.ceil(half_width / SCAN) + 1
        options = dict(half_width=half_width, tolerance=tolerance, num_scan=num_scan, max_points=MOST_OF_ONE)
        found[rows] = [p.log_evidence for p in exact_posteriors(f, images[np.array(rows)], sigma, **options)]
    return found


def _log_prior(z: jax.Array):
    return jax.vmap(model.log_prior)(z)


def _parts(f: Callable, z: np.ndarray, spacing: float, images: jax.Array, sigma: model.Noise):
    """log sum p(y, z_g) over each of the 2^d sublattices, (2^d, n), and over the outermost points, (n,)."""
    odd = np.rint(z / spacing).astype(int) % 2
    kinds = [np.flatnonzero((odd == kind).all(axis=1)) for kind in itertools.product((0, 1), repeat=z.shape[1])]
    rim = np.flatnonzero(np.abs(z).max(axis=1) > np.abs(z).max() - 1.5 * spacing)
    sums = [np.asarray(_log_sum(f, *_blocks(z[rows]), images, sigma=sigma), np.float64) for rows in (*kinds, rim)]
    return np.stack(sums[:-1]), sums[-1]


def _blocks(z: np.ndarray):
    """The points (m, d) in blocks, (k, BLOCK, d), and which of them are no padding."""
    k = 2 ** int(np.ceil(np.log2(max(1, len(z) / BLOCK))))  # few different programs
    padded = np.zeros((k * BLOCK, z.shape[1]), np.float32)
    padded[: len(z)] = z
    return padded.reshape(k, BLOCK, -1), (np.arange(k * BLOCK) < len(z)).reshape(k, BLOCK)


@partial(compiled, static=("sigma",))
@full_precision
def _log_sum(f: Callable, z: jax.Array, real: jax.Array, images: jax.Array, sigma: model.Noise):
    """log sum_g p(y_i, z_g), (n,)."""
    flat = images.reshape(len(images), -1)

    def one(block):
        z, real = block
        outputs = jax.vmap(f)(z).reshape(len(z), -1)
        log_p = model.log_likelihoods(outputs, flat, sigma) + _log_prior(z)[None]
        return logsumexp(jnp.where(real[None], log_p, -jnp.inf), axis=1)

    return logsumexp(jax.lax.map(one, (z, real)), axis=0)

"""A ring of Gaussians in the plane: data whose modes can be counted, and whose density is known.

    p(y) = (1/K) sum_k N(y; c_k, s^2 I),   c_k = r (cos 2 pi k/K, sin 2 pi k/K),   k = 0, ..., K - 1

The usual test of whether a learned sampler loses modes (Metz, Poole, Pfau and Sohl-Dickstein, Unrolled generative
adversarial networks, ICLR 2017).
"""

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp

from abp_jax import model
from abp_jax.compilation.precision import full_precision
from abp_jax.images import arguments

NUM_MODES, RADIUS, SCALE = 8, 2.0, 0.2  # K, r and s


def ring_centres(num_modes: int = NUM_MODES, radius: float = RADIUS) -> jax.Array:
    """Returns c_k, counter-clockwise from (r, 0): (K, 2). K at least 1, r > 0."""
    num_modes, radius = arguments.whole("num_modes", num_modes), arguments.number("radius", radius)
    angles = 2 * jnp.pi * jnp.arange(num_modes) / num_modes
    return radius * jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)


def ring_log_density(
    y: jax.Array, scale: float = SCALE, num_modes: int = NUM_MODES, radius: float = RADIUS
) -> jax.Array:
    """Returns log p(y) of one y (2,), in nats: a scalar.

    Args:
      y: (2,).
      scale: s, the standard deviation of a mode, > 0.
      num_modes, radius: K and r.

    Raises:
      TypeError, ValueError: a number is out of its range; y is not one point.
    """
    y, scale = jnp.asarray(y), arguments.number("scale", scale)
    if y.shape != (2,):
        raise ValueError(f"y must be one point of the plane, (2,), got {y.shape}: jax.vmap makes the batch.")
    centres = ring_centres(num_modes, radius).astype(y.dtype)
    each = jax.vmap(lambda c: model.log_noise(y - c, scale))(centres)
    return logsumexp(each) - jnp.log(jnp.asarray(len(centres), y.dtype))


def ring(
    key: jax.Array, num: int, scale: float = SCALE, num_modes: int = NUM_MODES, radius: float = RADIUS
) -> jax.Array:
    """Draws `num` independent points from p(y): (num, 2). scale may be 0 here; the rest as in `ring_log_density`."""
    scale = arguments.number("scale", scale, or_least=True)
    centres, num = ring_centres(num_modes, radius), arguments.whole("num", num, of="points")
    mode_key, noise_key = jax.random.split(arguments.key(key))
    modes = jax.random.randint(mode_key, (num,), 0, len(centres))
    return centres[modes] + scale * jax.random.normal(noise_key, (num, 2))


@full_precision
def mode_shares(y: jax.Array, centres: jax.Array, radius: float) -> jax.Array:
    """Returns which share of the points y (n, D) lies at each centre (K, D): nearest to it, and within `radius`. (K,).

    What is missing from a sum of 1 lies at no mode.

    Raises:
      TypeError, ValueError: radius is not a positive number; the shapes don't fit, or there is no point.
    """
    y, centres = jnp.asarray(arguments.array("y", y)), jnp.asarray(arguments.array("centres", centres))
    if y.ndim != 2 or centres.ndim != 2 or y.shape[1] != centres.shape[1] or 0 in (len(y), len(centres)):
        raise ValueError(f"y must be (n, D) and centres (K, D), got {y.shape} and {centres.shape}.")
    radius = arguments.number("radius", radius)
    squares = jnp.sum((y[:, None] - centres[None]) ** 2, axis=-1)
    nearest = jnp.argmin(squares, axis=1)[:, None] == jnp.arange(len(centres))[None]
    return jnp.mean(nearest & (squares <= radius**2), axis=0)

"""Paths between latent vectors, and how long they are when they are measured in images."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from abp_jax.compilation.precision import full_precision
from abp_jax.generators import BATCH, compiled


def straight(a: jax.Array, b: jax.Array, num: int) -> jax.Array:
    """Returns `num` points, evenly spaced on the straight line from a to b, both (d,): (num, d)."""
    _check(a, b, num)
    t = jnp.linspace(0, 1, num)
    return jnp.outer(1 - t, a) + jnp.outer(t, b)


def spherical(a: jax.Array, b: jax.Array, num: int) -> jax.Array:
    """Returns `num` points on the arc from a to b (Shoemake, SIGGRAPH 1985; White, arXiv:1609.04468): (num, d).

    z(t) = [sin((1 - t) w) a + sin(t w) b] / sin(w) with the angle w between a and b. Where |a| = |b| all points have
    this length, so an arc between two draws of N(0, I) stays where draws lie; the straight line comes nearer to 0.

    a, b: (d,). Raises ValueError if one is 0 or they have opposite directions, since then there is no such arc.
    """
    _check(a, b, num)
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    cosine = float(np.dot(a, b) / max(np.prod(lengths), 1e-30))
    if min(lengths) == 0 or cosine < -1 + 1e-6:
        raise ValueError(f"an arc needs two vectors whose angle is less than 180 degrees; got {a} and {b}.")
    if cosine > 1 - 1e-6:  # the arc is straight, and sin(w) is 0 to rounding
        return straight(a, b, num)
    t, angle = jnp.linspace(0, 1, num), np.arccos(cosine)
    return (jnp.outer(jnp.sin((1 - t) * angle), a) + jnp.outer(jnp.sin(t * angle), b)) / np.sin(angle)


def length(generator: nnx.Module, path: jax.Array) -> jax.Array:
    """The length of a path under the generator's metric G(z) = J'J with J = df/dz, in units of |Y|: a scalar.

    It is the integral of sqrt(dz' G dz), that is of |J dz|: how far the image moves, all pixels together. Each segment
    is measured at its middle, by one forward derivative. Halve the segments: if it stays, they are short enough.

    path: (num, d). Raises ValueError for fewer than two points.
    """
    if jnp.ndim(path) != 2 or len(path) < 2:
        raise ValueError(f"a path has at least two points, (num, d); got shape {jnp.shape(path)}.")
    return _length(generator, path)


@compiled
@full_precision
def _length(f: Callable, path: jax.Array):
    def of_segment(ends):
        a, b = ends
        _, moved = jax.jvp(f, ((a + b) / 2,), (b - a,))
        return jnp.sqrt(jnp.sum(moved**2))

    return jnp.sum(jax.lax.map(of_segment, (path[:-1], path[1:]), batch_size=BATCH))


def _check(a: jax.Array, b: jax.Array, num: int):
    if jnp.ndim(a) != 1 or jnp.shape(a) != jnp.shape(b) or num < 2:
        raise ValueError(
            f"a path needs two vectors (d,) and at least two points; got shapes {jnp.shape(a)} and {jnp.shape(b)}, "
            f"num={num}."
        )

"""Linear maps whose transpose, the way back of reverse derivatives, is given beside them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax


def linear_map(forward: Callable, backward: Callable, x: jax.Array, *others: jax.Array) -> jax.Array:
    """T x = forward(x), a linear map whose reverse derivatives are by T', `backward`. others: what T depends on.

    `custom_linear_solve` gives such a rule: [[I, 0], [-T, I]] (u, y) = (x, 0) has the solution y = T x, and its
    transpose needs T' alone. JAX requires that all or none of the right side is differentiated: so zeros are added.
    """
    solve = lambda _, right: (right[0], right[1] + forward(right[0]))
    transpose_solve = lambda _, right: (right[0] + backward(right[1]), right[1])
    system = lambda unknown: (unknown[0], unknown[1] - forward(unknown[0]))
    y_shape = jax.eval_shape(forward, x).shape
    zeros = lambda shape: [_zeros(a, shape) for a in others]
    u, y = lax.custom_linear_solve(
        system, (sum(zeros(x.shape), x), sum(zeros(y_shape), _zeros(x, y_shape))), solve, transpose_solve
    )
    return y + _zeros(u, y_shape)


def _zeros(a: jax.Array, shape: tuple):
    """Zeros that to JAX depend on a: none of its numbers, padded."""
    none = lax.slice(a.ravel(), (0,), (0,)).reshape((0,) * len(shape))
    return lax.pad(none, jnp.zeros((), a.dtype), [(0, size, 0) for size in shape])

"""Markov chains on finitely many states, by their transition matrix T_ab = P(next state b | state a).

Each row of T sums to 1. A distribution mu over the states, a row vector, moves as mu_{t+1} = mu_t T, and pi is
stationary if pi T = pi. If every state leads to every other there is one pi only, and averages along the chain tend
to averages under it (the ergodic theorem); if the chain is aperiodic too, mu_t itself tends to pi, from wherever it
starts. The distance shrinks like |lambda|^t, where lambda is the second largest eigenvalue of T (Levin, Peres and
Wilmer, Markov Chains and Mixing Times, 2009).
"""

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax.images import arguments


def stationary(T: jax.Array) -> jax.Array:
    """Returns pi with pi T = pi and the sum 1, (states,), by solving the linear equations.

    Raises:
      ValueError: T is no transition matrix, or not irreducible: then there are several such pi.
    """
    T = _transitions(T)
    if not arguments.is_traced(T) and not irreducible(T):
        raise ValueError("T must be irreducible: some states never lead to others, so pi is not unique.")
    states = len(T)
    equations = (T.T - jnp.eye(states, dtype=T.dtype)).at[-1].set(1)  # one equation follows from the others
    return jnp.linalg.solve(equations, jnp.zeros(states, T.dtype).at[-1].set(1))


def balance_error(pi: jax.Array, T: jax.Array) -> jax.Array:
    """Returns the largest |pi_a T_ab - pi_b T_ba|, a scalar: 0 if the chain is reversible (detailed balance)."""
    T = _transitions(T)
    if jnp.shape(pi) != T.shape[:1]:
        raise ValueError(f"pi must have shape {T.shape[:1]} to fit T of shape {T.shape}, got {jnp.shape(pi)}.")
    flow = jnp.asarray(pi)[:, None] * T
    return jnp.max(jnp.abs(flow - flow.T))


def second_eigenvalue(T: jax.Array) -> float:
    """Returns the second largest |lambda| of T: after t steps the distance from pi is of the order |lambda|^t.

    So -1 / log |lambda| steps divide the distance by e. Computed in float64 by NumPy.
    """
    return float(np.sort(np.abs(np.linalg.eigvals(np.asarray(_transitions(T), np.float64))))[-2])


def irreducible(T: jax.Array) -> bool:
    """Returns whether every state leads to every other, in some number of steps."""
    T = np.asarray(_transitions(T))
    return bool(np.all(_power_pattern((T > 0) | np.eye(len(T), dtype=bool), len(T) - 1)))


def ergodic(T: jax.Array) -> bool:
    """Returns whether the chain is irreducible and aperiodic: some power of T has no zero, so mu T^t -> pi for any mu.

    For k states, the power (k - 1)^2 + 1 decides (Wielandt 1950).
    """
    T = np.asarray(_transitions(T))
    return bool(np.all(_power_pattern(T > 0, (len(T) - 1) ** 2 + 1)))


def _transitions(T: jax.Array):
    """T as an array, once it is a transition matrix."""
    T = jnp.asarray(T)
    if T.ndim != 2 or T.shape[0] != T.shape[1] or len(T) < 2:
        raise ValueError(f"T must be a square matrix of two states or more, got shape {T.shape}.")
    known = None if arguments.is_traced(T) else np.asarray(T)  # with NumPy: it computes at once inside jit too
    if known is not None and not (np.all(known >= 0) and np.allclose(np.sum(known, axis=1), 1, atol=1e-4)):
        raise ValueError("each row of T must be probabilities with the sum 1: T_ab = P(next b | a). Transposed?")
    return T


def _power_pattern(pattern: np.ndarray, power: int):
    """Where a power of a matrix, at least this one, is positive."""
    for _ in range(max(power, 1).bit_length()):
        pattern = (pattern.astype(np.float32) @ pattern.astype(np.float32)) > 0
    return pattern

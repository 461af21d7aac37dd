"""Exercises of page 20, NADE: on its twelve bits, whose 4,096 states can all be listed."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax.practice.exercises import Numbers, exercise
from abp_jax.relatives import binary_baselines, bits, enumeration, nade

NUM_BITS, NUM_HIDDEN = 12, 7


def small() -> nade.NADE:
    """The page's small model, of random weights."""
    random = np.random.default_rng(21)
    shapes = [(NUM_HIDDEN, NUM_BITS), (NUM_HIDDEN,), (NUM_BITS, NUM_HIDDEN), (NUM_BITS,)]
    return nade.NADE(*(jnp.float32(1.5 * random.normal(size=shape)) for shape in shapes))


@cache
def table() -> np.ndarray:
    """Its p(x) of every state, (4096,)."""
    log_p = jax.jit(lambda: enumeration.over_states(partial(nade.log_prob, small()), NUM_BITS))()
    return np.exp(np.asarray(log_p, float))


def entropy(p: np.ndarray) -> float:
    """That of a table, in nats."""
    return float(-np.sum(p * np.log(p)))


@exercise(
    "20.1",
    Numbers(0.01),
    "In `log_prob_running` move the line that adds to `a` above the one that computes `p`.",
    "Call it `log_prob_leaky` and give it `weights` and `states`, as the section on the sum does. What comes back are "
    "logarithms.",
    "`np.exp(log_prob_leaky(weights, states)).sum()`. It is above 1.",
)
def sum_with_the_leak() -> float:
    """What the 4,096 products of twelve factors add up to, for the small model, if every h_k sees x_k itself."""
    W, b, V, c = small()
    late = nade.NADE(jnp.pad(W, ((0, 0), (0, 1))), b, jnp.pad(V, ((1, 0), (0, 0))), jnp.pad(c, (1, 0)))

    def log_q(x: jax.Array) -> jax.Array:  # outputs that come one pixel late have heard of their own
        logits = nade.logits(late, jnp.append(x, 0.0))[1:]
        return jnp.sum(jax.nn.log_sigmoid((2 * x - 1) * logits))

    return float(jnp.exp(jax.jit(lambda: enumeration.over_states(log_q, NUM_BITS))()).sum())


@exercise(
    "20.2",
    Numbers(0.01),
    "A draw pays -log p(x) in all, on average the entropy of the table. `p.reshape(64, 64)` has a row for each of the "
    "first six bits' states: the sums of its rows and of its columns are the two marginals.",
    "What the first six pay is the entropy of their marginal. Whatever the order, both halves together pay the entropy "
    "of the whole table.",
    "With H_1 and H_2 of the two marginals and H of the table: H_1, H - H_1, H_2, H - H_2.",
)
def halves_in_both_orders() -> np.ndarray:
    """Nats that a draw pays for bits 1 to 6, then 7 to 12; and in the other order for 7 to 12, then 1 to 6."""
    halves = table().reshape(64, 64)
    whole, first, last = map(entropy, (halves, halves.sum(axis=1), halves.sum(axis=0)))
    return np.array([first, whole - first, last, whole - last])


@exercise(
    "20.3",
    Numbers(0.01),
    "`last_six_are_one = states[:, 6:].all(axis=1)` picks the states that are left; p over them, divided by its sum, "
    "is the posterior.",
    "Of N proposals, (sum w)^2 / sum w^2 are worth a draw. Divide by N, and let N grow: (E w)^2 / E w^2, with E over "
    "the first six bits.",
    "`halves = p.reshape(64, 64)` has a row for each state of the first six. Their marginal is `halves.sum(axis=1)`, "
    "and w = halves[:, -1] over it.",
)
def against_the_order() -> np.ndarray:
    """p(x_1 = 1 | the last six are 1), and the share of proposals that are worth a draw, (E w)^2 / E w^2."""
    halves = table().reshape(64, 64)
    first, joint = halves.sum(axis=1), halves[:, -1]
    first_bit = np.asarray(bits.states(6))[:, 0]
    w = joint / first
    return np.array([joint @ first_bit / joint.sum(), (first @ w) ** 2 / (first @ w**2)])


@exercise(
    "20.4",
    Numbers(0.01),
    "Both are a mean under p: of log p(x) - log q(x), a sum over the table.",
    "Without W every h_k is sigma(b), so pixel k is 1 with probability sigma(V_k sigma(b) + c_k). The frequencies are "
    "`p @ states`.",
    "For either q, (12,): `np.log(np.where(states == 1, q, 1 - q)).sum(axis=1)` is log q(x) of every state.",
)
def nats_lost_by_deafness() -> np.ndarray:
    """Nats a draw of p costs more under the small model with W = 0, and under independent bits of p's frequencies."""
    states, p = np.asarray(bits.states(NUM_BITS), float), table()
    deaf, frequencies = small()._replace(W=jnp.zeros((NUM_HIDDEN, NUM_BITS))), jnp.float32(p @ states)
    alone = binary_baselines.Mixture(jnp.zeros(1), jnp.log(frequencies / (1 - frequencies))[None])
    models = partial(nade.log_prob, deaf), partial(binary_baselines.mixture_log_prob, alone)
    log_q = [np.asarray(jax.jit(lambda f=f: enumeration.over_states(f, NUM_BITS))(), float) for f in models]
    return np.array([p @ (np.log(p) - one) for one in log_q])

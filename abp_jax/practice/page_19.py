"""Exercises of page 19, contrastive divergence: means over all draws, by the states of the page's random machine."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from abp_jax.practice.exercises import Numbers, exercise
from abp_jax.relatives import bits, rbm, rbm_gradient
from abp_jax.relatives import contrastive_divergence as cd


def random_machine() -> rbm.RBM:
    """The page's machine of six hidden and nine visible bits with random weights."""
    keys = jax.random.split(jax.random.split(jax.random.key(0), 8)[0], 3)
    return rbm.RBM(*(jax.random.normal(key, shape) for key, shape in zip(keys, ((6, 9), (9,), (6,)), strict=True)))


def hidden_means(machine: rbm.RBM) -> jax.Array:
    """m(v) for every state of v, (2^visible, hidden)."""
    return jax.nn.sigmoid(jax.vmap(partial(rbm.hidden_logits, machine))(bits.states(machine.b.size)))


def visible_table(machine: rbm.RBM) -> jax.Array:
    """p(v) of every state, (2^visible,)."""
    return jax.nn.softmax(rbm.log_weights(machine))


@exercise(
    "19.1",
    Numbers(0.02),
    "Run both many times with `jax.vmap` over keys, and sum the variances of the 54 entries; or take the exact law of "
    "v^(1), a row of T.",
    "A variance is E of the square less the square of E. With means the entry is m_j(v) v_i, with draws "
    "h_j v_i: the same E.",
    "h_j v_i is 0 or 1, its own square, so its variance is E - E^2 with E = E m_j(v) v_i. The other has E m_j(v)^2 v_i "
    "for E of the square. The law of v is `T[bits.index(x[3])]`.",
)
@jax.jit
def variances() -> jax.Array:
    """The variance of m v' and of h v', v one step from x[3], each summed over the entries of W."""
    machine, x = random_machine(), jnp.asarray(bits.bars_and_stripes(3))
    law, m, v = cd.block_matrix(machine)[bits.index(x[3])], hidden_means(machine), bits.states(9)
    mean, square = (jnp.einsum("s,sj,si->ji", law, each, v) for each in (m, m**2))
    return jnp.stack([jnp.sum(square - mean**2), jnp.sum(mean - mean**2)])


@exercise(
    "19.2",
    Numbers(0.02),
    "For a very large k, v^(k-1) has the distribution pi = p(v), and the pair (v^(k-1), v^(k)) is pi_s T_st.",
    "Right is the sum over s of pi_s m(s) s', wrong the sum over s and t of pi_s m(s) T_st t'.",
    "`m.T @ (pi[:, None] * v)` and `m.T @ (pi[:, None] * T) @ v`: the largest absolute difference of the 54 entries.",
)
@jax.jit
def wrong_pairs() -> jax.Array:
    """The largest error of an entry of the model's part in W, if m(v^(k-1)) is paired with v^(k), for k to infinity."""
    machine, v = random_machine(), bits.states(9)
    pi, m, T = visible_table(machine), hidden_means(machine), cd.block_matrix(machine)
    return jnp.abs(m.T @ (pi[:, None] * T) @ v - m.T @ (pi[:, None] * v)).max()


@exercise(
    "19.3",
    Numbers(0.01),
    "The third field of `rbm_gradient.gradient(wells, bars)` and of `cd.expected_direction(wells, mu_bars, 1)`, its "
    "first entry. `mu_bars` has 1/8 at the number of each of the eight.",
    "The chain of the first column moves alone, but you need not use that: 512 states are few. A larger k: k=2, 3 ...",
    "CD-k along c_1 is the sum over s of (mu - mu T^k)_s m_1(s), with `T = cd.block_matrix(wells)`. Multiply mu by T "
    "until that is half of the gradient. It takes between ten and twenty steps.",
)
def wells_by_hand() -> np.ndarray:
    """For the machine of three columns, its first bias too high by 2: dL/dc_1, CD-1 there, and the k that sees half."""
    c = jnp.full(3, -9.0).at[0].add(2)
    wells = rbm.RBM(6 * jnp.tile(jnp.eye(3), 3), jnp.full(9, -3.0), c)
    bars = jnp.asarray(bits.bars_and_stripes(3)[:8])
    mu = np.bincount(bits.index(bars), minlength=512) / 8
    gradient = float(jax.jit(rbm_gradient.gradient)(wells, bars).c[0])
    T, m = np.asarray(jax.jit(cd.block_matrix)(wells), float), np.asarray(hidden_means(wells), float)[:, 0]
    after, seen = mu, []
    while not seen or seen[-1] / gradient < 0.5:
        after = after @ T
        seen.append((mu - after) @ m)
    return np.array([gradient, seen[0], len(seen)])


@exercise(
    "19.4",
    Numbers(0.01),
    "The data are a distribution over the 512 states: pi of the teacher, in place of mu, in `cd.expected_direction`.",
    "The gradient is `rbm_gradient.difference` of the statistics with the weights pi and of "
    "`rbm_gradient.model_statistics`, both of the learner.",
    "`learner = jax.tree.map(lambda p: s * p, machine)` for s = 0.5 and 1.5. Then the norm of all 69 numbers of CD-1 "
    "over that of the gradient; `flat` makes a vector of them.",
)
def lengths_beside_the_gradient() -> np.ndarray:
    """|expected CD-1| / |gradient| of learners whose parameters are 0.5 and 1.5 times those of the random machine."""

    @jax.jit
    def ratio(scale: float) -> jax.Array:
        teacher = random_machine()
        learner, pi = jax.tree.map(lambda p: scale * p, teacher), visible_table(teacher)
        data = rbm_gradient.statistics(learner, bits.states(9), pi)
        gradient = rbm_gradient.difference(data, rbm_gradient.model_statistics(learner))
        one_step = cd.expected_direction(learner, pi, 1)
        return jnp.linalg.norm(ravel_pytree(one_step)[0]) / jnp.linalg.norm(ravel_pytree(gradient)[0])

    return np.array([ratio(scale) for scale in (0.5, 1.5)])


@exercise(
    "19.5",
    Numbers(0.01),
    "With S = 1, log w = log Z_0 + log f_1(v) - log f_0(v), forth with v from the independent bits p_0, back with "
    "v from p.",
    "log f_0 = log Z_0 + log p_0 and log f_1 = log Z + log p. So log w - log Z = log p(v) - log p_0(v).",
    "Forth its mean is minus the sum of p_0 log(p_0 / p), back the sum of p log(p / p_0). Here p_0 is nine fair coins.",
)
@jax.jit
def one_temperature() -> jax.Array:
    """With S = 1 on the random machine: the mean of log w less log Z, forth and back."""
    x = jnp.asarray(bits.bars_and_stripes(3))
    log_p = jax.nn.log_softmax(rbm.log_weights(random_machine()))
    log_p0 = jax.vmap(bits.bernoulli_log_prob, (0, None))(bits.states(9), rbm.base_rates(x))
    return jnp.stack([jnp.exp(log_p0) @ (log_p - log_p0), jnp.exp(log_p) @ (log_p - log_p0)])

"""Exercises of page 18, the restricted Boltzmann machine: sums over all states of the page's small machine."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax.practice.exercises import Choice, Function, Numbers, exercise
from abp_jax.relatives import bits, contrastive_divergence, markov_chains, rbm, rbm_gradient, rbm_learning

UPDATES = 1000


def small() -> rbm.RBM:
    """The page's machine of three hidden and four visible bits."""
    key_W, key_b, key_c = jax.random.split(jax.random.split(jax.random.key(18), 6)[0], 3)
    W, b = 1.2 * jax.random.normal(key_W, (3, 4)), 0.5 * jax.random.normal(key_b, (4,))
    return rbm.RBM(W, b, jax.random.normal(key_c, (3,)))


def hidden_table(machine: rbm.RBM) -> jax.Array:
    """p(h) of all states, (2^hidden,)."""
    return jax.nn.softmax(rbm.log_weights(rbm.flip(machine)))


@exercise(
    "18.1",
    Numbers(1e-3),
    "Put v = 1 - u into the energy and collect the terms with h and u, with h alone, with u alone, and the rest.",
    "W(1 - u) = W 1 - W u: so W~ = -W, and W 1, the sums of the rows of W, goes to the bias of h. What sign has b~?",
    "b'(1 - u) = b'1 - b'u. The constant b'1 is in every term of Z~, so log Z~ = log Z - b'1.",
)
@jax.jit
def negative() -> jax.Array:
    """For the small machine: the biases c~ of the hidden bits of the machine of the negatives, and its log Z~."""
    W, b, c = small()
    turned = rbm.RBM(-W, -b, c + W.sum(axis=1))
    return jnp.append(turned.c, rbm.log_partition(turned))


@exercise(
    "18.2",
    Function([(0.5,), (2.0,), (6.0,), (10.0,)], Numbers(1e-3)),
    "Given h, all nine pixels are independent, and each column has its own h_j. So p(v) is a product over the columns.",
    "At these biases h_j is a fair coin: c_j + 3 log(1 + e^(w/2)) - 3 log(1 + e^(-w/2)) = 0. Given h_j = 1 each pixel "
    "of its column is on with probability s = 1 / (1 + e^(-w/2)), given h_j = 0 with 1 - s.",
    "A column that is all on has probability (s^3 + (1 - s)^3) / 2, and so has one that is all off. Three columns.",
)
def three_bits_for_the_bars() -> Callable:
    """A function of w: the mean log p of the eight bars, by the machine with one hidden bit for each column."""
    bars = jnp.asarray(bits.bars_and_stripes(3)[:8])

    @jax.jit
    def mean_log_p(w: float) -> jax.Array:
        machine = rbm.RBM(w * jnp.tile(jnp.eye(3), 3), jnp.full(9, -w / 2), jnp.full(3, -1.5 * w))
        return jnp.mean(jax.vmap(partial(rbm.log_prob, machine, log_z=rbm.log_partition(machine)))(bars))

    return mean_log_p


@jax.jit
def ends_at(starts: jax.Array) -> jax.Array:
    """The mean log p of bars and stripes after UPDATES of Algorithm 0 with r = 1, averaged over the chains' draws.

    starts: where they begin, the probability of each of the 512 states.
    """
    x, v = jnp.asarray(bits.bars_and_stripes(3)), bits.states(9)
    data = jnp.bincount(bits.index(x), length=512) / len(x)

    def update(machine, t):
        ascent = rbm_gradient.statistics(machine, v, data - starts)
        moved = contrastive_divergence.expected_direction(machine, starts, 1)  # from the starts to where chains end
        return jax.tree.map(lambda p, g, h: p + (1 - t / UPDATES) * (g + h), machine, ascent, moved), None

    start = rbm_learning.initial(jax.random.split(jax.random.key(18), 6)[3], x, 6, scale=0.1)
    machine, _ = jax.lax.scan(update, start, jnp.arange(UPDATES))
    return data @ jax.nn.log_softmax(rbm.log_weights(machine))


@exercise(
    "18.3",
    Choice(("better", "worse", "same")),
    "Where should the chains be, once the machine has learned? How much of the way does one step make?",
    "Coins are as far from where a good machine is as can be; the patterns are its likeliest images.",
    "A chain of one step from the patterns shows what the model does to them. From coins it shows what the model does "
    "to noise, and the figure shows what that has come to.",
)
def starts_at_the_patterns() -> str:
    """Chains of one step: does learning end better or worse if they start at the patterns instead of at coins?"""
    patterns = np.bincount(bits.index(bits.bars_and_stripes(3)), minlength=512).astype(np.float32) / 14
    gain = ends_at(patterns) - ends_at(np.full(512, 1 / 512, np.float32))
    return "same" if abs(gain) < 0.1 else "better" if gain > 0 else "worse"


@exercise(
    "18.4",
    Numbers(0.01),
    "The shortcut's v is a function of h, so h alone makes the chain: from h to h' with the probability of h' given "
    "sigma(W'h + b). That is a matrix of 8 by 8.",
    "Row h: m = sigma(W sigma(W'h + b) + c), and the product over j of m_j where h'_j = 1 and 1 - m_j where it is 0.",
    "`markov_chains.stationary` of that matrix, times `h_all`.",
)
@jax.jit
def means_of_the_shortcut() -> jax.Array:
    """For the small machine: the stationary means of the hidden bits, if the chain carries probabilities for v."""
    machine, h = small(), bits.states(3)
    v = jax.nn.sigmoid(jax.vmap(partial(rbm.visible_logits, machine))(h))
    logits = jax.vmap(partial(rbm.hidden_logits, machine))(v)
    log_T = jax.vmap(lambda given: jax.vmap(lambda to: bits.bernoulli_log_prob(to, given))(h))(logits)
    return markov_chains.stationary(jnp.exp(log_T)) @ h


@exercise(
    "18.5",
    Numbers(0.01),
    "Everything is in the table `joint` of section 1: p(h) are its column sums, p(v) its row sums.",
    "H(h) is minus the sum of p(h) log p(h), in nats. For the second number you need H(v) too, and that of the table.",
    "I(v; h) = H(h) + H(v) - H(v, h): the three entropies of column sums, row sums and all 128 numbers.",
)
@jax.jit
def what_three_bits_know() -> jax.Array:
    """For the small machine: the entropy H(h), and what h and v know of each other, I(v; h), in nats."""
    machine = small()
    of_bits = lambda a: jnp.sum(jax.nn.softplus(a) - a * jax.nn.sigmoid(a), axis=-1)  # entropy, from the logits
    p_h, p_v = hidden_table(machine), hidden_table(rbm.flip(machine))
    H_h = -jnp.sum(p_h * jnp.log(p_h))
    return jnp.stack([H_h, H_h - p_v @ of_bits(jax.vmap(partial(rbm.hidden_logits, machine))(bits.states(4)))])

"""Exercises of page 21, MADE: masks, orders, and sums over all states."""

from collections.abc import Callable
from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax.practice.exercises import Choice, Function, Numbers, exercise
from abp_jax.relatives import binary_baselines, bits, made, made_masks, pairwise


@exercise(
    "21.1",
    Numbers(0.002),
    "A mask holds true and false: its mean is the share that stays. The two are `masks.layers` of the digits' MADE.",
    "A unit of degree m keeps m of the 64 inputs, and is kept by the 64 - m outputs of later pixels. So what do the "
    "two shares add up to?",
    "`[M.mean() for M in masks.layers]`, in three digits. They would be one half each if 200 were a multiple of 63.",
)
def shares_that_stay() -> np.ndarray:
    """Which share of the weights the masks of the digits' MADE leave, below the hidden units and below the outputs."""
    key = jax.random.split(jax.random.key(21), 6)[1]
    masks = jax.jit(lambda key: made_masks.masks(made_masks.degrees(key, range(64), (200,))))(key)
    return np.array([np.mean(M) for M in masks.layers])


@exercise(
    "21.2",
    Choice(("independent pixels", "logistic chain", "markov network")),
    "Without hidden degrees only the rule below the outputs is left: `made_masks.masks(made_masks.degrees(key_small, "
    "range(8)))`.",
    "Print its one mask. Of how many pixels does output k hear, and by how many weights?",
    "Output k is a sigmoid of a weighted sum of the pixels before it: a logistic regression on them.",
)
def without_hidden_units() -> str:
    """Which model of part V a MADE without hidden layers is: independent pixels, logistic chain or Markov network."""
    W, b = np.random.default_rng(0).normal(size=(2, 4, 4)).astype(np.float32)
    masks = made_masks.masks([jnp.arange(1, 5)])
    models = {
        "made": (made.log_prob, made.MADE((W,), (b[0],)), masks),
        "independent pixels": (binary_baselines.mixture_log_prob, binary_baselines.Mixture(jnp.zeros(1), b[:1])),
        "logistic chain": (binary_baselines.chain_log_prob, binary_baselines.Chain(W, b[0])),
        "markov network": (pairwise.log_weight, pairwise.Pairwise(W, b[0])),
    }

    @jax.jit
    def log_p(states: jax.Array) -> dict:
        return {name: jax.nn.log_softmax(jax.vmap(partial(f, *of))(states)) for name, (f, *of) in models.items()}

    others = log_p(bits.states(4))
    as_made = others.pop("made")
    (same,) = [name for name, values in others.items() if np.allclose(values, as_made, atol=1e-4)]
    return same


@exercise(
    "21.3",
    Function([(1,), (2,), (3,), (5,)], Numbers(1e-3)),
    "Between pixel j and the next there is one degree that a unit may have, in every layer: j's own. In one layer it "
    "is missing with probability (1 - 1/63)^200.",
    "With L layers a pair is connected only if none of them misses that degree, and they draw independently.",
    "With a = (1 - 1/63)^200 a pair is cut with probability 1 - (1 - a)^L, and there are 63 pairs.",
)
def neighbours_cut() -> Callable:
    """A function of the number of layers of 200 units, of random degrees: how many of 63 neighbours are cut apart."""
    missing = (1 - 1 / 63) ** 200  # the one degree that a pair needs, in one layer

    def expected(layers: int) -> float:
        return 63 * (1 - (1 - missing) ** layers)

    return expected


@exercise(
    "21.4",
    Numbers(0.02),
    "In the reading order nothing is lost, and the best mean log p is -log 8. Backwards it is that of the best chain "
    "on `rows[:, ::-1]`, which `likelihood_fit.fit` finds: it is concave.",
    "Only the last bit of the backward order loses anything: given that the fourth is 0, it is fair, unless both of "
    "the other two are 1. No sum of two terms says that.",
    "Learn `binary_baselines.chain(4)` on the eight rows turned around, all in one batch, `learning_rate=0.1` for some "
    "2,000 epochs, with as long a patience. The answer is -log 8 minus the mean log p that is reached.",
)
def lost_backwards() -> float:
    """Nats a draw that a logistic chain loses backwards, on three fair coins and a bit that is 1 if all three are."""
    coins = np.array(list(product((0.0, 1.0), repeat=3)))
    backwards = np.column_stack([coins, coins.prod(axis=1)])[:, ::-1]
    return sum(_regression(backwards[:, :k], backwards[:, k]) for k in range(4)) - np.log(8)


def _regression(x: np.ndarray, y: np.ndarray) -> float:
    """Minus the mean log-likelihood of the best logistic regression of y (N,) on x (N, k): Newton's method."""
    x, w = np.column_stack([np.ones(len(x)), x]), np.zeros(x.shape[1] + 1)
    for _ in range(30):  # a weight that would be infinite grows by about one each time
        p = 1 / (1 + np.exp(-x @ w))
        w += np.linalg.lstsq(x.T * (p * (1 - p)) @ x, x.T @ (y - p), rcond=1e-12)[0]
    return float(np.logaddexp(0, (1 - 2 * y) * (x @ w)).mean())


@exercise(
    "21.5",
    Function([(0.6,), (0.75,), (0.9,), (0.99,)], Numbers(1e-3)),
    "In the order 1, 2 the first pixel is fair: log odds 0. The second has log odds plus or minus log(r / (1 - r)), "
    "towards the first. What is the average with the other order?",
    "Each pixel's averaged log odds are half of log(r / (1 - r)), towards the other pixel. So it is given the other "
    "one's value with probability s = sqrt(r) / (sqrt(r) + sqrt(1 - r)).",
    "The states 00 and 11 get s^2 each, 01 and 10 get (1 - s)^2 each. Add the four.",
)
def sum_of_averaged_log_odds() -> Callable:
    """A function of r, how probable two fair pixels are to be equal: what averaged log odds of both orders sum to."""

    def total(r: float) -> float:
        p = np.array([[r, 1 - r], [1 - r, r]]) / 2
        odds = lambda p: np.log(p[1] / p[0])  # of x_k = 1, where k is the first axis
        averaged = [(odds(p.sum(axis=1)) + odds(p)) / 2, (odds(p.sum(axis=0)) + odds(p.T)) / 2]  # given the other pixel
        q = lambda x, y: 1 / (1 + np.exp((1 - 2 * x) * averaged[0][y])) / (1 + np.exp((1 - 2 * y) * averaged[1][x]))
        return sum(q(x, y) for x in (0, 1) for y in (0, 1))

    return total

"""Exercises of page 17, Markov networks and Gibbs sampling: the four students of `tables.misconception`."""

from collections.abc import Iterator, Sequence
from itertools import combinations, product

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax.practice.exercises import Numbers, exercise
from abp_jax.relatives import gibbs, graphs, markov_chains, rbm, tables


def log_joint(factors: Sequence[tables.Table]) -> jax.Array:
    """log p of the sixteen states ABCD, (16,)."""
    return jnp.log(tables.joint(factors, "ABCD").values.ravel())


def relaxation_time(T: jax.Array) -> float:
    """1 / (1 - |lambda_2|), in steps of the chain."""
    return 1 / (1 - markov_chains.second_eigenvalue(T))


@exercise(
    "17.1",
    Numbers(1e-3),
    "The sum around the ring is a trace, now of the same matrix four times. For P(C = D) build the table as the "
    "page does.",
    "Z is the trace of `np.linalg.matrix_power(phi_1, 4)`. Not the sum of its entries: the ring closes.",
    "`slip = [tables.Table(pair, factors[0].values) for pair, _ in factors]`, then `tables.joint` and "
    "`tables.marginal`; P(C = D) is the trace of p(C, D).",
)
def four_times_the_first() -> np.ndarray:
    """With phi_1 in all four places: Z, and P(C = D)."""
    first, *_ = factors = tables.misconception()
    slip = [tables.Table(pair, first.values) for pair, _ in factors]
    same = jnp.trace(tables.marginal(tables.joint(slip), ("C", "D")).values)
    return np.array([tables.partition_function(slip), same], float)


def acyclic() -> Iterator[dict[str, list[str]]]:
    """All directed acyclic graphs on A, B, C and D, node -> parents."""
    pairs = list(combinations("ABCD", 2))
    for arrows in product((0, 1, 2), repeat=len(pairs)):
        parents = {name: [] for name in "ABCD"}
        for (x, y), arrow in zip(pairs, arrows, strict=True):
            if arrow:
                parents[y if arrow == 1 else x].append(x if arrow == 1 else y)
        try:
            graphs.moral_graph(parents)
        except ValueError:  # a cycle
            continue
        yield parents


@exercise(
    "17.2",
    Numbers(1e-3),
    "Each of the six pairs has no arrow, or one either way. For a cycle `graphs.d_separated` raises ValueError.",
    "A graph promises something false if it d-separates two nodes that the ring doesn't separate. There are 24 "
    "statements about two single nodes; 22 of them are false.",
    "All six arrows promise nothing: that is an order of the four, and there are 4!. Which graphs that lack one arrow, "
    "that between A and C or that between B and D, are honest? And could one lack both?",
)
def graphs_with_arrows() -> np.ndarray:
    """How many graphs have no cycle; of these, promise nothing false; of these, promise both independencies."""
    ring = graphs.neighbours_of(pair for pair, _ in tables.misconception())
    others = lambda pair: [name for name in "ABCD" if name not in pair]
    asked = [(*pair, z) for pair in combinations("ABCD", 2) for k in range(3) for z in combinations(others(pair), k)]
    true = [statement for statement in asked if graphs.separated(ring, *statement)]
    false = [statement for statement in asked if statement not in true]
    promises = lambda parents, statements: (graphs.d_separated(parents, *statement) for statement in statements)
    drawn = list(acyclic())
    honest = [parents for parents in drawn if not any(promises(parents, false))]
    return np.array([len(drawn), len(honest), sum(all(promises(parents, true)) for parents in honest)])


@exercise(
    "17.3",
    Numbers(0.01),
    "Only the entries of 100 change; those of 1 stay, and so does phi_1. Then `gibbs.random_scan` of the new log p.",
    "`tied = [table._replace(values=jnp.where(table.values > 1, strength, 1.0)) for table in factors[1:]]`, and "
    "`log_p = jnp.log(tables.joint([factors[0], *tied], 'ABCD').values.ravel())`.",
    "The relaxation time is 1 / (1 - lambda_2), and `markov_chains.second_eigenvalue` gives lambda_2.",
)
def firmer_opinions() -> np.ndarray:
    """The relaxation time of the random scan, in steps, with ties of 1, 10, 1,000 and 10,000 in place of 100."""
    first, *rest = tables.misconception()

    @jax.jit
    def transitions(strength: float) -> jax.Array:
        tied = [table._replace(values=jnp.where(table.values > 1, strength, 1.0)) for table in rest]
        return gibbs.random_scan(log_joint([first, *tied]))

    return np.array([relaxation_time(transitions(strength)) for strength in (1.0, 10.0, 1e3, 1e4)])


@exercise(
    "17.4",
    Numbers(0.01),
    "`gibbs.sweep` takes blocks: a list of tuples with the numbers of the bits, A being 0.",
    "For AC and BD that is `gibbs.sweep(log_pi, [(0, 2), (1, 3)])`, which the page has as `h = AC, then v = BD`.",
    "Then 1 / (1 - lambda_2), in sweeps of two blocks each. Ties that lie within a block hold nothing up.",
)
def two_bits_at_once() -> np.ndarray:
    """The relaxation time, in sweeps, of the blocks AC and BD, of AB and CD, and of AD and BC."""
    pairings = [(0, 2), (1, 3)], [(0, 1), (2, 3)], [(0, 3), (1, 2)]
    sweeps = jax.jit(lambda log_p: [gibbs.sweep(log_p, blocks) for blocks in pairings])
    return np.array([relaxation_time(T) for T in sweeps(log_joint(tables.misconception()))])


@exercise(
    "17.5",
    Numbers(1e-3),
    "Put x = y = 0, then x = 1, then y = 1, then both, into log phi(x, y) = alpha + beta x + gamma y + omega x y.",
    "omega = log of phi(0, 0) phi(1, 1) / (phi(0, 1) phi(1, 0)) is the weight of the pair. Rows of W are A and C, "
    "columns B and D: phi_1 and phi_4 in the first row, phi_2 and phi_3 in the second.",
    "The four alpha = log phi(0, 0) are left over: log Z~ = log Z minus their sum, log 30 + log 100 + log 1 + log 100.",
)
def in_disguise() -> np.ndarray:
    """W of the machine, row by row, and log Z~."""
    log_phi = {pair: np.log(table) for pair, table in tables.misconception()}
    log_phi |= {pair[::-1]: table.T for pair, table in log_phi.items()}
    of = {(h, v): log_phi[h, v] for h in "AC" for v in "BD"}  # h first
    W = [[of[h, v][0, 0] + of[h, v][1, 1] - of[h, v][0, 1] - of[h, v][1, 0] for v in "BD"] for h in "AC"]
    b = [sum(of[h, v][0, 1] - of[h, v][0, 0] for h in "AC") for v in "BD"]
    c = [sum(of[h, v][1, 0] - of[h, v][0, 0] for v in "BD") for h in "AC"]
    machine = rbm.RBM(*(jnp.array(p, float) for p in (W, b, c)))
    return np.array([*machine.W.ravel(), rbm.log_partition(machine)])

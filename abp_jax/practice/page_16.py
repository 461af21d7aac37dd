"""Exercises of page 16, Bayesian networks: the student of `tables.student`, and the generator of page 02 as a graph."""

from collections.abc import Callable
from itertools import combinations
from math import prod

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax import factor_analysis as fa
from abp_jax.practice.exercises import Function, Numbers, exercise
from abp_jax.practice.page_02 import FACTORS
from abp_jax.relatives import graphs, tables

SIZES = {"D": 2, "I": 2, "G": 3, "S": 2, "L": 2}


def parents() -> dict[str, tuple[str, ...]]:
    """The arrows of the student's network."""
    return graphs.parents_of(table.variables for table in tables.student())


@exercise(
    "16.1",
    Numbers(0.01),
    "Nothing but the letter is known: G is not. Keep the cells of `p` with l = 1, and divide them by their sum.",
    "That is `posterior(name, {'L': 1})` for each of the three names; the second entry is that of value 1.",
    "For D by hand: p(hard, strong) = 0.4 times the sum over i, g of p(i) p(g | i, hard) p(strong | g), over 0.5023.",
)
def after_a_strong_letter() -> np.ndarray:
    """The probabilities of a hard course, high intelligence and a high SAT, given a strong letter and no grade."""
    known = tables.given(tables.joint(tables.student(), "DIGSL"), L=1)
    return np.array([tables.marginal(known, name).values[1] for name in "DIS"])


@exercise(
    "16.2",
    Numbers(1e-3),
    "Take the nodes one by one. For each try all sets of earlier nodes, the small ones first; `gap` judges by numbers.",
    "S depends on L, and on the grade nothing is known yet. G depends on both of them. For D one of the three can go.",
    "A node has a row for each case of its parents, and a row of k probabilities has k - 1 free numbers. The parents "
    "are none, L, LS, SG, SGD.",
)
def numbers_in_another_order() -> np.ndarray:
    """How many numbers are free in the tables of L, S, G, D and I, if the network is built in this order."""

    def smallest(node: str, earlier: str) -> tuple[str, ...]:
        kept = (z for size in range(len(earlier) + 1) for z in combinations(earlier, size))
        return next(z for z in kept if graphs.d_separated(parents(), node, set(earlier) - set(z), z))

    above = {node: smallest(node, "LSGDI"[:k]) for k, node in enumerate("LSGDI")}
    return np.array([prod(SIZES[n] for n in z) * (SIZES[node] - 1) for node, z in above.items()])


@exercise(
    "16.3",
    Numbers(1e-3),
    "Count separately the statements with S as x or y, and those without.",
    "S is now independent of everything, so all 4 times 8 statements about S hold. The others ask about D, I, G and L.",
    "Of the other 48 those hold that were promised before: a useless S neither opens nor blocks a trail between them.",
)
def statements_with_a_useless_sat() -> int:
    """How many of the 80 statements hold if both rows of p(s | i) are alike."""
    without = parents() | {"S": ()}  # a table that ignores its parent needs no arrow
    others = lambda x, y: [n for n in SIZES if n not in (x, y)]
    asked = [
        (x, y, z) for x, y in combinations(SIZES, 2) for size in range(4) for z in combinations(others(x, y), size)
    ]
    return sum(graphs.d_separated(without, *statement) for statement in asked)


@exercise(
    "16.4",
    Numbers(0.01),
    "The same as for the C in the section on explaining away, with another slice of `p`.",
    "Sum `p[:, :, g]` over s and l: that leaves a table of D and I. Then `correlation`.",
    "`correlation(p[:, :, g].sum(axis=(2, 3)))` for g = 0, 1, 2. All three have the same sign.",
)
def correlations_given_the_grade() -> np.ndarray:
    """The correlation of a hard course with high intelligence, given an A, a B and a C."""
    joint, found = tables.joint(tables.student(), "DIGSL"), []
    for grade in range(3):
        cells = np.asarray(tables.marginal(tables.given(joint, G=grade), ("D", "I")).values, float)
        (hard, high), both = (cells[1].sum(), cells[:, 1].sum()), cells[1, 1]
        found.append((both - hard * high) / np.sqrt(hard * (1 - hard) * high * (1 - high)))
    return np.array(found)


@exercise(
    "16.5",
    Function([(0.05,), (0.3,), (1.0,), (3.0,)], Numbers(1e-3)),
    "The posterior's covariance is the inverse of P = W'W / sigma^2 + I. For two dimensions that is done by hand.",
    "The inverse of a 2 x 2 matrix exchanges its diagonal and turns the sign of the other two: the correlation is "
    "-P_12 / sqrt(P_11 P_22).",
    "Multiply above and below by sigma^2: minus w1'w2 over the root of (w1'w1 + sigma^2)(w2'w2 + sigma^2), with the "
    "columns w1 and w2 of W.",
)
def tilt() -> Callable:
    """A function of sigma: the correlation of z_1 and z_2 in the generator's posterior, given an image."""

    @jax.jit
    def correlation(sigma: float) -> jax.Array:
        C = jnp.linalg.inv(fa.posterior_precision(FACTORS._replace(sigma=sigma)))
        return C[0, 1] / jnp.sqrt(C[0, 0] * C[1, 1])

    return correlation

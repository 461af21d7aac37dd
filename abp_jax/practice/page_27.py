"""Exercises of page 27, one table: computed from the two tables on record, which the page reads too."""

from functools import cache

import numpy as np

from abp_jax.practice.exercises import Numbers, exercise
from abp_jax.relatives import rows

bits = cache(rows.load)
densities = cache(rows.load_grey)


def mean(name: str, data: str) -> float:
    """The mean log p of a row of bits, over its seeds and the test images."""
    return rows.over_seeds(bits()[data][name]).mean


@exercise(
    "27.1",
    Numbers(0.005),
    "A code can spend -log2 p(y) bits on y. The record has natural logarithms.",
    "-log p / log 2, of the mean over the seeds and the test digits: `rows.over_seeds(row).mean`.",
    "Of 64 bits that leaves 64 + mean / log 2. The best row is the first of `table['digits'].ranked()`.",
)
def bits_saved() -> np.ndarray:
    """Bits saved of the 64 of a digit, on average: by the best row of the table, and by independent pixels."""
    best = bits()["digits"].ranked()[0].name
    return 64 + np.array([mean(best, "digits"), mean("independent pixels", "digits")]) / np.log(2)


@exercise(
    "27.2",
    Numbers(0.02),
    "Average probabilities, not logarithms: picture by picture and seed by seed, then take the logarithm.",
    "`np.logaddexp(a, b) - np.log(2)` of the two `log_probs`. Its mean is to be held against a mean.",
    "Less the larger of the two means, `max(rows.over_seeds(row).mean for row in (nade, other))`.",
)
def two_heads() -> list[float]:
    """Nats that NADE averaged with the logistic chain, and with the RBM of 200, gains on the better one, on clothes."""
    nade, gains = bits()["clothes"]["NADE"], []
    for name in ("chain", "RBM 200"):
        pair = np.logaddexp(nade.log_probs, bits()["clothes"][name].log_probs) - np.log(2)
        gains.append(pair.mean() - max(mean("NADE", "clothes"), mean(name, "clothes")))
    return gains


@exercise(
    "27.3",
    Numbers(0.02),
    "The error of a mean over N pictures is s / sqrt(N). What is s for pairs, and what for two sets of pictures?",
    "For pairs the standard deviation of the differences; for two sets sqrt(s_a^2 + s_b^2).",
    "Two errors are the gap g where N = 4 s^2 / g^2. Average each row's log p over its seeds first.",
)
def pictures_needed() -> np.ndarray:
    """Test digits by which MADE and NADE are two standard errors apart: paired, and from two independent sets."""
    a, b = (bits()["digits"][name].log_probs.mean(axis=0) for name in ("MADE", "NADE"))
    variances = np.array([np.var(a - b, ddof=1), np.var(a, ddof=1) + np.var(b, ddof=1)])
    return 4 * variances / np.mean(a - b) ** 2


@exercise(
    "27.4",
    Numbers(0.005),
    "y' = c y has the density p(y) / c^D. What is c from -1..1 to 0..1, and what is D?",
    "c = 1/2 and D = 196, so that log p' = log p + 196 log 2.",
    "Both rows rise by 135.9 nats; their difference stays.",
)
def in_other_units() -> np.ndarray:
    """With pixels from 0 to 1: the mean log density of ABP, that of factor analysis, and the first less the second."""
    abp, straight = (densities()[name].log_probs.mean() for name in ("ABP", "factor analysis"))
    return np.array([abp + 196 * np.log(2), straight + 196 * np.log(2), abp - straight])

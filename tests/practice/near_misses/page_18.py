"""Of the exercises of page 18, from the right answer, what one gets by a typical slip."""

import numpy as np

WRONG = {
    # c itself and log Z; b'1 added; sign of c~
    "18.1": lambda r: [[1.0186, -1.3351, -0.3634, r[3]], r - [0, 0, 0, 1.1006], [*r[:3], 5.1975], r * [-1, -1, -1, 1]],
    # one column; a sum in place of the mean; without the half; only the state that h_j wants
    "18.2": lambda r: [
        lambda w: r(w) / 3,
        lambda w: 8 * r(w),
        lambda w: r(w) + 3 * np.log(2),
        lambda w: -3 * np.log(2) - 9 * np.log1p(np.exp(-w / 2)),
    ],
    "18.3": lambda r: ["worse", "same"],
    "18.4": lambda r: [[0.8917, 0.0444, 0.3730], r[::-1], 1 - r],  # the exact means; order; off
    # bits; H(h | v); the other way round; H(v)
    "18.5": lambda r: [r / np.log(2), [r[0], r[0] - r[1]], r[::-1], [2.28, r[1]]],
}

"""Of the exercises of page 17, from the right answer, what one gets by a typical slip."""

import numpy as np

WRONG = {
    # the true Z; the sum of all entries; P(C and D) = 1 alone; order
    "17.1": lambda r: [[7_201_840, r[1]], [1_118_981, r[1]], [r[0], 0.0146], r[::-1]],
    "17.2": lambda r: [[729, r[1], r[2]], [r[0], 24, r[2]], [r[0], r[1], 1]],  # cycles too; full graphs; hope
    # -1 / log lambda_2; another order; sweeps
    "17.3": lambda r: [r - 0.5, r[::-1], [1.9, 2.2, 64.7, 627.2], r * 4],
    "17.4": lambda r: [r - 0.5, r[::-1], 2 * r],  # -1 / log lambda_2; order; blocks for sweeps
    # a sign; 0 and 1 exchanged; no quarrel; log Z itself
    "17.5": lambda r: [-r, r * [-1, 1, 1, 1, 1], np.abs(r), r + [0, 0, 0, 0, 12.6115]],
}

"""Of the exercises of page 19, from the right answer, what one gets by a typical slip."""

import numpy as np

WRONG = {
    "19.1": lambda r: [r[::-1], r / 54, np.sqrt(r), [r[0], r[0]]],  # order; a mean; a root; no noise added
    "19.2": lambda r: [0.0, 0.0138, 0.0189, -r],  # a large k mends it; the mean; the r.m.s.; sign
    # sign of both; no bias; the k before, which lambda_2 alone gives too; sign of CD-1
    "19.3": lambda r: [r * [-1, -1, 1], [r[0], r[0], r[2]], r - [0, 0, 1], r * [1, -1, 1]],
    "19.4": lambda r: [r[::-1], r**2, 1 - r, [1.0, 1.0]],  # order; squared; the share that is missing; the teacher
    "19.5": lambda r: [r[::-1], -r, np.abs(r), r * [1, 0]],  # order; sign; distances; the log of the mean
}

"""Of the exercises of page 08, from the right answer, what one gets by a typical slip."""

import numpy as np

WRONG = {
    "08.1": lambda r: [r[::-1], [2.0, r[1]], [r[0], 1.0], [r[0], r[0]]],  # order; squared; the target's; its root
    "08.2": lambda r: [[2 * r[0], 1 - 8 * r[0] ** 2], [r[0], -r[1]], [1 / r[0], r[1]], r[::-1]],  # no half; sign; over
    "08.3": lambda r: [
        lambda kappa: np.log(0.5) / np.log(1 - 1 / kappa),  # s^2 of the drift for s^2 / 2
        lambda kappa: 1 / -np.log(1 - 1 / (2 * kappa)),  # an e-th of it, not half
        lambda kappa: -r(kappa),  # sign
    ],
    "08.4": lambda r: [1 / r, r**2, 1.0],  # the other way round; the determinant without the root; no change
}

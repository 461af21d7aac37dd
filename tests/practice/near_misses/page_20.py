"""Of the exercises of page 20, from the right answer, what one gets by a typical slip."""

import numpy as np

WRONG = {
    "20.1": lambda r: [1.0, np.log(r), 1 / r],  # no leak; the log of the sum; its inverse
    "20.2": lambda r: [  # the other order first; H and not H - H_1; in bits; the marginal of the rest
        r[[2, 3, 0, 1]],
        [r[0], r[:2].sum(), r[2], r[2:].sum()],
        r / np.log(2),
        r[[0, 2, 2, 0]],
    ],
    "20.3": lambda r: [[0.8919, r[1]], [r[0], 20_000 * r[1]], [1 - r[0], r[1]]],  # p(x_1 = 1); the draws; x_1 = 0
    "20.4": lambda r: [r[::-1], -r, r / 12, r / np.log(2)],  # order; sign; per bit; in bits
}

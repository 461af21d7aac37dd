"""Of the exercises of page 13, from the right answer, what one gets by a typical slip."""

import numpy as np

WRONG = {
    "13.1": lambda r: [[80, r[1]], r - [1, 0], [r[0], (85_953 - 1024 * r[0]) / (r[0] - 20)]],  # split 0; one off; mean
    "13.2": lambda r: [lambda d: r(d - 1), lambda d: r(d + 1), lambda d: np.sqrt(r(d)), lambda d: 1024 * r(d)],
    "13.3": lambda r: [r * [1, 1, 31 / 32], r[[0, 2, 1]], r**2],  # a neighbour too many; order; squares
    "13.4": lambda r: [
        r * 1024,
        r / [20, 200],
        np.sqrt(r),
        r[::-1],
    ],  # a sum over numbers; one direction; a root; order
}

"""Of the exercises of page 01, from the right answer, what one gets by a typical slip."""

import numpy as np

WRONG = {
    "01.1": lambda r: [[r[0] ** 2, r[1]], [r[0], 1 - r[1]], [r[0], (1 + r[1]) / 2]],  # variance; pull; half of the pull
    "01.2": lambda r: [
        lambda v: 1 - 1 / v,
        lambda v: 1 - 2 / v,
        lambda v: 1 / (v + 1),
    ],  # from below; near the goal; rest
    "01.3": lambda r: [r**2, r * np.sqrt(11 / 10), 0.3],  # its square; sums over n - 1; the page's
    "01.4": lambda r: ["likelihood", "images"],
}

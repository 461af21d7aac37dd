"""Of the exercises of page 23, from the right answer, what one gets by a typical slip."""

import numpy as np

WRONG = {
    "23.1": lambda r: [90 - r, np.radians(r), -r, 2 * r],  # the other way; radians; the sign; the double angle
    "23.2": lambda r: [
        lambda c: r(c) + 1,  # the mean square
        lambda c: c**2 / (2 * c**2 - 1) ** 0.5 - 1,  # one dimension
        lambda c: c**2 - 1 - 2 * np.log(c),  # the gap
        lambda c: (1 - c**2) ** 2 / (c**2 * (2 - c**2)),  # 1 / c in the place of c
    ],
    "23.3": lambda r: [  # without the prior; at the old noise; order; a quarter of the old gap
        [2 * (np.log(2) - 3 / 8), r[1]],
        [0.0, 2.567],
        r[::-1],
        [r[0], 2.567 / 4],
    ],
}

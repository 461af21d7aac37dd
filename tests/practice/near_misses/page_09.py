"""Of the exercises of page 09, from the right answer, what one gets by a typical slip."""

import numpy as np

WRONG = {
    "09.1": lambda r: [r[::-1], -r, 2 * r, [r[0], r[0]]],  # order; sign; without the half; symmetric
    "09.2": lambda r: [r[::-1], [r[0] + r[1], 0], [r[0], -r[1]], [r[0], r[1] + np.log(2 * np.pi)]],  # all in one; sign
    "09.3": lambda r: [
        lambda ratio: -r(ratio),  # sign
        lambda ratio: (ratio**2 - 1) / 2,  # without the logarithm
        lambda ratio: ratio**2 - 1 - np.log(ratio),  # without the half
        lambda ratio: r(1 / ratio),  # sigma over the error
    ],
    "09.4": lambda r: [
        lambda alpha: r(alpha)[::-1],  # order
        lambda alpha: [r(alpha)[0] / 2, np.sqrt(r(alpha)[1] + 1) - 1],  # one coordinate
        lambda alpha: [r(alpha)[0], r(alpha)[1] + 1],  # the mean square, not the variance
        lambda alpha: [1 / alpha**2 - 1 + 2 * np.log(alpha), r(alpha)[1]],  # KL the other way round, twice
    ],
}

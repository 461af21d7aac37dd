"""Of the exercises of page 05, from the right answer, what one gets by a typical slip."""

import numpy as np

SIZES = np.array([1, 11**0.5])
NO_PRIOR = (1 - (0.3 / 2) ** 2) ** 0.5  # a lambda without its 1: a = sqrt(lambda) 0.3 / 2, nearly


def steps(s, num):
    for _ in range(num):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return s


WRONG = {
    "05.1": lambda r: [lambda n, w: r(n, w) - 3, lambda n, w: r(n, 2 * w), lambda n, w: r(n, w) - 8 * n * w],  # biases
    "05.2": lambda r: [r[::-1], [r[0], 11 * r[0]], r / 2, [r[0], r[0]]],  # order; 11, no root; half; same
    "05.3": lambda r: [
        *[r[::-1], [r[0], r[0] / 11], 1 / r, r**2],  # order; no root; upside down; a^2
        *[r * SIZES, r * NO_PRIOR],  # the sum's lambda for both; the prior forgotten
    ],
    "05.4": lambda r: [lambda s: steps(s, 1), lambda s: steps(s, 4), lambda s: 1.0, lambda s: 3.4445**5 * s],
}

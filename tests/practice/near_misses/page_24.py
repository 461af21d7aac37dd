"""Of the exercises of page 24, from the right answer, what one gets by a typical slip."""

import numpy as np

WRONG = {
    "24.1": lambda r: [r[::-1], [r[0], r[0]], r**2],  # order; both the posterior's; variances
    "24.2": lambda r: [[0.101, 0.723, 0.698], r + np.log(2), [0.085, 0.069, 0.005]],  # one hump; log 2; KL(p || q)
    "24.3": lambda r: [-r, r[::-1], [0.78, -0.99], r / 2],  # sign; order; of KL(p || q); one of the two draws
    "24.4": lambda r: [
        r * [-1, -1, 1],
        [-13.5, *r[1:]],
        [*r[:2], r[2] ** 2],
        r[[1, 0, 2]],
    ],  # sign; parabola's; variance
}

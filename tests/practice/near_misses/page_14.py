"""Of the exercises of page 14, from the right answer, what one gets by a typical slip."""

import numpy as np

WRONG = {
    "14.1": lambda r: [lambda h: 1 / (1 + 100 * h), lambda h: 0.01 / max(1 - h, 0.01), lambda h: 1 / 101],
    "14.2": lambda r: [lambda k: 1 / k, lambda k: 2 / k, lambda k: 1 + 1 / np.sqrt(k)],  # no floor; a root
    "14.3": lambda r: [r[::-1], r**2, r * np.sqrt(500)],  # order; variances; of one image
    "14.4": lambda r: [lambda m: r(1024 - m), lambda m: r(200), lambda m: r(m) / (1 - m / 1024)],
}

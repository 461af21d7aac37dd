"""Of the exercises of page 11, from the right answer, what one gets by a typical slip."""

import numpy as np
from scipy.stats import norm


def _normal(d):
    """The share if |z| were N(sqrt(d), 1/2)."""
    return norm.cdf((np.sqrt(d / 2) - np.sqrt(d)) * np.sqrt(2))


WRONG = {
    "11.1": lambda r: [
        lambda t, angle: r(t, angle) ** 2,  # its square
        lambda t, angle: ((1 - t) ** 2 + t**2) ** 0.5,  # always a right angle
        lambda t, angle: 1.0,  # the arc
        lambda t, angle: ((1 - t) ** 2 + t**2 - 2 * t * (1 - t) * np.cos(angle)) ** 0.5,  # sign
    ],
    "11.2": lambda r: [1 - r, r[::-1], _normal(np.array([2, 16, 64]))],  # the tail; order; |z| as if it were normal
    "11.3": lambda r: [[1.0, np.pi / 2 / 2**0.5], r[::-1], r * 5**0.5, [1.0, 1.0]],  # in z; order; not divided
    "11.4": lambda r: [np.arange(1, 8) / 8, r[::-1], 1 - r[::-1]],  # even in t; order; from the other end
}

"""Of the exercises of page 27, from the right answer, what one gets by a typical slip."""

import numpy as np

WRONG = {
    "27.1": lambda r: [64 - r, 64 + (r - 64) * np.log(2), r[::-1]],  # the bits that are left; nats; order
    "27.2": lambda r: [r + np.log(2), -r, r[::-1], [0.42 + 0.61, 0.65]],  # log 2 forgotten; sign; order; against NADE
    "27.3": lambda r: [r / 4, r**0.5, r[::-1], [r[0], r[1] / 2]],  # one error; a root; order; one variance
    "27.4": lambda r: [r - [271.7, 271.7, 0], r + [0, 0, 135.9], r * [1, 1, -1], r - [135.9, 135.9, 0]],  # sign; twice
}

"""Of the exercises of page 06, from the right answer, what one gets by a typical slip."""

import numpy as np

WRONG = {
    "06.1": lambda r: [r[::-1], r**2, r * [1.019, 1.007], r * [0.84, 0.95]],  # variances; G inverse; the longest
    "06.2": lambda r: [r[::-1], 1 - r, 12288 * r],  # order; what is not; a count
    "06.3": lambda r: [2 * r, r / np.log(2), -r, r - np.log(2 * np.pi * np.e)],  # half; bits; sign; less of the prior's
    "06.4": lambda r: [r[::-1], r**2, [0.6756, 1.4962], [0.0061, 0.0135]],  # order; variance; without the prior; as is
}

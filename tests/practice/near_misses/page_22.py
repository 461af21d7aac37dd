"""Of the exercises of page 22, from the right answer, what one gets by a typical slip."""

import numpy as np

WRONG = {
    "22.1": lambda r: [  # D; divided; the price as it was; a grey picture
        [0.3 * 768, r[1]],
        [0.3 / 768**0.5, r[1]],
        [r[0], 1.0342],
        [0.3 * 16, r[1]],
    ],
    "22.2": lambda r: [np.sqrt(r), 11.1, 4.21, 1 / r],  # of deviations; no baseline; a mean of all draws; turned over
    "22.3": lambda r: [[0.1893, 0.6174, r[2]], [*r[:2], r[2] / 2], [0, 0, r[2]]],  # posterior; one coordinate; prior
    "22.4": lambda r: [  # the posterior's own widths; variances; their own gap; order
        [0.5197, 0.5897, 0.6168],
        [r[0] ** 2, r[1] ** 2, r[2]],
        [r[0], r[1], 0.6168],
        r[[1, 0, 2]],
    ],
}

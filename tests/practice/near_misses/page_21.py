"""Of the exercises of page 21, from the right answer, what one gets by a typical slip."""

import numpy as np

WRONG = {
    "21.1": lambda r: [r[::-1], 1 - r, [0.5, 0.5], [32.5 / 64, 32.5 / 64]],  # order; what goes; by eye; >= above, too
    "21.2": lambda r: ["independent pixels", "markov network"],
    "21.3": lambda r: [
        lambda layers: layers * r(1),  # pairs cut twice counted twice
        lambda layers: r(1),  # one layer
        lambda layers: 63 * (1 - 1 / 63) ** (200 * layers),  # cut only if every layer misses it
        lambda layers: r(layers) / 63,  # the probability
    ],
    "21.4": lambda r: [-r, r / np.log(2), r + np.log(8), r / 4],  # sign; bits; all that is paid; a bit
    "21.5": lambda r: [
        lambda r: 1.0,  # a mixture
        lambda p: 2 * p**2 + 2 * (1 - p) ** 2,  # each order's second pixel, for both
        lambda p: np.log(r(p)),
        lambda p: r(p) / 2,
    ],
}

"""Of the exercises of page 04, from the right answer, what one gets by a typical slip."""

import numpy as np

WRONG = {
    "04.1": lambda r: [2 * r, -r, r[::-1]],  # without the half; sign; order
    "04.2": lambda r: [lambda t: r(t) + 1, lambda t: -r(t), lambda t: 2 - t],  # the centre's distance; sign
    "04.3": lambda r: [r[::-1], 3 * r, [r[0], r[1] - r[0]], np.sqrt(r)],  # order; a sum; the spread alone; a root
}

"""Of the exercises of page 16, from the right answer, what one gets by a typical slip."""

import numpy as np

WRONG = {
    # nothing known; value 0; another order; a C known
    "16.1": lambda r: [[0.4, 0.3, 0.275], 1 - r, r[::-1], [0.629, 0.079, 0.109]],
    "16.2": lambda r: [[1, 1, 8, 2, 3], r[::-1], r + 1, [1, 2, 8, 12, 12]],  # the page's order; rows; D keeps L too
    "16.3": lambda r: [25, 32, 57, 80],  # promised; those about S; both added; all
    "16.4": lambda r: [-r, r[::-1], r**2],  # sign; order; squared
    "16.5": lambda r: [lambda s: -r(s), lambda s: r(np.sqrt(s)), lambda s: r(0.3)],  # P itself; sigma for its square
}

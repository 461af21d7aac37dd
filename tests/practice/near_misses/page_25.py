"""Of the exercises of page 25, from the right answer, what one gets by a typical slip."""

import numpy as np

WRONG = {
    "25.1": lambda r: [lambda a: a, lambda a: np.log1p(np.exp(-a)) - np.log(2), lambda a: 1 - np.exp(a)],  # sign
    "25.2": lambda r: [1 / r, r[[1, 0, 2]], [3.0, 3.0, 3.0], [1.0, 1.0, 3.0]],  # a - log 3; order; all alike
    "25.3": lambda r: [-r, -2.0, 2.0, 1.0],  # the other mode; its top; the generator's mean
}

"""Of the exercises of page 03, from the right answer, what one gets by a typical slip."""

import numpy as np

WRONG = {
    "03.1": lambda r: [2 * r, r / 2, -r],  # without the half; twice; sign
    "03.2": lambda r: [r[::-1], r / 2, r - 0.5**2],  # order; noise not squared; w^2 alone
    "03.3": lambda r: [[1.0, 1.0], r - 1, np.sqrt(r), r[::-1]],  # exact samples; the excess; the divisor of z; order
}

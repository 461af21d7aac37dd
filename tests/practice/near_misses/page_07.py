"""Of the exercises of page 07, from the right answer, what one gets by a typical slip."""

import numpy as np

WRONG = {
    "07.1": lambda r: [
        lambda kappa, share: r(kappa, share)[::-1],  # order
        lambda kappa, share: [kappa / share**2 - 1, r(kappa, share)[1]],  # steps a draw
        lambda kappa, share: [1 / (kappa / share - 1), 1 / (1 - share)],  # the share not squared
        lambda kappa, share: [r(kappa, share)[0], 1 - share**2],  # the exact one over the chain's
    ],
    "07.2": lambda r: [1 - r, 0.5, 0.517, 1.0],  # the other peak; equal shares; chains from the prior; from one peak
    "07.3": lambda r: [2 * r, r / 2, r**2, -r],  # p / det G; its fourth root; the square of the length; sign
    "07.4": lambda r: [
        lambda leaps: r(leaps)[::-1],  # order
        lambda leaps: 2 * np.sin(np.array([np.pi / 2, 2 * np.pi]) / leaps),  # theta for half of it
        lambda leaps: np.array([np.pi / 2, 2 * np.pi]) / leaps,  # without the steps' error
        lambda leaps: 2 * np.sin(np.array([np.pi / 2, np.pi]) / leaps),  # half a turn: on the other side
    ],
}

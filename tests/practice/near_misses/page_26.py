"""Of the exercises of page 26, from the right answer, what one gets by a typical slip."""

WRONG = {
    "26.1": lambda r: [[0.0, 1.0, -1.0], [3.1, *r[1:]], r[[0, 2, 1]]],  # the bias forgotten; not normalised; order
    "26.2": lambda r: [r**2, [0.25, 1 / 16, 1 / 64], r[::-1], r / 2**0.5],  # no root; one; order; without the last term
    "26.3": lambda r: [[320, 320, 40], [200, 320, 40], [64, 25, 1]],  # layer as batch; axes exchanged; of one group
    "26.4": lambda r: [r**3, r**1.5, 1 / r],  # the ratio; a square root; upside down
}

"""Of the exercises of page 10, from the right answer, what one gets by a typical slip."""

WRONG = {
    "10.1": lambda r: [2 * r, -r, 0.0],  # without the half; sign; as if whitened
    "10.2": lambda r: [r[::-1], 1 - r, [r[1]] * 3],  # order; the pixels that are not grey; the scale forgotten
    "10.3": lambda r: [
        [1 / 1.1, 1.0, 1.1**0.5],  # the posterior's variance for that of the means
        [r[0], 1 + r[0], r[2]],  # the prior added
        [r[0], r[1], 1 / r[0]],  # no root
    ],
    "10.4": lambda r: [r[::-1], r / [2, 1], r / [1, 2], [r.sum(), r[1]]],  # order; one side; one side; all of it
}

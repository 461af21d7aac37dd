"""Of the exercises of page 28, from the right answer, what one gets by a typical slip."""

WRONG = {
    "28.1": lambda r: [[0.25, -13.8], [r[0], -118.1], r[::-1]],  # the other half's own choice; the half that chose
    "28.2": lambda r: [[0.189, 0.617, r[2], r[3]], r[[2, 3, 0, 1]], r**2, [*r[:2], *r[2:] ** 0.5]],  # the posterior's
    "28.3": lambda r: [4 * r, 2 * r, r**0.5],  # without the half; squared wrongly; a root
    "28.4": lambda r: [r / 2, r[::-1], [r[2]] * 3, 1 - r],  # the better ones alone; order; all seen
}

"""Of the exercises of page 02, from the right answer, what one gets by a typical slip."""

WRONG = {
    "02.1": lambda r: [lambda s: 1 / (1 - s**2 / 4), lambda s: 1 / (2 - s), lambda s: 0.5],  # with the half; s; s -> 0
    "02.2": lambda r: [r * [0.5, 1, 1, 1], r + [0, 0, 1, 0], r + [0, 0, 0, 1], r * [1, 0.5, 1, 1]],
    "02.3": lambda r: [2.0, -r, r / 2, 1.0],  # the arc; sign; half; a radius
}

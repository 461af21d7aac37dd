"""Of the exercises of page 12, from the right answer, what one gets by a typical slip."""

WRONG = {
    "12.1": lambda r: [-r, r / 2**0.5, r[::-1]],  # sign; both errors of one size and added up; order
    "12.2": lambda r: [2 * r, -r, r[::-1]],  # without the half; sign; order
    "12.3": lambda r: [
        lambda n: 1 / r(n),  # train over test
        lambda n: 1 + 1 / n,  # as if train were v
        lambda n: n / (n - 1),  # as if test were v
        lambda n: 1.0,
    ],
    "12.4": lambda r: [r / 2, r[::-1], -r, [0.0, 0.0]],  # one direction; order; exact less lattice; no error
}

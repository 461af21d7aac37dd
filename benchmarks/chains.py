"""The chain of `fit` by default on the eleven faces, beside the one that it had before, without a correction.

    python -m benchmarks.chains cpu 64 32 0 gauss_newton

is one run, in a process of its own, which prints the seconds since it began and the error of every iteration.
"""

import json
import os
import sys

import numpy as np

from benchmarks.learning import ours, product_rate, reached, run, told
from benchmarks.timing import Section, Settings, used_by_others

CHAINS = {  # None for the default
    "Gauss-Newton MALA, one step of 1": None,
    "Gauss-Newton Langevin, three steps of 0.5": "gauss_newton",
}
SEEDS, ERRORS = (0, 1), (0.02, 0.006)


def chains(settings: Settings) -> Section:
    """Each chain learns once from each seed, in turn."""
    device, (size, width) = "cuda" if settings.gpu else "cpu", (16, 4) if settings.quick else (64, 32)
    product, busy, curves, rows = product_rate(), [], {}, []
    for seed in SEEDS:
        for name, sampler in list(CHAINS.items())[:: -1 if seed % 2 else 1]:
            busy.append(used_by_others())
            command = [sys.executable, "-m", "benchmarks.chains", device, str(size), str(width), str(seed)]
            curves[f"{name}, seed {seed}"] = run([*command, sampler or ""])
    for name in [f"{name}, seed {seed}" for name in CHAINS for seed in SEEDS]:
        curve = curves[name]
        error = np.mean([error for _, error in curve[-10:]])
        rows.append([name, *(told(reached(curve, e)) for e in ERRORS), f"{curve[-1][0]:.1f} s", f"{error:.5f}"])
    note = (
        f"`abp.fit` on the faces, width {width}, {size} x {size}, all else by default; seconds with compilation, "
        f"nothing ready-made; the error is the mean of the last ten iterations. A product of 2048 x 2048 matrices ran "
        f"at {product:.0f} GFLOP/s before. Others used {max(busy):.0%} of the processor."
    )
    return Section("The chain", note, ["", *(f"to {e}" for e in ERRORS), "in all", "error"], rows, curves)


if __name__ == "__main__":
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to standard error
    device, size, width, seed, sampler = sys.argv[1:]
    curve = ours(device, int(size), int(width), "float32", int(seed), sampler=sampler or None)
    print(json.dumps(curve), file=answer)

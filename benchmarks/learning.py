"""From first weights to a small error on the eleven faces: ours by default beside PyTorch with the exercise's chain.

    python -m benchmarks.learning cpu 64 64 float32

is ours, in a process of its own, which prints the seconds since it began and the error of every iteration.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from flax import nnx

import abp_jax as abp
from benchmarks.iteration import Exercise
from benchmarks.timing import Section, Settings, compiled, seconds_of, used_by_others

ERRORS = (0.05, 0.02, 0.006)
PEERS = {"adam": "PyTorch, the exercise's Adam", "muon": "PyTorch, our Muon"}
PRECISIONS = {  # dtype of the generator, jax's precision of products
    "TensorFloat-32, as jax has it on a GPU": ("float32", {}),
    "float32 throughout": ("float32", {"JAX_DEFAULT_MATMUL_PRECISION": "highest"}),
    "bfloat16 between z and the image": ("bfloat16", {}),
}


def ours(
    device: str, size: int, width: int, dtype: str, seed: int = 0, **options: str | None
) -> list[tuple[float, float]]:
    """Returns (seconds, error) of every iteration of `fit` by its defaults, or with options, compilation included."""
    jax.config.update("jax_platforms", device)
    jax.config.update("jax_enable_compilation_cache", False)
    images, begin, calls = abp.load_lion_tiger(size=size), time.perf_counter(), []
    generator = abp.ConvGenerator(image_size=size, width=width, dtype=np.dtype(dtype), rngs=nnx.Rngs(seed))
    note = lambda done, snapshot: calls.append((done, time.perf_counter() - begin))
    result = abp.fit(generator, images, key=jax.random.key(seed), progress=False, callback=note, **options)
    done, seconds = zip(*calls, strict=True)  # a call is several iterations: as if each took as long
    times = np.interp(np.arange(len(result.losses)) + 1, done, seconds)
    return [(float(t), float(error)) for t, error in zip(times, result.losses, strict=True)]


def run(command: list[str], **more: str) -> list[tuple[float, float]]:
    """Returns what such a process prints. Its threads sleep while they wait."""
    env = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"} | more
    return json.loads(subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True).stdout)


def reached(curve: list[tuple[float, float]], error: float) -> tuple[int, float] | None:
    """Returns after how many iterations and seconds an error is reached first, or None."""
    return next(((i + 1, seconds) for i, (seconds, e) in enumerate(curve) if e <= error), None)


def told(found: tuple[int, float] | None) -> str:
    """Returns what `reached` found, in words."""
    return f"{seconds_of(found[1])}, {found[0]} iterations" if found else "not reached"


def rows_beside(curves: dict[str, list[tuple[float, float]]]) -> list[list[str]]:
    """Returns a row for each contestant, beside the first one."""
    rows, first = [], next(iter(curves.values()))
    for name, curve in curves.items():
        cells = []
        for error in ERRORS:
            found, of_ours = reached(curve, error), reached(first, error)
            beside = f", {found[1] / of_ours[1]:.2g} times ours" if found and of_ours and curve is not first else ""
            cells.append(told(found) + beside)
        rows.append([name, seconds_of(curve[0][0]), *cells, f"{min(e for _, e in curve):.4f} of {len(curve)}"])
    return rows


def learning(settings: Settings) -> Section:
    """Each contestant learns once, one after the other; those in PyTorch stop at the smallest of ERRORS."""
    device, (size, width) = "cuda" if settings.gpu else "cpu", (16, 4) if settings.quick else (64, 64)
    busy, curves = [used_by_others()], {}
    product = product_rate()
    command = [sys.executable, "-m", "benchmarks.learning", device, str(size), str(width), "float32"]
    curves["ours, by default"] = run(command)
    with tempfile.TemporaryDirectory() as folder:
        exercise, file = Exercise(settings, folder), Path(folder) / "weights.npz"
        for optimizer, name in PEERS.items() if exercise.forms else ():
            busy.append(used_by_others())
            command = [sys.executable, "-m", "benchmarks.peer_torch", "eager", str(file), device]
            curves[name] = run([*command, f"learn by {optimizer}"])
    rows = rows_beside(curves)
    note = (
        f"Width {width}, {size} x {size}, the same first weights and z. Ours: compilation included, nothing "
        "ready-made. PyTorch: eager, 30 unadjusted Langevin steps of 0.05 an iteration, the best of eight pairs of "
        "settings. It learns by Adam at 0.001, at most 250 iterations, or by torch.optim.Muon, kernels as the matrices "
        "that ours are, at our rates and decay, 200 iterations; it stops at the last error of the table. A product of "
        f"2048 x 2048 matrices ran at {product:.0f} GFLOP/s before. Once each; others used {max(busy):.0%} of the "
        "processor."
    )
    columns = ["", "first iteration", *(f"to {error}" for error in ERRORS), "least error"]
    return Section("From the start to a small error", note, columns, rows, curves)


def precision(settings: Settings) -> Section:
    """Ours by default, with products and activations rounded in three ways. Once each, one after the other."""
    device, (size, width) = "cuda" if settings.gpu else "cpu", (16, 4) if settings.quick else (64, 64)
    busy, curves, rows = [], {}, []
    for name, (dtype, more) in PRECISIONS.items():
        busy.append(used_by_others())
        command = [sys.executable, "-m", "benchmarks.learning", device, str(size), str(width), dtype]
        curves[name] = curve = run(command, **more)
        cells = [told(reached(curve, error)) for error in ERRORS]
        middle = len(curve) // 2
        per_iteration = (curve[-1][0] - curve[middle][0]) / (len(curve) - 1 - middle)
        rows.append([name, seconds_of(per_iteration), *cells, f"{min(e for _, e in curve):.5f} of {len(curve)}"])
    note = (
        f"Width {width}, {size} x {size}, the same first weights and z; seconds with compilation, nothing ready-made, "
        "but an iteration: the mean over the second half of the run. W, z and the whitening are float32 in each. Once "
        f"each; others used {max(busy):.0%} of the processor."
    )
    columns = ["", "an iteration", *(f"to {error}" for error in ERRORS), "least error"]
    return Section("Rounding", note, columns, rows, curves)


def product_rate() -> float:
    """Returns the GFLOP/s of a product of two matrices."""
    matrix, product = jax.random.normal(jax.random.key(0), (2048, 2048)), jax.jit(jax.numpy.matmul)
    return 2 * 2048**3 / compiled(lambda: product(matrix, matrix).block_until_ready())() / 1e9


if __name__ == "__main__":
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to standard error
    print(json.dumps(ours(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])), file=answer)

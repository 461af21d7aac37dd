"""One run of `abp.fit` in a process of its own: `python -m benchmarks.growing settings` prints its time and memory."""

import json
import os
import resource
import sys

import jax
import numpy as np
from flax import nnx

import abp_jax as abp
from benchmarks.many_images import many_images
from benchmarks.tasks_jax import matrix_product
from benchmarks.watched_fit import watched_fit
from benchmarks.workers import stopwatch


def run(
    *,
    num_images: int,
    batch_size: int,
    size: int = 64,
    width: int = 16,
    latent_dim: int = 100,
    iterations: int = 6,
    devices: int = 0,
    product: int = 0,
) -> dict:
    """Fits images made from the faces, without warm-up, and returns what that took.

    Args:
      num_images: how many.
      batch_size: images visited in an iteration.
      size: their side in pixels.
      width: of the generator.
      latent_dim: d.
      iterations: of the run; the first one is not timed.
      devices: how many to share the examples among; 0 for no mesh.
      product: side of a matrix product to time in the same process; 0 for none.

    Returns:
      Seconds of an iteration and of compilation, peak memory of the process in bytes and its share before the run, the
      errors and z.
    """
    images = many_images(num_images, size)
    generator = abp.ConvGenerator(latent_dim, size, width, rngs=nnx.Rngs(0))
    before = peak_memory()
    seen = watched_fit(
        generator,
        images,
        iterations,
        key=jax.random.key(0),
        num_warmup=0,
        batch_size=batch_size,
        whitening=num_images > latent_dim,  # fewer have no covariance to divide by
        mesh=jax.make_mesh((devices,), ("examples",)) if devices else None,
    )
    seconds = {"product_seconds": stopwatch(matrix_product(product), 10)} if product else {}
    return seconds | {
        "iteration_seconds": seen.iteration_seconds,
        "seconds": seen.seconds,
        "compile_seconds": seen.compile_seconds,
        "memory": peak_memory(),
        "memory_before": before,
        "device_memory": (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0),
        "losses": seen.result.losses.tolist(),
        "z": np.asarray(seen.result.z).tolist() if devices else [],
    }


def peak_memory() -> int:
    """Bytes that this process held at most so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # bytes there, kibibytes elsewhere


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print(json.dumps(run(**json.loads(sys.argv[1]))), file=answers)

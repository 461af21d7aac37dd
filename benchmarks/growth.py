"""How time and memory grow with the images, their pixels and the latent dimensions. A process for every row:

python -m benchmarks.growth '{"num_images": 100, "batch_size": 100}' prints its seconds and its peak memory as JSON.
"""

import json
import os
import resource
import subprocess
import sys
from functools import partial

import jax
import numpy as np
from flax import nnx

import abp_jax as abp
from benchmarks.timing import Clock, Section, Settings, alternate, seconds_of

WIDTH = 16
MORE = {  # heading: what grows, as `measure` calls it, how far, and the rest of a row
    "More images": ("num_images", (11, 100, 1000, 5000, 20000), {"batch_size": 100}),
    "Larger images": ("size", (32, 64, 128), {"num_images": 200, "batch_size": 25}),
    "More latent dimensions": ("latent_dim", (2, 8, 9, 20, 50, 100, 200), {"num_images": 400, "batch_size": 100}),
}


def many_images(num: int, size: int) -> np.ndarray:
    """Returns the faces, mirrored and lit at random, as uint8 (num, size, size, 3)."""
    random = np.random.default_rng(0)
    faces = np.uint8(np.round((np.asarray(abp.load_lion_tiger(size=size)) + 1) * 127.5))
    images = faces[random.integers(len(faces), size=num)]
    for image in images:
        image[:] = image[:, :: random.choice([-1, 1])] * random.uniform(0.5, 1)
    return images


def measure(num_images: int, batch_size: int, size: int = 64, latent_dim: int = 100) -> dict[str, float]:
    """Fits images; returns seconds for an image visited, seconds of the first iteration, bytes of peak memory."""
    images, clock = many_images(num_images, size), Clock()
    settings = dict(batch_size=batch_size, num_warmup=0, progress=False, callback=clock)
    settings["whitening"] = num_images > latent_dim  # fewer have no covariance to divide by
    generator = abp.ConvGenerator(latent_dim, size, WIDTH, rngs=nnx.Rngs(0))
    abp.fit(generator, images, 6, key=jax.random.key(0), **settings)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    memory = peak if sys.platform == "darwin" else 1024 * peak  # bytes there, kibibytes elsewhere
    return {"seconds": clock.iteration() / min(batch_size, num_images), "first": clock.calls[0][0], "memory": memory}


def grow(title: str, settings: Settings) -> Section:
    """A table of more and more, each beside the first row in the same round."""
    (name, values, rest), answers = MORE[title], {}
    if settings.quick:
        values, rest = ((8, 16), rest | {"num_images": 20}) if name == "size" else (values[:2], rest | {"size": 8})

    def task(value):
        command = [sys.executable, "-m", "benchmarks.growth", json.dumps({name: value} | rest)]
        answers[value] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        return answers[value]["seconds"]

    rounds = alternate({f"{value:,}": partial(task, value) for value in values}, min(2, settings.rounds))
    rows = [
        [f"{value:,}", rounds.median(f"{value:,}"), rounds.times(f"{value:,}", f"{values[0]:,}")]
        + [f"{answers[value]['memory'] / 1e6:,.0f} MB", seconds_of(answers[value]["first"])]
        for value in values
    ]
    note = (
        f"`abp.fit` on the faces, mirrored and lit at random, as uint8: 64 x 64, d = 100, width {WIDTH}, default "
        f"sampler (another one up to d = 8), whitening where n > d; {', '.join(f'{k} {v}' for k, v in rest.items())}. "
        f"Memory: the peak of the process. First iteration: with compilation. {rounds.conditions()}"
    )
    columns = [name, "seconds for an image visited", "times the first row", "memory", "first iteration"]
    return Section(title, note, columns, rows, rounds.seconds | {"answers": answers})


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to standard error
    print(json.dumps(measure(**json.loads(sys.argv[1]))), file=answers)

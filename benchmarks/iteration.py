"""The exercise on its eleven faces: an iteration and its parts, ours beside stock Flax and PyTorch."""

import importlib.util
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import abp_jax as abp
from abp_jax.compilation.winograd import prepare
from benchmarks.layer import FlaxGenerator
from benchmarks.timing import Clock, Rounds, Section, Settings, alternate, compiled

SIGMA, STEP_SIZE = 0.3, 0.003  # small enough for weights that have learned nothing yet
TORCH = {"eager": "PyTorch", "compile": "torch.compile"}
ROWS = {
    "iteration": "an iteration, 30 unadjusted Langevin steps",
    "default": "an iteration, our default sampler and whitening",
    "ten steps": "ten unadjusted Langevin steps",
    "learning": "the gradient in W (PyTorch: and Adam)",
    "images": "from z to eleven images",
    "image": "from z to one image",
}


class Exercise:
    """The contestants: our generator, Flax's twin, the forms of PyTorch that can run here; the faces, and a first z.

    folder: where PyTorch finds our weights, the images and z.
    """

    def __init__(self, settings: Settings, folder: str):
        self.gpu, (size, width) = settings.gpu, (16, 4) if settings.quick else (64, 64)
        self.ours = abp.ConvGenerator(image_size=size, width=width, rngs=nnx.Rngs(0))
        self.flax = FlaxGenerator(self.ours)
        self.images, self.folder = jnp.asarray(abp.load_lion_tiger(size=size)), Path(folder)
        self.z, params = jax.random.normal(jax.random.key(0), (11, 2)), abp.generators.functional(self.ours)[1]
        weights = {f"{layer}/{name}": a for layer, arrays in params.items() for name, a in arrays.items()}
        np.savez(self.folder / "weights.npz", images=self.images, z=self.z, **weights)
        torch = importlib.util.find_spec("torch") is not None
        self.forms = [form for form in TORCH if torch and (form == "eager" or shutil.which("c++"))]

    def torch(self, form: str, action: str) -> float:
        """Returns the seconds of `peer_torch`. Its threads sleep while they wait: faster where others compute too."""
        command = [sys.executable, "-m", "benchmarks.peer_torch", form, str(self.folder / "weights.npz")]
        command += ["cuda" if self.gpu else "cpu", action]
        more = {"OMP_WAIT_POLICY": "PASSIVE", "TORCHINDUCTOR_CACHE_DIR": str(self.folder / "compiled")}
        return float(subprocess.run(command, env=os.environ | more, stdout=subprocess.PIPE, check=True).stdout)

    def iteration(self, generator: nnx.Module, **chain) -> float:
        """Returns the seconds of an iteration of `fit` with the exercise's Adam, without warm-up and compilation."""
        num, clock = 60 if self.gpu else 4 if generator is self.ours else 2, Clock()
        settings = dict(key=jax.random.key(0), num_warmup=0, progress=False, callback=clock)
        settings["optimizer"] = abp.optimizers.adam(1e-3)  # PyTorch's contestant has it too
        abp.fit(generator, self.images, num, **chain, **settings)
        return clock.iteration()

    def tasks(self, generator: nnx.Module) -> dict:
        """Returns a task for every row but the default sampler's; those without `fit` are compiled here."""
        f, params = abp.generators.functional(generator)
        keys = jax.random.split(jax.random.key(1), len(self.images))

        @jax.jit
        def chains(params, keys, z, images):
            generate = prepare(f, params, z, 10)

            def chain(key, z, y):
                log_density = lambda z: abp.model.log_joint(generate, z, y, SIGMA)
                step = lambda key, z: abp.langevin.langevin_step(key, z, log_density, STEP_SIZE)
                return abp.langevin.sample(key, z, step, 10)[0][-1]

            return jax.vmap(chain)(keys, z, images)

        learning = jax.jit(lambda params, z: abp.learning.learning_gradient(f, params, z, self.images, SIGMA))
        draw = lambda z: np.uint8(np.round(255 * abp.plots.to_display(np.asarray(abp.reconstruct(generator, z)))))
        actions = {
            "ten steps": lambda: jax.block_until_ready(chains(params, keys, self.z, self.images)),
            "learning": lambda: jax.block_until_ready(learning(params, self.z)),
            "images": lambda: draw(self.z),
            "image": lambda: draw(self.z[:1]),
        }
        plain = dict(sampler="langevin", num_steps=30, step_size=STEP_SIZE, whitening=False)
        tasks = {"iteration": partial(self.iteration, generator, **plain)}
        return tasks | {name: compiled(action) for name, action in actions.items()}

    def nominal_flops(self) -> float:
        """Of the transposed convolutions of a forward pass: 2 * 25 * in * out for each pixel of a layer's input."""
        pairs = zip(self.ours.features, self.ours.features[1:], strict=False)
        return 50 * len(self.images) * sum(16 * 4**i * a * b for i, (a, b) in enumerate(pairs))


def iteration(settings: Settings) -> Section:
    """All rows of all contestants in turn; PyTorch in a process of its own, which is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        exercise = Exercise(settings, folder)
        matrix, product = jax.random.normal(jax.random.key(0), (2048, 2048)), jax.jit(jnp.matmul)
        tasks = {"product": compiled(lambda: product(matrix, matrix).block_until_ready())}
        tasks["ours, default"] = partial(exercise.iteration, exercise.ours)
        ours, flax = exercise.tasks(exercise.ours), exercise.tasks(exercise.flax)
        for row in ours:
            tasks |= {f"ours, {row}": ours[row], f"flax, {row}": flax[row]}
            tasks |= {f"{form}, {row}": partial(exercise.torch, form, row) for form in exercise.forms}
        rounds = alternate(tasks, settings.rounds, once=[f"flax, {row}" for row in flax])
    names, done = {"flax": "stock Flax", **TORCH}, rounds.seconds
    times = lambda name, row: rounds.times(f"{name}, {row}", f"ours, {row}") if f"{name}, {row}" in done else ""
    rows = [
        [label, rounds.median(f"ours, {row}"), *(times(name, row) for name in names)] for row, label in ROWS.items()
    ]
    work = 20 * exercise.nominal_flops()
    share = statistics.median(rounds.ratios("product", "ours, ten steps")) * work / (2 * 2048**3)
    rate = 2 * 2048**3 / statistics.median(done["product"]) / 1e9
    rows[1][1] += f", {rounds.times('ours, default', 'ours, iteration')} times the row above"
    note = (
        "Width 64. Flax: the same with nnx.ConvTranspose, once. PyTorch is written by us: nn.ConvTranspose2d, "
        "gradients in z alone, fused Adam. Images: as bytes. Ten steps are nominally "
        f"{work / 1e9:.3g} GFLOP, each two forward passes: ours does them at {share:.0%} of the rate of a product of "
        f"2048 x 2048 matrices in the same rounds, {rate:.0f} GFLOP/s, with fewer products by Winograd's form. "
        f"{rounds.conditions()}"
    )
    if len(exercise.forms) < 2:
        note += " Not measured is what needs torch (pip install '.[bench]') or, to compile, a C++ compiler."
    columns = ["seconds of ours, and times as many of others", "ours", *names.values()]
    return Section("One iteration, and its parts", note, columns, rows, rounds.seconds)


def states(before: dict | None, section: dict) -> dict:
    """Returns a section with a row for every time that `iteration` was measured; `before`: it so far.

    section: of `iteration`, with its date and machine. How PyTorch compares depends on the state of the machine.
    """
    rounds = Rounds(section["measured"], 0.0)
    ours, default, forms = "ours, iteration", "ours, default", [f"{form}, iteration" for form in TORCH]
    rate = 2 * 2048**3 / statistics.median(rounds.seconds["product"]) / 1e9
    times = lambda name, reference: rounds.times(name, reference) if name in rounds.seconds else ""
    processor, jax_version = re.match("[^,]*", section["machine"])[0], re.search("jax [^,]*", section["machine"])[0]
    row = [f"{section['date']}, {processor}, {jax_version}", f"{rate:.0f} GFLOP/s", rounds.median(ours)]
    row += [times(name, ours) for name in forms] + [times(name, default) for name in forms]
    columns = ["", "a product of 2048 x 2048", "ours, 30 steps", *TORCH.values()]
    columns += [f"{name} / our default" for name in TORCH.values()]
    note = (
        "The first two rows of the table of an iteration, each time that it was measured, by the code of that day; "
        "PyTorch's seconds in multiples of ours."
    )
    rows = [other for other in (before or {}).get("rows", []) if other[:2] != row[:2]]
    return Section("One iteration in several states of a machine", note, columns, [*rows, row], {})._asdict()

"""How time and memory grow: with images, pixels, latent dimensions and devices. A fresh process for every row."""

import json
import os
import subprocess
import sys

import numpy as np
from abp_jax.checks import check_chain

from benchmarks.contestants import Settings, environment, say
from benchmarks.exercise import nominal_flops
from benchmarks.machine import with_variables
from benchmarks.report import Section, seconds_of
from benchmarks.rounds import spread
from benchmarks.workers import ROOT, TaskFailed, pause

WIDTH = 16


def measure(rows: list[dict], settings: Settings, variables: list[dict] | None = None) -> list[dict]:
    """Runs `growing` once a round for every row; where there are several rounds, its median time is kept.

    Args:
      rows: arguments of `growing.run`.
      settings: of the whole run.
      variables: of the environment, for each row.
    """
    answers = [[] for _ in rows]
    for _ in range(settings.growth_rounds):
        for answer, row, more in zip(answers, rows, variables or [{}] * len(rows), strict=True):
            answer.append(fresh_process(row, environment(settings.gpu) | more))
            described = ", ".join(f"{key} {value}" for key, value in row.items())
            say(f"  {described}: {seconds_of(answer[-1]['iteration_seconds'])} an iteration")
    medians = [spread([a["iteration_seconds"] for a in answer]).median for answer in answers]
    return [answer[-1] | {"iteration_seconds": m} for answer, m in zip(answers, medians, strict=True)]


def fresh_process(row: dict, variables: dict) -> dict:
    """Returns what `python -m benchmarks.growing` prints."""
    pause()
    command = [sys.executable, "-m", "benchmarks.growing", json.dumps(row)]
    done = subprocess.run(command, cwd=ROOT, env=with_variables(variables), stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise TaskFailed(f"a fit with {row} ended with status {done.returncode}")
    return json.loads(done.stdout)


def images(settings: Settings) -> Section:
    """More images, at the same batch."""
    counts = (11, 100, 1000, 5000, 20000)
    rows = [{"num_images": n, "batch_size": min(n, 100), "width": WIDTH} for n in counts]
    answers = measure(rows, settings)
    table = []
    for n, row, a in zip(counts, rows, answers, strict=True):
        per_image = a["iteration_seconds"] / row["batch_size"]
        grown = f"{(a['memory'] - answers[1]['memory']) / (n - counts[1]) / 1e3:.1f} kB" if n > 1000 else ""
        memory = f"{a['memory'] / 1e6:,.0f} MB"
        table.append([f"{n:,}", str(row["batch_size"]), seconds_of(per_image), memory, grown])
    note = (
        f"`abp.fit` on images of 64 x 64 made from the faces, uint8 (12.3 kB each), d = 100, default sampler, "
        f"whitening where n > d, width {WIDTH}. Peak memory is that of the whole process; for "
        "each image: what the process grew by since 100 images."
    )
    columns = ["images", "batch", "seconds for an image visited", "peak memory", "memory for each image"]
    return Section("More images", note, columns, table, _without_z(answers))


def pixels(settings: Settings) -> Section:
    """Larger images."""
    sizes = (32, 64, 128)
    rows = [{"num_images": 200, "batch_size": 25, "size": size, "width": WIDTH} for size in sizes]
    answers = measure(rows, settings)
    table = []
    for size, a in zip(sizes, answers, strict=True):
        per_image = a["iteration_seconds"] / 25
        per_pixel = seconds_of(per_image / size**2)
        memory = f"{a['memory'] / 1e6:,.0f} MB"
        table.append([f"{size} x {size}", seconds_of(per_image), per_pixel, memory, seconds_of(a["compile_seconds"])])
    note = f"200 images, batches of 25, d = 100, default sampler, width {WIDTH} (a larger image has one layer more)."
    columns = ["pixels", "seconds for an image visited", "for a pixel", "peak memory", "compilation"]
    return Section("More pixels", note, columns, table, _without_z(answers))


def latents(settings: Settings) -> Section:
    """More latent dimensions: Gauss-Newton up to 8, adapted Langevin above."""
    dimensions = (2, 8, 9, 20, 50, 100, 200)
    rows = [{"num_images": 400, "batch_size": 100, "latent_dim": d, "width": WIDTH} for d in dimensions]
    answers = measure(rows, settings)
    first = answers[0]["iteration_seconds"]
    table = [
        [str(d), _steps(d)] + [seconds_of(a["iteration_seconds"]), f"{a['iteration_seconds'] / first:.2f}"]
        for d, a in zip(dimensions, answers, strict=True)
    ]
    note = f"400 images of 64 x 64, batches of 100, default sampler, width {WIDTH}."
    columns = ["d", "steps", "seconds an iteration", "times d = 2"]
    return Section("More latent dimensions", note, columns, table, _without_z(answers))


def devices(settings: Settings) -> Section:
    """The same run shared out over forced host devices; the machine has no more cores for that."""
    counts = (1, 2, 4)
    rows = [{"num_images": 96, "batch_size": 48, "latent_dim": 10, "width": WIDTH, "devices": n} for n in counts]
    flags = os.environ.get("XLA_FLAGS", "")
    variables = [{"XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count={n}".strip()} for n in counts]
    answers = measure(rows, settings, variables)
    first, table = answers[0], []
    for n, a in zip(counts, answers, strict=True):
        losses = np.abs(np.subtract(a["losses"], first["losses"]))
        ratio = f"{a['iteration_seconds'] / first['iteration_seconds']:.2f}"
        table.append([str(n), seconds_of(a["iteration_seconds"]), ratio, f"{losses[0]:.1e}", f"{losses.max():.1e}"])
    note = (
        f"`abp.fit(..., mesh=...)` on forced host devices of the same processor, which share its cores: 96 images, "
        f"batches of 48, d = 10, width {WIDTH}, {len(first['losses'])} iterations without warm-up. Differences to one "
        "device: the first differs by rounding; chains of a network that has learned nothing yet are chaotic, "
        "and blow rounding up."
    )
    columns = ["devices", "seconds an iteration", "times one device", "first loss differs by", "any loss by at most"]
    return Section("More devices", note, columns, table, _without_z(answers))


def one_pass(settings: Settings) -> Section:
    """For a GPU: one pass over 20,000 images at the exercise's width."""
    row = {"num_images": 20000, "batch_size": 500, "width": 64, "iterations": 40, "product": settings.product}
    (a,) = measure([row], settings)
    num_steps = check_chain(100, 0.3, None, None, None).num_steps
    forwards = num_steps * 2 + 7 + 3  # of a visited image: steps, three rounds of power iteration, learning
    work = forwards * nominal_flops(64, 64, 20000)
    product = 2 * settings.product**3 / a["product_seconds"]
    share = work / a["seconds"] / product
    table = [[seconds_of(a["seconds"]), seconds_of(a["compile_seconds"]), f"{a['device_memory'] / 1e9:.1f} GB"]]
    table[0] += [f"{work / a['seconds'] / 1e12:.1f} TFLOP/s", f"{product / 1e12:.1f} TFLOP/s", f"{share:.0%}"]
    note = (
        "20,000 images of 64 x 64, d = 100, default sampler, width 64, batches of 500. Nominal work: that of "
        f"{forwards} forward passes an image. The rate of products: {settings.product}³, float32, same process."
    )
    columns = ["one pass", "compilation", "peak memory of the GPU", "rate of the work", "of products", "share"]
    return Section("One pass over 20,000 images", note, columns, table, _without_z([a]))


def _steps(latent_dim):
    chain = check_chain(latent_dim, 0.3, None, None, None)
    return f"{chain.num_steps} {chain.sampler}"


def _without_z(answers):
    return [{key: value for key, value in a.items() if key != "z"} for a in answers]

"""What watching the training of notebook 05 costs: the whole of it with and without the monitor, in turn."""

import time
from functools import partial

import jax
from flax import nnx

import abp_jax as abp
from benchmarks.contestants import Settings, say
from benchmarks.report import Section, seconds_of
from benchmarks.rounds import alternate, ratios, spread
from benchmarks.workers import pause

ITERATIONS = 600
NOTEBOOK = dict(sigma=0.3, num_steps=8, step_size=0.5, learning_rate=2e-3, weight_decay=0.4)  # as notebook 05 has it
WITHOUT, WITH = "without", "with the monitor"


def monitor(settings: Settings, iterations: int = ITERATIONS) -> Section:
    """Seconds of the training with and without the monitor, and what the monitor's own clock says."""
    images, drawn = abp.load_lion_tiger(size=settings.size), []
    generator = abp.ConvGenerator(image_size=settings.size, rngs=nnx.Rngs(0))

    def train(watched, num_iterations):
        pause()
        jax.clear_caches()  # as in a kernel that has just started
        callback = abp.TrainingMonitor(images) if watched else None
        begin = time.perf_counter()
        abp.fit(generator, images, num_iterations, key=jax.random.key(0), callback=callback, progress=False, **NOTEBOOK)
        seconds = time.perf_counter() - begin
        if watched:
            drawn.append({"seconds": sum(callback.costs), "pictures": len(callback.costs), "training": seconds})
        say(f"  {WITH if watched else WITHOUT}: {seconds:.1f} s")
        return seconds

    train(True, 21)  # compiled programs are on the disk from here on, where they are kept at all
    drawn.clear()
    tasks = {WITHOUT: partial(train, False, iterations), WITH: partial(train, True, iterations)}
    seconds = alternate(tasks, settings.rounds)
    more = spread([100 * (ratio - 1) for ratio in ratios(seconds[WITH], seconds[WITHOUT])])
    own = spread([100 * d["seconds"] / (d["training"] - d["seconds"]) for d in drawn])
    pictures = spread([d["pictures"] for d in drawn])
    rows = [
        [WITHOUT, seconds_of(spread(seconds[WITHOUT]).median)],
        [
            WITH,
            seconds_of(spread(seconds[WITH]).median),
            f"{more.median:+.1f}%",
            f"{more.low:+.1f} to {more.high:+.1f}%",
            f"{own.median:.1f}%",
            f"{pictures.median:.0f}",
        ],
    ]
    note = (
        f"`abp.fit` on the eleven faces at {settings.size} pixels with the generator and the settings of notebook 05, "
        f"{iterations} iterations from the call to the result, {settings.rounds} rounds in one process whose compiled "
        "programs are forgotten before each run. The monitor's own clock counts all that it does: snapshots, "
        "compilation of the reconstruction, drawing, PNG. Only the sending to a browser is missing here."
    )
    columns = ["", "training", "more time", "quartiles", "by the monitor's clock", "pictures"]
    return Section("Watching a training", note, columns, rows, {"seconds": seconds, "drawn": drawn})

"""What computing in bfloat16 between z and the image gains, and what it loses."""

from functools import partial

from benchmarks.contestants import Settings, jax_worker, say
from benchmarks.report import Section, range_of, seconds_of
from benchmarks.rounds import alternate, ratios, spread

SHORT_RUN = 50  # iterations


def bfloat16(settings: Settings) -> Section:
    """Our default iteration in float32 and bfloat16, and the errors after a short run."""
    workers = {dtype: jax_worker(settings, dtype=dtype) for dtype in ("float32", "bfloat16")}
    say("  compiling")
    for worker in workers.values():
        worker.ask("prepare", action="default_iteration")
    say("  timing: an iteration in float32 and bfloat16")
    tasks = {dtype: partial(worker.seconds, "default_iteration") for dtype, worker in workers.items()}
    seconds = alternate(tasks, settings.rounds)
    seconds = {dtype: [s / settings.iterations for s in values] for dtype, values in seconds.items()}
    say(f"  {SHORT_RUN} iterations in both")
    losses = {dtype: worker.ask("train", limit=SHORT_RUN)["loss"] for dtype, worker in workers.items()}
    losses["float32, another seed"] = workers["float32"].ask("train", limit=SHORT_RUN, seed=1)["loss"]
    for worker in workers.values():
        worker.close()
    ratio = spread(ratios(seconds["bfloat16"], seconds["float32"]))
    rows = [
        ["float32", seconds_of(spread(seconds["float32"]).median), "1", "", f"{losses['float32']:.4f}", ""],
        ["bfloat16", seconds_of(spread(seconds["bfloat16"]).median), f"{ratio.median:.2f}", range_of(ratio)],
        ["float32, another seed", "", "", ""],
    ]
    for row in rows[1:]:
        row += [f"{losses[row[0]]:.4f}", f"{losses[row[0]] - losses['float32']:+.4f}"]
    note = (
        f"`ConvGenerator(width={settings.width}, dtype=jnp.bfloat16)` on the eleven faces, default sampler; and the "
        f"error at the end of `abp.fit` with {SHORT_RUN} iterations. Another seed shows what chance alone changes."
    )
    columns = ["", "an iteration", "times float32", "quartiles of the ratio", f"error after {SHORT_RUN}", "difference"]
    return Section("bfloat16", note, columns, rows, {"seconds": seconds, "losses": losses})

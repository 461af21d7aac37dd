"""The time until the error is small, and the opponent's best settings for that."""

import itertools
import math
import statistics
from functools import partial

from benchmarks.contestants import TORCH, Contestants, say
from benchmarks.report import Section, seconds_of
from benchmarks.rounds import alternate, spread
from benchmarks.workers import pause

TARGET = 0.02
LIMIT = 600  # iterations of fit
NUM_STEPS = 30  # the exercise's
# Learning rates and step sizes: around the best, and up to those that diverge.
GRID = [
    *itertools.product((1e-3,), (0.03, 0.02, 0.05)),
    *itertools.product((5e-4,), (0.03,)),
    *itertools.product((2e-3,), (0.02, 0.01, 0.03, 0.05)),
]
SEARCH_LIMIT = 110  # iterations of PyTorch: longer than three times our whole run takes


def search(contestants: Contestants, limit: int = SEARCH_LIMIT) -> Section:
    """PyTorch to the target with many settings; a run ends where it can't be the best of its kind any more.

    Settings that an earlier search has measured are taken from there, so that a search can be continued.
    """
    worker = contestants.workers[contestants.torch_names()[-1]]
    runs, rows = [], []
    for learning_rate, step_size in GRID:
        settings = {"num_steps": NUM_STEPS, "step_size": step_size, "learning_rate": learning_rate}
        best = _best(runs)
        end = best["iterations"] if best and best["reached"] else limit
        run = next(
            (r for r in contestants.searched or [] if r | settings == r and (r["reached"] or r["limit"] >= end)), None
        )
        if run is None:
            pause()
            run = settings | {"limit": end} | worker.ask("train", target=TARGET, limit=end, **settings)
        runs.append(run)
        outcome = "reached" if run["reached"] else "stopped" if run["iterations"] >= end else "diverged"
        described = [f"{step_size:g}", f"{learning_rate:g}", outcome]
        rows.append([*described, str(run["iterations"]), f"{run['loss']:.4f}"])
        say(f"  search: {', '.join(rows[-1])}, {run['seconds']:.0f} s")
    note = (
        f"PyTorch, 20 iterations of warm-up, then {NUM_STEPS} plain Langevin steps, to an error of {TARGET} (the last, "
        f"and the median of five). A run is stopped at {limit} iterations, or where one before had arrived. How many "
        "iterations it takes does not depend on what else the machine does."
    )
    columns = ["step size", "learning rate", "outcome", "iterations", "last error"]
    return Section("The search for PyTorch's settings", note, columns, rows, runs)


def target(contestants: Contestants) -> Section:
    """The time to the target: fit as it is, before and after PyTorch with the best settings of the search."""
    ours, others, names = [_ours(contestants)], [], contestants.torch_names()
    best = _best(contestants.searched or [])
    if best and names:
        name = _fastest(contestants)
        label = f"PyTorch {name}, {NUM_STEPS} steps of {best['step_size']:g}, Adam {best['learning_rate']:g}"
        say(f"  to an error of {TARGET}: {label}")
        run = contestants.workers[name].ask("train", target=TARGET, limit=LIMIT, **_settings(best))
        others.append((label, run, contestants.compile_seconds[name]))
        ours.append(_ours(contestants))
    rows = [_row("ours, `abp.fit` with its defaults", ours[0], ours[0]["compile_seconds"], ours)]
    rows += [_row(*other, ours) for other in others]
    if not others:
        reason = 'no search yet: make bench ARGS="--only search target"'
        rows.append(["PyTorch", reason if names else contestants.missing[TORCH[0]]])
    note = (
        f"From the same weights and z to a mean squared error of {TARGET} (the last, and the median of five), without "
        "compilation, which is beside it. Ours is `abp.fit` with its defaults: whitening, 20 iterations of warm-up, "
        "AdamW; it runs before and after PyTorch. PyTorch gets the same start and warm-up, Adam with b1 0.5, its "
        "fastest form, and the best settings of the search below."
    )
    columns = ["", "seconds", "iterations", "seconds an iteration", "compilation", "times ours"]
    return Section(
        f"Time to an error of {TARGET}", note, columns, rows, {"ours": ours, "torch": [run for _, run, _ in others]}
    )


def whole_run(contestants: Contestants) -> Section:
    """All the iterations of the exercise, without a target."""
    runs = {"ours, `abp.fit` with its defaults": contestants.workers["ours"].ask("train", limit=LIMIT)}
    best = _best(contestants.searched or [])
    if best and contestants.torch_names():
        name = _fastest(contestants)
        run = contestants.workers[name].ask("train", limit=LIMIT, **_settings(best))
        runs[f"PyTorch {name}, {NUM_STEPS} plain steps"] = run
    note = f"{LIMIT} iterations on the eleven faces, 20 of them warm-up, without compilation."
    rows = [
        [label, seconds_of(run["seconds"]), str(run["iterations"]), f"{run['loss']:.4f}"] for label, run in runs.items()
    ]
    return Section(f"{LIMIT} iterations", note, ["", "seconds", "iterations", "last error"], rows, runs)


def _ours(contestants):
    say(f"  ours to an error of {TARGET}")
    return contestants.workers["ours"].ask("train", target=TARGET, limit=LIMIT)


def _best(runs):
    """The run that arrived first; or, where none did, that came nearest; or None."""
    order = lambda run: (0, run["iterations"]) if run["reached"] else (1, run["loss"])
    return min((run for run in runs if math.isfinite(run["loss"])), key=order, default=None)


def _settings(run):
    return {key: run[key] for key in ("num_steps", "step_size", "learning_rate")}


def _row(label, run, compile_seconds, ours):
    """A row; the time of ours is the mean of its runs."""
    our_seconds = statistics.mean(one["seconds"] for one in ours)
    total = our_seconds if run in ours else run["seconds"]
    seconds = [seconds_of(total), str(run["iterations"]), seconds_of(run["iteration_seconds"])]
    row = [label, *seconds, seconds_of(compile_seconds), f"{total / our_seconds:.2f}"]
    if not run["reached"]:
        row[0] += f": not there yet, error {run['loss']:.4f}"
        row[1], row[2], row[5] = (f"more than {cell}" for cell in (row[1], row[2], row[5]))
    return row


def _fastest(contestants):
    """The form of PyTorch whose iteration takes least."""
    say("  which form of PyTorch is the fastest")
    rounds = min(2, contestants.settings.rounds)
    names = contestants.torch_names()
    tasks = {name: partial(contestants.workers[name].seconds, "iteration") for name in names}
    seconds = {name: spread(values).median for name, values in alternate(tasks, rounds).items()}
    return min(seconds, key=seconds.get)

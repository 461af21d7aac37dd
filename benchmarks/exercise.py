"""The exercise on its eleven faces, side by side: an iteration, a forward pass, a gradient in z, an image."""

import math
from functools import partial

from benchmarks.contestants import FLAX_STEPS, LABELS, Contestants, say
from benchmarks.report import Section, range_of, seconds_of
from benchmarks.rounds import alternate, ratios, spread

COLUMNS = ["contestant", "seconds", "times ours", "quartiles of the ratio"]


def timed(contestants: Contestants, action: str, repeats: int = 1, flax_rounds: int = 2) -> dict[str, list[float]]:
    """Rounds of one action, of all contestants that have it."""
    say(f"  timing: {action}")
    tasks = {name: partial(w.seconds, action, repeats) for name, w in contestants.workers.items()}
    return alternate(tasks, contestants.settings.rounds, fewer={"flax": flax_rounds})


def iteration(contestants: Contestants) -> Section:
    """One iteration of the exercise. Flax's is put together from a few of its steps and a learning step."""
    say("  timing: iteration")
    settings = contestants.settings
    tasks = {"default": partial(contestants.workers["ours"].seconds, "default_iteration")}
    for name, worker in contestants.workers.items():
        tasks[name] = partial(worker.seconds, "iteration") if name != "flax" else partial(_flax_iteration, worker)
    seconds = alternate(tasks, settings.rounds, fewer={"flax": 1})
    counts = {name: 1 if name == "flax" else settings.iterations for name in seconds}
    seconds = {name: [s / counts[name] for s in values] for name, values in seconds.items()}
    note = (
        "Alternating back-propagation on the eleven faces: inference, then a learning step with Adam. The ratio says "
        f"how many times ours with plain steps is faster. PyTorch is written by us: nn.ConvTranspose2d, autograd in z "
        "alone, fused Adam; its threads sleep while they wait, which makes it up to three times faster "
        f"wherever something else computes. Flax's iteration is 30 times a step (of a chain of {FLAX_STEPS}) plus a "
        "learning step, each measured. Compilation: the first iteration, once a run."
    )
    compilation = {name: seconds_of(s) for name, s in contestants.compile_seconds.items() if name != "flax"}
    rows = _rows(contestants, seconds, lambda name: [compilation.get(name, "")])
    return Section("One iteration", note, [*COLUMNS, "first iteration"], rows, seconds)


def _flax_iteration(worker):
    return 30 / FLAX_STEPS * worker.seconds("gradient") + worker.seconds("learning")


def _rows(contestants, seconds, more=lambda name: []):
    """A row for each contestant: seconds, and ratios to ours round by round."""
    rows = []
    for name, label in LABELS.items():
        if name in seconds:
            ratio = spread(ratios(seconds[name], seconds["ours"]))
            ours = ["1", ""] if name == "ours" else [f"{ratio.median:.2f}", range_of(ratio)]
            rows.append([label, seconds_of(spread(seconds[name]).median), *ours, *more(name)])
        elif name in contestants.missing:
            rows.append([label, contestants.missing[name]])
    return rows


def forward(contestants: Contestants) -> Section:
    """A forward pass of the eleven images."""
    seconds = timed(contestants, "forward", repeats=20 if contestants.settings.gpu else 3)
    return Section("A forward pass of eleven images", "", COLUMNS, _named(_rows(contestants, seconds)), seconds)


def gradient(contestants: Contestants) -> Section:
    """The gradient in z of eleven images, inside a chain, and how near it comes to the rate of matrix products."""
    flops = nominal_flops(contestants.settings.width, contestants.settings.size, 11)
    products = {f"product {name}": w for name, w in contestants.workers.items() if name not in ("flax", "default")}
    steps = {name: FLAX_STEPS if name == "flax" else 10 for name in contestants.workers}
    say("  timing: gradient, and a matrix product")
    tasks = {name: partial(w.seconds, "gradient") for name, w in contestants.workers.items()}
    tasks |= {name: partial(w.seconds, "product", 3) for name, w in products.items()}
    seconds = alternate(tasks, contestants.settings.rounds, fewer={"flax": 2})
    seconds = {name: [s / steps.get(name, 1) for s in values] for name, values in seconds.items()}
    rates = {name: rate(seconds[name], 2 * contestants.settings.product**3) for name in products}
    gradients = {name: rate(values, 2 * flops) for name, values in seconds.items() if name in steps}

    def shares(name):
        own = rates.get(f"product {name}")
        jax_share = spread(ratios(gradients[name], rates["product ours"])).median
        return [f"{jax_share:.0%}", f"{spread(ratios(gradients[name], own)).median:.0%}" if own else ""]

    note = (
        f"One step of a chain. Nominal work: {2 * flops / 1e9:.2f} GFLOP, twice a forward pass. Its rate is given as a "
        f"share of that of a {contestants.settings.product}³ product of float32, timed in the same rounds: "
        + ", ".join(
            f"{name.split(' ')[1]} {spread(values).median / 1e9:,.0f} GFLOP/s" for name, values in rates.items()
        )
        + " (ours is jax). A share above 100% means less work than nominal, or a product that ran below its rate."
    )
    columns = [*COLUMNS, "share of jax's product", "share of its own product"]
    rows = _rows(contestants, {name: seconds[name] for name in steps}, shares)
    return Section("The gradient in z inside a chain", note, columns, _named(rows), seconds)


def rate(seconds: list[float], flops: float) -> list[float]:
    """Floating point operations per second, round by round."""
    return [flops / s for s in seconds]


def nominal_flops(width: int, size: int, num_images: int) -> float:
    """Of the transposed convolutions of a forward pass: 2 * 25 * in * out for each pixel of a layer's input."""
    sides = [4 * 2**i for i in range(round(math.log2(size / 4)))]
    inputs = [width * size // (2 * side) for side in sides]  # channels
    outputs = [*inputs[1:], 3]
    return 50 * num_images * sum(side**2 * a * b for side, a, b in zip(sides, inputs, outputs, strict=True))


def learning(contestants: Contestants) -> Section:
    """The gradient in W of the eleven images; for PyTorch Adam's update too, which takes little."""
    seconds = timed(contestants, "learning")
    note = "The gradient in W. PyTorch's row includes Adam."
    return Section("Learning", note, COLUMNS, _named(_rows(contestants, seconds)), seconds)


def slider(contestants: Contestants) -> Section:
    """One image for the slider."""
    seconds = timed(contestants, "render", repeats=20)
    note = (
        f"From z to the numbers of one image of 64 x 64, width {contestants.settings.width}, as a slider asks for it."
    )
    return Section(
        f"One image, width {contestants.settings.width}", note, COLUMNS, _named(_rows(contestants, seconds)), seconds
    )


def _named(rows):
    """These rows have no chain: only the library counts."""
    return [[row[0].split(",")[0], *row[1:]] for row in rows]

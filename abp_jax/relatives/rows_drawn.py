"""A table of `rows` as a figure: samples, log p on an axis and as a number, and what it cost, one line a model."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from abp_jax.plots import tile
from abp_jax.relatives.rows import Known, Row, Rows, over_seeds, paired

HEIGHT = 0.38  # of a line, in inches
WITH_Z, WITHOUT = "#e4572e", "#2e6f95"
REACH = 18.0  # nats below the best line up to which the axis goes, by default


def table(rows: Rows, title: str, num_samples: int = 6, reach: float = REACH) -> Figure:
    """Draws all rows, the best on top, those with a decoder of z in red.

    A dot is a seed, the bar is the standard error over pictures; a bracket is as long as it is wide, a bound has an
    arrow to the right. What lies further than `reach` nats below the best is at the left rim.

    Returns the figure.
    """
    ranked = rows.ranked()
    figure = plt.figure(figsize=(10.8, HEIGHT * (len(ranked) + 3.2)), layout="none")
    names, dots, numbers = (_column(figure, *edges, len(ranked)) for edges in ((0, 0.4), (0.4, 0.6), (0.6, 0.995)))
    names.text(0, -1.7, title, fontsize=12, weight="bold", va="center")
    for y, row in enumerate(ranked):
        _name(names, y, row, num_samples)
        _numbers(numbers, y, row)
    _headings(numbers, ranked[0])
    _dots(dots, ranked, reach)
    return figure


def differences(ax: Axes, rows: Rows, reference: str, reach: float = REACH) -> dict[str, Known]:
    """Draws log p of every row less that of the reference, image by image: the mean, with two standard errors.

    Returns the differences, by name, the highest first.

    Raises:
      ValueError: the reference is not among the rows.
    """
    found = {row.name: paired(row, rows[reference]) for row in rows.ranked()}
    lowest = max(min(gap.mean for gap in found.values()), max(gap.mean for gap in found.values()) - reach) - 0.6
    for y, (name, gap) in enumerate(found.items()):
        color = WITH_Z if rows[name].has_z else WITHOUT
        if gap.mean < lowest:
            _at_the_rim(ax, lowest, y, gap.mean, color, f"{gap.mean:+.1f}")
        else:
            ax.errorbar(gap.mean, y, xerr=2 * gap.error, fmt="o", color=color, markersize=5, elinewidth=1.6)
            if gap.spread > 0:
                ax.plot(gap.mean + gap.spread * np.array([-1, 1]), [y, y], color=color, alpha=0.25, linewidth=7)
    ax.axvline(0, color="0.4", linewidth=1)
    ax.set(yticks=range(len(found)), yticklabels=[rows[name].title for name in found], ylim=(len(found) - 0.4, -0.6))
    ax.set(xlim=(lowest - 0.4, None), xlabel=f"nats above {rows[reference].title}")
    ax.grid(axis="y", visible=False)
    return found


def _column(figure: Figure, left: float, right: float, num: int):
    """Axes between two edges, whose unit of y is a line: 0 is the first, -1 the headings; 1.2 below are for ticks."""
    total = num + 3.2
    ax = figure.add_axes((left, 1.2 / total, right - left, 1 - 1.2 / total))
    ax.set(ylim=(num - 0.5, -2.5), xlim=(0, figure.get_figwidth() * (right - left) / HEIGHT))
    ax.set_axis_off()
    return ax


def _name(ax: Axes, y: int, row: Row, num_samples: int):
    width, pictures = ax.get_xlim()[1], row.samples[0] if row.means is None else row.means[0]
    side = round(pictures.shape[-1] ** 0.5)
    ink = 1 - 2 * pictures if row.means is None else -pictures
    strip = tile(ink[:num_samples].reshape(-1, side, side, 1), num_samples, gap=1)
    height = 0.84
    long = height * strip.shape[1] / strip.shape[0]
    ax.text(0, y, row.title, va="center", color=WITH_Z if row.has_z else "0.1", fontsize=10)
    ax.imshow(strip, extent=(width - long - 0.4, width - 0.4, y + height / 2, y - height / 2), interpolation="nearest")
    ax.set(aspect="auto", ylim=ax.get_ylim(), xlim=(0, width))


PLACES = {"nats": 0.16, "± pictures": 0.345, "± seeds": 0.495, "how": 0.54, "parameters": 0.86, "seconds": 1.0}


def _numbers(ax: Axes, y: int, row: Row):
    known, jaws = over_seeds(row), (row.high - row.log_probs).mean()
    spread = "–" if not known.spread > 0 else f"{known.spread:.2f}"
    sign = {"exact": "", "bracket": "", "bound": r"$\geq$ "}[row.kind]
    how = f"{row.kind}, {jaws:.2f}" if row.kind == "bracket" else row.kind
    if row.sigma is not None:
        how = "several" if np.isnan(row.sigma).all() else f"{row.sigma.mean():.3f}"
    told = (
        f"{sign}{known.mean:.2f}",
        f"{known.error:.2f}",
        spread,
        how,
        f"{row.parameters:,}",
        _time(row.seconds.mean()),
    )
    for (name, x), text in zip(PLACES.items(), told, strict=True):
        side, weight = "left" if name == "how" else "right", "bold" if name == "nats" else "normal"
        ax.text(x * ax.get_xlim()[1], y, text, va="center", ha=side, weight=weight, fontsize=9.5)


def _time(seconds: float):
    return f"{seconds:.1f}" if seconds < 10 else f"{seconds:.0f}"


def _headings(ax: Axes, row: Row):
    for name, x in PLACES.items():
        side = "left" if name == "how" else "right"
        shown = r"$\sigma$" if name == "how" and row.sigma is not None else name
        ax.text(x * ax.get_xlim()[1], -1.0, shown, va="center", ha=side, fontsize=9, color="0.4")


def _dots(ax: Axes, ranked: list[Row], reach: float):
    best = over_seeds(ranked[0]).mean
    lowest = max(over_seeds(ranked[-1]).mean, best - reach) - 1
    ax.set_axis_on()
    for y, row in enumerate(ranked):
        known, color = over_seeds(row), WITH_Z if row.has_z else WITHOUT
        if known.mean < lowest:
            _at_the_rim(ax, lowest, y, known.mean, color, "")
            continue
        ax.errorbar(known.mean, y, xerr=known.error, fmt="none", ecolor=color, alpha=0.45, elinewidth=5)
        ax.plot(row.log_probs.mean(axis=1), np.full(len(row.seeds), y), "o", color=color, markersize=4.5)
        if row.kind == "bracket":
            ax.plot([known.mean, row.high.mean()], [y, y], color="black", linewidth=1.4)
        if row.kind == "bound":
            ax.annotate(
                "", (known.mean + 0.12 * reach, y), (known.mean, y), arrowprops={"arrowstyle": "->", "color": color}
            )
    ax.set(xlim=(lowest - 0.04 * reach, best + 0.14 * reach), yticks=[])
    ax.grid(visible=False)
    ax.vlines(ax.get_xticks()[1:-1], -0.6, len(ranked) - 0.5, color="#e6e6e6", linewidth=0.8, zorder=0)
    ax.tick_params(labelsize=9)
    ax.set_xlabel("nats an image", fontsize=9.5, labelpad=2)
    ax.spines["left"].set_visible(False)


def _at_the_rim(ax: Axes, lowest: float, y: int, value: float, color: str, text: str):
    ax.plot(lowest, y, "<", color=color, markersize=6)
    ax.annotate(text, (lowest, y), (8, 0), textcoords="offset points", va="center", fontsize=9, color="0.3")

"""Networks as figures: the evidence explorer without a kernel, and graphs with some nodes and lines picked out."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from abp_jax.relatives.widgets.beliefs import ROW, TITLE, Network

ACCENT, BAR, KNOWN, LINE, TICK = "#c2001f", "#2e6f95", "#1c2430", "#aeb7c2", "#e8a020"
LEFT, RIGHT = 60, 50  # of the room for a bar, in pixels


def draw_beliefs(network: Network, evidence: Mapping[str, int], ax: Axes, query: str | None = None) -> Axes:
    """Draws what the explorer shows: bars of p(value | evidence) with ticks at p(value), and the open trails.

    evidence: node -> index of its value; query: the node that is asked about, or None, which draws no trails.

    Raises:
      ValueError: a node or a value that the network doesn't have.
    """
    beliefs = network.beliefs(evidence, query or network.nodes[0])
    trails = [trail for found in beliefs.trails.values() for trail in found] if query else []
    steps = {step for trail in trails for step in zip(trail, trail[1:], strict=False)}
    for (a, b), (x1, y1, x2, y2) in network.arrows().items():
        _arrow(ax, (x1, y1), (x2, y2), bool({(a, b), (b, a)} & steps))
    boxes = network.boxes()
    for node, (x, y, width, height) in boxes.items():
        known, asked = node in evidence, node == query
        edge = {"edgecolor": ACCENT if asked else LINE, "linewidth": 1.8 if asked else 0.9}
        ax.add_patch(FancyBboxPatch((x, y), width, height, "round,pad=0,rounding_size=6", facecolor="white", **edge))
        if known:
            ax.add_patch(Rectangle((x + 2, y + 2), width - 4, TITLE - 7, color=KNOWN, linewidth=0))
        color = "white" if known else ACCENT if asked else KNOWN
        title = network.titles[node] if network.titles[node] == node else f"{network.titles[node]} ({node})"
        ax.text(x + 8, y + 12, title, color=color, fontsize=8.5, fontweight="bold", va="center")
        room, rows = (
            width - LEFT - RIGHT,
            zip(network.values[node], beliefs.posterior[node], network.prior[node], strict=True),
        )
        for k, (value, p, prior) in enumerate(rows):
            middle = y + TITLE + ROW * (k + 0.5) - 3
            ax.text(x + 8, middle, value, fontsize=8, va="center")
            ax.add_patch(Rectangle((x + LEFT, middle - 6), room * p, 12, color=KNOWN if known else BAR, linewidth=0))
            ax.plot(2 * [x + LEFT + room * prior], [middle - 8, middle + 8], color=TICK, linewidth=1.6)
            ax.text(x + width - 7, middle, f"{p:.3f}", fontsize=7.5, va="center", ha="right")
    right, bottom = (max(box[k] + box[k + 2] for box in boxes.values()) for k in (0, 1))
    ax.set(xlim=(-4, right + 4), ylim=(bottom + 4, -4), aspect="equal")
    ax.set_axis_off()
    return ax


def draw_graph(
    positions: Mapping[str, Sequence[float]],
    ax: Axes,
    arrows: Iterable[tuple[str, str]] = (),
    lines: Iterable[tuple[str, str]] = (),
    *,
    known: Iterable[str] = (),
    strong: Iterable[tuple[str, str]] = (),
    dashed: Iterable[tuple[str, str]] = (),
    faint: Iterable[str] = (),
) -> Axes:
    """Draws a graph with a disc for each node.

    Args:
      positions: node -> (x, y); about one unit apart.
      arrows, lines: pairs of nodes, from the first to the second.
      known: nodes that are drawn dark; faint: nodes that are hardly drawn, and so is what ends there.
      strong, dashed: those of the arrows or lines, in either order of the pair, that are drawn in red, or dashed.
    """
    known, faint = set(known), set(faint)
    either = lambda pairs: {frozenset(pair) for pair in pairs}
    strong, dashed = either(strong), either(dashed)
    for pairs, style in ((arrows, "-|>"), (lines, "-")):
        for a, b in pairs:
            picked, broken = frozenset((a, b)) in strong, frozenset((a, b)) in dashed
            alpha = 0.25 if {a, b} & faint else 1.0
            _arrow(ax, positions[a], positions[b], picked, style, broken, alpha, shrink=12)
    for node, (x, y) in positions.items():
        color = KNOWN if node in known else "white"
        ax.plot(
            x, y, "o", markersize=21, color=color, markeredgecolor=KNOWN, alpha=0.25 if node in faint else 1, zorder=3
        )
        ink = "white" if node in known else KNOWN
        ax.text(x, y, node, color=ink, ha="center", va="center_baseline", alpha=0.3 if node in faint else 1, zorder=4)
    x, y = np.array(list(positions.values()), float).T
    ax.set(xlim=(x.min() - 0.4, x.max() + 0.4), ylim=(y.min() - 0.4, y.max() + 0.4), aspect="equal")
    ax.set_axis_off()
    return ax


def _arrow(
    ax: Axes,
    start: Sequence[float],
    end: Sequence[float],
    strong: bool,
    style: str = "-|>",
    broken: bool = False,
    alpha: float = 1.0,
    shrink: float = 0.0,
):
    color, width = (ACCENT, 2.4) if strong else (LINE, 1.3)
    ax.add_patch(
        FancyArrowPatch(
            *(start, end), arrowstyle=style, color=color, linewidth=width, linestyle="--" if broken else "-",
            mutation_scale=13, shrinkA=shrink, shrinkB=shrink, alpha=alpha, zorder=1,
        )
    )  # fmt: skip

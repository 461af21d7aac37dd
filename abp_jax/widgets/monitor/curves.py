"""The curve of the training monitor: what the run makes small, over its iterations. No pyplot."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

INK, QUIET = "#222222", "#777777"
MOST_POINTS = 1000  # of the curve, and dots in the plane


class LossCurve:
    """The mean squared error over the iterations, on a log scale."""

    name = "the error so far"

    def __init__(self, ax: Axes):
        self.ax = ax
        (self.line,) = ax.plot([], [], linewidth=1.4)
        (self.end,) = ax.plot([], [], "o", color=self.line.get_color(), markersize=5, clip_on=False)
        self._scale()
        self.wait = ax.text(0.5, 0.5, "compiling …", color=QUIET, ha="center", va="center", transform=ax.transAxes)
        ax.set(xlim=(0, 10), ylim=(0.1, 1), xlabel="iteration")
        head(ax, self.name)

    def _scale(self):
        self.ax.set_yscale("log")
        self.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        self.ax.yaxis.set_minor_locator(NullLocator())
        self.ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))

    def _limits(self, losses: np.ndarray):
        """Lowest and highest value to show; None where there is none."""
        shown = losses[np.isfinite(losses) & (losses > 0)]
        return (shown.min() / 1.4, shown.max() * 1.25) if shown.size else None

    def update(self, losses: np.ndarray) -> None:
        """Draws all of it; of a long run every k-th point."""
        self.wait.set_visible(len(losses) == 0)
        if len(losses) == 0:
            return
        stride = -(-len(losses) // MOST_POINTS)
        iterations = np.arange(len(losses), 0, -stride)[::-1]
        losses = losses[iterations - 1]
        self.line.set_data(iterations, losses)
        self.end.set_data(iterations[-1:], losses[-1:])
        if limits := self._limits(losses):
            self.ax.set_ylim(*limits)
        self.ax.set_xlim(0, max(10, iterations[-1]) * 1.02)


class NatsCurve(LossCurve):
    """The loss over the iterations, in nats, which may be negative. What was before the last three quarters falls in
    from above: it began far away, and would press all that comes after it into one line.
    """

    name = "the loss so far, in nats"

    def _scale(self):
        self.ax.yaxis.set_major_locator(MaxNLocator(5))

    def _limits(self, losses: np.ndarray):
        late = losses[len(losses) // 4 :]
        shown = late[np.isfinite(late)]
        if not shown.size:
            return None
        margin = max(0.08 * np.ptp(shown), 1e-3 * abs(shown[-1]), 1e-6)
        return shown.min() - margin, shown.max() + margin


def head(ax: Axes, title: str) -> None:
    """Writes the title at a fixed place."""
    ax.text(0, 1.035, title, fontsize=11, color=INK, transform=ax.transAxes)

"""Contestants in turn, round by round: what slows the machine down for a while slows down all of them. And when a run
has arrived.
"""

import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Spread(NamedTuple):
    """The middle and the ends of some measurements.

    Attributes:
      median: of all.
      low, high: the quartiles, or of fewer than four measurements the smallest and the largest.
    """

    median: float
    low: float
    high: float


def alternate(tasks: dict[str, Callable[[], float]], rounds: int, fewer: dict[str, int] | None = None):
    """Asks every task for its seconds, once a round, in an order that is turned around every other round.

    Args:
      tasks: name -> function that returns seconds.
      rounds: how many.
      fewer: name -> how many of the first rounds a slow task takes part in.

    Returns:
      name -> list of seconds, one for each round that the task took part in.
    """
    seconds = {name: [] for name in tasks}
    for r in range(rounds):
        here = [name for name in tasks if r < (fewer or {}).get(name, rounds)]
        for name in here[:: -1 if r % 2 else 1]:
            seconds[name].append(tasks[name]())
    return seconds


def ratios(numerators: list[float], denominators: list[float]) -> list[float]:
    """Returns the ratio of each round that both took part in."""
    return [a / b for a, b in zip(numerators, denominators, strict=False)]


def spread(values: list[float]) -> Spread:
    """Returns median and quartiles."""
    if len(values) < 4:
        return Spread(statistics.median(values), min(values), max(values))
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high)


def arrival(losses: Sequence[float], target: float | None) -> int | None:
    """Returns after how many iterations the error was at the target or below, and so was the median of the last five.

    None if that never happened, or if there is no target.
    """
    ends = range(5, len(losses) + 1) if target is not None else ()
    there = lambda end: losses[end - 1] <= target and statistics.median(losses[end - 5 : end]) <= target
    return next((end for end in ends if there(end)), None)

"""What the critic's view draws, as one SVG: two densities and the optimal critic, and where each loss sends p_G."""

from typing import NamedTuple

import numpy as np

WIDTH, HEIGHT = 960, 440
INK, FAINT, LIGHT, DATA, GENERATOR = "#222222", "#777777", "#dddddd", "#2e6f95", "#e4572e"
LEFT, RIGHT, TOP, BOTTOM = 30, 600, 42, 262  # of the panel of densities
LOW, HIGH = -8.0, 8.0  # the part of the line that is shown
COLOURS = {"minimax": "#8f5ea2", "non-saturating": "#4f9d69", "maximum likelihood": "#b5651d"}
ROWS = 322, 360, 398  # of the arrows
CAP = 70  # pixels: the longest arrow for a width


class View(NamedTuple):
    """All that is shown for one p_G.

    Attributes:
      y: a grid, (m,). p_data, p_generator, critic: the densities and D* there, (m,).
      value, jsd, kl, reverse_kl: C(G), JSD, KL(data, G) and KL(G, data), in nats.
      slopes: of each loss its slope in p_G's mean and in the logarithm of its width.
      estimates: of each loss its slope in the mean as batches of draws have it, (batches,).
    """

    y: np.ndarray
    p_data: np.ndarray
    p_generator: np.ndarray
    critic: np.ndarray
    value: float
    jsd: float
    kl: float
    reverse_kl: float
    slopes: dict[str, tuple[float, float]]
    estimates: dict[str, np.ndarray]


def draw(view: View, mean: float, num_draws: int) -> str:
    """Returns the SVG. mean: of p_G, where the arrows start; num_draws: of a batch, for the words."""
    parts = [*_densities(view), *_meter(view), *_arrows(view, mean, num_draws)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="Helvetica, Arial, sans-serif">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>{"".join(parts)}</svg>'
    )


def place(y: float | np.ndarray) -> float | np.ndarray:
    """Returns where a point of the line stands in the drawing, in its units from the left."""
    return LEFT + (RIGHT - LEFT) * (y - LOW) / (HIGH - LOW)


def _densities(view: View):
    """The two densities, filled, and the critic on a scale of its own, from 0 at the bottom to 1 at the top."""
    seen = (view.y >= LOW) & (view.y <= HIGH)
    every = max(1, int(seen.sum() / 400))
    x, shown = place(view.y[seen][::every]), lambda values: values[seen][::every]
    highest = max(0.45, 1.05 * view.p_data.max(), 1.05 * view.p_generator.max())
    up = lambda values, most: BOTTOM - (BOTTOM - TOP) * shown(values) / most
    for p, colour in ((view.p_data, DATA), (view.p_generator, GENERATOR)):
        curve = _path(x, up(p, highest))
        yield f'<path d="{curve}L{RIGHT} {BOTTOM}L{LEFT} {BOTTOM}Z" fill="{colour}" fill-opacity="0.18"/>'
        yield f'<path d="{curve}" fill="none" stroke="{colour}" stroke-width="2.2"/>'
    for level, name in ((0.0, "0"), (0.5, "1/2"), (1.0, "1")):
        y = BOTTOM - (BOTTOM - TOP) * level
        dashes = "" if level == 0 else ' stroke-dasharray="3 4"'
        yield f'<line x1="{LEFT}" y1="{y}" x2="{RIGHT}" y2="{y}" stroke="{FAINT}" stroke-width="0.8"{dashes}/>'
        yield _text(LEFT - 6, y + 4, name, FAINT, 11, "end")
    yield f'<path class="abp-critic" d="{_path(x, up(view.critic, 1.0))}" fill="none" stroke="{INK}" stroke-width="2"/>'
    for tick in range(int(LOW), int(HIGH) + 1, 2):
        yield _text(place(tick), BOTTOM + 15, tick, FAINT, 11, "middle")
    for i, (name, colour) in enumerate((("data", DATA), ("generator", GENERATOR), ("optimal critic D*", INK))):
        x = LEFT + 110 * i
        yield f'<line x1="{x}" y1="20" x2="{x + 22}" y2="20" stroke="{colour}" stroke-width="3"/>'
        yield _text(x + 28, 24, name)


def _meter(view: View):
    """C(G) between -log 4, where the critic can only guess, and 0, where it is always right; and the divergences."""
    x, lowest = 650, -np.log(4)
    y = lambda value: BOTTOM - (BOTTOM - TOP) * (value - lowest) / -lowest
    yield f'<line x1="{x}" y1="{TOP}" x2="{x}" y2="{BOTTOM}" stroke="{LIGHT}" stroke-width="8"/>'
    yield f'<line x1="{x}" y1="{y(view.value):.1f}" x2="{x}" y2="{BOTTOM}" stroke="{INK}" stroke-width="8"/>'
    for value, name in ((0.0, "0: always right"), (lowest, "−log 4: can only guess")):
        yield _text(x + 12, y(value) + 4, name, FAINT, 11)
    rows = (
        ("C(G)", view.value, "bold"),
        ("JSD", view.jsd, "normal"),
        ("KL(data, G)", view.kl, "normal"),
        ("KL(G, data)", view.reverse_kl, "normal"),
    )
    for i, (name, value, weight) in enumerate(rows):
        yield _text(705, 100 + 32 * i, name, weight=weight)
        yield _text(905, 100 + 32 * i, _number(value), anchor="end", weight=weight)


def _arrows(view: View, mean: float, num_draws: int):
    """A row for each loss: where a step of size 1 against its slope leads the mean, exactly and by batches of draws."""
    yield _text(LEFT, ROWS[0] - 22, f"which way the mean goes; ticks: by {num_draws} draws each", FAINT, 12)
    yield _text(850, ROWS[0] - 22, "narrower ← width → wider", FAINT, 12, "middle")
    yield f'<line x1="850" y1="{ROWS[0] - 14}" x2="850" y2="{ROWS[-1] + 14}" stroke="{LIGHT}"/>'
    for row, (name, (of_mean, of_width)) in zip(ROWS, view.slopes.items(), strict=True):
        colour = COLOURS[name]
        yield f'<line x1="{LEFT}" y1="{row}" x2="{RIGHT}" y2="{row}" stroke="{LIGHT}"/>'
        for estimate in view.estimates[name]:
            x = place(np.clip(mean - estimate, LOW, HIGH))
            look = f'stroke="{colour}" stroke-opacity="0.45"'
            yield f'<line x1="{x:.1f}" y1="{row - 9}" x2="{x:.1f}" y2="{row + 9}" {look}/>'
        yield from _arrow(place(mean), place(np.clip(mean - of_mean, LOW, HIGH)), row, colour, f"{name} mean")
        yield f'<circle cx="{place(mean):.1f}" cy="{row}" r="4" fill="white" stroke="{colour}" stroke-width="2"/>'
        yield _text(RIGHT + 12, row - 2, name, colour, 13, weight="bold")
        yield _text(RIGHT + 12, row + 13, f"slope {_number(of_mean)}", FAINT, 12)
        reach = np.clip(-40 * of_width, -CAP, CAP)
        yield from _arrow(850, 850 + reach, row, colour, f"{name} width")
    yield _text(WIDTH - 12, HEIGHT - 8, "drag the red hill: sideways its mean, upwards narrower", FAINT, 12, "end")


def _arrow(start: float, end: float, y: float, colour: str, name: str):
    """A horizontal arrow; a point where it is too short for a head."""
    head = np.sign(end - start) * min(9, abs(end - start))
    shaft = f'x1="{start:.1f}" y1="{y}" x2="{end - head:.1f}" y2="{y}" stroke="{colour}" stroke-width="4"'
    yield f'<g class="abp-arrow" data-loss="{name}" data-end="{end:.2f}"><line {shaft}/>'
    yield f'<path d="M{end:.1f} {y}L{end - head:.1f} {y - 6}L{end - head:.1f} {y + 6}Z" fill="{colour}"/></g>'


def _path(x: np.ndarray, y: np.ndarray):
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))


def _number(value: float):
    return f"{value:.3f}".replace("-", "−") if abs(value) < 1000 else f"{value:.1e}"


def _text(x: float, y: float, words: object, colour: str = INK, size: int = 13, anchor: str = "start", weight="normal"):
    look = f'fill="{colour}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{str(words).replace("<", "&lt;")}</text>'

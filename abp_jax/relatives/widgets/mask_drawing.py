"""What the mask viewer draws, as one SVG: the network of a MADE, its masks, and how many paths lead where."""

import numpy as np

from abp_jax.relatives import made_masks

WIDTH, HEIGHT = 960, 470
INK, FAINT, LIGHT, ACCENT, PALE, BLUE, RED = "#222222", "#777777", "#dddddd", "#e4572e", "#fbdcd2", "#2e6f95", "#c1121f"
BOTTOM, TOP, LEFT, RIGHT = 385, 75, 45, 455  # of the network: inputs below, outputs above
RADIUS, CELL = 14, 24  # of a unit; of a cell of the path matrix


def draw(degrees: list[np.ndarray], masks: made_masks.Masks, output: int, chosen: int | None, total: float) -> str:
    """Returns the SVG of a network whose output `output` is lit up.

    Args:
      degrees: of the pixels (n,), then of each hidden layer; they are written into the units.
      masks: the connections that are there.
      output: the pixel whose conditional is looked at: what it sees is lit up too.
      chosen: a pixel that waits for another one to change places with, or None.
      total: the sum of p(x) over all 2^n states, written beneath.
    """
    alive = seen_by(masks, output)
    parts = [*_network(degrees, masks, alive, output, chosen), *_masks(masks, alive), *_paths(masks, output)]
    n = len(degrees[0])
    good = abs(total - 1) < 1e-9
    verdict = "a distribution" if good else "no distribution"
    text = f"sum of p(x) over all {2**n} states: {total:.12f}, {verdict}"
    parts.append(_text(LEFT - 20, HEIGHT - 14, text, INK if good else RED, size=15, weight="bold", anchor="start"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'font-family="Helvetica, Arial, sans-serif">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>{"".join(parts)}</svg>'
    )


def seen_by(masks: made_masks.Masks, output: int) -> list[np.ndarray]:
    """Returns of each layer, the pixels below first, which units a path leads from to this output: bool arrays."""
    alive = [np.arange(len(masks.order)) == output]
    for mask in reversed(masks.layers):
        alive.insert(0, (np.asarray(mask) & alive[0][:, None]).any(axis=0))
    return alive


def _network(degrees: list, masks: made_masks.Masks, alive: list, output: int, chosen: int | None):
    """The units, each with its degree, and the connections; those that lead to the output last, on top."""
    layers = [*degrees, degrees[0]]
    across, up = RIGHT - LEFT, (BOTTOM - TOP) / (len(layers) - 1)
    row = lambda layer, m: [(LEFT + across * (i + 0.5) / len(m), BOTTOM - up * layer) for i in range(len(m))]
    places = [row(layer, m) for layer, m in enumerate(layers)]
    lines = {False: [], True: []}
    for layer, mask in enumerate(masks.layers):
        for i, j in np.argwhere(np.asarray(mask)):
            (x1, y1), (x2, y2) = places[layer][j], places[layer + 1][i]
            lit = bool(alive[layer + 1][i])
            look = f'stroke="{ACCENT if lit else LIGHT}" stroke-width="{1.4 if lit else 0.8}"'
            lines[lit].append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {look}/>')
    yield from lines[False] + lines[True]
    for layer, m in enumerate(layers):
        kind = {0: "input", len(layers) - 1: "output"}.get(layer, "hidden")
        radius = min(RADIUS, 0.42 * (RIGHT - LEFT) / len(m))
        for i, ((x, y), degree) in enumerate(zip(places[layer], m, strict=True)):
            lit, waits = bool(alive[layer][i]), kind == "input" and i == chosen
            fill = ACCENT if lit and kind != "hidden" else PALE if lit else "white"
            ring = f'stroke="{BLUE if waits else ACCENT if lit else FAINT}" stroke-width="{4 if waits else 1.2}"'
            circle = f'cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{fill}" {ring}'
            yield f'<g class="abp-{kind}" data-unit="{kind} {i}"><circle {circle}/>'
            yield _text(x, y + 4, degree, "white" if fill == ACCENT else INK, size=12 if radius > 9 else 9)
            if kind == "input":
                yield _text(x, y + 33, f"x{i + 1}", ACCENT if i == output else INK, size=13)
            if kind == "output":
                yield _text(x, y - 22, f"p(x{i + 1}|·)", ACCENT if lit else INK, size=11)
            yield "</g>"
    yield _text(LEFT - 20, 22, "the network, with its degrees", INK, size=14, anchor="start", weight="bold")


def _masks(masks: made_masks.Masks, alive: list):
    """The masks in a row, the lowest layer's first; what leads to the output coloured."""
    wide, high = (sum(mask.shape[1] for mask in masks.layers), max(mask.shape[0] for mask in masks.layers))
    x, y = 500.0, 52
    cell = min(11.0, (420 - 20 * len(masks.layers)) / wide, (_top(len(masks.order)) - 50 - y) / high)
    yield _text(x, 22, "the masks", INK, size=14, anchor="start", weight="bold")
    for layer, mask in enumerate(masks.layers):
        rows, columns = mask.shape
        yield _text(x, y - 8, f"M{layer + 1}: {rows} × {columns}", FAINT, size=12, anchor="start")
        frame = f'x="{x:.1f}" y="{y}" width="{columns * cell:.1f}" height="{rows * cell:.1f}"'
        yield f'<rect {frame} fill="none" stroke="{LIGHT}"/>'
        for i, j in np.argwhere(np.asarray(mask)):
            color = ACCENT if alive[layer + 1][i] else "#9a9a9a"
            yield _box(x + j * cell, y + i * cell, cell - 1, color)
        x += max(columns * cell, 62) + 18


def _paths(masks: made_masks.Masks, output: int):
    """The path counts, rows and columns in the order: blue where they may be, red where they may not."""
    order, n = [int(k) for k in masks.order], len(masks.order)
    counts = made_masks.paths(masks)[np.ix_(order, order)]
    x, y = 532, _top(n)
    yield _text(500, y - 30, "paths from input (column) to output (row), in the order", INK, 14, "start", "bold")
    for a, b in np.ndindex(n, n):
        later, count = a > b, counts[a, b]
        fill = RED if count and not later else BLUE if count else "white"
        opacity = 1 if count and not later else 0.15 + 0.55 * count / max(1, counts.max())
        edge = RED if later and not count else LIGHT
        yield _box(x + b * CELL, y + a * CELL, CELL - 2, fill, f'fill-opacity="{opacity:.2f}" stroke="{edge}"')
        if later or count:
            dark = count and (not later or opacity > 0.5)
            yield _text(
                x + b * CELL + CELL / 2 - 1,
                y + a * CELL + 16,
                count,
                "white" if dark else INK,
                size=11 if count < 100 else 10,
            )
    for place, k in enumerate(order):
        bold = "bold" if k == output else "normal"
        yield _text(x - 6, y + place * CELL + 16, f"x{k + 1}", ACCENT if k == output else INK, 12, "end", bold)
        yield _text(x + place * CELL + CELL / 2, y - 7, f"x{k + 1}", INK, size=12)
    later = np.tri(n, k=-1, dtype=bool)
    wrong, cut = int((counts[~later] > 0).sum()), int((counts[later] == 0).sum())
    notes = [
        ("strictly triangular: no output", BLUE) if not wrong else ("not strictly triangular:", RED),
        ("sees itself or a later pixel", BLUE) if not wrong else (f"entries that may not be: {wrong}", RED),
        ("and every earlier one is seen", BLUE) if not cut else (f"but pairs are cut apart: {cut}", RED),
    ]
    for line, (text, color) in enumerate(notes):
        yield _text(x + n * CELL + 12, y + 20 + 20 * line, text, color, size=12, anchor="start")


def _top(n: int):
    """Where the path matrix of n pixels begins."""
    return min(248, HEIGHT - 30 - n * CELL)


def _box(x: float, y: float, side: float, fill: str, more: str = ""):
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{side:.1f}" height="{side:.1f}" fill="{fill}" {more}/>'


def _text(x: float, y: float, text, color: str, size: int = 12, anchor: str = "middle", weight: str = "normal"):
    look = f'fill="{color}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {look} style="user-select:none">{text}</text>'

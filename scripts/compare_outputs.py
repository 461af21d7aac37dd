"""Compares the text outputs of a page with those of another run of it: compare_outputs.py OLD.ipynb NEW.ipynb

Every cell must print the same kinds of outputs, with the same words in the same lines. Two numbers are the same if they
differ by at most 2 %; or by one unit of the last digit printed, where decimals or a percent sign say that it is rounded
and it is not the only digit. What lies below 1e-4 in both runs is a residue of rounding: there the order of magnitude
decides. The error with which a progress bar ends, and the share of proposals accepted then, may differ by a quarter.
Durations, rates and what computes are put aside.

Learning and long chains amplify the last bits, which depend on the number of threads and on the processor. A cell in
which that shows declares it: its metadata has

    "tolerance": {"reason": "why", "relative": 0.1, "absolute": 0.5, "errors": 4, "aside": "a regular expression"}

The reason and at least one of the others. What `aside` matches, line by line, may be anything, or nothing. By
`errors` an estimate, x ± s, may differ by so many times the larger s, and s, of a few seeds, by a factor of ten.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import nbformat

RELATIVE = 0.02
RELATIVE_OF_A_BAR = 0.25  # its error is that of one iteration, and of one batch
RESIDUE = 1e-4  # what is smaller in both runs is a residue of rounding,
RESIDUE_FACTOR = 30  # and may differ by this factor;
RESIDUE_FLOOR = 1e-7  # all that is smaller counts as this, about one unit of the last place of 1 in 32 bits,
RESIDUE_OF_ZERO = 1e-6  # and 0 as this, one of 10: sums of log p may be alike to the last bit on one processor only
RELATIVE_OF_AN_ERROR = 0.9  # of a few seeds
KEYS = {"reason", "relative", "absolute", "errors", "aside"}  # of a cell's tolerance

NUMBER = r"(?<![\w.])[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?(?:[eE][-+]?\d+)?"  # no part of a name: conv0, L_64
UNITS = r"(?:ns|µs|us|ms|s|min|sec|it/s|s/it|GFLOP/s|(?:second|minute|hour)s?|(?:times|x) faster)"
BAR = "<bar>"
PUT_ASIDE = {
    r"^jax \S+ computes on .*$": "<device>",
    r"\[[\d:?]+<[\d:?]+, *[\d.?]+(?:it/s|s/it)": "[<time>",  # of a progress bar, whose
    r"\|[█▏▎▍▌▋▊▉ #\d]*\|(?= *\d+/)": BAR,  # length depends on that of the clock
    rf"{NUMBER} ?{UNITS}(?![\w/]| *=)": "<time>",
}
TOKEN = rf"{NUMBER}%?|<\w+>|\w+|\S"


def texts(cell: nbformat.NotebookNode) -> Iterator[tuple[str, str]]:
    """What a reader sees of each output of a cell, as its kind and its text."""
    for output in cell.outputs:
        if output.output_type == "stream":
            yield output.name, output.text
        elif output.output_type == "error":
            yield "error", f"{output.ename}: {output.evalue}"
        else:
            shown = {kind: text for kind, text in sorted(output.data.items()) if kind.startswith("text/")}
            if "text/html" in shown:
                shown["text/html"] = re.sub(r"<[^<>]*>", " ", shown["text/html"])
            pictures = {kind.split("/")[0] for kind in output.data} - {"text"}  # a JPEG or a PNG, whichever is smaller
            yield " and ".join([*shown, *sorted(pictures)]), "\n".join(shown.values())


def lines(text: str, aside: str | None = None) -> list[list[str]]:
    """The words and numbers of each line that has any, less what is put aside."""
    for pattern, name in [(aside, "<aside>")] * bool(aside) + list(PUT_ASIDE.items()):
        text = re.sub(pattern, name, text, flags=re.MULTILINE)
    return [tokens for line in text.splitlines() if (tokens := re.findall(TOKEN, line))]


def is_number(token: str) -> bool:
    return re.fullmatch(NUMBER + "%?", token) is not None


def value(number: str) -> float:
    return float(number.rstrip("%").replace(",", "").replace("−", "-"))


def unit(number: str) -> float:
    """One unit of the last digit, where decimals, an exponent or a percent sign say that it is rounded; otherwise 0.

    >>> unit("0.25"), unit("2e-07"), unit("40%"), unit("40")
    (0.01, 1e-07, 1.0, 0.0)
    """
    digits, _, exponent = number.rstrip("%").lower().partition("e")
    decimals = len(digits.partition(".")[2])
    return 10.0 ** (int(exponent or 0) - decimals) if decimals or exponent or number.endswith("%") else 0.0


def near(a: str, b: str, relative: float = RELATIVE, absolute: float = 0.0) -> bool:
    """Whether two printed numbers are the same but for rounding and the tolerances."""
    x, y = value(a), value(b)
    size, rounding = max(abs(x), abs(y)), min(unit(a), unit(b))
    if size < RESIDUE and size > absolute:
        return size <= RESIDUE_FACTOR * max(min(abs(x), abs(y)) or RESIDUE_OF_ZERO, RESIDUE_FLOOR)
    if size < 9.5 * rounding:  # one digit is significant: 0.3 is not 0.4
        rounding = 0.0
    return abs(x - y) <= max(relative * size, rounding, absolute) * (1 + 1e-9)


def same(
    old: list[str], new: list[str], relative: float = RELATIVE, absolute: float = 0.0, errors: float = 0.0
) -> bool:
    """Whether two lines have the same words, and numbers that are near each other."""
    if len(old) != len(new):
        return False
    if BAR in old:  # an error has decimals; how far the run went has none, and is the same
        relative = max(relative, RELATIVE_OF_A_BAR)
        old, new = (_of_a_bar(line) for line in (old, new))
    return all(
        near(a, b, *_allowed(old, new, i, relative, absolute, errors)) if is_number(a) and is_number(b) else a == b
        for i, (a, b) in enumerate(zip(old, new, strict=True))
    )


def _allowed(
    old: list[str], new: list[str], i: int, relative: float, absolute: float, errors: float
) -> tuple[float, float]:
    """The tolerances of the number at i, by its error, if one follows, or if it is one."""
    if errors and old[i - 1 : i] == ["±"]:
        relative = max(relative, RELATIVE_OF_AN_ERROR)
    elif errors and old[i + 1 : i + 2] == ["±"]:
        standard_errors = [value(token) for line in (old, new) for token in line[i + 2 : i + 3] if is_number(token)]
        absolute = max(absolute, errors * max(standard_errors, default=0.0))
    return relative, absolute


def _of_a_bar(line: list[str]) -> list[str]:
    """The line of a progress bar: of its numbers, decimals and what is a share after it may differ."""
    varies = lambda i, token: "." in token or (token.endswith("%") and i > line.index(BAR))
    return [token if varies(i, token) else f"<{token}>" for i, token in enumerate(line)]


def compare_cells(old: nbformat.NotebookNode, new: nbformat.NotebookNode) -> Iterator[str]:
    """What differs in the outputs of a cell, line by line. The old cell's tolerance counts."""
    tolerance = old.metadata.get("tolerance", {})
    numbers = {name: tolerance[name] for name in ("relative", "absolute", "errors") if name in tolerance}
    if old.source != new.source:
        yield "the code is not the same"
    for (old_kind, old_text), (new_kind, new_text) in zip_longest(texts(old), texts(new), fillvalue=("nothing", "")):
        if old_kind != new_kind:
            yield f"{old_kind} became {new_kind}: {old_text[:200]!r}, {new_text[:200]!r}"
            continue
        pair = (lines(text, tolerance.get("aside")) for text in (old_text, new_text))
        for a, b in zip_longest(*pair, fillvalue=[]):
            if not same(a, b, **numbers):
                yield f"- {' '.join(a)}\n+ {' '.join(b)}"


def compare(old: nbformat.NotebookNode, new: nbformat.NotebookNode) -> list[str]:
    """What differs in the text outputs of two runs of a page, each with its cell's number."""
    found = []
    for number, (a, b) in enumerate(zip_longest(old.cells, new.cells)):
        if a is None or b is None or a.cell_type != b.cell_type:
            return [*found, f"[{number}] the cells are not the same"]
        if a.cell_type == "code":
            found += [f"[{number}]\n{differences}"] if (differences := "\n".join(compare_cells(a, b))) else []
    return found


def check_tolerance(cell: nbformat.NotebookNode) -> str | None:
    """What is wrong with the tolerance that a cell declares."""
    tolerance = cell.metadata.get("tolerance")
    if tolerance is None:
        return None
    if not set(tolerance) <= KEYS or len(tolerance) < 2 or not tolerance.get("reason"):
        return f"a tolerance has a reason and some of relative, absolute, errors and aside, not {dict(tolerance)}"
    if not any(text for _, text in texts(cell)):
        return "the cell prints nothing"
    if "errors" in tolerance and not any("±" in text for _, text in texts(cell)):
        return "no ± is followed by an error"
    aside = tolerance.get("aside")
    if aside and not any(re.search(aside, text, re.MULTILINE) for _, text in texts(cell)):
        return f"nothing matches {aside!r}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="whose cells' tolerances count")
    parser.add_argument("new", type=Path)
    arguments = parser.parse_args()
    found = compare(*(nbformat.read(file, as_version=4) for file in (arguments.old, arguments.new)))
    print("\n".join(found) or "the same outputs")
    return len(found) > 0


if __name__ == "__main__":
    sys.exit(main())

"""What the prose of a page says in numbers, its cells print or contain: a page cannot contradict its own run."""

import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import compare_outputs  # noqa: E402

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# Numbers of the prose that no cell of the page prints or contains, and why they may stand there: {page: {number: why}}.
# For sizes that everybody can count, and settings that the library or a record has. A result does not belong here.
ALLOWED: dict[str, dict[str, str]] = {
    "01": {"178": "the wines of scikit-learn's table", "82 %": "110,592 of 135,168"},
    "02": {"12,288": "64 * 64 * 3", "64": "pixels a side of the course's images"},
    "05": {"20": "the library's num_warmup"},
    "09": {"41": "the library's grid", "56": "a volume"},
    "10": {"1,024": "32 * 32"},
    "11": {
        "1,024": "32 * 32",
        "200": "the library's",
    },
    "12": {"200": "the record's setting", "256": "16 * 16"},
    "13": {"0.07": "the record's setting"},
    "14": {"824": "1,024 - 200"},
}

NOT_PROSE = "|".join(
    [
        r"```.*?```",  # code, formulas
        r"`[^`]*`",
        r"\$\$.*?\$\$",
        r"\$[^$]*\$",
        r"^\|.*\]\(\d\d_\w+\.ipynb\).*$",  # a row of the map
        r"\[\d\d\b[^\]]*\]\([^)]*\)|\]\([^)]*\)|<[^<>]*>",  # the name of a page, and where a link leads
        r"^#+ [\d.]*|^\d+\. ",  # the number of a section, or of an exercise
        r"\b(?:notebook|page|section|exercise|equation|algorithm)s? \(?[\d.]*\d(?:(?:,| and| or| to)+ \d\d?\b)*",
        r"\b(?:python|jax|flax|stats|apache-|cc by-?(?:sa)?)[ -]?\d[\w.]*",
        r"\b(?:19\d\d|20[0-3]\d)\b(?![.,]\d)",  # years
        r"\b\d+(?: to \d+| or \d+)? (?:minutes|seconds|hours)",
    ]
)
# With at least two digits: one digit alone stands for anything.
TOLD = r"(?<![\w.,/^-])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?: ?%| per cent)?(?![\w/])"
PER_CENT = r" ?%| per cent"
RUNNING_TIME = r"\[\d+:\d+<[^,]*,[^,\]]*"  # in a progress bar: another on every machine


def numbers_told(markdown):
    """The numbers of a text that are worth checking, as they are written."""
    text = re.sub(NOT_PROSE, " ", markdown, flags=re.DOTALL | re.MULTILINE | re.IGNORECASE)
    return [number for number in re.findall(TOLD, text) if sum(c.isdigit() for c in number) >= 2]


def numbers_shown(cells):
    """The sizes of all numbers that code cells print or contain."""
    shown = set()
    for cell in cells:
        text = "\n".join([*(text for _, text in compare_outputs.texts(cell)), cell.source.replace("_", "")])
        text = re.sub(RUNNING_TIME, "", text)
        found = re.findall(r"(?<![A-Za-z\d.,])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?(?:e[-+]?\d+)?", text)
        shown |= {compare_outputs.value(number) for number in found}
    return shown


def is_shown(told, shown):
    """Whether a number is one of those shown, rounded as it is told; a percentage also as a fraction."""
    number = re.sub(PER_CENT, "", told)
    size, unit = compare_outputs.value(number), compare_outputs.unit(number) or 1
    half = 0.5 * unit if size > 9.5 * unit else 0  # one digit alone is no rounding: too many numbers would round to it
    sizes = [*shown, *(100 * share for share in shown)] if number != told else shown
    return any(abs(one - size) <= half + 1e-6 * unit for one in sizes)


def not_shown(notebook):
    """The numbers of the prose that no cell of a page shows, each with its cell and what stands around it."""
    shown = numbers_shown(cell for cell in notebook.cells if cell.cell_type == "code")
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown":
            for number in numbers_told(cell.source):
                if not is_shown(number, shown):
                    around = re.search(rf".{{0,50}}(?<![\w.,]){re.escape(number)}.{{0,30}}", cell.source)
                    yield number, f"[{place}] {number}: ...{around[0] if around else ''}..."


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda f: f.stem)
def test_every_number_of_the_prose_is_shown(file):
    found, allowed = list(not_shown(nbformat.read(file, as_version=4))), ALLOWED.get(file.name[:2], {})
    missing = [where for number, where in found if number not in allowed]
    assert not missing, "\n".join(["let a cell print these, or say in ALLOWED why none does:", *missing])
    assert [number for number in allowed if number not in dict(found)] == []  # what need not be allowed any more


def page(
    prose, printed="learned 0.3187 in 1,250 steps; 53% of 16 chains, a share of 0.084; 2e-07\n", code="SIZE = 4_000"
):
    cell = v4.new_code_cell(code, outputs=[v4.new_output("stream", name="stdout", text=printed)])
    return v4.new_notebook(cells=[cell, v4.new_markdown_cell(prose)])


@pytest.mark.parametrize(
    "prose",
    [
        "An error of 0.3187, or 0.319, or 0.32 after 1,250 or 1250 of 4,000 steps.",
        "Of the chains 53 %, which is 53 per cent, and 8.4 % of all, or 0.084.",
        "In 3 runs of $0.77$ and `x = 0.78`, of 1998, see [13 · Against PCA](13_against_pca.ipynb) or pages 12 and 15.",
        "## 12. It takes 25 to 30 minutes\n\n11. With Python 3.12:\n\n```\nx = 0.79\n```\n$$x = 0.76$$",
    ],
)
def test_a_number_that_a_cell_shows_may_be_told(prose):
    assert list(not_shown(page(prose))) == []


@pytest.mark.parametrize(
    ("prose", "number"),
    [
        ("An error of 0.318.", "0.318"),  # it is 0.319
        ("An error of 0.31 is small.", "0.31"),
        ("After 1,251 steps.", "1,251"),
        ("For 54 % of the chains.", "54 %"),
        ("An error of 0.3", "0.3"),  # too many numbers would round to it
        ("For 9 per cent, or 12 per cent of them.", "12 per cent"),
        ("Of 17 chains", "17"),
        ("**12.5 times** as long", "12.5"),
        ("| the table | 0.33 |", "0.33"),
    ],
)
def test_a_number_that_no_cell_shows_is_found(prose, number):
    assert [found for found, _ in not_shown(page(prose))] == [number]

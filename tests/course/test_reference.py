"""Notation, glossary and bibliography say what is so: their pages, names and works exist, and no work is missing."""

import ast
import functools
import json
import re
import unicodedata
from pathlib import Path

import pytest

from tests.course.test_links import exists

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "docs" / "book"
PAGES = {page.name[:2]: page for page in sorted((ROOT / "notebooks").glob("*.ipynb"))}
LIBRARY = sorted((ROOT / "abp_jax").rglob("*.py"))
ARTICLE = re.compile(r"@(\w+)\{([a-z]+)(\d{4}),\n((?:  \w+ = \{.*\},?\n)+)\}")
NAME = r"(?:(?:van den|de|van) )?[A-Z]\w*[a-zà-ÿ]\w*(?:-[A-Z]\w+)*"
# Authors, a title or a venue if there is one, and a year: "Neal, *Annealed importance sampling*, 2001", "Neal (2001)".
CITED = re.compile(
    rf"({NAME})(?:, {NAME}|,? and {NAME}|,? et al\.| and others)*"
    r"(?:,? \(?|, \*[^*]+\*,? |[,(] ?[A-Z][^.;:()]{2,120}? ?[ ,(]+)((?:19|20)\d\d)\b"
)
VENUES = "bernoulli biometrika carlo computation information learning machine markov neural neurips"
VENUES = {*VENUES.split(), *"parallel press processing psychometrika science statistical statistics theory".split()}


@functools.cache
def prose(number):
    """The markdown cells of a page."""
    cells = json.loads(PAGES[number].read_text("utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]


@functools.cache
def syntax():
    """Every node of the library's syntax trees."""
    return [node for file in LIBRARY for node in ast.walk(ast.parse(file.read_text("utf-8")))]


@functools.cache
def paragraphs():
    """What the pages say, and the docstrings of the library, in pieces that end where a work's name ends."""
    found = [text for number in PAGES for text in prose(number)]
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    found += [ast.get_docstring(node) or "" for node in syntax() if isinstance(node, documented)]
    return [" ".join(part.split()) for text in found for part in re.split(r"\n\s*\n", text)]


def plain(name):
    return unicodedata.normalize("NFKD", name.replace("ø", "o")).encode("ascii", "ignore").decode().lower()


def cited(text):
    """The works that a text names: first author and year."""
    works = {(re.split(r"[- ]", plain(m[1]))[-1 if " " in m[1] else 0], m[2]) for m in CITED.finditer(text)}
    return {(author, year) for author, year in works if author not in VENUES}


@functools.cache
def bibliography():
    """First author and year of each work, and its fields, from a file in which nothing else stands."""
    text = (BOOK / "references.bib").read_text("utf-8")
    assert ARTICLE.sub("", text).split() == []
    entries = [(m[2], m[3], dict(re.findall(r"  (\w+) = \{(.*)\},?\n", m[4]))) for m in ARTICLE.finditer(text)]
    assert len({entry[:2] for entry in entries}) == len(entries) > 80
    return {entry[:2]: entry[2] for entry in entries}


def test_each_work_has_what_its_kind_needs():
    for (author, year), fields in bibliography().items():
        letters = re.sub(r"\\o\b", "o", fields["author"].split(" and ")[0].split(",")[0])
        letters = re.sub(r"\\.|[{}]", "", letters)
        assert (re.split(r"[- ]", plain(letters))[0], fields["year"]) == (author, year)
        assert fields["title"] and {"journal", "booktitle", "publisher", "eprint", "url"} & set(fields)
        assert all(value.count("{") == value.count("}") for value in fields.values())


def test_every_work_that_is_named_is_in_the_bibliography_and_no_other():
    named = set().union(*map(cited, paragraphs()))
    assert len(named) > 80
    assert named - set(bibliography()) == set()
    words = [set(re.findall(r"\w+", plain(text))) for text in paragraphs()]
    unnamed = [work for work in bibliography() if not any({*work} <= text for text in words)]
    assert [
        work for work in unnamed if f"arXiv:{bibliography()[work].get('eprint')}" not in "".join(paragraphs())
    ] == []


@pytest.mark.parametrize(
    ("text", "work"),
    [
        ("As Robbins and Monro (1951) found.", ("robbins", "1951")),
        ("Found before (Grosse, Ghahramani and Adams, 2015).", ("grosse", "2015")),
        ("Sources: Sønderby, Caballero and Theis, *Amortised MAP*, ICLR 2017.", ("sonderby", "2017")),
        ("See Hinton, Neural Computation 2002; the rest", ("hinton", "2002")),
        ("**Muon** (Jordan et al., 2024) steps", ("jordan", "2024")),
    ],
)
def test_a_work_is_found_in_a_text(text, work):
    assert cited(text) == {work}


def sections(file):
    """A page of the book without its link definitions, and these: number of a page to where it leads."""
    text = (BOOK / file).read_text("utf-8")
    links = dict(re.findall(r"^\[(\d\d)\]: (.*)$", text, re.MULTILINE))
    return re.sub(r"(?m)^\[\d\d\]: .*\n", "", text), links


@pytest.mark.parametrize("file", ["glossary.md", "notation.md", "teaching/plans.md"])
def test_every_page_that_is_named_has_its_link(file):
    text, links = sections(file)
    assert set(re.findall(r"\[(\d\d)\]", text)) == set(links)
    assert {number: (BOOK / file).parent.joinpath(link).resolve() for number, link in links.items()} == {
        n: PAGES[n] for n in links
    }


def glossary():
    text, _ = sections("glossary.md")
    entries = text.split(":::{glossary}\n")[1].split("\n:::")[0].split("\n\n")
    return {entry.split("\n")[0].strip(): " ".join(entry.split("\n")[1:]) for entry in entries}


def test_the_terms_are_in_order_and_refer_to_terms():
    terms = list(glossary())
    assert terms == sorted(terms, key=str.lower) and len(set(terms)) == len(terms) > 60
    referred = {term for text in glossary().values() for term in re.findall(r"\{term\}`([^`]*)`", text)}
    assert {" ".join(term.lower().split()) for term in referred} - {term.lower() for term in terms} == set()


# How a page may say a term otherwise than the glossary: another form of it, or its common name there.
FORMS = {
    "acceptance probability": "accept",
    "amortisation": "amorti[sz]",
    "autoregressive model": "autoregressive",
    "d-separation": "d-separate",
    "EM algorithm": r"\bEM\b",
    "Gauss-Newton precision": "Gauss-Newton",
    "importance sampling": "importance.weight|importance sampling",
    "importance-weighted bound": "importance-weighted|importance weights",
    "Kullback-Leibler divergence": r"Kullback-Leibler|\{KL\}",
    "Laplace approximation": "Laplace",
    "latent variable": "latent|hidden",
    "marginal likelihood": "marginal",
    "missing information": "information that is missing|is missing",
    "non-saturating loss": "non-saturating",
    "preconditioning": "precondition",
    "random walk Metropolis": "random walk",
    "total variation distance": "total.variation",
}


def test_a_page_that_an_entry_names_uses_the_term():
    missing = []
    for term, text in glossary().items():
        also = re.findall(r"(?:Abbreviated|also called|Also called) ([^.;:]*?)(?:\.|;|$| and)", text)
        forms = FORMS.get(term) or "|".join([re.escape(form.strip()) for form in [term, *also]])
        for number in re.findall(r"\[(\d\d)\]", text):
            text_of_page = " ".join(" ".join(prose(number)).split())
            if not re.search(forms.replace("\\ ", "[ -]"), text_of_page, re.IGNORECASE):
                missing.append((term, number))
    assert not missing, missing


def test_names_of_the_notation_exist():
    text, _ = sections("notation.md")
    rows = [row.split(" | ") for row in text.split("## Letters of one page")[0].splitlines() if row.startswith("| $")]
    names = {name for row in rows for name in re.findall(r"`([^`]+)`", row[-2])}
    dotted = {name for name in names if "." in name}
    assert len(rows) > 45 and len(dotted) > 25
    homes = ("abp_jax", "abp_jax.relatives")
    assert [name for name in sorted(dotted) if not any(exists(f"{home}.{name}") for home in homes)] == []
    arguments = {node.arg for node in syntax() if isinstance(node, ast.arg)}
    assert names - dotted - arguments == set()


def test_the_minutes_of_the_ten_weeks_are_those_of_the_map():
    row = r"\[(\d\d) [^\]]*\]\([^)]*\) \|.*\| (\d+)(?: to (\d+))? \| ([\d.]+) \|"
    times = {
        m[1]: (int(m[2]), int(m[3] or m[2]), float(m[4])) for m in re.finditer(row, (ROOT / "README.md").read_text())
    }
    weeks = re.findall(
        r"(?m)^\| \d+ \| ([^|]*) \| (\d+) to (\d+) \| ([\d.]+) \|", (BOOK / "teaching/plans.md").read_text()
    )
    assert len(weeks) == 10
    for pages, least, most, run in weeks:
        total = [sum(column) for column in zip(*(times[n] for n in re.findall(r"\d\d", pages)), strict=True)]
        assert [int(least), int(most), float(run)] == [*total[:2], round(total[2], 1)]

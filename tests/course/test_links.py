"""What the course says of its pages, its files and its names is true."""

import doctest
import functools
import json
import pkgutil
import re
import subprocess
from pathlib import Path

import abp_jax

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "notebooks").glob("*.ipynb"))
NUMBERS = {page.name[:2] for page in PAGES}
README, START = ROOT / "README.md", PAGES[0]
MODULES = "|".join(module.name for module in pkgutil.iter_modules(abp_jax.__path__))
STYLE = "abp_jax.course"  # for matplotlib: a file, and no module


@functools.cache
def files():
    """What git has, or would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return {ROOT / name for name in names if (ROOT / name).is_file()}


def texts():
    kinds = (".md", ".py", ".ipynb", ".toml", ".yml", ".html", ".json")
    return sorted(f for f in files() if f.suffix in kinds or f.name == "Makefile")


@functools.cache
def cells(file, *kinds):
    """The sources of a page's cells of these kinds. Any other file is one cell, whatever the kinds."""
    if file.suffix != ".ipynb":
        return [file.read_text("utf-8")]
    found = json.loads(file.read_text("utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] in kinds]


def prose(file):
    return "\n\n".join(cells(file, "markdown"))


def everything(file):
    return "\n\n".join(cells(file, "markdown", "code"))


def find(pattern, where, read=everything):
    """Every match in the texts of some files, with the file's name."""
    return [(file.name, found) for file in where for found in re.finditer(pattern, read(file), re.IGNORECASE)]


def links(file):
    return [a or b for a, b in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", prose(file))]


def test_pages_that_are_named_exist():
    names = find(r"\b\d\d_[a-z]\w*", texts(), read=lambda file: file.read_text("utf-8"))
    assert len(names) > 100
    assert [(file, name[0]) for file, name in names if name[0] not in {page.stem for page in PAGES}] == []


def test_pages_that_are_numbered_exist():
    mentions = find(r"\b(?:notebook|page)s?\s+\[?\d\d\b(?:(?:,| and| or| to)+ \[?\d\d\b)*", texts())
    assert len(mentions) > 50
    assert [(file, m[0]) for file, m in mentions if not set(re.findall(r"\d\d", m[0])) <= NUMBERS] == []


def test_a_link_says_the_number_of_the_page_that_it_opens():
    said = find(r"\[([^\[\]]*?\b)?(\d\d)\b[^\[\]]*\]\((?:notebooks/)?(\d\d)_\w+\.ipynb\)", texts())
    assert len(said) > 80
    assert [(file, m[0]) for file, m in said if m[2] != m[3]] == []


def test_a_title_has_the_number_of_its_page():
    titles = [re.match(r"# (\d\d) · ", prose(page)) for page in PAGES if page != START]
    assert [title and title[1] for title in titles] == [page.name[:2] for page in PAGES[1:]]


def test_each_page_leads_to_the_next():
    ends = [re.search(r"(?s).*\bNext\b.*?\]\((\w+\.ipynb)\)", cells(page, "markdown")[-1]) for page in PAGES]
    assert [end and end[1] for end in ends] == [*[page.name for page in PAGES[1:]], None]


def test_both_maps_show_every_page_and_the_same_parts():
    rows = [re.findall(r"^\| *(.*?) *\| *\[(\d\d) ", prose(file), re.MULTILINE) for file in (README, START)]
    assert rows[0][1:] == rows[1]  # the first page is on the README's alone
    assert [number for _, number in rows[0]] == sorted(NUMBERS)


def plain(file):
    """The prose of a file, with its formulas as a README writes them."""
    return re.sub(r"\$\\?|\\", "", prose(file))


def test_both_maps_ask_the_same_and_say_the_times_that_were_recorded():
    row = r"^\|[^|]*\| \[(\d\d) ([^\]]*)\]\([^)]*\) \| (.*?) \| ([\d to]+) \| ([\d.]+) \|$"
    readme, start = [re.findall(row, plain(file), re.MULTILINE) for file in (README, START)]
    assert readme[1:] == start and len(start) == len(PAGES) - 1
    recorded = json.loads((ROOT / "docs" / "running_times.json").read_text())
    assert {number: run for number, *_, run in readme} == {n: f"{time['minutes']:g}" for n, time in recorded.items()}


def test_relative_links_lead_to_files():
    here = [(f, link.split("#")[0]) for f in texts() if f.suffix in (".md", ".ipynb") for link in links(f)]
    here = [(f, link) for f, link in here if link and not re.match(r"\w+:", link)]
    assert len(here) > 80
    assert [(f.name, link) for f, link in here if (f.parent / link).resolve() not in files()] == []


def test_names_of_the_library_exist():
    where = [README, ROOT / "CONTRIBUTING.md", *PAGES]
    dotted = find(r"(?<![\w/])abp(?:_jax)?((?:\.[a-z_]\w*)+)", where)
    dotted += find(rf"`(?=(?:{MODULES})\.(?!py\b))((?:\.?[a-z_]\w*)+)", where, read=prose)
    names = {"abp_jax." + m[1].strip(".") for _, m in dotted} - {STYLE}
    assert len(names) > 50
    assert [name for name in sorted(names) if not exists(name)] == []


def test_what_the_first_page_says_of_jax_is_what_jax_prints():
    (moves,) = re.findall(r"(?s)```python\n(>>>.*?)```", prose(START))
    runner = doctest.DocTestRunner()
    runner.run(doctest.DocTestParser().get_doctest(moves, {}, "five moves", START.name, 0))
    assert runner.summarize(verbose=False) == (0, 10)


def exists(name):
    try:
        return pkgutil.resolve_name(name) is not None
    except (AttributeError, ImportError):
        return False

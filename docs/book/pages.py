"""The order of the book's pages, after the README's map, and what a page without a kernel shows in a widget's place."""

import functools
import html
import json
import re
import shutil
from pathlib import Path

from docutils import nodes

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| *(.*?) *\| *\[\d\d [^\]]*\]\((notebooks/\w+)\.ipynb\)", re.MULTILINE)
LINK = re.compile(r"\[([^\]]+)\]\(([\w./-]+\.html)\)")
TO_NOTEBOOK = re.compile(r'href="(\.\./notebooks/\w+)\.ipynb"')
WITHOUT_A_KERNEL = "docs/book/without_a_kernel"
WIDGET = re.compile(r"[a-z_]+|(?:[a-z_]+\.)*[A-Z]\w*\(.*\)")  # the last line of a cell: explorer, or MaskViewer(...)
FRAME = '<iframe class="without-kernel" src="{}" title="{}" loading="lazy" onload="{}"></iframe>'
# A page grows as it is filled in, and when the window gets narrower. One opened from a file can't be looked into.
AS_HIGH_AS_ITS_PAGE = html.escape(
    "const page = this.contentDocument; "
    "if (page) new this.contentWindow.ResizeObserver("
    "() => { this.style.height = page.body.scrollHeight + 40 + 'px' }).observe(page.body)"
)
IN_PLACE = {"notebooks/00_start_here": "explorer", "notebooks/06_latent_explorer": "explorer"}


def parts():
    """Returns the captions of the book's parts and the documents in each, in reading order."""
    found = {"Start": []}
    for part, document in ROW.findall((ROOT / "README.md").read_text("utf-8")):
        if part:
            number, name = part.strip("*").split(" ", 1)
            found[f"{number} · {name}"] = []
        found[list(found)[-1]].append(document)
    found["Start"].append(WITHOUT_A_KERNEL)
    found["Reference"] = [*documents("docs/book"), "docs/book/api/index", *documents("data/*"), "CONTRIBUTING"]
    found["For teachers"] = documents("docs/book/teaching")
    return {caption: documents for caption, documents in found.items() if documents}


def documents(folder):
    """Returns the texts and notebooks of a folder, by name."""
    files = [file for kind in ("md", "ipynb") for file in ROOT.glob(f"{folder}/*.{kind}")]
    names = sorted(file.relative_to(ROOT).with_suffix("").as_posix() for file in files)
    return [name for name in names if name != WITHOUT_A_KERNEL]


@functools.cache
def pages_without_kernel():
    """Returns the pages of docs/ that run in any browser, and their titles."""
    files = sorted((ROOT / "docs").glob("*.html"))
    return {file: html.unescape(re.search("(?s)<title>(.*?)</title>", file.read_text("utf-8"))[1]) for file in files}


def frame(file, title, folder):
    return FRAME.format(f"{folder}docs/{file.name}", html.escape(title, quote=True), AS_HIGH_AS_ITS_PAGE)


def toctrees():
    blocks = [":hidden:\n:caption: {}\n\n{}".format(caption, "\n".join(names)) for caption, names in parts().items()]
    return "\n\n".join(f"```{{toctree}}\n{block}\n```" for block in blocks)


def list_pages_without_kernel():
    shown = "## {}\n\n[This page alone](../{})\n\n{}"
    pages = pages_without_kernel().items()
    return "\n\n".join(shown.format(title, file.name, frame(file, title, "../../")) for file, title in pages)


def shows_widget(cell):
    """Whether a cell ends in a value whose output can't be committed: a widget."""
    last = "".join(cell["source"]).rstrip().rpartition("\n")[2]
    return cell["cell_type"] == "code" and not cell["outputs"] and WIDGET.fullmatch(last) is not None


def note(docname, cell):
    """Returns the cell that stands in the place of the widget of a cell."""
    text = "This cell shows a widget, which needs a running kernel: see [how to run the course](/README.md#run-it)."
    name = IN_PLACE.get(docname) if "LatentExplorer(" in "".join(cell["source"]) else None
    frames = [frame(file, title, "../") for file, title in pages_without_kernel().items() if file.stem == name]
    text += " Here is one like it that runs in any browser." if frames else ""
    source = "\n\n".join([f":::{{note}}\n{text}\n:::", *frames])
    return {"cell_type": "markdown", "id": f"{cell['id']}-widget", "metadata": {}, "source": source}


def complete_notebook(docname, notebook):
    """Folds the first code cell, the same on all pages, and says what stands in the place of a widget."""
    cells, shown = [], {IN_PLACE.get(docname)}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = link_pages(embed("".join(cell["source"]), shown))
        cells += [cell, note(docname, cell)] if shows_widget(cell) else [cell]
    next(cell for cell in cells if cell["cell_type"] == "code")["metadata"]["tags"] = ["hide-cell"]
    return notebook | {"cells": cells}


def embed(text, shown):
    """Shows a page without a kernel below the first paragraph that links it, if it is not among those shown."""
    pages = {file.stem: frame(file, title, "../") for file, title in pages_without_kernel().items()}
    blocks = []
    for paragraph in text.split("\n\n"):
        linked = {Path(address).stem for _, address in LINK.findall(paragraph)} - shown
        blocks += [paragraph, *(pages[name] for name in sorted(linked & set(pages)))]
        shown |= linked
    return "\n\n".join(blocks)


def link_pages(text):
    """A link to a page without a kernel opens it: by itself, Sphinx would offer it as a download."""
    return LINK.sub(r'<a href="\2">\1</a>', text)


def complete(app, docname, source):
    """Adds to a page what only the book needs."""
    if docname == app.config.root_doc:
        source[0] += "\n" + toctrees()
    elif docname == WITHOUT_A_KERNEL:
        source[0] += "\n" + list_pages_without_kernel()
    if app.env.doc2path(docname).suffix == ".ipynb":
        source[0] = json.dumps(complete_notebook(docname, json.loads(source[0])))
    else:
        source[0] = link_pages(source[0])


def fold_solutions(app, doctree):
    """Folds a page's solutions, as JupyterLab does."""
    for section in doctree.findall(nodes.section):
        if section.next_node(nodes.title).astext() == "Solutions":
            summary = '<details class="folded"><summary>Show the solutions</summary>'
            section.insert(1, nodes.raw("", summary, format="html"))
            section.append(nodes.raw("", "</details>", format="html"))


def copy_pages(app, error):
    """Copies the pages without a kernel, with links to the book's pages, and makes the README's page the first."""
    if error is None:
        out = Path(app.outdir)
        (out / "docs").mkdir(exist_ok=True)
        for file in pages_without_kernel():
            text = TO_NOTEBOOK.sub(r'href="\1.html" target="_top"', file.read_text("utf-8"))
            (out / "docs" / file.name).write_text(text, "utf-8")
        shutil.copy(out / f"{app.config.root_doc}.html", out / "index.html")


def always_outdated(app, env, added, changed, removed):
    """What is completed from a list of files is read again at each build."""
    return [app.config.root_doc, WITHOUT_A_KERNEL]


def setup(app):
    app.connect("env-get-outdated", always_outdated)
    app.connect("source-read", complete)
    app.connect("doctree-read", fold_solutions)
    app.connect("build-finished", copy_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

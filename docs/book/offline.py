"""What a page of the book needs from elsewhere is shipped with it: MathJax, and the badges as words."""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
UNUSED = ("*svg*", "*mml-*", "asciimath*", "mml*", "node-main.js", "tex-full*", "tex-chtml-*", "tex-mml*")
BADGE = re.compile(r"\[!\[([^\]]*)\]\(https://[^)]*(?:badge|logo)\.svg\)\]")


def badges_as_words(app, docname, source):
    """A badge is an image on another server: its words are left, and its link."""
    source[0] = BADGE.sub(r"[\1]", source[0])


def copy_mathjax(app, error):
    """Copies MathJax 3.2.2, but for outputs and inputs that are not in use, and its licence, which is ours."""
    if error is None:
        (package,) = find_spec("sphinx-mathjax-offline").submodule_search_locations
        target = Path(app.outdir) / "_static" / "mathjax"
        ignored = shutil.ignore_patterns(*UNUSED)
        shutil.copytree(Path(package) / "static" / "mathjax", target, ignore=ignored, dirs_exist_ok=True)
        shutil.copy(ROOT / "LICENSE", target)


def setup(app):
    app.connect("source-read", badges_as_words)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

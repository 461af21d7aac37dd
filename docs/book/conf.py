"""Sphinx's settings for the book: the notebooks as they were executed, the library's reference, and a search.

The source folder is the root of the repository (`make book`), so that a link that works there works in the book.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT)]

project = "abp-jax"
author = "the authors of abp-jax"
html_title = "Learned generators"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx.ext.mathjax",
    "docstrings",
    "pages",
    "offline",
]
root_doc = "README"
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "data/*/CREDITS.md",
    "notebooks/*.ipynb",
    "docs/book/**.md",
    "docs/book/teaching/*.ipynb",
]
exclude_patterns = [".*", "build", "dist", "**/.ipynb_checkpoints"]

if (HERE / "references.bib").exists():
    extensions.append("sphinxcontrib.bibtex")
    bibtex_bibfiles = ["references.bib"]

nb_execution_mode = "off"
nb_code_prompt_show = "Show the setup"  # of the only cells that are folded
nb_code_prompt_hide = "Hide the setup"
nb_ipywidgets_js = {}  # the outputs hold no widget, and nothing is fetched
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath", "html_image"]
myst_heading_anchors = 3

mathjax_path = "mathjax/tex-chtml.js"  # see offline.py

highlight_language = "none"  # where a block names none
default_role = "py:obj"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "special-members": "__call__"}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False  # the signature has them
napoleon_use_rtype = False
python_maximum_signature_line_length = 100
viewcode_line_numbers = True

html_theme = "sphinx_book_theme"
html_theme_options = {
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "use_fullscreen_button": False,
    "navbar_persistent": [],  # the search is in the sidebar
}
html_static_path = ["_static"]
html_css_files = ["book.css"]
html_copy_source = True
html_context = {"default_mode": "auto"}  # light or dark, as the system is

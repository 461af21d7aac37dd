"""Where the pages of docs/ are that need no kernel, and what their tests share."""

from pathlib import Path

from scripts import make_pages

DOCS = Path(__file__).parents[2] / "docs"
NAMES = list(make_pages.PAGES)


def wait_for_frame(page) -> None:
    """Waits until the page has drawn what it was told."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

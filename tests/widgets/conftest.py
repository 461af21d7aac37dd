"""A browser for the pages of docs/ that need no kernel."""

import pytest

from tests.widgets.pages import DOCS, NAMES, wait_for_frame


@pytest.fixture(scope="module")
def browser(chromium):
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def show(browser):
    """Opens a page, offline. What it complains about, and any request but for its own file, make the test fail."""
    contexts, complaints, requests = [], [], []

    def opened(name, width=1000, **settings):
        context = browser.new_context(viewport={"width": width, "height": 1000}, offline=True, **settings)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((DOCS / f"{name}.html").as_uri())
        contexts.append(context)
        wait_for_frame(page)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
    assert {url for url in requests if not url.startswith("data:")} <= {(DOCS / f"{n}.html").as_uri() for n in NAMES}

"""The book: it has every page, needs no network, and reads well in a browser and on a phone."""

import contextlib
import functools
import html
import inspect
import os
import pkgutil
import re
import runpy
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import abp_jax as abp
from tests.widgets.browser import MOVES, barriers, browser_page

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "docs" / "book"
LINK = re.compile(r'<\w[^<>]*?\s(href|src)="([^"]*)"')
FETCHED = re.compile(r"(?:<(?:script|link|img|iframe|source)\b[^<>]*?|url\()\bhttps?:[^>\s]*")
PHONE = ["index", "notebooks/00_start_here", "notebooks/22_variational_autoencoder", "docs/book/api/spine"]
AS_HIGH_AS_ITS_PAGE = """e => {
    const spare = e.clientHeight - e.contentDocument.body.scrollHeight
    return spare >= 0 && spare <= 40 && Math.abs(e.contentWindow.innerWidth - e.clientWidth) <= 1
}"""


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """The folder of the built book; a warning of the build is an error."""
    folder = tmp_path_factory.mktemp("book")
    options = ["-q", "-W", "--keep-going", "-j", "2", "-c", BOOK, "-d", folder / "doctrees"]
    command = [sys.executable, "-m", "sphinx", *options, ROOT, folder / "html"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "html"


def test_every_page_of_the_course_is_in_the_book():
    parts = runpy.run_path(str(BOOK / "pages.py"))["parts"]()
    shown = [document for documents in parts.values() for document in documents]
    pages = sorted(f"notebooks/{file.stem}" for file in (ROOT / "notebooks").glob("*.ipynb"))
    assert [document for document in shown if document.startswith("notebooks/")] == pages
    assert [caption.split(" · ")[0] for caption in parts][:8] == ["Start", "I", "II", "III", "IV", "V", "VI", "VII"]
    texts = {file.relative_to(ROOT).with_suffix("").as_posix() for file in BOOK.rglob("*.md")}
    assert {text for text in texts if "/api/" not in text} <= set(shown) and len(shown) == len(set(shown))


def test_settings_fetch_nothing_and_execute_nothing():
    settings = runpy.run_path(str(BOOK / "conf.py"))
    assert settings["nb_execution_mode"] == "off" and settings["nb_ipywidgets_js"] == {}
    assert re.fullmatch(r"[\w/-]+\.js", settings["mathjax_path"])
    assert not [value for value in settings.values() if isinstance(value, str) and "://" in value]


def test_the_reference_has_every_module_and_every_name():
    text = "\n".join(file.read_text("utf-8") for file in sorted((BOOK / "api").glob("*.md")))
    described = re.findall(r"automodule:: (\S+)", text)
    found = [module for module in pkgutil.walk_packages(abp.__path__, "abp_jax.") if "widgets" not in module.name]
    assert {module.name for module in found if not module.ispkg} == {
        name for name in described if "widgets" not in name
    }
    assert len(described) == len(set(described))
    values = {name: getattr(abp, name) for name in abp.__all__}
    public = {n: v for n, v in values.items() if inspect.isclass(v) or inspect.isroutine(v)}
    assert dict(re.findall(r"`abp\.(\w+) <([\w.]+)>`", text)) == {
        name: f"{value.__module__}.{name}" for name, value in public.items()
    }


@pytest.mark.slow
def test_links_lead_somewhere_and_nothing_is_fetched(book):
    files = [file for file in book.rglob("*.html") if "_static" not in file.parts]
    texts = {file: file.read_text("utf-8") for file in files}
    names = {file: set(map(html.unescape, re.findall(r'\bid="([^"]*)"', text))) for file, text in texts.items()}
    dead, fetched = [], [found for text in texts.values() for found in FETCHED.findall(text)]
    for file, text in texts.items():
        for kind, link in set(LINK.findall(text)):
            address = urlsplit(html.unescape(link))
            if address.scheme or address.netloc:
                fetched += [link] if kind == "src" and address.scheme != "data" else []
                continue
            target = (file.parent / unquote(address.path)).resolve() if address.path else file
            if not target.exists() or (address.fragment and unquote(address.fragment) not in names.get(target, ())):
                dead.append((file.name, link))
    assert len(texts) > 100 and dead == [] and fetched == []
    linked = {
        (file, link) for file, text in texts.items() for link in re.findall(r'href="(\.\./docs/\w+\.html)"', text)
    }
    embedded = [(file, link) for file, link in linked if f'src="{link}"' in texts[file]]
    assert len(embedded) == len(linked) >= 7


@contextlib.contextmanager
def served(folder):
    """Serves a folder on this machine; gives its URL."""
    handler = functools.partial(QuietHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.mark.slow
def test_pages_in_a_browser(chromium, book):
    answers, requests = {}, set()
    with served(book) as url, browser_page("about:blank", 900, width=400) as page:
        page.on("request", lambda request: requests.add(request.url))
        page.on("response", lambda response: answers.update({response.url: response.status}))
        for name in PHONE:
            page.goto(f"{url}/{name}.html")
            page.evaluate("async () => { if (window.MathJax) await MathJax.startup.promise }")
            assert page.locator(".math:not(:has(mjx-container)), mjx-merror").count() == 0, name
            assert page.locator("article p", has_text="$$").count() == 0, name
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        page.goto(f"{url}/notebooks/22_variational_autoencoder.html")
        page.wait_for_function("document.querySelectorAll('mjx-container').length > 100")
        page.get_by_text("Show the solutions").click()
        page.locator("details.folded mjx-container").first.wait_for()
        page.goto(f"{url}/notebooks/00_start_here.html")
        page.frame_locator("iframe.without-kernel").get_by_text("From lion to tiger").first.wait_for()
        for scheme in ("dark", "light"):
            page.emulate_media(color_scheme=scheme)
            assert barriers(page, "article") == []
        assert page.evaluate(MOVES) == 0
        page.goto(f"{url}/notebooks/24_wake_and_sleep.html")
        frame = page.locator("iframe[src='../docs/divergences.html']")
        frame.scroll_into_view_if_needed()
        page.frame_locator("iframe[src='../docs/divergences.html']").get_by_text(
            "numbers that were computed"
        ).wait_for()
        assert frame.get_attribute("title") == "The two divergences"
        for width in (400, 320, 1000):  # the frame follows its page, and shows all of it
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_function(AS_HIGH_AS_ITS_PAGE, arg=frame.element_handle())
        page.goto(f"{url}/search.html?q=Metropolis")
        page.locator("#search-results li a", has_text="07").first.wait_for()
    local = {address for address in requests if address.startswith((url, "data:", "blob:", "about:"))}
    assert len(answers) > 20 and requests == local
    assert {address: status for address, status in answers.items() if status >= 400} == {}

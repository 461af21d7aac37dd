"""The pages of docs/ that need no kernel: as the script writes them, and in the hands of a reader in a real browser."""

import json
import re

import numpy as np
import pytest

from scripts import make_pages
from tests.widgets.browser import MOVES, barriers
from tests.widgets.pages import DOCS, NAMES, wait_for_frame

FRAME = 1000 / 60  # milliseconds

NAMELESS = """() => [...document.querySelectorAll('input, button, select, canvas, fieldset, a')].filter(e =>
  !(e.ariaLabel || e.labels?.[0]?.innerText || e.querySelector('legend')?.innerText || e.innerText || '').trim()
).map(e => e.outerHTML)"""


def parts(text):
    """A page without its numbers, and its numbers."""
    before, numbers, after = re.split(r'(?<=id="data">)(.*?)(?=</script>)', text, maxsplit=1)
    return before + after, json.loads(numbers)


def test_numbers_that_differ_are_noticed():
    with pytest.raises(AssertionError):
        same_numbers({"checks": [["name", [1], 0.5]]}, {"checks": [["name", [1], 0.5001]]})


def same_numbers(one, other):
    """The same structure, with numbers that are the same but for the last digits of another processor."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        one, other = list(one.values()), list(other.values())
    if isinstance(one, list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            same_numbers(*pair)
    elif isinstance(one, float):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10)
    else:
        assert one == other


@pytest.mark.parametrize("name", NAMES)
def test_committed_pages_are_what_the_script_writes(name):
    text = (DOCS / f"{name}.html").read_text("utf-8")
    (committed, numbers), (fresh, fresh_numbers) = parts(text), parts(make_pages.page(name))
    assert committed == fresh
    same_numbers(numbers, fresh_numbers)
    assert len(text.encode()) < 300_000 and "http" not in text
    links = re.findall('href="(?!data:)(.*?)"', text)
    assert links and all((DOCS / link).exists() for link in links)


@pytest.mark.parametrize("name", NAMES)
def test_everyone_can_use_it(name, show):
    """In light and dark, with focus, the keyboard to both ends of every slider; it says how near to the library it is.

    And nothing moves unless one asks.
    """
    for scheme in ("dark", "light"):
        page = show(name, color_scheme=scheme)
        assert page.evaluate(MOVES) == 0
        assert barriers(page) == []
    assert page.evaluate(NAMELESS) == []
    assert page.evaluate("page.error") < 1e-8 and "computed by abp_jax" in page.locator("#check").inner_text()
    for control in page.locator("button, input[type=range], input[type=radio]:checked").all():
        control.focus()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Tab")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineWidth") == "3px"
    for slider in page.locator("input[type=range]").all():
        name_of = slider.evaluate("e => e.parentElement.id")
        slider.focus()
        page.keyboard.press("Home")
        low = page.evaluate(f"page.state.{name_of}")
        page.keyboard.press("ArrowRight")
        assert page.evaluate(f"page.state.{name_of}") > low
        page.keyboard.press("End")
        wait_for_frame(page)
        assert not re.search("NaN|undefined", page.locator("main").inner_text())
        assert slider.input_value() == slider.get_attribute("max")


@pytest.mark.parametrize("name", NAMES)
def test_drags_are_smooth_and_touch_works(name, show):
    page = show(name, 400, has_touch=True, is_mobile=True, reduced_motion="reduce")
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    assert page.evaluate("[...document.querySelectorAll('.wide')].every(e => e.scrollWidth <= e.clientWidth)")
    for button in page.locator("button").all():  # where motion is not wanted, Run leaps
        button.click()
    wait_for_frame(page)
    assert page.evaluate(MOVES) == 0
    canvas = page.locator("canvas.across, canvas.around").first
    canvas.scroll_into_view_if_needed()
    box, before = canvas.bounding_box(), page.evaluate("JSON.stringify(page.state)")
    assert canvas.evaluate("e => getComputedStyle(e).touchAction") in ("none", "pan-y")
    page.touchscreen.tap(box["x"] + 0.7 * box["width"], box["y"] + 0.5 * box["height"])
    wait_for_frame(page)
    assert page.evaluate("JSON.stringify(page.state)") != before

    page = show(name)
    for canvas in page.locator("canvas.across, canvas.around, .key input").all():
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        at = lambda t: (box["x"] + (0.25 + 0.5 * t) * box["width"], box["y"] + (0.6 - 0.2 * t) * box["height"])  # noqa: B023
        page.mouse.move(*at(0))
        page.mouse.down()
        before = page.evaluate("page.frames.length = 0, JSON.stringify(page.state)")
        for t in np.linspace(0, 1, 24):
            page.mouse.move(*at(t))
            wait_for_frame(page)
        page.mouse.up()
        assert page.evaluate("JSON.stringify(page.state)") != before
        costs = page.evaluate("page.frames")
        print(f"{name}: a frame of a drag takes {np.median(costs):.1f} ms, at most {max(costs):.1f}")
        assert len(costs) >= 20 and np.quantile(costs, 0.1) < FRAME  # what it costs where nothing else runs

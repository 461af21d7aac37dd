"""Exercises say right or wrong: near misses are refused, hints come in order, and pages show their solutions right."""

import re
from pathlib import Path

import jax.numpy as jnp
import nbformat
import numpy as np
import pytest

import abp_jax as abp
from abp_jax.practice import EXERCISES, exercises
from tests.practice.near_misses import WRONG

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
PAGES = sorted(file.stem[:2] for file in NOTEBOOKS.glob("*.ipynb") if not file.stem.startswith("00"))


@pytest.fixture(autouse=True)
def _no_hints_given_yet():
    abp.practice.forget()


def read(page):
    (file,) = NOTEBOOKS.glob(f"{page}_*.ipynb")
    return nbformat.read(file, as_version=4)


def shown(page):
    """The exercises that a page checks, with what stands below the cell."""
    for cell in read(page).cells:
        if cell.cell_type == "code" and (asked := re.findall(r'abp\.check\("([\d.]+)"', cell.source)):
            yield asked, [output.data["text/plain"] for output in cell.outputs if "data" in output]


@pytest.mark.parametrize("name", sorted(EXERCISES))
def test_a_near_miss_is_refused(name):
    right = EXERCISES[name].right()
    for answer in WRONG[name](right if callable(right) or isinstance(right, str) else np.asarray(right, float)):
        reply = abp.check(name, answer)
        assert not reply and repr(reply).startswith("Not yet.")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_that_its_solutions_are_right(page):
    """Which a slow test executes: here stands what it printed, by the exercise as it is now."""
    names = sorted(name for name in EXERCISES if name.startswith(page))
    assert [asked for asked, _ in shown(page)] == [[name] for name in names]
    for (name,), (text,) in shown(page):
        right = EXERCISES[name].right()
        assert text == f"Right. {name}: {EXERCISES[name].kind.judge(right, right)[1]}"


@pytest.mark.parametrize("page", PAGES)
def test_every_exercise_of_a_page_can_be_checked(page):
    text = "\n".join(cell.source for cell in read(page).cells if cell.cell_type == "markdown")
    asked, solved = text.partition("\n## Exercises\n")[2].split("\n## Next")[0].split("## Solutions")
    numbers = re.findall(r"^(\d+)\. ", asked, flags=re.MULTILINE)
    assert len(numbers) >= 3
    assert numbers == re.findall(r"^\*\*(\d+)\.\*\* ", solved, flags=re.MULTILINE)
    assert [f"{page}.{number}" for number in numbers] == sorted(name for name in EXERCISES if name.startswith(page))
    assert all(f'abp.check("{page}.{number}", ' in asked for number in numbers)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_what_it_is_for_and_asks(page):
    """Goals before the first section, predictions before figures, and questions at the end, their answers folded."""
    text = "\n".join(cell.source for cell in read(page).cells if cell.cell_type == "markdown")
    head, _, body = text.partition("\n## ")
    assert "After this page you can" in head and "\n### You can now\n" in body
    assert body.count("**Predict.**") >= 3
    questions = body.partition("\n### Five questions\n")[2].split("\n## ")[0]
    assert re.findall(r"^\*\*(\d)\.\*\* .*\n", questions, flags=re.MULTILINE) == list("12345")
    assert questions.count("<details><summary>Answer</summary>\n\n") == questions.count("\n\n</details>") == 5


def test_hints_come_in_order_and_start_again_after_a_right_answer():
    hints = EXERCISES["02.3"].hints
    said = [repr(abp.check("02.3", 2)) for _ in range(5)]
    assert said[:3] == [f"Not yet. Hint {i} of 3: {hint}" for i, hint in enumerate(hints, 1)]
    assert said[3] == said[4] and "number 3 under Solutions" in said[3] and "page 02" in said[3]
    assert "Hint 1 of 3" in repr(abp.check("01.3", 0.3))  # another exercise has its own
    right = abp.check("02.3", 2 * np.sin(1))
    assert right and right.right and repr(right).startswith("Right. 02.3: Within 1.0%")
    assert "Hint 1 of 3" in repr(abp.check("02.3", 2))


def test_how_many_numbers_are_right():
    right = np.asarray(EXERCISES["01.1"].right())
    assert "Of 2 numbers 1 right." in repr(abp.check("01.1", [right[0], 0.5]))
    assert abp.check("01.1", tuple(right)) and abp.check("01.1", jnp.asarray(right))
    assert not abp.check("01.1", [np.nan, right[1]])


def test_a_wrong_name_lists_the_exercises_there_are():
    with pytest.raises(ValueError, match=r"no exercise '02.9'.\nThose of page 02 are\n02.1: A function.*(\n.*){2}$"):
        abp.check("02.9", 1.0)
    with pytest.raises(ValueError, match="Pages with exercises to check: 01, 02"):
        abp.check("77.1", 1.0)
    with pytest.raises(TypeError, match="a string such as"):
        abp.check(2.3, 1.0)


@pytest.mark.parametrize(
    ("name", "answer", "error", "said"),
    [
        ("02.2", [1.0, 2.0], ValueError, r"Exercise 02.2: the answer is an array of shape \(4,\); yours is .* \(2,\)"),
        ("02.3", [1.68], ValueError, r"is a single number; yours is an array of shape \(1,\)"),
        ("02.3", "1.68", TypeError, "a number or an array of numbers; yours is str"),
        ("02.3", True, TypeError, "yours is bool"),
        ("02.1", 1.0, TypeError, "the answer is a function; yours is float"),
        ("02.1", lambda s: 1 / 0, ValueError, r"fails at \(0.1\): ZeroDivisionError"),
        ("02.1", lambda s: [s, s], ValueError, r"is a single number; yours is an array of shape \(2,\)"),
    ],
)
def test_an_answer_of_another_kind_is_an_error_and_costs_no_hint(name, answer, error, said):
    with pytest.raises(error, match=said):
        abp.check(name, answer)
    assert exercises._WRONG[name] == 0


def test_a_choice_is_one_of_its_words():
    kind = exercises.Choice(("longer", "shorter"))
    assert kind.judge("longer", " Longer ")[0] and not kind.judge("longer", "shorter")[0]
    with pytest.raises(ValueError, match="one of .'longer', 'shorter'.; yours is 'long'"):
        kind.judge("longer", "long")
    with pytest.raises(TypeError, match="yours is int"):
        kind.judge("longer", 1)

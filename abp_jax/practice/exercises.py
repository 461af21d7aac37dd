"""Exercises that say right or wrong, with three hints: what is asked, how it is computed, what is accepted.

An exercise keeps no answer. It has a function that computes the answer with the library, from the data and settings
with which the page is shipped, and one of three kinds, `Numbers`, `Choice` or `Function`, that judges the reader's.
"""

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

EXERCISES: dict[str, "Exercise"] = {}
_WRONG: Counter[str] = Counter()  # wrong answers in a row, by exercise


class Numbers(NamedTuple):
    """A number, or an array of the same shape as the right one: each within `relative` of its size."""

    relative: float = 0.02

    def judge(self, right: Any, answer: Any) -> tuple[bool, str]:
        """Returns whether it is right, and a sentence. Raises TypeError or ValueError for what is no such array."""
        right, answer = np.asarray(right, float), _numbers(answer)
        if answer.shape != right.shape:
            raise ValueError(f"the answer is {_shape(right)}; yours is {_shape(answer)}.")
        near = np.abs(answer - right) <= self.relative * np.abs(right)
        if near.all():
            return True, f"{self.nearness.capitalize()} what the library computes."
        return False, f"Of {near.size} numbers {near.sum()} right." if near.size > 1 else ""

    @property
    def nearness(self) -> str:
        """How near a right answer is, in words."""
        if not self.relative:
            return "exactly"
        return f"within {self.relative:.1%} of" if self.relative >= 5e-4 else f"within {100 * self.relative:g}% of"


class Choice(NamedTuple):
    """One of some words."""

    options: tuple[str, ...]

    def judge(self, right: str, answer: Any) -> tuple[bool, str]:
        """Returns whether it is right, and a sentence. Raises TypeError or ValueError for what is no option."""
        if not isinstance(answer, str):
            raise TypeError(f"the answer is a string, one of {self.options}; yours is {type(answer).__name__}.")
        answer = answer.strip().lower()
        if answer not in self.options:
            raise ValueError(f"the answer is one of {self.options}; yours is {answer!r}.")
        return answer == right, f'"{answer}", as the library finds.' if answer == right else ""


class Function(NamedTuple):
    """A function: its values at `inputs`, a tuple of arguments each, are judged as `Numbers`."""

    inputs: Sequence[tuple]
    within: Numbers = Numbers()

    def judge(self, right: Callable, answer: Any) -> tuple[bool, str]:
        """Returns whether it is right, and a sentence. Raises TypeError or ValueError for what is no such function."""
        if not callable(answer):
            raise TypeError(f"the answer is a function; yours is {type(answer).__name__}. Give its name, without ().")
        for arguments in self.inputs:
            given = ", ".join(f"{a:g}" for a in arguments)
            try:
                value = answer(*arguments)
            except Exception as error:
                raise ValueError(f"your function fails at ({given}): {type(error).__name__}: {error}") from error
            if not self.within.judge(right(*arguments), value)[0]:
                return False, f"It is wrong at ({given})."
        return True, f"At {len(self.inputs)} inputs {self.within.nearness} what the library computes."


class Exercise(NamedTuple):
    """What is asked in a sentence; a function that computes the right answer; its kind; three hints, in order."""

    name: str
    question: str
    right: Callable[[], Any]
    kind: Numbers | Choice | Function
    hints: tuple[str, str, str]


class Reply:
    """What `check` says. Its text is what one sees; it counts as true if the answer is right, and as false if not."""

    def __init__(self, right: bool, text: str):
        self.right, self.text = right, text

    def __bool__(self):
        return self.right

    def __repr__(self):
        return self.text


def exercise(name: str, kind: Numbers | Choice | Function, *hints: str) -> Callable:
    """Makes an exercise of the function below, which computes the answer; the first line of its docstring asks for it.

    name: "NN.k", the k-th exercise of page NN; hints: three.
    """

    def register(compute: Callable) -> Callable:
        first, second, third = hints
        question = compute.__doc__.splitlines()[0]
        EXERCISES[name] = Exercise(name, question, functools.cache(compute), kind, (first, second, third))
        return compute

    return register


def check(name: str, answer: Any) -> Reply:
    """Says whether an answer to an exercise of the course is right; each time it is not, gives the next of three hints.

    >>> abp.check("03.2", [3.68, 14.0])
    Not yet. Of 2 numbers 1 right. Hint 1 of 3: The noise enters the variance of the chain by its square: [...]

    Answers are computed from the data and settings of the page as it is shipped: your own SEED has another answer.

    Args:
      name: "NN.k", the k-th exercise of page NN.
      answer: what the exercise asks for: a number or an array, a word of a choice, or a function.

    Returns a `Reply`, true if the answer is right. A right answer starts the hints again.

    Raises:
      ValueError: no exercise has this name, or the answer has another shape, isn't one of the choices, or is a function
        that fails.
      TypeError: the answer is of another kind than what is asked for.
    """
    asked = find(name)
    computed = asked.right()
    try:
        right, said = asked.kind.judge(computed, answer)
    except (TypeError, ValueError) as error:
        raise type(error)(f"Exercise {name}: {error}") from error.__cause__
    if right:
        del _WRONG[name]
        return Reply(True, f"Right. {name}: {said}")
    _WRONG[name] += 1
    return Reply(False, " ".join(filter(None, ["Not yet.", said, _help(asked, _WRONG[name])])))


def find(name: str) -> Exercise:
    """Returns the exercise "NN.k". Raises ValueError or TypeError, with the names of those that there are."""
    if not isinstance(name, str):
        raise TypeError(f'An exercise is named by a string such as "03.2", got {name!r}.')
    if name in EXERCISES:
        return EXERCISES[name]
    page = name.partition(".")[0]
    there = [f"{other.name}: {other.question}" for other in EXERCISES.values() if other.name.startswith(f"{page}.")]
    pages = sorted({other.partition(".")[0] for other in EXERCISES})
    known = [f"Those of page {page} are", *there] if there else [f"Pages with exercises to check: {', '.join(pages)}."]
    raise ValueError("\n".join([f"There is no exercise {name!r}.", *known]))


def forget() -> None:
    """Starts the hints of all exercises again."""
    _WRONG.clear()


def _help(asked: Exercise, times: int) -> str:
    if times <= len(asked.hints):
        return f"Hint {times} of {len(asked.hints)}: {asked.hints[times - 1]}"
    page, _, number = asked.name.partition(".")
    return f"These were all the hints. The solution is number {number} under Solutions, at the end of page {page}."


def _numbers(answer: Any) -> np.ndarray:
    array = np.asarray(answer)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"the answer is a number or an array of numbers; yours is {type(answer).__name__}.")
    return array.astype(float)


def _shape(array: np.ndarray) -> str:
    return f"an array of shape {array.shape}" if array.ndim else "a single number"

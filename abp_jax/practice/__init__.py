"""Exercises of the course that say right or wrong, with hints: `check("03.2", answer)`.

- exercises: what an exercise is, and check
- page_01 and so on: those of each page, a short function each that computes the answer with the library
"""

import importlib
import pkgutil

from abp_jax.practice.exercises import EXERCISES, Exercise, Reply, check, forget

__all__ = ["EXERCISES", "Exercise", "Reply", "check", "forget"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")  # a page registers its exercises

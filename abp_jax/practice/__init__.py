"""Exercises of the course that say right or wrong, with hints: `check("03.2", answer)`.

- exercises: what an exercise is, and check
- page_01 to page_04: those of each page, a short function each that computes the answer with the library
"""

from abp_jax.practice import page_01, page_02, page_03, page_04
from abp_jax.practice.exercises import EXERCISES, Exercise, Reply, check, forget

__all__ = ["EXERCISES", "Exercise", "Reply", "check", "forget", "page_01", "page_02", "page_03", "page_04"]

"""What is measured is computed with all the digits of its numbers, on every device; or with twice as many."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps

import jax
import jax.experimental


def full_precision(function: Callable) -> Callable:
    """Returns the function with every product in it, and in the f that it is given, in full precision.

    By itself jax rounds the numbers of a product of float32 to about three digits on a GPU (TensorFloat-32) and on a
    TPU (bfloat16), which is fast and good enough to learn by, and on the CPU not at all. A log-likelihood of some nats
    then comes out wrong in its third decimal.
    """

    @wraps(function)
    def call(*args, **kwargs):
        with jax.default_matmul_precision("highest"):
            return function(*args, **kwargs)

    return call


@contextmanager
def double_precision() -> Iterator[None]:
    """Inside, new arrays have 64 bits: `with double_precision(): ...`. (jax before 0.8 has it under another name.)"""
    switch = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
    with switch(True):
        yield

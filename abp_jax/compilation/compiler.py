"""Compilers that compute wrong numbers, so that nobody learns from them unwarned, and how to be quick with the others.

A matrix-vector product for each of many rows, then a reduction: of 40,000 rows of 3 numbers, `jit(vmap(lambda r:
max(M @ r)))` has more than 7,000 wrong ones with jaxlib 0.9.1 to 0.10.2 on the CPU, and with 0.10.2 `sum((M @ r)**2)`
too (jax issue 39103). No row is wrong with 0.6.0 to 0.9.0.1, and with 0.11.0 to 0.12.0.1. tests/training asks
whichever is installed.
"""

import warnings
from collections.abc import Callable
from functools import cache, wraps

import jax
import jaxlib

FUSES_ONE_WAY = (0, 11)  # the first jaxlib without `xla_cpu_use_fusion_emitters`
WRONG_ON_CPU = ("0.9.1", "0.9.2", "0.10.0", "0.10.1", "0.10.2")  # of jaxlib; pyproject.toml excludes them


def warn_if_wrong(version: str = jaxlib.__version__) -> None:
    """Warns, in one line, if this jaxlib computes wrong numbers on the CPU.

    version: of jaxlib, by default the one that is installed.
    """
    if version in WRONG_ON_CPU:
        warnings.warn(
            f"jaxlib {version} gives silently wrong numbers on the CPU (jax issue 39103). "
            "Run: pip install -U 'jax!=0.9.1,!=0.9.2,!=0.10.*', then restart Python.",
            RuntimeWarning,
            stacklevel=3,
        )


def quick() -> dict[str, bool | int] | None:
    """Returns options of `jax.jit` by which a program is compiled sooner and runs a little slower; None but on a CPU.

    They ask for less optimisation, and of a jaxlib before 0.11 for XLA's older code where operations are fused. (Later
    ones have the newer code alone.) For a program that runs a few seconds at most.
    """
    if jax.default_backend() != "cpu":
        return None
    version = tuple(int(number) for number in jaxlib.__version__.split(".")[:2])
    older = {} if version >= FUSES_ONE_WAY else {"xla_cpu_use_fusion_emitters": False}
    return {"xla_backend_optimization_level": 1} | older


def quick_jit(function: Callable, **options) -> Callable:
    """Returns `jax.jit(function, **options)`, for a program that runs once and then little more.

    It is compiled as by `quick`. Within a larger program, which alone can take such options, it is compiled like that.
    The backend is asked for at the first call.
    """
    part = jax.jit(function, **options)
    whole = cache(lambda: jax.jit(function, compiler_options=quick(), **options))

    @wraps(function)
    def call(*args, **kwargs):
        within = isinstance(jax.device_put(0.0), jax.core.Tracer)  # while a larger program is traced, everything is
        return (part if within else whole())(*args, **kwargs)

    return call

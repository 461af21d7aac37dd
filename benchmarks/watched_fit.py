"""A run of `abp.fit` with a clock beside it: the seconds of each of its compiled calls, and an end when it is good."""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple
from unittest import mock

import numpy as np

import abp_jax as abp
from abp_jax import loop


class Call(NamedTuple):
    """One compiled call: the seconds up to its end since the last call's, and the number of iterations done then."""

    seconds: float
    done: int


class Watched(NamedTuple):
    """What was seen.

    Attributes:
      result: the FitResult.
      seconds: what the iterations took, without compilation.
      compile_seconds: what the first call of each phase took longer than its iterations usually take.
      iteration_seconds: median seconds of an iteration after warm-up.
    """

    result: abp.FitResult
    seconds: float
    compile_seconds: float
    iteration_seconds: float


def watched_fit(*args, num_warmup: int = 20, enough: Callable = lambda losses: False, **kwargs) -> Watched:
    """Calls `abp.fit(*args, num_warmup=num_warmup, **kwargs)`, and ends it once `enough(losses)`."""
    seen, calls = [], loop.calls

    def watched_calls(*args, **kwargs):
        begin = time.perf_counter()
        for run, done in calls(*args, **kwargs):
            losses = np.asarray(run.losses)[:done]
            now = time.perf_counter()
            seen.append(Call(now - begin, done))
            yield run, done
            if enough(losses):
                return
            begin = now

    with mock.patch.object(loop, "calls", watched_calls):
        result = abp.fit(*args, num_warmup=num_warmup, progress=False, **kwargs)
    return Watched(result, *split(seen, num_warmup))


def split(calls: list[Call], num_warmup: int) -> tuple[float, float, float]:
    """Returns the seconds of all iterations, of compilation, and of one iteration after warm-up."""
    begins = [0, *(call.done for call in calls[:-1])]
    total = compilation = iteration = 0.0
    for warmup in (True, False):
        phase = [
            (call.seconds, call.done - b) for call, b in zip(calls, begins, strict=True) if (b < num_warmup) == warmup
        ]
        if not phase:
            continue
        later = [seconds / count for seconds, count in phase[1:]] or [phase[0][0] / phase[0][1]]
        iteration = statistics.median(later)
        first = min(phase[0][0], iteration * phase[0][1])
        total += first + sum(seconds for seconds, _ in phase[1:])
        compilation += phase[0][0] - first
    return total, compilation, iteration

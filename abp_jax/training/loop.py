"""Many iterations in one compiled call, the batches that they visit, and the stop button."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import zip_longest
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax.compilation import compiler
from abp_jax.learning import ABPState
from abp_jax.training.devices import Devices, agreed  # noqa: F401

LARGEST_SANE_Z = 1e3  # |z| above this counts as divergence; draws from the prior have |z_i| of about 1
CHUNK_SECONDS = 0.2  # of compiled work between two looks at the stop button
TRACING_SECONDS = 1.0  # of work for the device while the next program is traced


class Run(NamedTuple):
    """What lives on the device between two calls.

    Attributes:
      state: after the last sound iteration.
      losses: one for each iteration of the whole run, 0 where it is still to come; (num_iterations,).
      acceptance: of the last iteration's chains, a scalar; NONE without a Metropolis correction.
      failure: SOUND, CHAIN_DIVERGED or LEARNING_DIVERGED; the loop stands still once it is not SOUND. A scalar.
    """

    state: ABPState
    losses: jax.Array
    acceptance: jax.Array
    failure: jax.Array


SOUND, CHAIN_DIVERGED, LEARNING_DIVERGED = range(3)
NONE = -1.0  # no nan on the device: `jax_debug_nans` stops at them


def first(init: Callable, params: dict, key: jax.Array) -> ABPState:
    """Returns init(params, key=key), by a program that runs once and is there soon."""
    return compiler.quick_jit(init)(params, key=key)


def start(state: ABPState, losses: np.ndarray, num_iterations: int) -> Run:
    """Copies a state and its losses into a Run, whose arrays `advance` may then overwrite."""
    if len(state.z.devices()) == 1:
        state = jax.device_put(state, may_alias=False)  # nothing to compile
    else:
        state = jax.jit(partial(jax.tree.map, jnp.copy))(state)  # one program for all
    return _run_at(state, losses, num_iterations)


def _run_at(state: ABPState, losses: np.ndarray, num_iterations: int) -> Run:
    losses = jnp.zeros(num_iterations, jnp.float32).at[: len(losses)].set(np.asarray(losses, np.float32))
    return Run(state, losses, jnp.full((), NONE, jnp.float32), jnp.full((), SOUND))


def acceptance(run: Run) -> float:
    """Returns that of the last iteration's chains; nan without a Metropolis correction."""
    found = float(run.acceptance)
    return float("nan") if found == NONE else found


def losses(run: Run, done: int) -> np.ndarray:
    """Returns those of the iterations done, float64, (done,)."""
    return np.asarray(run.losses, np.float64)[:done]


def compile_advance(iterate: Callable, batch: Callable, soon: bool = False) -> Callable:
    """Returns `advance(run, images, masks, stop) -> run`: iterates until `stop` iterations are done, or one fails.

    One program for every `stop`, so that a run can be cut into calls anywhere and gives the same bits. The memory of
    `run` is reused for the result: don't touch the old one again.

    Args:
      iterate: (state, images, indices, masks) -> (state, info).
      batch: iteration -> indices.
      soon: whether it matters more that the program is there soon than that it is fast, see `compiler.quick`.
    """

    @partial(jax.jit, donate_argnums=0, compiler_options=compiler.quick() if soon else None)
    def advance(run, images, masks, stop):
        def body(run):
            t = run.state.iteration
            state, info = iterate(run.state, images, batch(t), masks)
            chain_is_sound = info.largest_z < LARGEST_SANE_Z
            zeros = [jnp.sum(0 * w) for w in (info.loss, *jax.tree.leaves(state.params))]  # nan where w is not finite
            sound = chain_is_sound & (sum(zeros) == 0)
            failure = jnp.where(chain_is_sound, LEARNING_DIVERGED, CHAIN_DIVERGED)
            loss = jnp.where(info.num_seen > 0, info.loss, run.losses[t - 1])  # of a batch that shows nothing: the last
            typed = lambda new, old: new if new.dtype == old.dtype else new.astype(old.dtype)  # a state keeps its types
            acceptance = jnp.asarray(NONE if info.acceptance is None else info.acceptance, jnp.float32)
            losses = run.losses.at[t].set(loss.astype(run.losses.dtype))
            after = Run(jax.tree.map(typed, state, run.state), losses, acceptance, jnp.full((), SOUND))
            before = run._replace(acceptance=acceptance, failure=failure)
            return jax.lax.cond(sound, lambda: after, lambda: before)

        return jax.lax.while_loop(lambda run: (run.state.iteration < stop) & (run.failure == SOUND), body, run)

    return advance


def compiled_ahead(advance: Callable, *arguments: Any) -> Callable[[], Callable]:
    """Compiles advance(*arguments) beside what the caller does next. Returns a function that waits for the program.

    Traced here, where the caller's settings of jax hold, and compiled in a thread. The program takes arguments of the
    same shapes and types, on the same device.
    """
    executor = ThreadPoolExecutor(1, thread_name_prefix="compile")
    program = executor.submit(advance.lower(*arguments).compile)
    executor.shutdown(wait=False)
    return program.result


def compile_phases(
    phases: list[tuple[Callable, int]],
    batch: Callable,
    state: ABPState,
    done: int,
    images: jax.Array,
    masks: jax.Array | None,
) -> tuple[list[tuple[Callable, int]], dict[Callable, Callable]]:
    """Returns (advance, end) for phases (iterate, end), and the `ready` of `calls`.

    The first phase that is left after `done` iterations is compiled beside what the caller does next, for a state like
    this one; nothing is on a mesh, where the first program settles where arrays are. All but the last one are over
    soon: see `compile_advance`.
    """
    last = phases[-1][0]
    phases = [(compile_advance(iterate, batch, soon=iterate is not last), end) for iterate, end in phases]
    left = phases_left(phases, done)
    if not left or len(state.z.devices()) > 1:
        return phases, {}
    (advance, end), like = left[0], _run_at(state, np.zeros(0), phases[-1][1])
    return phases, {advance: compiled_ahead(advance, like, images, masks, end)}


def phases_left(phases: list[tuple[Callable, int]], done: int) -> list[tuple[Callable, int]]:
    """Returns those of the phases (advance, end) that have something to do after `done` iterations."""
    ends = [done, *(end for _, end in phases)]
    return [phase for phase, before in zip(phases, ends, strict=False) if max(before, done) < phase[1]]


def calls(
    run: Run,
    images: jax.Array,
    masks: jax.Array | None,
    phases: list[tuple[Callable, int]],
    ready: dict[Callable, Callable],
    every: int,
    stop_requested: Callable[[], bool],
) -> Iterator[tuple[Run, int]]:
    """Iterates in calls of about CHUNK_SECONDS, until all phases are done, one iteration fails, or a stop is requested.

    Args:
      run: where to begin.
      images, masks: on the device.
      phases: (advance, end) in order: which program, and up to which iteration.
      ready: of the advance that is being compiled already, the function that waits for its program.
      every: a call ends at every multiple of this, for checkpoints.
      stop_requested: see `stop_requests`.

    Yields:
      After every call, the Run and how many iterations are done. Earlier Runs must not be used any more.
    """
    done, length, seconds, ready = int(run.state.iteration), 1, CHUNK_SECONDS, dict(ready)
    left = phases_left(phases, done)
    ahead = len(run.state.z.devices()) == 1
    for (advance, end), following in zip_longest(left, left[1:]):
        if compiled := advance in ready:
            advance = ready[advance]()
        first, to_compile = True, ahead and following is not None
        while done < end:
            beside = to_compile and not first  # the first iteration is to be there soon
            if beside and compiled:
                length = max(1, int(TRACING_SECONDS / seconds))
            next_stop = min(end, done + length, (done // every + 1) * every)
            next_stop, stop_now = agreed(next_stop, stop_requested())
            if stop_now:
                return
            begin = time.perf_counter()
            run = advance(run, images, masks, next_stop)
            if beside:  # while the device computes
                ready[following[0]] = compiled_ahead(following[0], run, images, masks, following[1])
                to_compile = False
            failure, before, done = int(run.failure), done, int(run.state.iteration)
            seconds = (time.perf_counter() - begin) / max(1, done - before)
            yield run, done
            if failure != SOUND:
                return
            if not first:  # which may be slow for another reason
                length = max(1, min(4 * length, int(CHUNK_SECONDS / seconds)))
            first = False


def batch_indices(
    key: jax.Array, iteration: jax.Array | int, num_examples: int, batch_size: int, multiple: int = 1
) -> jax.Array:
    """Returns the examples of one iteration: passes over shuffled examples, the last partial batch included.

    All batches have the same length, a multiple of `multiple`; what a batch lacks is filled up with `num_examples`,
    which `learning.iterate` takes as padding.
    """
    length = -(-min(batch_size, num_examples) // multiple) * multiple
    if batch_size >= num_examples:
        return jnp.pad(jnp.arange(num_examples), (0, length - num_examples), constant_values=num_examples)
    batches = -(-num_examples // batch_size)
    order_key = jax.random.fold_in(jax.random.fold_in(key, iteration // batches), num_examples)
    order = jax.random.permutation(order_key, num_examples)
    order = jnp.pad(order, (0, batches * batch_size - num_examples), constant_values=num_examples)
    batch = jax.lax.dynamic_slice(order, (iteration % batches * batch_size,), (batch_size,))
    return jnp.pad(batch, (0, length - batch_size), constant_values=num_examples)


class stop_requests:
    """Defers the first SIGINT (Ctrl-C, the stop button) to a flag read between two calls; the second interrupts.

    An exception in the middle of a call could lose the state, whose memory the call reuses. `with` gives the flag, a
    function.
    """

    def __enter__(self) -> Callable[[], bool]:
        self.requests, self.before = [], None
        if threading.current_thread() is threading.main_thread():  # signals go to the main thread
            self.before = signal.signal(signal.SIGINT, self._remember)
        return lambda: bool(self.requests)

    def __exit__(self, *_) -> None:
        if self.before is not None:
            signal.signal(signal.SIGINT, self.before)

    def _remember(self, signum, frame):
        if self.requests:
            raise KeyboardInterrupt
        self.requests.append(signum)

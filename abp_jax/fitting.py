"""Algorithm 1 from first guess to result, with progress, callbacks, a stop button and restarts."""

import hashlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from tqdm import tqdm

from abp_jax import checkpoints, learning, loop
from abp_jax.checks import (
    Chain,
    check_chain,
    check_positive,
    check_resume,
    check_whitening,
    noise_images,
    observe,
    smallest_sigma,
)
from abp_jax.generators import ConvGenerator, functional, with_params
from abp_jax.stability import why_diverged

WHERE_THE_REST_IS = "The result of the iterations before is in this error's attribute `result`."


class FitResult(NamedTuple):
    """What `fit` returns.

    Attributes:
      generator: the learned generator, a new object.
      z: the inferred latent vectors, (n, d).
      losses: mean squared reconstruction error per number of y, one for each iteration done.
      state: the whole ABPState.
      sigma: standard deviation of the noise: as given, as learned, or as annealed in the last iteration.
      acceptance: share of the proposals that the chains of the last iteration accepted; nan without an accept step.
      chain: the settings of the chains, with the defaults filled in and this sigma.
    """

    generator: nnx.Module
    z: jax.Array
    losses: np.ndarray
    state: learning.ABPState
    sigma: float
    acceptance: float = float("nan")
    chain: Chain | None = None


class ChainDiverged(FloatingPointError):
    """A Langevin chain left every reasonable range. `result` is the FitResult of the last sound iteration."""

    def __init__(self, message: str, result: FitResult):
        super().__init__(message)
        self.result = result


def fit(
    generator: nnx.Module,
    images: jax.Array,
    num_iterations: int = 600,
    *,
    key: jax.Array,
    # what is observed
    mask: jax.Array | None = None,
    measure: Callable | None = None,
    # inference
    sigma: float | Callable = 0.3,
    learn_sigma: bool = False,
    sampler: str | None = None,
    num_steps: int | None = None,
    step_size: float | None = None,
    whitening: bool = True,
    # learning
    num_warmup: int = 20,
    learning_rate: float | optax.Schedule | None = None,
    weight_decay: float = 0.0,
    batch_size: int | None = None,
    # running
    mesh: jax.sharding.Mesh | None = None,
    checkpoint_dir: str | Path | None = None,
    checkpoint_every: int = 50,
    resume: FitResult | None = None,
    progress: bool = True,
    callback: Callable[[int, Callable[[], FitResult]], None] | None = None,
) -> FitResult:
    """Learns a generator by alternating back-propagation (seed Algorithm 1).

    Stopping it (the stop button, Ctrl-C) returns what the last complete iteration reached.

    Args:
      generator: where W starts; it is not changed. Needs `latent_dim` and, for whitening, a linear layer `first`.
      images: (n, ...), n observations of the shape that the generator gives. Images as uint8, from 0 to 255, stay so
        in memory and are decoded to [-1, 1] batch by batch.
      num_iterations: how many iterations in all, those of `resume` or of a checkpoint included.
      key: `jax.random.key(seed)`; the whole run follows from it.
      mask: True where a pixel is seen, of the shape of images or without their last axis; by default all are. What is
        hidden is erased before anything else, and may have been anything. The losses are of what is seen.
      measure: A, a linear function of one image, if A(image) is all that is observed: `images` are these observations,
        (n, ...), in units in which e has the standard deviation sigma.
      sigma: standard deviation of the noise e, in the units of the images. Or, to anneal it, a function of the number
        of iterations done, for instance an optax schedule: `optax.exponential_decay(1.0, 100, 0.5, end_value=0.1)`.
      learn_sigma: after each iteration that infers z, sigma moves to the root mean square of y - f(z), where z is a
        draw from the posterior (see `learning.next_sigma`). It starts at `sigma`, or where `resume` left it. Few images
        and a large network make it small: W learns the images by heart, and sigma follows.
      sampler: "gauss_newton" (preconditioned Langevin; a step costs d forward derivatives; the default up to d = 8),
        "adapted_langevin" (Langevin at a fraction of each example's largest stable step, whose cost does not grow with
        d; the default above), "preconditioned_langevin" (the same in coordinates that suit the mean posterior, which
        mixes far better where there are images enough), "langevin" (plain, seed equation 7); "gauss_newton_mala" or
        "mala", with an accept step.
      num_steps: steps for each example in an iteration; by default 5 for the Gauss-Newton samplers, 20 for
        "adapted_langevin", 10 for "preconditioned_langevin" and 30 for "langevin" and "mala".
      step_size: s, by default 0.5 for the Gauss-Newton samplers, whose s has no unit, and 0.01 for "langevin" and
        "mala"; for the adapted and the preconditioned one the fraction, by default 0.5.
      whitening: after each inference, give z mean 0 and covariance I over the examples (see `learning.whiten`).
      num_warmup: how many of the iterations, at the start, learn W alone with z as drawn from the prior. W then knows
        the mean of the data before anything is inferred; else the first chains would make up for it with a huge z.
      learning_rate: of Adam, with b1 = 0.5 as in the exercise. A number is kept for the first half and then falls to 0
        along a cosine; a schedule is used as it is. By default 2e-3, for wide networks less (`default_learning_rate`).
      weight_decay: shrinks W by this times the learning rate in each iteration (AdamW), much as a Gaussian prior
        on W would. 0 turns it off; some tenths make a ConvNet's images cleaner where no training image is near.
      batch_size: examples for each iteration, by default all. The last batch of a pass may be smaller.
      mesh: devices to share the examples among, for instance `jax.make_mesh((4,), ("examples",))`; by default one
        device. The result is the same to rounding. In a run of several processes each passes the same arguments.
      checkpoint_dir: folder where the state is saved every `checkpoint_every` iterations and at the end. If it already
        holds a checkpoint of the same settings, the run continues from it, to the same bits. (Two schedules count as
        the same.)
      checkpoint_every: iterations between two checkpoints.
      resume: a FitResult to continue from. Settings may differ, for instance a smaller sigma in every stage; the chains
        keep the key that they began with.
      progress: show a progress bar.
      callback: called as callback(done, snapshot) with the number of iterations done, for instance a `TrainingMonitor`:
        before the first iteration, after every compiled call (about five times a second), and once more with the same
        number when the run has ended, by itself, by the stop button or because a chain diverged. During the call
        snapshot() returns the FitResult so far, a copy that stays good; of several processes all ask for it, or none.
        What the callback raises ends the run, after a checkpoint if there is a checkpoint_dir, and carries the
        FitResult in its attribute `result`.

    Raises:
      ValueError: arguments that don't fit together, for instance learn_sigma with a schedule, or a checkpoint of other
        settings.
      ChainDiverged: a chain diverged; the message says when, and which step size would be stable.
    """
    generate, images, mask = observe(generator, images, mask, measure)
    batch_size = len(images) if batch_size is None else batch_size
    check_positive(num_iterations=num_iterations, batch_size=batch_size, checkpoint_every=checkpoint_every)
    if callback is not None and (isinstance(callback, type) or not callable(callback)):
        raise ValueError(f"callback must be a function of done and snapshot, or a TrainingMonitor, got {callback}.")
    lowest = smallest_sigma(sigma, learn_sigma, num_iterations)
    chain = check_chain(generator.latent_dim, lowest, sampler, num_steps, step_size)
    if whitening:
        check_whitening(generator, images)
    _, params = functional(generator)
    learning_rate = default_learning_rate(generator) if learning_rate is None else learning_rate
    rate = learning_rate if callable(learning_rate) else constant_then_cosine(learning_rate, num_iterations)
    optimizer = optax.adamw(rate, b1=0.5, weight_decay=weight_decay)
    state = learning.init(params, optimizer, len(images), generator.latent_dim, key)
    state = state._replace(sigma=jnp.float32(sigma) if learn_sigma else None)
    losses = np.zeros(0)
    settings = chain._asdict() | dict(
        whitening=bool(whitening),
        num_warmup=int(num_warmup),
        learning_rate="a schedule" if callable(learning_rate) else [float(learning_rate), int(num_iterations)],
        weight_decay=float(weight_decay),
        batch_size=int(batch_size),
        key=jax.random.key_data(key).tolist(),
        images=_fingerprint(images),
    )
    if callable(sigma):
        settings["sigma"], chain = "a schedule", chain._replace(sigma=sigma)
    if learn_sigma:  # recorded only then: checkpoints of earlier versions are still good
        settings["learn_sigma"] = True
    if mask is not None:
        settings["mask"] = _fingerprint(mask)
    if measure is not None:
        settings["measure"] = _fingerprint(np.asarray(measure(noise_images(generator, 1)[0])))
    if resume is not None:
        check_resume(resume.state, state)
        learned = resume.state.sigma if learn_sigma and resume.state.sigma is not None else state.sigma
        state, losses = resume.state._replace(sigma=learned), resume.losses
        settings["resumed_from"] = len(losses)

    devices = loop.Devices(mesh or _mesh_of(images))
    state = devices.replicate(state)._replace(z=devices.spread(state.z))
    images, mask = devices.spread(images), None if mask is None else devices.spread(mask)
    if checkpoint_dir is not None and checkpoints.exists(checkpoint_dir):
        state, losses = checkpoints.restore(checkpoint_dir, state, settings)
    elif checkpoint_dir is not None:
        checkpoints.save(checkpoint_dir, state, losses, settings)  # if it can't be written, say so before the work

    learn = partial(learning.learn, generate=generate, optimizer=optimizer, sigma=chain.sigma)
    iterate = partial(learning.iterate, generate=generate, optimizer=optimizer, whitening=whitening, **chain._asdict())
    batch = lambda t: devices.share_out(loop.batch_indices(key, t, len(images), batch_size, devices.size))
    phases = [
        (loop.compile_advance(learn, batch), min(num_warmup, num_iterations)),
        (loop.compile_advance(iterate, batch), num_iterations),
    ]
    start = run = loop.start(state, losses, num_iterations)
    done = len(losses)
    save = lambda: checkpoint_dir and checkpoints.save(checkpoint_dir, run.state, _losses(run, done), settings)
    result = lambda run: _result(generator, run, done, devices, chain)
    snapshot = lambda: result(jax.tree.map(jnp.copy, run))  # the next call overwrites the memory of `run`
    report = lambda: callback is None or _report(callback, done, snapshot, save)
    silent = not progress or jax.process_index() > 0
    bar = partial(tqdm, total=num_iterations, initial=done, disable=silent, file=sys.stdout, ncols=78, mininterval=0.5)
    with loop.stop_requests() as stop_requested:
        report()  # before the bar, which thus stays below a picture
        with bar() as bar:
            for run, done in loop.calls(start, images, mask, phases, checkpoint_every, stop_requested):
                if run.failure != loop.SOUND:
                    break
                acceptance = float(run.acceptance)
                accepted = "" if np.isnan(acceptance) else f", accepted {acceptance:.0%}"
                bar.set_postfix_str(f"error {float(run.losses[done - 1]):.4f}{accepted}", refresh=False)
                bar.update(done - bar.n)
                if done % checkpoint_every == 0:
                    save()
                report()
            if run.failure == loop.SOUND and done < num_iterations:
                bar.write(f"Stopped after {done} of {num_iterations} iterations; the result so far is returned.")
        try:
            if run.failure != loop.SOUND:
                cause = why_diverged(generate, run, images, batch(done), chain, done >= num_warmup, mask)
                message = f"Diverged at iteration {done + 1} with step_size={chain.step_size:g}. {cause}"
                raise ChainDiverged(f"{message} {WHERE_THE_REST_IS}", result(run))
            save()
        finally:
            report()
    return result(run)


def _report(callback, done, snapshot, save):
    """Calls the callback. Its own error is raised as it is, but nothing learned is lost by it."""
    try:
        callback(done, snapshot)
    except Exception as error:
        save()
        error.result = snapshot()
        error.add_note(f"Raised by the callback of fit after {done} iterations. {WHERE_THE_REST_IS}")
        raise


def default_learning_rate(generator: nnx.Module) -> float:
    """Returns 2e-3; for a ConvGenerator whose widest layer has more than 256 features in proportion less.

    Adam moves every weight by about the learning rate, so the output of a layer moves with the number of its inputs
    (Yang and Hu, ICML 2021). With 512 features and 64 x 64 pixels the error swings at 2e-3 and falls at 1e-3.
    """
    widest = max(generator.features) if isinstance(generator, ConvGenerator) else 1
    return 2e-3 * min(1.0, 256 / widest)


def constant_then_cosine(learning_rate: float, num_iterations: int) -> optax.Schedule:
    """Returns the schedule of `fit`: constant for the first half of the iterations, then along a cosine to 0."""
    half = num_iterations // 2
    fall = optax.cosine_decay_schedule(learning_rate, max(1, num_iterations - half))
    return optax.join_schedules([optax.constant_schedule(learning_rate), fall], [half])


def _result(generator, run, done, devices, chain):
    params, z = devices.gather((run.state.params, run.state.z))
    sigma = float(learning.noise_level(run.state._replace(iteration=max(0, done - 1)), chain.sigma))
    generator, chain = with_params(generator, params), chain._replace(sigma=sigma)
    return FitResult(generator, z, _losses(run, done), run.state, sigma, float(run.acceptance), chain)


def _losses(run, done):
    return np.asarray(run.losses, np.float64)[:done]


def _mesh_of(images):
    """The mesh of images that come spread over one already, else None."""
    sharding = getattr(images, "sharding", None)
    return sharding.mesh if isinstance(sharding, jax.sharding.NamedSharding) and sharding.mesh.size > 1 else None


def _fingerprint(images):
    if isinstance(images, jax.Array) and not images.is_fully_addressable:
        return f"{images.dtype}{images.shape}"  # no process has all of them
    return hashlib.sha256(np.ascontiguousarray(images).tobytes()).hexdigest()[:16]

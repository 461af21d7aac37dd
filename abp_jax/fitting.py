"""Algorithm 1 from first guess to result, with progress, a stop button, restarts and an explanation of failures."""

import hashlib
import math
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from tqdm import tqdm

from abp_jax import checkpoints, langevin, learning, model
from abp_jax.generators import functional, with_params
from abp_jax.inference import check_chain, check_images, check_positive

LARGEST_SANE_Z = 1e3  # the prior gives |z| of about 1: a chain out here has left for good


class FitResult(NamedTuple):
    """What `fit` returns.

    Attributes:
      generator: the learned generator, a new object.
      z: the inferred latent vectors, (n, d).
      losses: mean squared reconstruction error per number of y, one for each iteration done.
      state: the whole ABPState.
    """

    generator: nnx.Module
    z: jax.Array
    losses: np.ndarray
    state: learning.ABPState


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
    # inference
    sigma: float = 0.3,
    sampler: str = "gauss_newton",
    num_steps: int = 8,
    step_size: float | None = None,
    whitening: bool = True,
    # learning
    num_warmup: int = 20,
    learning_rate: float | optax.Schedule = 2e-3,
    weight_decay: float = 0.0,
    batch_size: int | None = None,
    # running
    checkpoint_dir: str | Path | None = None,
    resume: FitResult | None = None,
    progress: bool = True,
) -> FitResult:
    """Learns a generator by alternating back-propagation (seed Algorithm 1).

    Stopping it (the stop button, Ctrl-C) returns what the last complete iteration reached.

    Args:
      generator: where W starts; it is not changed. Needs `latent_dim` and, for whitening, a linear layer `first`.
      images: (n, ...), n observations of the shape that the generator gives.
      num_iterations: how many iterations in all, those of `resume` or of a checkpoint included.
      key: `jax.random.key(seed)`; the whole run follows from it.
      sigma: standard deviation of the noise e, in the units of the images.
      sampler: "gauss_newton" (preconditioned Langevin), or "langevin" (plain, seed equation 7).
      num_steps: Langevin steps for each example in an iteration.
      step_size: s; by default 0.5 for "gauss_newton", whose s has no unit, and 0.01 for "langevin".
      whitening: after each inference, give z mean 0 and covariance I over the examples (see `learning.whiten`).
      num_warmup: how many of the iterations, at the start, learn W alone with z as drawn from the prior. W then knows
        the mean of the data before anything is inferred; else the first chains would make up for it with a huge z.
      learning_rate: of Adam, with b1 = 0.5 as in the exercise. A number is kept for the first half and then falls to 0
        along a cosine; a schedule is used as it is.
      weight_decay: shrinks W by this times the learning rate in each iteration (AdamW), much as a Gaussian prior
        on W would. 0 turns it off; some tenths make a ConvNet's images cleaner where no training image is near.
      batch_size: examples for each iteration, by default all. The last batch of a pass may be smaller.
      checkpoint_dir: folder where the state is saved every 50 iterations and at the end. If it already holds a
        checkpoint of the same settings, the run continues from it, to the same bits. (Two schedules count as the same.)
      resume: a FitResult to continue from. Settings may differ, for instance a smaller sigma in every stage; the chains
        keep the key that they began with.
      progress: show a progress bar.

    Raises:
      ValueError: arguments that don't fit together, or a checkpoint of other settings.
      ChainDiverged: a chain diverged; the message says when, and which step size would be stable.
    """
    images = jnp.asarray(images, jnp.float32)
    check_images(generator, images)
    step_size = check_chain(sigma, sampler, num_steps, step_size)
    check_positive(num_iterations=num_iterations, batch_size=1 if batch_size is None else batch_size)
    if whitening:
        _check_whitening(generator, images)
    batch_size = batch_size or len(images)
    generate, params = functional(generator)
    optimizer = optax.adamw(_schedule(learning_rate, num_iterations), b1=0.5, weight_decay=weight_decay)
    state = learning.init(params, optimizer, len(images), generator.latent_dim, key)
    losses: list[float] = []
    settings = dict(
        sigma=float(sigma),
        sampler=sampler,
        num_steps=int(num_steps),
        step_size=float(step_size),
        whitening=bool(whitening),
        num_warmup=int(num_warmup),
        learning_rate="a schedule" if callable(learning_rate) else [float(learning_rate), int(num_iterations)],
        weight_decay=float(weight_decay),
        batch_size=int(batch_size),
        key=jax.random.key_data(key).tolist(),
        images=_fingerprint(images),
    )
    if resume is not None:
        _check_resume(resume.state, state)
        state, losses = resume.state, list(resume.losses)
        settings["resumed_from"] = len(losses)
    if checkpoint_dir is not None and checkpoints.exists(checkpoint_dir):
        state, losses = checkpoints.restore(checkpoint_dir, state, settings)
    elif checkpoint_dir is not None:
        checkpoints.save(checkpoint_dir, state, losses, settings)  # if it can't be written, say so before the work

    learn = partial(learning.learn, generate=generate, optimizer=optimizer, sigma=sigma)
    iterate = partial(
        learning.iterate,
        generate=generate,
        optimizer=optimizer,
        sigma=sigma,
        sampler=sampler,
        step_size=step_size,
        num_steps=num_steps,
        whitening=whitening,
    )
    learn, iterate = jax.jit(learn), jax.jit(iterate)
    result = partial(_result, generator)
    start = len(losses)
    bar = tqdm(total=num_iterations, initial=start, disable=not progress, file=sys.stdout, ncols=78, mininterval=0.5)
    with bar:
        try:
            for t in range(start, num_iterations):
                advance = learn if t < num_warmup else iterate
                new_state, info = advance(state, images, batch_indices(key, t, len(images), batch_size))
                loss = float(info.loss)
                if not (math.isfinite(loss) and float(info.largest_z) < LARGEST_SANE_Z):
                    in_chain = t >= num_warmup and not float(info.largest_z) < LARGEST_SANE_Z
                    cause = _why_chain(generate, state, images, sigma, sampler) if in_chain else LEARNING_DIVERGED
                    message = f"Diverged at iteration {t + 1} with step_size={step_size:g}. {cause} {WHERE_THE_REST_IS}"
                    raise ChainDiverged(message, result(state, losses))
                state, losses = new_state, [*losses, loss]
                bar.set_postfix_str(f"error {loss:.4f}", refresh=False)
                bar.update()
                if checkpoint_dir is not None and (t + 1) % 50 == 0:
                    checkpoints.save(checkpoint_dir, state, losses, settings)
        except KeyboardInterrupt:
            bar.write(f"Stopped after {len(losses)} of {num_iterations} iterations; the result so far is returned.")
    if checkpoint_dir is not None:
        checkpoints.save(checkpoint_dir, state, losses, settings)
    return result(state, losses)


def batch_indices(key: jax.Array, iteration: int, num_examples: int, batch_size: int) -> jax.Array:
    """Returns the examples of one iteration: passes over shuffled examples, the last partial batch included."""
    if batch_size >= num_examples:
        return jnp.arange(num_examples)
    batches = -(-num_examples // batch_size)
    order_key = jax.random.fold_in(jax.random.fold_in(key, iteration // batches), num_examples)
    start = iteration % batches * batch_size
    return jax.random.permutation(order_key, num_examples)[start : start + batch_size]


def _schedule(learning_rate, num_iterations):
    if callable(learning_rate):
        return learning_rate
    half = num_iterations // 2
    fall = optax.cosine_decay_schedule(learning_rate, max(1, num_iterations - half))
    return optax.join_schedules([optax.constant_schedule(learning_rate), fall], [half])


def _result(generator, state, losses):
    return FitResult(with_params(generator, state.params), state.z, np.asarray(losses), state)


def _fingerprint(images):
    return hashlib.sha256(np.ascontiguousarray(images).tobytes()).hexdigest()[:16]


def _check_whitening(generator, images):
    if not hasattr(generator, "first"):
        raise ValueError("whitening needs a linear layer named `first` in the generator; or pass whitening=False.")
    if set(functional(generator)[1]["first"]) != {"kernel", "bias"}:
        raise ValueError("whitening needs a layer `first` with a kernel and a bias; or pass whitening=False.")
    if len(images) <= generator.latent_dim:
        raise ValueError(
            f"whitening needs more examples than latent dimensions, got {len(images)} examples and latent_dim "
            f"{generator.latent_dim}. Add examples, lower latent_dim, or pass whitening=False."
        )


def _check_resume(old, fresh):
    shapes = [[leaf.shape for leaf in jax.tree.leaves((s.params, s.z))] for s in (old, fresh)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"resume has parameters and z of shapes {shapes[0]}, this generator and these images need {shapes[1]}. "
            "Resume with the generator and the images of that run."
        )


LEARNING_DIVERGED = (
    "The chains are sound, but the loss is not finite: W itself has diverged. Lower learning_rate, and check that the "
    "data are scaled to about 1."
)
WHERE_THE_REST_IS = "The result of the iterations before is in this error's attribute `result`."


def _why_chain(generate, state, images, sigma, sampler):
    if sampler == "gauss_newton":
        return (
            "A Langevin chain left every reasonable range. Gauss-Newton Langevin is stable below a step_size of 2 "
            "where f is nearly linear, and 0.5 is a good choice. Data far from the scale of 1 need scaling."
        )
    f = partial(generate, state.params)
    precisions = jax.vmap(lambda z, y: langevin.precision(lambda z: model.residual(f, z, y, sigma), z))(state.z, images)
    stable = float(jnp.min(langevin.largest_stable_step(precisions)))
    return (
        f"A Langevin chain left every reasonable range: where W stands, the largest stable step is {stable:.2g}. "
        "Pass a step_size below that (it shrinks as W learns: half of it is safer), or use "
        'sampler="gauss_newton", whose step has no unit.'
    )

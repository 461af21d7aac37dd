"""Algorithm 1 from first guess to result, with progress, callbacks, a stop button and restarts."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from abp_jax import learning
from abp_jax.generators import functional, with_params
from abp_jax.images.observation import observe
from abp_jax.inference import Chain
from abp_jax.model import Noise
from abp_jax.training import checkpoints, loop, optimizers, settings
from abp_jax.training.devices import Devices, mesh_of
from abp_jax.training.optimizers import constant_then_cosine, default_learning_rate  # noqa: F401
from abp_jax.training.session import Session, begin_or_continue
from abp_jax.training.stability import why_diverged


class FitResult(NamedTuple):
    """What `fit` returns.

    Attributes:
      generator: the learned generator, a new object.
      z: the inferred latent vectors, (n, d).
      losses: mean squared error per number of y (of bits -2 log p(y | z) per bit), one for each iteration done.
      state: the whole ABPState.
      sigma: of the noise: as given, as learned, or as annealed in the last iteration; of bits `Bernoulli()`.
      acceptance: share of proposals accepted in the last iteration; nan without a Metropolis correction.
      chain: the settings of the chains, with the defaults filled in and this sigma.
    """

    generator: nnx.Module
    z: jax.Array
    losses: np.ndarray
    state: learning.ABPState
    sigma: Noise
    acceptance: float = float("nan")
    chain: Chain | None = None


class ChainDiverged(FloatingPointError):
    """A chain, or W, left every reasonable range. `result` is the FitResult of the last sound iteration."""

    def __init__(self, message: str, result: FitResult):
        super().__init__(message)
        self.result = result


def fit(
    generator: nnx.Module,
    images: jax.Array,
    num_iterations: int | None = None,
    *,
    key: jax.Array,
    # what is observed
    mask: jax.Array | None = None,
    measure: Callable | None = None,
    # inference
    sigma: Noise | Callable = 0.3,
    learn_sigma: bool = False,
    sampler: str | None = None,
    num_steps: int | None = None,
    step_size: float | None = None,
    prior_draws: int | None = None,
    whitening: bool = True,
    # learning
    num_warmup: int = 20,
    optimizer: optax.GradientTransformation | None = None,
    learning_rate: float | optax.Schedule | None = None,
    weight_decay: float | None = None,
    batch_size: int | None = None,
    # running
    mesh: jax.sharding.Mesh | None = None,
    checkpoint_dir: str | Path | None = None,
    checkpoint_every: int = 50,
    resume: FitResult | None = None,
    progress: bool = True,
    callback: Callable[[int, Callable[[], FitResult]], None] | None = None,
) -> FitResult:
    """Learns a generator by alternating back-propagation (Han, Lu, Zhu and Wu, AAAI 2017, Algorithm 1).

    Stopping it (the stop button, Ctrl-C) returns what the last complete iteration reached.

    Args:
      generator: where W starts; it is not changed. Needs `latent_dim` and, for whitening, a linear layer `first`.
      images: (n, ...), n observations of the shape that the generator gives. Images as uint8, from 0 to 255, stay so
        in memory and are decoded to [-1, 1] batch by batch.
      num_iterations: how many iterations in all, those of `resume` or of a checkpoint included. By default 600, and 200
        where Muon learns from all images at once (see optimizer).
      key: `jax.random.key(seed)`; the whole run follows from it.
      mask: True where a pixel is seen, of the shape of images or without their last axis; by default all are. What is
        hidden is erased before anything else. The losses are of what is seen.
      measure: A, a linear function of one image, if A(image) is all that is observed: `images` are these observations,
        (n, ...), in units in which e has the standard deviation sigma.
      sigma: standard deviation of the noise e, in the units of the images. Or, to anneal it, a function of the number
        of iterations done, such as an optax schedule: `optax.exponential_decay(1.0, 100, 0.5, end_value=0.1)`. Or
        `abp.Bernoulli()`, where images are bits, 0.0 and 1.0, and the generator gives their logits.
      learn_sigma: after each iteration that infers z, sigma moves to the root mean square of y - f(z), where z is a
        draw from the posterior (see `learning.next_sigma`). It starts at `sigma`, or where `resume` left it. Few images
        and a large network make it small: W learns the images by heart, and sigma follows.
      sampler: a name in `samplers.KINDS`. "gauss_newton_mala" is preconditioned Langevin with a Metropolis correction,
        of which a step costs d forward derivatives: the default up to d = 8. "gauss_newton" is the same without the
        correction. "adapted_langevin" is Langevin at a fraction of each example's largest stable step, whose cost does
        not grow with d: the default above. "preconditioned_langevin" is the same in coordinates that suit the mean
        posterior: better with many images. "langevin" is the unadjusted one. The rest have a Metropolis correction.
      num_steps, step_size: of the chain of each example in an iteration, by default as in `samplers.KINDS`. A step size
        has no unit for the Gauss-Newton samplers; for the adapted and the preconditioned one it is the fraction.
      prior_draws: how many draws of the prior each chain may go to before its steps, which takes it from one mode of
        p(z | y) to another (see `inference.jump`). By default a tenth of the batch, from 20 examples on and where no
        sampler is named and d is at most 8; else none.
      whitening: after each inference, give z mean 0 and covariance I over the examples (see `learning.whiten`).
      num_warmup: iterations at the start that learn W alone, at z drawn from the prior. The network then gives the mean
        image before inference begins; else the chains make up for a wrong mean with a very large z.
      optimizer: any of optax, such as `optax.adamw(1e-3)`, used as it is. By default AdamW with b1 = 0.5, as in the
        exercise; for layers of convolution Muon, which takes a third of the iterations (see `training.optimizers`).
      learning_rate: of AdamW; Muon's is a fixed multiple (`optimizers.RATIO`). A number is kept for the first
        half and then falls to 0 along a cosine, Muon's from the start where it learns from all images at once; a
        schedule is used as it is. By default see `default_learning_rate`.
      weight_decay: shrinks W by this times the learning rate, Muon's or AdamW's, in each iteration, much as a Gaussian
        prior on W would. By default 0 for AdamW and 0.4 with Muon: images are cleaner where no training image is near.
      batch_size: examples for each iteration, by default all. The last batch of a pass may be smaller.
      mesh: devices to share the examples among, for instance `jax.make_mesh((4,), ("examples",))`; by default one
        device. The result is the same to rounding. In a run of several processes each passes the same arguments.
      checkpoint_dir: folder where the state is saved every `checkpoint_every` iterations and at the end. From a
        checkpoint of the same settings the run continues, to the same bits. (Two schedules count as the same, and so do
        two optimizers with the same first updates.)
      checkpoint_every: iterations between two checkpoints.
      resume: a FitResult to continue from. Settings may differ, for instance a smaller sigma in every stage; the chains
        keep the key that they began with. An optimizer whose state has another form begins afresh.
      progress: show a progress bar.
      callback: called as callback(done, snapshot) with the number of iterations done, for instance a `TrainingMonitor`:
        before the first iteration, after every compiled call (about five times a second), and once more with the same
        number when the run has ended, however it did. During the call snapshot() returns the FitResult so far, a copy
        that stays good; of several processes all ask for it, or none. What the callback raises ends the run, after a
        checkpoint if there is a checkpoint_dir, and carries the FitResult in its attribute `result`.

    Raises:
      TypeError, ValueError: arguments of a wrong type or that don't fit together; a checkpoint of other settings, or a
        checkpoint_dir that another run is using.
      ChainDiverged: a chain diverged; the message says when, and which step size would be stable.
    """
    devices = Devices(mesh or mesh_of(images))
    generate, images, mask = observe(generator, images, mask, measure)
    given = optimizers.iterations(num_iterations, optimizer, generator, batch_size), batch_size, checkpoint_every
    num_iterations, batch_size, checkpoint_every = settings.counts(len(images), *given)
    settings.check(generator, images, sigma, key, num_warmup, callback)
    lowest, losses = settings.smallest_sigma(sigma, learn_sigma, num_iterations), np.zeros(0)
    given = lowest, sampler, num_steps, step_size, prior_draws, batch_size, len(images)
    chain = settings.chain(generator.latent_dim, *given)
    given = learning_rate, num_iterations, weight_decay, batch_size < len(images)
    optimizer, rates = optimizers.choose(optimizer, generator, generate, *given)
    init = partial(learning.init, optimizer=optimizer, num_examples=len(images), latent_dim=generator.latent_dim)
    state = loop.first(init, functional(generator)[1], key)._replace(sigma=jnp.float32(sigma) if learn_sigma else None)
    if resume is not None:
        state, losses = settings.resumed(resume, state)
    plan = rates | dict(sigma=sigma, learn_sigma=learn_sigma, whitening=bool(whitening), num_warmup=int(num_warmup))
    plan |= dict(batch_size=batch_size, start=checkpoint_dir and (generate, state.params), resumed_from=len(losses))
    record = settings.record(chain, generator, images, key, mask, measure, **plan)
    chain = chain._replace(sigma=sigma) if callable(sigma) else chain
    state, images, mask = devices.distribute(state, images, mask)
    batch = lambda t: devices.share_out(loop.batch_indices(key, t, len(images), batch_size, devices.size))
    learn = partial(learning.learn, generate=generate, optimizer=optimizer, sigma=chain.sigma)
    iterate = partial(learning.iterate, generate=generate, optimizer=optimizer, chain=chain, whitening=whitening)
    phases = [(learn, min(num_warmup, num_iterations)), (iterate, num_iterations)]
    done = checkpoints.begins_at(checkpoint_dir, len(losses))
    phases, ready = loop.compile_phases(phases, batch, state, done, images, mask)
    if whitening:  # while the first program is compiled
        settings.check_whitening(generator, len(images))
    explain = lambda run, t: why_diverged(generate, run, images, batch(t), chain, t >= num_warmup, mask)
    save = partial(checkpoints.save, checkpoint_dir, settings=record) if checkpoint_dir is not None else None
    with checkpoints.in_use(checkpoint_dir):
        state, losses = begin_or_continue(checkpoint_dir, state, losses, record, num_iterations)
        run, result = loop.start(state, losses, num_iterations), partial(_result, generator, devices, chain)
        session = Session(run, len(losses), result, save, callback)
        return session.to_the_end(images, mask, phases, ready, checkpoint_every, progress, explain, ChainDiverged)


def _result(generator: nnx.Module, devices: Devices, chain: Chain, run: loop.Run, done: int):
    params, z = devices.gather((run.state.params, run.state.z))
    level = learning.noise_level(run.state._replace(iteration=max(0, done - 1)), chain.sigma)
    sigma = jax.tree.map(float, level)
    generator, chain = with_params(generator, params), chain._replace(sigma=sigma)
    return FitResult(generator, z, loop.losses(run, done), run.state, sigma, loop.acceptance(run), chain)

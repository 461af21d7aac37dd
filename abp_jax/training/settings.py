"""The settings of a run: checks before any work, where a resumed one begins, what the record of a checkpoint keeps."""

import hashlib
import itertools
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from abp_jax import learning
from abp_jax.compilation import compiler
from abp_jax.generators import functional
from abp_jax.images import arguments
from abp_jax.images.observation import check_bits, noise_images
from abp_jax.inference import SMALL_LATENT_DIM, Chain, check_chain
from abp_jax.learning import ABPState
from abp_jax.model import Bernoulli, Noise
from abp_jax.samplers import KINDS
from abp_jax.training import optimizers

BY_DEFAULT = "gauss_newton_mala"  # of `fit`, up to SMALL_LATENT_DIM


def smallest_sigma(sigma: Noise | Callable, learn_sigma: bool, num_iterations: int) -> Noise:
    """Returns the smallest sigma of a whole run; where it is learned, the one that it starts from; of bits, Bernoulli.

    Raises ValueError for a schedule, or Bernoulli, that is to be learned too, or for what is not positive throughout.
    """
    if isinstance(sigma, Bernoulli) and learn_sigma:
        raise ValueError("sigma is Bernoulli() and learn_sigma=True: bits have no sigma to learn. Drop learn_sigma.")
    if sigma is Bernoulli or not callable(sigma):
        return arguments.noise("sigma", sigma)
    if learn_sigma:
        raise ValueError(
            "sigma is a schedule and learn_sigma=True: it can't follow both. Pass a number to start from, or drop "
            "learn_sigma."
        )
    values = jax.vmap(lambda t: jnp.asarray(sigma(t), float))(jnp.arange(num_iterations))
    return arguments.number("sigma", np.min(values))


def counts(
    num_examples: int, num_iterations: int, batch_size: int | None, checkpoint_every: int
) -> tuple[int, int, int]:
    """Returns num_iterations, batch_size (all examples for None) and checkpoint_every, as ints.

    Raises TypeError for what is no whole number, ValueError for what is not positive.
    """
    batch_size = num_examples if batch_size is None else batch_size
    named = dict(num_iterations=num_iterations, batch_size=batch_size, checkpoint_every=checkpoint_every)
    return tuple(arguments.whole(name, value) for name, value in named.items())


def chain(
    latent_dim: int,
    sigma: Noise,
    sampler: str | None,
    num_steps: int | None,
    step_size: float | None,
    prior_draws: int | None,
    batch_size: int,
    num_examples: int,
) -> Chain:
    """Returns the settings of the chains of a run: those given, else the defaults of `fit`.

    Where no sampler is named and z is short: Gauss-Newton MALA, and for each ten examples of a batch a draw of the
    prior, which costs about one evaluation of f in ten; none below twenty, where it would be noticed.

    Raises as `inference.check_chain`, and for prior_draws that are not a whole number from 0 on.
    """
    by_default = sampler is None and latent_dim <= SMALL_LATENT_DIM
    given = check_chain(latent_dim, sigma, BY_DEFAULT if by_default else sampler, num_steps, step_size)
    at_once = None if batch_size < num_examples else KINDS[given.sampler].at_once
    if num_steps is None and at_once is not None:
        given = given._replace(num_steps=at_once)
    if prior_draws is None:
        prior_draws = batch_size // 10 if by_default and batch_size >= 20 else 0
    return given._replace(prior_draws=arguments.whole("prior_draws", prior_draws, least=0, of="draws"))


def check(
    generator: nnx.Module,
    images: jax.Array,
    sigma: Noise | Callable,
    key: jax.Array,
    num_warmup: int,
    callback: Callable | None,
) -> None:
    """Raises for arguments of `fit` that can't work: TypeError for a wrong type, else ValueError; with the name.

    All but what `check_whitening` finds.
    """
    arguments.key(key)
    check_bits(images, sigma)
    arguments.whole("num_warmup", num_warmup, least=None)
    if callback is not None and (isinstance(callback, type) or not callable(callback)):
        raise ValueError(f"callback must be a function of done and snapshot, or a TrainingMonitor, got {callback}.")
    for path, leaf in jax.tree_util.tree_flatten_with_path(functional(generator)[1])[0]:
        if leaf.dtype.itemsize < 4:
            raise TypeError(
                f"generator's parameter {jax.tree_util.keystr(path)} is of {leaf.dtype}, too coarse to be learned: "
                "make W with param_dtype=float32. What is computed from it may have 16 bits (dtype=)."
            )


def check_whitening(generator: nnx.Module, num_examples: int) -> None:
    """Raises ValueError unless f is the same before and after whitening: tried out, and with other weights too.

    It needs a layer `first` to absorb the map, which z enters and nothing else, and examples enough for a covariance.
    """
    otherwise = "Or pass whitening=False."
    generate, params = functional(generator)
    first = params.get("first", None) if isinstance(params, dict) else None
    if first is None:
        twice = (
            " (Its layer `first` is kept under another name that it has too.)" if hasattr(generator, "first") else ""
        )
        raise ValueError(
            f"whitening needs a linear layer named `first` in the generator, which z enters.{twice} {otherwise}"
        )
    d, kernel, bias = generator.latent_dim, *(first.get(name) for name in ("kernel", "bias"))
    if set(first) != {"kernel", "bias"} or kernel.shape[:1] != (d,) or kernel.shape[1:] != bias.shape:
        raise ValueError(
            f"whitening needs a layer `first` with a kernel and a bias, ({d}, ...) and (...), as nnx.Linear has; "
            f"got {jax.tree.map(jnp.shape, first)}. {otherwise}"
        )
    if num_examples <= d:
        raise ValueError(
            f"whitening needs more examples than latent dimensions, got {num_examples} examples and latent_dim {d}. "
            "Add examples, lower latent_dim, or pass whitening=False."
        )
    noise, z = np.random.default_rng(0), np.random.default_rng(1).normal(size=(8, d))
    halved = (np.zeros(d), 2 * np.eye(d), 1e-6)  # by powers of two: exact in floating-point numbers of any kind
    mixed = (1 + noise.normal(size=d), np.eye(d) + np.tril(noise.normal(size=(d, d)), -1) / d, 1e-3)
    unchanged = np.zeros(d, kernel.dtype), np.eye(d, dtype=kernel.dtype)

    @partial(jax.jit, compiler_options=compiler.quick())  # one program, run eight times, or twelve
    def draw(w, mean, cholesky, z):
        return jax.vmap(partial(generate, learning.absorb(w, mean, cholesky)))(z)

    coarse = jax.default_backend() != "cpu"  # a GPU's own products have three digits; f is traced anew for others
    with jax.default_matmul_precision("highest") if coarse else nullcontext():
        for (mean, cholesky, tolerance), w in itertools.product((halved, mixed), (params, elsewhere(params))):
            mean, cholesky, z = (np.asarray(a, kernel.dtype) for a in (mean, cholesky, z))
            placed = mean[None] + z @ cholesky.T
            before = np.asarray(draw(w, *unchanged, placed))
            if not np.isfinite(before).all():
                if w is params:
                    raise ValueError("generator draws values that are not finite at z of N(0, I): look for a 0/0.")
                continue  # these weights are not the user's
            error = np.abs(draw(w, mean, cholesky, z) - before).max()
            scale = np.abs(before - before[:1]).max() + 1e-4 * np.abs(before).max()
            if error <= tolerance * scale:
                continue
            rounding = np.abs(draw(w, *unchanged, np.asarray(placed * (1 + 2e-7), placed.dtype)) - before).max()
            if not error <= tolerance * scale + 10 * rounding:
                raise ValueError(
                    f"whitening would change what this generator draws, by {float(error):.2g} where it varies by "
                    f"{float(scale):.2g}: z must enter through the linear layer `first` and nowhere else. {otherwise}"
                )


def elsewhere(params: dict) -> dict:
    """Returns other weights, always the same ones: W and noise of the size at which a layer matters."""
    noise = np.random.default_rng(0)
    fan_in = lambda w: w.size / (w.shape[-1] if w.ndim else 1)
    other = lambda w: np.asarray(w) + 0.5 / np.sqrt(fan_in(w)) * noise.normal(size=w.shape)
    return jax.tree.map(lambda w: jnp.asarray(other(w).astype(w.dtype)) if w.size else w, params)


def fingerprint_of_f(generate: Callable, params: dict, latent_dim: int) -> list[float]:
    """Returns numbers that tell one f and one W from others: a few of what f draws at fixed z, at W and elsewhere."""
    noise = np.random.default_rng(2)
    z, draw = jnp.asarray(noise.normal(size=(3, latent_dim)), jnp.float32), jax.jit(jax.vmap(generate, (None, 0)))
    with jax.default_matmul_precision("highest"):
        drawn = np.stack([np.asarray(draw(w, z), np.float64).reshape(3, -1) for w in (params, elsewhere(params))])
    views = noise.normal(size=(drawn.shape[-1], 4)) / drawn.shape[-1] ** 0.5
    return np.round((drawn @ views).ravel(), 7).tolist()


def resumed(result: Any, fresh: ABPState) -> tuple[ABPState, np.ndarray]:
    """Returns the state to go on from, and the losses.

    It is the old state, with its sigma only if the new run learns it too, and see `optimizers.state_from`.

    Raises TypeError for what is no result of `fit`, ValueError unless the two states have the same shapes.
    """
    old = getattr(result, "state", None)
    if not isinstance(old, ABPState):
        raise TypeError("resume must be a FitResult, as fit returns it (or the attribute `result` of its error).")
    shapes = [[leaf.shape for leaf in jax.tree.leaves((s.params, s.z))] for s in (old, fresh)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"resume has parameters and z of shapes {shapes[0]}, this generator and these images need {shapes[1]}. "
            "Resume with the generator and the images of that run."
        )
    learned = old.sigma if fresh.sigma is not None and old.sigma is not None else fresh.sigma
    opt_state = optimizers.state_from(old.opt_state, fresh.opt_state, old.iteration)
    return old._replace(sigma=learned, opt_state=opt_state), result.losses


def record(
    chain: Chain,
    generator: nnx.Module,
    images: jax.Array,
    key: jax.Array,
    mask: jax.Array | None,
    measure: Callable | None,
    start: tuple[Callable, dict] | None,
    *,
    sigma: Noise | Callable,
    learn_sigma: bool,
    optimizer: optimizers.Optimizer | None = None,
    **others: bool | int | float | list | str,
) -> dict[str, Any]:
    """Returns what a run follows from, as JSON knows it: a checkpoint of another record is not continued.

    Args:
      chain: settings of the chains, sigma a number.
      optimizer: the one that learns W; None for AdamW by the rule of `fit`, which `others` describe.
      others: numbers of `fit`, kept as they are.
      start: (generate, params), f and where its W starts; None where nothing is saved.
      generator, images, key, sigma, learn_sigma, mask, measure: as in `fit`.
    """
    settings = chain._asdict() | others
    for name in ("resumed_from", "prior_draws"):  # recorded only then: checkpoints of earlier versions are still good
        if not settings[name]:
            del settings[name]
    if start:
        settings["generator"] = fingerprint_of_f(*start, generator.latent_dim)
    if start and optimizer is not None:
        settings["optimizer"] = optimizers.fingerprint(optimizer, start[1])
    settings |= dict(key=jax.random.key_data(key).tolist(), images=fingerprint(images))
    if callable(sigma):
        settings["sigma"] = "a schedule"
    if isinstance(sigma, Bernoulli):
        settings["sigma"] = "bits"
    if learn_sigma:
        settings["learn_sigma"] = True
    if mask is not None:
        settings["mask"] = fingerprint(mask)
    if measure is not None:
        settings["measure"] = fingerprint(np.asarray(measure(noise_images(generator, 1)[0])))
    return settings


def fingerprint(array: jax.Array) -> str:
    """Returns 16 digits of the SHA-256 of an array's bytes; of one spread over processes, its type and shape."""
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        return f"{array.dtype}{array.shape}"  # no process has all of it
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]

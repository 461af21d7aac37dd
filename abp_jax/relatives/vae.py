"""The variational autoencoder: generator and encoder climb the same bound, together.

    maximise sum_i ELBO(y_i; W, V) = sum_i E_q [log p(y_i, z; W) - log q(z | y_i; V)],   q(z | y; V) = N(m, S S')

W are the generator's weights, V the encoder's. Where alternating back-propagation runs a chain for every image, here
one pass of a network guesses all of p(z | y), and W climbs what the guess says. Sources: Kingma and Welling, ICLR 2014;
with the importance-weighted bound L_k in place of the ELBO: Burda, Grosse and Salakhutdinov, ICLR 2016.
"""

import math
import sys
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.scipy.special import logsumexp
from tqdm import tqdm

from abp_jax import learning
from abp_jax.compilation.programs import compiled
from abp_jax.generators import functional, with_params
from abp_jax.images import arguments
from abp_jax.images.observation import check_bits, observe_at_once
from abp_jax.relatives import encoders
from abp_jax.relatives.encoders import Gaussian
from abp_jax.relatives.variational import log_weights
from abp_jax.training.optimizers import constant_then_cosine
from abp_jax.training.settings import check_whitening

OBJECTIVES = ("elbo", "importance")
CALLS = 20  # of compiled work in a run, between which the bar moves and the callback is called


class VAEResult(NamedTuple):
    """What `fit_vae` returns.

    Attributes:
      generator, encoder: the learned ones, new objects.
      z: the means of q(z | y_i), (n, d).
      losses: minus the objective per image of each iteration's batch, in nats, estimated; float64, one for each
        iteration done.
      sigma: standard deviation of the noise.
    """

    generator: nnx.Module
    encoder: nnx.Module
    z: jax.Array
    losses: np.ndarray
    sigma: float


def fit_vae(
    generator: nnx.Module,
    encoder: nnx.Module,
    images: jax.Array,
    num_iterations: int = 1500,
    *,
    key: jax.Array,
    sigma: float = 0.3,
    num_draws: int = 4,
    objective: str = "elbo",
    batch_size: int | None = None,
    learning_rate: float | optax.Schedule = 2e-3,
    whitening: bool = True,
    progress: bool = True,
    callback: Callable[[int, Callable[[], VAEResult]], None] | None = None,
) -> VAEResult:
    """Learns generator and encoder by Adam on the bound, from draws of q.

    Args:
      generator: z -> y, where W starts; it is not changed.
      encoder: y -> `encoders.Gaussian`, where V starts; not changed either. Of the generator's latent_dim.
      images: (n, ...), n observations of the shape that the generator gives.
      num_iterations: updates of both.
      key: for draws and batches; the whole run follows from it.
      sigma: standard deviation of the noise, in the units of the images.
      num_draws: of z, for each image in each iteration.
      objective: "elbo", or "importance" for L_k with k = num_draws.
      batch_size: images an iteration, drawn with replacement; by default all n, each once.
      learning_rate: of Adam. A number is kept for the first half and then falls to 0 along a cosine; a schedule is used
        as it is.
      whitening: of what is returned, see `whiten`; it has no effect on the run.
      progress: show a progress bar.
      callback: called as callback(done, snapshot), as that of `abp.fit`, for instance an `abp.TrainingMonitor`: before
        the first iteration, after each compiled call, about 20 times a run, and once more with the same number when all
        are done. snapshot() returns the VAEResult so far.

    Raises:
      TypeError, ValueError: an argument of a wrong type or out of its range; images or encoder that don't fit.
      FloatingPointError: the loss is no longer finite.
    """
    if objective not in OBJECTIVES:
        raise ValueError(f"objective must be one of {', '.join(OBJECTIVES)}; got {objective!r}.")
    k, sigma = arguments.whole("num_draws", num_draws), arguments.noise("sigma", sigma)

    def one(key, f, q, y):
        values = log_weights(key, f, q, y, sigma, k)
        return -jnp.mean(values) if objective == "elbo" else math.log(k) - logsumexp(values)

    def loss(key, f, encode, batch):
        keys = jax.random.split(key, len(batch))
        return jnp.mean(jax.vmap(lambda key, y: one(key, f, encode(y), y))(keys, batch))

    return learn(
        loss,
        generator,
        encoder,
        images,
        num_iterations,
        key=key,
        sigma=sigma,
        batch_size=batch_size,
        learning_rate=learning_rate,
        whitening=whitening,
        progress=progress,
        callback=callback,
    )


def learn(
    loss: Callable,
    generator: nnx.Module,
    encoder: nnx.Module,
    images: jax.Array,
    num_iterations: int,
    *,
    key: jax.Array,
    sigma: float,
    batch_size: int | None = None,
    learning_rate: float | optax.Schedule = 2e-3,
    whitening: bool = False,
    progress: bool = True,
    callback: Callable[[int, Callable[[], VAEResult]], None] | None = None,
) -> VAEResult:
    """Learns generator and encoder by Adam on any loss that they share: the loop of `fit_vae` and `fit_wake_sleep`.

    loss: (key, f, encode, batch) -> the mean over a batch (b, ...) in nats, a scalar, where f: z -> y is the generator
    and encode: y -> Gaussian the encoder, as they are in this iteration. sigma goes into the result. The other
    arguments, and what is raised, are as in `fit_vae`.
    """
    images = jnp.asarray(observe_at_once(generator, images)[0])
    check_encoder(generator, encoder, images)
    check_bits(images, sigma)
    if whitening:
        check_whitening(generator, len(images))
    num_iterations, key = arguments.whole("num_iterations", num_iterations), arguments.key(key)
    batch_size = None if batch_size is None else arguments.whole("batch_size", batch_size)
    if not callable(learning_rate):
        learning_rate = constant_then_cosine(arguments.number("learning_rate", learning_rate), num_iterations)

    (generate, W), (encode, V) = functional(generator), functional(encoder)
    of_params = lambda params, key, y: loss(key, partial(generate, params[0]), partial(encode, params[1]), y)
    optimizer = optax.adam(learning_rate)
    advance = _compile(of_params, optimizer, batch_size)
    run = ((W, V), optimizer.init((W, V)), jnp.zeros(num_iterations, images.dtype))
    result = lambda run, done: _result(generator, encoder, images, run, done, sigma, whitening)
    report = (lambda *_: None) if callback is None else lambda run, done: callback(done, partial(result, run, done))
    stops = np.unique(np.linspace(0, num_iterations, CALLS + 1).astype(int)).tolist()
    report(run, 0)
    with tqdm(total=num_iterations, disable=not progress, file=sys.stdout, ncols=78, mininterval=0.5) as bar:
        for done, stop in zip(stops[:-1], stops[1:], strict=True):
            run = advance(key, images, run, done, stop)
            value = float(run[2][stop - 1])
            if not np.isfinite(value):
                raise FloatingPointError(f"the loss is {value} after {stop} iterations. Lower learning_rate.")
            bar.set_postfix_str(f"loss {value:.3f}", refresh=False)
            bar.update(stop - done)
            report(run, stop)
    report(run, num_iterations)
    return result(run, num_iterations)


def whiten(generator: nnx.Module, encoder: nnx.Module, images: jax.Array) -> tuple[nnx.Module, nnx.Module]:
    """Gives q(z | y_i), averaged over the images, mean 0 and covariance I; f(z) is as before at every draw.

    With z = c + L z~ the generator's `first` absorbs the map and the encoder's `head` its inverse. c is the mean of the
    m_i, and LL' the covariance of the m_i plus the mean of the S_i S_i'; for an encoder of the family "diagonal" L has
    the deviations alone. log p(y | z) stays, and the mean of KL(q || N(0, I)) falls by KL(N(c, LL') || N(0, I)): no
    other N(c, LL') would lower it as much. `learning.whiten` does the same to the z of chains.

    Returns the generator and the encoder of z~, new objects.
    """
    q = encode(encoder, images)
    mean = jnp.mean(q.mean, axis=0)
    product = partial(jnp.einsum, precision="highest")
    spread = product("ni,nj->ij", q.mean - mean[None, :], q.mean - mean[None, :])
    covariance = (spread + product("nik,njk->ij", q.factor, q.factor)) / len(q.mean)
    if encoder.family == "diagonal":
        covariance = jnp.diag(jnp.diagonal(covariance))
    cholesky = jnp.linalg.cholesky(covariance)
    params = learning.absorb(functional(generator)[1], mean, cholesky)
    return with_params(generator, params), encoders.absorb(encoder, mean, cholesky)


@compiled
def encode(encoder: Callable, images: jax.Array) -> Gaussian:
    """Returns q(z | y_i) for images (n, ...): a Gaussian of means (n, d) and factors (n, d, d)."""
    return jax.lax.map(encoder, images, batch_size=256)


def check_encoder(generator: nnx.Module, encoder: nnx.Module, images: jax.Array) -> None:
    """Checks that the encoder gives a Gaussian of the generator's z for each of the images (n, ...).

    Raises:
      TypeError: it is no network from y to a Gaussian.
      ValueError: that Gaussian is of another latent_dim.
    """
    d, y = generator.latent_dim, jax.ShapeDtypeStruct(images.shape[1:], images.dtype)
    q = jax.eval_shape(encoder, y) if callable(encoder) else None
    if not isinstance(encoder, nnx.Module) or not isinstance(q, Gaussian):
        raise TypeError(f"encoder must be a flax.nnx.Module from y to a Gaussian, got {arguments.shown(encoder)}.")
    if (q.mean.shape, q.factor.shape) != ((d,), (d, d)):
        raise ValueError(f"encoder must have the generator's latent_dim, {d}; its mean is of shape {q.mean.shape}.")


def _compile(loss: Callable, optimizer: optax.GradientTransformation, batch_size: int | None):
    """Returns advance(key, images, run, done, stop) -> run, one program for every done and stop."""

    @jax.jit
    def advance(key, images, run, done, stop):
        def step(t, run):
            params, state, losses = run
            batch_key, draw_key = jax.random.split(jax.random.fold_in(key, t))
            rows = None if batch_size is None else jax.random.randint(batch_key, (batch_size,), 0, len(images))
            batch = images if rows is None else images[rows]
            value, gradient = jax.value_and_grad(loss)(params, draw_key, batch)
            updates, state = optimizer.update(gradient, state, params)
            return optax.apply_updates(params, updates), state, losses.at[t].set(value)

        return jax.lax.fori_loop(done, stop, step, run)

    return advance


def _result(generator, encoder, images, run, done, sigma, whitening):
    (W, V), _, losses = run
    generator, encoder = with_params(generator, W), with_params(encoder, V)
    if whitening:
        generator, encoder = whiten(generator, encoder, images)
    return VAEResult(generator, encoder, encode(encoder, images).mean, np.asarray(losses, np.float64)[:done], sigma)

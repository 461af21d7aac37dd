"""Wake and sleep: a generator that learns from the data, and an encoder that learns from the generator's dreams.

    wake     y from the data, z ~ q(z | y):          the generator climbs log p(y, z)
    sleep    z ~ p(z), y = f(z; W) + e, a dream:     the encoder climbs log q(z | y)

What each minimises, in its own parameters and with those of the other held still:

    wake     E_q [log q(z | y) - log p(y, z)] = KL(q(z | y) || p(z | y)) - log p(y),     for y from the data
    sleep    E [-log q(z | y)] = E KL(p(z | y) || q(z | y)) + const,                     for y from dreams

The first is minus the evidence lower bound. The second is the other divergence, over another distribution of y: no one
function falls in both phases. Reweighted wake draws k of z and gives them the shares v_i = w_i / sum_j w_j of their
weights w_i = p(y, z_i) / q(z_i | y). The generator climbs log (1/k) sum_i w_i. The encoder climbs sum_i v_i log
q(z_i | y): that lowers KL(p(z | y) || q(z | y)) again, as far as k draws can tell, and now for y from the data.

Sources: Hinton, Dayan, Frey and Neal, Science 1995; Bornschein and Bengio, ICLR 2015 (reweighted); Le, Kosiorek,
Siddharth, Teh and Wood, UAI 2019.
"""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.lax import stop_gradient

from abp_jax import model
from abp_jax.images import arguments
from abp_jax.relatives import encoders, vae
from abp_jax.relatives.encoders import Gaussian
from abp_jax.relatives.vae import VAEResult

PHASES = ("wake", "reweighted", "sleep")


def dream(
    key: jax.Array, f: Callable, sigma: float, num: int, latent_dim: int | None = None
) -> tuple[jax.Array, jax.Array]:
    """Draws z ~ N(0, I) and y = f(z; W) + e: returns z (num, d), and y (num, ...).

    latent_dim: d, by default `f.latent_dim`, which a generator has.

    Raises:
      TypeError: f has no latent_dim and none is given.
    """
    d = getattr(f, "latent_dim", None) if latent_dim is None else latent_dim
    z_key, e_key = jax.random.split(key)
    z = jax.random.normal(z_key, (arguments.whole("num", num), arguments.whole("latent_dim", d)))
    return z, model.draw(e_key, jax.vmap(f)(z), sigma)


def wake_loss(key: jax.Array, f: Callable, q: Gaussian, y: jax.Array, sigma: float, num_draws: int = 1) -> jax.Array:
    """The mean of log q(z | y) - log p(y, z) over draws of z from q, for one y: an estimate of minus the bound.

    The draws and q are held still, so that there is a gradient in f alone: to move q along it is the business of
    `variational.elbo`. sigma: standard deviation of e. Returns a scalar, in nats.
    """
    return -jnp.mean(_log_weights(*_draws(key, q, num_draws), f, y, sigma))


def sleep_loss(q: Gaussian, z: jax.Array) -> jax.Array:
    """-log q(z | y) for one dream: q is what the encoder guesses from its y, z (d,) what it was made from. A scalar."""
    return -encoders.log_density(q, stop_gradient(z))


def reweighted_loss(
    key: jax.Array, f: Callable, q: Gaussian, y: jax.Array, sigma: float, num_draws: int = 8
) -> tuple[jax.Array, jax.Array]:
    """The generator's loss -log (1/k) sum_i w_i, and the encoder's loss -sum_i v_i log q(z_i | y), for one y.

    The draws are held still in both, q in the first and the shares v in the second: the first has a gradient in f alone
    and the second in q alone. num_draws: k; with one draw the encoder has nothing to weigh. Returns two scalars.
    """
    z, log_q = _draws(key, q, num_draws)
    log_w = _log_weights(z, log_q, f, y, sigma)
    shares = stop_gradient(jax.nn.softmax(log_w))
    return jnp.log(jnp.asarray(num_draws, log_w.dtype)) - jax.nn.logsumexp(log_w), -shares @ log_q


def fit_wake_sleep(
    generator: nnx.Module,
    encoder: nnx.Module,
    images: jax.Array,
    num_iterations: int = 1500,
    *,
    key: jax.Array,
    sigma: float = 0.3,
    phases: Sequence[str] = ("wake", "sleep"),
    num_draws: int = 8,
    batch_size: int | None = None,
    learning_rate: float | optax.Schedule = 2e-3,
    progress: bool = True,
    callback: Callable[[int, Callable[[], VAEResult]], None] | None = None,
) -> VAEResult:
    """Learns a generator and an encoder by wake and sleep, or by reweighted wake, with Adam.

    Args:
      generator, encoder: where they start; they are not changed. Call the encoder on one image for q(z | y).
      images: (n, ...), of the shape that the generator gives.
      num_iterations: steps of Adam; each has all the phases, the dreams made by the generator as it was before.
      key: for batches, draws and dreams.
      sigma: standard deviation of e, in the units of the images.
      phases: some of "wake", "reweighted" and "sleep". ("wake", "sleep") is the algorithm of Hinton and others;
        ("reweighted",) and ("reweighted", "sleep") are reweighted wake-sleep; ("sleep",) teaches the encoder the
        dreams of a finished generator, which stays as it is.
      num_draws: of z for each image in a wake phase.
      batch_size: images an iteration, drawn with replacement, and as many dreams; by default all of them in each.
      learning_rate, progress, callback: as in `vae.fit_vae`.

    Returns:
      VAEResult: its z are the means of q, (n, d), and its losses the sum of the phases' losses, per image, in nats.

    Raises:
      TypeError, ValueError: an argument is not what it should be, or does not fit the others.
      FloatingPointError: the loss is no longer finite.
    """
    phases, sigma = _checked(phases), arguments.noise("sigma", sigma)
    num_draws = arguments.whole("num_draws", num_draws, of="draws")
    return vae.learn(
        partial(_loss, phases, sigma, num_draws, arguments.generator(generator).latent_dim),
        generator,
        encoder,
        images,
        num_iterations,
        key=key,
        sigma=sigma,
        batch_size=batch_size,
        learning_rate=learning_rate,
        progress=progress,
        callback=callback,
    )


def _draws(key: jax.Array, q: Gaussian, num: int):
    """Draws from q that are held still, (num, d), and log q of each, which has a gradient in q: (num,)."""
    u = jax.random.normal(key, (num, q.mean.size), q.mean.dtype)
    z = stop_gradient(jax.vmap(partial(encoders.draw, q))(u))
    return z, jax.vmap(partial(encoders.log_density, q))(z)


def _log_weights(z: jax.Array, log_q: jax.Array, f: Callable, y: jax.Array, sigma: float):
    """log p(y, z_i) - log q(z_i | y), with a gradient in f alone, (num,)."""
    return jax.vmap(lambda z: model.log_joint(f, z, y, sigma))(z) - stop_gradient(log_q)


def _checked(phases):
    """The phases as a tuple."""
    phases = (phases,) if isinstance(phases, str) else tuple(phases)
    if not phases or len(set(phases)) < len(phases) or not set(phases) <= set(PHASES):
        raise ValueError(f"phases must be some of {', '.join(PHASES)}, each once; got {phases}.")
    if {"wake", "reweighted"} <= set(phases):
        raise ValueError('phases must not hold both "wake" and "reweighted": either teaches the generator.')
    return phases


def _loss(phases, sigma, num_draws, latent_dim, key, f, encode, y):
    """The sum of the losses of the phases, per image, for a batch y (b, ...)."""
    wake_key, sleep_key = jax.random.split(key)
    keys, q, total = jax.random.split(wake_key, len(y)), jax.vmap(encode), 0.0
    if "wake" in phases:
        total += jnp.mean(jax.vmap(lambda key, q, y: wake_loss(key, f, q, y, sigma, num_draws))(keys, q(y), y))
    if "reweighted" in phases:
        both = jax.vmap(lambda key, q, y: sum(reweighted_loss(key, f, q, y, sigma, num_draws)))(keys, q(y), y)
        total += jnp.mean(both)
    if "sleep" in phases:
        z, dreams = stop_gradient(dream(sleep_key, f, sigma, len(y), latent_dim))
        total += jnp.mean(jax.vmap(sleep_loss)(q(dreams), z))
    return total

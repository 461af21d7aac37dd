"""Maximum likelihood for Y = f(Z; W) + e, where z has one dimension or two: log p(y) is a sum over a lattice of z.

    maximise (1/n) sum_i log sum_g h^d p(y_i | z_g; W) p(z_g),   z_g = h (g + u), g whole numbers, u uniform on (0, 1)^d

No chain, no encoder, no critic: Adam climbs what is to be climbed, and so tells what the other ways to learn lose. The
points serve every image of a batch, and f is computed once for each. In each step the lattice lies elsewhere, by a new
u. Whatever the spacing h, the mean of the sum over u is then p(y), and the mean of its logarithm is at most log p(y)
(Jensen's inequality): a coarse lattice can't be outwitted by an f that is good at its points and bad between them, but
it makes posteriors wide. The parameters of the epoch that is best on validation images are returned.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.scipy.special import logsumexp

from abp_jax import model
from abp_jax.compilation.precision import full_precision
from abp_jax.evaluation import lattice
from abp_jax.generators import functional, with_params
from abp_jax.images import arguments
from abp_jax.images.observation import check_bits, observe_at_once


class LatticeFit(NamedTuple):
    """What `fit` found.

    Attributes:
      generator: of the best epoch, a new object.
      sigma: of the noise: as given, or as learned by the best epoch; of bits `Bernoulli()`.
      train: mean of log p(y) by the lattice over an epoch's minibatches, each before its step, in nats, (epochs,).
      valid: that of the validation images at the start and after each epoch, on a lattice of half the spacing that
        stays where it is, (epochs + 1,).
      best: the index in `valid` of what is returned.
    """

    generator: nnx.Module
    sigma: model.Noise
    train: np.ndarray
    valid: np.ndarray
    best: int


def fit(
    generator: nnx.Module,
    images: jax.Array,
    images_valid: jax.Array,
    *,
    key: jax.Array,
    sigma: model.Noise,
    learn_sigma: bool = False,
    num_epochs: int = 200,
    batch_size: int = 100,
    learning_rate: float | optax.Schedule = 3e-3,
    weight_decay: float = 0.0,
    patience: int = 20,
    spacing: float = 0.15,
    half_width: float = 4.0,
) -> LatticeFit:
    """Learns a generator until `patience` epochs in a row are no better on images_valid than the best one.

    Args:
      generator: where W starts, of one latent dimension or two; it is not changed.
      images: (n, ...), of the shape that the generator gives; or uint8 as in `fit` of abp_jax.
      images_valid: (m, ...) to tell when to stop.
      key: for the orders of the images and the shifts of the lattice.
      sigma: standard deviation of e, or `Bernoulli()` for bits.
      learn_sigma: climb in log sigma too, from `sigma`.
      num_epochs: at most.
      batch_size: images a step, from 1 to n. The n % batch_size images left over by an epoch wait for the next.
      learning_rate: of Adam; a number, or a function of the step.
      weight_decay: takes this times the rate off every parameter in a step (AdamW).
      patience: in epochs.
      spacing: h. A step costs (2 half_width / h)^d values of f. Near the width of the narrowest posterior, or less.
      half_width: of the square that the lattice covers.

    Raises:
      TypeError, ValueError: an argument is not of its kind or out of its range; images that don't fit.
      FloatingPointError: the log-likelihood is no longer finite.
    """
    d = arguments.whole("latent_dim", arguments.generator(generator).latent_dim, most=2, of="latent dimensions")
    sigma, (x, x_valid) = arguments.noise("sigma", sigma), _images(generator, sigma, images, images_valid)
    num_epochs = arguments.whole("num_epochs", num_epochs, of="epochs")
    batch_size = arguments.whole("batch_size", batch_size, of="images", most=len(x))
    patience = arguments.whole("patience", patience, of="epochs")
    spacing, half_width = arguments.number("spacing", spacing), arguments.number("half_width", half_width)
    if learn_sigma and isinstance(sigma, model.Bernoulli):
        raise ValueError("learn_sigma: bits have no sigma to learn.")
    rate = learning_rate if callable(learning_rate) else arguments.number("learning_rate", learning_rate)
    optimizer = optax.adamw(rate, weight_decay=arguments.number("weight_decay", weight_decay, or_least=True))

    generate, W = functional(generator)
    params = {"W": W} | ({"log_sigma": jnp.log(jnp.float32(sigma))} if learn_sigma else {})
    noise = lambda params: jnp.exp(params["log_sigma"]) if learn_sigma else sigma
    log_p = lambda params, z, y, spacing: log_evidence(partial(generate, params["W"]), z, y, noise(params), spacing)
    z, z_valid = (jnp.asarray(lattice.points(h, half_width, d), jnp.float32) for h in (spacing, spacing / 2))
    step_log_p = lambda params, u, y: jnp.mean(log_p(params, z + spacing * u[None, :], y, spacing))
    epoch = jax.jit(partial(_epoch, step_log_p, optimizer, batch_size, d))
    validate = jax.jit(lambda params: jnp.mean(log_p(params, z_valid, x_valid, spacing / 2)))

    best, best_params, state, train, valid = 0, params, optimizer.init(params), [], [float(validate(params))]
    for epoch_key in jax.random.split(arguments.key(key), num_epochs):
        params, state, value = epoch(epoch_key, params, state, x)
        train, valid = [*train, float(value)], [*valid, float(validate(params))]
        if not np.isfinite(valid[-1]):
            raise FloatingPointError(f"log p is {valid[-1]} after {len(train)} epochs. Lower learning_rate.")
        if valid[-1] > valid[best]:
            best, best_params = len(train), params
        if len(train) - best >= patience:
            break
    found = float(noise(best_params)) if learn_sigma else sigma
    return LatticeFit(with_params(generator, best_params["W"]), found, np.array(train), np.array(valid), best)


@full_precision
def log_evidence(f, z: jax.Array, images: jax.Array, sigma: model.Noise, spacing: float) -> jax.Array:
    """Returns `lattice.log_evidence`, (n,), where the noise is Gaussian too by one product of matrices.

    |y - f|^2 is |y|^2 - 2 y'f + |f|^2, which loses digits where sigma is small: about 1e-7 |y|^2 / sigma^2 nats.
    """
    if isinstance(sigma, model.Bernoulli):
        return lattice.log_evidence(f, z, images, sigma, spacing)
    outputs, y = jax.vmap(f)(z).reshape(len(z), -1), images.reshape(len(images), -1)
    squares = jnp.sum(y**2, axis=1)[:, None] - 2 * y @ outputs.T + jnp.sum(outputs**2, axis=1)[None, :]
    log_p = -squares / (2 * sigma**2) + jax.vmap(model.log_prior)(z)[None, :]
    constant = z.shape[1] * np.log(spacing) - 0.5 * y.shape[1] * jnp.log(2 * jnp.pi * sigma**2)
    return logsumexp(log_p, axis=1) + constant


def _images(generator: nnx.Module, sigma: model.Noise, *given: jax.Array):
    """Both data sets as arrays."""
    found = [jnp.asarray(observe_at_once(generator, images)[0]) for images in given]
    for images in found:
        check_bits(images, sigma)
    return found


def _epoch(log_p, optimizer, batch_size, d, key, params, state, x):
    """One pass: the new params, the new state of the optimizer, and the mean of log p on the way."""
    order_key, shift_key = jax.random.split(key)
    num = len(x) // batch_size
    rows = jax.random.permutation(order_key, len(x))[: num * batch_size].reshape(num, batch_size)
    shifts = jax.random.uniform(shift_key, (num, d))

    def step(carry, given):
        params, state = carry
        rows, u = given
        value, gradient = jax.value_and_grad(lambda params: -log_p(params, u, x[rows]))(params)
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), -value

    (params, state), values = jax.lax.scan(step, (params, state), (rows, shifts))
    return params, state, jnp.mean(values)

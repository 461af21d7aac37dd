"""Maximum likelihood where log p(x) can be computed: Adam climbs its mean over the examples, and stops early.

    maximise (1/N) sum_i log p(x_i; params),   in minibatches of an epoch's random order

Any model serves that is a function log_prob(params, x) of one example. What is returned are the parameters of the epoch
whose mean log-likelihood of the validation examples was highest. Sources: Kingma and Ba, Adam, ICLR
2015; Loshchilov and Hutter, ICLR 2019 (AdamW).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from abp_jax.images import arguments


class Fit(NamedTuple):
    """What `fit` found.

    Attributes:
      params: of the best epoch.
      train: mean log-likelihood of an epoch's minibatches, each before its step, in nats an example, (epochs,).
      valid: that of the validation examples at the start and after each epoch, (epochs + 1,).
      best: the index in `valid` of the parameters returned: how many epochs they have learned.
    """

    params: Any
    train: np.ndarray
    valid: np.ndarray
    best: int


def log_probs(log_prob: Callable, params: Any, x: jax.Array, batch_size: int = 500) -> jax.Array:
    """Returns log p(x_i; params) for each example of x (N, ...), batch_size of them at a time: (N,)."""
    return jax.lax.map(partial(log_prob, params), x, batch_size=batch_size)


def fit(
    log_prob: Callable,
    params: Any,
    x: jax.Array,
    x_valid: jax.Array,
    *,
    key: jax.Array,
    num_epochs: int = 200,
    batch_size: int = 100,
    learning_rate: float | optax.Schedule = 3e-3,
    weight_decay: float = 0.0,
    patience: int = 20,
) -> Fit:
    """Learns params by Adam until `patience` epochs in a row are no better on x_valid than the best one.

    Args:
      log_prob: (params, one example) -> log p(x), a scalar.
      params: where to start, any tree of floating-point arrays.
      x: (N, ...) to learn from. An epoch is one pass over it in a new random order; the N % batch_size examples left
        over wait for the next, so that all minibatches weigh the same.
      x_valid: (M, ...) to tell when to stop.
      key: for the orders.
      num_epochs: at most.
      batch_size: examples a step, from 1 to N.
      learning_rate: of Adam; a number, or a function of the step.
      weight_decay: takes this times the rate off every parameter in a step (AdamW).
      patience: in epochs.

    Raises:
      TypeError, ValueError: an argument is not of its kind or out of its range.
      FloatingPointError: the log-likelihood is no longer finite.
    """
    x, x_valid = jnp.asarray(arguments.array("x", x)), jnp.asarray(arguments.array("x_valid", x_valid))
    if x.ndim == 0 or x_valid.shape[1:] != x.shape[1:] or 0 in (x.size, x_valid.size):
        raise ValueError(f"x and x_valid must hold examples of one shape, got {x.shape} and {x_valid.shape}.")
    num_epochs = arguments.whole("num_epochs", num_epochs, of="epochs")
    batch_size = arguments.whole("batch_size", batch_size, of="examples", most=len(x))
    patience = arguments.whole("patience", patience, of="epochs")
    if not callable(learning_rate):
        learning_rate = arguments.number("learning_rate", learning_rate)
    weight_decay = arguments.number("weight_decay", weight_decay, or_least=True)
    optimizer = optax.adamw(learning_rate, weight_decay=weight_decay)
    epoch = jax.jit(partial(_epoch, log_prob, optimizer, batch_size))
    validate = jax.jit(lambda params: jnp.mean(log_probs(log_prob, params, x_valid)))

    best, best_params, state, train, valid = 0, params, optimizer.init(params), [], [float(validate(params))]
    for epoch_key in jax.random.split(arguments.key(key), num_epochs):
        params, state, value = epoch(epoch_key, params, state, x)
        train, valid = [*train, float(value)], [*valid, float(validate(params))]
        if not np.isfinite(valid[-1]):
            raise FloatingPointError(
                f"the mean log-likelihood is {valid[-1]} after {len(train)} epochs. Lower learning_rate."
            )
        if valid[-1] > valid[best]:
            best, best_params = len(train), params
        if len(train) - best >= patience:
            break
    return Fit(best_params, np.array(train), np.array(valid), best)


def _epoch(log_prob: Callable, optimizer, batch_size: int, key: jax.Array, params: Any, state: Any, x: jax.Array):
    """One pass: the new params, the new state of the optimizer, and the mean log-likelihood on the way."""

    def loss(params, batch):
        return -jnp.mean(jax.vmap(log_prob, (None, 0))(params, batch))

    def step(carry, rows):
        params, state = carry
        value, gradient = jax.value_and_grad(loss)(params, x[rows])
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), -value

    num = len(x) // batch_size
    rows = jax.random.permutation(key, len(x))[: num * batch_size].reshape(num, batch_size)
    (params, state), values = jax.lax.scan(step, (params, state), rows)
    return params, state, jnp.mean(values)

"""The rows of the one table that need no latent vector: each learns one model of bits and judges the test images.

Every function takes the split, the seed and its settings, and returns what was `Measured`. Rates, numbers of steps and
epochs, components and pseudo-counts were chosen with the validation images of seed 0.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax

from abp_jax.relatives import (
    annealed_importance,
    binary_baselines,
    likelihood_fit,
    made,
    made_masks,
    nade,
    pairwise,
    rbm,
    rbm_learning,
    trees,
)
from abp_jax.relatives.bits import Split
from experiments.measured import NUM_SAMPLES, Measured, timed


def independent(split: Split, seed: int) -> Measured:
    """Independent pixels."""
    mixture, seconds = timed(lambda: binary_baselines.independent(split.train))
    return _mixture_row(split, seed, mixture, split.train.shape[1], seconds)


def mixture(split: Split, seed: int, num_components: int, num_rounds: int) -> Measured:
    """A mixture of Bernoullis, by EM."""
    learn = lambda: binary_baselines.fit_mixture(_keys(seed)[0], split.train, num_components, num_rounds)
    found, seconds = timed(learn)
    return _mixture_row(split, seed, found, found.logits.size + num_components - 1, seconds)


def tree(split: Split, seed: int, pseudo_count: float) -> Measured:
    """A Chow-Liu tree."""
    found, seconds = timed(lambda: trees.fit(split.train, pseudo_count))
    log_probs = _each(partial(trees.log_prob, found), split.test)
    return Measured(log_probs, _draws(partial(trees.sample, tree=found), seed), trees.num_parameters(found), seconds)


def chain(split: Split, seed: int, **settings) -> Measured:
    """A logistic regression of every pixel on those before it."""
    n = split.train.shape[1]
    log_prob, start = binary_baselines.chain_log_prob, binary_baselines.chain(n)
    params, seconds = _by_likelihood(log_prob, start, split, seed, settings)
    draw = partial(binary_baselines.chain_sample, chain=params)
    return Measured(_each(partial(log_prob, params), split.test), _draws(draw, seed), n * (n + 1) // 2, seconds)


def neural_chain(split: Split, seed: int, num_hidden: int, **settings) -> Measured:
    """NADE."""
    n = split.train.shape[1]
    params, seconds = _by_likelihood(nade.log_prob, nade.init(_keys(seed)[0], n, num_hidden), split, seed, settings)
    log_probs = _each(partial(nade.log_prob, params), split.test)
    used = nade.num_parameters(params) - num_hidden  # the last column of W never is
    return Measured(log_probs, _draws(partial(nade.sample, nade=params), seed), used, seconds)


def masked(split: Split, seed: int, num_hidden: int, **settings) -> Measured:
    """MADE in the order of the pixels, with direct connections."""
    n, (start_key, mask_key, *_) = split.train.shape[1], _keys(seed)
    masks = made_masks.masks(made_masks.degrees(mask_key, np.arange(n), (num_hidden,)))
    log_prob = lambda params, x: made.log_prob(params, masks, x)
    start = made.init(start_key, n, (num_hidden,), direct=True)
    params, seconds = _by_likelihood(log_prob, start, split, seed, settings)
    used = sum(int(mask.sum()) for mask in masks.layers) + num_hidden + n + n * (n - 1) // 2
    draw = lambda key: made.sample(key, params, masks)
    return Measured(_each(partial(log_prob, params), split.test), _draws(draw, seed), used, seconds)


def several_orders(split: Split, seed: int, num_hidden: int, num_orders: int, **settings) -> Measured:
    """MADE as a mixture of several orders drawn at random, which share the weights."""
    n, (start_key, mask_key, *_) = split.train.shape[1], _keys(seed)
    masks = made_masks.random_masks(mask_key, n, (num_hidden,), num_orders)
    log_prob = lambda params, x: made.mixture_log_prob(params, masks, x)
    of_one_order = lambda params, x: jnp.mean(jax.vmap(made.log_prob, (None, 0, None))(params, masks, x))
    start = made.init(start_key, n, (num_hidden,), direct=True)
    params, seconds = _by_likelihood(of_one_order, start, split, seed, settings)
    used = sum(jnp.size(parameter) for parameter in jax.tree.leaves(params)) - n  # A has no diagonal

    def draw(key):
        which, pixels = jax.random.split(key)
        one = jax.random.randint(which, (), 0, num_orders)
        return made.sample(pixels, params, jax.tree.map(lambda a: a[one], masks))

    return Measured(_each(partial(log_prob, params), split.test), _draws(draw, seed), used, seconds)


def boltzmann(split: Split, seed: int, hidden: int, temperatures: int = 0, long_chain: int = 0, **settings) -> Measured:
    """A restricted Boltzmann machine by persistent chains; log Z is exact, or bracketed where temperatures are given.

    long_chain: how many steps the chains take on from the training images before the way back starts.
    """
    start_key, fit_key, chain_key, bracket_key, *_ = _keys(seed)
    start = rbm_learning.initial(start_key, split.train, hidden)
    machine, seconds = timed(lambda: rbm_learning.fit(start, split.train, key=fit_key, **settings)[0])
    log_weights = _each(lambda v: -rbm.free_energy(machine, v), split.test)
    used = sum(jnp.size(parameter) for parameter in machine)
    if not temperatures:
        log_z = float(jax.jit(rbm.log_partition)(machine))
        return Measured(log_weights - log_z, rbm.exact_draws(chain_key, machine, NUM_SAMPLES), used, seconds)
    move = lambda key, v: rbm.block_gibbs(key, machine, v, long_chain)
    draws = jax.jit(jax.vmap(move))(jax.random.split(chain_key, CHAINS), jnp.asarray(split.train[:CHAINS]))
    bracket = partial(annealed_importance.annealed_bracket, inverse_temperatures=_equal_steps(temperatures))
    found = jax.jit(bracket)(bracket_key, machine, rbm.base_rates(split.train), draws)
    return Measured(_ends(log_weights, found), draws[:NUM_SAMPLES], used, seconds)


def edges(split: Split, seed: int, pseudo: dict, climb: dict, temperatures: int = 0, long_chain: int = 0) -> Measured:
    """A pairwise Markov network by the pseudo-likelihood, then by persistent chains; log Z is bracketed.

    pseudo, climb: settings of `likelihood_fit.fit` and of `pairwise.fit`. The others as for `boltzmann`.
    """
    pseudo_key, climb_key, chain_key, bracket_key, *_ = _keys(seed)
    base = rbm.base_rates(split.train)

    def learn():
        start, log_prob = pairwise.independent(base), pairwise.pseudo_log_prob
        start = likelihood_fit.fit(log_prob, start, *split[:2], key=pseudo_key, **pseudo).params
        return pairwise.fit(start, split.train, key=climb_key, **climb)

    (net, chains), seconds = timed(learn)
    move = lambda key, x: pairwise.gibbs(key, net, x, long_chain)
    draws = jax.jit(jax.vmap(move))(jax.random.split(chain_key, CHAINS), chains[:CHAINS])
    bracket = partial(pairwise.annealed_bracket, inverse_temperatures=_equal_steps(temperatures))
    found = jax.jit(bracket)(bracket_key, net, base, draws)
    log_weights = _each(partial(pairwise.log_weight, net), split.test)
    return Measured(_ends(log_weights, found), draws[:NUM_SAMPLES], pairwise.num_parameters(net), seconds)


CHAINS = 100  # of every bracket, each way


def _keys(seed: int):
    """Six keys: to start, to learn (two), to judge (two), to draw."""
    return jax.random.split(jax.random.key(seed), 6)


def _each(f: Callable, x: np.ndarray) -> np.ndarray:
    return np.asarray(jax.jit(partial(jax.lax.map, f, batch_size=500))(jnp.asarray(x)), float)


def _draws(draw: Callable, seed: int) -> np.ndarray:
    return np.asarray(jax.jit(jax.vmap(draw))(jax.random.split(_keys(seed)[-1], NUM_SAMPLES)))


def _equal_steps(temperatures: int):
    return jnp.linspace(0, 1, temperatures + 1)


def _ends(log_weights: np.ndarray, bracket) -> np.ndarray:
    """log p between its two ends, (2, N): the two estimates of log Z may change places."""
    low, high = sorted((float(bracket.lower), float(bracket.upper)))
    return np.stack([log_weights - high, log_weights - low])


def _mixture_row(split: Split, seed: int, mixture, num_parameters: int, seconds: float) -> Measured:
    log_probs = _each(partial(binary_baselines.mixture_log_prob, mixture), split.test)
    draw = partial(binary_baselines.mixture_sample, mixture=mixture)
    return Measured(log_probs, _draws(draw, seed), num_parameters, seconds)


def _by_likelihood(log_prob: Callable, start, split: Split, seed: int, settings: dict) -> tuple:
    """The parameters of the best epoch, and the seconds they took. cosine: whether the rate falls to 0."""
    options = {name: value for name, value in settings.items() if name != "cosine"}
    if settings.get("cosine"):
        num_steps = settings["num_epochs"] * (len(split.train) // 100)
        options["learning_rate"] = optax.cosine_decay_schedule(settings["learning_rate"], num_steps)
    fit_key = _keys(seed)[2]
    return timed(lambda: likelihood_fit.fit(log_prob, start, *split[:2], key=fit_key, **options).params)

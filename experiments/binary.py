"""Part V: the log-likelihood of test images, binary digits and clothes, under each model that learned the others.

Exact in nats an image, but of the Boltzmann machines with more than 20 hidden units, whose log Z is bracketed. Rates,
numbers of steps and epochs were chosen with the validation images of seed 0.
"""

from functools import partial
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import optax

from abp_jax.relatives import (
    annealed_importance,
    binary_baselines,
    bits,
    likelihood_fit,
    made,
    made_masks,
    nade,
    rbm,
    rbm_learning,
)
from experiments import recipe
from experiments.records import Records

SEEDS = (0, 1, 2)
DATA = {"digits": bits.load_digits, "clothes": bits.load_clothes}
CHAINS = {16: 1000, 20: 1000, 64: 100, 200: 100}  # of the brackets, by the number of hidden units
TEMPERATURES, LONG_CHAIN = 3000, 1000  # where draws can't be exact, the way back starts after a long chain each
EPOCHS = {"digits": 200, "clothes": 60}
MODELS = {
    "independent pixels": {},
    "mixture": dict(num_components=50, num_rounds=100),
    "chain": dict(learning_rate=3e-3),
    "NADE": dict(num_hidden=64, learning_rate=3e-3),
    "MADE": dict(hidden=(200,), learning_rate=1e-2, num_epochs=80, cosine=True, weight_decay=0.2),
    "RBM 20": dict(hidden=20, method="pcd", learning_rate=0.2, steps=8000),
    "RBM 64": dict(hidden=64, method="pcd", learning_rate=0.2, steps=8000),
    "RBM 200": dict(hidden=200, method="pcd", learning_rate=0.1, steps=8000),
    "PCD-1": dict(hidden=16, method="pcd", learning_rate=0.05, steps=8000),
    "CD-1": dict(hidden=16, method="cd", learning_rate=0.2, steps=8000),
}
LEFT_OUT = {"digits": ("RBM 200", "PCD-1", "CD-1"), "clothes": ("RBM 64",)}


def by_likelihood(log_prob, params, split: bits.Split, key: jax.Array, settings: dict) -> dict:
    """Learns params by the likelihood, which is exact."""
    rate, epochs = settings["learning_rate"], settings["num_epochs"]
    if settings.get("cosine"):
        rate = optax.cosine_decay_schedule(rate, epochs * (len(split.train) // 100))
    options = dict(num_epochs=epochs, learning_rate=rate, weight_decay=settings.get("weight_decay", 0.0))
    fit = likelihood_fit.fit(log_prob, params, *split[:2], key=key, **options)
    log_probs = jax.jit(partial(likelihood_fit.log_probs, log_prob))
    return {"epochs": fit.best} | {part: summary(log_probs(fit.params, x)) for part, x in split._asdict().items()}


def summary(log_probs: jax.Array) -> list[float]:
    """The mean and its standard error."""
    return [round(value, 4) for value in recipe.mean_and_error(np.asarray(log_probs, float).tolist())]


def boltzmann(split: bits.Split, key: jax.Array, settings: dict) -> dict:
    """Learns a restricted Boltzmann machine. log Z is exact, or bracketed where the hidden layer is larger.

    annealed: log Z by the mean weight, forth and back; mean logs: of the weights, below log Z and above it.
    """
    start_key, fit_key, draws_key, bracket_key = jax.random.split(key, 4)
    start = rbm_learning.initial(start_key, split.train, settings["hidden"])
    options = {name: value for name, value in settings.items() if name != "hidden"}
    machine, record = rbm_learning.fit(start, split.train, key=fit_key, **options)
    result = {"reconstruction error": round(float(record.reconstruction_error[-1]), 5)}
    base = rbm.base_rates(split.train)
    b, num = jnp.linspace(0, 1, TEMPERATURES + 1), CHAINS.get(settings["hidden"], 100)
    if settings["hidden"] <= 20:
        low = high = jax.jit(rbm.log_partition)(machine)
        draws = rbm.exact_draws(draws_key, machine, num)
    else:
        keys = jax.random.split(draws_key, num)
        long = jax.jit(jax.vmap(lambda key, v: rbm.block_gibbs(key, machine, v, LONG_CHAIN)))
        draws = long(keys, jnp.asarray(split.train[:num]))
    bracket = partial(annealed_importance.annealed_bracket, inverse_temperatures=b)
    found = jax.jit(bracket)(bracket_key, machine, base, draws)
    if settings["hidden"] > 20:
        low, high = sorted((float(found.lower), float(found.upper)))  # two estimates, which may change places
    means = [float(jnp.mean(found.log_weights)), float(jnp.mean(found.reverse_log_weights))]
    free = {part: -jax.jit(jax.vmap(partial(rbm.free_energy, machine)))(x) for part, x in split._asdict().items()}
    result |= {part: summary(values - high) for part, values in free.items()}  # at least so much
    estimates = {"annealed": [float(found.lower), float(found.upper)], "mean logs": means}
    return result | {"log Z": [float(low), float(high)]} | estimates


def run(data: str, model: str, seed: int, settings: dict) -> dict:
    """Learns a model, and measures log p of the images of each part, in nats: means and standard errors."""
    split, key = DATA[data](), jax.random.key(seed)
    n, (init_key, fit_key, mask_key) = split.train.shape[1], jax.random.split(key, 3)
    if "method" in settings:
        return boltzmann(split, key, settings)
    if model == "chain":
        return by_likelihood(binary_baselines.chain_log_prob, binary_baselines.chain(n), split, fit_key, settings)
    if model == "NADE":
        params = nade.init(init_key, n, settings["num_hidden"])
        return by_likelihood(nade.log_prob, params, split, fit_key, settings)
    if model == "MADE":
        hidden = settings["hidden"]
        masks = made_masks.masks(made_masks.degrees(mask_key, np.arange(n), hidden))
        log_prob = lambda params, x: made.log_prob(params, masks, x)
        return by_likelihood(log_prob, made.init(init_key, n, hidden, direct=True), split, fit_key, settings)
    if model == "mixture":
        mixture = binary_baselines.fit_mixture(fit_key, split.train, **settings)
    else:
        mixture = binary_baselines.independent(split.train)
    log_probs = jax.jit(jax.vmap(partial(binary_baselines.mixture_log_prob, mixture)))
    return {part: summary(log_probs(x)) for part, x in split._asdict().items()}


def runs() -> dict[str, tuple[str, str, int, dict]]:
    """Returns name -> data, model, seed and settings of every run; independent pixels need no seed."""
    found = {}
    for data, (model, settings) in product(DATA, MODELS.items()):
        if model in LEFT_OUT[data]:
            continue
        if model in ("chain", "NADE"):
            settings = {"num_epochs": EPOCHS[data]} | settings
        for seed in SEEDS if settings else SEEDS[:1]:
            found[f"{model}, {data}, seed {seed}"] = (data, model, seed, settings)
    return found


def binary() -> None:
    """All of them."""
    records = Records("binary")
    for name, (*which, settings) in runs().items():
        result = records.once(name, settings, partial(run, *which, settings))
        recipe.say(f"{name}: test {result['test'][0]:.2f} ± {result['test'][1]:.2f}")

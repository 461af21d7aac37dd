"""One table: every family on the same bits, digits and clothes, in nats a test image.

A row is a model. Its function takes a split, a seed and settings, and returns what was `Measured`. Of each run the
record keeps the mean of log p over the test images and its standard error, how log p was found, the number of
parameters and the processor seconds of learning; the arrays beside it keep log p of every test image, for paired
differences, and sixteen samples.
"""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import product
from pathlib import Path

import jax
import numpy as np

from abp_jax.relatives import bits
from experiments import bit_rows, latent_rows, recipe
from experiments.measured import Measured
from experiments.records import FOLDER, Arrays, Records

DATA = {"digits": bits.load_digits, "clothes": bits.load_clothes}
SEEDS = (0, 1, 2)
KINDS = ("exact", "bracket", "bound")
NO_SEED = ("independent pixels", "tree")  # nothing in them is drawn


def both(**settings) -> dict[str, dict]:
    """The same settings for digits and clothes."""
    return dict.fromkeys(DATA, settings)


def epochs(digits: int, clothes: int, **settings) -> dict[str, dict]:
    """The same settings but for the number of epochs."""
    return {"digits": settings | {"num_epochs": digits}, "clothes": settings | {"num_epochs": clothes}}


MADE = dict(learning_rate=1e-2, cosine=True, weight_decay=0.2)
EM = dict(num_rounds=100, pseudo_count=0.2)
PCD = dict(method="pcd", steps=8000)
BRACKET = dict(temperatures=2000, long_chain=1000)
LONGER = dict(method="pcd", steps=30_000, temperatures=6000, long_chain=2000)
CLIMB = dict(steps=8000, learning_rate=0.3, decay=1e-3, num_chains=500)
PSEUDO = dict(learning_rate=3e-3, weight_decay=0.1)
EDGES = {  # with 2,000 temperatures the ends of the bracket move by .1 to .2 nats on clothes
    "digits": dict(pseudo=PSEUDO | {"num_epochs": 200}, climb=CLIMB, **BRACKET),
    "clothes": dict(pseudo=PSEUDO | {"num_epochs": 60}, climb=CLIMB, temperatures=8000, long_chain=2000),
}
ROWS = {  # name -> function, how log p is found, settings of each data set on which it is run
    "independent pixels": (bit_rows.independent, "exact", both()),
    "tree": (bit_rows.tree, "exact", both(pseudo_count=1.0)),
    "mixture": (
        bit_rows.mixture,
        "exact",
        {"digits": dict(num_components=50, **EM), "clothes": dict(num_components=400, **EM)},
    ),
    "chain": (bit_rows.chain, "exact", epochs(200, 60, learning_rate=3e-3)),
    "pairwise": (bit_rows.edges, "bracket", EDGES),
    "RBM 20": (bit_rows.boltzmann, "exact", both(hidden=20, learning_rate=0.2, **PCD)),
    "RBM 64": (bit_rows.boltzmann, "bracket", {"digits": dict(hidden=64, learning_rate=0.2, **PCD, **BRACKET)}),
    "RBM 200": (bit_rows.boltzmann, "bracket", {"clothes": dict(hidden=200, learning_rate=0.1, **LONGER)}),
    "NADE": (bit_rows.neural_chain, "exact", epochs(200, 60, num_hidden=64, learning_rate=3e-3)),
    "MADE": (bit_rows.masked, "exact", epochs(80, 80, num_hidden=200, **MADE)),
    "MADE, eight orders": (bit_rows.several_orders, "exact", epochs(100, 60, num_hidden=300, num_orders=8, **MADE)),
} | latent_rows.ROWS


def runs(rows: dict = ROWS, seeds: Iterable[int] = SEEDS) -> dict[str, tuple[str, str, int, dict]]:
    """Returns name -> row, data, seed and settings of every run: the first seed of all rows before the next one."""
    return {
        f"{row}, {data}, seed {seed}": (row, data, seed, rows[row][2][data])
        for seed, data, row in product(seeds, DATA, rows)
        if data in rows[row][2] and not (row in NO_SEED and seed != SEEDS[0])
    }


def run(function: Callable, kind: str, data: str, seed: int, settings: dict, keep: Callable) -> dict:
    """Learns and judges one model. keep takes its arrays by name; the rest is returned.

    test: the mean and its standard error, of the lower end where it is a bracket; high: those of its upper end.

    Raises:
      ValueError: log_probs are not one for each test image, or two where the kind is a bracket, or not finite.
    """
    split = DATA[data]()
    measured = Measured(*function(split, seed, **settings))
    ends, samples = np.asarray(measured.log_probs, float), np.asarray(measured.samples)
    expected = (2, len(split.test)) if kind == "bracket" else (len(split.test),)
    if ends.shape != expected or not np.all(np.isfinite(ends)):
        raise ValueError(f"log_probs must be finite and of shape {expected}, got {ends.shape}.")
    keep(log_probs=np.round(ends, 3).astype(np.float32), samples=np.packbits(samples > 0.5, axis=1))
    means = dict(zip(("test", "high"), map(_mean_and_error, np.atleast_2d(ends)), strict=False))
    return {"kind": kind} | means | {"parameters": int(measured.num_parameters), "seconds": round(measured.seconds, 2)}


def one_table(rows: dict = ROWS, seeds: Iterable[int] = SEEDS, folder: Path = FOLDER) -> None:
    """All of them. What is on file stays if its arrays are there too."""
    records, arrays = Records("one_table", folder), Arrays("one_table", folder)
    records.runs = {name: run for name, run in records.runs.items() if name in arrays}
    for name, (row, data, seed, settings) in runs(rows, seeds).items():
        function, kind, _ = rows[row]
        keep = partial(arrays.keep, name)
        result = records.once(name, settings, partial(run, function, kind, data, seed, settings, keep))
        jax.clear_caches()
        high = f" to {result['high'][0]:.2f}" if "high" in result else ""
        mean, error = result["test"]
        recipe.say(f"{name}: {mean:.2f}{high} ± {error:.2f} ({kind}), {result['seconds']:.1f} s")


def _mean_and_error(values: np.ndarray) -> list[float]:
    return [round(value, 4) for value in recipe.mean_and_error(values.tolist())]

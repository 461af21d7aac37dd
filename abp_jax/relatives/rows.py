"""The two tables on record: every family's log p of the same test images, as `make experiments` measured it.

The first is of bits: log p(y) is the log of a probability, at most 0. The second is of the same clothes as grey values:
log p(y) is the log of a density, in units of the pixels, and may be anything. No row of one compares with a row of the
other. How log p was found is a row's `kind`:

    exact      a formula, or a lattice of z whose error is far below what is told
    bracket    between two estimates, one that is too low in the mean and one that is too high
    bound      log p(y) is higher, in the mean

An error over pictures says how well the test images tell the mean of this model; the spread over seeds says what else
the same way to learn might have given.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from abp_jax.images.data import data_folder, decode
from abp_jax.images.files import expanded

PIXELS = {"digits": 64, "clothes": 196}  # of an image of each set of bits
TITLES = {  # name of a row on record -> what a figure calls it
    "independent pixels": "independent pixels",
    "tree": "Chow-Liu tree",
    "mixture": "mixture of Bernoullis",
    "chain": "logistic chain",
    "pairwise": "pairwise Markov network",
    "RBM 20": "RBM, 20 hidden",
    "RBM 64": "RBM, 64 hidden",
    "RBM 200": "RBM, 200 hidden",
    "NADE": "NADE",
    "MADE": "MADE, one order",
    "MADE, eight orders": "MADE, eight orders",
    "lattice": "lattice, d = 2",
    "ABP": "ABP, d = 2",
    "VAE, d = 2": "VAE, d = 2",
    "importance-weighted": "importance-weighted, d = 2",
    "wake and sleep": "wake and sleep, d = 2",
    "VAE, d = 10": "VAE, d = 10",
}
GREY_TITLES = {
    "factor analysis": "factor analysis",
    "mixture, one sigma": r"mixture, one $\sigma$",
    "mixture": r"mixture, a $\sigma$ each",
    "lattice": "lattice",
    "ABP": "ABP",
    "ABP without draws": "ABP, no draws",
    "ABP without correction": "ABP, no correction",
    "VAE": "VAE",
    "importance-weighted": "importance-weighted",
    "wake and sleep": "wake and sleep",
    "GAN": "GAN",
}
WITHOUT_Z = {*list(TITLES)[:11], "mixture, one sigma", "mixture", "factor analysis"}
NO_SEED = ("independent pixels", "tree", "factor analysis")  # nothing in them is drawn


class Row(NamedTuple):
    """One model on one data set, learned once for each of s seeds and judged by N test images.

    Attributes:
      name: as on record; `title` for figures.
      kind: "exact", "bracket" or "bound".
      seeds: which.
      log_probs: in nats, (s, N); of a bracket its lower end.
      high: the upper end of a bracket, (s, N); otherwise the same as log_probs.
      samples: draws of the model of each seed, (s, 16, D): bits, or grey values in [-1, 1].
      seconds: of learning, one core's, (s,).
      parameters: how many numbers are learned; of an autoencoder those of the decoder.
      sigma: of the noise, (s,); None for bits, nan where every component has its own.
      means: of grey values the samples before their noise, like samples; None for bits.
    """

    name: str
    kind: str
    seeds: tuple[int, ...]
    log_probs: np.ndarray
    high: np.ndarray
    samples: np.ndarray
    seconds: np.ndarray
    parameters: int
    sigma: np.ndarray | None = None
    means: np.ndarray | None = None

    @property
    def title(self) -> str:
        titles = TITLES if self.sigma is None else GREY_TITLES
        return titles.get(self.name, self.name)

    @property
    def has_z(self) -> bool:
        """Whether it is the decoder of a z, a network: learned by a lattice, by chains, with an encoder, by a game."""
        return self.name not in WITHOUT_Z


class Known(NamedTuple):
    """A mean over test images and seeds, and how well it is known: all in nats an image.

    Attributes:
      mean: over the seeds and the images.
      error: its standard error over the images, each image's values averaged over the seeds.
      spread: standard deviation over the seeds; 0 where nothing is drawn, nan for one seed.
    """

    mean: float
    error: float
    spread: float


class Rows(dict):
    """Name -> Row. A row that is not on record raises a ValueError that says how to measure it."""

    def __init__(self, found: dict[str, Row], experiment: str):
        super().__init__(found)
        self.experiment = experiment

    def __missing__(self, name: str):
        there = ", ".join(map(repr, self)) or "none"
        raise ValueError(
            f"no row {name!r} is on record; there are {there}. `python -m experiments --only {self.experiment}` in a "
            "clone of the course measures what is missing."
        )

    def ranked(self) -> list[Row]:
        """Returns all rows, that of the highest mean first."""
        return sorted(self.values(), key=lambda row: -over_seeds(row).mean)


def load(folder: str | Path | None = None) -> dict[str, Rows]:
    """Reads the table of bits, which comes with the course.

    Args:
      folder: of one_table.json and one_table.npz; by default that of the course's own records.

    Returns:
      "digits" and "clothes", and for each its `Rows`.

    Raises:
      FileNotFoundError: there is no such record.
      ValueError: a run has no arrays, or they don't fit its record.
    """
    runs, arrays = _read("one_table", folder)
    found = {data: {} for data in PIXELS}
    for run in runs:
        name, data, seed = run.rsplit(", ", 2)
        found[data].setdefault(name, []).append((int(seed.removeprefix("seed ")), runs[run]["result"], arrays[run]))
    unpacked = lambda n: lambda packed: np.float32(np.unpackbits(packed, axis=-1, count=n))
    rows = {
        data: {name: _row(name, kept, unpacked(PIXELS[data])) for name, kept in of.items()}
        for data, of in found.items()
    }
    return {data: Rows(of, "one_table") for data, of in rows.items()}


def load_grey(folder: str | Path | None = None) -> Rows:
    """Reads the table of grey clothes, grey_table.json and grey_table.npz. Arguments and errors as for `load`."""
    runs, arrays = _read("grey_table", folder)
    found = {}
    for run in runs:
        name, seed = run.rsplit(", ", 1)
        found.setdefault(name, []).append((int(seed.removeprefix("seed ")), runs[run]["result"], arrays[run]))
    return Rows({name: _row(name, kept, decode) for name, kept in found.items()}, "grey_table")


def over_seeds(row: Row) -> Known:
    """Returns the mean of log p, of a bracket's lower end, with its error over pictures and its spread over seeds."""
    return _known(row.log_probs, row.name)


def paired(a: Row, b: Row) -> Known:
    """Returns the mean of log p by a less log p by b, over the same images. Of brackets both lower ends are taken.

    The error is that of the differences: an image that is hard for one model is hard for one like it, so it is
    then far smaller than those of the two means. The spread is that of two independent choices of a seed.

    Raises:
      ValueError: the two are not of the same images.
    """
    if a.log_probs.shape[1:] != b.log_probs.shape[1:] or (a.sigma is None) != (b.sigma is None):
        raise ValueError(
            f"{a.name!r} and {b.name!r} must be rows of one data set, got {a.log_probs.shape[1]} and "
            f"{b.log_probs.shape[1]} images, {_unit(a)} and {_unit(b)}."
        )
    gap = a.log_probs.mean(axis=0) - b.log_probs.mean(axis=0)
    spread = np.hypot(over_seeds(a).spread, over_seeds(b).spread)
    return Known(float(gap.mean()), float(gap.std(ddof=1) / len(gap) ** 0.5), float(spread))


def _known(log_probs: np.ndarray, name: str):
    each, seeds = log_probs.mean(axis=0), log_probs.mean(axis=1)
    spread = 0.0 if name in NO_SEED else seeds.std(ddof=1) if len(seeds) > 1 else float("nan")
    return Known(float(each.mean()), float(each.std(ddof=1) / len(each) ** 0.5), float(spread))


def _unit(row: Row):
    return "bits" if row.sigma is None else "grey values"


def _read(experiment: str, folder: str | Path | None):
    """The runs by name, and the arrays of each."""
    folder = data_folder() / "experiments" if folder is None else expanded(folder)
    record, file = folder / f"{experiment}.json", folder / f"{experiment}.npz"
    if missing := [str(path) for path in (record, file) if not path.exists()]:
        raise FileNotFoundError(
            f"no {' and no '.join(missing)}. Install the course from its repository, which has the record, or measure "
            f"it in a clone: `python -m experiments --only {experiment}`."
        )
    runs, arrays = json.loads(record.read_text("utf-8")), {}
    with np.load(file) as found:
        for key in found.files:
            run, _, name = key.rpartition("/")
            arrays.setdefault(run, {})[name] = found[key]
    if missing := [run for run in runs if run not in arrays]:
        raise ValueError(
            f"{file} has no arrays of {missing[0]!r}: `python -m experiments --only {experiment}` measures it again."
        )
    return runs, arrays


def _row(name: str, kept: Iterable[tuple[int, dict, dict]], unpack):
    """kept: seed, result and arrays of each run."""
    seeds, results, arrays = zip(*sorted(kept, key=lambda one: one[0]), strict=True)
    ends = np.stack([np.atleast_2d(np.asarray(of["log_probs"], float)) for of in arrays])  # (s, 1 or 2, N)
    told = [result["test"][0] for result in results]
    if not np.allclose(ends[:, 0].mean(axis=1), told, atol=0.01):
        raise ValueError(f"the arrays of {name!r} have the means {ends[:, 0].mean(axis=1)}, its record says {told}.")
    grey = "sigma" in results[0]
    return Row(
        name,
        results[0]["kind"],
        tuple(seeds),
        ends[:, 0],
        ends[:, -1],
        unpack(np.stack([of["samples"] for of in arrays])),
        np.array([result["seconds"] for result in results]),
        results[0]["parameters"],
        np.array([result["sigma"] or np.nan for result in results], float) if grey else None,
        decode(np.stack([of["means"] for of in arrays])) if grey else None,
    )

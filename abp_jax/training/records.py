"""The experiments on record: what `make experiments` measured and learned, and the images that it was measured on.

Pages read a record with `load_experiment`. The code of the experiments (experiments/*.py) takes its splits, masks,
projections and file names from here, so a page cannot show other images or other masks than those that were measured.
"""

import json
from collections.abc import Callable, Hashable, Iterable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from flax import nnx
from PIL import Image

from abp_jax.generators import ConvGenerator
from abp_jax.images import datasets, masks
from abp_jax.images.data import data_folder, decode, load_lion_tiger
from abp_jax.training.generator_files import load_generator

SIZE = datasets.SIZE
NUM_IMAGES = {"overfitting": 100, "good": 10_000, "underfitting": 20_000}  # that each of the regimes learns
NUM_HELD_OUT = 1000  # the last of the 10,000: no regime learns them or their mirror images
LATENT_DIMS, SEEDS = (20, 60, 100, 200), (0, 1, 2)  # of the runs against PCA
MASKS = {  # name -> (num, size, seed=) -> masks (num, size, size), True where a pixel is observed
    "P.5": partial(masks.scattered_blocks, hidden=0.5),
    "P.7": partial(masks.scattered_blocks, hidden=0.7),
    "P.9": partial(masks.scattered_blocks, hidden=0.9),
    "a third": partial(masks.one_block, block=SIZE // 3),
    "a half": partial(masks.one_block, block=SIZE // 2),
}
NUM_MEASUREMENTS = 200  # random projections of the 1,024 pixels
EXERCISE_VARIANTS = ("as posed", "averaged", "without whitening", "cured")
EXERCISE_PARTS = {"reconstructions": 11, "draws": 13, "panel": 64}  # images in the picture of a variant, in this order


class Split(NamedTuple):
    """Images (n, size, size, channels), and where their pixels are observed, (n, size, size); None for everywhere."""

    images: np.ndarray
    observed: np.ndarray | None = None


Splits = dict[str, Split]  # "learned"; "train", some of these; "validation", for choices; "test", for the last figures


class Experiment(NamedTuple):
    """An experiment on record. A run is named by a string; against PCA by a pair (latent_dim, seed), and those of the
    exercise by (variant, seed).

    Attributes:
      name: of the experiment.
      settings: of each run, with its latent_dim and width.
      results: of each run, as experiments/*.py measured them.
      masks: name -> (num, size, seed=) -> masks, True where a pixel is observed; empty where no pixel is missing.
      projections: A, (200, 1024), whose rows are orthonormal; None where images are not projected.
    """

    name: str
    settings: dict[Hashable, dict]
    results: dict[Hashable, dict]
    masks: dict[str, Callable]
    projections: np.ndarray | None

    def splits(self, run: Hashable) -> Splits:
        """Returns the images that a run learned, and those that were measured. Raises ValueError for no such run."""
        if run not in self.results:
            raise ValueError(f"{self.name!r} has no run {run!r}; expected one of {_listed(self.results)}.")
        return SPLITS[self.name](run)

    def generator(self, run: Hashable) -> tuple[ConvGenerator, jax.Array]:
        """Returns what a run learned: the generator, and z (n, d) of up to a thousand of its images.

        Raises ValueError if the generator of this run is not on file.
        """
        files = GENERATORS[self.name]
        if run not in files:
            raise ValueError(f"no generator of the run {run!r} is on file; expected one of {_listed(files)}.")
        sizes = self.settings[run]["latent_dim"], SIZE, self.settings[run]["width"], 1
        like = nnx.eval_shape(lambda: ConvGenerator(*sizes, rngs=nnx.Rngs(0)))
        return load_generator(data_folder() / "experiments" / files[run], like)

    def pictures(self, run: tuple[str, int]) -> dict[str, np.ndarray]:
        """Returns what the generator of a run drew, in [-1, 1]: the reconstructions, draws z ~ N(0, I), the panel.

        The exercise alone has them, of seed 0, to look at: a JPEG file adds a mean squared error of about 0.01.
        Raises ValueError for another run.
        """
        if self.name != "exercise" or run not in self.results or run[1] != 0:
            raise ValueError(f"no pictures of the run {run!r} are on file; the exercise has those of its seed 0.")
        with Image.open(data_folder() / "experiments" / EXERCISE_PICTURES[run[0]]) as file:
            tiled = np.asarray(file)
        side = self.settings[run]["image_size"]
        images = tiled.reshape(-1, side, 8, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
        parts = np.split(decode(images), np.cumsum(list(EXERCISE_PARTS.values()))[:-1])
        return dict(zip(EXERCISE_PARTS, parts, strict=True))


def load_experiment(name: str) -> Experiment:
    """Reads the record of an experiment, which comes with the course.

    Args:
      name: "whitening" (its runs are "with" and "without"), "regimes" ("overfitting", "good", "underfitting"),
        "against_pca" ((20, 0) to (200, 2), the latent dimension and the seed) or "incomplete" ("P.5", "P.7", "P.9",
        "a third", "a half", "projections") or "exercise" (("as posed", 0) to ("cured", 1), the variant and the seed).

    Raises:
      ValueError: there is no experiment of this name.
      FileNotFoundError: this copy of the course has no record of it.
    """
    if name not in SPLITS:
        raise ValueError(f"no experiment is called {name!r}; expected one of {_listed(SPLITS)}.")
    folder = data_folder() / "experiments"
    file = folder / f"{name}.json"
    if not file.exists():
        there = ", ".join(sorted(other.name for other in folder.glob("*.json"))) or "none"
        raise FileNotFoundError(
            f"no record {file}; records that are there: {there}. Install the course from its repository, which has "
            "them, or run `make experiments` in a clone, which measures them again."
        )
    run_of = {text: run for run, text in (AGAINST_PCA | EXERCISE).items()}
    runs = {run_of.get(text, text): record for text, record in json.loads(file.read_text("utf-8")).items()}
    dims = {run: {"latent_dim": run[0]} for run in AGAINST_PCA}  # which their settings leave to the name
    return Experiment(
        name,
        settings={run: dims.get(run, {}) | record["settings"] for run, record in runs.items()},
        results={run: record["result"] for run, record in runs.items()},
        masks=MASKS if name == "incomplete" else {},
        projections=projections() if name == "incomplete" else None,
    )


def whitening_splits(run: str) -> Splits:
    """A thousand images of Fashion-MNIST, the same with whitening and without."""
    return {"learned": Split(datasets.load_fashion_mnist(1000))}


def regimes_splits(run: str) -> Splits:
    """What a regime learns, drawn from the first 9,000 images of Fashion-MNIST; and the last 1,000 of them."""
    images = datasets.load_fashion_mnist()
    learned = datasets.enlarge(images[:-NUM_HELD_OUT], NUM_IMAGES[run])
    return {"learned": Split(learned), "test": Split(images[-NUM_HELD_OUT:])}


def against_pca_splits(run: tuple[int, int]) -> Splits:
    """1,000 images to learn, 300 for choices and 300 to measure, drawn from the 10,000 by the seed of the run.

    Han, Lu, Zhu and Wu (AAAI 2017) learn from as many and measure as many.
    The choices were made with those of seed 0: none of them has seen what that split measures.
    """
    order = np.random.default_rng(run[1]).permutation(10_000)
    learned, validation, test, _ = np.split(datasets.load_fashion_mnist()[order], np.cumsum([1000, 300, 300]))
    return {"learned": Split(learned), "validation": Split(validation), "test": Split(test)}


def incomplete_splits(run: str) -> Splits:
    """1,000 images to learn, 200 of these to measure, 200 others for choices, and 500 others to measure after these.

    Each image has a mask of its own. Behind random projections no pixel is observed.
    """
    nowhere = lambda num, size, seed: np.zeros((num, size, size), bool)
    draw = {**MASKS, "projections": nowhere}[run]
    parts = np.split(datasets.load_fashion_mnist(1700), [1000, 1200])
    learned, validation, test = (Split(part, draw(len(part), SIZE, seed=seed)) for seed, part in enumerate(parts))
    train = Split(learned.images[:200], learned.observed[:200])
    return {"learned": learned, "train": train, "validation": validation, "test": test}


def exercise_splits(run: tuple[str, int]) -> Splits:
    """The eleven shipped faces of lions and tigers, with 64 pixels a side."""
    return {"learned": Split(load_lion_tiger())}


def projections() -> np.ndarray:
    """Returns A, 200 random orthonormal directions among the 1,024 pixels: (200, 1024)."""
    normal = np.random.default_rng(0).normal(size=(SIZE * SIZE, NUM_MEASUREMENTS))
    return np.float32(np.linalg.qr(normal)[0].T)


def _listed(names: Iterable) -> str:
    return ", ".join(map(repr, names))


SPLITS = {
    "whitening": whitening_splits,
    "regimes": regimes_splits,
    "against_pca": against_pca_splits,
    "incomplete": incomplete_splits,
    "exercise": exercise_splits,
}
AGAINST_PCA = {(d, seed): f"against_pca d={d} seed={seed}" for seed in SEEDS for d in LATENT_DIMS}  # names in the file
EXERCISE = {(variant, seed): f"exercise {variant} seed={seed}" for seed in (0, 1) for variant in EXERCISE_VARIANTS}
EXERCISE_PICTURES = {variant: f"exercise_{variant.replace(' ', '_')}.jpg" for variant in EXERCISE_VARIANTS}
GENERATORS = {  # experiment -> run -> file in data/experiments
    "whitening": {run: f"{run}_whitening.safetensors" for run in ("with", "without")},
    "regimes": {run: f"{run}_generator.safetensors" for run in NUM_IMAGES},
    "against_pca": {(20, 0): "against_pca_generator.safetensors"},
    "incomplete": {"P.7": "incomplete_generator.safetensors", "projections": "projections_generator.safetensors"},
    "exercise": {},
}

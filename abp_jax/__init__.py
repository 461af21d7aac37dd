"""Generator networks learned by alternating back-propagation.

The spine, in the order in which one reads it:

- model: log p(z), log p(y | z), log p(y, z)
- langevin: one step, and a chain of them
- samplers: every chain, in one table
- factor_analysis: the linear case, with exact answers
- layers, generators: z to y
- inference: z given y (infer)
- learning: W given z; one iteration of alternating back-propagation
- fitting: a whole run (fit)
- plots: figures

Beside it:

- images: what is observed. arguments, files, data, datasets, masks, observation
- compilation: programs, compilation_cache, compiler, precision, transposes, transposed_convolution, winograd
- training: long runs. loop, session, settings, devices, checkpoints, generator_files, optimizers, stability, records
- evaluation: how good. quadrature, lattice, evidence, diagnostics, metrics, between, comparison, paths, baselines
- relatives: other models, each with an exact answer. Of bits, from Bayesian networks to MADE; of images, from the
  variational autoencoder to the DCGAN; imported when first used
- practice: exercises that say right or wrong, with hints (check); imported when first used
- widgets: what is on the screen. explorer, laboratory, monitor, films; imported when first used
"""

import importlib

from abp_jax import (
    factor_analysis,
    fitting,
    generators,
    inference,
    langevin,
    layers,
    learning,
    model,
    samplers,
)
from abp_jax.compilation import compilation_cache, compiler, programs
from abp_jax.evaluation import (
    baselines,
    between,
    comparison,
    diagnostics,
    evidence,
    lattice,
    metrics,
    paths,
    quadrature,
)
from abp_jax.evaluation.metrics import reconstruction_error
from abp_jax.fitting import ChainDiverged, FitResult, fit
from abp_jax.generators import ConvGenerator, LinearGenerator, MLPGenerator, latent_grid, reconstruct
from abp_jax.images import data, datasets, masks, observation
from abp_jax.images.data import lion_tiger_labels, load_image, load_images, load_lion_tiger
from abp_jax.images.datasets import (
    clothes_labels,
    fashion_mnist_labels,
    load_clothes,
    load_digits,
    load_faces,
    load_fashion_mnist,
    load_textures,
)
from abp_jax.inference import infer
from abp_jax.model import Bernoulli
from abp_jax.training import checkpoints, devices, generator_files, loop, optimizers, records, stability
from abp_jax.training.devices import describe_device
from abp_jax.training.generator_files import load_generator, load_lion_tiger_generator, save_generator
from abp_jax.training.records import load_experiment

__version__ = "0.1.0"

_ON_FIRST_USE = {  # name: where it is
    "LatentExplorer": "widgets.explorer",
    "StepSizeLaboratory": "widgets.laboratory",
    "TrainingMonitor": "widgets.monitor",
    "check": "practice",
    "explorer": "widgets",
    "export_explorer": "widgets.explorer",
    "film": "widgets.films",
    "laboratory": "widgets",
    "monitor": "widgets",
    "plots": "",
    "practice": "",
    "relatives": "",
    "widgets": "",
}


def __dir__():
    return __all__


def __getattr__(name):
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    where = ".".join(filter(None, [__name__, _ON_FIRST_USE[name]]))
    if name[0].islower() and name not in ("check", "export_explorer", "film"):
        return importlib.import_module(f"{where}.{name}")
    return getattr(importlib.import_module(where), name)


compiler.warn_if_wrong()

__all__ = sorted({name for name in globals() if name[0] != "_" and name != "importlib"} | set(_ON_FIRST_USE))

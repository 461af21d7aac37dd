"""Generator networks learned by alternating back-propagation.

The files, in the order in which data flows:

- data: images as arrays
- datasets: clothes, digits, textures, faces, to experiment on
- transposed_convolution: one layer, exact and fast
- generators: z to y
- model: log p(z), log p(y | z), log p(y, z)
- langevin: chains that sample z
- factor_analysis: the linear case, with exact answers
- samplers: chains with an accept step, exact in the long run
- evidence: log p(y), by bounds and by annealing
- quadrature: the exact posterior, where z has two numbers
- learning: one iteration, which infers z, whitens, learns W
- loop: many iterations in one compiled call, batches, devices
- masks: which pixels are seen
- checks: what the two below are given
- inference: z for images that were not trained on (infer)
- checkpoints: save and restore
- stability: the largest stable step, and why a run diverged
- fitting: a whole run (fit)
- paths: from one z to another, and how long the way is in images
- baselines: what fills in hidden pixels without a generator
- metrics, plots, widgets: numbers, figures, images as bytes
- monitor_picture, monitor: a run, to be watched while it goes on
- explorer_plane, explorer (with explorer_view.js): the plane of z under your hand; explorer_plain, without anywidget
- explorer_page: the same as a page without a kernel
- laboratory_chains, laboratory_words, laboratory_picture, laboratory: a step size under your hand
- compilation_cache: compiled programs kept on disk
- compiler: which ones compute wrong numbers
"""

import importlib.util

from abp_jax import (
    baselines,
    checkpoints,
    checks,
    compilation_cache,
    compiler,
    data,
    datasets,
    evidence,
    factor_analysis,
    fitting,
    generators,
    inference,
    laboratory,
    langevin,
    learning,
    loop,
    masks,
    metrics,
    model,
    monitor,
    paths,
    plots,
    quadrature,
    samplers,
    stability,
    widgets,
)
from abp_jax.checkpoints import load_generator, load_lion_tiger_generator, save_generator
from abp_jax.data import lion_tiger_labels, load_image, load_images, load_lion_tiger
from abp_jax.datasets import clothes_labels, load_clothes, load_digits, load_faces, load_textures
from abp_jax.explorer_page import export_explorer
from abp_jax.fitting import ChainDiverged, FitResult, fit
from abp_jax.generators import ConvGenerator, LinearGenerator, MLPGenerator, latent_grid, reconstruct
from abp_jax.inference import infer
from abp_jax.laboratory import StepSizeLaboratory
from abp_jax.metrics import reconstruction_error
from abp_jax.monitor import TrainingMonitor
from abp_jax.widgets import describe_device

if importlib.util.find_spec("anywidget"):
    from abp_jax.explorer import LatentExplorer
else:
    from abp_jax.explorer_plain import PlainLatentExplorer as LatentExplorer

__version__ = "0.1.0"

compiler.warn_if_wrong()
compilation_cache.enable()

__all__ = [
    "ChainDiverged",
    "ConvGenerator",
    "FitResult",
    "LatentExplorer",
    "LinearGenerator",
    "MLPGenerator",
    "StepSizeLaboratory",
    "TrainingMonitor",
    "baselines",
    "checkpoints",
    "checks",
    "clothes_labels",
    "compilation_cache",
    "compiler",
    "data",
    "datasets",
    "describe_device",
    "evidence",
    "export_explorer",
    "factor_analysis",
    "fit",
    "fitting",
    "generators",
    "infer",
    "inference",
    "laboratory",
    "langevin",
    "latent_grid",
    "learning",
    "lion_tiger_labels",
    "load_clothes",
    "load_digits",
    "load_faces",
    "load_generator",
    "load_image",
    "load_images",
    "load_lion_tiger",
    "load_lion_tiger_generator",
    "load_textures",
    "loop",
    "masks",
    "metrics",
    "model",
    "monitor",
    "paths",
    "plots",
    "quadrature",
    "reconstruct",
    "reconstruction_error",
    "samplers",
    "save_generator",
    "stability",
    "widgets",
]

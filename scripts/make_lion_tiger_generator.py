"""Makes data/lion_tiger_generator.safetensors, the generator that notebooks 00 and 06 open with, and docs/panel.png.

The settings of act 4 of notebook 05, and 600 iterations, on the eleven faces; weights are stored as float16.
"""

from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx

import abp_jax as abp
from abp_jax.images.data import data_folder

images = abp.load_lion_tiger()
result = abp.fit(abp.ConvGenerator(rngs=nnx.Rngs(0)), images, key=jax.random.key(0), weight_decay=0.4)
path = data_folder() / "lion_tiger_generator.safetensors"
abp.save_generator(path, result.generator, result.z, np.float16)
generator, z = abp.load_lion_tiger_generator()
print(f"{path.name}: mean squared error {abp.reconstruction_error(generator, z, images).mean():.4f} as stored")

plt.style.use("abp_jax.course")
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 5.6), width_ratios=[2.4, 1])
abp.plots.panel(abp.latent_grid(generator), left)
abp.plots.image_grid(abp.reconstruct(generator, z), right, num_columns=2, title="the eleven, from their z")
figure.savefig(Path(__file__).parent.parent / "docs" / "panel.png")

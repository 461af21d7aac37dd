"""Makes the shipped generators, data/lion_tiger_generator*.safetensors, and docs/panel.png.

The one of 64 pixels, with which notebooks 00 and 06 open, has the settings of act 4 of notebook 05, with a rate that is
kept for the first half; the one of 32 is that of notebook 08, learned by AdamW, and the one of 16 that of notebook 07.
Weights are stored as float16, the smallest one's as float32. They were made by earlier versions and are not made anew
with each: the last bits differ by version and machine, and learning amplifies them.
`python scripts/make_lion_tiger_generator.py 32` makes one alone.
"""

import sys
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx

import abp_jax as abp
from abp_jax.images.data import data_folder
from abp_jax.training.generator_files import SHIPPED

keys_of_16 = jax.random.split(jax.random.key(8), 6)
SETTINGS = {
    64: dict(learning_rate=abp.fitting.constant_then_cosine(2e-3, 200)),
    32: dict(num_iterations=600, optimizer=abp.optimizers.adam(abp.fitting.constant_then_cosine(2e-3, 600))),
    16: dict(learning_rate=abp.fitting.constant_then_cosine(2e-3, 200), key=keys_of_16[0]),
}

for size in [int(argument) for argument in sys.argv[1:]] or SHIPPED:
    images, (width, file) = abp.load_lion_tiger(size=size), SHIPPED[size]
    start = abp.ConvGenerator(image_size=size, width=width, rngs=nnx.Rngs(8 if size == 16 else 0))
    settings = dict(key=jax.random.key(0), sampler="gauss_newton", num_steps=5) | SETTINGS[size]
    result = abp.fit(start, images, **settings)
    dtype = np.float32 if size == 16 else np.float16
    abp.save_generator(data_folder() / file, result.generator, result.z, dtype)
    generator, z = abp.load_lion_tiger_generator(size)
    print(f"{file}: mean squared error {abp.reconstruction_error(generator, z, images).mean():.4f} as stored")

generator, z = abp.load_lion_tiger_generator()
plt.style.use("abp_jax.course")
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 5.6), width_ratios=[2.4, 1])
abp.plots.panel(abp.latent_grid(generator), left)
abp.plots.image_grid(abp.reconstruct(generator, z), right, num_columns=2, title="the eleven, from their z")
figure.savefig(Path(__file__).parent.parent / "docs" / "panel.png")

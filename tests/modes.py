"""fit with every sampler, infer, samplers, quadrature, evidence, at a small size.

`python -m tests.modes [old-key] [f64]`: `test_modes` runs it under jax's settings that a user may have turned on. It
prints what failed.
"""

import sys
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import abp_jax as abp
from abp_jax import comparison, evidence, model, samplers

key = jax.random.PRNGKey(0) if "old-key" in sys.argv else jax.random.key(0)
dtype = jnp.float64 if "f64" in sys.argv else jnp.float32
y = np.random.default_rng(0).normal(size=(8, 5))
failed = []


class Small(nnx.Module):
    def __init__(self):
        self.latent_dim = 2
        options = dict(param_dtype=dtype, rngs=nnx.Rngs(0))
        self.first, self.out = nnx.Linear(2, 8, **options), nnx.Linear(8, 5, **options)

    def __call__(self, z):
        return self.out(jnp.tanh(self.first(z)))


def attempt(name, call, *args, **options):
    try:
        return call(*args, **options)
    except Exception as error:
        print(f"{name}: {type(error).__name__} {str(error)[:300]}", flush=True)
        failed.append(name)


def learn(name, **options):
    settings = dict(key=key, progress=False, num_warmup=2, num_steps=2, batch_size=5, sampler=name)
    result = abp.fit(generator, y, 6, **(settings | options))
    arrays = [result.z, *jax.tree.leaves(nnx.state(result.generator, nnx.Param))]
    assert all(np.isfinite(a).all() and a.dtype == dtype for a in arrays) and np.isfinite(result.losses).all()


def run(name):
    density = model.given(lambda z: generator(z), jnp.asarray(y[0]), 0.3)
    sampler = samplers.KINDS[name].make(density._replace(mean_precision=lambda: jnp.eye(2)))
    for kind in {jnp.dtype(jnp.float32), jnp.zeros(()).dtype}:
        state = samplers.start(sampler, jnp.zeros((3, 2), kind), key)
        assert np.isfinite(samplers.run(key, sampler, state, 0.1, 3).z).all()


generator, faces = Small(), abp.load_lion_tiger(size=8)
images = abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(0))
f, mode = (lambda z: generator(z)), jnp.zeros(2)
for name in samplers.KINDS:
    attempt(f"fit {name}", learn, name)
    attempt(f"infer {name}", abp.infer, generator, y, key=key, num_steps=2, num_starts=2, sampler=name)
    attempt(f"run {name}", run, name)
attempt("learned sigma", learn, "mala", learn_sigma=True)
attempt("annealed sigma", learn, None, sigma=lambda t: 1.0 / (1 + t))
attempt("mask", learn, None, mask=y > -1)
attempt("measure", abp.infer, generator, y[:, :2], key=key, num_steps=2, num_starts=2, measure=lambda image: image[:2])
attempt("checkpoint", learn, None, checkpoint_dir=tempfile.mkdtemp())
settings = dict(key=key, progress=False, num_warmup=2)
attempt("faces", abp.fit, images, faces, 6, weight_decay=0.4, **settings)
attempt("bytes", abp.fit, images, np.uint8(127 * faces + 128), 4, **settings)
attempt("d = 20", abp.fit, abp.MLPGenerator(20, 5, rngs=nnx.Rngs(0)), np.tile(y, (4, 1)), 4, **settings)
attempt("panel", abp.latent_grid, images)
attempt("error", abp.reconstruction_error, images, np.zeros((11, 2)), faces, mask=faces > -0.99)
attempt("quadrature", lambda: abp.quadrature.exact_posteriors(f, y[:2], 0.3)[0].sample(key, 3))
attempt("mode", evidence.find_mode, f, mode, jnp.asarray(y[0]), 0.3)
weights = attempt("weights", evidence.importance_log_weights, key, f, mode, jnp.asarray(y[0]), 0.3, 64)
attempt("bound", evidence.importance_bound, weights, 4)
b = evidence.inverse_temperatures(6)
attempt("bracket", evidence.annealed_bracket, key, f, jnp.zeros((4, 2)), y[0], 0.3, inverse_temperatures=b)
attempt("stable steps", abp.stability.largest_stable_steps, f, jnp.asarray(y), jnp.zeros((8, 2)), 0.3)
options = dict(sampler="mala", sigma=0.3, step_size=0.1, num_steps=4, num_warmup=3)
attempt("comparison", comparison.run, key, f, jnp.asarray(y[:2]), jnp.zeros((2, 3, 2)), **options)
print("failed:", failed)

"""What the worker processes with jax can do. Run as `python -m benchmarks.tasks_jax settings`."""

import json
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from abp_jax.checks import check_chain
from flax import nnx

import abp_jax as abp
from abp_jax import learning, loop
from abp_jax.generators import functional
from abp_jax.plots import to_display
from benchmarks.rounds import arrival
from benchmarks.twins_flax import FlaxGenerator
from benchmarks.watched_fit import watched_fit
from benchmarks.workers import serve

SIGMA = 0.3
STEP_SIZE = 0.003  # small enough for weights that have learned nothing yet; the time of a step doesn't depend on it
LONGEST = 100_000  # iterations that one worker can be asked for


def build(*, form: str = "ours", width: int = 64, size: int = 64, dtype: str = "float32"):
    """Returns the generator of a contestant, "ours" or "flax", and the eleven faces."""
    generator = abp.ConvGenerator(image_size=size, width=width, dtype=jnp.dtype(dtype), rngs=nnx.Rngs(0))
    return FlaxGenerator(generator) if form == "flax" else generator, jnp.asarray(abp.load_lion_tiger(size=size))


def initial_z(generator, images) -> jax.Array:
    """Where the chains of `fit` start with key 0."""
    return learning.init({}, optax.identity(), len(images), generator.latent_dim, jax.random.key(0)).z


def actions(generator, images, *, chain_steps: int = 10, iterations: int = 1, product: int = 2048) -> dict:
    """The timed tasks.

    Args:
      generator: whose.
      images: the faces.
      chain_steps: of the action "gradient".
      iterations: of the actions "iteration" and "default_iteration".
      product: side of the matrices of the action "product".
    """
    generate, params = functional(generator)
    z = initial_z(generator, images)
    plain = check_chain(generator.latent_dim, SIGMA, "langevin", None, STEP_SIZE)
    default = check_chain(generator.latent_dim, SIGMA, None, None, None)
    keys = learning.example_keys(jax.random.key(1), 0, jnp.arange(len(images)))

    @jax.jit
    def chain(params, z):
        settings = plain._replace(num_steps=chain_steps)._asdict()
        return learning.infer_latents(partial(generate, params), keys, z, images, **settings)

    forward = jax.jit(jax.vmap(generate, (None, 0)))
    gradient = jax.jit(lambda params, z: learning.learning_gradient(generate, params, z, images, SIGMA))
    iterate = partial(advancing, generate, params, images, z, iterations)
    return {
        "product": matrix_product(product),
        "forward": lambda: jax.block_until_ready(forward(params, z)),
        "gradient": lambda: jax.block_until_ready(chain(params, z)),
        "learning": lambda: jax.block_until_ready(gradient(params, z)),
        "iteration": iterate(chain=plain, whitening=False),
        "default_iteration": iterate(chain=default, whitening=True),
        "render": partial(render, generator, np.random.default_rng(0)),
    }


def matrix_product(side: int, dtype=jnp.float32):
    """An action that multiplies two matrices of side x side."""
    a = jax.random.normal(jax.random.key(0), (side, side), dtype)
    product = jax.jit(jnp.matmul)
    return lambda: product(a, a).block_until_ready()


def advancing(generate, params, images, z, iterations: int, *, chain, whitening: bool):
    """An action that does some iterations in one compiled call, as `fit` does."""
    optimizer = optax.adam(2e-3, b1=0.5)
    settings = dict(generate=generate, optimizer=optimizer, whitening=whitening, **chain._asdict())
    state = learning.init(params, optimizer, *z.shape, jax.random.key(0))
    advance = loop.compile_advance(
        partial(learning.iterate, **settings), lambda t: loop.batch_indices(state.key, t, len(images), len(images))
    )
    run = None

    def action():
        nonlocal run
        run = loop.start(state, [], LONGEST) if run is None else run
        run = advance(run, images, None, run.state.iteration + iterations)
        if int(run.failure) != loop.SOUND:
            raise FloatingPointError(f"failure {int(run.failure)} after {int(run.state.iteration)} iterations")

    return action


def render(generator, random: np.random.Generator) -> np.ndarray:
    """One image as the slider shows it: z in, numbers from 0 to 255 out."""
    z = random.standard_normal((1, generator.latent_dim), np.float32)
    return np.uint8(np.round(255 * to_display(np.asarray(abp.reconstruct(generator, jnp.asarray(z))[0]))))


def export(generator, images, file: str) -> None:
    """Writes images, first z and weights, for the contestants in other libraries."""
    layers = functional(generator)[1]
    weights = {f"{layer}/{name}": np.asarray(a) for layer, arrays in layers.items() for name, a in arrays.items()}
    np.savez(file, images=np.asarray(images), z=np.asarray(initial_z(generator, images)), **weights)


def train(generator, images, target: float | None = None, limit: int = 600, seed: int = 0) -> dict:
    """Runs `abp.fit` with its defaults until the error is at the target, and returns how long that took.

    Args:
      generator: where W starts.
      images: the faces.
      target: of the error, see `arrival`; None runs on to the limit.
      limit: iterations.
      seed: of the key.
    """
    enough = lambda losses: arrival(losses, target)
    seen = watched_fit(generator, images, limit, key=jax.random.key(seed), enough=enough)
    losses = seen.result.losses
    iterations = arrival(losses, target) or len(losses)  # the last compiled call may have gone on a little
    return {
        "reached": target is None or arrival(losses, target) is not None,
        "iterations": iterations,
        "seconds": seen.seconds - (len(losses) - iterations) * seen.iteration_seconds,
        "compile_seconds": seen.compile_seconds,
        "iteration_seconds": seen.iteration_seconds,
        "loss": float(losses[iterations - 1]),
    }


def main():
    """Builds the contestant that the first argument describes, and serves."""
    settings = json.loads(sys.argv[1])
    timing = {name: settings.pop(name) for name in ("chain_steps", "iterations", "product") if name in settings}
    generator, images = build(**settings)
    services = {
        "describe": lambda: {"platform": jax.default_backend(), "device": jax.devices()[0].device_kind},
        "export": partial(export, generator, images),
        "train": partial(train, generator, images),
    }
    serve(actions(generator, images, **timing), services)


if __name__ == "__main__":
    main()

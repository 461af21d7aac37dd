"""Exercises of page 15, scaling up: what an iteration costs, and what a batch leaves of a chain's past."""

from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
from flax import nnx

from abp_jax import langevin, layers
from abp_jax.generators import ConvGenerator
from abp_jax.practice.exercises import Function, Numbers, exercise
from abp_jax.practice.page_08 import multiplier

NUM_IMAGES, NUM_ITERATIONS, NUM_STEPS = 1000, 150, 20


@exercise(
    "15.1",
    Function([(1,), (2,), (3,), (4,)], Numbers(1e-3)),
    "One layer makes a patch of 5 x 5 of one pixel. How far apart do the patches of two neighbouring pixels lie?",
    "A row of r pixels becomes r patches of width 5, each two pixels further than the one before.",
    "So r becomes 2 (r - 1) + 5 = 2 r + 3. Begin with r = 1, or solve it: r + 3 doubles in each layer.",
)
def patch_of_a_pixel() -> Callable:
    """A function of the number of layers: the side of the patch that one pixel paints through them, in pixels."""

    @jax.jit
    def sides() -> list[jax.Array]:
        x, found = jnp.zeros((5, 5, 1)).at[2, 2].set(1.0), []  # far from the border
        for _ in range(4):
            x = layers.library_call(x, jnp.ones((1, 5, 5, 1)), 2)
            found.append(jnp.sum(x.any(axis=(0, 2))))
        return found

    found = sides()
    return lambda num_layers: int(found[num_layers - 1])


@cache
def sizes() -> tuple[int, int]:
    """Floating-point operations of f(z), and of Muon's step, of the default network."""
    network = nnx.eval_shape(lambda: ConvGenerator(rngs=nnx.Rngs(0)))
    kernels = [network.first.kernel, *(getattr(network, f"conv{i}").kernel for i in range(network.num_layers))]
    pixels = [1, *((4 * 2**i) ** 2 for i in range(network.num_layers))]
    products = 0
    for kernel in kernels:
        m, n = sorted([kernel.shape[0], kernel.size // kernel.shape[0]])
        products += 2 * 2 * m * m * n + 5 * 4 * 2 * m**3  # X X' and P X; five rounds of four products of m x m
    return sum(2 * n * kernel.size for n, kernel in zip(pixels, kernels, strict=True)), products


@exercise(
    "15.2",
    Function([(11, 4), (100, 4), (11, 20), (1000, 20)], Numbers(0.005)),
    "Muon's own work is the same for any number of images and of steps. Which of the other two depends on which?",
    "Passes through the network: two for each Langevin step and three for the gradient in W, for each of the images.",
    "muon / (muon + images * (2 * steps + 3) * operations(default)).",
)
def share_of_muon() -> Callable:
    """A function of the images in the batch and the Langevin steps: Muon's share of an iteration's operations."""
    one_image, muon = sizes()
    return lambda images, steps: muon / (muon + images * (2 * steps + 3) * one_image)


@exercise(
    "15.3",
    Function([(100, 0.01), (100, 0.001), (20, 0.01), (200, 0.005)], Numbers(0.01)),
    "How often does the run visit an image? And how many steps of its chain is that?",
    "150 iterations of batch_size images out of 1,000 are 0.15 * batch_size visits, of twenty steps each.",
    "A step keeps 1 - ratio / 2. Raise that to the power 20 * 0.15 * batch_size.",
)
def kept_by_a_chain() -> Callable:
    """A function of batch_size and ratio: what a run keeps of where a chain began, in a direction that much softer."""

    @jax.jit
    def factor(ratio: float) -> jax.Array:
        P = jnp.array([1.0, ratio])
        half = langevin.largest_stable_step(jnp.diag(P)) / 2
        log_density = lambda z: -0.5 * jnp.sum(P * z**2)
        return multiplier(log_density, half, 2)[1, 1]

    def kept(batch_size: int, ratio: float) -> float:
        visits = NUM_ITERATIONS * batch_size / NUM_IMAGES
        return float(factor(ratio)) ** (NUM_STEPS * visits)

    return kept


@exercise(
    "15.4",
    Function([(11, 4, 1), (11, 11, 4), (1000, 300, 8), (20_000, 100, 3)], Numbers(1e-3)),
    "Two things are filled up: the last batch of a pass, and each batch so that the devices can share it.",
    "A pass has ceil(num_images / batch_size) batches; each is as long as the next multiple of devices. All images "
    "together are a batch, too, if there are no more than batch_size.",
    "1 - num_images / (batches * length), with length = -(-min(batch_size, num_images) // devices) * devices.",
)
def filling() -> Callable:
    """A function of num_images, batch_size and devices: the share of filling in the batches of a pass."""

    def share(num_images: int, batch_size: int, devices: int) -> float:
        batches = -(-num_images // batch_size)
        length = -(-min(batch_size, num_images) // devices) * devices
        return 1 - num_images / (batches * length)

    return share

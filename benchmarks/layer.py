"""Our transposed convolution beside Flax's `nnx.ConvTranspose`: the exercise's network with it, and the forms."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

import abp_jax as abp
from abp_jax.compilation import transposed_convolution as forms
from abp_jax.compilation.winograd import winograd, winograd_kernel
from benchmarks.timing import Section, Settings, alternate, stopwatch

FORMS = {
    "ours, as chosen": forms.transposed_convolution,
    "patches and sums": forms.patches_and_sums,
    "patches and convolution": forms.patches_and_convolution,
}
PREPARED, BOUND = "Winograd's, prepared", "its two products alone"


class FlaxGenerator(nnx.Module):
    """What a `ConvGenerator` computes, by `nnx.ConvTranspose`, from its weights."""

    def __init__(self, generator: abp.ConvGenerator):
        self.latent_dim, self.image_size = generator.latent_dim, generator.image_size
        self.features, self.num_layers = generator.features, generator.num_layers
        self.first = generator.first
        for i in range(self.num_layers):
            layer = getattr(generator, f"conv{i}")
            setattr(self, f"conv{i}", flax_layer(layer.kernel[...], layer.bias[...]))

    def __call__(self, z: jax.Array) -> jax.Array:
        """Maps z (d,) to an image (image_size, image_size, channels)."""
        x = self.first(z).reshape(4, 4, self.features[0])
        for i in range(self.num_layers):
            x = getattr(self, f"conv{i}")(jax.nn.leaky_relu(x, 0.2))
        return jnp.tanh(x)


def flax_layer(kernel: jax.Array, bias: jax.Array) -> nnx.ConvTranspose:
    """Returns Flax's layer with our kernel (in, k, k, out), in its own order (k, k, in, out), and bias (out,)."""
    size = (kernel.shape[0], kernel.shape[-1], kernel.shape[1:3])
    layer = nnx.ConvTranspose(*size, strides=(2, 2), padding="SAME", rngs=nnx.Rngs(0))
    layer.kernel, layer.bias = nnx.Param(kernel.transpose(1, 2, 0, 3)), nnx.Param(bias)
    return layer


def layer(settings: Settings) -> Section:
    """Each layer of the exercise's network: the gradient in its input, eleven images, in every form."""
    features, measured, rows = (16, 8, 3) if settings.quick else (512, 256, 128, 64, 3), {}, []
    for i, (a, b) in enumerate(zip(features, features[1:], strict=False)):
        name = f"{4 * 2**i} x {4 * 2**i} x {a} to {b}"
        x = jax.random.normal(jax.random.key(i), (11, 4 * 2**i, 4 * 2**i, a))
        kernel = jax.random.normal(jax.random.key(i), (a, 5, 5, b)) / (5 * a**0.5)
        apply = {form: partial(call, kernel=kernel, stride=2) for form, call in FORMS.items()}
        apply[PREPARED] = partial(winograd, sums=winograd_kernel(kernel))
        apply["Flax"] = flax_layer(kernel, jnp.zeros(b))
        apply[BOUND] = lambda x, kernel=kernel: x @ kernel.reshape(len(kernel), -1)  # its gradient has the other one
        rounds = alternate({form: timed(call, x) for form, call in apply.items()}, settings.rounds)
        first, *others = apply
        rows.append([name, rounds.median(first), *(rounds.times(form, first) for form in others)])
        measured[name] = rounds.seconds
    note = (
        "Forward and back to the input of one layer, eleven images, five times in one compiled loop as a chain does. "
        "Times ours, as `transposed_convolution` chooses for this device. Winograd's form has half the products; the "
        "sums of its kernel are made before, as for chains of ten steps and more. The two products, of all pixels with "
        "the kernel and of all patches with its transpose, bound what a form by these two can reach. "
        f"{rounds.conditions()}"
    )
    return Section("The layer", note, ["layer", *apply], rows, measured)


def timed(apply, x):
    """A task: seconds of a gradient of |apply(x)|^2 / 2 in x, moved along it five times. Compiled here."""
    gradient = jax.grad(lambda x: jnp.sum(jax.vmap(apply)(x) ** 2) / 2)
    program = jax.jit(lambda x: jax.lax.fori_loop(0, 5, lambda _, x: x - 1e-3 * gradient(x), x))
    program(x).block_until_ready()
    return lambda: stopwatch(lambda: program(x).block_until_ready(), 3) / 5

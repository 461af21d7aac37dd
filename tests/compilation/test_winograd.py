from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from abp_jax import generators, learning
from abp_jax.compilation import winograd
from abp_jax.layers import TransposedConv, library_call
from tests.programs import assign


@pytest.fixture(autouse=True)
def as_on_a_cpu(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")


def uses_winograd(f, *args):
    return "name=winograd" in str(jax.make_jaxpr(f)(*args))


def chains(f, z):
    """Two steps of gradient ascent on |f(z)|^2 for each z, as one program."""
    step = lambda z, _: (z + 0.01 * jax.vmap(jax.grad(lambda z: jnp.sum(f(z) ** 2)))(z), None)
    return jax.lax.scan(step, z, None, 2)[0]


def test_seven_products_paint_what_ten_do():
    """Along one axis, in whole numbers: exact."""
    pixels, taps, sums = map(np.array, (winograd.PIXELS, winograd.KERNEL, winograd.SUMS))
    for kernel in 2 * np.random.default_rng(0).integers(-50, 50, (5, 5)):
        painted = np.zeros((4, 4))  # pixels 2t - 1 to 2t + 2, and what lies at 4t to 4t + 3
        for pixel in range(4):
            for i in range(5):
                if 0 <= (at := 2 * pixel + 1 - i) < 4:  # a patch lies upside down
                    painted[at, pixel] = kernel[i]
        np.testing.assert_array_equal(sums @ np.diag(taps @ kernel) @ pixels, painted)


def test_tiles_that_overlap_are_added_up(key):
    x = jax.random.normal(key, (6, 4, 3))
    tiles, transpose = jax.vjp(winograd._tiles, x)
    there = jax.random.normal(key, tiles.shape)
    np.testing.assert_allclose(winograd._from_tiles(there, 6, 4), transpose(there)[0], atol=1e-6)


@pytest.mark.parametrize("size", [(2, 2), (4, 4), (2, 8), (10, 6)])
def test_it_equals_the_library_at_every_size(size, key):
    x, kernel = jax.random.normal(key, (*size, 3)), jax.random.normal(key, (3, 5, 5, 4))
    ours = winograd.winograd(x, winograd.winograd_kernel(kernel))
    np.testing.assert_allclose(ours, library_call(x, kernel, 2), atol=2e-5)


class OneLayer(nnx.Module):
    """z times an image of ones, and one transposed convolution."""

    def __init__(self, size=(4, 6), channels=(100, 70), change=None, **settings):
        self.size, self.change = size, change
        self.layer = TransposedConv(*channels, rngs=nnx.Rngs(0), **settings)

    def __call__(self, z):
        layer = self.layer if self.change is None else self.change(self.layer, z)
        return layer(jnp.broadcast_to(jnp.tile(z, len(layer.kernel[...]) // 2), (*self.size, len(layer.kernel[...]))))


def multiplied(layer, z):
    graphdef, params = nnx.split(layer, nnx.Param)
    return nnx.merge(graphdef, jax.tree.map(lambda w: w * (1 + z[0]), params))


def assigned(layer, z):
    layer = nnx.clone(layer)
    assign(layer.kernel, layer.kernel[...] * (1 + z[0]))
    return layer


def split_and_merged(layer, z):
    return nnx.merge(*nnx.split(layer, nnx.Param))


@pytest.mark.parametrize(
    ("settings", "prepared"),
    [
        ({}, True),
        (dict(change=split_and_merged), True),
        (dict(change=multiplied), False),  # not W, but a multiple of it for each z
        (dict(change=assigned), False),
        (dict(size=(3, 6)), False),
        (dict(size=(4, 5)), False),
        (dict(channels=(100, 60)), False),
        (dict(kernel_size=4), False),
        (dict(stride=1), False),
        (dict(stride=3), False),
        (dict(dtype=jnp.bfloat16), False),
    ],
)
def test_what_is_prepared_computes_the_same(settings, prepared, key):
    """Wide layers with W itself as their kernel by sums of it; all else as it always does."""
    generate, params = generators.functional(OneLayer(**settings))
    z = jax.random.normal(key, (8, 2))
    by_sums, plain = (lambda params, z, n=n: chains(winograd.prepare(generate, params, z, n), z) for n in (10, 9))
    assert (uses_winograd(by_sums, params, z), uses_winograd(plain, params, z)) == (prepared, False)
    np.testing.assert_allclose(jax.jit(by_sums)(params, z), jax.jit(plain)(params, z), rtol=1e-4)
    assert not uses_winograd(generate, params, z[0])


def test_few_examples_are_not_prepared(key):
    generate, params = generators.functional(OneLayer())
    z = jax.random.normal(key, (7, 2))
    assert not uses_winograd(winograd.prepare(generate, params, z, 10), z[0])


def test_it_is_over_when_the_call_has_failed(key):
    def generate(params, z):
        raise RuntimeError

    with pytest.raises(RuntimeError):
        winograd.prepare(generate, {}, jnp.zeros((8, 2)), 10)
    assert winograd.known.get() is None


def test_derivatives_of_what_is_prepared(key):
    """A layer that is called twice, behind a linear measurement: both Jacobians."""
    network = generators.ConvGenerator(image_size=16, width=64, rngs=nnx.Rngs(0))
    draw, params = generators.functional(network)
    generate = lambda params, z: draw(params, z)[::2].sum(-1) + draw(params, -z)[1::2].sum(-1)
    z = jax.random.normal(key, (8, 2))
    both = lambda f: jax.jit(jax.vmap(lambda z: (f(z), jax.jacrev(f)(z), jax.jacfwd(f)(z))))(z)
    by_sums, plain = (winograd.prepare(generate, params, z, n) for n in (10, 9))
    assert uses_winograd(by_sums, z[0])
    jax.tree.map(partial(np.testing.assert_allclose, atol=2e-5), both(by_sums), both(plain))


def test_an_iteration_is_the_same(key, monkeypatch, small_faces):
    """z, and W, which learns by the kernels as they are."""
    network = generators.ConvGenerator(image_size=16, width=64, rngs=nnx.Rngs(0))
    generate, params = generators.functional(network)
    settings = dict(generate=generate, optimizer=optax.sgd(1e-6), whitening=True)
    settings["chain"] = learning.Chain(0.3, "langevin", 10, 0.03)
    state = learning.init(params, settings["optimizer"], 11, 2, key)
    arguments, results = (state, jnp.asarray(small_faces), jnp.arange(11)), []
    for steps, prepared in ((10, True), (11, False)):
        monkeypatch.setattr(winograd, "MIN_STEPS", steps)
        iterate = partial(learning.iterate, **settings)
        assert uses_winograd(iterate, *arguments) == prepared
        results.append(jax.jit(iterate)(*arguments)[0])
    by_sums, plain = results
    jax.tree.map(partial(np.testing.assert_allclose, atol=5e-6), (by_sums.z, by_sums.params), (plain.z, plain.params))
    assert jnp.abs(by_sums.params["conv0"]["kernel"] - params["conv0"]["kernel"]).max() > 1e-4

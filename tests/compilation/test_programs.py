"""No program is kept by the identity of something that can change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax import comparison, generators
from abp_jax.compilation import programs
from tests.programs import assign

SCALE = 1.0
Z = jnp.array([[0.5, -1.0], [1.0, 2.0]])


class Settings:
    def __init__(self, slope):
        self.slope = slope


class Changing(nnx.Module):
    """Refers to a global, to a list, to a dict and to an object, all of which may change."""

    def __init__(self):
        self.latent_dim, self.widths, self.table, self.settings = 2, [1.0], {"shift": 0.0}, Settings(1.0)
        self.first = nnx.Linear(2, 3, rngs=nnx.Rngs(0))

    def __call__(self, z):
        return SCALE * self.settings.slope * self.widths[0] * self.first(z) + self.table["shift"]


@pytest.mark.parametrize("change", ["global", "list", "dict", "object", "weights"])
def test_what_a_generator_refers_to_may_change(change, monkeypatch):
    generator = Changing()
    before = generators.reconstruct(generator, Z)
    if change == "global":
        monkeypatch.setitem(globals(), "SCALE", 2.0)
    if change == "list":
        generator.widths[0] = 3.0
    if change == "dict":
        generator.table["shift"] = 1.0
    if change == "object":
        generator.settings.slope = -1.0
    if change == "weights":
        assign(generator.first.bias, jnp.ones(3))
    after = generators.reconstruct(generator, Z)
    np.testing.assert_allclose(after, jax.vmap(generator)(Z), rtol=1e-6)
    assert np.abs(after - before).max() > 0.1


def test_an_equal_trace_is_compiled_once():
    first, second = Changing(), Changing()
    assign(second.first.kernel, second.first.kernel[...] + 1)
    generators.reconstruct(first, Z)
    compiled = programs._evaluate._cache_size()
    generators.reconstruct(second, Z)
    assert programs._evaluate._cache_size() == compiled


class Box:
    """Holds an array that changes, and that a generator reaches through a function within it."""


def rule(z, value):
    """A function with its own rule of derivatives, made anew at each call."""
    function = jax.custom_jvp(lambda z: value * z.sum())
    function.defjvp(lambda z, tangents: (value * z[0].sum(), value * tangents[0].sum()))
    return function(z)


def called_back(z, value):
    return jax.pure_callback(lambda z: value * z.sum(), value, z, vmap_method="sequential")


def total(z):
    return np.sum(z, keepdims=True)


def called_back_by_name(z, value):
    return value * jax.pure_callback(total, jax.ShapeDtypeStruct((1,), z.dtype), z, vmap_method="sequential")[0]


WITHIN = {
    "jit": lambda z, value: jax.jit(lambda z: value * z.sum())(z),
    "jit in jit": lambda z, value: jax.jit(jax.jit(lambda z: value * z.sum()))(z),
    "jit in scan": lambda z, value: jax.lax.scan(lambda c, z: (c + WITHIN["jit"](z[None], value), None), 0 * value, z)[
        0
    ],
    "cond": lambda z, value: jax.lax.cond(z[0] > -9, lambda: value * z.sum(), lambda: 0 * value),
    "while": lambda z, value: jax.lax.fori_loop(0, 1, lambda i, y: y + value * z.sum(), 0 * value),
    "checkpoint": lambda z, value: jax.checkpoint(WITHIN["jit"])(z, value),
    "rule of derivatives": rule,
    "callback": called_back,
    "named callback": called_back_by_name,
}


class Within(nnx.Module):
    def __init__(self, kind, value):
        self.latent_dim, self.kind, self.box = 2, kind, Box()
        self.box.value = value

    def __call__(self, z):
        return WITHIN[self.kind](z, self.box.value)


@pytest.mark.parametrize("kind", WITHIN)
@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_what_functions_within_a_generator_refer_to_may_change(kind, array):
    """A jitted function keeps its constants, which no trace shows in its text."""
    values = array(np.arange(3.0, dtype=np.float32)), array(np.arange(3.0, dtype=np.float32) - 5)
    generator = Within(kind, values[0])
    for value in (*values, values[0]):
        generator.box.value = value
        expected = np.outer(Z.sum(axis=1), value)
        np.testing.assert_allclose(generators.reconstruct(generator, Z), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "kind", ["jit", "jit in scan", "cond", "while", "checkpoint", "rule of derivatives", "named callback"]
)
def test_an_equal_constant_is_no_other_program(kind):
    generator = Within(kind, np.arange(4.0, dtype=np.float32))
    generators.reconstruct(generator, Z)
    compiled = programs._evaluate._cache_size()
    generator.box.value = np.arange(4.0, dtype=np.float32)
    generators.reconstruct(generator, Z)
    assert programs._evaluate._cache_size() == compiled


class Numbered(nnx.Module):
    def __init__(self, number):
        self.latent_dim, self.box = 2, Box()
        self.box.value = number

    def __call__(self, z):
        return jnp.copysign(jnp.ones(3), jnp.float32(self.box.value)) * z[0]


def test_numbers_that_are_equal_and_not_the_same():
    """0.0 == -0.0, but their signs differ."""
    generator = Numbered(0.0)
    assert np.all(generators.reconstruct(generator, Z)[1] == 1)
    generator.box.value = -0.0
    assert np.all(generators.reconstruct(generator, Z)[1] == -1)


def test_a_function_among_layers_of_flax(monkeypatch):
    """Its graph has the function, but not what that refers to."""
    generator = nnx.Sequential(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), lambda y: SCALE * y, nnx.tanh)
    before = generators.reconstruct(generator, Z)
    monkeypatch.setitem(globals(), "SCALE", 2.0)
    after = generators.reconstruct(generator, Z)
    np.testing.assert_allclose(after, np.tanh(2 * np.arctanh(before)), rtol=1e-5)


class OfOurs(abp.ConvGenerator):
    """Has all that our layers have within: products as solutions of linear equations, functions with own rules."""


def test_a_generator_derived_from_ours_is_compiled_once_and_follows_its_weights():
    ours, theirs = (kind(2, 16, 4, rngs=nnx.Rngs(0)) for kind in (abp.ConvGenerator, OfOurs))
    images = generators.reconstruct(theirs, Z)
    compiled = programs._evaluate._cache_size()
    np.testing.assert_allclose(images, generators.reconstruct(ours, Z), atol=1e-6)
    assign(theirs.first.bias, theirs.first.bias[...] + 1)
    assert np.abs(generators.reconstruct(theirs, Z) - images).max() > 0.01
    assert programs._evaluate._cache_size() == compiled


def test_a_generator_with_a_list_can_be_used_everywhere():
    """Its graph has no hash."""
    y = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    result = abp.fit(Changing(), y, 4, key=jax.random.key(0), num_warmup=1, progress=False)
    abp.reconstruct(result.generator, result.z)
    abp.reconstruction_error(result.generator, result.z, y)
    abp.infer(result.generator, y, key=jax.random.key(0), num_steps=2, num_starts=2)
    abp.paths.length(result.generator, result.z)
    abp.quadrature.exact_posteriors(result.generator, y[:1], sigma=1.0)


def test_a_measure_may_refer_to_what_changes():
    generator, key = abp.LinearGenerator(2, 6, rngs=nnx.Rngs(0)), jax.random.key(0)
    matrix = None
    measure = lambda image: matrix @ image
    images = jax.random.normal(key, (4, 6))
    found = []
    for seed in (1, 2):
        matrix = jax.random.normal(jax.random.key(seed), (5, 6))
        fresh = lambda image, matrix=matrix: matrix @ image
        settings = dict(key=key, num_steps=5, num_starts=2)
        z, expected = (abp.infer(generator, images @ matrix.T, measure=m, **settings) for m in (measure, fresh))
        np.testing.assert_array_equal(z, expected)
        found.append(z)
    assert np.abs(found[0] - found[1]).max() > 0.1


def test_quadrature_and_comparison_follow_f():
    generator = abp.LinearGenerator(2, 3, rngs=nnx.Rngs(0))
    f = lambda z: generator(z)
    exact, y = abp.quadrature.PosteriorQuadrature(f, 1.0), jnp.ones((1, 3))
    options = dict(sampler="mala", sigma=1.0, step_size=0.5, num_steps=3)
    run = lambda: comparison.run(jax.random.key(0), f, y, jnp.zeros((1, 2, 2)), **options).z
    before, drawn = exact.posteriors(y)[0].log_evidence, run()
    assign(generator.first.bias, jnp.full(3, 3.0))
    after = exact.posteriors(y)[0].log_evidence
    model = abp.factor_analysis.FactorAnalysis(generator.first.kernel[...].T, jnp.full(3, 3.0), jnp.asarray(1.0))
    np.testing.assert_allclose(after, abp.factor_analysis.log_marginal_likelihood(model, y)[0], atol=2e-3)
    assert abs(after - before) > 0.1 and np.abs(run() - drawn).max() > 1e-3

"""Batch normalisation: what the statistics are, whom they couple, and flax's layer beside it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax.evaluation import quadrature
from abp_jax.images import arguments
from abp_jax.relatives import batch_norm
from abp_jax.relatives.batch_norm import BatchNormGenerator, Statistics


@pytest.fixture(scope="module")
def generator():
    return BatchNormGenerator(2, 8, 3, 1, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def z():
    return jax.random.normal(jax.random.key(1), (6, 2))


def test_normalised_features_have_mean_zero_and_variance_one(key):
    x = 3 + 2 * jax.random.normal(key, (7, 4, 5, 3))
    statistics = batch_norm.batch_statistics(x)
    np.testing.assert_allclose(statistics.mean, np.asarray(x).mean(axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(statistics.variance, np.asarray(x).var(axis=(0, 1, 2)), rtol=1e-5)
    y = np.asarray(batch_norm.normalise(x, *statistics, jnp.ones(3), jnp.zeros(3)))
    np.testing.assert_allclose(y.mean(axis=(0, 1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(y.var(axis=(0, 1, 2)), 1, atol=1e-4)


def test_it_equals_the_layer_of_flax(key):
    x = 3 + 2 * jax.random.normal(key, (7, 4, 5, 3))
    layer, scale, bias = nnx.BatchNorm(3, momentum=0.8, rngs=nnx.Rngs(0)), jnp.arange(1.0, 4), jnp.arange(3.0)
    layer.scale, layer.bias = nnx.Param(scale), nnx.Param(bias)
    statistics = batch_norm.batch_statistics(x)
    old = Statistics(layer.mean[...], layer.var[...])
    np.testing.assert_allclose(batch_norm.normalise(x, *statistics, scale, bias), layer(x), atol=1e-4)
    (after,) = batch_norm.running([old], [statistics], 0.8)
    np.testing.assert_allclose(after.mean, layer.mean[...], rtol=1e-4)
    np.testing.assert_allclose(after.variance, layer.var[...], rtol=1e-4)
    layer.eval()
    np.testing.assert_allclose(batch_norm.normalise(x, *after, scale, bias), layer(x), atol=1e-4)
    np.testing.assert_allclose(batch_norm.normalise(x[0], *after, scale, bias), layer(x)[0], atol=1e-4)


def test_the_running_average_forgets():
    old, new = [Statistics(jnp.zeros(2), jnp.ones(2))], [Statistics(jnp.ones(2), 3 * jnp.ones(2))]
    for _ in range(3):
        old = batch_norm.running(old, new, 0.5)
    np.testing.assert_allclose(old[0].mean, 1 - 0.5**3)
    np.testing.assert_allclose(old[0].variance, 3 - 2 * 0.5**3)


def test_batch_statistics_couple_the_examples_and_running_ones_do_not(generator, z):
    """The derivative of image i in z_j, (i, j): of every other example, or exactly 0."""
    size = lambda f: np.asarray(jnp.sqrt(jnp.sum(jax.jit(jax.jacobian(f))(z) ** 2, axis=(1, 2, 3, 5))))
    batch, single = size(lambda z: generator.batch(z)[0]), size(jax.vmap(generator))
    others = ~np.eye(len(z), dtype=bool)
    assert batch.shape == single.shape == (6, 6)
    assert (batch > 1e-4).all()
    assert (single[others] == 0).all() and (single[~others] > 0).all()


def test_with_the_statistics_of_a_batch_a_call_is_what_the_batch_was(generator, z):
    images, statistics = generator.batch(z)
    assert images.shape == (6, 8, 8, 1) and [s.mean.shape for s in statistics] == [(3,)]
    now = generator.with_statistics(statistics)
    np.testing.assert_allclose(jax.vmap(now)(z), images, atol=1e-5)
    assert np.abs(jax.vmap(generator)(z) - images).max() > 0.01  # the old ones are another f
    np.testing.assert_array_equal(generator.statistics()[0].variance, np.ones(3))  # and the generator keeps them


def test_a_batch_takes_the_scale_out_of_the_weights(generator, z):
    """Twice the weights of `first` give the same images: a batch's own statistics take the scale out."""
    params = abp.generators.functional(generator)[1]
    double = {**params, "first": jax.tree.map(lambda a: 2 * a, params["first"])}
    larger = abp.generators.with_params(generator, double)
    np.testing.assert_allclose(larger.batch(z)[0], generator.batch(z)[0], atol=1e-4)
    assert np.abs(jax.vmap(larger)(z) - jax.vmap(generator)(z)).max() > 0.01


def test_the_images_learn_through_the_statistics(generator, z):
    """The slope of a loss in a weight, against a difference: with the statistics held still it would be another."""

    def loss(params):
        return jnp.sum(abp.generators.with_params(generator, params).batch(z)[0] ** 2)

    params = abp.generators.functional(generator)[1]
    loss = jax.jit(loss)
    slope = jax.jit(jax.grad(loss))(params)["first"]["kernel"]
    step = lambda e: {**params, "first": {**params["first"], "kernel": params["first"]["kernel"] + e * slope}}
    e = 1e-2 / float(jnp.linalg.norm(slope))
    difference = (loss(step(e)) - loss(step(-e))) / (2 * e)
    np.testing.assert_allclose(difference, jnp.sum(slope**2), rtol=0.02)


def test_it_serves_wherever_a_generator_does(generator, z):
    """Its parameters as a tree, whitening, and the exact posterior."""
    assert arguments.generator(generator) is generator
    generate, params = abp.generators.functional(generator)
    white, whitened = abp.learning.whiten(params, z)
    np.testing.assert_allclose(jax.vmap(generate, (None, 0))(white, whitened), jax.vmap(generator)(z), atol=1e-4)
    (posterior,) = quadrature.exact_posteriors(generator, generator(z[0])[None], 0.3)
    assert np.isfinite(posterior.log_evidence)


def test_constant_statistics_are_but_weights(z):
    """The generator without them, and two layers of them to fold away."""
    generator = BatchNormGenerator(2, 16, 3, 2, rngs=nnx.Rngs(2))
    generator = generator.with_statistics(generator.batch(z)[1])
    for i, size in enumerate(generator.features[:-1]):
        setattr(generator, f"scale{i}", nnx.Param(jnp.linspace(0.5, 2, size)))
        setattr(generator, f"bias{i}", nnx.Param(jnp.linspace(-1, 1, size)))
    folded = batch_norm.fold(generator)
    assert type(folded) is abp.ConvGenerator
    np.testing.assert_allclose(jax.vmap(folded)(z), jax.vmap(generator)(z), atol=1e-5)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="image_size must be 8, 16"):
        BatchNormGenerator(2, 20, 3, 1, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"x must be a batch \(n, ..., features\), got \(3,\)"):
        batch_norm.batch_statistics(jnp.zeros(3))
    with pytest.raises(ValueError, match="latent_dim must be positive"):
        BatchNormGenerator(0, 8, 3, 1, rngs=nnx.Rngs(0))

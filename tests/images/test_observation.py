"""What is seen of the images: a mask, or a linear measurement. Hidden pixels must not count, in anything."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax import factor_analysis, learning, model, samplers
from abp_jax.generators import functional
from abp_jax.inference import Chain
from tests import programs

SIGMA = 0.3
CHAIN = Chain(sigma=SIGMA, sampler="gauss_newton", num_steps=3, step_size=0.4)


@pytest.fixture(scope="module")
def setup(tiny_faces):
    generator = abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(0))
    generate, params = functional(generator)
    state = learning.init(params, optax.sgd(1e-6), 11, 2, jax.random.key(0))
    masks = np.random.default_rng(0).random((11, 8, 8, 1)) < 0.4
    return generator, generate, state, jnp.asarray(tiny_faces), jnp.asarray(np.broadcast_to(masks, tiny_faces.shape))


def same(tree, expected, **tolerance):
    jax.tree.map(partial(np.testing.assert_allclose, **tolerance), tree, expected)


# The densities


def test_density_of_what_is_seen_is_the_density_of_those_numbers_alone(setup):
    _, generate, state, images, masks = setup
    y, mask, z = images[3], np.asarray(masks[3]), state.z[3]
    seen = lambda z: generate(state.params, z)[mask]
    f = partial(generate, state.params)
    alone = model.log_joint(seen, z, y[mask], SIGMA)
    np.testing.assert_allclose(model.log_joint(f, z, y, SIGMA, mask=mask), alone, rtol=1e-5)
    assert abs(float(model.log_joint(f, z, y, SIGMA) - alone)) > 10
    gradients = [
        jax.grad(lambda z: model.log_joint(seen, z, y[mask], SIGMA))(z),
        jax.grad(lambda z: model.log_joint(f, z, y, SIGMA, mask=mask))(z),
    ]
    np.testing.assert_allclose(*gradients, rtol=1e-4)
    r = model.residual(f, z, y, SIGMA, mask=mask)
    np.testing.assert_allclose(r[:-2].reshape(y.shape)[mask], (y - f(z))[mask] / SIGMA, rtol=1e-5)
    np.testing.assert_array_equal(r[:-2].reshape(y.shape)[~mask], 0)


@jax.debug_nans(False)  # nan is what is hidden
def test_hidden_pixels_have_a_gradient_of_exactly_zero(setup):
    """In y, in f, and through the whole generator: even where the hidden numbers are not numbers."""
    _, generate, state, images, masks = setup
    y = jnp.where(masks[0], images[0], jnp.nan)
    density = lambda y, f: model.log_noise(y - f, SIGMA, masks[0])
    for gradient in jax.grad(density, argnums=(0, 1))(y, generate(state.params, state.z[0])):
        np.testing.assert_array_equal(gradient[~masks[0]], 0)
        assert np.all(gradient[masks[0]] != 0)
    same(
        programs.learning_gradient(generate, state.params, state.z[:1], y[None], SIGMA, masks[:1]),
        programs.learning_gradient(generate, state.params, state.z[:1], images[:1], SIGMA, masks[:1]),
    )


@pytest.mark.parametrize("sampler", samplers.KINDS)
def test_no_chain_feels_a_hidden_pixel(setup, sampler):
    _, generate, state, images, masks = setup
    f, keys = partial(generate, state.params), learning.example_keys(state.key, 1, jnp.arange(11))
    chain = CHAIN._replace(sampler=sampler, step_size=0.05)
    z = programs.infer_latents(f, keys, state.z, images, masks, chain=chain)
    same(programs.infer_latents(f, keys, state.z, jnp.where(masks, images, 7.0), masks, chain=chain), z)
    assert not np.allclose(programs.infer_latents(f, keys, state.z, images, chain=chain), z)


# Learning


def test_a_full_mask_is_no_mask(setup):
    _, generate, state, images, masks = setup
    options = dict(generate=generate, optimizer=optax.sgd(1e-6), whitening=True, chain=CHAIN)
    (state_a, info_a), (state_b, info_b) = (
        programs.iterate(state, images, jnp.arange(11), m, **options) for m in (None, jnp.ones_like(masks))
    )
    same(state_b.params, state_a.params, atol=1e-5)
    same(state_b.z, state_a.z, atol=1e-4)
    same(info_b, info_a, rtol=1e-4)


def test_learning_gradient_and_loss_are_those_of_the_seen_numbers(setup):
    _, generate, state, images, masks = setup
    gradient, loss = programs.learning_gradient(generate, state.params, state.z, images, SIGMA, masks)

    def by_hand(params):
        errors = images - jax.vmap(partial(generate, params))(state.z)
        return -0.5 * jnp.sum(errors[np.asarray(masks)] ** 2) / SIGMA**2

    same(gradient, jax.grad(by_hand)(state.params), rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(loss, -2 * SIGMA**2 * by_hand(state.params) / masks.sum(), rtol=1e-4)


def test_chain_on_a_linear_model_reaches_the_posterior_given_what_is_seen(key):
    """Two of four numbers are seen: the posterior is that of the model of those two."""
    n, loading, y = (
        20_000,
        jnp.array([[1.0, 0.2], [-1.5, 0.4], [0.5, 2.0], [0.3, -1.0]]),
        jnp.array([0.7, 9.0, 1.0, 9.0]),
    )
    mask = jnp.array([True, False, True, False])
    exact = factor_analysis.FactorAnalysis(loading[mask], jnp.zeros(2), jnp.asarray(0.8))
    posterior = factor_analysis.posterior(exact, y[mask][None])
    z = programs.infer_latents(
        lambda z: loading @ z,
        learning.example_keys(key, 0, jnp.arange(n)),
        jnp.broadcast_to(posterior.mean, (n, 2)),
        *(jnp.broadcast_to(a, (n, 4)) for a in (y, mask)),
        chain=Chain(0.8, "gauss_newton_mala", 20, 1.0),
    )
    np.testing.assert_allclose(z.mean(0), posterior.mean[0], atol=0.03)
    np.testing.assert_allclose(np.cov(z.T), posterior.covariance, atol=0.03)


# fit and infer


def test_fit_never_looks_behind_the_mask(setup):
    generator, _, _, images, masks = setup
    run = partial(abp.fit, generator, key=jax.random.key(0), num_iterations=25, progress=False, batch_size=4)
    mask = np.asarray(masks[..., 0])
    a = run(np.asarray(images), mask=mask)
    b = run(np.where(masks, images, np.nan), mask=mask)
    np.testing.assert_array_equal(a.z, b.z)
    np.testing.assert_array_equal(a.losses, b.losses)
    assert not np.array_equal(a.z, run(np.asarray(images)).z)
    infer = partial(abp.infer, a.generator, key=jax.random.key(1), num_steps=5, num_starts=2)
    np.testing.assert_array_equal(
        infer(images, mask=mask), infer(np.where(masks, images, np.nan), mask=np.asarray(masks))
    )


def test_hidden_pixels_are_recovered():
    """A linear model of rank 2, half of whose numbers are hidden: W and z together fill them in."""
    rng = np.random.default_rng(0)
    truth = np.float32(rng.normal(size=(200, 2)) @ rng.normal(size=(2, 20)))
    mask = rng.random(truth.shape) < 0.5
    generator = abp.LinearGenerator(2, 20, rngs=nnx.Rngs(0))
    result = abp.fit(
        generator, truth, 400, key=jax.random.key(0), mask=mask, sigma=0.1, learning_rate=0.02, progress=False
    )
    hidden = abp.reconstruction_error(result.generator, result.z, truth, mask=~mask).mean()
    assert hidden < 0.03 * truth.var()


def test_measuring_every_number_is_seeing_the_image(setup):
    generator, _, _, images, _ = setup
    run = partial(abp.fit, generator, num_iterations=22, key=jax.random.key(0), progress=False)
    order = np.random.default_rng(0).permutation(images[0].size)
    measured = run(np.asarray(images).reshape(11, -1)[:, order], measure=lambda image: image.ravel()[order])
    np.testing.assert_allclose(measured.z, run(images).z, atol=5e-3)


def test_measurements_are_explained(setup):
    """From 25 random projections of 192 numbers: the generator that comes out gives images that have them."""
    generator, _, _, images, _ = setup
    A = jnp.asarray(np.random.default_rng(0).normal(size=(25, 192)) / np.sqrt(192), jnp.float32)
    measure = lambda image: A @ image.ravel()
    seen = jax.vmap(measure)(images)
    result = abp.fit(generator, seen, 150, key=jax.random.key(0), measure=measure, sigma=0.1, progress=False)
    assert abp.reconstruct(result.generator, result.z).shape == images.shape
    assert result.losses[-1] < 0.3 * float(jnp.var(seen))
    again = jax.vmap(measure)(abp.reconstruct(result.generator, result.z))
    np.testing.assert_allclose(float(jnp.mean((again - seen) ** 2)), result.losses[-1], rtol=0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(mask=np.ones((11, 8, 8))), "mask must be boolean.*got float64"),
        (dict(mask=np.ones((11, 8), bool)), r"mask of shape .* doesn't fit images of shape \(11, 8, 8, 3\)"),
        (dict(mask=np.ones((10, 8, 8), bool)), "doesn't fit images"),
        (dict(mask=np.zeros((11, 8, 8), bool)), "hides every pixel"),
        (dict(measure=lambda image: image + 1), "measure must be a linear function"),
        (dict(measure=lambda image: image**2), "measure must be a linear function"),
        (dict(measure=lambda image: image[:4]), r"images of shape \(11, 8, 8, 3\) don't fit .* gives \(4, 8, 3\)"),
    ],
)
def test_what_does_not_fit_is_refused(setup, options, message):
    generator, _, _, images, _ = setup
    with pytest.raises(ValueError, match=message):
        abp.fit(generator, images, 2, key=jax.random.key(0), progress=False, **options)
    with pytest.raises(ValueError, match=message):
        abp.infer(generator, images, key=jax.random.key(0), **options)


def test_a_checkpoint_of_another_mask_is_refused(setup, tmp_path):
    generator, _, _, images, masks = setup
    run = partial(abp.fit, generator, images, 2, key=jax.random.key(0), progress=False, checkpoint_dir=tmp_path)
    run(mask=np.asarray(masks))
    run(mask=np.asarray(masks))
    with pytest.raises(ValueError, match="mask"):
        run(mask=~np.asarray(masks))


def test_bytes_as_measurements_are_refused(setup):
    generator, _, _, images, _ = setup
    with pytest.raises(ValueError, match="float32"):
        abp.fit(generator, np.zeros((11, 8, 8, 3), np.uint8), 2, key=jax.random.key(0), measure=lambda image: image)

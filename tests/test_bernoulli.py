"""Bits as observations: the noise model against its formulas, and through every door that takes sigma."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from scipy.special import expit

import abp_jax as abp
from abp_jax import inference, langevin, model
from abp_jax.compilation import precision
from abp_jax.evaluation import lattice

BITS = abp.Bernoulli()
RNG = np.random.default_rng(0)
Y = np.float32(RNG.random((2, 3)) < 0.5)
W = RNG.normal(size=(6, 2))
Z = np.array([0.7, -1.3])


@pytest.fixture
def double():
    with precision.double_precision():
        yield


def logits(z):
    return (2 * jnp.tanh(W @ z)).reshape(2, 3)


def by_hand(l, y):
    return np.where(y == 1, np.log(expit(l)), np.log(expit(-l)))


def toy(seed=0, n=40):
    """Bits that a generator of two latent numbers made."""
    generator = abp.MLPGenerator(2, 12, (8,), rngs=nnx.Rngs(seed))
    z = np.random.default_rng(seed).normal(size=(n, 2))
    p = expit(3 * np.asarray(jax.vmap(generator)(jnp.asarray(z, jnp.float32))))
    return generator, np.float32(np.random.default_rng(1).random(p.shape) < p)


# The formulas


def test_log_likelihood_is_a_sum_over_bits(double):
    found = model.log_likelihood(logits, Z, jnp.asarray(Y), BITS)
    np.testing.assert_allclose(found, by_hand(np.asarray(logits(Z)), Y).sum(), rtol=1e-12)


def test_the_joint_has_the_prior_and_a_temperature(double):
    found = model.log_joint(logits, Z, jnp.asarray(Y), BITS, temperature=3.0)
    expected = by_hand(np.asarray(logits(Z)), Y).sum() / 3 - 0.5 * Z @ Z - np.log(2 * np.pi)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_residual_squares_to_the_joint_and_to_its_gradient(double, temperature):
    given = model.given(logits, jnp.asarray(Y), BITS, temperature)
    constant = model.log_prior(jnp.zeros(2))
    np.testing.assert_allclose(given.log_density(Z), -0.5 * jnp.sum(given.residual(Z) ** 2) + constant, rtol=1e-12)
    _, gradient, _ = langevin.gauss_newton(given.residual, jnp.asarray(Z))
    np.testing.assert_allclose(gradient, jax.grad(given.log_density)(jnp.asarray(Z)), rtol=1e-9)


def test_errors_have_the_sign_of_what_was_not_expected():
    e = model.errors(jnp.array([3.0, -3.0, 0.0, 0.0]), jnp.array([1.0, 1.0, 0.0, 1.0]), BITS)
    assert (np.sign(e) == [1, 1, -1, 1]).all()
    np.testing.assert_allclose(e[2] ** 2 / 2, np.log(2), rtol=1e-6)


@pytest.mark.parametrize("logit", [0.0, 20.0, 60.0, 200.0, 1e4, 1e30])
@pytest.mark.parametrize("y", [0.0, 1.0])
def test_a_certain_bit_has_finite_derivatives(logit, y):
    for l in (logit, -logit):
        value, slope = jax.value_and_grad(lambda l: model.log_noise(model.errors(l, y, BITS), BITS))(jnp.float32(l))
        np.testing.assert_allclose(slope, y - expit(l), atol=1e-5)
        assert np.isfinite(jax.grad(lambda l: model.errors(l, y, BITS))(jnp.float32(l)))
        assert np.isfinite(jax.grad(lambda l: model.standardised(l, BITS))(jnp.float32(l)))
        assert value <= 0


def test_hidden_bits_count_for_nothing():
    mask = np.array([[True, False, True], [False, True, True]])
    found = model.log_likelihood(logits, Z, jnp.where(mask, Y, 7.0), BITS, mask=mask)
    np.testing.assert_allclose(found, by_hand(np.asarray(logits(Z)), Y)[mask].sum(), rtol=1e-5)


def test_all_pairs_are_as_one_by_one():
    outputs, y = jnp.asarray(RNG.normal(size=(5, 6)), jnp.float32), jnp.asarray(RNG.integers(0, 2, (4, 6)), jnp.float32)
    for sigma in (BITS, 0.4):
        one = lambda output, y, sigma=sigma: model.log_noise(model.errors(output, y, sigma), sigma)
        expected = jnp.stack([jnp.stack([one(o, row) for o in outputs]) for row in y])
        np.testing.assert_allclose(model.log_likelihoods(outputs, y, sigma), expected, rtol=1e-5, atol=1e-5)


def test_standardised_gives_fishers_information(double):
    slope = jax.grad(lambda l: model.standardised(l, BITS))
    for l in (-3.0, 0.0, 1.7):
        np.testing.assert_allclose(slope(l) ** 2, expit(l) * expit(-l), rtol=1e-9)
    assert model.standardised(jnp.float64(3.0), 0.5) == 6


def test_draws_have_the_chance_of_their_logit():
    drawn = model.draw(jax.random.key(0), jnp.full((20_000, 2), jnp.array([0.5, -2.0])[None]), BITS)
    assert set(np.unique(drawn)) == {0, 1}
    error = np.sqrt(0.25 / 20_000)
    np.testing.assert_allclose(drawn.mean(axis=0), expit([0.5, -2.0]), atol=4 * error)


def test_mean_precision_of_linear_logits_is_fishers_at_the_draws():
    f = lambda z: jnp.asarray(W, jnp.float32) @ z
    draws = jax.random.normal(jax.random.key(0), (8, 2))
    p = expit(np.asarray(draws) @ W.T)
    expected = np.mean([W.T @ np.diag(q * (1 - q)) @ W for q in p], axis=0) + np.eye(2)
    np.testing.assert_allclose(inference.mean_precision(f, 2, BITS), expected, rtol=1e-4)


# Through the doors


def test_a_chain_on_bits_has_the_posterior_of_the_lattice():
    generator, y = toy()
    exact = abp.quadrature.exact_posteriors(generator, y[:1], BITS)[0]
    sampler = inference.sampler_of("gauss_newton_mala", generator, jnp.asarray(y[0]), BITS, 2)
    state = abp.samplers.start(sampler, jax.random.normal(jax.random.key(1), (100, 2)))
    drawn = abp.samplers.run(jax.random.key(2), sampler, state, 1.0, 300).z[100:].reshape(-1, 2)
    error = 5 * np.sqrt(np.diag(exact.covariance) / 4000)
    np.testing.assert_allclose(drawn.mean(axis=0), exact.mean, atol=error.max())
    np.testing.assert_allclose(np.cov(drawn.T), exact.covariance, atol=0.08)


def test_fit_climbs_the_exact_likelihood_of_bits():
    truth, y = toy(n=200)
    at_best = lattice.exact_log_evidence(lambda z: 3 * truth(z), y, BITS).mean()
    start = abp.MLPGenerator(2, 12, (8,), rngs=nnx.Rngs(5))
    before = lattice.exact_log_evidence(start, y, BITS).mean()
    optimizer = abp.optimizers.adam(1e-2)
    result = abp.fit(start, y, 400, key=jax.random.key(0), sigma=BITS, optimizer=optimizer, progress=False)
    after = lattice.exact_log_evidence(result.generator, y, BITS).mean()
    assert after > at_best - 0.1 > before + 1  # what it learned from, it fits better than the truth does
    assert result.sigma == BITS and result.chain.sigma == BITS
    reconstructed = jax.vmap(lambda z, one: model.log_likelihood(result.generator, z, one, BITS))(result.z, y)
    assert -2 * reconstructed.mean() / 12 < result.losses[0]


def test_bits_go_through_checkpoints(tmp_path):
    generator, y = toy()
    arguments = dict(key=jax.random.key(0), checkpoint_dir=tmp_path, checkpoint_every=5, progress=False)
    arguments |= dict(num_warmup=2, learning_rate=optax.constant_schedule(1e-3))
    first = abp.fit(generator, y, 4, sigma=BITS, **arguments)
    continued = abp.fit(generator, y, 5, sigma=BITS, **arguments)
    np.testing.assert_array_equal(first.losses, continued.losses[:4])
    with pytest.raises(ValueError, match="sigma was bits, is 0.3"):
        abp.fit(generator, y, 5, sigma=0.3, **arguments)


def test_infer_finds_the_mode_of_bits():
    generator, y = toy()
    found = abp.infer(generator, y[:3], key=jax.random.key(0), sigma=BITS)
    log_p = jax.vmap(lambda z, one: model.log_joint(generator, z, one, BITS))
    exact = abp.quadrature.exact_posteriors(generator, y[:3], BITS)
    modes = np.stack([p.modes[0] for p in exact])
    assert (log_p(found, y[:3]) > log_p(jnp.asarray(modes, jnp.float32), y[:3]) - 3).all()


def test_masked_bits_are_learned():
    generator, y = toy()
    mask = RNG.random(y.shape) < 0.7
    result = abp.fit(
        generator, np.where(mask, y, np.nan), 30, key=jax.random.key(0), sigma=BITS, mask=mask, progress=False
    )
    assert np.isfinite(result.losses).all()


@pytest.mark.parametrize("sampler", sorted(abp.samplers.KINDS))
def test_every_chain_takes_bits(sampler):
    generator, y = toy(n=6)
    chain = inference.check_chain(2, BITS, sampler, 2, None)._replace(prior_draws=3)
    keys, z = jax.random.split(jax.random.key(0), 6), jnp.zeros((6, 2))
    moved = inference.infer_latents(generator, keys, z, jnp.asarray(y), chain=chain)
    assert np.isfinite(moved).all() and (moved != 0).any()


def test_the_variational_autoencoder_and_wake_and_sleep_take_bits():
    generator, y = toy(n=100)
    encoder = abp.relatives.encoders.MLPEncoder(12, 2, (8,), rngs=nnx.Rngs(1))
    independent = by_hand(np.log(y.mean(axis=0) / (1 - y.mean(axis=0)))[None], y).sum(axis=1).mean()
    for learn in (abp.relatives.vae.fit_vae, abp.relatives.wake_sleep.fit_wake_sleep):
        result = learn(
            generator, encoder, y, 400, key=jax.random.key(0), sigma=BITS, learning_rate=1e-2, progress=False
        )
        assert lattice.exact_log_evidence(result.generator, y, BITS).mean() > independent + 0.3
    z, dreams = abp.relatives.wake_sleep.dream(jax.random.key(0), generator, BITS, 50)
    assert set(np.unique(dreams)) == {0, 1}


@pytest.mark.parametrize(
    ("images", "sigma", "message"),
    [
        (np.full((30, 12), 0.5, np.float32), BITS, "bits, 0.0 or 1.0"),
        (np.full((30, 12), -1.0, np.float32), BITS, "bits, 0.0 or 1.0"),
        (np.full((30, 12), 1, np.uint8), BITS, "bits, 0.0 or 1.0"),
    ],
)
def test_what_is_no_bit_is_refused(images, sigma, message):
    generator = abp.MLPGenerator(2, 12, (8,), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=message), np.errstate(all="ignore"):
        abp.fit(generator, images, key=jax.random.key(0), sigma=sigma, progress=False)


def test_bernoulli_is_an_object_and_has_no_sigma_to_learn():
    generator, y = toy()
    with pytest.raises(TypeError, match="with the brackets"):
        abp.fit(generator, y, key=jax.random.key(0), sigma=abp.Bernoulli)
    with pytest.raises(ValueError, match="no sigma to learn"):
        abp.fit(generator, y, key=jax.random.key(0), sigma=BITS, learn_sigma=True)


def test_bits_may_be_boolean():
    generator, y = toy()
    _, found, _ = abp.observation.observe(generator, y == 1)
    np.testing.assert_array_equal(found, y)
    assert found.dtype == np.float32

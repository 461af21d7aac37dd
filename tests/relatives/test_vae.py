"""The variational autoencoder: a linear one is factor analysis, the faces' gap, and whitening that changes no image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.scipy.special import logsumexp

import abp_jax as abp
from abp_jax import factor_analysis, quadrature
from abp_jax.relatives import encoders, vae, variational
from abp_jax.relatives.vae import fit_vae

FAST = dict(key=jax.random.key(0), progress=False)


def linear_data(num=200, data_dim=10, sigma=0.5):
    """Of two factors of different size, at any angle to the axes."""
    rng = np.random.default_rng(22)
    loading = np.linalg.qr(rng.normal(size=(data_dim, 2)))[0] * [3.0, 1.5]
    return jnp.asarray(rng.normal(size=(num, 2)) @ loading.T + sigma * rng.normal(size=(num, data_dim)), jnp.float32)


def linear_vae(family, y, num_iterations, learning_rate=1e-2):
    generator = abp.LinearGenerator(2, 10, rngs=nnx.Rngs(1))
    encoder = encoders.MLPEncoder(10, 2, (), family=family, rngs=nnx.Rngs(2))
    result = fit_vae(generator, encoder, y, num_iterations, sigma=0.5, learning_rate=learning_rate, **FAST)
    W, b = result.generator.first.kernel[...].T, result.generator.first.bias[...]
    return result, factor_analysis.FactorAnalysis(W, b, jnp.float32(0.5))


@pytest.fixture(scope="module", params=encoders.FAMILIES)
def linear(request):
    y = linear_data()
    return request.param, y, *linear_vae(request.param, y, 8_000)


def test_a_linear_one_is_factor_analysis(linear):
    """The exact maximum likelihood, of the mean over the examples; and the bound is tight."""
    _, y, result, model = linear
    best = jnp.mean(factor_analysis.log_marginal_likelihood(factor_analysis.maximum_likelihood(y, 2, 0.5), y))
    log_p = jnp.mean(factor_analysis.log_marginal_likelihood(model, y))
    assert best - 1e-3 < log_p < best + 1e-4
    bounds = jax.vmap(lambda y: variational.elbo(FAST["key"], result.generator, result.encoder(y), y, 0.5, 2_000))(y)
    assert -1e-3 < log_p - jnp.mean(bounds) < 1e-3


def test_a_diagonal_guess_turns_it_to_the_principal_axes(linear):
    """There the posterior's covariance, G^-1 with G = W'W / sigma^2 + I, is diagonal too."""
    family, _, _, model = linear
    a, b = model.loading.T
    cosine = jnp.abs(a @ b) / (jnp.linalg.norm(a) * jnp.linalg.norm(b))
    assert cosine < 0.02 if family == "diagonal" else cosine > 0.05


@pytest.mark.slow
def test_the_gap_on_the_faces(small_faces):
    """At 16 x 16: log p(y) by quadrature, the bound by draws; and whitening changes no image."""
    generator = abp.ConvGenerator(2, 16, 16, rngs=nnx.Rngs(0))
    encoder = encoders.ConvEncoder(2, 16, 16, rngs=nnx.Rngs(1))
    raw = fit_vae(generator, encoder, small_faces, 600, whitening=False, **FAST)
    generator, encoder = vae.whiten(raw.generator, raw.encoder, small_faces)
    z = vae.encode(encoder, small_faces).mean
    np.testing.assert_allclose(abp.reconstruct(generator, z), abp.reconstruct(raw.generator, raw.z), atol=1e-5)
    log_p = np.mean([p.log_evidence for p in quadrature.exact_posteriors(generator, small_faces, 0.3)])
    one = lambda y: variational.log_weights(FAST["key"], generator, encoder(y), y, 0.3, 1_000)
    log_w = np.asarray(jax.jit(jax.vmap(one))(small_faces), np.float64)
    error = log_w.mean(0).std() / np.sqrt(1_000)
    assert log_p > 160
    assert -4 * error - 5e-3 < log_p - log_w.mean() < 0.1


@pytest.mark.parametrize("family", encoders.FAMILIES)
def test_whitening_makes_the_guesses_white_and_cheaper(tiny_faces, family):
    """On average over the images, and by exactly KL(N(c, LL') || N(0, I))."""
    generator = abp.ConvGenerator(2, 8, 4, rngs=nnx.Rngs(0))
    encoder = encoders.ConvEncoder(2, 8, 4, family=family, rngs=nnx.Rngs(1))
    raw = vae.encode(encoder, tiny_faces)
    new_generator, new_encoder = vae.whiten(generator, encoder, tiny_faces)
    white = vae.encode(new_encoder, tiny_faces)

    def moments(q):
        covariance = np.cov(np.asarray(q.mean).T, bias=True) + np.mean(q.factor @ np.swapaxes(q.factor, 1, 2), axis=0)
        return np.mean(q.mean, axis=0), np.diag(np.diag(covariance)) if family == "diagonal" else covariance

    c, covariance = moments(white)
    np.testing.assert_allclose(c, 0, atol=1e-5)
    np.testing.assert_allclose(covariance, np.eye(2), atol=1e-4)
    kl = lambda q: np.mean(jax.vmap(encoders.kl_to_prior)(q))
    c, covariance = moments(raw)
    saved = encoders.kl_to_prior(encoders.Gaussian(jnp.asarray(c), jnp.linalg.cholesky(covariance)))
    np.testing.assert_allclose(kl(raw) - kl(white), saved, rtol=1e-4)
    images = abp.reconstruct(generator, raw.mean)
    np.testing.assert_allclose(abp.reconstruct(new_generator, white.mean), images, atol=1e-5)


def small(family="full"):
    return abp.MLPGenerator(2, 10, (8,), rngs=nnx.Rngs(0)), encoders.MLPEncoder(10, 2, (8,), rngs=nnx.Rngs(1))


def test_the_importance_weighted_objective_is_l_k():
    """Both losses start at the same draws, where L_4 is above the ELBO; and learning raises it."""
    y = linear_data(40)
    options = dict(sigma=0.5, num_draws=4, **FAST)
    by_elbo = fit_vae(*small(), y, 1, **options)
    result = fit_vae(*small(), y, 300, objective="importance", **options)
    assert result.losses[0] < by_elbo.losses[0] - 1
    assert result.losses[-1] < result.losses[0] - 5

    keys = jax.random.split(jax.random.split(jax.random.fold_in(FAST["key"], 0))[1], 40)
    generator, encoder = small()
    log_w = jax.vmap(lambda key, y: variational.log_weights(key, generator, encoder(y), y, 0.5, 4))(keys, y)
    np.testing.assert_allclose(by_elbo.losses[0], -jnp.mean(log_w), rtol=1e-5)
    l_k = jnp.mean(logsumexp(log_w, axis=1) - np.log(4))
    np.testing.assert_allclose(result.losses[0], -l_k, rtol=1e-5)


def test_one_key_is_one_run_in_batches_too():
    y, (generator, encoder) = linear_data(40), small()
    run = lambda seed: fit_vae(generator, encoder, y, 30, batch_size=7, key=jax.random.key(seed), progress=False)
    first, second, other = run(0), run(0), run(1)
    np.testing.assert_array_equal(first.losses, second.losses)
    np.testing.assert_array_equal(first.z, second.z)
    assert np.any(first.losses != other.losses) and len(first.losses) == 30
    assert first.z.shape == (40, 2) and first.sigma == 0.3
    batch_key, draw_key = jax.random.split(jax.random.fold_in(jax.random.key(0), 0))
    batch = y[jax.random.randint(batch_key, (7,), 0, 40)]
    one = lambda key, y: variational.elbo(key, generator, encoder(y), y, 0.3, 4)
    bounds = jax.jit(jax.vmap(one))(jax.random.split(draw_key, 7), batch)
    np.testing.assert_allclose(first.losses[0], -jnp.mean(bounds), rtol=1e-5)
    for before, after in zip((generator, encoder), small(), strict=True):
        jax.tree.map(
            np.testing.assert_array_equal, nnx.to_pure_dict(nnx.state(before)), nnx.to_pure_dict(nnx.state(after))
        )


def test_the_callback_follows_the_run():
    """Before the first iteration, on the way, and once more at the end."""
    seen, (generator, encoder) = [], small()
    y = linear_data(20)
    ended = fit_vae(generator, encoder, y, 50, callback=lambda done, snapshot: seen.append((done, snapshot)), **FAST)
    assert [done for done, _ in seen] == [0, *np.linspace(0, 50, vae.CALLS + 1).astype(int)[1:], 50]
    for done, snapshot in (seen[0], seen[7], seen[-1]):
        result = snapshot()
        assert len(result.losses) == done and np.all(np.isfinite(result.z))
    np.testing.assert_array_equal(result.z, ended.z)


def test_the_monitor_follows_the_run():
    """Its curve is that of the loss, in nats, and nothing is said of chains, as there are none."""
    y = linear_data(20)
    monitor = abp.TrainingMonitor(y)
    result = fit_vae(*small(), y, 40, callback=monitor, **FAST)
    assert monitor.text.startswith(f"Training: iterations 40, loss, in nats {result.losses[-1]:.1f}, time ")
    assert "accepted" not in monitor.text and "step size" not in monitor.text
    np.testing.assert_allclose(monitor._picture.loss.line.get_ydata(), result.losses)
    np.testing.assert_allclose(monitor._picture.z.dots.get_offsets(), result.z, rtol=1e-5)
    lines = [line.get_ydata() for line in monitor._picture.pairs.lines]
    np.testing.assert_allclose(lines, abp.reconstruct(result.generator, result.z[monitor._pairs[:3]]), rtol=1e-4)
    with pytest.raises(ValueError, match="give both the same images"):
        fit_vae(*small(), y[:7], 40, callback=monitor, **FAST)


def test_what_does_not_fit_is_said():
    (generator, encoder), y = small(), linear_data(20)
    with pytest.raises(ValueError, match="objective must be one of elbo, importance; got 'elbow'"):
        fit_vae(generator, encoder, y, 5, objective="elbow", **FAST)
    with pytest.raises(TypeError, match="encoder must be a flax.nnx.Module from y to a Gaussian"):
        fit_vae(generator, lambda y: y[:2], y, 5, **FAST)
    with pytest.raises(ValueError, match="encoder must have the generator's latent_dim, 2"):
        fit_vae(generator, encoders.MLPEncoder(10, 3, rngs=nnx.Rngs(0)), y, 5, **FAST)
    with pytest.raises(ValueError, match="don't fit the generator"):
        fit_vae(generator, encoder, y[:, :4], 5, **FAST)
    with pytest.raises(FloatingPointError, match="Lower learning_rate"):
        fit_vae(generator, encoder, y, 50, learning_rate=1e6, **FAST)

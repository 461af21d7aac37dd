"""Against the exact joint Gaussian in float64, scipy, scikit-learn, autodiff, and Langevin dynamics."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn import decomposition

from abp_jax import langevin, model
from abp_jax.factor_analysis import (
    FactorAnalysis,
    em_step,
    log_marginal_likelihood,
    maximum_likelihood,
    posterior,
    posterior_precision,
    px_em_step,
)

D, d, n = 5, 2, 300


def random_model(sigma=0.4, scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    W, b = scale * rng.normal(size=(D, d)), rng.normal(size=D)
    return FactorAnalysis(jnp.asarray(W, jnp.float32), jnp.asarray(b, jnp.float32), jnp.float32(sigma))


def draw(fa, num=n, seed=1):
    rng = np.random.default_rng(seed)
    W, b, sigma = (np.asarray(p, np.float64) for p in fa)
    y = rng.normal(size=(num, W.shape[1])) @ W.T + b + sigma * rng.normal(size=(num, len(b)))
    return jnp.asarray(y, jnp.float32)


@pytest.fixture(scope="module")
def y():
    return draw(random_model())


def likelihood(fa, y):
    return float(log_marginal_likelihood(fa, y).mean())


def run(step, fa, y, num_steps, learn_sigma=True):
    """The model after num_steps, and the mean log-likelihood before each."""

    def body(fa, _):
        return step(fa, y, learn_sigma), log_marginal_likelihood(fa, y).mean()

    return jax.jit(lambda fa: jax.lax.scan(body, fa, length=num_steps))(fa)


# The posterior and the marginal


@pytest.mark.parametrize("sigma", [0.05, 0.4, 3.0])
def test_posterior_is_the_conditional_of_the_joint_gaussian(sigma, y):
    fa = random_model(sigma)
    W, b = np.float64(fa.loading), np.float64(fa.mean)
    gain = W.T @ np.linalg.inv(W @ W.T + sigma**2 * np.eye(D))  # cov(z, y) cov(y)^-1
    mean, covariance = posterior(fa, y)
    np.testing.assert_allclose(mean, (np.float64(y) - b) @ gain.T, rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(covariance, np.eye(d) - gain @ W, rtol=2e-4, atol=2e-6)
    np.testing.assert_allclose(posterior_precision(fa) @ covariance, np.eye(d), atol=2e-5)


@pytest.mark.parametrize("sigma", [0.05, 0.4, 3.0])
def test_log_likelihood_is_scipys(sigma, y):
    fa = random_model(sigma)
    W, b = np.float64(fa.loading), np.float64(fa.mean)
    expected = multivariate_normal(b, W @ W.T + sigma**2 * np.eye(D)).logpdf(np.float64(y))
    np.testing.assert_allclose(log_marginal_likelihood(fa, y), expected, rtol=1e-4)


def test_log_likelihood_of_more_pixels_than_images_is_scipys(small_faces):
    faces = small_faces[..., 1].reshape(11, -1)
    fa = maximum_likelihood(faces, 3, sigma=0.3)
    W, b = np.float64(fa.loading), np.float64(fa.mean)
    expected = multivariate_normal(b, W @ W.T + 0.09 * np.eye(len(b))).logpdf(np.float64(faces))
    np.testing.assert_allclose(log_marginal_likelihood(fa, faces), expected, rtol=1e-5, atol=1e-3)


def test_bayes_rule_with_the_densities_of_model(y, key):
    """log p(y) = log p(y, z) - log p(z | y) at any z: a half or a sign that is wrong anywhere breaks it."""
    fa = random_model()
    mean, covariance = (np.float64(p) for p in posterior(fa, y))
    for i, z in enumerate(jax.random.normal(key, (5, d))):
        joint = model.log_joint(lambda z: fa.loading @ z + fa.mean, z, y[i], fa.sigma)
        conditional = multivariate_normal(mean[i], covariance).logpdf(z)
        marginal = log_marginal_likelihood(fa, y[i : i + 1])[0]
        np.testing.assert_allclose(marginal, joint - conditional, rtol=1e-4, atol=1e-3)


def test_posterior_is_the_peak_and_the_curvature_of_log_joint(y):
    fa = random_model()
    log_joint = partial(model.log_joint, lambda z: fa.loading @ z + fa.mean, y=y[0], sigma=fa.sigma)
    m = posterior(fa, y).mean[0]
    np.testing.assert_allclose(jax.jit(jax.grad(log_joint))(m), np.zeros(d), atol=2e-4)
    np.testing.assert_allclose(-jax.jit(jax.hessian(log_joint))(m), posterior_precision(fa), rtol=1e-4)


def test_langevin_chains_reach_the_discretised_posterior(y):
    """Stationary mean m, covariance s^2 (I - A^2)^-1 with A = I - s^2 G / 2, at a step where that isn't G^-1."""
    fa, chains = random_model(), 4000
    mean, covariance = posterior(fa, y[:1])
    G = np.float64(posterior_precision(fa))
    step_size = 0.8 * float(langevin.largest_stable_step(G))
    log_joint = partial(model.log_joint, lambda z: fa.loading @ z + fa.mean, y=y[0], sigma=fa.sigma)
    step = partial(langevin.langevin_step, log_density=log_joint, step_size=step_size)
    keys = jax.random.split(jax.random.key(3), chains)
    end = jax.jit(jax.vmap(lambda key: langevin.sample(key, mean[0], step, 60)[0][-1]))(keys)

    A = np.eye(d) - step_size**2 * G / 2
    exact = step_size**2 * np.linalg.inv(np.eye(d) - A @ A)
    variances = np.diag(exact)
    cov_error = np.sqrt((np.outer(variances, variances) + exact**2) / chains)  # standard error of a covariance
    z_mean = np.abs(np.float64(end).mean(axis=0) - mean[0]) / np.sqrt(variances / chains)
    z_cov = np.abs(np.cov(np.float64(end).T) - exact) / cov_error
    assert z_mean.max() < 4.5
    assert z_cov.max() < 4.5
    assert np.max(np.abs(np.cov(np.float64(end).T) - covariance) / cov_error) > 10  # the bias is seen, so it was tested


# EM


def test_em_maximises_the_expected_log_joint(y):
    """The M step is the peak of Q = E[log p(y, z; W, b, sigma)] under the old posterior (whose b is the mean of y).

    log p(y, z) is quadratic in z, so its mean over the 2d points m +- sqrt(d) L e_j is exact.
    """
    old = random_model(seed=7)._replace(mean=y.mean(axis=0))
    m, covariance = posterior(old, y)
    spread = np.sqrt(d) * np.linalg.cholesky(covariance).T
    points = m[:, None, :] + jnp.concatenate([spread, -spread])[None]

    def expected(fa):
        one = partial(model.log_joint, lambda z: fa.loading @ z + fa.mean, sigma=fa.sigma)
        return jnp.mean(jax.vmap(lambda zs, y: jnp.mean(jax.vmap(lambda z: one(z, y))(zs)))(points, y))

    gradient = jax.jit(jax.grad(expected))
    before, after = gradient(old), gradient(em_step(old, y))
    assert min(float(jnp.max(jnp.abs(g))) for g in (before.loading, before.sigma)) > 0.3
    for gradient in after:
        np.testing.assert_allclose(gradient, np.zeros_like(gradient), atol=2e-4)


def test_em_uses_the_mean_of_the_data_whatever_mean_it_is_given(y):
    start = random_model(seed=7)
    for step in (em_step, px_em_step):
        given = (step(start._replace(mean=b), y) for b in (y.mean(axis=0), y.mean(axis=0) + 1))
        for one, other in zip(*given, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("step", [em_step, px_em_step])
@pytest.mark.parametrize("learn_sigma", [True, False])
def test_the_likelihood_never_falls(step, learn_sigma, y):
    start = random_model(sigma=0.4 if not learn_sigma else 2.0, scale=0.1, seed=5)
    _, curve = run(step, start, y, 200, learn_sigma)
    assert float(jnp.min(jnp.diff(curve))) > -1e-5
    assert curve[-1] - curve[0] > 0.3


@pytest.mark.parametrize("sigma", [None, 0.3])
def test_the_fixed_point_is_maximum_likelihood(sigma, y):
    best = maximum_likelihood(y, d, sigma)
    for step in (em_step, px_em_step):
        start = random_model(sigma or 1.0, seed=5)
        fa, curve = run(step, start, y, 500, sigma is None)
        np.testing.assert_allclose(fa.loading @ fa.loading.T, best.loading @ best.loading.T, atol=2e-3)
        np.testing.assert_allclose(fa.sigma, best.sigma, rtol=1e-4)
        np.testing.assert_allclose(curve[-1], likelihood(best, y), atol=1e-4)
        for stays, was in zip(step(best, y, sigma is None)[1:], best[1:], strict=True):
            np.testing.assert_allclose(stays, was, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("sigma", [None, 0.3])
def test_no_neighbour_of_maximum_likelihood_is_more_likely(sigma, y):
    best = maximum_likelihood(y, d, sigma)
    gradient = jax.jit(jax.grad(lambda fa: log_marginal_likelihood(fa, y).mean()))(best)
    for g in gradient if sigma is None else gradient[:2]:
        np.testing.assert_allclose(g, np.zeros_like(g), atol=2e-4)


def test_px_em_leaves_every_image_as_it_is(y):
    """z = L z~ with LL' = S_zz, the mean of E[z z' | y]: W z + b is the same, and so is sigma."""
    start = random_model(scale=0.2, seed=5)._replace(mean=y.mean(axis=0))
    m, covariance = (np.float64(p) for p in posterior(start, y))
    L = np.linalg.cholesky(m.T @ m / n + covariance)
    em, px = em_step(start, y), px_em_step(start, y)
    np.testing.assert_allclose(np.linalg.solve(L, m.T).T @ px.loading.T, m @ em.loading.T, atol=2e-5)
    assert np.max(np.abs(L - np.eye(d))) > 0.5
    np.testing.assert_array_equal(px.mean, em.mean)
    np.testing.assert_array_equal(px.sigma, em.sigma)


def test_px_em_needs_far_fewer_iterations_from_a_bad_start(small_faces):
    faces = small_faces[..., 1].reshape(11, -1)
    rng = np.random.default_rng(0)
    w, other = rng.normal(size=256), rng.normal(size=256)
    W = 0.05 * np.stack([w, w + 0.05 * other], axis=1)  # two columns of nearly the same direction, and small
    start = FactorAnalysis(jnp.asarray(W, jnp.float32), jnp.zeros(256, jnp.float32), 0.1)
    target = likelihood(maximum_likelihood(faces, 2, 0.1), faces) - 0.02
    (_, em), (_, px) = (run(step, start, faces, 1000, learn_sigma=False) for step in (em_step, px_em_step))
    assert px[-1] > target
    assert jnp.sum(px < target) < 60
    assert jnp.sum(em < target) > 10 * jnp.sum(px < target)


def test_rates_of_convergence(y):
    """Along W, one EM step leaves 1 - 2 (v - 1) / v^2 of a small error and PX-EM 1 / v^2; across it, both v_2 / v.

    Here d = 1, sigma is fixed and v, v_2 are the two largest variances of the data in units of sigma^2. The first
    rate is 1 minus the observed over the complete information on the scale of W: the fraction that is missing.
    """
    sigma = 0.5
    best = maximum_likelihood(y, 1, sigma)
    v, v2 = np.linalg.svd(np.float64(y - y.mean(axis=0)[None]), compute_uv=False)[:2] ** 2 / n / sigma**2
    along = best.loading[:, 0] / jnp.linalg.norm(best.loading)
    for step, scale_rate in ((em_step, 1 - 2 * (v - 1) / v**2), (px_em_step, 1 / v**2)):
        move = jax.jit(jax.jacfwd(lambda w, step=step: step(best._replace(loading=w[:, None]), y, False).loading[:, 0]))
        J = np.float64(move(best.loading[:, 0]))
        np.testing.assert_allclose(along @ J @ along, scale_rate, rtol=2e-3, atol=2e-4)
        across = np.linalg.eigvals(J - np.outer(along, along) @ J).real.max()
        np.testing.assert_allclose(across, v2 / v, rtol=2e-3)


def test_small_noise_is_found_in_float32():
    """sigma is 3e-4 of the data's size: a difference of two large sums of squares would lose it."""
    rng = np.random.default_rng(0)
    W = rng.normal(size=(40, 2))
    y = jnp.asarray(rng.normal(size=(500, 2)) @ W.T + 3e-4 * rng.normal(size=(500, 40)), jnp.float32)
    start = FactorAnalysis(jnp.asarray(rng.normal(size=(40, 2)), jnp.float32), jnp.zeros(40, jnp.float32), 0.1)
    fa, _ = run(px_em_step, start, y, 100)
    np.testing.assert_allclose(fa.sigma, 3e-4, rtol=0.03)
    np.testing.assert_allclose(maximum_likelihood(y, 2).sigma, 3e-4, rtol=0.03)


# The same model under other names, and what it can't tell apart


def test_agrees_with_scikit_learn_pca(y):
    """PCA.score is this likelihood; its variances divide by n - 1, the highest likelihood needs n."""
    pca = decomposition.PCA(d, svd_solver="full").fit(np.float64(y))
    best = maximum_likelihood(y, d)
    em, curve = run(em_step, random_model(1.0, seed=5), y, 500)
    np.testing.assert_allclose(best.sigma**2, pca.noise_variance_ * (n - 1) / n, rtol=1e-4)
    np.testing.assert_allclose(em.sigma**2, pca.noise_variance_ * (n - 1) / n, rtol=1e-4)
    unbiased = np.sqrt(n / (n - 1))
    scaled = FactorAnalysis(best.loading * unbiased, best.mean, best.sigma * unbiased)
    np.testing.assert_allclose(log_marginal_likelihood(scaled, y), pca.score_samples(np.float64(y)), rtol=1e-4)
    np.testing.assert_allclose(float(curve[-1]), likelihood(best, y), rtol=1e-5)
    np.testing.assert_allclose(float(curve[-1]), pca.score(np.float64(y)), rtol=1e-4)
    assert curve[-1] > pca.score(np.float64(y))


def test_agrees_with_scikit_learn_factor_analysis_at_the_same_parameters(y):
    fa = random_model()
    theirs = decomposition.FactorAnalysis(d)
    theirs.components_, theirs.mean_ = np.float64(fa.loading.T), np.float64(fa.mean)
    theirs.noise_variance_ = np.full(D, float(fa.sigma) ** 2)
    np.testing.assert_allclose(log_marginal_likelihood(fa, y), theirs.score_samples(np.float64(y)), rtol=1e-4)
    np.testing.assert_allclose(posterior(fa, y).mean, theirs.transform(np.float64(y)), rtol=1e-3, atol=1e-5)


def test_rotations_can_not_be_told_apart(y):
    fa, angle = random_model(), 0.7
    Q = jnp.array([[jnp.cos(angle), -jnp.sin(angle)], [jnp.sin(angle), jnp.cos(angle)]])
    turned = fa._replace(loading=fa.loading @ Q)
    np.testing.assert_allclose(log_marginal_likelihood(turned, y), log_marginal_likelihood(fa, y), rtol=1e-5)
    np.testing.assert_allclose(posterior(turned, y).mean, posterior(fa, y).mean @ Q, atol=1e-5)


def test_maximum_likelihood_chooses_principal_axes(y):
    W = maximum_likelihood(y, d).loading
    gram = np.float64(W.T @ W)
    np.testing.assert_allclose(gram, np.diag(np.diag(gram)), atol=1e-4)
    assert gram[0, 0] > gram[1, 1] > 0
    assert all(column[np.argmax(np.abs(column))] > 0 for column in np.asarray(W).T)


def test_a_direction_below_the_noise_gets_no_loading(y):
    W = maximum_likelihood(y, 4, sigma=1.0).loading  # two of the five variances of the data are about 0.4^2
    assert np.linalg.norm(W[:, 0]) > 0.5
    np.testing.assert_array_equal(W[:, 3], np.zeros(D))


# Manners


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"y": jnp.zeros((3, 1, 5))}, "Flatten"),
        ({"y": jnp.zeros(5)}, r"y\[None, :\]"),
        ({"loading": jnp.zeros((2, 5))}, "transposed"),
        ({"y": jnp.zeros((3, 4))}, "Expected"),
        ({"mean": jnp.zeros((5, 1))}, "Expected"),
        ({"sigma": jnp.ones(5)}, "scalar sigma"),
    ],
)
def test_shapes_that_do_not_fit_are_named(change, cause):
    arguments = {"y": jnp.zeros((3, 5)), "loading": jnp.zeros((5, 2)), "mean": jnp.zeros(5), "sigma": 1.0} | change
    y = arguments.pop("y")
    for function in (posterior, log_marginal_likelihood, em_step, px_em_step):
        with pytest.raises(ValueError, match=cause) as error:
            function(FactorAnalysis(**arguments), y)
        assert str(y.shape) in str(error.value)
        assert str(arguments["loading"].shape) in str(error.value)


def test_maximum_likelihood_refuses_what_it_can_not_estimate(y):
    with pytest.raises(ValueError, match="Flatten"):
        maximum_likelihood(jnp.zeros((3, 2, 2)), 1)
    for latent_dim in (0, D):
        with pytest.raises(ValueError, match="between 1 and D - 1 = 4"):
            maximum_likelihood(y, latent_dim)
    with pytest.raises(ValueError, match="3 examples differ in 2 directions at most.*sigma to be estimated"):
        maximum_likelihood(y[:3], 2)
    with pytest.raises(ValueError, match="Lower latent_dim"):
        maximum_likelihood(y[:3], 3, sigma=0.1)
    assert maximum_likelihood(y[:3], 2, sigma=0.1).loading.shape == (D, 2)


def test_takes_numpy_arrays(y):
    fa = random_model()
    theirs, data = FactorAnalysis(*(np.float64(p) for p in fa)), np.float64(y)
    for function in (posterior, em_step, px_em_step):
        np.testing.assert_allclose(function(theirs, data)[0], function(fa, y)[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(log_marginal_likelihood(theirs, data), log_marginal_likelihood(fa, y), rtol=1e-5)
    np.testing.assert_allclose(maximum_likelihood(data, d).sigma, maximum_likelihood(y, d).sigma, rtol=1e-5)


def test_full_precision_is_asked_for_and_only_inside(y):
    before = jax.config.jax_default_matmul_precision
    for function in (posterior, log_marginal_likelihood, em_step, px_em_step):
        text = jax.jit(function).lower(random_model(), y).as_text()
        products = [line for line in text.splitlines() if "dot_general" in line]
        assert products
        assert all("HIGHEST" in line for line in products)
    assert jax.config.jax_default_matmul_precision == before

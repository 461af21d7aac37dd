"""Chains on posteriors of a linear model: what they settle at, and what a draw costs, is known exactly."""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

from abp_jax import factor_analysis
from abp_jax.evaluation import comparison, quadrature

SIGMA, NUM_CHAINS, NUM_STEPS = 0.5, 60, 200
LOADING = jnp.array([[1.5, 0.2], [0.4, -0.3], [0.8, 0.5]])
IMAGES = jnp.array([[0.3, -0.2, 0.9], [-1.0, 0.4, 0.1]])  # of three pixels


def f(z):
    return LOADING @ z


@pytest.fixture(scope="module")
def exact():
    return quadrature.exact_posteriors(f, IMAGES, SIGMA)


@pytest.fixture(scope="module")
def draws(exact):
    """Exact ones, since these posteriors are Gaussians: (images, chains, 2)."""
    return comparison.spread_starts(jax.random.key(5), exact, NUM_CHAINS, factor=1.0)


def run(z, sampler, step_size, num_warmup=0):
    settings = dict(sigma=SIGMA, num_steps=NUM_STEPS, num_warmup=num_warmup)
    return comparison.run(jax.random.key(1), f, IMAGES, z, sampler=sampler, step_size=step_size, **settings)


def test_standard_coordinates_are_those_of_the_closed_form(exact):
    """Its curves of equal density become circles, and the first coordinate is across the narrow axis."""
    model = factor_analysis.FactorAnalysis(LOADING, jnp.zeros(3), jnp.array(SIGMA))
    closed = factor_analysis.posterior(model, IMAGES)
    z = jax.random.normal(jax.random.key(0), (2, 50, 3, 2))
    x = comparison.standardise(z, exact)
    centred = np.asarray(z - closed.mean[:, None, None])
    distances = np.einsum("...i,ij,...j", centred, np.linalg.inv(closed.covariance), centred)
    np.testing.assert_allclose((x**2).sum(axis=-1), distances, rtol=2e-3)
    narrow = np.linalg.eigh(closed.covariance)[1][:, 0]
    along = comparison.standardise((np.asarray(closed.mean) + 0.1 * narrow)[:, None], exact)
    assert np.all(np.abs(along[..., 0]) > 20 * np.abs(along[..., 1]))
    with pytest.raises(ValueError, match="zip"):
        comparison.standardise(z[:1], exact)


def test_starts_are_as_wide_as_they_should_be(exact):
    x = comparison.standardise(comparison.spread_starts(jax.random.key(3), exact, 4000), exact)
    np.testing.assert_allclose(x.mean(axis=1), 0, atol=4 * 2 / np.sqrt(4000))
    for one in x:
        np.testing.assert_allclose(np.cov(one.T), 4 * np.eye(2), atol=4 * 4 * np.sqrt(2 / 4000))


@pytest.mark.parametrize(("sampler", "variance"), [("gauss_newton", 4 / 3), ("gauss_newton_mala", 1.0)])
def test_chains_settle_at_the_law_that_is_known(sampler, variance, exact, draws):
    """Gauss-Newton at s = 1: variances too large by 1 / (1 - s^2/4), and exact with a Metropolis correction."""
    drawn = run(draws, sampler, 1.0, num_warmup=0 if variance == 1 else NUM_STEPS)
    assert drawn.z.shape == (2, NUM_STEPS, NUM_CHAINS, 2) and drawn.gradients == 2 and drawn.seconds > 0
    moments = comparison.moments(drawn, exact)
    assert np.all(np.abs(moments.mean) < 4 * moments.mean_error)
    assert np.all(np.abs(moments.square - variance) < 4 * moments.square_error)
    assert np.all(moments.square_error < 0.05)
    assert np.isnan(drawn.acceptance).all() == (sampler == "gauss_newton")


def test_a_draw_costs_what_the_autocorrelation_says(exact, draws):
    """At s = 1 it is 1/2 to the lag, so a step is worth (1 - 1/2) / (1 + 1/2) of an independent draw."""
    drawn = run(draws, "gauss_newton", 1.0, num_warmup=NUM_STEPS)
    efficiency = comparison.efficiency(drawn, exact)
    np.testing.assert_allclose(efficiency.per_step, 1 / 3, rtol=0.15)
    np.testing.assert_allclose(efficiency.per_gradient, efficiency.per_step / 2)
    both = efficiency.per_second * drawn.seconds / 2
    np.testing.assert_allclose(both, efficiency.per_step * NUM_STEPS * NUM_CHAINS, rtol=1e-6)
    assert np.all(np.abs(efficiency.r_hat - 1) < 0.01)
    independent = comparison.spread_starts(jax.random.key(2), exact, NUM_STEPS * NUM_CHAINS, factor=1.0)
    drawn = drawn._replace(z=independent.reshape(drawn.z.shape), gradients=0)
    efficiency = comparison.efficiency(drawn, exact)
    np.testing.assert_allclose(efficiency.per_step, 1, rtol=0.15)
    assert np.isnan(efficiency.per_gradient).all()


def test_warmup_adapts_the_step_of_each_image_and_freezes_it(draws):
    adapted = run(draws, "random_walk", jnp.array([0.1, 5.0]), num_warmup=300)
    np.testing.assert_allclose(adapted.acceptance.mean(axis=(1, 2)), 0.35, atol=0.05)
    np.testing.assert_allclose(adapted.step_size[0], adapted.step_size[1], rtol=0.2)  # the covariances are the same
    assert adapted.gradients == 0
    frozen = run(draws, "random_walk", adapted.step_size)
    np.testing.assert_array_equal(frozen.step_size, adapted.step_size)
    assert frozen.acceptance.shape == (2, NUM_STEPS, NUM_CHAINS)


def test_every_image_has_chains_of_its_own(draws):
    """Where there are no steps worth speaking of, each chain stays at its start."""
    drawn = run(draws, "preconditioned_langevin", 1e-4)
    moved = np.asarray(drawn.z[:, -1] - draws)
    assert drawn.gradients == 1 and 0 < np.abs(moved).max() < 0.02
    assert np.abs(moved[0] - moved[1]).min() > 0


def test_what_does_not_fit(draws):
    with pytest.raises(ValueError, match="'mala'.*got 'nuts'"):
        run(draws, "nuts", 1.0)
    with pytest.raises(ValueError, match=r"\(2, chains, d\) for these images, got \(60, 2\)"):
        run(draws[0], "mala", 1.0)
    with pytest.raises(ValueError, match="step_size must be positive"):
        run(draws, "mala", jnp.array([1.0, 0.0]))


def test_figures_show_the_numbers(exact):
    _, (left, middle, right, last) = plt.subplots(1, 4)
    comparison.draw_ellipses(exact[0], left, (1.5,))
    rim = comparison.standardise(left.lines[0].get_xydata()[None], exact[:1])
    np.testing.assert_allclose(np.linalg.norm(rim, axis=-1), 1.5, rtol=1e-6)
    comparison.draw_dots({"a": (np.array([1.0, 2.0]), np.array([0.1, 0.1]))}, middle)
    np.testing.assert_allclose(middle.containers[0].lines[0].get_ydata(), [1, 2])
    comparison.draw_bars({"a": 3.0, "b": np.nan}, right)
    assert [bar.get_width() for bar in right.patches] == [3, 0] and [t.get_text() for t in right.texts][1] == " none"
    integrator = quadrature.PosteriorQuadrature(lambda z: f(z)[:, None, None], SIGMA)
    comparison.draw_posterior(integrator, IMAGES[0][:, None, None], exact[0], last)
    image = last.images[0]
    row, column = np.unravel_index(np.argmax(image.get_array()), image.get_array().shape)
    low_x, high_x, low_y, high_y = image.get_extent()
    peak = low_x + (high_x - low_x) * column / 63, low_y + (high_y - low_y) * row / 63
    np.testing.assert_allclose(peak, exact[0].mean, atol=0.05)
    comparison.draw_landscape(integrator, IMAGES[0][:, None, None], exact[0], left)
    np.testing.assert_allclose(left.lines[-1].get_xydata()[0], exact[0].mean)
    plt.close("all")

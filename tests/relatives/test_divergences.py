"""Divergences on a grid against closed forms, the value of the game, and the density of a generator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.scipy.stats import multivariate_normal, norm

import abp_jax as abp
from abp_jax.compilation.precision import double_precision
from abp_jax.relatives import divergences, rings
from abp_jax.relatives.adversarial import sample
from abp_jax.relatives.divergences import density_on_grid, game_value, jensen_shannon, kl, optimal_logit


@pytest.fixture
def pair():
    """Two Gaussians on a line that covers both: log p, log q and the cell, in double precision."""
    with double_precision():
        x, cell = divergences.grid(-12, 14, 1300, dim=1)
        yield norm.logpdf(x[:, 0]), norm.logpdf(x[:, 0], 1.5, 0.7), cell


def test_kl_is_that_of_two_gaussians(pair):
    log_p, log_q, cell = pair
    closed = lambda m, s, n, t: np.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - 0.5
    np.testing.assert_allclose(kl(log_p, log_q, cell), closed(0, 1, 1.5, 0.7), rtol=1e-10)
    np.testing.assert_allclose(kl(log_q, log_p, cell), closed(1.5, 0.7, 0, 1), rtol=1e-10)


def test_jensen_shannon_is_symmetric_and_ends_at_log_two(pair):
    log_p, log_q, cell = pair
    between = jensen_shannon(log_p, log_q, cell)
    np.testing.assert_allclose(between, jensen_shannon(log_q, log_p, cell), rtol=1e-12)
    m = np.log((np.exp(log_p) + np.exp(log_q)) / 2)
    by_hand = 0.5 * np.sum(np.exp(log_p) * (log_p - m) + np.exp(log_q) * (log_q - m)) * cell
    np.testing.assert_allclose(between, by_hand, rtol=1e-10)
    assert abs(jensen_shannon(log_p, log_p, cell)) < 1e-12
    left, right = jnp.array([0.0, -jnp.inf]), jnp.array([-jnp.inf, 0.0])  # nowhere both
    np.testing.assert_allclose(jensen_shannon(left, right, 1), np.log(2), rtol=1e-12)
    assert kl(left, right, 1) == jnp.inf and kl(left, left, 1) == 0


def test_the_value_of_the_game(pair):
    """V(D*) = -log 4 + 2 JSD, to 1e-10; at p = q every critic that guesses has -log 4."""
    log_p, log_q, cell = pair
    best = game_value(log_p, log_q, cell)
    assert abs(best - (-np.log(4) + 2 * jensen_shannon(log_p, log_q, cell))) < 1e-10
    assert abs(game_value(log_p, log_p, cell) + np.log(4)) < 1e-10
    D, other = (np.exp(log) / (np.exp(log_p) + np.exp(log_q)) for log in (log_p, log_q))
    by_hand = cell * np.sum(np.exp(log_p) * np.log(D) + np.exp(log_q) * np.log(other))
    np.testing.assert_allclose(best, by_hand, rtol=1e-10)
    np.testing.assert_allclose(jax.nn.sigmoid(optimal_logit(log_p, log_q)), D, rtol=1e-12)


def test_no_critic_is_better_than_the_optimal_one(pair):
    """Any other is below; and the value is stationary there."""
    log_p, log_q, cell = pair
    best, a = game_value(log_p, log_q, cell), optimal_logit(log_p, log_q)
    rng = np.random.default_rng(0)
    for scale in (1e-3, 0.1, 1.0, 10.0):
        for start in (a, 0 * a):
            assert game_value(log_p, log_q, cell, start + scale * rng.normal(size=a.shape)) < best
    slope = jax.grad(lambda a: game_value(log_p, log_q, cell, a))(a)
    assert np.abs(slope).max() < 1e-15 + 1e-12 * np.exp(log_p).max()


def test_the_density_of_a_linear_generator_is_factor_analysis():
    """N(b, WW' + sigma^2 I), with one latent number and with two."""
    with double_precision():
        rng = np.random.default_rng(1)
        y, _ = divergences.grid(-2, 3, 12)
        for d in (1, 2):
            W, b = jnp.asarray(rng.normal(size=(2, d))), jnp.asarray(rng.normal(size=2))
            found = density_on_grid(lambda z, W=W, b=b: W @ z + b, y, 0.4, latent_dim=d, spacing=0.1)
            covariance = W @ W.T + 0.16 * jnp.eye(2)
            expected = jax.vmap(lambda y, b=b, C=covariance: multivariate_normal.logpdf(y, b, C))(y)
            near = expected > -7  # farther out the end of the lattice, at |z| = 5, begins to show
            assert near.sum() > 20
            np.testing.assert_allclose(found[near], expected[near], atol=1e-4)


def test_the_density_of_a_generator_is_normalised_and_settled():
    generator = abp.MLPGenerator(2, 2, (8,), rngs=nnx.Rngs(0))
    y, cell = divergences.grid(-8, 8, 40)
    coarse, fine = (density_on_grid(generator, y, 0.5, spacing=spacing) for spacing in (0.2, 0.1))
    assert abs(jnp.exp(fine).sum() * cell - 1) < 1e-3
    weight = np.exp(fine) * cell
    assert np.sum(weight * np.abs(coarse - fine)) < 1e-4


def test_draws_agree_with_the_density(key):
    """E log p over the generator's own draws is minus the entropy on the grid."""
    generator = abp.MLPGenerator(2, 2, (8,), rngs=nnx.Rngs(0))
    draws = sample(key, generator, 2, 0.5, 2000)
    nats = density_on_grid(generator, draws, 0.5, spacing=0.2)
    y, cell = divergences.grid(-8, 8, 60)
    log_p = density_on_grid(generator, y, 0.5, spacing=0.2)
    assert abs(nats.mean() - cell * jnp.sum(jnp.exp(log_p) * log_p)) < 5 * nats.std() / 2000**0.5


def test_a_density_is_the_same_in_one_call_and_in_chunks_of_a_hundred(key):
    generator = abp.MLPGenerator(2, 2, (8,), rngs=nnx.Rngs(0))
    y = rings.ring(key, 250)
    log_p = lambda y: density_on_grid(generator, y, 0.3, spacing=0.25)
    np.testing.assert_allclose(
        jnp.concatenate([log_p(y[:100]), log_p(y[100:200]), log_p(y[200:])]), log_p(y), rtol=1e-5
    )


def test_the_grid_has_equal_cells():
    y, cell = divergences.grid(-1, 3, 4)
    assert y.shape == (16, 2) and cell == 1
    np.testing.assert_allclose(y[:5], [[-0.5, -0.5], [-0.5, 0.5], [-0.5, 1.5], [-0.5, 2.5], [0.5, -0.5]])


def test_what_can_not_be_is_refused():
    p = jnp.zeros(3)
    with pytest.raises(ValueError, match=r"of one grid, got shapes \(3,\) and \(2,\)"):
        kl(p, p[:2], 1)
    with pytest.raises(ValueError, match="cell must be positive, got 0"):
        jensen_shannon(p, p, 0)
    with pytest.raises(ValueError, match=r"a must have a logit for each point of the grid, \(3,\), got \(2,\)"):
        game_value(p, p, 1, p[:2])
    with pytest.raises(ValueError, match="high must be finite and above 1"):
        divergences.grid(1, 1, 3)
    with pytest.raises(ValueError, match="sigma must be positive"):
        density_on_grid(lambda z: z, jnp.zeros((1, 2)), 0)
    with pytest.raises(ValueError, match="latent_dim must be at most 2"):
        density_on_grid(lambda z: z, jnp.zeros((1, 2)), 1, latent_dim=3)
    with pytest.raises(ValueError, match=r"with points as f gives them, \(2,\), got \(4, 3\)"):
        density_on_grid(lambda z: z, jnp.zeros((4, 3)), 1, spacing=1)

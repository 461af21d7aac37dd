"""The ring: draws against its density, the density against its integral, and modes that are counted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from abp_jax.compilation.precision import double_precision
from abp_jax.relatives import divergences, rings


def test_the_density_has_the_integral_one_and_the_right_moments():
    """E |y|^2 = r^2 + 2 s^2."""
    with double_precision():
        y, cell = divergences.grid(-4, 4, 160)
        p = np.exp(jax.vmap(rings.ring_log_density)(y))
        assert abs(p.sum() * cell - 1) < 1e-10
        np.testing.assert_allclose(np.sum(p * np.sum(y**2, axis=1)) * cell, 4 + 2 * 0.04, rtol=1e-10)
        np.testing.assert_allclose(cell * p @ np.asarray(y), 0, atol=1e-10)


def test_the_density_by_hand():
    y, centre = jnp.array([1.9, 0.1]), np.array([2.0, 0.0])
    near = np.exp(-np.sum((np.asarray(y) - centre) ** 2) / (2 * 0.01)) / (2 * np.pi * 0.01) / 5
    np.testing.assert_allclose(np.exp(rings.ring_log_density(y, 0.1, num_modes=5)), near, rtol=1e-5)


def test_draws_are_of_the_density(key):
    """Shares of the modes and the second moment, within five standard errors; the entropy by both."""
    y = rings.ring(key, 20_000)
    assert y.shape == (20_000, 2)
    shares = rings.mode_shares(y, rings.ring_centres(), 3 * rings.SCALE)
    inside = 1 - np.exp(-4.5)  # of a plane Gaussian, within three standard deviations
    np.testing.assert_allclose(shares, inside / 8, atol=5 * (0.125 * 0.875 / 20_000) ** 0.5)
    nats = jax.vmap(rings.ring_log_density)(y)
    exactly = -np.log(8 * 2 * np.pi * 0.04) - 1  # the modes hardly overlap
    assert abs(nats.mean() - exactly) < 5 * nats.std() / 20_000**0.5 + 1e-3


def test_shares_are_of_the_nearest_mode_within_the_radius():
    centres = jnp.array([[0.0, 0.0], [1.0, 0.0]])
    y = jnp.array([[0.1, 0.0], [0.4, 0.0], [0.6, 0.0], [1.0, 0.9], [5.0, 0.0], [1.0, 0.0], [1.0, 0.1], [1.0, 0.2]])
    np.testing.assert_allclose(rings.mode_shares(y, centres, 0.85), [2 / 8, 4 / 8])
    np.testing.assert_allclose(rings.mode_shares(y, centres, 0.3), [1 / 8, 3 / 8])
    np.testing.assert_allclose(rings.mode_shares(y, centres[::-1], 0.3), [3 / 8, 1 / 8])


def test_a_point_alone_or_in_chunks_of_a_hundred(key):
    y = rings.ring(key, 300)
    density = jax.jit(jax.vmap(rings.ring_log_density))
    np.testing.assert_allclose(np.concatenate([density(part) for part in jnp.split(y, 3)]), density(y), rtol=1e-5)
    np.testing.assert_allclose(rings.ring_log_density(y[7]), density(y)[7], rtol=1e-5)


def test_what_can_not_be_is_refused(key):
    with pytest.raises(ValueError, match=r"one point of the plane, \(2,\), got \(3, 2\)"):
        rings.ring_log_density(jnp.zeros((3, 2)))
    with pytest.raises(ValueError, match="scale must be positive, got 0"):
        rings.ring_log_density(jnp.zeros(2), 0)
    with pytest.raises(ValueError, match="num must be positive"):
        rings.ring(key, 0)
    with pytest.raises(ValueError, match="num_modes must be positive"):
        rings.ring_centres(0)
    with pytest.raises(ValueError, match=r"y must be \(n, D\) and centres \(K, D\)"):
        rings.mode_shares(jnp.zeros((3, 2)), jnp.zeros((8, 3)), 1)
    with pytest.raises(ValueError, match="radius must be positive"):
        rings.mode_shares(jnp.zeros((3, 2)), jnp.zeros((8, 2)), 0)

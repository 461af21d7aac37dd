"""Paths in z: where they run, and their length under the generator's metric, against lengths known exactly."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax.evaluation import paths

A, B = jnp.array([3.0, 0.0, 0.0]), jnp.array([0.0, 3.0, 0.0])


class Circle(nnx.Module):
    """z in R to the unit circle, as an image of two pixels."""

    latent_dim = 1

    def __call__(self, z):
        return jnp.array([[jnp.cos(z[0])], [jnp.sin(z[0])]])


class Square(nnx.Module):
    """z in R to one pixel, z^2: it moves fast where z is large."""

    latent_dim = 1

    def __call__(self, z):
        return z**2


def orthonormal_generator():
    generator = abp.LinearGenerator(3, 5, rngs=nnx.Rngs(0))
    kernel, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 3)))
    generator.first.kernel = nnx.Param(jnp.asarray(kernel.T, jnp.float32))
    return generator


def test_where_the_paths_run():
    line, arc = paths.straight(A, B, 5), paths.spherical(A, B, 5)
    for path in (line, arc):
        assert path.shape == (5, 3)
        np.testing.assert_allclose(path[jnp.array([0, -1])], [A, B], atol=1e-6)
    np.testing.assert_allclose(line[1], [2.25, 0.75, 0], rtol=1e-6)
    np.testing.assert_allclose(arc[1], 3 * np.array([np.cos(np.pi / 8), np.sin(np.pi / 8), 0]), atol=1e-6)
    np.testing.assert_allclose(jnp.linalg.norm(arc, axis=1), 3, rtol=1e-6)


def test_an_arc_between_vectors_of_different_lengths():
    arc = paths.spherical(A, B / 3, 3)  # 90 degrees: in the middle both have the weight sin(45) / sin(90)
    np.testing.assert_allclose(arc, [A, [3 * 0.5**0.5, 0.5**0.5, 0], B / 3], atol=1e-6)
    wide = paths.spherical(A, jnp.array([-1.0, 1.0, 0.0]), 4)  # 135 degrees in three parts
    weights = np.sin(np.deg2rad([90, 45])) / np.sin(np.deg2rad(135))
    np.testing.assert_allclose(wide[1], [3 * weights[0] - weights[1], weights[1], 0], atol=1e-5)


def test_an_arc_between_vectors_of_one_direction_is_straight():
    np.testing.assert_allclose(paths.spherical(A, 2 * A, 4)[:, 0], [3, 4, 5, 6], rtol=1e-5)
    np.testing.assert_allclose(paths.spherical(A, A, 3), [A] * 3, rtol=1e-5)


def test_length_is_exact_where_it_is_known():
    generator = orthonormal_generator()
    for num in (2, 7):
        np.testing.assert_allclose(paths.length(generator, paths.straight(A, B, num)), 3 * 2**0.5, rtol=1e-5)
        np.testing.assert_allclose(paths.length(Circle(), jnp.linspace(0, 2, num)[:, None]), 2, rtol=1e-5)
    np.testing.assert_allclose(paths.length(generator, paths.spherical(A, B, 400)), 3 * np.pi / 2, rtol=1e-4)


def test_a_segment_is_measured_at_its_middle():
    for num in (2, 5):  # the integral of 2 z from 1 to 3, and the rule of the middle is exact for it
        np.testing.assert_allclose(paths.length(Square(), jnp.linspace(1, 3, num)[:, None]), 8, rtol=1e-6)


def test_length_agrees_with_the_way_of_the_image():
    generator = abp.ConvGenerator(image_size=16, width=4, rngs=nnx.Rngs(0))
    path = paths.spherical(jnp.array([1.0, -0.5]), jnp.array([-0.5, 1.5]), 1000)
    images = np.asarray(abp.reconstruct(generator, path), np.float64).reshape(1000, -1)
    by_chords = np.linalg.norm(np.diff(images, axis=0), axis=1).sum()
    np.testing.assert_allclose(paths.length(generator, path), by_chords, rtol=2e-3)


def test_bad_input_is_told():
    with pytest.raises(ValueError, match="less than 180 degrees"):
        paths.spherical(A, -2 * A, 5)
    with pytest.raises(ValueError, match="less than 180 degrees"):
        paths.spherical(A, 0 * A, 5)
    with pytest.raises(ValueError, match="at least two points"):
        paths.straight(A, B[:2], 5)
    with pytest.raises(ValueError, match="at least two points"):
        paths.spherical(A, B, 1)
    with pytest.raises(ValueError, match="at least two points"):
        paths.straight(A[None], B[None], 5)
    with pytest.raises(ValueError, match="at least two points"):
        paths.length(Circle(), jnp.zeros((1, 1)))
    with pytest.raises(ValueError, match="at least two points"):
        paths.length(Circle(), jnp.zeros(3))

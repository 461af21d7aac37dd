"""The density against scipy's normal distribution and against itself. Double precision, so that a half can't hide."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from abp_jax import model
from abp_jax.compilation import precision

SIGMA = 0.4
Z = np.array([0.7, -1.3])
Y = np.array([[0.2, -0.5, 1.1], [0.9, 0.3, -2.0]])  # not a vector: sums must run over every axis
W = np.random.default_rng(0).normal(size=(6, 2))

close = partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-12)


@pytest.fixture(autouse=True)
def double_precision():
    with precision.double_precision():
        yield


def curved(z):
    """A nonlinear f(z), of the shape of Y."""
    return jnp.tanh(W @ z).reshape(2, 3)


def of_z(density, **arguments):
    """The density as a function of z alone."""
    return lambda z: density(curved, z, jnp.asarray(Y), SIGMA, **arguments)


# Each density, against scipy


@pytest.mark.parametrize("size", [1, 2, 5])
def test_log_prior_is_a_sum_of_standard_normals(size):
    z = np.linspace(-2, 3, size)
    close(model.log_prior(jnp.asarray(z)), norm.logpdf(z).sum())


@pytest.mark.parametrize("shape", [(1,), (4,), (2, 3), (4, 4, 3)])
@pytest.mark.parametrize("sigma", [0.1, 1.0, 3.0])
def test_log_noise_is_a_sum_of_normals_over_every_axis(shape, sigma):
    e = np.random.default_rng(1).normal(size=shape)
    close(model.log_noise(jnp.asarray(e), sigma), norm.logpdf(e, scale=sigma).sum())


def test_log_likelihood_is_a_normal_about_the_generated_y():
    expected = norm.logpdf(Y, loc=np.asarray(curved(Z)), scale=SIGMA).sum()
    close(of_z(model.log_likelihood)(Z), expected)


def test_log_joint_is_prior_times_likelihood():
    expected = norm.logpdf(Z).sum() + norm.logpdf(Y, loc=np.asarray(curved(Z)), scale=SIGMA).sum()
    close(of_z(model.log_joint)(Z), expected)


@pytest.mark.parametrize("sigma", [0.3, 2.0])
def test_noise_integrates_to_one(sigma):
    e = np.linspace(-12 * sigma, 12 * sigma, 20_001)
    density = np.exp(jax.vmap(partial(model.log_noise, sigma=sigma))(jnp.asarray(e)[:, None]))
    close(np.sum(density) * (e[1] - e[0]), 1.0)


def test_joint_integrates_over_z_to_the_marginal_of_factor_analysis():
    """f(z) = w z: integrating z out of exp(log_joint) leaves N(y; 0, w^2 + sigma^2)."""
    z = np.linspace(-12, 12, 20_001)
    joint = jax.vmap(lambda z: model.log_joint(lambda z: 1.5 * z, z, jnp.array([0.8]), SIGMA))(jnp.asarray(z)[:, None])
    close(np.log(np.sum(np.exp(joint)) * (z[1] - z[0])), norm.logpdf(0.8, scale=np.hypot(1.5, SIGMA)))


# Sums, never means


def test_doubling_the_data_doubles_the_likelihood():
    once = of_z(model.log_likelihood)(Z)
    twice = model.log_likelihood(lambda z: jnp.stack([curved(z)] * 2), Z, jnp.stack([Y, Y]), SIGMA)
    close(twice, 2 * once)


def test_joint_of_two_examples_is_the_sum_of_their_joints():
    """Two independent examples, as one example with both z and both y."""
    z, y = np.stack([Z, Z[::-1]]), np.stack([Y, -Y])
    apart = jax.vmap(lambda z, y: model.log_joint(curved, z, y, SIGMA))(z, y)
    together = model.log_joint(lambda z: jax.vmap(curved)(z.reshape(2, 2)), z.ravel(), y, SIGMA)
    close(together, apart.sum())


# Gradients


def test_gradient_of_the_prior_is_minus_z():
    close(jax.grad(model.log_prior)(jnp.asarray(Z)), -Z)


def test_gradient_of_the_joint_is_the_formula_of_the_langevin_step():
    """J'(y - f(z)) / sigma^2 - z (seed equation 7)."""
    jacobian = np.asarray(jax.jacobian(curved)(Z)).reshape(6, 2)
    error = (Y - np.asarray(curved(Z))).ravel()
    close(jax.grad(of_z(model.log_joint))(Z), jacobian.T @ error / SIGMA**2 - Z)


# Residual


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_residual_gives_the_joint_up_to_a_constant(temperature):
    places = np.random.default_rng(2).normal(size=(20, 2))
    r = jax.vmap(of_z(model.residual, temperature=temperature))(places)
    joint = jax.vmap(of_z(model.log_joint, temperature=temperature))(places)
    difference = joint + 0.5 * jnp.sum(r**2, axis=1)
    assert r.shape == (20, 6 + 2)
    close(difference, np.full(20, difference[0]), atol=1e-10)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_gradient_of_the_joint_is_minus_jacobian_transposed_residual(temperature):
    residual = of_z(model.residual, temperature=temperature)
    gradient = jax.grad(of_z(model.log_joint, temperature=temperature))(Z)
    close(gradient, -jax.jacobian(residual)(Z).T @ residual(Z))


def test_residual_is_the_scaled_error_then_z():
    expected = np.concatenate([(Y - np.asarray(curved(Z))).ravel() / SIGMA, Z])
    close(of_z(model.residual)(Z), expected)


def test_residual_of_a_linear_generator_gives_the_posterior_precision():
    loading = jnp.asarray(W)
    J = jax.jacobian(lambda z: model.residual(lambda z: loading @ z, z, jnp.zeros(6), SIGMA))(Z)
    close(J.T @ J, W.T @ W / SIGMA**2 + np.eye(2))


# Temperature


def test_temperature_divides_the_likelihood_and_leaves_the_prior():
    close(of_z(model.log_likelihood, temperature=4.0)(Z), of_z(model.log_likelihood)(Z) / 4)
    close(
        of_z(model.log_joint, temperature=4.0)(Z) - model.log_prior(jnp.asarray(Z)), of_z(model.log_likelihood)(Z) / 4
    )


def test_temperature_one_is_the_model():
    for density in (model.log_likelihood, model.log_joint, model.residual):
        close(of_z(density, temperature=1.0)(Z), of_z(density)(Z))


# Mistakes of the caller


@pytest.mark.parametrize("density", [model.log_likelihood, model.log_joint, model.residual])
@pytest.mark.parametrize("y", [np.zeros((2, 1)), np.zeros(6), np.zeros((5, 2, 3))], ids=["broadcast", "flat", "batch"])
def test_wrong_shape_raises_and_names_both(density, y):
    with pytest.raises(ValueError, match="vmap") as error:
        density(curved, jnp.asarray(Z), jnp.asarray(y), SIGMA)
    assert "(2, 3)" in str(error.value) and str(y.shape) in str(error.value)


def test_wrong_shape_raises_under_vmap_and_jit():
    with pytest.raises(ValueError, match=r"shape \(2, 3\), but y has shape \(3,\)"):
        jax.jit(jax.vmap(lambda y: model.log_joint(curved, jnp.asarray(Z), y, SIGMA)))(jnp.zeros((4, 3)))


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_given_an_observation_the_density_is_that_of_z_alone(key, temperature):
    """With every setting passed on: another sigma, temperature or mask would be another density."""
    weights, y = jax.random.normal(key, (5, 2)), jnp.array([1.0, -1.0, 0.5, 2.0, 0.3])
    f, z, mask = (lambda z: jnp.tanh(weights @ z)), jnp.array([0.4, -0.7]), jnp.array([True, True, False, True, False])
    density = model.given(f, y, 0.6, temperature, mask)
    by_hand = -0.5 * z @ z - jnp.log(2 * jnp.pi) - 0.5 * jnp.sum(((y - f(z)) / 0.6)[mask] ** 2) / temperature
    by_hand -= 0.5 * 3 * jnp.log(2 * jnp.pi * 0.6**2) / temperature
    np.testing.assert_allclose(density.log_density(z), by_hand, rtol=1e-5)
    squares = z @ z + jnp.sum(((y - f(z)) / 0.6)[mask] ** 2) / temperature
    np.testing.assert_allclose(jnp.sum(density.residual(z) ** 2), squares, rtol=1e-5)

"""On a Gaussian all that a Langevin chain does is known exactly, so a flipped sign or a dropped half must show."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from abp_jax import langevin

NUM_CHAINS = 20_000
PRECISION = np.array([[9.0, 4.0], [4.0, 3.0]])  # eigenvalues 11 and 1, on tilted axes
MEAN = np.array([1.0, -2.0])
FACTOR = np.array([[2.0, 1.0], [-1.0, 1.0], [0.5, 2.0]])  # of a linear residual FACTOR z - SHIFT
SHIFT = np.array([1.0, 0.5, -3.0])


def standard_normal(z):
    return -0.5 * z @ z


def gaussian(z):
    return -0.5 * (z - MEAN) @ jnp.asarray(PRECISION, z.dtype) @ (z - MEAN)


def linear_residual(z):
    return jnp.asarray(FACTOR, z.dtype) @ z - SHIFT


def curved_residual(z):
    return jnp.array([jnp.sin(z[0]) + z[1] ** 2 - 1, z[0] * z[1] + 0.5, z[0], z[1]])


def curved_log_density(z):
    return -0.5 * jnp.sum(curved_residual(z) ** 2)


def curved_in_numpy(z):
    """The residual and its Jacobian by hand, in float64."""
    a, b = np.asarray(z, np.float64)
    r = np.array([np.sin(a) + b**2 - 1, a * b + 0.5, a, b])
    return r, np.array([[np.cos(a), 2 * b], [b, a], [1, 0], [0, 1]])


@partial(jax.jit, static_argnames=("step", "target", "num_steps"))
def final_states(step, target, step_size, num_steps, key, start):
    """Where NUM_CHAINS independent chains stand at the end: (NUM_CHAINS, d)."""

    def chain(key):
        return langevin.sample(key, start, lambda key, z: step(key, z, target, step_size), num_steps)[0][-1]

    return jax.vmap(chain)(jax.random.split(key, NUM_CHAINS))


def assert_moments(z, mean, covariance):
    """Within five standard errors of a Gaussian's sample mean and sample covariance."""
    z, variances = np.asarray(z, np.float64), np.diag(covariance)
    assert np.all(np.abs(z.mean(axis=0) - mean) < 5 * np.sqrt(variances / len(z)))
    standard_error = np.sqrt((np.outer(variances, variances) + covariance**2) / len(z))
    assert np.all(np.abs(np.cov(z.T, bias=True) - covariance) < 5 * standard_error)


# Laws


@pytest.mark.parametrize("step_size", [0.4, 1.0, 1.6])
def test_stationary_variance_on_the_standard_normal(step_size, key):
    """1 / (1 - s^2 / 4), which is 4/3 at s = 1."""
    z = final_states(langevin.langevin_step, standard_normal, step_size, 60, key, jnp.zeros(2))
    assert_moments(z, np.zeros(2), np.eye(2) / (1 - step_size**2 / 4))


@pytest.mark.parametrize("step_size", [0.2, 0.5])
def test_stationary_law_for_a_precision(step_size, key):
    """Mean as the target's, covariance s^2 (I - A^2)^-1 with A = I - s^2 P / 2."""
    z = final_states(langevin.langevin_step, gaussian, step_size, 400, key, jnp.zeros(2))
    contraction = np.eye(2) - step_size**2 * PRECISION / 2
    covariance = step_size**2 * np.linalg.inv(np.eye(2) - contraction @ contraction)
    assert_moments(z, MEAN, covariance)


@pytest.mark.parametrize("step_size", [0.5, 1.0, 1.6])
def test_stationary_law_of_gauss_newton(step_size, key):
    """On a linear residual: mean G^-1 M'c, covariance G^-1 / (1 - s^2 / 4), at any condition number."""
    z = final_states(langevin.gauss_newton_step, linear_residual, step_size, 60, key, jnp.zeros(2))
    inverse = np.linalg.inv(FACTOR.T @ FACTOR)
    assert_moments(z, inverse @ FACTOR.T @ SHIFT, inverse / (1 - step_size**2 / 4))


def test_the_start_is_forgotten_as_the_power_of_the_contraction(key):
    """From far away, the mean of many chains after t steps is m + A^t (z0 - m)."""
    start, step_size, num_steps = np.array([6.0, 6.0]), 0.3, 5
    z = final_states(langevin.langevin_step, gaussian, step_size, num_steps, key, jnp.array(start))
    contraction = np.eye(2) - step_size**2 * PRECISION / 2
    powers = [np.linalg.matrix_power(contraction, t) for t in range(num_steps + 1)]
    covariance = step_size**2 * sum(power @ power for power in powers[:-1])
    assert_moments(z, MEAN + powers[-1] @ (start - MEAN), covariance)


# One step, to rounding


@pytest.mark.parametrize("step_size", [0.1, 0.7, 1.5])
def test_langevin_step_is_the_formula(step_size, key):
    z = jnp.array([0.8, -1.3])
    u = np.asarray(jax.random.normal(key, (2,)), np.float64)
    r, jacobian = curved_in_numpy(z)
    gradient = -jacobian.T @ r
    expected = np.asarray(z) + step_size**2 / 2 * gradient + step_size * u
    new_z, _ = langevin.langevin_step(key, z, curved_log_density, step_size)
    np.testing.assert_allclose(new_z, expected, rtol=1e-5)


@pytest.mark.parametrize("step_size", [0.1, 0.7, 1.5])
def test_gauss_newton_step_is_the_formula(step_size, key):
    z = jnp.array([0.8, -1.3])
    u = np.asarray(jax.random.normal(key, (2,)), np.float64)
    r, jacobian = curved_in_numpy(z)
    precision = jacobian.T @ jacobian
    drift = np.linalg.solve(precision, -jacobian.T @ r)
    noise = np.linalg.solve(np.linalg.cholesky(precision).T, u)
    expected = np.asarray(z) + step_size**2 / 2 * drift + step_size * noise
    new_z, _ = langevin.gauss_newton_step(key, z, curved_residual, step_size)
    np.testing.assert_allclose(new_z, expected, rtol=1e-5)


def test_the_two_steps_agree_on_the_standard_normal(key):
    z = jnp.array([0.3, -2.0, 1.1])
    plain, _ = langevin.langevin_step(key, z, standard_normal, 0.6)
    preconditioned, _ = langevin.gauss_newton_step(key, z, lambda z: z, 0.6)
    np.testing.assert_allclose(plain, preconditioned, rtol=1e-6)


# Chains


@pytest.mark.parametrize(
    "step",
    [
        partial(langevin.langevin_step, log_density=curved_log_density, step_size=0.4),
        partial(langevin.gauss_newton_step, residual=curved_residual, step_size=0.4),
    ],
    ids=["langevin", "gauss_newton"],
)
def test_a_chain_does_not_depend_on_its_batch(step, key):
    """With a key folded in for each example, alone, permuted or in a smaller batch, the same chain."""

    @jax.jit
    @jax.vmap
    def chains(index):
        start = jnp.stack([jnp.cos(1.0 * index), jnp.sin(1.0 * index)])
        return langevin.sample(jax.random.fold_in(key, index), start, step, 20)[0]

    everyone = chains(jnp.arange(8))
    assert np.min(np.ptp(everyone[:, -1], axis=0)) > 0.1  # the chains differ from each other
    for batch in (jnp.arange(8)[::-1], jnp.array([5, 2, 7])):
        np.testing.assert_allclose(chains(batch), everyone[batch], rtol=1e-4, atol=1e-5)


def test_sample_repeats_the_step_with_a_new_key_each_time(key):
    step = partial(langevin.langevin_step, log_density=curved_log_density, step_size=0.4)
    start = jnp.array([0.8, -1.3])
    trajectory, infos = langevin.sample(key, start, step, 4)
    z = start
    for t, step_key in enumerate(jax.random.split(key, 4)):
        np.testing.assert_allclose(infos.log_density[t], curved_log_density(z), rtol=1e-5)  # from where the step began
        z, _ = step(step_key, z)
        np.testing.assert_allclose(trajectory[t], z, rtol=1e-5)
    assert trajectory.shape == (4, 2)
    assert infos.gradient_norm.shape == (4,) and infos.curvature is None


# Stability


def test_largest_stable_step_divides_chains_that_stay_from_chains_that_leave(key):
    """At the curvature of a learned ConvNet's posterior, 1e4; the wide direction has 400."""
    rotation = np.array([[0.8, -0.6], [0.6, 0.8]])
    precision = jnp.asarray(rotation @ np.diag([400.0, 1e4]) @ rotation.T, jnp.float32)
    limit = langevin.largest_stable_step(precision)
    np.testing.assert_allclose(limit, 0.02, rtol=1e-5)

    def log_density(z):
        return -0.5 * z @ precision @ z

    @jax.jit
    def largest_distance(fraction):
        step = partial(langevin.langevin_step, log_density=log_density, step_size=fraction * limit)
        return jnp.max(jnp.abs(langevin.sample(key, jnp.zeros(2), step, 300)[0]))

    assert largest_distance(0.98) < 0.5  # the stationary standard deviation is .05
    assert largest_distance(1.02) > 1e4  # the factor is -1.08 a step


def test_largest_stable_step_of_several_precisions():
    precisions = jnp.array([[[4.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 16.0]]])
    np.testing.assert_allclose(langevin.largest_stable_step(precisions), [1.0, 0.5], rtol=1e-6)


# Derivatives and reports


@pytest.mark.parametrize("d", [1, 3, 100])
def test_largest_curvature_is_the_largest_eigenvalue_of_the_precision(d, key):
    """Many rounds reach it; three are between a third of it and all of it, which the default fraction allows for."""
    jacobian = jax.random.normal(key, (2 * d, d)) * jnp.linspace(1, 5, d)[None, :]
    residual = lambda z: jnp.tanh(jacobian @ z)
    z = 0.1 * jax.random.normal(jax.random.key(1), (d,)) / d
    largest = np.linalg.eigvalsh(langevin.precision(residual, z))[-1]
    np.testing.assert_allclose(langevin.largest_curvature(key, residual, z, 200), largest, rtol=1e-3)
    few = jax.vmap(lambda k: langevin.largest_curvature(k, residual, z))(jax.random.split(key, 50))
    assert np.all(few > 0.3 * largest) and np.all(few < 1.001 * largest)


def test_adapted_step_size_is_a_fraction_of_the_largest_stable_step(key):
    """A chain at the fraction 1.05 leaves the mode, at 0.95 it comes back."""
    residual = lambda z: jnp.array([30.0, 7.0]) * z
    full = langevin.adapted_step_size(key, residual, jnp.ones(2), 1.0)
    np.testing.assert_allclose(full, 2 / 30, rtol=1e-2)
    for fraction, grows in [(0.95, False), (1.05, True)]:
        s = langevin.adapted_step_size(key, residual, jnp.ones(2), fraction)
        step = lambda k, z, s=s: langevin.langevin_step(k, z, lambda z: -0.5 * residual(z) @ residual(z), s)
        path, _ = langevin.sample(key, jnp.ones(2), step, 100)
        assert (abs(path[-1, 0]) > 1) == grows


def test_precision_is_the_hessian_of_a_linear_residual():
    z = jnp.array([0.3, 0.4])
    hessian = jax.hessian(lambda z: 0.5 * jnp.sum(linear_residual(z) ** 2))(z)
    np.testing.assert_allclose(langevin.precision(linear_residual, z), hessian, rtol=1e-5)


def test_precision_is_the_square_of_the_jacobian_where_the_residual_bends():
    z = jnp.array([0.8, -1.3])
    _, jacobian = curved_in_numpy(z)
    np.testing.assert_allclose(langevin.precision(curved_residual, z), jacobian.T @ jacobian, rtol=1e-5)


def test_infos_tell_where_the_step_began(key):
    z = jnp.array([0.8, -1.3])
    r, jacobian = curved_in_numpy(z)
    _, plain = langevin.langevin_step(key, z, curved_log_density, 0.4)
    _, preconditioned = langevin.gauss_newton_step(key, z, curved_residual, 0.4)
    for info in (plain, preconditioned):
        np.testing.assert_allclose(info.log_density, -0.5 * r @ r, rtol=1e-5)
        np.testing.assert_allclose(info.gradient_norm, np.linalg.norm(jacobian.T @ r), rtol=1e-5)
    largest = np.linalg.eigvalsh(jacobian.T @ jacobian)[-1]
    np.testing.assert_allclose(preconditioned.curvature, largest, rtol=1e-5)
    assert plain.curvature is None

"""Every chain, the bounds and the bracket against the judge, on the posteriors of a trained ConvNet."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax import langevin, model, samplers
from abp_jax.evaluation import evidence, quadrature

pytestmark = pytest.mark.slow

SIGMA, CHAINS, STEPS = 0.3, 200, 60


@pytest.fixture(scope="module")
def trained(small_faces):
    """A generator that has learned the eleven faces, as z -> f(z), and their exact posteriors."""
    generator = abp.ConvGenerator(image_size=16, width=8, rngs=nnx.Rngs(0))
    result = abp.fit(generator, small_faces, 300, key=jax.random.key(0), learning_rate=4e-3, progress=False)
    assert result.losses[-1] < 0.05
    generate, params = abp.generators.functional(result.generator)
    f = partial(generate, params)
    return f, jnp.asarray(small_faces), quadrature.exact_posteriors(f, small_faces, SIGMA)


def density(f, z, y):
    return model.log_joint(f, z, y, SIGMA)


KINDS = {
    "random walk": (lambda f, y: samplers.random_walk(lambda z: density(f, z, y)), 2.4),
    "MALA": (lambda f, y: samplers.mala(lambda z: density(f, z, y)), 1.5),
    "Gauss-Newton MALA": (
        lambda f, y: samplers.gauss_newton_mala(partial(model.residual, f, y=y, sigma=SIGMA), 2),
        1.2,
    ),
    "Hamiltonian": (lambda f, y: samplers.hamiltonian(lambda z: density(f, z, y), 5), 1.0),
}


def narrowest(posteriors):
    """Of every face the standard deviation along its narrow direction, (11,)."""
    return np.array([np.sqrt(np.linalg.eigvalsh(p.covariance)[0]) for p in posteriors])


def errors_of_moments(z, posteriors):
    """How many standard errors the means and covariances of chains, (11, steps, chains, 2), are from the judge's."""
    errors = []
    for draws, exact in zip(np.asarray(z, np.float64), posteriors, strict=True):
        offset = draws - exact.mean
        products = np.stack([offset[..., 0] ** 2, offset[..., 0] * offset[..., 1], offset[..., 1] ** 2], axis=-1)
        for of_steps, expected in ((offset, np.zeros(2)), (products, exact.covariance[[0, 0, 1], [0, 1, 1]])):
            of_chains = of_steps.mean(axis=0)
            errors.append((of_chains.mean(axis=0) - expected) / of_chains.std(axis=0, ddof=1) * np.sqrt(CHAINS))
    return np.concatenate(errors)


def starts(posteriors):
    """Draws of the judge, so that the chains are in equilibrium from the start, (11, CHAINS, 2)."""
    keys = jax.random.split(jax.random.key(1), len(posteriors))
    return jnp.stack([p.sample(k, CHAINS) for k, p in zip(keys, posteriors, strict=True)]).astype(jnp.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_chains_with_an_accept_step_have_the_judge_s_moments(trained, kind, key):
    f, images, posteriors = trained
    make, step_size = KINDS[kind]
    scale = np.float32(narrowest(posteriors)) if kind != "Gauss-Newton MALA" else jnp.ones(len(images))

    def one(example):
        key, z, y, scale = example
        sampler = make(f, y)
        samples = samplers.run(key, sampler, samplers.start(sampler, z), step_size * scale, STEPS)
        return samples.z, samples.info.acceptance.mean()

    keys = jax.random.split(key, len(images))
    z, acceptance = jax.jit(partial(jax.lax.map, one))((keys, starts(posteriors), images, jnp.asarray(scale)))
    assert 0.2 < acceptance.min() and acceptance.max() < 0.95
    assert np.abs(errors_of_moments(z, posteriors)).max() < 4


def test_without_an_accept_step_the_bias_is_that_of_the_step_size(trained, key):
    """The same check finds plain Langevin out: on a Gaussian its variance is 1 / (1 - s^2 curvature / 4) times."""
    f, images, posteriors = trained
    step_size = 1.2 * narrowest(posteriors)

    def one(example):
        key, z, y, step_size = example
        step = lambda key, z: langevin.langevin_step(key, z, lambda z: density(f, z, y), step_size)
        chains = jax.vmap(lambda key, z: langevin.sample(key, z, step, STEPS)[0], out_axes=1)
        return chains(jax.random.split(key, CHAINS), z)

    keys = jax.random.split(key, len(images))
    z = jax.jit(partial(jax.lax.map, one))((keys, starts(posteriors), images, jnp.float32(step_size)))
    errors = errors_of_moments(z, posteriors)
    assert np.abs(errors).max() > 10
    ratios = []
    for draws, exact in zip(np.asarray(z, np.float64), posteriors, strict=True):
        narrow = np.linalg.eigh(exact.covariance)[1][:, 0]
        ratios.append(np.var(draws @ narrow) / (narrow @ exact.covariance @ narrow))
    np.testing.assert_allclose(np.median(ratios), 1 / (1 - 1.2**2 / 4), rtol=0.15)


def test_bounds_and_bracket_meet_the_judge(trained, key):
    f, images, posteriors = trained
    for i in (0, 5, 9):
        exact, y = posteriors[i], images[i]
        mode = evidence.find_mode(f, jnp.asarray(exact.modes[0], jnp.float32), y, SIGMA)
        log_weights = evidence.importance_log_weights(key, f, mode, y, SIGMA, 6400)
        bounds = [evidence.importance_bound(log_weights, k) for k in (1, 8, 64)]
        assert bounds[0].value < bounds[1].value < bounds[2].value < exact.log_evidence + 4 * bounds[2].standard_error
        np.testing.assert_allclose(bounds[2].value, exact.log_evidence, atol=1)
        draws = exact.sample(key, 32).astype(jnp.float32)
        bracket = evidence.annealed_bracket(
            key, f, draws, y, SIGMA, inverse_temperatures=evidence.inverse_temperatures(300)
        )
        assert abs(bracket.upper - bracket.lower) < 3
        assert bracket.lower - 1 < exact.log_evidence < bracket.upper + 1

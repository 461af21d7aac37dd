"""The table of chains, and those with a Metropolis correction against exact laws and the exact posterior.

A chain is tested where being wrong shows: at large steps, and where the proposal changes from place to place.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import stats

import abp_jax as abp
from abp_jax import inference, model, samplers
from abp_jax.evaluation import quadrature

BEND_Y, BEND_SIGMA = jnp.array([1.0, 0.5, 0.2]), 0.3


def bend(z):
    """A map whose Jacobian changes a lot across the posterior."""
    return jnp.stack([z[0] + 0.4 * z[1] ** 2, jnp.sinh(z[1]) - 0.5 * z[0], 0.2 * jnp.exp(z[0])])


def bend_residual(z):
    return jnp.concatenate([(BEND_Y - bend(z)) / BEND_SIGMA, z])


def bend_log_density(z):
    return -0.5 * jnp.sum(bend_residual(z) ** 2)


KINDS = {
    "random walk": (samplers.random_walk(bend_log_density), 0.35),
    "MALA": (samplers.mala(bend_log_density), 0.3),
    "Gauss-Newton MALA": (samplers.gauss_newton_mala(bend_residual, 2), 1.3),
    "Hamiltonian": (samplers.hamiltonian(bend_log_density, 5), 0.2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_moments_equal_the_exact_ones(kind, key):
    """Mean and second moments within 4 standard errors, taken from many independent chains."""
    sampler, step_size = KINDS[kind]
    (exact,) = quadrature.exact_posteriors(bend, BEND_Y[None], BEND_SIGMA)
    chains = 1000
    state = samplers.start(sampler, exact.sample(key, chains))  # in equilibrium from the start
    samples = samplers.run(jax.random.key(1), sampler, state, step_size, 400)
    assert 0.3 < samples.info.acceptance.mean() < 0.9
    for moment in (lambda z: z, lambda z: z**2, lambda z: z[..., :1] * z[..., 1:], lambda z: jnp.abs(z - 1)):
        of_chains = moment(samples.z).mean(axis=0)
        expected = exact.weights @ np.asarray(moment(exact.z))
        errors = (of_chains.mean(axis=0) - expected) / (of_chains.std(axis=0, ddof=1) / np.sqrt(chains))
        assert np.all(np.abs(errors) < 4), errors


@pytest.mark.parametrize("kind", ["random walk", "MALA", "Gauss-Newton MALA"])
def test_detailed_balance(kind, key):
    """p(z) q(z'|z) a(z, z') = p(z') q(z|z') a(z', z), with q by SciPy from its definition."""
    sampler, s = KINDS[kind]
    for here, there in jax.random.normal(key, (20, 2, 2)):
        places = [sampler.init(key, here), sampler.init(key, there)]
        q = [_scipy_log_q(*pair, s) for pair in (places, places[::-1])]
        ratio = bend_log_density(there) + q[1] - bend_log_density(here) - q[0]
        ours = bend_log_density(there) - bend_log_density(here)
        ours += samplers.log_proposal(places[1], places[0], s) - samplers.log_proposal(places[0], places[1], s)
        np.testing.assert_allclose(ours, ratio, rtol=1e-3, atol=1e-2)


def _scipy_log_q(here, there, s):
    covariance = np.linalg.inv(here.cholesky @ here.cholesky.T).astype(np.float64)
    mean = here.z + s**2 / 2 * covariance @ here.gradient
    return stats.multivariate_normal(mean, s**2 * covariance).logpdf(there.z)


@pytest.mark.parametrize("name", samplers.KINDS)
def test_every_row_of_the_table_has_the_posterior_of_a_linear_model_for_its_law(name, key):
    """At a small step, or at any with a Metropolis correction: mean and covariance within 4 standard errors."""
    kind, chains = samplers.KINDS[name], 4000
    precision = jnp.array([[5.0, 1.0], [1.0, 2.0]])
    root = jnp.linalg.cholesky(precision).T  # r = root z, so log p = -z' P z / 2
    density = model.Density(lambda z: -0.5 * z @ precision @ z, lambda z: root @ z, lambda: precision)
    sampler, exact = kind.make(density), np.linalg.inv(precision)
    z = jax.random.normal(key, (chains, 2)) @ np.linalg.cholesky(exact).T
    step_size = 0.5 * 2 / np.sqrt(np.linalg.eigvalsh(precision)[-1]) if kind.stable_below is None else 0.4
    step_size, bias = (step_size, 0) if kind.adjusted else (step_size / 2, 0.07)  # 1 / (1 - s^2 lambda / 4) or less
    samples = jax.jit(lambda state: samplers.run(key, sampler, state, step_size, 20))(samplers.start(sampler, z, key))
    last = np.asarray(samples.z[-1], np.float64)
    errors = np.linalg.cholesky(np.asarray(precision, np.float64)).T @ last.T
    np.testing.assert_allclose(errors.mean(axis=1), 0, atol=4 * np.sqrt((1 + bias) / chains))
    np.testing.assert_allclose(np.cov(errors), np.eye(2), atol=bias + 4 * (1 + bias) * np.sqrt(2 / chains))
    assert not np.allclose(last, z, atol=1e-3)
    acceptance = samples.info.acceptance
    assert (np.asarray(acceptance) > 0.2).mean() > 0.5 if kind.adjusted else acceptance is None
    assert samples.info.accepted.dtype == bool and np.isfinite(samples.info.log_density).all()


def test_a_chain_is_added_by_one_function_and_one_row(tiny_faces, key, monkeypatch):
    """Independent draws from the prior: `fit`, `infer`, the laboratory and the monitor take it by its name."""

    def from_the_prior(density):
        step = lambda key, z, step_size: (
            step_size * jax.random.normal(key, z.shape),
            samplers.MetropolisInfo(None, True, density.log_density(z)),
        )
        return samplers.Sampler(lambda key, z: z, step, lambda state: state)

    monkeypatch.setitem(samplers.KINDS, "prior", samplers.Kind("the prior", from_the_prior, 1, 1.0, 2.0))
    generator = abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(0))
    monitor = abp.TrainingMonitor(tiny_faces)
    options = dict(sampler="prior", num_warmup=0, whitening=False, progress=False, callback=monitor)
    result = abp.fit(generator, tiny_faces, 3, key=key, **options)
    assert result.chain == (0.3, "prior", 1, 1.0, 0) and "step size (prior) 1, stable below 2" in monitor.text
    keys = [inference.example_keys(key, 3, jnp.array([i]))[0] for i in range(11)]
    expected = [jax.random.normal(jax.random.split(k, 1)[0], (2,)) for k in keys]
    np.testing.assert_allclose(result.z, expected, rtol=1e-6)
    z = abp.infer(result.generator, tiny_faces, key=key, sampler="prior", num_starts=4)
    assert z.shape == (11, 2)
    with pytest.raises(ValueError, match="'prior', 'random_walk'.*got 'nonsense'"):
        abp.infer(generator, tiny_faces, key=key, sampler="nonsense")


@pytest.mark.parametrize("kind", ["random walk", "MALA", "Gauss-Newton MALA"])
def test_a_step_proposes_and_accepts_with_the_ratio(kind, key):
    """The acceptance that a step reports, from where it went: over many keys, so that proposals of all kinds come."""
    sampler, s = KINDS[kind]
    here = sampler.init(key, jnp.array([0.3, -0.4]))
    keys = jax.random.split(key, 2000)
    there, info = jax.vmap(sampler.step, (0, None, None))(keys, here, s)
    moved = np.flatnonzero(info.accepted)
    assert 0 < len(moved) < len(keys)
    np.testing.assert_allclose(len(moved) / len(keys), info.acceptance.mean(), atol=4 * 0.5 / np.sqrt(len(keys)))
    np.testing.assert_array_equal(there.z[~info.accepted], np.broadcast_to(here.z, (len(keys) - len(moved), 2)))
    for i in moved[:20]:
        proposal = jax.tree.map(lambda leaf, i=i: leaf[i], there)
        back, forth = _scipy_log_q(proposal, here, s), _scipy_log_q(here, proposal, s)
        ratio = np.exp(bend_log_density(proposal.z) + back - bend_log_density(here.z) - forth)
        np.testing.assert_allclose(info.acceptance[i], min(1, ratio), atol=2e-3)
        np.testing.assert_allclose(info.log_density[i], bend_log_density(proposal.z), rtol=1e-5)


def test_gauss_newton_ignores_the_units_of_z(key):
    """A condition number of 10,000 changes nothing: the same key gives the same chain in other units."""
    runs = []
    for scale in (jnp.ones(2), jnp.array([1.0, 100.0])):
        sampler = samplers.gauss_newton_mala(lambda z, scale=scale: scale * z, 2)
        state = samplers.start(sampler, jax.random.normal(key, (500, 2)) / scale[None])
        runs.append(samplers.run(key, sampler, state, 1.0, 100))
        np.testing.assert_allclose(jnp.std(runs[-1].z * scale[None, None], axis=(0, 1)), 1, atol=0.03)
    np.testing.assert_allclose(runs[0].info.acceptance.mean(), runs[1].info.acceptance.mean(), atol=1e-3)


@pytest.mark.parametrize(("kind", "step_size"), [("random walk", 20.0), ("MALA", 0.01), ("Hamiltonian", 0.01)])
def test_warmup_finds_the_step_size(kind, step_size, key):
    """From far too small or far too large a step; the chains run on at the target's acceptance."""
    sampler, _ = KINDS[kind]
    state = samplers.start(sampler, 0.5 * jax.random.normal(key, (50, 2)))
    state, adapted = samplers.warmup(key, sampler, state, step_size, 600)
    samples = samplers.run(key, sampler, state, adapted, 200)
    np.testing.assert_allclose(samples.info.acceptance.mean(), sampler.target_acceptance, atol=0.06)


def test_a_proposal_without_a_density_is_rejected(key):
    log_density = lambda z: jnp.where(z[0] > 0, -0.5 * jnp.sum(z**2), jnp.nan)
    sampler = samplers.mala(log_density)
    state = samplers.start(sampler, jnp.full((50, 2), 0.1))
    samples = samplers.run(key, sampler, state, 1.0, 200)
    assert jnp.all(jnp.isfinite(samples.z)) and jnp.all(samples.z[..., 0] > 0)
    assert jnp.all(samples.info.acceptance >= 0)

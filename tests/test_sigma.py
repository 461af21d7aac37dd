"""Sigma learned and sigma annealed, against the exact answer and against runs put together by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax import factor_analysis, langevin, learning
from abp_jax.inference import Chain
from abp_jax.training import checkpoints
from tests import programs

CHAIN = Chain(sigma=0.5, sampler="gauss_newton", num_steps=3, step_size=0.5)


@pytest.fixture
def vectors(key):
    """1,000 vectors of 3 numbers from one factor: the posterior's uncertainty is a third of sigma^2."""
    keys = jax.random.split(key, 2)
    z, W = jax.random.normal(keys[0], (1000, 1)), jnp.array([[1.0], [-1.5], [0.5]])
    return z @ W.T + jnp.array([[1.0, 0.0, -1.0]]) + 0.8 * jax.random.normal(keys[1], (1000, 3))


@pytest.fixture
def curve(key):
    """Eleven points of a curved line in the space of 6 numbers."""
    t = jnp.linspace(-1, 1, 11)[:, None]
    return jnp.sin(3 * t @ jax.random.normal(key, (1, 6))) + 0.1 * jax.random.normal(key, (11, 6))


@pytest.fixture
def short(curve):
    """num_iterations, and what differs -> a FitResult on the curve."""
    generator = abp.MLPGenerator(2, 6, (8,), rngs=nnx.Rngs(0))
    options = dict(key=jax.random.key(0), batch_size=4, num_warmup=2, learning_rate=lambda t: 1e-2, progress=False)
    return lambda num_iterations, **changes: abp.fit(generator, curve, num_iterations, **(options | changes))


@pytest.mark.parametrize("batch_size", [None, 300])
def test_learned_sigma_is_that_of_maximum_likelihood(vectors, key, batch_size):
    """In batches the last is a third of the others, filled up with padding."""
    result = abp.fit(
        abp.LinearGenerator(1, 3, rngs=nnx.Rngs(0)),
        vectors,
        500,
        key=key,
        sigma=0.3,
        learn_sigma=True,
        num_steps=8,
        step_size=0.3,  # the chain's variance is then 1 / (1 - s^2 / 4) = 1.02 times the posterior's
        learning_rate=0.02,
        batch_size=batch_size,
        progress=False,
    )
    best = factor_analysis.maximum_likelihood(vectors, 1)
    np.testing.assert_allclose(result.sigma, best.sigma, rtol=0.03)  # one draw of 1000: sd 0.008
    first = result.generator.first
    learned = factor_analysis.FactorAnalysis(first.kernel[...].T, first.bias[...], result.sigma)
    scores = [float(factor_analysis.log_marginal_likelihood(m, vectors).mean()) for m in (learned, best)]
    assert scores[1] - 0.01 < scores[0] < scores[1] + 1e-4


def test_a_draw_of_z_holds_the_uncertainty_that_the_mode_leaves_out(vectors, key):
    """One step with exact draws at the best W is a fixed point; with the posterior's means sigma^2 loses a third."""
    best = factor_analysis.maximum_likelihood(vectors, 1)
    mean, covariance = map(np.asarray, factor_analysis.posterior(best, vectors))
    draws = mean + np.asarray(jax.random.normal(key, (50, *mean.shape))) * covariance**0.5
    mean_square = lambda z: np.mean(np.asarray(vectors - z @ best.loading.T - best.mean[None]) ** 2)
    at_draws, at_means = np.mean([mean_square(z) for z in draws]), mean_square(mean)
    np.testing.assert_allclose(learning.next_sigma(0.1, at_draws, 1.0), best.sigma, rtol=3e-3)
    np.testing.assert_allclose(learning.next_sigma(0.1, at_means, 1.0) / best.sigma, (2 / 3) ** 0.5, atol=0.05)
    np.testing.assert_allclose(learning.next_sigma(3.0, 25.0, 0.25), (0.75 * 9 + 0.25 * 25) ** 0.5, rtol=1e-6)


@pytest.mark.parametrize("indices", [[*range(11)], [4, 0, 10, 11, 11]])
def test_sigma_moves_by_the_error_of_this_iteration_before_W_does(curve, indices):
    """The chains and W use the old sigma; the new one follows from the error at the drawn z. 11 is padding."""
    generate, params = abp.generators.functional(abp.MLPGenerator(2, 6, (8,), rngs=nnx.Rngs(0)))
    optimizer, indices = optax.sgd(1e-3), jnp.array(indices)
    state = learning.init(params, optimizer, 11, 2, jax.random.key(0))
    options = dict(generate=generate, optimizer=optimizer, whitening=True)
    fixed, info = programs.iterate(state, curve, indices, chain=CHAIN, **options)
    moved, _ = programs.iterate(
        state._replace(sigma=jnp.float32(0.5)), curve, indices, chain=CHAIN._replace(sigma=None), **options
    )
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4), moved.params, fixed.params)
    np.testing.assert_allclose(moved.z, fixed.z, atol=1e-4)

    real = indices[indices < 11]
    f = partial(generate, params)
    keys = learning.example_keys(state.key, 1, real)
    z = programs.infer_latents(f, keys, state.z[real], curve[real], chain=CHAIN)
    mean_square = jnp.mean((curve[real] - jax.vmap(f)(z)) ** 2)
    rho = len(real) / 11
    np.testing.assert_allclose(moved.sigma**2, (1 - rho) * 0.25 + rho * mean_square, rtol=1e-4)


def test_sigma_rests_during_the_warm_up(short):
    assert short(2, sigma=0.7, learn_sigma=True).sigma == np.float32(0.7)
    assert short(3, sigma=0.7, learn_sigma=True).sigma != np.float32(0.7)


def test_a_schedule_gives_the_sigma_of_every_iteration(short):
    """Three values of sigma, one of them for half of the warm-up, against three runs of a fixed sigma each."""
    schedule = lambda t: jnp.where(t < 1, 1.0, jnp.where(t < 4, 0.5, 0.2))
    annealed = short(6, sigma=schedule)
    staged = short(1, sigma=1.0)
    for until, sigma in ((4, 0.5), (6, 0.2)):
        staged = short(until, sigma=sigma, resume=staged)
    np.testing.assert_allclose(annealed.losses, staged.losses, rtol=1e-4)
    np.testing.assert_allclose(annealed.z, staged.z, atol=1e-3)
    assert annealed.sigma == np.float32(0.2) and staged.sigma == 0.2
    assert np.abs(annealed.z - short(6, sigma=0.5).z).max() > 1e-2  # another sigma would show
    assert short(3, sigma=optax.exponential_decay(1.0, 2, 0.25)).sigma == 0.25  # the third iteration: two are done


@pytest.mark.parametrize("sigma", [dict(sigma=0.5, learn_sigma=True), dict(sigma=optax.linear_schedule(1.0, 0.2, 9))])
def test_resumed_and_restored_runs_are_the_whole_run(short, tmp_path, sigma):
    whole = short(9, **sigma)
    resumed = short(9, resume=short(5, **sigma), **sigma)
    short(5, checkpoint_dir=tmp_path, **sigma)
    restored = short(9, checkpoint_dir=tmp_path, **sigma)
    for run in (resumed, restored):
        np.testing.assert_array_equal(run.losses, whole.losses)
        assert run.sigma == whole.sigma
        jax.tree.map(np.testing.assert_array_equal, *((s.params, s.opt_state, s.z) for s in (run.state, whole.state)))
    with pytest.raises(ValueError, match="belongs to another run: .*sigma was"):
        short(9, checkpoint_dir=tmp_path)


def test_a_resumed_run_takes_its_sigma_along_only_if_it_is_learned(short):
    learned = short(5, sigma=0.9, learn_sigma=True)
    fixed = short(6, resume=learned, sigma=0.25)
    assert fixed.sigma == 0.25 and fixed.state.sigma is None
    again = short(5, resume=learned, sigma=0.25, learn_sigma=True)  # no iteration to do
    assert again.sigma == learned.sigma != 0.25
    assert short(2, resume=short(2, sigma=0.25), sigma=0.6, learn_sigma=True).sigma == np.float32(0.6)


def test_a_fixed_sigma_leaves_nothing_in_the_state(short, tmp_path):
    """So states and checkpoints of a fixed sigma are what they were before sigma could be learned."""
    result = short(3, checkpoint_dir=tmp_path)
    assert result.state.sigma is None and result.sigma == 0.3
    record = checkpoints._read_record(tmp_path / "iteration_3")
    assert not any("sigma" in name for name in record["arrays"])
    assert record["settings"]["sigma"] == 0.3 and "learn_sigma" not in record["settings"]


def test_bad_sigmas(short):
    with pytest.raises(ValueError, match="sigma is a schedule and learn_sigma=True: it can't follow both"):
        short(3, sigma=optax.constant_schedule(0.3), learn_sigma=True)
    with pytest.raises(ValueError, match=r"sigma must be positive, got -0\.1"):
        short(3, sigma=lambda t: 0.1 * (1 - t))
    with pytest.raises(ValueError, match="sigma must be positive, got 0"):
        short(3, sigma=0.0, learn_sigma=True)


def test_divergence_is_explained_with_the_sigma_of_its_iteration(key):
    """The largest stable step shrinks with sigma: 2 / sqrt(curvature) at 0.1, not at the 10 that the run began with."""
    y = 10 * jax.random.normal(key, (20, 5))
    options = dict(key=key, sampler="langevin", step_size=1.0, whitening=False, num_warmup=0, progress=False)
    with pytest.raises(abp.ChainDiverged) as caught:
        abp.fit(
            abp.LinearGenerator(2, 5, rngs=nnx.Rngs(0)), y, 50, sigma=lambda t: jnp.where(t < 3, 10, 0.1), **options
        )
    state = caught.value.result.state
    assert int(state.iteration) == 3
    precision = factor_analysis.posterior_precision(
        factor_analysis.FactorAnalysis(state.params["first"]["kernel"].T, state.params["first"]["bias"], 0.1)
    )
    assert f"largest stable step is {float(langevin.largest_stable_step(precision)):.2g}" in str(caught.value)

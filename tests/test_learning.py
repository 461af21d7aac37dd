from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax import factor_analysis, langevin, learning, model, samplers
from abp_jax.generators import functional
from abp_jax.inference import Chain
from tests import programs

CHAIN = Chain(sigma=0.3, sampler="gauss_newton", num_steps=3, step_size=0.5)


@pytest.fixture(scope="module")
def setup(tiny_faces):
    generator = abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(0))
    generate, params = functional(generator)
    optimizer = optax.sgd(1e-6)
    state = learning.init(params, optimizer, len(tiny_faces), 2, jax.random.key(0))
    return generate, optimizer, state, jnp.asarray(tiny_faces)


def test_whitening_leaves_every_image_unchanged_and_z_standard(setup, key):
    generate, _, state, _ = setup
    skewed = jax.random.normal(key, (50, 2)) @ jnp.array([[3.0, 1.0], [0.0, 0.2]]) + jnp.array([[5.0, -2.0]])
    params, z = learning.whiten(state.params, skewed)
    before = jax.vmap(partial(generate, state.params))(skewed)
    after = jax.vmap(partial(generate, params))(z)
    np.testing.assert_allclose(after, before, atol=2e-4)
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(np.cov(z.T, bias=True), np.eye(2), atol=1e-4)


def test_whitening_of_one_latent_dimension(key):
    generate, params = functional(abp.LinearGenerator(1, 3, rngs=nnx.Rngs(0)))
    z = 4 + 3 * jax.random.normal(key, (20, 1))
    new, white = learning.whiten(params, z)
    np.testing.assert_allclose(
        jax.vmap(partial(generate, new))(white), jax.vmap(partial(generate, params))(z), atol=1e-4
    )


@pytest.mark.parametrize("sampler", samplers.KINDS)
def test_a_chain_does_not_depend_on_the_batch_it_sits_in(setup, sampler):
    generate, _, state, images = setup
    f, chain = partial(generate, state.params), CHAIN._replace(sampler=sampler, step_size=0.05)
    keys = learning.example_keys(state.key, 7, jnp.arange(11))
    everyone = programs.infer_latents(f, keys, state.z, images, chain=chain)
    some = jnp.array([9, 2, 4])
    alone = programs.infer_latents(
        f, learning.example_keys(state.key, 7, some), state.z[some], images[some], chain=chain
    )
    np.testing.assert_allclose(alone, everyone[some], atol=1e-4)


def test_keys_differ_between_examples_and_iterations(key):
    keys = [learning.example_keys(key, t, jnp.arange(5)) for t in range(4)]
    noise = jax.vmap(jax.random.normal)(jnp.concatenate(keys))
    assert len(np.unique(noise)) == 20


def test_z_starts_from_the_prior_with_a_key_of_its_own(key):
    z = learning.init({}, optax.sgd(1.0), 5000, 2, key).z
    np.testing.assert_allclose(z.mean(axis=0), 0, atol=4 / np.sqrt(5000))
    np.testing.assert_allclose(np.cov(z.T), np.eye(2), atol=4 * np.sqrt(2 / 5000))
    first_noise = jax.vmap(lambda k: jax.random.normal(k, (2,)))(learning.example_keys(key, 1, jnp.arange(5000)))
    assert not np.any(np.isclose(z, first_noise).all(axis=1))


def test_chain_is_the_sampler_on_the_model(setup):
    """Example 3's chain is `langevin.sample` on log p(y, z), started where its z stood."""
    generate, _, state, images = setup
    f = partial(generate, state.params)
    keys = learning.example_keys(state.key, 1, jnp.arange(11))
    for sampler, move, target in [
        ("gauss_newton", langevin.gauss_newton_step, lambda z: model.residual(f, z, images[3], 0.3)),
        ("langevin", langevin.langevin_step, lambda z: model.log_joint(f, z, images[3], 0.3)),
    ]:
        chain = CHAIN._replace(sampler=sampler, step_size=0.05)
        z = programs.infer_latents(f, keys, state.z, images, chain=chain)
        path, _ = langevin.sample(keys[3], state.z[3], lambda k, z, m=move, t=target: m(k, z, t, 0.05), 3)
        np.testing.assert_allclose(z[3], path[-1], atol=1e-4)


@pytest.mark.parametrize(
    ("sampler", "step_size", "ratio"),
    [("gauss_newton", 1.4, 1 / (1 - 1.4**2 / 4)), ("gauss_newton_mala", 1.4, 1), ("mala", 0.5, 1)],
)
def test_an_accept_step_draws_from_the_posterior_at_any_step_size(sampler, step_size, ratio, key):
    """The variance of a linear posterior, and what the step size makes of it without an accept step."""
    loading, sigma, n = jnp.array([[1.0], [-1.5], [0.5]]), 0.8, 20_000
    y = jnp.array([0.7, -0.1, 1.0])
    exact = factor_analysis.FactorAnalysis(loading, jnp.zeros(3), jnp.asarray(sigma))
    posterior = factor_analysis.posterior(exact, y[None])
    z, acceptance = programs.run_chains(
        lambda z: loading @ z,
        learning.example_keys(key, 0, jnp.arange(n)),
        jnp.broadcast_to(posterior.mean, (n, 1)),
        jnp.broadcast_to(y, (n, 3)),
        chain=Chain(sigma, sampler, 30, step_size),
    )
    four_errors = 4 * ratio * np.sqrt(2 / n)
    np.testing.assert_allclose(z.var() / posterior.covariance[0, 0], ratio, atol=four_errors)
    np.testing.assert_allclose(z.mean(), posterior.mean[0, 0], atol=4 * np.sqrt(ratio * posterior.covariance[0, 0] / n))
    if sampler == "gauss_newton":
        assert acceptance is None
    else:
        assert acceptance.shape == (n,) and 0.5 < acceptance.mean() < 0.99


def test_acceptance_is_the_mean_over_the_steps(key):
    loading, y = jnp.array([[1.0], [-1.5], [0.5]]), jnp.array([0.7, -0.1, 1.0])
    f, keys, z = (lambda z: loading @ z), learning.example_keys(key, 0, jnp.arange(1)), jnp.array([[0.2]])
    _, acceptance = programs.run_chains(f, keys, z, y[None], chain=Chain(0.8, "mala", 4, 1.2))
    exact = samplers.mala(lambda z: model.log_joint(f, z, y, 0.8))
    _, info = langevin.sample(keys[0], exact.init(key, z[0]), lambda k, state: exact.step(k, state, 1.2), 4)
    assert np.ptp(info.acceptance) > 0.05
    np.testing.assert_allclose(acceptance[0], info.acceptance.mean(), rtol=1e-5)


def test_adapted_chain_is_plain_langevin_at_a_step_size_of_its_own(setup):
    generate, _, state, images = setup
    f = partial(generate, state.params)
    keys = learning.example_keys(state.key, 1, jnp.arange(11))
    chain = CHAIN._replace(sampler="adapted_langevin", step_size=0.4)
    z = programs.infer_latents(f, keys, state.z, images, chain=chain)
    for i in (3, 7):
        chain_key, probe_key = jax.random.split(keys[i])
        residual = lambda z, y=images[i]: model.residual(f, z, y, 0.3)
        s = langevin.adapted_step_size(probe_key, residual, state.z[i], 0.4)
        alone = programs.infer_latents(
            f,
            keys[i][None],
            state.z[i][None],
            images[i][None],
            chain=chain._replace(sampler="langevin", step_size=float(s)),
        )
        log_joint = lambda z, y=images[i]: model.log_joint(f, z, y, 0.3)
        step = lambda k, z, s=s, p=log_joint: langevin.langevin_step(k, z, p, s)
        path, _ = langevin.sample(chain_key, state.z[i], step, 3)
        np.testing.assert_allclose(z[i], path[-1], atol=1e-4)
        assert not np.allclose(alone[0], path[-1])  # another key: only the step size is shared


@pytest.mark.parametrize("stretch", [1.0, 100.0])
def test_preconditioned_chain_moves_in_units_of_the_posterior(stretch, key):
    """On a linear model its precision is exact, and at half the largest stable step all variances are 4/3."""
    loading, n = jnp.array([[1.0, 0.0], [-1.5, 0.2], [0.5, stretch]]), 20_000
    exact = factor_analysis.FactorAnalysis(loading, jnp.zeros(3), jnp.asarray(0.5))
    posterior = factor_analysis.posterior(exact, jnp.array([[0.7, -0.1, 1.0]]))
    z = programs.infer_latents(
        lambda z: loading @ z,
        learning.example_keys(key, 0, jnp.arange(n)),
        jnp.broadcast_to(posterior.mean, (n, 2)),
        jnp.broadcast_to(jnp.array([0.7, -0.1, 1.0]), (n, 3)),
        chain=Chain(0.5, "preconditioned_langevin", 20, 0.5),
    )
    cholesky = np.linalg.cholesky(np.asarray(posterior.covariance, np.float64))
    standard = np.linalg.solve(cholesky, np.asarray(z - posterior.mean, np.float64).T)
    np.testing.assert_allclose(standard.mean(axis=1), 0, atol=4 * np.sqrt(4 / 3 / n))
    np.testing.assert_allclose(np.cov(standard), 4 / 3 * np.eye(2), atol=4 * 4 / 3 * np.sqrt(2 / n))


def test_preconditioned_chain_starts_where_z_stands(key):
    loading, z = jnp.array([[3.0, 1.0], [0.0, 2.0], [0.5, -1.0]]), jnp.array([[5.0, -7.0]])
    chain = Chain(0.5, "preconditioned_langevin", 1, 1e-4)
    keys = learning.example_keys(key, 0, jnp.arange(1))
    moved = programs.infer_latents(lambda z: loading @ z, keys, z, jnp.zeros((1, 3)), chain=chain)
    np.testing.assert_allclose(moved, z, atol=1e-2)


def test_mean_precision_is_exact_where_it_is_known():
    loading = jnp.array([[3.0, 1.0], [0.0, 2.0], [0.5, -1.0]])
    exact = loading.T @ loading / 0.5**2 + jnp.eye(2)
    np.testing.assert_allclose(learning.mean_precision(lambda z: loading @ z, 2, 0.5), exact, rtol=1e-5)
    curved = learning.mean_precision(lambda z: z**2 / 2, 1, 1.0, num_draws=2000)  # J = z, and E[z^2] = 1
    np.testing.assert_allclose(curved[0, 0] - 1, 1, atol=4 * np.sqrt(2 / 2000))


@pytest.mark.slow
def test_whitening_does_not_blow_up_directions_that_the_data_do_not_use(key):
    """Data of rank 2 and d = 12: on new data every direction of z keeps about the scale of the prior."""
    rng = np.random.default_rng(0)
    loading = rng.normal(size=(2, 30))
    train, test = (np.float32(rng.normal(size=(n, 2)) @ loading) for n in (300, 300))
    generator = abp.LinearGenerator(12, 30, rngs=nnx.Rngs(0))
    options = dict(sampler="preconditioned_langevin", sigma=0.1)
    result = abp.fit(generator, train, 120, key=key, learning_rate=0.02, progress=False, **options)
    z = abp.infer(result.generator, test, key=key, num_starts=1, **options)
    assert abp.reconstruction_error(result.generator, z, test).mean() < 0.02
    directions = np.linalg.eigvalsh(np.cov(np.asarray(z).T))
    assert directions[-1] < 1.6**2 and directions[0] > 0.5**2


def test_padding_changes_nothing(setup):
    """A batch of 3 filled up to 5 is the batch of 3."""
    generate, optimizer, state, images = setup
    options = dict(generate=generate, optimizer=optimizer, whitening=True, chain=CHAIN)
    short, padded = jnp.array([4, 0, 10]), jnp.array([4, 0, 10, 11, 11])
    (state_a, info_a), (state_b, info_b) = (programs.iterate(state, images, b, **options) for b in (short, padded))
    np.testing.assert_allclose(state_b.z, state_a.z, atol=1e-4)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4), info_b, info_a)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(b, a, atol=1e-5), state_a.params, state_b.params)


def test_padding_counts_neither_in_the_acceptance_nor_in_the_largest_z():
    generate, params = functional(abp.LinearGenerator(2, 3, rngs=nnx.Rngs(0)))
    optimizer, y = optax.sgd(1e-3), jax.random.normal(jax.random.key(1), (6, 3))
    state = learning.init(params, optimizer, 6, 2, jax.random.key(0))
    options = dict(generate=generate, optimizer=optimizer)
    chain = dict(chain=Chain(0.3, "mala", 3, 0.5), whitening=False)
    batches = jnp.array([4, 0]), jnp.array([4, 0, 6, 6, 6])
    alone, padded = (programs.iterate(state, y, batch, **options, **chain)[1].acceptance for batch in batches)
    np.testing.assert_allclose(padded, alone, rtol=1e-5)
    state = state._replace(z=jnp.array([[1.0, -3.0], [2.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0], [9.0, 9.0]]))
    assert programs.learn(state, y, jnp.array([0, 1, 6]), **options, sigma=0.3)[1].largest_z == 3


def test_images_as_bytes_give_the_same_iteration(setup):
    generate, optimizer, state, images = setup
    codes = np.uint8(np.round((images + 1) * 127.5))
    options = dict(generate=generate, optimizer=optimizer, whitening=False, chain=CHAIN)
    from_codes, info = programs.iterate(state, jnp.asarray(codes), jnp.arange(11), **options)
    from_floats, expected = programs.iterate(state, jnp.float32(codes) / 127.5 - 1, jnp.arange(11), **options)
    np.testing.assert_allclose(from_codes.z, from_floats.z, atol=1e-5)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), info, expected)


def test_learning_gradient_is_the_sum_over_examples_of_equation_10(setup):
    """(y - f) df/dW / sigma^2, summed over pixels and examples, by explicit Jacobians."""
    generate, _, state, images = setup
    y, z, sigma = images[:3], state.z[:3], 0.3
    gradient, loss = programs.learning_gradient(generate, state.params, z, y, sigma)
    total, squared_error = 0.0, 0.0
    for i in range(3):
        error = y[i] - generate(state.params, z[i])
        jacobian = jax.jacrev(lambda p, z=z[i]: generate(p, z))(state.params)["conv0"]["bias"]
        total = total + jnp.einsum("hwc,hwcb->b", error, jacobian) / sigma**2
        squared_error += float(jnp.sum(error**2))
    np.testing.assert_allclose(gradient["conv0"]["bias"], total, rtol=1e-3)
    np.testing.assert_allclose(loss, squared_error / y.size, rtol=1e-5)


@pytest.mark.parametrize("whitening", [False, True])
def test_one_iteration_infers_then_learns_at_the_new_z(setup, whitening):
    generate, optimizer, state, images = setup
    indices = jnp.arange(11)
    new, info = programs.iterate(
        state, images, indices, generate=generate, optimizer=optimizer, whitening=whitening, chain=CHAIN
    )
    keys = learning.example_keys(state.key, 1, indices)
    z = programs.infer_latents(partial(generate, state.params), keys, state.z, images, chain=CHAIN)
    params, z_white = learning.whiten(state.params, z) if whitening else (state.params, z)
    gradient, loss = programs.learning_gradient(generate, params, z_white, images, 0.3)
    climbed = jax.tree.map(lambda p, g: p + 1e-6 * g, params, gradient)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), new.params, climbed)
    np.testing.assert_allclose(new.z, z_white, atol=1e-4)
    np.testing.assert_allclose(info.loss, loss, rtol=1e-4)
    np.testing.assert_allclose(info.largest_z, jnp.max(jnp.abs(z)), rtol=1e-4)
    assert int(new.iteration) == 1 and not np.allclose(new.z, state.z)


def test_the_optimizer_keeps_its_state_and_sees_the_weights():
    """Two steps of Adam with weight decay at the same z, by the library and by optax alone."""
    generate, params = functional(abp.LinearGenerator(2, 3, rngs=nnx.Rngs(0)))
    optimizer, y = optax.adamw(1e-2, weight_decay=1.0), jax.random.normal(jax.random.key(1), (6, 3))
    state = first = learning.init(params, optimizer, 6, 2, jax.random.key(0))
    opt_state = optimizer.init(params)
    for _ in range(2):
        state, _ = programs.learn(state, y, jnp.arange(6), generate=generate, optimizer=optimizer, sigma=0.3)
        gradient, _ = programs.learning_gradient(generate, params, first.z, y, 0.3)
        updates, opt_state = optimizer.update(jax.tree.map(jnp.negative, gradient), opt_state, params)
        params = optax.apply_updates(params, updates)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), state.params, params)


def test_a_minibatch_moves_its_own_examples_alone(setup):
    generate, optimizer, state, images = setup
    batch = jnp.array([1, 8])
    run = lambda b: programs.iterate(
        state, images, b, generate=generate, optimizer=optimizer, whitening=False, chain=CHAIN
    )[0]
    moved = np.any(run(batch).z != state.z, axis=1)
    np.testing.assert_array_equal(np.flatnonzero(moved), batch)
    np.testing.assert_allclose(run(batch).z[batch], run(jnp.arange(11)).z[batch], atol=1e-4)


def test_a_small_step_climbs_the_likelihood(setup):
    generate, _, state, images = setup
    total = lambda params: sum(
        model.log_joint(partial(generate, params), z, y, 0.3) for z, y in zip(state.z, images, strict=True)
    )
    gradient, _ = programs.learning_gradient(generate, state.params, state.z, images, 0.3)
    step = 1e-7
    climbed = jax.tree.map(lambda p, g: p + step * g, state.params, gradient)
    expected = step * sum(float(jnp.sum(g**2)) for g in jax.tree.leaves(gradient))
    np.testing.assert_allclose(float(total(climbed) - total(state.params)), expected, rtol=0.1)

"""Wake and sleep, each against what it minimises: sums over a lattice of z, closed forms, and a figure eight."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax import model
from abp_jax.generators import functional
from abp_jax.relatives import encoders, likelihood_fit, toys, wake_sleep
from abp_jax.relatives.encoders import Gaussian, MLPEncoder
from abp_jax.relatives.vae import fit_vae

SIGMA = 0.3
SQUARE = lambda z: z**2  # y = z^2 + e
LATTICE = toys.lattice(4001, 6.0)
Y = jnp.array([1.0])


def normal(mean, width):
    return Gaussian(jnp.array([mean]), jnp.array([[width]]))


def on_the_lattice(q):
    return jax.vmap(partial(encoders.log_density, q))(LATTICE)


def line(seed=1, latent_dim=1):
    return abp.LinearGenerator(latent_dim, 3, rngs=nnx.Rngs(seed))


def of_the_line(generator, y):
    """The exact posterior of a generator W z + b with one factor, as a Gaussian."""
    w, b = generator.first.kernel[...][0], generator.first.bias[...]
    variance = 1 / (1 + w @ w / SIGMA**2)
    return Gaussian((variance * w @ (y - b) / SIGMA**2)[None], jnp.sqrt(variance)[None, None])


def within(values, expected, errors=4.5):
    """Whether the mean of draws (n,) is at what was expected, up to its standard error."""
    values = np.asarray(values)
    return abs(values.mean() - expected) < errors * values.std() / len(values) ** 0.5


def test_a_dream_has_the_models_moments(key):
    """mean b, covariance W W' + sigma^2 I, and the covariance with its own z is W: not with another dream's."""
    generator = line(latent_dim=2)
    z, y = wake_sleep.dream(key, generator, SIGMA, 100_000)
    W, b = generator.first.kernel[...].T, generator.first.bias[...]
    assert z.shape == (100_000, 2) and y.shape == (100_000, 3)
    np.testing.assert_allclose(jnp.mean(y, axis=0), b, atol=0.02)
    np.testing.assert_allclose(jnp.cov(y.T), W @ W.T + SIGMA**2 * jnp.eye(3), atol=0.03)
    np.testing.assert_allclose((y - b[None]).T @ z / len(z), W, atol=0.03)
    e = y - jax.vmap(generator)(z)
    np.testing.assert_allclose(jnp.std(e, axis=0), SIGMA, rtol=0.02)
    np.testing.assert_allclose(wake_sleep.dream(key, lambda z: generator(z), SIGMA, 5, 2)[1].shape, (5, 3))


def test_dreams_near_y_have_the_posterior_of_y(key):
    z, y = wake_sleep.dream(key, SQUARE, SIGMA, 400_000, 1)
    near = np.asarray(z[jnp.abs(y[:, 0] - 1) < 0.05, 0])
    p = jnp.exp(toys.log_posterior(SQUARE, Y, SIGMA, LATTICE))
    assert within(near**2, p @ LATTICE[:, 0] ** 2, 6) and within(near, 0)


@pytest.mark.parametrize(("mean", "width"), [(0.0, 0.9), (0.94, 0.16)])
def test_wake_is_minus_the_bound(key, mean, width):
    """E wake_loss = KL(q || p) - log p(y)."""
    q = normal(mean, width)
    kl_q_p, _ = toys.both_divergences(toys.log_posterior(SQUARE, Y, SIGMA, LATTICE), on_the_lattice(q))
    expected = kl_q_p - toys.log_evidence(SQUARE, Y, SIGMA, LATTICE)
    one = jax.jit(jax.vmap(lambda key: wake_sleep.wake_loss(key, SQUARE, q, Y, SIGMA)))
    assert within(one(jax.random.split(key, 100_000)), expected)


def test_wake_teaches_the_generator_alone_and_by_log_p_of_y_and_z(key):
    generate, params = functional(line())
    y, q = jnp.array([0.3, -0.2, 0.5]), normal(0.2, 0.5)
    loss = lambda params, q: wake_sleep.wake_loss(key, partial(generate, params), q, y, SIGMA, 5)
    for_params, for_q = jax.grad(loss, (0, 1))(params, q)
    z = jax.vmap(partial(encoders.draw, q))(jax.random.normal(key, (5, 1)))
    log_joint = lambda params, z: model.log_joint(partial(generate, params), z, y, SIGMA)
    expected = jax.grad(lambda params: -jnp.mean(jax.vmap(partial(log_joint, params))(z)))(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), for_params, expected)
    jax.tree.map(lambda a: np.testing.assert_array_equal(a, jnp.zeros_like(a)), for_q)


def test_sleep_is_the_other_divergence(key):
    """E_p sleep_loss = KL(p || q) + H(p), and so it is lowest at the posterior's own moments."""
    log_p = toys.log_posterior(SQUARE, Y, SIGMA, LATTICE)
    p, h = jnp.exp(log_p), LATTICE[1, 0] - LATTICE[0, 0]
    loss = lambda mean, log_width: (
        p @ jax.vmap(partial(wake_sleep.sleep_loss, normal(mean, jnp.exp(log_width))))(LATTICE)
    )
    entropy = -p @ (log_p - jnp.log(h))
    for mean, width in ((0.0, 0.9), (0.94, 0.3)):
        _, kl_p_q = toys.both_divergences(log_p, on_the_lattice(normal(mean, width)))
        np.testing.assert_allclose(loss(mean, jnp.log(width)), kl_p_q + entropy, rtol=1e-4)
    mean, deviation = p @ LATTICE[:, 0], jnp.sqrt(p @ LATTICE[:, 0] ** 2)
    np.testing.assert_allclose(jax.grad(loss, (0, 1))(mean, jnp.log(deviation)), (0, 0), atol=1e-3)
    assert abs(jax.grad(loss, 1)(mean, jnp.log(0.16))) > 10


def test_over_dreams_sleep_is_the_mean_divergence(key):
    """With an encoder that is wrong by known amounts, against the exact posterior of a line: E KL(p || q) + H(p)."""
    generator = line()
    z, y = wake_sleep.dream(key, generator, SIGMA, 20_000)
    p = jax.vmap(partial(of_the_line, generator))(y)
    q = Gaussian(0.8 * p.mean + 0.1, 1.5 * p.factor)
    s, t = p.factor[0, 0, 0], q.factor[0, 0, 0]
    kl = jnp.log(t / s) + (s**2 + (p.mean - q.mean)[:, 0] ** 2) / (2 * t**2) - 0.5
    entropy = 0.5 * jnp.log(2 * jnp.pi * jnp.e * s**2)
    losses = jax.vmap(wake_sleep.sleep_loss)(q, z)
    assert within(losses - kl - entropy, 0) and jnp.mean(kl) > 0.1


def test_reweighted_is_exact_at_the_posterior(key):
    generator, y = line(), jnp.array([0.3, -0.2, 0.5])
    q = of_the_line(generator, y)
    ours, theirs = wake_sleep.reweighted_loss(key, generator, q, y, SIGMA, 16)
    log_p = toys.log_evidence(generator, y, SIGMA, toys.lattice(4001))
    np.testing.assert_allclose(ours, -log_p, atol=1e-3)
    z = jax.vmap(partial(encoders.draw, q))(jax.random.normal(key, (16, 1)))
    np.testing.assert_allclose(theirs, -jnp.mean(jax.vmap(partial(encoders.log_density, q))(z)), rtol=1e-4)


def test_reweighted_has_one_gradient_for_each(key):
    generate, params = functional(line())
    y, q = jnp.array([0.3, -0.2, 0.5]), normal(0.2, 0.5)
    losses = lambda params, q: wake_sleep.reweighted_loss(key, partial(generate, params), q, y, SIGMA, 5)
    nothing = lambda tree: jax.tree.map(lambda a: np.testing.assert_array_equal(a, jnp.zeros_like(a)), tree)
    for_params, for_q = jax.grad(lambda params, q: losses(params, q)[0], (0, 1))(params, q)
    nothing(for_q)
    nothing(jax.grad(lambda params, q: losses(params, q)[1])(params, q))
    z = jax.vmap(partial(encoders.draw, q))(jax.random.normal(key, (5, 1)))
    log_joint = lambda params: jax.vmap(lambda z: model.log_joint(partial(generate, params), z, y, SIGMA))(z)
    log_q = lambda q: jax.vmap(partial(encoders.log_density, q))(z)
    shares = jax.nn.softmax(log_joint(params) - log_q(q))
    expected = jax.grad(lambda params: -shares @ log_joint(params))(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), for_params, expected)
    found, expected = jax.grad(lambda q: losses(params, q)[1])(q), jax.grad(lambda q: -shares @ log_q(q))(q)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected)


def test_many_draws_reweighted_are_as_good_as_the_posterior(key):
    """The encoder's loss of many draws: -E_p log q. One draw has nothing to weigh: minus its own log q."""
    q = normal(0.2, 1.0)
    p = jnp.exp(toys.log_posterior(SQUARE, Y, SIGMA, LATTICE))
    ours, theirs = wake_sleep.reweighted_loss(key, SQUARE, q, Y, SIGMA, 200_000)
    np.testing.assert_allclose(theirs, -p @ on_the_lattice(q), atol=0.02)
    np.testing.assert_allclose(ours, -toys.log_evidence(SQUARE, Y, SIGMA, LATTICE), atol=0.02)


def networks(seed, widths=(64, 64)):
    return abp.MLPGenerator(1, 2, widths, rngs=nnx.Rngs(seed)), MLPEncoder(2, 1, widths, rngs=nnx.Rngs(seed + 1))


def test_asleep_the_images_have_no_say_and_the_generator_stays(key):
    generator, encoder = networks(0, (8,))
    fit = partial(
        wake_sleep.fit_wake_sleep, generator, encoder, num_iterations=30, key=key, phases=("sleep",), progress=False
    )
    some, others = fit(jnp.zeros((20, 2))), fit(jnp.ones((20, 2)))
    equal = lambda a, b: jax.tree.map(np.testing.assert_array_equal, functional(a)[1], functional(b)[1])
    equal(some.encoder, others.encoder)
    equal(some.generator, generator)
    assert np.any(functional(some.encoder)[1]["head"]["bias"] != functional(encoder)[1]["head"]["bias"])


def test_awake_the_encoder_stays_and_reweighted_both_move(key):
    generator, encoder = networks(0, (8,))
    y = toys.figure_eight(key, 20)
    moved = lambda a, b: any(
        jax.tree.leaves(jax.tree.map(lambda a, b: bool(jnp.any(a != b)), functional(a)[1], functional(b)[1]))
    )
    for phases, of_generator, of_encoder in ((("wake",), True, False), (("reweighted",), True, True)):
        found = wake_sleep.fit_wake_sleep(generator, encoder, y, 5, key=key, phases=phases, progress=False)
        assert moved(found.generator, generator) == of_generator and moved(found.encoder, encoder) == of_encoder


def test_the_first_step_is_that_of_adam_on_the_sum_of_the_phases(key):
    """A step of Adam is the rate times the sign of the gradient: so the signs of the first step are known."""
    generator, encoder = networks(0, (8,))
    y = toys.figure_eight(key, 20)
    found = wake_sleep.fit_wake_sleep(generator, encoder, y, 1, key=key, sigma=0.5, learning_rate=1e-3, progress=False)
    wake_key, sleep_key = jax.random.split(jax.random.split(jax.random.fold_in(key, 0))[1])
    (generate, W), (encode, V) = functional(generator), functional(encoder)
    keys = jax.random.split(wake_key, 20)
    wake = lambda W: jnp.mean(
        jax.vmap(lambda k, y: wake_sleep.wake_loss(k, partial(generate, W), encode(V, y), y, 0.5, 8))(keys, y)
    )
    z, dreams = wake_sleep.dream(sleep_key, generator, 0.5, 20)
    sleep = lambda V: jnp.mean(jax.vmap(lambda z, y: wake_sleep.sleep_loss(encode(V, y), z))(z, dreams))
    np.testing.assert_allclose(found.losses, [wake(W) + sleep(V)], rtol=1e-5)
    for new, old, gradient in ((found.generator, W, jax.grad(wake)(W)), (found.encoder, V, jax.grad(sleep)(V))):
        step = jax.tree.map(jnp.subtract, functional(new)[1], old)
        jax.tree.map(
            lambda s, g: np.testing.assert_allclose(s, -1e-3 * g / (jnp.abs(g) + 1e-8), atol=2e-5), step, gradient
        )


def test_the_callback_sees_results_on_the_way(key):
    generator, encoder = networks(0, (8,))
    y, seen = toys.figure_eight(key, 30), []
    found = wake_sleep.fit_wake_sleep(
        generator,
        encoder,
        y,
        40,
        key=key,
        batch_size=7,
        progress=False,
        callback=lambda done, now: seen.append((done, now())),
    )
    assert [done for done, _ in seen] == [*range(0, 41, 2), 40] == [len(now.losses) for _, now in seen]
    np.testing.assert_array_equal(seen[-1][1].z, found.z)
    assert found.z.shape == (30, 1) and found.sigma == 0.3 and np.any(seen[0][1].z != found.z)
    np.testing.assert_allclose(found.z, jax.vmap(lambda y: found.encoder(y).mean)(y), atol=1e-6)
    np.testing.assert_array_equal(abp.reconstruct(found.generator, found.z).shape, y.shape)


@pytest.mark.slow
def test_on_a_figure_eight_exact_learning_beats_the_vae_and_that_wake_and_sleep(key):
    """Nats of a test point by the exact sum; measured are .6 nats and 12."""
    sigma, z = 0.1, toys.lattice(801)
    y, test = toys.figure_eight(jax.random.key(1), 1000, sigma), toys.figure_eight(jax.random.key(2), 500, sigma)
    generator, encoder = networks(0)
    nats = jax.jit(lambda W, y: jnp.mean(jax.vmap(lambda y: toys.log_evidence(partial(generate, W), y, sigma, z))(y)))
    generate, W = functional(generator)
    log_prob = lambda W, y: toys.log_evidence(partial(generate, W), y, sigma, toys.lattice(201))
    settings = dict(key=key, batch_size=125)
    exact = likelihood_fit.fit(log_prob, W, y, test[:100], num_epochs=180, patience=180, learning_rate=5e-3, **settings)
    options = settings | dict(sigma=sigma, learning_rate=5e-3, progress=False)
    vae = fit_vae(generator, encoder, y, 1500, **options)
    dreamer = wake_sleep.fit_wake_sleep(generator, encoder, y, 1500, **options)
    of_exact, of_vae, of_dreamer = (
        nats(exact.params, test),
        *(nats(functional(r.generator)[1], test) for r in (vae, dreamer)),
    )
    truth = jnp.mean(jax.vmap(lambda y: toys.figure_eight_log_density(y, sigma))(test))
    assert truth > of_exact > of_vae + 0.2 > of_dreamer + 2.2, (truth, of_exact, of_vae, of_dreamer)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"phases": ()}, ValueError, "phases must be some of wake, reweighted, sleep"),
        ({"phases": ("wake", "walk")}, ValueError, "phases must be some of"),
        ({"phases": ("wake", "reweighted")}, ValueError, "must not hold both"),
        ({"sigma": 0}, ValueError, "sigma must be positive"),
        ({"num_iterations": 0}, ValueError, "num_iterations must be positive"),
        ({"batch_size": 0}, ValueError, "batch_size must be positive"),
        ({"key": 0}, TypeError, "key must be a key"),
        ({"learning_rate": -1}, ValueError, "learning_rate must be positive"),
        ({"images": jnp.zeros((10, 3))}, ValueError, "images"),
        (
            {"encoder": MLPEncoder(2, 2, (4,), rngs=nnx.Rngs(0))},
            ValueError,
            "encoder must have the generator's latent_dim",
        ),
    ],
    ids=range(10),
)
def test_bad_arguments_are_named(key, change, error, message):
    generator, encoder = networks(0, (4,))
    given = dict(generator=generator, encoder=encoder, images=jnp.zeros((10, 2)), key=key, progress=False) | change
    with pytest.raises(error, match=message):
        wake_sleep.fit_wake_sleep(**given)


def test_a_dream_needs_to_know_how_long_z_is(key):
    with pytest.raises(TypeError, match="latent_dim must be a whole number, got None"):
        wake_sleep.dream(key, SQUARE, 0.3, 5)

"""The losses against the divergences whose gradients they have, and the game on a ring: modes, divergence, critic."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.nn import sigmoid
from jax.scipy.special import logsumexp
from jax.scipy.stats import norm

import abp_jax as abp
from abp_jax.compilation.precision import double_precision
from abp_jax.generators import functional
from abp_jax.relatives import divergences, rings
from abp_jax.relatives.adversarial import critic_loss, fit_gan, maximum_likelihood, minimax, non_saturating, sample
from abp_jax.relatives.critics import MLPCritic
from abp_jax.relatives.divergences import jensen_shannon, kl, optimal_logit

LOSSES = {"minimax": minimax, "non-saturating": non_saturating, "maximum likelihood": maximum_likelihood}
DIVERGENCES = {
    "minimax": lambda p, q, cell: 2 * jensen_shannon(p, q, cell),
    "non-saturating": lambda p, q, cell: kl(q, p, cell) - 2 * jensen_shannon(p, q, cell),
    "maximum likelihood": kl,
}
SIGMA = 0.2


def test_losses_are_what_they_say_and_have_no_logarithm_of_zero():
    a = jnp.linspace(-5, 5, 11)
    D = sigmoid(a)
    np.testing.assert_allclose(minimax(a), np.log(1 - D), rtol=1e-4)
    np.testing.assert_allclose(non_saturating(a), -np.log(D), rtol=1e-4)
    np.testing.assert_allclose(maximum_likelihood(a), -D / (1 - D), rtol=1e-4)
    for loss in (minimax, non_saturating):
        assert np.all(np.isfinite(loss(jnp.array([-500.0, 500.0]))))
    np.testing.assert_allclose(non_saturating(jnp.float32(-500)), 500)
    np.testing.assert_allclose(minimax(jnp.float32(500)), -500)


def test_the_critic_descends_minus_the_value():
    """Data towards true, the generator's towards false; 2 log 2 where it can only guess."""
    real, generated = jnp.array([2.0, -1.0, 0.5]), jnp.array([-3.0, 0.4])
    value = np.mean(np.log(sigmoid(real))) + np.mean(np.log(1 - sigmoid(generated)))
    np.testing.assert_allclose(critic_loss(real, generated), -value, rtol=1e-6)
    np.testing.assert_allclose(critic_loss(jnp.zeros(5), jnp.zeros(3)), 2 * np.log(2), rtol=1e-6)
    assert critic_loss(jnp.array([9.0]), jnp.array([-9.0])) < 1e-3 < critic_loss(jnp.array([-9.0]), jnp.array([9.0]))
    assert np.isfinite(critic_loss(jnp.array([-1e4]), jnp.array([1e4])))


@pytest.fixture(scope="module")
def one_dimensional():
    """A generator from number to number, in double precision: the gradients of the losses, at the optimal critic held
    still, and of the divergences, in all parameters; of the losses in the bias of the output, and a draw's share of it.
    """
    with double_precision():
        generator = abp.MLPGenerator(1, 1, (8,), rngs=nnx.Rngs(1))
        generate, params = functional(generator)
        params = jax.tree.map(lambda w: w.astype(float), params)
        y, cell = divergences.grid(-8, 8, 800, dim=1)
        log_data = jnp.logaddexp(norm.logpdf(y[:, 0], -1, 0.5), norm.logpdf(y[:, 0], 1.5, 0.7)) - jnp.log(2.0)
        z = jnp.linspace(-5, 5, 401)[:, None]
        log_weights = jax.nn.log_softmax(norm.logpdf(z[:, 0]))

        @jax.jit
        def log_density(params):
            f = jax.vmap(partial(generate, params))(z)[:, 0]
            each = jax.vmap(lambda y: norm.logpdf(y, f, 0.4))(y[:, 0])
            return logsumexp(log_weights[None] + each, axis=1)

        a = optimal_logit(log_data, log_density(params))  # numbers: nothing is differentiated through them
        of_losses = lambda w: {n: cell * jnp.sum(jnp.exp(log_density(w)) * g(a)) for n, g in LOSSES.items()}
        of_divergences = lambda w: {n: of(log_data, log_density(w), cell) for n, of in DIVERGENCES.items()}
        losses, others = (jax.jit(jax.jacobian(f))(params) for f in (of_losses, of_divergences))
        flat = lambda tree: np.concatenate([np.ravel(w) for w in jax.tree.leaves(tree)])
        draws = sample(jax.random.key(0), partial(generate, params), 1, 0.4, 200_000)[:, 0]
        slopes = {n: np.asarray(jnp.interp(draws, y[:, 0], jnp.gradient(g(a), cell))) for n, g in LOSSES.items()}
        bias = {n: float(losses[n]["dense0"]["bias"].sum()) for n in LOSSES}
        return {n: flat(losses[n]) for n in LOSSES}, {n: flat(others[n]) for n in LOSSES}, bias, slopes


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_of_a_loss_is_that_of_its_divergence(one_dimensional, name):
    """At the optimal critic, held still, in all parameters of a network: to 1e-8 of its length. No other fits."""
    of_losses, of_divergences, _, _ = one_dimensional
    for other, gradient in of_divergences.items():
        apart = np.linalg.norm(of_losses[name] - gradient) / np.linalg.norm(gradient)
        assert apart < 1e-8 if other == name else apart > 0.05


@pytest.mark.parametrize("name", LOSSES)
def test_the_pathwise_gradient_has_that_mean(one_dimensional, name):
    """Through y = f(z; W) + e and a(y): within five standard errors in the bias of the output."""
    wanted, each = one_dimensional[2][name], one_dimensional[3][name]
    assert abs(each.mean() - wanted) < 5 * each.std() / len(each) ** 0.5 + 1e-4


def test_a_shift_against_a_standard_normal():
    """x = z + theta: maximum likelihood has the slope theta, minimax dies far away, the non-saturating loss doesn't."""
    with double_precision():
        y, cell = divergences.grid(-24, 32, 11_200, dim=1)
        y = y[:, 0]

        def slope(loss, theta):
            a = norm.logpdf(y) - norm.logpdf(y, theta)
            return jax.grad(lambda t: cell * jnp.sum(jnp.exp(norm.logpdf(y, t)) * loss(a)))(theta)

        for theta in (1.0, 2.0, 3.0):
            assert abs(slope(maximum_likelihood, theta) - theta) < 1e-6
            assert abs(slope(minimax, theta) + slope(non_saturating, theta) - theta) < 1e-6  # KL(G, data) alone
        assert abs(slope(minimax, 1.0) - 0.398) < 1e-3 and abs(slope(non_saturating, 1.0) - 0.602) < 1e-3
        assert 0 < slope(minimax, 8.0) < 1e-3 and abs(slope(non_saturating, 8.0) - 8) < 1e-3


def modes(result, scale, sigma, at_least, key):
    """How many modes of the ring have more than this share of 5,000 draws."""
    draws = sample(key, result.generator, 2, sigma, 5000)
    return int(np.sum(rings.mode_shares(draws, rings.ring_centres(), max(3 * scale, 0.2)) > at_least))


def start(seed, widths=(8,)):
    return abp.MLPGenerator(2, 2, widths, rngs=nnx.Rngs(seed)), MLPCritic(2, widths, rngs=nnx.Rngs(seed + 100))


@pytest.mark.slow
def test_the_game_finds_the_ring(key):
    """All eight modes, near in Jensen-Shannon divergence, the critic near the optimal one, its value below C(G)."""
    y = rings.ring(key, 20_000)
    found = fit_gan(*start(0, (64, 64)), y, 4000, key=key, sigma=SIGMA)
    assert modes(found, rings.SCALE, SIGMA, 0.05, key) == 8
    grid, cell = divergences.grid(-3.2, 3.2, 64)
    log_data = jax.vmap(rings.ring_log_density)(grid)
    log_p = divergences.density_on_grid(found.generator, grid, SIGMA, spacing=0.1)
    assert jensen_shannon(log_data, log_p, cell) < 0.06
    a, best = jax.vmap(found.critic)(grid), optimal_logit(log_data, log_p)
    weights = cell * (jnp.exp(log_data) + jnp.exp(log_p)) / 2
    assert jnp.sum(weights * jnp.abs(sigmoid(a) - sigmoid(best))) < 0.12
    assert divergences.game_value(log_data, log_p, cell, a) < divergences.game_value(log_data, log_p, cell)
    assert found.losses.shape == (4000, 2) and abs(found.losses[-500:, 0].mean() - 2 * np.log(2)) < 0.15


def test_a_slow_critic_loses_modes(key):
    y = rings.ring(key, 20_000, scale=0.02)
    found = fit_gan(*start(1, (64, 64)), y, 2500, key=key, sigma=0, learning_rates=(1e-3, 1e-4))
    assert modes(found, 0.02, 0, 0.01, key) <= 4


def test_an_iteration_is_k_steps_of_the_critic_and_one_of_the_generator(key):
    """Algorithm 2 by hand, in double precision: another batch in each step, and each network has its rate of Adam."""
    with double_precision():
        (generator, critic), y = start(0), np.float64(rings.ring(key, 50))
        settings = dict(critic_steps=2, learning_rates=(1e-2, 2e-3), batch_size=9)
        found = fit_gan(generator, critic, y, 1, key=key, sigma=SIGMA, **settings)
        (make, W), (judge, V) = functional(generator), functional(critic)
        D = lambda V, y: sigmoid(jax.vmap(partial(judge, V))(y))
        draw = lambda key, W: sample(key, partial(make, W), 2, SIGMA, 9)
        loss = lambda V, real, fake: -jnp.mean(jnp.log(D(V, real))) - jnp.mean(jnp.log(1 - D(V, fake)))
        adam = optax.adam(2e-3, b1=0.5)
        first, second, last = jax.random.split(jax.random.split(key, 1)[0], 3)
        state = adam.init(V)
        for step_key in (first, second):
            rows_key, draw_key = jax.random.split(step_key)
            real = y[jax.random.randint(rows_key, (9,), 0, 50)]
            value, slope = jax.value_and_grad(loss)(V, real, draw(draw_key, W))
            updates, state = adam.update(slope, state)
            V = optax.apply_updates(V, updates)
        own, slope = jax.value_and_grad(lambda W: -jnp.mean(jnp.log(D(V, draw(last, W)))))(W)
        W = jax.tree.map(lambda w, g: w - 1e-2 * g / (jnp.abs(g) + 1e-8), W, slope)  # the first step of Adam
        np.testing.assert_allclose(found.losses, [[value, own]], rtol=1e-6)
        for module, params in ((found.generator, W), (found.critic, V)):
            jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), functional(module)[1], params)


def test_calls_in_pieces_are_one_run(key):
    y, seen = rings.ring(key, 100), []
    settings = dict(key=key, sigma=SIGMA, batch_size=10)
    whole = fit_gan(*start(0), y, 10, **settings)
    parts = fit_gan(*start(0), y, 10, every=4, callback=lambda done, result: seen.append((done, result)), **settings)
    np.testing.assert_allclose(whole.losses, parts.losses, rtol=1e-4, atol=1e-5)
    assert [done for done, _ in seen] == [4, 8, 10]
    assert [len(result.losses) for _, result in seen] == [4, 8, 10]
    z = jnp.ones(2)
    np.testing.assert_array_equal(seen[-1][1].generator(z), parts.generator(z))
    assert np.abs(seen[0][1].generator(z) - parts.generator(z)).max() > 0


def test_what_can_not_be_is_refused(key):
    generator, critic = start(0)
    y = rings.ring(key, 20)
    play = partial(fit_gan, generator, critic, key=key, sigma=SIGMA)
    with pytest.raises(ValueError, match=r"y must be \(n, 2\), as the generator gives it, got \(20, 1\)"):
        play(y[:, :1], 2)
    with pytest.raises(TypeError, match="critic must be a flax.nnx.Module"):
        fit_gan(generator, lambda y: y[0], y, 2, key=key, sigma=SIGMA)
    with pytest.raises(ValueError, match=r"critic must give one logit, a scalar, for one y \(2,\), got shape \(2,\)"):
        fit_gan(generator, generator, y, 2, key=key, sigma=SIGMA)
    with pytest.raises(ValueError, match="learning_rates must be two"):
        play(y, 2, learning_rates=(1e-3,))
    with pytest.raises(ValueError, match="learning_rates must be positive"):
        play(y, 2, learning_rates=(1e-3, 0))
    with pytest.raises(ValueError, match="critic_steps must be positive"):
        play(y, 2, critic_steps=0)
    with pytest.raises(ValueError, match="sigma must be at least 0"):
        fit_gan(generator, critic, y, 2, key=key, sigma=-1)
    with pytest.raises(FloatingPointError, match="Lower learning_rates"):
        play(y, 20, learning_rates=(1e30, 1e30))

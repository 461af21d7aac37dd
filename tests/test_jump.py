"""Draws of the prior offered to chains: what stays, what moves, and where `fit` does it by default."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax import inference, model
from abp_jax.training import settings

SIGMA = 0.4
fold = lambda z: jnp.array([z[0] ** 2, 0.3 * z[1]])  # z and -z have the same image: two modes
Y = np.float32([[1.5, 0.1], [0.2, -0.3], [3.0, 0.0]])


def exact_draws(num):
    """z from p(z | y) of each y, (3 * num, 2), and the y of each."""
    posteriors = abp.quadrature.exact_posteriors(fold, Y, SIGMA)
    rng = np.random.default_rng(0)
    z = [p.z[rng.choice(len(p.z), num, p=p.weights)] for p in posteriors]
    return posteriors, jnp.asarray(np.concatenate(z), jnp.float32), jnp.asarray(np.repeat(Y, num, axis=0))


def jumped(z, y, num_draws, seed=0, **chain):
    """Where chains of no steps are after the draws of the prior, each with draws of its own."""
    log_p = lambda z, y: model.log_likelihood(fold, z, y, SIGMA)

    def one(key, z, y):
        draws_key, key = jax.random.split(key)
        draws = jax.random.normal(draws_key, (num_draws, 2))
        offered = jax.vmap(lambda draw: jax.vmap(lambda y: log_p(draw, y))(y))(draws)
        return inference.jump(jax.random.split(key, len(z)), z, draws, jax.vmap(log_p)(z, y), offered)

    keys = jax.random.split(jax.random.key(seed), len(z))
    return jax.jit(jax.vmap(one))(keys, z[:, None], y[:, None])[:, 0]


@pytest.mark.parametrize("num_draws", [1, 7, 100])
def test_the_posterior_stays_what_it_is(num_draws):
    posteriors, z, y = exact_draws(4000)
    moved = np.asarray(jumped(z, y, num_draws)).reshape(3, 4000, 2)
    assert (moved != np.asarray(z).reshape(3, 4000, 2)).any(axis=(1, 2)).all()
    for p, drawn in zip(posteriors, moved, strict=True):
        for value in (lambda z: z[:, 0], lambda z: z[:, 1], lambda z: z[:, 0] ** 2, lambda z: z[:, 1] ** 2):
            exact = p.weights @ value(p.z)
            error = np.sqrt(p.weights @ (value(p.z) - exact) ** 2 / 4000)
            assert abs(value(drawn).mean() - exact) < 4.5 * error, num_draws


def test_it_takes_chains_to_the_other_mode():
    keys, z = jax.random.split(jax.random.key(0), 100), jnp.full((100, 2), jnp.array([1.2, 0.0])[None])
    y = jnp.broadcast_to(Y[:1], (100, 2))
    chain = inference.Chain(0.1, "gauss_newton_mala", 5, 1.0)
    at_home = inference.infer_latents(fold, keys, z, y, chain=chain)
    away = inference.infer_latents(fold, keys, z, y, chain=chain._replace(prior_draws=300))
    assert (at_home[:, 0] > 0).all()
    assert 20 < int(jnp.sum(away[:, 0] < 0)) < 80  # a half; all chains are offered the same draws


def test_where_log_p_is_not_finite_no_chain_goes():
    keys, draws = jax.random.split(jax.random.key(0), 50), jnp.ones((3, 2))
    z, nothing = jnp.zeros((50, 2)), jnp.array([jnp.nan, jnp.inf, -jnp.inf])
    offered = jnp.broadcast_to(nothing[:, None], (3, 50))
    np.testing.assert_array_equal(inference.jump(keys, z, draws, jnp.full(50, -1e6), offered), z)
    np.testing.assert_array_equal(inference.jump(keys, z, draws, jnp.full(50, jnp.nan), offered), z)
    away = inference.jump(keys, z, draws, jnp.full(50, jnp.nan), offered.at[1].set(-1e6))
    np.testing.assert_array_equal(away, jnp.ones((50, 2)))


def test_what_is_hidden_does_not_draw():
    """With the first number hidden, the draws go by the second alone."""
    mask = jnp.broadcast_to(jnp.array([[False, True]]), (200, 2))
    y = jnp.broadcast_to(jnp.array([[jnp.nan, 0.0]]), (200, 2))
    chain = inference.Chain(1e-3, "gauss_newton", 1, 1e-9, prior_draws=2000)
    keys, z = jax.random.split(jax.random.key(1), 200), jnp.full((200, 2), 2.0)
    moved = inference.infer_latents(fold, keys, z, y, mask, chain=chain)
    assert (jnp.abs(moved[:, 1]) < 0.1).all() and jnp.isfinite(moved).all()


@pytest.mark.parametrize(
    ("d", "batch", "n", "given", "expected"),
    [
        (2, 11, 11, {}, ("gauss_newton_mala", 1, 1.0, 0)),
        (2, 20, 20, {}, ("gauss_newton_mala", 1, 1.0, 2)),
        (8, 1000, 1000, {}, ("gauss_newton_mala", 1, 1.0, 100)),
        (2, 100, 1000, {}, ("gauss_newton_mala", 4, 1.0, 10)),
        (2, 100, 1000, dict(num_steps=7, step_size=0.5), ("gauss_newton_mala", 7, 0.5, 10)),
        (2, 100, 1000, dict(prior_draws=0), ("gauss_newton_mala", 4, 1.0, 0)),
        (2, 11, 11, dict(prior_draws=50), ("gauss_newton_mala", 1, 1.0, 50)),
        (2, 1000, 1000, dict(sampler="gauss_newton"), ("gauss_newton", 3, 0.5, 0)),
        (2, 100, 1000, dict(sampler="gauss_newton_mala"), ("gauss_newton_mala", 4, 1.0, 0)),
        (9, 1000, 1000, {}, ("adapted_langevin", 20, 0.5, 0)),
        (9, 1000, 1000, dict(prior_draws=5), ("adapted_langevin", 20, 0.5, 5)),
    ],
)
def test_the_chain_by_default(d, batch, n, given, expected):
    arguments = dict(sampler=None, num_steps=None, step_size=None, prior_draws=None) | given
    found = settings.chain(d, 0.3, *arguments.values(), batch, n)
    assert (found.sampler, found.num_steps, found.step_size, found.prior_draws) == expected


@pytest.mark.parametrize(
    ("value", "error"), [(-1, ValueError), (1.5, TypeError), ("ten", TypeError), (True, TypeError)]
)
def test_the_number_of_draws_is_checked(value, error):
    generator = abp.LinearGenerator(1, 2, rngs=nnx.Rngs(0))
    with pytest.raises(error, match="prior_draws must be"):
        abp.fit(generator, np.zeros((5, 2), np.float32), key=jax.random.key(0), prior_draws=value, progress=False)


def test_a_checkpoint_without_draws_is_as_before_they_came():
    generator, y = abp.LinearGenerator(1, 2, rngs=nnx.Rngs(0)), np.zeros((5, 2), np.float32)
    recorded = lambda chain: settings.record(
        chain, generator, y, jax.random.key(0), None, None, sigma=0.3, learn_sigma=False, start=None, resumed_from=0
    )
    chain = inference.Chain(0.3, "gauss_newton", 3, 0.5)
    assert "prior_draws" not in recorded(chain)
    assert recorded(chain._replace(prior_draws=4))["prior_draws"] == 4

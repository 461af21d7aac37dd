"""Chains with an accept step: what `langevin` proposes, Metropolis and Hastings correct, and the target is met exactly.

A step proposes z' from q(z' | z) and goes there with probability min(1, p(z') q(z | z') / p(z) q(z' | z)); otherwise it
stays. All proposals here are one: z' = z + s^2/2 P^-1 g + s P^-1/2 u, with a precision P that may depend on z.

    random walk        g = 0               P = I
    Langevin (MALA)    g = grad log p(z)   P = I
    Gauss-Newton       g = grad log p(z)   P = J'J at z

Sources: seed 004, problem 2 (Metropolis-Hastings, Hamiltonian Monte Carlo); Roberts and Tweedie, Bernoulli 1996 (MALA);
Girolami and Calderhead, JRSS B 2011 (proposals that depend on the place).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve, solve_triangular

from abp_jax import langevin


class Sampler(NamedTuple):
    """A kind of chain.

    Attributes:
      init: z -> state, for z of shape (d,). The state has what the next step needs, so nothing is computed twice.
      step: (key, state, step_size) -> (state, MetropolisInfo).
      position: state -> z.
      target: the share of accepted proposals that the step size is adapted to by default.
      gradients: how many derivatives of f, each about as costly as f itself or twice, a step computes.
    """

    init: Callable
    step: Callable
    position: Callable
    target: float
    gradients: int


class MetropolisInfo(NamedTuple):
    """What a reader wants to know of one step.

    Attributes:
      acceptance: min(1, ratio), the probability of the proposal; scalar. 0 where the proposal's density is not finite.
      accepted: whether the chain went there; scalar bool.
      log_density: log p(z) where the chain now stands; scalar.
    """

    acceptance: jax.Array
    accepted: jax.Array
    log_density: jax.Array


class Place(NamedTuple):
    """What a chain knows of a place: the state of the Langevin samplers.

    Attributes:
      z: (d,).
      log_density: log p(z); scalar.
      gradient: g, (d,).
      cholesky: lower triangular L with LL' = P, (d, d).
    """

    z: jax.Array
    log_density: jax.Array
    gradient: jax.Array
    cholesky: jax.Array


class Samples(NamedTuple):
    """What chains have drawn.

    Attributes:
      z: (num_steps, chains, d).
      info: MetropolisInfo of arrays (num_steps, chains).
      state: where the chains stand now.
    """

    z: jax.Array
    info: MetropolisInfo
    state: Any


def random_walk(log_density: Callable) -> Sampler:
    """Returns random-walk Metropolis for z -> log p(z): no gradient, z' = z + s u."""

    def place(z):
        return Place(z, log_density(z), jnp.zeros_like(z), jnp.eye(z.size, dtype=z.dtype))

    return _metropolis(place, target=0.35, gradients=0)


def mala(log_density: Callable) -> Sampler:
    """Returns the Metropolis-adjusted Langevin algorithm for z -> log p(z)."""

    def place(z):
        value, gradient = jax.value_and_grad(log_density)(z)
        return Place(z, value, gradient, jnp.eye(z.size, dtype=z.dtype))

    return _metropolis(place, target=0.574, gradients=1)


def gauss_newton_mala(residual: Callable, latent_dim: int) -> Sampler:
    """Returns Gauss-Newton Langevin with an accept step, for the density -|r(z)|^2 / 2.

    P = J'J changes from place to place, so the way back has another q than the way there: its determinant counts.

    Args:
      residual: z -> r(z), see `model.residual`.
      latent_dim: d, the number of forward derivatives a step costs.
    """

    def place(z):
        r, jacobian_transposed = langevin.linearize(residual, z)
        cholesky = jnp.linalg.cholesky(jacobian_transposed @ jacobian_transposed.T)
        return Place(z, -0.5 * r @ r, -jacobian_transposed @ r, cholesky)

    return _metropolis(place, target=0.574, gradients=latent_dim)


def hamiltonian(log_density: Callable, num_integration_steps: int = 5) -> Sampler:
    """Returns Hamiltonian Monte Carlo with unit masses (BlackJAX): `num_integration_steps` leapfrog steps of size s.

    Raises:
      ModuleNotFoundError: BlackJAX is not installed.
    """
    hmc = _blackjax().mcmc.hmc
    kernel = hmc.build_kernel()

    def init(z):
        return hmc.init(z, log_density)

    def step(key, state, step_size):
        masses = jnp.ones_like(state.position)
        state, info = kernel(key, state, log_density, step_size, masses, num_integration_steps)
        acceptance = jnp.where(jnp.isnan(info.acceptance_rate), 0, info.acceptance_rate)
        return state, MetropolisInfo(acceptance, info.is_accepted, state.logdensity)

    return Sampler(init, step, lambda state: state.position, 0.65, num_integration_steps)


def start(sampler: Sampler, z: jax.Array):
    """Returns the states of chains that stand at z, (chains, d)."""
    return jax.vmap(sampler.init)(z)


def run(key: jax.Array, sampler: Sampler, state, step_size: float, num_steps: int) -> Samples:
    """Runs chains from where they stand, with one step size.

    Args:
      key: for all the chains.
      sampler: their kind.
      state: of all chains, from `start` or from an earlier run.
      step_size: s > 0.
      num_steps: how many.
    """

    def one(state, key):
        state, info = _step(key, sampler, state, step_size)
        return state, (jax.vmap(sampler.position)(state), info)

    state, (z, info) = jax.lax.scan(one, state, jax.random.split(key, num_steps))
    return Samples(z, info, state)


def burn_in(key: jax.Array, sampler: Sampler, state, step_size: float, num_steps: int, target: float | None = None):
    """Runs chains and adapts the step size that they share; to be frozen after.

    After step t, log s moves by t^-0.6 (acceptance - target), where the acceptance is the mean over the chains: Robbins
    and Monro's search for the s at which they agree. The result is the mean of log s over the second half. While s
    moves the chain is not exact, so what it drew is thrown away.

    Args:
      key, sampler, state, num_steps: as in `run`.
      step_size: where the search starts.
      target: acceptance between 0 and 1; the sampler's own by default.

    Returns:
      The state, and the step size, a scalar.
    """
    target = sampler.target if target is None else target

    def one(carry, key_and_t):
        (state, log_s), (key, t) = carry, key_and_t
        state, info = _step(key, sampler, state, jnp.exp(log_s))
        log_s = log_s + t**-0.6 * (jnp.mean(info.acceptance) - target)
        return (state, log_s), log_s

    times = jnp.arange(1, num_steps + 1, dtype=float)
    carry = (state, jnp.log(jnp.asarray(step_size, float)))
    (state, _), log_s = jax.lax.scan(one, carry, (jax.random.split(key, num_steps), times))
    return state, jnp.exp(jnp.mean(log_s[num_steps // 2 :]))


def effective_sample_size(z: jax.Array) -> jax.Array:
    """Returns how many independent draws the chains are worth together (BlackJAX): (num_steps, chains, d) to (d,)."""
    return _blackjax().diagnostics.effective_sample_size(z, chain_axis=1, sample_axis=0).reshape(z.shape[2:])


def r_hat(z: jax.Array) -> jax.Array:
    """Returns Gelman and Rubin's R-hat (BlackJAX), near 1 where chains agree: (num_steps, chains, d) to (d,)."""
    return _blackjax().diagnostics.potential_scale_reduction(z, chain_axis=1, sample_axis=0).reshape(z.shape[2:])


def log_proposal(here: Place, there: Place, step_size: float) -> jax.Array:
    """Returns log q(there.z | here) up to a constant: the density of N(z + s^2/2 P^-1 g, s^2 P^-1), with P of here."""
    w = here.cholesky.T @ (there.z - _drifted(here, step_size)) / step_size
    return -0.5 * w @ w + jnp.sum(jnp.log(jnp.diag(here.cholesky)))


def _drifted(place, step_size):
    return place.z + step_size**2 / 2 * cho_solve((place.cholesky, True), place.gradient)


def _metropolis(place, target, gradients):
    """The sampler whose proposals begin at place(z)."""

    def step(key, here, step_size):
        proposal_key, accept_key = jax.random.split(key)
        u = jax.random.normal(proposal_key, here.z.shape, here.z.dtype)
        noise = solve_triangular(here.cholesky, u, lower=True, trans="T")  # covariance P^-1
        there = place(_drifted(here, step_size) + step_size * noise)
        back, forth = log_proposal(there, here, step_size), log_proposal(here, there, step_size)
        log_ratio = there.log_density + back - here.log_density - forth
        log_ratio = jnp.where(jnp.isfinite(log_ratio), jnp.minimum(log_ratio, 0), -jnp.inf)  # nan: never go there
        accepted = jnp.log(jax.random.uniform(accept_key)) < log_ratio
        here = jax.tree.map(lambda new, old: jnp.where(accepted, new, old), there, here)
        return here, MetropolisInfo(jnp.exp(log_ratio), accepted, here.log_density)

    return Sampler(place, step, lambda state: state.z, target, gradients)


def _step(key, sampler, state, step_size):
    """One step of every chain."""
    num_chains = len(jax.tree.leaves(state)[0])
    return jax.vmap(sampler.step, (0, 0, None))(jax.random.split(key, num_chains), state, step_size)


def _blackjax():
    try:
        import blackjax
        import blackjax.diagnostics
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Hamiltonian Monte Carlo and the diagnostics of chains come from BlackJAX, which is not installed. "
            "Run: pip install 'abp-jax[samplers]'"
        ) from error
    return blackjax

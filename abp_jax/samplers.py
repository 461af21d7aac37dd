"""Every chain of the course is a `Sampler(init, step, position)`, and `KINDS` is the one table of them.

A chain proposes z' = z + s^2/2 P^-1 g + s P^-1/2 u, with a precision P that may depend on z:

    random walk        g = 0               P = I
    Langevin           g = grad log p(z)   P = I
    Gauss-Newton       g = grad log p(z)   P = G = J'J at z

Without a Metropolis correction it goes there (unadjusted Langevin, ULA). With one it goes there with probability
min(1, p(z') q(z | z') / p(z) q(z' | z)) and otherwise stays, which makes p the exact stationary distribution. To add a
chain takes a function that returns its Sampler, and a row in KINDS.

Sources: Roberts and Tweedie, Bernoulli 1996 (ULA, MALA); Girolami and Calderhead, JRSS B 2011 (P that depends on z).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from abp_jax import langevin
from abp_jax.model import Density


class Sampler(NamedTuple):
    """A kind of chain.

    Attributes:
      init: (key, z) -> state, for z of shape (d,). The state has what the next step needs, computed once.
      step: (key, state, step_size) -> (state, MetropolisInfo).
      position: state -> z.
      target_acceptance: the share of accepted proposals that `warmup` adapts the step size to, between 0 and 1.
      gradients: how many derivatives of f, each about as costly as f itself or twice, a step computes; None if unsaid.
      draws: whether init draws. Then the chain continues with another key.
    """

    init: Callable
    step: Callable
    position: Callable
    target_acceptance: float = 0.574
    gradients: int | None = None
    draws: bool = False


class MetropolisInfo(NamedTuple):
    """What a reader wants to know of one step. All scalars.

    Attributes:
      acceptance: min(1, ratio), the probability of the proposal: 0 where its density is not finite. None for a chain
        without a Metropolis correction.
      accepted: whether the chain went there.
      log_density: log p(z) where the chain now stands, or, without a correction, where the step began.
    """

    acceptance: jax.Array | None
    accepted: jax.Array
    log_density: jax.Array


class State(NamedTuple):
    """What a chain with a Metropolis correction knows of where it stands, or of a proposal.

    z: (d,); log_density: log p(z), scalar; gradient: g, (d,); cholesky: lower triangular L with LL' = P, (d, d).
    """

    z: jax.Array
    log_density: jax.Array
    gradient: jax.Array
    cholesky: jax.Array


class Samples(NamedTuple):
    """What chains have drawn: z (num_steps, chains, d), info in arrays (num_steps, chains), where they stand now."""

    z: jax.Array
    info: MetropolisInfo
    state: Any


def unadjusted_langevin(log_density: Callable) -> Sampler:
    """Returns `langevin.langevin_step` for z -> log p(z), as a Sampler (ULA)."""
    return _unadjusted(lambda key, z, step_size: langevin.langevin_step(key, z, log_density, step_size), gradients=1)


def gauss_newton_langevin(residual: Callable, latent_dim: int | None = None) -> Sampler:
    """Returns `langevin.gauss_newton_step` for z -> r(z), as a Sampler. latent_dim: d, the derivatives of a step."""
    return _unadjusted(lambda key, z, step_size: langevin.gauss_newton_step(key, z, residual, step_size), latent_dim)


def adapted_langevin(density: Density, precision: jax.Array | None = None) -> Sampler:
    """Returns unadjusted Langevin whose step size is a fraction of the largest stable one where the chain begins.

    With a precision P (d, d) it moves in the coordinates v = L'z with LL' = P, in which such a density is round.
    """
    cholesky = None if precision is None else jnp.linalg.cholesky(precision)
    to_z = lambda v: v if cholesky is None else langevin.unwhiten(cholesky, v)

    def init(key, z):
        v = z if cholesky is None else cholesky.T @ z
        return v, langevin.largest_curvature(key, lambda v: density.residual(to_z(v)), v)

    def step(key, state, fraction):
        v, curvature = state
        step_size = langevin.fraction_of_stable(curvature, fraction)
        v, info = langevin.langevin_step(key, v, lambda v: density.log_density(to_z(v)), step_size)
        return (v, curvature), _uncorrected(info)

    return Sampler(init, step, lambda state: to_z(state[0]), gradients=1, draws=True)


def random_walk(log_density: Callable) -> Sampler:
    """Returns random-walk Metropolis for z -> log p(z): no gradient, z' = z + s u."""
    at = lambda z: State(z, log_density(z), jnp.zeros_like(z), jnp.eye(z.size, dtype=z.dtype))
    return _metropolis(at, target_acceptance=0.35, gradients=0)


def mala(log_density: Callable) -> Sampler:
    """Returns the Metropolis-adjusted Langevin algorithm for z -> log p(z)."""

    def at(z):
        value, gradient = jax.value_and_grad(log_density)(z)
        return State(z, value, gradient, jnp.eye(z.size, dtype=z.dtype))

    return _metropolis(at, target_acceptance=0.574, gradients=1)


def gauss_newton_mala(residual: Callable, latent_dim: int | None = None) -> Sampler:
    """Returns Gauss-Newton Langevin with a Metropolis correction, for the density -|r(z)|^2 / 2.

    P = J'J differs between the state and the proposal, so q(z | z') and q(z' | z) differ in their determinants too.
    residual: see `model.residual`; latent_dim: d, the number of forward derivatives a step costs.
    """

    def at(z):
        log_density, gradient, precision = langevin.gauss_newton(residual, z)
        return State(z, log_density, gradient, jnp.linalg.cholesky(precision))

    return _metropolis(at, target_acceptance=0.574, gradients=latent_dim)


def hamiltonian(log_density: Callable, num_integration_steps: int = 5) -> Sampler:
    """Returns Hamiltonian Monte Carlo with unit masses (BlackJAX): `num_integration_steps` leapfrog steps of size s."""
    from blackjax.mcmc import hmc  # here, since it is slow to import

    kernel = hmc.build_kernel()

    def step(key, state, step_size):
        masses = jnp.ones_like(state.position)
        state, info = kernel(key, state, log_density, step_size, masses, num_integration_steps)
        acceptance = jnp.where(jnp.isnan(info.acceptance_rate), 0, info.acceptance_rate)
        return state, MetropolisInfo(acceptance, info.is_accepted, state.logdensity)

    init = lambda key, z: hmc.init(z, log_density)
    return Sampler(init, step, lambda state: state.position, 0.65, num_integration_steps)


def start(sampler: Sampler, z: jax.Array, key: jax.Array | None = None) -> Any:
    """Returns the states of chains that stand at z, (chains, d). key: for a sampler whose init draws."""
    keys = jax.random.split(jax.random.key(0) if key is None else key, len(z))
    return jax.vmap(sampler.init)(keys, z)


def run(key: jax.Array, sampler: Sampler, state: Any, step_size: float, num_steps: int) -> Samples:
    """Runs chains from where they stand (a state from `start` or from an earlier run), with one step size s > 0."""

    def one(state, key):
        state, info = _step(key, sampler, state, step_size)
        return state, (jax.vmap(sampler.position)(state), info)

    state, (z, info) = jax.lax.scan(one, state, jax.random.split(key, num_steps))
    return Samples(z, info, state)


def warmup(
    key: jax.Array,
    sampler: Sampler,
    state: Any,
    step_size: float,
    num_steps: int,
    target_acceptance: float | None = None,
) -> tuple[Any, jax.Array]:
    """Runs chains and adapts the step size that they share, from where it starts; to be frozen after.

    After step t, log s moves by t^-0.6 (acceptance - target), with the mean acceptance of the chains: Robbins and
    Monro's search for the s at which they agree. The result is the mean of log s over the second half. While s moves
    the chain is not exact: throw away what it drew. target_acceptance: from 0 to 1; by default the sampler's own.
    Raises ValueError for a sampler without a Metropolis correction.
    """
    target = sampler.target_acceptance if target_acceptance is None else target_acceptance

    def one(carry, key_and_t):
        (state, log_s), (key, t) = carry, key_and_t
        state, info = _step(key, sampler, state, jnp.exp(log_s))
        if info.acceptance is None:
            raise ValueError("warmup needs a Metropolis correction: without one nothing says which s suits.")
        log_s = log_s + t**-0.6 * (jnp.mean(info.acceptance) - target)
        return (state, log_s), log_s

    times = jnp.arange(1, num_steps + 1, dtype=float)
    carry = (state, jnp.log(jnp.asarray(step_size, float)))
    (state, _), log_s = jax.lax.scan(one, carry, (jax.random.split(key, num_steps), times))
    return state, jnp.exp(jnp.mean(log_s[num_steps // 2 :]))


def log_proposal(state: State, proposal: State, step_size: float) -> jax.Array:
    """Returns log q(proposal.z | state) up to a constant: the density of N(z + s^2/2 P^-1 g, s^2 P^-1) ; scalar."""
    mean = langevin.drifted(state.z, state.gradient, state.cholesky, step_size)
    w = state.cholesky.T @ (proposal.z - mean) / step_size
    return -0.5 * w @ w + jnp.sum(jnp.log(jnp.diag(state.cholesky)))


def _metropolis(at: Callable, target_acceptance: float, gradients: int | None) -> Sampler:
    """The sampler with a Metropolis correction that proposes from at(z), a State."""

    def step(key, state, step_size):
        proposal_key, accept_key = jax.random.split(key)
        proposal = at(langevin.propose(proposal_key, state.z, state.gradient, state.cholesky, step_size))
        back, forth = log_proposal(proposal, state, step_size), log_proposal(state, proposal, step_size)
        log_ratio = proposal.log_density + back - state.log_density - forth
        log_ratio = jnp.where(jnp.isfinite(log_ratio), jnp.minimum(log_ratio, 0), -jnp.inf)  # nan: never go there
        accepted = jnp.log(jax.random.uniform(accept_key)) < log_ratio
        state = jax.tree.map(lambda new, old: jnp.where(accepted, new.astype(old.dtype), old), proposal, state)
        return state, MetropolisInfo(jnp.exp(log_ratio), accepted, state.log_density)

    return Sampler(lambda key, z: at(z), step, lambda state: state.z, target_acceptance, gradients)


def _unadjusted(step: Callable, gradients: int | None) -> Sampler:
    """The sampler that goes wherever step(key, z, step_size) leads; its state is z."""

    def without_correction(key, z, step_size):
        new, info = step(key, z, step_size)
        return new.astype(z.dtype), _uncorrected(info)

    return Sampler(lambda key, z: z, without_correction, lambda z: z, gradients=gradients)


def _uncorrected(info: langevin.LangevinInfo) -> MetropolisInfo:
    return MetropolisInfo(None, jnp.full((), True), info.log_density)


def _step(key: jax.Array, sampler: Sampler, state: Any, step_size: float):
    """One step of every chain."""
    num_chains = len(jax.tree.leaves(state)[0])
    return jax.vmap(sampler.step, (0, 0, None))(jax.random.split(key, num_chains), state, step_size)


class Kind(NamedTuple):
    """A row of KINDS.

    Attributes:
      title: its name on the screen.
      make: Density -> Sampler.
      num_steps, step_size: what `fit` takes by default.
      stable_below: the step size below which it is stable where f is nearly linear, if that has no unit; None where it
        has one (2 / sqrt of the largest curvature of the posterior, or a scale for a chain that can't be unstable).
      adjusted: whether it has a Metropolis correction.
      gradient: whether it drifts along grad log p.
      plain: whether a step is one proposal of the formula above, at the step size s itself.
      at_once: num_steps where `fit` sees all images in every iteration, so that each chain has many turns; if others.
    """

    title: str
    make: Callable[[Density], Sampler]
    num_steps: int
    step_size: float
    stable_below: float | None = None
    adjusted: bool = False
    gradient: bool = True
    plain: bool = True
    at_once: int | None = None


KINDS = {
    "langevin": Kind("unadjusted Langevin", lambda p: unadjusted_langevin(p.log_density), 30, 0.01),
    "gauss_newton": Kind("Gauss-Newton Langevin", lambda p: gauss_newton_langevin(p.residual), 5, 0.5, 2.0, at_once=3),
    "random_walk": Kind("random walk", lambda p: random_walk(p.log_density), 100, 0.01, adjusted=True, gradient=False),
    "mala": Kind("MALA", lambda p: mala(p.log_density), 30, 0.01, adjusted=True),
    "gauss_newton_mala": Kind(
        "Gauss-Newton MALA", lambda p: gauss_newton_mala(p.residual), 4, 1.0, 2.0, adjusted=True, at_once=1
    ),
    "hamiltonian": Kind(
        "Hamiltonian Monte Carlo", lambda p: hamiltonian(p.log_density), 10, 0.01, adjusted=True, plain=False
    ),
    "adapted_langevin": Kind("adapted Langevin", adapted_langevin, 20, 0.5, 1.0, plain=False),
    "preconditioned_langevin": Kind(
        "preconditioned Langevin", lambda p: adapted_langevin(p, p.mean_precision()), 10, 0.5, 1.0, plain=False
    ),
}

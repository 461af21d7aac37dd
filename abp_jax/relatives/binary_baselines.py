"""Distributions of n bits that a deeper model should beat: independent pixels, a mixture of them, a logistic chain.

    mixture of Bernoullis    p(x) = sum_k w_k prod_i p_ki^x_i (1 - p_ki)^(1 - x_i)
    independent pixels       the mixture of one component
    logistic chain           p(x) = prod_i p(x_i | x_<i),   p(x_i = 1 | x_<i) = sigmoid(sum_{j<i} W_ij x_j + b_i)

The chain is the fully visible sigmoid belief network (Frey, Graphical models for machine learning and digital
communication, 1998): NADE and MADE without hidden units. `likelihood_fit.fit` learns it; the mixture is learned by EM
(Dempster, Laird and Rubin, JRSS B 1977), which needs no rate.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid, log_softmax, sigmoid, softplus
from jax.scipy.special import logsumexp

from abp_jax.compilation.precision import full_precision
from abp_jax.images import arguments
from abp_jax.relatives import bits


class Mixture(NamedTuple):
    """The parameters: log_weights log w_k, (K,), and logits, the log odds of p_ki, (K, n)."""

    log_weights: jax.Array
    logits: jax.Array


class Chain(NamedTuple):
    """The parameters: W, (n, n), of which only what lies below the diagonal is used, and b, (n,)."""

    W: jax.Array
    b: jax.Array


def mixture_log_prob(mixture: Mixture, x: jax.Array) -> jax.Array:
    """Returns log p(x) of one example x (n,) of bits, in nats: a scalar.

    Raises:
      ValueError: x is not one example of n bits; so for every density below.
    """
    return logsumexp(_joint(mixture, _one_example(mixture.logits[0], x)))


def mixture_sample(key: jax.Array, mixture: Mixture) -> jax.Array:
    """Draws one x (n,): a component k, then its pixels. Bits as 0.0 and 1.0."""
    k_key, x_key = jax.random.split(arguments.key(key))
    of_k = mixture.logits[jax.random.categorical(k_key, mixture.log_weights)]
    return jax.random.bernoulli(x_key, sigmoid(of_k)).astype(of_k.dtype)


def independent(x: jax.Array, pseudo_count: float = 1.0) -> Mixture:
    """Returns independent pixels, p_i = (number of ones + a) / (N + 2a), as a mixture of one component.

    x: bits (N, n). pseudo_count: a > 0, how many ones and zeros are added to each pixel's.

    Raises:
      TypeError, ValueError: x is not bits (N, n); pseudo_count isn't positive.
    """
    x, a = bits.checked("x", x), arguments.number("pseudo_count", pseudo_count)
    return _m_step(jnp.ones_like(x[:, :1]), x, a)


def em_step(mixture: Mixture, x: jax.Array, pseudo_count: float = 1.0) -> Mixture:
    """One iteration of EM: responsibilities r = p(k | x), then the weights and the pixels of each component from them.

    With the pseudo-count a it never lowers sum log p(x) + a sum_k (log w_k + sum_i log p_ki (1 - p_ki)): the
    posterior of the parameters under Dirichlet and Beta priors. Without it, a pixel that is never 1 would have log 0.

    x: bits (N, n), of floating-point numbers.
    """
    responsibilities = jax.nn.softmax(jax.vmap(_joint, (None, 0))(mixture, x), axis=1)
    return _m_step(responsibilities, x, pseudo_count)


def fit_mixture(
    key: jax.Array, x: jax.Array, num_components: int, num_rounds: int = 100, pseudo_count: float = 1.0
) -> Mixture:
    """Learns a mixture of K Bernoullis by EM, from components that each start near one image of x.

    x: bits (N, n). num_components: K, from 1 to N. num_rounds: of EM. pseudo_count: as in `em_step`.

    Raises:
      TypeError, ValueError: x is not bits (N, n); a number isn't positive, or K is above N.
    """
    x, a = bits.checked("x", x), arguments.number("pseudo_count", pseudo_count)
    K = arguments.whole("num_components", num_components, most=len(x))
    num_rounds = arguments.whole("num_rounds", num_rounds, of="rounds")
    images = x[jax.random.choice(arguments.key(key), len(x), (K,), replace=False)]
    p = (2 * sigmoid(independent(x, a).logits) + images) / 3
    start = Mixture(log_softmax(jnp.zeros_like(p[:, 0])), jnp.log(p) - jnp.log1p(-p))
    return jax.jit(lambda start: jax.lax.fori_loop(0, num_rounds, lambda _, m: em_step(m, x, a), start))(start)


def chain(num_pixels: int) -> Chain:
    """Returns the chain of n fair coins, W = 0 and b = 0. Its log-likelihood is concave, so it may start anywhere."""
    n = arguments.whole("num_pixels", num_pixels)
    return Chain(jnp.zeros((n, n)), jnp.zeros(n))


@full_precision
def chain_log_prob(chain: Chain, x: jax.Array) -> jax.Array:
    """Returns log p(x) of one example x (n,) of bits, in nats: a scalar."""
    x = _one_example(chain.b, x)
    return jnp.sum(log_sigmoid((2 * x - 1) * (jnp.tril(chain.W, -1) @ x + chain.b)))


@full_precision
def chain_sample(key: jax.Array, chain: Chain) -> jax.Array:
    """Draws one x (n,), pixel after pixel: bits as 0.0 and 1.0."""
    b = chain.b
    uniforms = jax.random.uniform(arguments.key(key), b.shape, b.dtype)

    def pixel(x, inputs):
        i, W_i, b_i, u = inputs  # of x only what lies before i is not yet zero
        return x.at[i].set((u < sigmoid(W_i @ x + b_i)).astype(x.dtype)), None

    return jax.lax.scan(pixel, jnp.zeros_like(b), (jnp.arange(len(b)), chain.W, b, uniforms))[0]


@full_precision
def _joint(mixture: Mixture, x: jax.Array):
    """log w_k + log p(x | k): (K,)."""
    return mixture.log_weights + mixture.logits @ x - jnp.sum(softplus(mixture.logits), axis=1)


@full_precision
def _m_step(r: jax.Array, x: jax.Array, a: float):
    """The mixture of responsibilities r (N, K)."""
    ones, zeros = r.T @ x + a, r.T @ (1 - x) + a
    return Mixture(log_softmax(jnp.log(jnp.sum(r, axis=0) + a)), jnp.log(ones) - jnp.log(zeros))


def _one_example(like: jax.Array, x: jax.Array):
    """x as an array of the parameters' type, once it is one example."""
    n = len(like)
    if jnp.shape(x) != (n,):
        raise ValueError(f"x must be one example of {n} bits, ({n},), got {jnp.shape(x)}: jax.vmap makes the batch.")
    return jnp.asarray(x, like.dtype)

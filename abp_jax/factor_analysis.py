"""Factor analysis, Y = W Z + b + e, where everything has an exact answer.

    Z ~ N(0, I_d),   e ~ N(0, sigma^2 I_D),   so   Y ~ N(b, W W' + sigma^2 I_D)

One sigma serves all D numbers of y, as in the generator network; this is probabilistic principal component analysis
(Tipping and Bishop, JRSS B 1999). W has shape (D, d) here, as in the formulas. A `LinearGenerator` keeps its transpose.
Products of matrices are taken in full float32 on every device: the defaults of GPUs and TPUs would cost digits here.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve

from abp_jax.compilation.precision import full_precision


class FactorAnalysis(NamedTuple):
    """The parameters: loading W, (D, d); mean b, (D,); sigma, the standard deviation of e, a scalar > 0."""

    loading: jax.Array
    mean: jax.Array
    sigma: jax.Array


class Posterior(NamedTuple):
    """p(z_i | y_i) = N(mean_i, covariance): mean (n, d), covariance (d, d), which is the same for every y."""

    mean: jax.Array
    covariance: jax.Array


@full_precision
def posterior(model: FactorAnalysis, y: jax.Array) -> Posterior:
    """Returns p(z_i | y_i), by completing the square in log p(z) + log p(y | z).

    The covariance is G^-1 with G = W'W / sigma^2 + I, the mean is G^-1 W'(y - b) / sigma^2. y: (n, D).

    Raises:
      ValueError: the shapes of the parameters and of y don't fit together; so for every function below.
    """
    W, b, sigma, y = _checked(model, y)
    cholesky = (jnp.linalg.cholesky(posterior_precision(model)), True)
    mean = cho_solve(cholesky, W.T @ (y - b[None, :]).T / sigma**2).T
    return Posterior(mean, cho_solve(cholesky, jnp.eye(W.shape[1], dtype=W.dtype)))


@full_precision
def posterior_precision(model: FactorAnalysis) -> jax.Array:
    """Returns G = W'W / sigma^2 + I, the curvature of -log p(z | y), whatever y is: (d, d)."""
    W = jnp.asarray(model.loading)
    return W.T @ W / model.sigma**2 + jnp.eye(W.shape[1], dtype=W.dtype)


@full_precision
def log_marginal_likelihood(model: FactorAnalysis, y: jax.Array) -> jax.Array:
    """Returns log p(y_i) = log N(y_i; b, WW' + sigma^2 I) for y of shape (n, D): (n,).

    Works with d x d matrices only. The D x D determinant is sigma^2D |G| (matrix determinant lemma). The quadratic
    form is |y - b - W m|^2 / sigma^2 + |m|^2 at the posterior mean m (Woodbury), a sum of squares: nothing cancels.
    """
    W, b, sigma, y = _checked(model, y)
    data_dim = W.shape[0]
    m = posterior(model, y).mean
    quadratic = jnp.sum((y - b[None, :] - m @ W.T) ** 2, axis=1) / sigma**2 + jnp.sum(m**2, axis=1)
    log_determinant = data_dim * jnp.log(sigma**2) + jnp.linalg.slogdet(posterior_precision(model))[1]
    return -0.5 * (data_dim * jnp.log(2 * jnp.pi) + log_determinant + quadratic)


def em_step(model: FactorAnalysis, y: jax.Array, learn_sigma: bool = True) -> FactorAnalysis:
    """One iteration of EM (Rubin and Thayer, Psychometrika 1982). Never lowers the likelihood.

    E: the posterior's first two moments. M: W <- S_yz S_zz^-1, the regression of y on z, and sigma^2 from what is
    left over. b is the mean of y, at which the likelihood is highest whatever W is. Start from a random W: a column
    of zeros stays zero, and equal columns stay equal. y: (n, D); learn_sigma: False keeps sigma as it is.
    """
    return _m_step(model, y, learn_sigma)[0]


@full_precision
def px_em_step(model: FactorAnalysis, y: jax.Array, learn_sigma: bool = True) -> FactorAnalysis:
    """One iteration of parameter-expanded EM (Liu, Rubin and Wu, Biometrika 1998): EM, then the prior is fitted too.

    The expanded model lets z have any covariance S_zz. The M step finds it, and z = L z~ with LL' = S_zz takes it back
    to z~ ~ N(0, I) with loading W L. The images W z do not change; the prior fits better. Arguments as in `em_step`.
    """
    em, S_zz = _m_step(model, y, learn_sigma)
    return em._replace(loading=em.loading @ jnp.linalg.cholesky(S_zz))


@full_precision
def _m_step(model: FactorAnalysis, y: jax.Array, learn_sigma: bool):
    """The E and the M step: the new model, and S_zz, the mean of E[z z' | y_i] over the examples."""
    _, _, sigma, y = _checked(model, y)
    n, b = len(y), y.mean(axis=0)
    centred = y - b[None, :]
    m, covariance = posterior(model._replace(mean=b), y)
    S_zz = m.T @ m / n + covariance
    W = jnp.linalg.solve(S_zz, m.T @ centred / n).T
    if learn_sigma:  # the mean of |y - b - W z|^2 under the posterior: two sums of squares, for small noise too
        left_over = jnp.sum((centred - m @ W.T) ** 2) / n + jnp.sum((W @ covariance) * W)
        sigma = jnp.sqrt(left_over / y.shape[1])
    return FactorAnalysis(W, b, sigma), S_zz


@full_precision
def maximum_likelihood(y: jax.Array, latent_dim: int, sigma: float | None = None) -> FactorAnalysis:
    """Returns the highest peak of the likelihood, by the singular values of the data (Tipping and Bishop, section 3.2).

    W = U (Lambda - sigma^2 I)^1/2, where Lambda holds the d largest variances of the data (sums divided by n) and the
    columns of U their directions. This is one W of many: W Q is as likely for every rotation Q. Here the columns are
    orthogonal, in order of decreasing length, and in each the entry of the largest size is positive.

    sigma: fixed noise level, or None to estimate it too: sigma^2 is then the mean of the D - d other variances. Raises
    ValueError where y isn't (n, D), or latent_dim d doesn't lie between 1 and what y can tell apart.
    """
    if jnp.ndim(y) != 2:
        raise ValueError(f"y must have shape (n, D), got {jnp.shape(y)}. Flatten images: y.reshape(len(y), -1).")
    y = jnp.asarray(y, jnp.result_type(float, y))
    n, data_dim = y.shape
    if not 1 <= latent_dim < data_dim:
        raise ValueError(f"latent_dim must lie between 1 and D - 1 = {data_dim - 1}, got {latent_dim}.")
    if latent_dim > n - 1 - (sigma is None):
        raise ValueError(
            f"{n} examples differ in {n - 1} directions at most, too few for latent_dim={latent_dim}"
            f"{' and a sigma to be estimated from what is left' if sigma is None else ''}. "
            "Lower latent_dim, or give more examples."
        )
    b = y.mean(axis=0)
    _, singular_values, directions = jnp.linalg.svd(y - b[None, :], full_matrices=False)
    variances, U = singular_values**2 / n, directions[:latent_dim].T
    if sigma is None:
        sigma = jnp.sqrt(jnp.sum(variances[latent_dim:]) / (data_dim - latent_dim))
    scale = jnp.sqrt(jnp.maximum(variances[:latent_dim] - sigma**2, 0.0))
    largest = jnp.take_along_axis(U, jnp.argmax(jnp.abs(U), axis=0)[None, :], axis=0)
    return FactorAnalysis(U * jnp.sign(largest) * scale[None, :], b, jnp.asarray(sigma, y.dtype))


def _checked(model: FactorAnalysis, y: jax.Array):
    """The parameters and y as arrays, once their shapes fit together."""
    W, b, sigma, y = *map(jnp.asarray, model), jnp.asarray(y)
    if W.ndim == 2 and (y.shape[1:], b.shape, sigma.shape) == ((W.shape[0],), (W.shape[0],), ()):
        return W, b, sigma, y
    if y.ndim > 2:
        cause = "Flatten images: y.reshape(len(y), -1)."
    elif y.ndim == 1:
        cause = "Give a single example as y[None, :]."
    elif W.ndim == 2 and W.shape[1] == y.shape[1]:
        cause = "W looks transposed: a LinearGenerator's kernel is (d, D), a loading is (D, d)."
    else:
        cause = "Expected: y (n, D), loading (D, d), mean (D,) and a scalar sigma."
    raise ValueError(
        f"y of shape {y.shape} does not fit a model with loading {W.shape}, mean {b.shape} and sigma {sigma.shape}. "
        + cause
    )

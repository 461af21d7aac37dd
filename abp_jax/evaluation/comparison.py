"""Chains compared with exact posteriors and by the clock: what their draws are worth, and what they cost.

Chains of one kind run on the posteriors of several images side by side, from given starts. Where z has two dimensions
the answer is known (see `quadrature`), so a bias is measured and not guessed.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from abp_jax import inference, samplers
from abp_jax.compilation.precision import full_precision
from abp_jax.compilation.programs import compiled
from abp_jax.evaluation import diagnostics
from abp_jax.evaluation.quadrature import ExactPosterior, PosteriorQuadrature
from abp_jax.images.data import decode

if TYPE_CHECKING:
    from matplotlib.axes import Axes  # slow to import, and only who draws has one


class Run(NamedTuple):
    """What the chains of one kind have drawn from the posteriors of n images.

    Attributes:
      z: (n, num_steps, chains, d).
      acceptance: the probability of each proposal, (n, num_steps, chains); nan without a Metropolis correction.
      step_size: s of each image, frozen, (n,).
      seconds: that the steps took, all images together, without compiling and warmup.
      gradients: derivatives of f in a step (`Sampler.gradients`), or d where the sampler leaves it unsaid, as
        Gauss-Newton does: one forward derivative for each coordinate of z.
    """

    z: jax.Array
    acceptance: jax.Array
    step_size: jax.Array
    seconds: float
    gradients: int


def run(
    key: jax.Array,
    f: Callable,
    images: jax.Array,
    z: jax.Array,
    *,
    sampler: str,
    sigma: float,
    step_size: float | jax.Array,
    num_steps: int,
    num_warmup: int = 0,
) -> Run:
    """Warms chains up, freezes their step sizes, and runs them by the clock.

    Args:
      key: for all images and chains.
      f: z -> f(z; W).
      images: (n, ...); for one image, images[i : i + 1].
      z: where the chains start, (n, chains, d).
      sampler: a name in `samplers.KINDS`.
      sigma: standard deviation of the noise.
      step_size: s, one for all images or (n,); for an adapted chain the fraction of the largest stable one.
      num_steps: steps that count.
      num_warmup: steps before these, thrown away. In them a chain with a Metropolis correction adapts its s, for each
        image on its own (see `samplers.warmup`); without one there is nothing to adapt to, and s stays.

    Raises:
      ValueError: there is no such sampler, z doesn't fit the images, or a number is not positive.
    """
    if jnp.ndim(z) != 3 or len(z) != len(images):
        raise ValueError(f"z must have the shape ({len(images)}, chains, d) for these images, got {jnp.shape(z)}.")
    z, images = jnp.asarray(z), decode(jnp.asarray(images))
    sigma = inference.check_chain(z.shape[2], sigma, sampler, num_steps, np.min(step_size)).sigma
    key_start, key_warmup, key_run = (jax.random.split(k, len(images)) for k in jax.random.split(key, 3))
    step_size = jnp.broadcast_to(jnp.asarray(step_size, float), len(images))
    settings = dict(images=images, name=sampler, sigma=sigma, latent_dim=z.shape[2])
    state = _start(f, key_start, arrays=(z,), num_steps=0, **settings)
    if num_warmup and samplers.KINDS[sampler].adjusted:
        state, step_size = _warmup(f, key_warmup, arrays=(state, step_size), num_steps=num_warmup, **settings)
    elif num_warmup:
        state = _run(f, key_warmup, arrays=(state, step_size), num_steps=num_warmup, **settings).state
    program = _run.ahead(f, key_run, arrays=(state, step_size), num_steps=num_steps, **settings)
    jax.block_until_ready((state, step_size))  # warmup may still be under way
    begin = time.perf_counter()
    drawn = jax.block_until_ready(program())
    seconds = time.perf_counter() - begin
    gradients = inference.sampler_of(sampler, f, images[0], sigma, z.shape[2]).gradients
    gradients = z.shape[2] if gradients is None else gradients
    accepted = np.full(drawn.z.shape[:3], np.nan) if drawn.info.acceptance is None else drawn.info.acceptance
    return Run(drawn.z, accepted, step_size, seconds, gradients)


def _for_all_images(function: Callable):
    """The function of one image's (key, y, ...) for those of all images, compiled for each f and kind of chain."""

    @partial(compiled, static=("name", "sigma", "latent_dim", "num_steps"))
    @full_precision
    def program(f, keys, images, arrays, name, sigma, latent_dim, num_steps):
        def one(key, y, *arrays):
            return function(key, inference.sampler_of(name, f, y, sigma, latent_dim), *arrays, num_steps)

        return jax.vmap(one)(keys, images, *arrays)

    return program


_start = _for_all_images(lambda key, sampler, z, num_steps: samplers.start(sampler, z, key))
_warmup = _for_all_images(samplers.warmup)
_run = _for_all_images(samplers.run)


class Moments(NamedTuple):
    """Of chains, in the standard coordinates x of the exact posteriors: each (n, 2), the narrow axis first.

    Attributes:
      mean, square: averages of x and of x^2 over all chains; 0 and 1 for exact draws.
      mean_error, square_error: their standard errors, from the spread of the chains' own averages.
    """

    mean: np.ndarray
    mean_error: np.ndarray
    square: np.ndarray
    square_error: np.ndarray


class Efficiency(NamedTuple):
    """What draws cost: for each image, (n,), of the posterior's worse axis.

    Attributes:
      per_step: effective sample size for each step of a chain, 1 for independent draws.
      per_gradient: for each derivative; nan for a chain without.
      per_second: for each second of the image's share of `Run.seconds`.
      r_hat: see `diagnostics.r_hat`.
    """

    per_step: np.ndarray
    per_gradient: np.ndarray
    per_second: np.ndarray
    r_hat: np.ndarray


def spread_starts(key: jax.Array, exact: Sequence[ExactPosterior], num_chains: int, factor: float = 2.0) -> jax.Array:
    """Returns starts for chains, (n, num_chains, 2): draws from N(mean, factor^2 covariance) of each exact posterior.

    Wider than the posterior, since R-hat can only tell that chains have met if they began apart.
    """
    u = np.asarray(jax.random.normal(key, (len(exact), num_chains, 2)))
    roots = [np.linalg.cholesky(posterior.covariance) for posterior in exact]
    return jnp.stack([e.mean + factor * v @ root.T for e, v, root in zip(exact, u, roots, strict=True)])


def standardise(z: jax.Array, exact: Sequence[ExactPosterior]) -> np.ndarray:
    """Returns x = Lambda^-1/2 Q' (z - E[z | y]) with Cov[z | y] = Q Lambda Q': mean 0 and covariance I, if exact.

    z: (n, ..., 2), a row for each of the n posteriors. Returns x, of the same shape, in 64 bits: the narrow axis first.
    Raises ValueError if there are more or fewer rows than posteriors.
    """
    rows = []
    for row, posterior in zip(np.asarray(z, np.float64), exact, strict=True):
        variances, axes = np.linalg.eigh(posterior.covariance)
        rows.append((row - posterior.mean) @ axes / np.sqrt(variances))
    return np.stack(rows)


def moments(drawn: Run, exact: Sequence[ExactPosterior]) -> Moments:
    """Compares chains with the exact posteriors (n of them), axis by axis. Needs two chains or more for the errors."""
    x = standardise(drawn.z, exact)
    of_chains = np.stack([x, x**2]).mean(axis=2)  # (2, n, chains, 2)
    mean, square = of_chains.mean(axis=2)
    mean_error, square_error = of_chains.std(axis=2, ddof=1) / np.sqrt(of_chains.shape[2])
    return Moments(mean, mean_error, square, square_error)


def efficiency(drawn: Run, exact: Sequence[ExactPosterior]) -> Efficiency:
    """Measures what the draws of chains are worth, along the axes of the exact posteriors (n of them)."""
    size, r_hat = map(np.asarray, _worst(jnp.asarray(standardise(drawn.z, exact), jnp.float32)))
    n, num_steps, chains, _ = drawn.z.shape
    per_step = size / (num_steps * chains)
    per_gradient = per_step / drawn.gradients if drawn.gradients else np.full(n, np.nan)
    return Efficiency(per_step, per_gradient, size * n / drawn.seconds, r_hat)


@jax.jit
@jax.vmap
def _worst(x: np.ndarray):
    return diagnostics.effective_sample_size(x).min(), diagnostics.r_hat(x).max()


def draw_ellipses(exact: ExactPosterior, ax: "Axes", radii: Sequence[float] = (1, 2), color: str = "C0") -> "Axes":
    """Draws the Gaussian of the posterior's mean and covariance: where it is `radii` standard deviations wide."""
    angle = np.linspace(0, 2 * np.pi, 100)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1) @ np.linalg.cholesky(exact.covariance).T
    for radius in radii:
        ax.plot(*(exact.mean + radius * circle).T, color=color, linewidth=0.9)
    return ax


def draw_posterior(
    integrator: PosteriorQuadrature, y: jax.Array, exact: ExactPosterior, ax: "Axes", color: str = "C0"
) -> "Axes":
    """Shades p(z | y) of an image y (h, w, c) in a square around its mean, and draws its ellipse and y in a corner."""
    from abp_jax.plots import density, to_display

    half = 3.2 * np.sqrt(np.linalg.eigvalsh(exact.covariance)[-1])
    x_axis, y_axis = (jnp.linspace(middle - half, middle + half, 64) for middle in exact.mean)
    edges = tuple(float(end) for axis in (x_axis, y_axis) for end in (axis[0], axis[-1]))
    density(integrator.log_density_on_grid(y, x_axis, y_axis), ax, edges)
    ax.set_aspect("equal")
    corner = ax.inset_axes([0.0, 0.0, 0.25, 0.25])
    corner.imshow(to_display(y))
    corner.set_axis_off()
    return draw_ellipses(exact, ax, (2,), color)


def draw_landscape(integrator: PosteriorQuadrature, y: jax.Array, exact: ExactPosterior, ax: "Axes") -> "Axes":
    """Draws log p(z | y) of one image over (-3, 3)^2, and a circle where the exact mean is."""
    axis = jnp.linspace(-3, 3, 128)
    ax.contourf(axis, axis, integrator.log_density_on_grid(y, axis, axis), 24, cmap="Blues")
    ax.plot(*exact.mean, "o", color="black", markersize=13, fillstyle="none", markeredgewidth=1.5)
    ax.set(xlabel="$z_1$", ylabel="$z_2$", xlim=(-3, 3), ylim=(-3, 3), aspect="equal")
    return ax


def draw_dots(values: dict[str, tuple[np.ndarray, np.ndarray]], ax: "Axes") -> "Axes":
    """Draws values and standard errors (n,) of every name beside each other, in columns, with a line at 1."""
    for k, (value, error) in enumerate(values.values()):
        places = k + np.linspace(-0.3, 0.3, len(value))
        ax.errorbar(places, value, error, fmt="o", color=f"C{k}", markersize=3, linewidth=0.8)
    ax.axhline(1, color="black", linewidth=1)
    ax.set(ylim=(0, None), xticks=range(len(values)))
    ax.set_xticklabels(values, rotation=35, ha="right", fontsize=9)
    ax.grid(axis="x", visible=False)
    return ax


def draw_bars(values: dict[str, float], ax: "Axes") -> "Axes":
    """Draws a bar for every name, its value beside it, or "none" for nan."""
    places, lengths = np.arange(len(values)), np.array(list(values.values()))
    ax.barh(places, np.nan_to_num(lengths), color=[f"C{k}" for k in places], height=0.65)
    for k, value in enumerate(lengths):
        text = " none" if np.isnan(value) else f" {value:,.0f}" if value > 10 else f" {value:.2f}"
        ax.text(np.nan_to_num(value), k, text, va="center", fontsize=9)
    ax.set(xlim=(0, 1.3 * np.nanmax(lengths)), yticks=places, yticklabels=list(values))
    ax.locator_params(axis="x", nbins=4)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    return ax

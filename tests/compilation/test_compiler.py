"""The compiler computes what NumPy computes, and a data set's numbers do not depend on how many rows come at once."""

import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax import factor_analysis, langevin, learning, model
from abp_jax.compilation import compiler, first_weights
from abp_jax.evaluation import evidence, quadrature
from abp_jax.inference import Chain
from abp_jax.training import stability

# The other tests are compiled in a hurry (conftest.py); here the compiler is the part under test, as users have it.
# (What `quick` turns off is on, whatever conftest.py has set.)
AS_USERS_HAVE_IT = {name: True if value is False else value for name, value in (compiler.quick() or {}).items()}
jit = partial(jax.jit, compiler_options=AS_USERS_HAVE_IT)

CHUNK = 100
RNG = np.random.default_rng(0)


# 41^2 rows of 2 are the scan of quadrature, 64 * 2^k its lattices.
@pytest.mark.parametrize("num_rows", [512, 1024, 41**2, 8192, 40_000])
@pytest.mark.parametrize(("num_columns", "num_outputs"), [(2, 2), (2, 64), (3, 3), (3, 20), (20, 64), (64, 784)])
@pytest.mark.parametrize("options", [AS_USERS_HAVE_IT, compiler.quick()], ids=["by default", "quick"])
def test_products_and_sums_of_many_rows_are_those_of_numpy(num_rows, num_columns, num_outputs, options):
    jit = partial(jax.jit, compiler_options=options)
    rows, matrix = RNG.normal(size=(num_rows, num_columns)), RNG.normal(size=(num_outputs, num_columns))
    M = jnp.asarray(matrix, jnp.float32)
    ours = {
        "squares": jit(jax.vmap(lambda r: jnp.sum((M @ r) ** 2))),
        "tanh": jit(jax.vmap(lambda r: jnp.sum(jnp.tanh(M @ r)))),
        "largest": jit(jax.vmap(lambda r: jnp.max(M @ r))),
        "sum": jit(jax.vmap(lambda r: jnp.sum(M @ r))),
        "batches": jit(lambda rows: jax.lax.map(lambda r: jnp.sum((M @ r) ** 2), rows, batch_size=64)),
    }
    products = rows @ matrix.T
    exact = {
        "squares": (products**2).sum(axis=1),
        "tanh": np.tanh(products).sum(axis=1),
        "largest": products.max(axis=1),
        "sum": products.sum(axis=1),
        "batches": (products**2).sum(axis=1),
    }
    for name, function in ours.items():
        errors = np.abs(np.asarray(function(jnp.asarray(rows, jnp.float32))) - exact[name])
        scale = np.sqrt(num_outputs) + np.abs(exact[name])
        assert np.count_nonzero(~(errors <= 1e-4 * scale)) == 0, f"{name}: wrong rows"


NUM = 1037  # not a multiple of anything


@pytest.fixture(scope="module")
def problem():
    """f, z and y for many examples of six numbers with two latent ones."""
    generator = abp.MLPGenerator(latent_dim=2, data_dim=6, widths=(16,), rngs=nnx.Rngs(0))
    z = jax.random.normal(jax.random.key(1), (NUM, 2))
    y = abp.reconstruct(generator, z) + 0.3 * jax.random.normal(jax.random.key(2), (NUM, 6))
    return generator, z, y


def per_example(generator):
    """Every number that the library gives for each example of a data set: name -> function of z and y."""
    residual = lambda z, y: model.residual(generator, z, y, 0.3)
    linear = factor_analysis.FactorAnalysis(*map(jnp.asarray, (RNG.normal(size=(6, 2)), RNG.normal(size=6), 0.3)))
    keys = lambda z: jax.vmap(lambda row: jax.random.key(row[0].view(jnp.int32)))(z)  # each example's own
    weights = jax.vmap(lambda key, z, y: evidence.importance_log_weights(key, generator, z, y, 0.3, 8))
    chain = Chain(sigma=0.3, sampler="gauss_newton", num_steps=3, step_size=0.5)
    return {
        "log_prior": jax.vmap(lambda z, y: model.log_prior(z)),
        "log_likelihood": jax.vmap(lambda z, y: model.log_likelihood(generator, z, y, 0.3)),
        "log_joint": jax.vmap(lambda z, y: model.log_joint(generator, z, y, 0.3)),
        "squares of residual": jax.vmap(lambda z, y: jnp.sum(residual(z, y) ** 2)),
        "precision": jax.vmap(lambda z, y: langevin.precision(partial(residual, y=y), z)),
        "gradient": jax.vmap(jax.grad(lambda z, y: model.log_joint(generator, z, y, 0.3))),
        "images": lambda z, y: abp.reconstruct(generator, z),
        "reconstruction_error": lambda z, y: abp.reconstruction_error(generator, z, y),
        "factor analysis": lambda z, y: factor_analysis.log_marginal_likelihood(linear, y),
        "factor analysis's means": lambda z, y: factor_analysis.posterior(linear, y).mean,
        "importance weights": lambda z, y: weights(keys(z), z, y),
        "importance bounds": lambda z, y: jax.vmap(lambda w: evidence.importance_bound(w, 4).value)(
            weights(keys(z), z, y)
        ),
        "stable steps": lambda z, y: stability.largest_stable_steps(generator, y, z, 0.3),
        "chains": lambda z, y: learning.infer_latents(generator, keys(z), z, y, chain=chain),
        "modes": jax.vmap(lambda z, y: evidence.find_mode(generator, z, y, 0.3, num_steps=3)),
    }


@pytest.mark.parametrize("name", per_example(None))
def test_one_call_and_chunks_agree(problem, name):
    generator, z, y = problem
    function = jit(per_example(generator)[name])
    whole = np.asarray(function(z, y))
    parts = [np.asarray(function(z[i : i + CHUNK], y[i : i + CHUNK])) for i in range(0, NUM, CHUNK)]
    np.testing.assert_allclose(whole, np.concatenate(parts), rtol=2e-4, atol=2e-4)


def test_the_lattice_has_the_same_density_in_one_call_and_in_chunks(problem):
    generator, z, y = problem
    exact, z = quadrature.PosteriorQuadrature(generator, 0.3), np.asarray(z)
    parts = [exact.log_joint(z[i : i + CHUNK], y[0]) for i in range(0, NUM, CHUNK)]
    np.testing.assert_allclose(exact.log_joint(z, y[0]), np.concatenate(parts), rtol=2e-4)
    one = jit(jax.vmap(lambda z: model.log_joint(generator, z, y[0], 0.3)))
    np.testing.assert_allclose(exact.log_joint(z, y[0]), one(z), rtol=2e-4, atol=2e-3)


def test_warns_of_a_wrong_compiler_and_of_no_other():
    for version in compiler.WRONG_ON_CPU:
        with pytest.warns(RuntimeWarning, match=f"jaxlib {version} .* pip install -U 'jax!=0.9.1") as caught:
            compiler.warn_if_wrong(version)
        assert len(caught) == 1 and "\n" not in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for version in ("0.6.0", "0.9.0.1", "0.11.0", "0.12.0.1", "0.10.20"):
            compiler.warn_if_wrong(version)


@pytest.mark.parametrize(
    ("ours", "plain", "sizes"),
    [
        (first_weights.lecun_normal, nnx.initializers.lecun_normal(), ((3, 500), jnp.float32)),
        (first_weights.normal, nnx.initializers.normal(1.0), ((500,), jnp.float32)),
        (first_weights.smooth_kernel_and_bias, first_weights.smooth_kernel_and_bias.__wrapped__, (16, 8, 5, 2)),
    ],
)
def test_first_weights_have_the_same_bits_however_quickly_they_are_compiled(ours, plain, sizes):
    key, numbers = jax.random.key(3), tuple(range(1, 1 + len(sizes)))
    expected = jit(plain, static_argnums=numbers)(key, *sizes)
    whole = jit(lambda key: ours(key, *sizes))(key)
    for found in (ours(key, *sizes), whole):
        jax.tree.map(np.testing.assert_array_equal, found, expected)
    many = jax.vmap(lambda key: ours(key, *sizes))(jax.random.split(key, 2))
    shapes = jax.tree.map(jnp.shape, jax.eval_shape(lambda: ours(key, *sizes)))
    assert jax.tree.map(lambda a: a.shape[1:], many) == shapes == jax.tree.map(jnp.shape, expected)

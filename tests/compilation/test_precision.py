"""What is measured multiplies with all digits, on a device that would round too: read off the programs."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax import model
from abp_jax.evaluation import comparison, diagnostics, evidence, lattice, metrics, paths, quadrature
from abp_jax.relatives import (
    annealed_importance,
    binary_baselines,
    class_shares,
    contrastive_divergence,
    divergences,
    encoders,
    gaps,
    gibbs,
    made,
    made_masks,
    nade,
    rbm,
    rbm_gradient,
    tables,
    toys,
    variational,
)
from abp_jax.relatives.encoders import Gaussian

KEY = jax.random.key(0)
GENERATOR = abp.ConvGenerator(2, 8, 2, 1, rngs=nnx.Rngs(0))
GENERATE, PARAMS = abp.generators.functional(GENERATOR)
F, Z, Y = partial(GENERATE, PARAMS), jnp.ones(2), jnp.zeros((8, 8, 1))
BITS, HALF = jnp.array([1.0, 0.0, 1.0, 1.0]), jnp.array([0.0, 1.0, 0.0])
RBM = rbm.RBM(jnp.ones((3, 4)), jnp.ones(4), jnp.ones(3))
NADE = nade.init(KEY, 4, 3)
MADE, MASKS = (
    made.init(KEY, 4, (5,), direct=True),
    jax.tree.map(lambda a: a[0], made_masks.random_masks(KEY, 4, (5,), 1)),
)
MIXTURE, CHAIN = binary_baselines.independent(jnp.stack([BITS, 1 - BITS])), binary_baselines.chain(4)
CURVE = abp.MLPGenerator(1, 2, (4,), rngs=nnx.Rngs(0))
F_PLANE = abp.MLPGenerator(2, 2, (3,), rngs=nnx.Rngs(1))
PRODUCTS = ("dot_general", "conv_general_dilated")
MEASURES = {
    "evidence.importance_log_weights": lambda z: evidence.importance_log_weights(KEY, F, z, Y, 0.3, 4),
    "evidence.find_mode": lambda z: evidence.find_mode(F, z, Y, 0.3),
    "evidence.annealed_bracket": lambda z: evidence.annealed_bracket(KEY, F, z[None], Y, 0.3),
    "quadrature._squares": lambda z: quadrature._squares(GENERATOR, z[None], Y, 0.3),
    "quadrature._climb": lambda z: quadrature._climb(GENERATOR, z[None], Y, 0.3),
    "quadrature._precision": lambda z: quadrature._precision(GENERATOR, z, Y, 0.3),
    "quadrature._scan": lambda z: quadrature._scan(GENERATOR, z[None], Y[None], 0.3),
    "lattice._log_sum": lambda z: lattice._log_sum(
        GENERATOR, z[None, None], jnp.ones((1, 1), bool), Y[None], sigma=0.3
    ),
    "paths.length": lambda z: paths.length(GENERATOR, jnp.stack([z, 2 * z])),
    "metrics.reconstruction_error": lambda z: metrics.reconstruction_error(GENERATOR, z[None], Y[None]),
    "diagnostics.autocorrelation": lambda z: diagnostics.autocorrelation(z, 1),
    "comparison": lambda z: comparison._run(
        GENERATOR,
        KEY[None],
        Y[None],
        (comparison._start(GENERATOR, KEY[None], Y[None], (z[None, None],), "mala", 0.3, 2, 1), jnp.ones(1)),
        "mala",
        0.3,
        2,
        3,
    ),
    "rbm.energy": lambda v: rbm.energy(RBM, v, HALF),
    "rbm.log_prob": lambda v: rbm.log_prob(RBM, v, rbm.log_partition(RBM)),
    "rbm.exact_draws": lambda v: rbm.exact_draws(KEY, RBM._replace(b=v), 2),
    "rbm.block_gibbs": lambda v: rbm.block_gibbs(KEY, RBM, v, 2),
    "rbm_gradient.gradient": lambda v: rbm_gradient.gradient(RBM, v[None]),
    "contrastive_divergence.direction": lambda v: contrastive_divergence.direction(KEY, RBM, v[None], v[None]),
    "contrastive_divergence.expected": lambda v: contrastive_divergence.expected_direction(RBM, jnp.tile(v, 4) / 12, 2),
    "annealed_importance": lambda v: annealed_importance.annealed_bracket(KEY, RBM, v, v[None]),
    "binary_baselines.mixture": lambda x: binary_baselines.mixture_log_prob(MIXTURE, x),
    "binary_baselines.em_step": lambda x: binary_baselines.em_step(MIXTURE, x[None]),
    "binary_baselines.chain": lambda x: binary_baselines.chain_log_prob(CHAIN, x),
    "binary_baselines.chain_sample": lambda x: binary_baselines.chain_sample(KEY, CHAIN._replace(b=x)),
    "nade.log_prob": lambda x: nade.log_prob(NADE, x),
    "nade.log_prob_direct": lambda x: nade.log_prob_direct(NADE, x),
    "nade.complete": lambda x: nade.complete(KEY, NADE, x, 2),
    "made.log_prob": lambda x: made.log_prob(MADE, MASKS, x),
    "divergences.density_on_grid": lambda x: divergences.density_on_grid(F_PLANE, x.reshape(2, 2), 0.3, spacing=1),
    "made.complete": lambda x: made.complete(KEY, MADE, MASKS, x, 2),
    "class_shares.nearest_class": lambda x: class_shares.nearest_class(x[None], jnp.stack([x, 1 - x]), [0, 1], 1),
    "gaps.exact_elbo": lambda z: gaps.exact_elbo(F, Gaussian(z, jnp.eye(2)), Y, 0.3, spacing=1.0),
    "gaps.best_gaussian": lambda z: gaps.best_gaussian(F, Y, 0.3, Gaussian(z, jnp.eye(2))),
    "gaps.laplace": lambda z: gaps.laplace(F, z, Y, 0.3),
    "gibbs.sweep": lambda x: gibbs.sweep(jnp.tile(x, 4)),
    "gibbs.visible_chain": lambda x: gibbs.visible_chain(jnp.tile(x, 4), 2),
    "encoders.draw": lambda x: encoders.draw(encoders.Gaussian(x[:2], jnp.eye(2)), x[2:]),
    "encoders.covariance": lambda x: encoders.covariance(encoders.Gaussian(x[:2], jnp.diag(x[2:]))),
    "variational.elbo": lambda x: variational.elbo(KEY, F, encoders.Gaussian(x[:2], jnp.eye(2)), Y, 0.3),
    "toys.log_evidence": lambda x: toys.log_evidence(CURVE, x[:2], 0.3, toys.lattice(5)),
    "tables.partition_function": lambda x: tables.partition_function(tables.misconception()) + x[0],
}
ARGUMENTS = {"evidence": Z, "quadrature": Z, "lattice": Z, "paths": Z, "metrics": Z, "comparison": Z, "gaps": Z}


def products(program):
    """Every product in a program and in the programs that it calls."""
    for equation in program.eqns:
        if equation.primitive.name in PRODUCTS:
            yield equation
        for inner in jax.core.jaxprs_in_params(equation.params):
            yield from products(inner)


def rounded(function, argument):
    """How many products there are, and which of them don't ask for all digits."""
    found = list(products(jax.make_jaxpr(function)(argument).jaxpr))
    exact = (jax.lax.Precision.HIGHEST, jax.lax.Precision.HIGHEST)
    return len(found), [equation for equation in found if equation.params["precision"] != exact]


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_multiplies_with_all_digits(name):
    argument = jnp.ones(8) if name.startswith("diagnostics") else ARGUMENTS.get(name.split(".")[0], BITS)
    count, rough = rounded(MEASURES[name], argument)
    assert count > 0 and not rough


def test_a_derivative_of_a_measure_does_too():
    count, rough = rounded(jax.grad(lambda x: nade.log_prob(NADE._replace(c=x), BITS)), BITS)
    assert count > 0 and not rough


def test_what_is_not_asked_to_is_found():
    """The walk through the programs sees a product that may be rounded: of the model itself, which one learns by."""
    count, rough = rounded(lambda z: model.log_joint(F, z, Y, 0.3), Z)
    assert count == len(rough) > 0

"""The generator's relatives on bits: models of x in {0, 1}^n, each with an exact answer beside it.

Read in this order:

- bits, enumeration: all states of n bits and sums over them; what is learned from: digits, clothes, bars and stripes
- tables, graphs: small joint distributions, and the independencies that a graph promises, with arrows or without
- markov_chains, gibbs: transition matrices, and drawing from a p(x) known up to a constant
- rbm, rbm_gradient, contrastive_divergence, rbm_learning, annealed_importance: the restricted Boltzmann machine
- nade, made_masks, made: p(x) as a product of conditionals, in one network
- binary_baselines, likelihood_fit: what they should beat, and how all of those with a p(x) are learned

Nothing else in the library needs this folder.
"""

from abp_jax.relatives import (
    annealed_importance,
    binary_baselines,
    bits,
    contrastive_divergence,
    enumeration,
    gibbs,
    graphs,
    likelihood_fit,
    made,
    made_masks,
    markov_chains,
    nade,
    rbm,
    rbm_gradient,
    rbm_learning,
    tables,
)

__all__ = [
    "annealed_importance",
    "binary_baselines",
    "bits",
    "contrastive_divergence",
    "enumeration",
    "gibbs",
    "graphs",
    "likelihood_fit",
    "made",
    "made_masks",
    "markov_chains",
    "nade",
    "rbm",
    "rbm_gradient",
    "rbm_learning",
    "tables",
]

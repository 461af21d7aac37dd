"""The generator's relatives, each with an exact answer beside it.

Models of x in {0, 1}^n, in reading order:

- bits, enumeration: all states of n bits and sums over them; what is learned from: digits, clothes, bars and stripes
- tables, graphs: small joint distributions, and the independencies that a graph promises, with arrows or without
- markov_chains, gibbs: transition matrices, and drawing from a p(x) known up to a constant
- rbm, rbm_gradient, contrastive_divergence, rbm_learning, annealed_importance: the restricted Boltzmann machine
- trees, pairwise: the best Bayesian network that is a tree, and the Markov network of all pairs
- nade, made_masks, made: p(x) as a product of conditionals, in one network
- binary_baselines, likelihood_fit: what they should beat, and how all of those with a p(x) are learned

Other ways to learn Y = f(Z; W) + e; the noise stays, and so p(y) is exact where z has two dimensions at most:

- convolution, encoders: the way back, from y to a normal distribution for z
- variational, vae: the evidence lower bound, and the variational autoencoder
- gaussian_bounds, gaps: whose the distance from the bound to log p(y) is
- toys, wake_sleep: small models and a figure eight; learning from dreams
- critics, divergences, adversarial, rings: generator against critic, and what the game descends
- batch_norm, class_shares: the parts of a DCGAN, and which classes it draws
- lattice_likelihood: maximum likelihood itself, by a lattice of z, which tells what the others lose

All of them on the same images: rows reads the two tables on record, rows_drawn shows them.

Nothing else in the library needs this folder.
"""

from abp_jax.relatives import (
    adversarial,
    annealed_importance,
    batch_norm,
    binary_baselines,
    bits,
    class_shares,
    contrastive_divergence,
    convolution,
    critics,
    divergences,
    encoders,
    enumeration,
    gaps,
    gaussian_bounds,
    gibbs,
    graphs,
    lattice_likelihood,
    likelihood_fit,
    made,
    made_masks,
    markov_chains,
    nade,
    pairwise,
    rbm,
    rbm_gradient,
    rbm_learning,
    rings,
    rows,
    rows_drawn,
    tables,
    toys,
    trees,
    vae,
    variational,
    wake_sleep,
)

__all__ = [
    "adversarial",
    "annealed_importance",
    "batch_norm",
    "binary_baselines",
    "bits",
    "class_shares",
    "contrastive_divergence",
    "convolution",
    "critics",
    "divergences",
    "encoders",
    "enumeration",
    "gaps",
    "gaussian_bounds",
    "gibbs",
    "graphs",
    "lattice_likelihood",
    "likelihood_fit",
    "made",
    "made_masks",
    "markov_chains",
    "nade",
    "pairwise",
    "rbm",
    "rbm_gradient",
    "rbm_learning",
    "rings",
    "rows",
    "rows_drawn",
    "tables",
    "toys",
    "trees",
    "vae",
    "variational",
    "wake_sleep",
]

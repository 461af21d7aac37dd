"""The generator's relatives on bits: models of x in {0, 1}^n, each with an exact answer beside it.

Read in this order:

- bits: all states of n bits, Bernoulli probabilities, and what is learned from: digits, clothes, bars and stripes
- tables: small joint distributions as tables; the student and the misconception
- graphs: which independencies a graph promises, with arrows or without
- markov_chains: transition matrices, what they keep and how fast they forget
- gibbs: drawing from p(x) known up to a constant, one bit after the other

Nothing else in the library needs this folder.
"""

from abp_jax.relatives import bits, gibbs, graphs, markov_chains, tables

__all__ = ["bits", "gibbs", "graphs", "markov_chains", "tables"]

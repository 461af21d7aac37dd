"""The best Bayesian network of n bits in which every bit has one parent at most: a Chow-Liu tree.

    p(x) = prod_i p(x_i | x_pa(i)),   the root without a parent

Whatever the tree, its best tables are the data's own, and the mean log p(x) is then a sum over its edges less what no
tree changes,

    mean log p(x) = sum_edges I(x_i; x_j) - sum_i H(x_i)
    I(x_i; x_j) = sum_ab p_ij(a, b) log p_ij(a, b) / (p_i(a) p_j(b))

so that the best tree is the spanning tree of the largest total mutual information I: no search, and no rate. With the
pseudo-count a, all of this holds for tables of pairs p_ij(a, b) = (N_ij(a, b) + a) / (N + 4a), from which p_i follows.
Source: Chow and Liu, IEEE Transactions on Information Theory 1968.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse import csgraph

from abp_jax.images import arguments
from abp_jax.relatives import bits


class Tree(NamedTuple):
    """The parameters: parents, (n,), -1 at the root; logits, (n, 2); order, (n,), every parent before its children.

    logits[i, a] are the log odds of x_i = 1 where the parent is a. At the root both are the same.
    """

    parents: jax.Array
    logits: jax.Array
    order: jax.Array


def pair_tables(x: jax.Array, pseudo_count: float = 1.0) -> np.ndarray:
    """Returns p_ij(a, b), how often bit i is a and bit j is b, in float64: (n, n, 2, 2). For i = j it has no meaning.

    x: bits (N, n). pseudo_count: a > 0, added to the number of each of the four cases.

    Raises:
      TypeError, ValueError: x is not bits (N, n); pseudo_count isn't positive.
    """
    x, a = np.asarray(bits.checked("x", x), float), arguments.number("pseudo_count", pseudo_count)
    values = np.stack([1 - x, x])
    return (np.einsum("ani,bnj->ijab", values, values, optimize=True) + a) / (len(x) + 4 * a)


def mutual_information(tables: np.ndarray) -> np.ndarray:
    """Returns I(x_i; x_j) in nats, (n, n), 0 on the diagonal, from the tables of `pair_tables`."""
    first, second = tables.sum(axis=3, keepdims=True), tables.sum(axis=2, keepdims=True)
    information = np.sum(tables * np.log(tables / (first * second)), axis=(2, 3))
    np.fill_diagonal(information, 0.0)
    return np.maximum(information, 0.0)


def best_parents(information: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns parents and order, as a `Tree` has them, of the spanning tree with the largest sum of the weights.

    information: symmetric, (n, n). Bit 0 is the root: any other root gives the same distribution.
    """
    # scipy takes a weight of 0 for a missing edge, so all are made positive; the largest becomes the smallest.
    cost = 1.0 + information.max() - information
    np.fill_diagonal(cost, 0.0)
    edges = csgraph.minimum_spanning_tree(cost)
    order, parents = csgraph.breadth_first_order(edges, 0, directed=False)
    return np.where(parents < 0, -1, parents), order


def fit(x: jax.Array, pseudo_count: float = 1.0) -> Tree:
    """Learns the tree and its tables from bits x (N, n). Arguments and errors as for `pair_tables`."""
    tables = pair_tables(x, pseudo_count)
    parents, order = best_parents(mutual_information(tables))
    of_pair = tables[np.arange(len(parents)), parents]  # (n, 2, 2): this bit, then the one above it
    of_pair[parents < 0] = of_pair[parents < 0].sum(axis=2, keepdims=True)  # of the root alone
    logits = np.log(of_pair[:, 1]) - np.log(of_pair[:, 0])
    return Tree(jnp.asarray(parents), jnp.asarray(logits, jnp.result_type(float)), jnp.asarray(order))


def log_prob(tree: Tree, x: jax.Array) -> jax.Array:
    """Returns log p(x) of one example x (n,) of bits, in nats: a scalar.

    Raises:
      ValueError: x is not one example of n bits.
    """
    n = len(tree.parents)
    if jnp.shape(x) != (n,):
        raise ValueError(f"x must be one example of {n} bits, ({n},), got {jnp.shape(x)}: jax.vmap makes the batch.")
    x = jnp.asarray(x, tree.logits.dtype)
    above = x[tree.parents]  # the root's has no effect
    return bits.bernoulli_log_prob(x, jnp.where(above == 1, tree.logits[:, 1], tree.logits[:, 0]))


def sample(key: jax.Array, tree: Tree) -> jax.Array:
    """Draws one x (n,), the root first, then always a bit whose parent is drawn: bits as 0.0 and 1.0."""
    uniforms = jax.random.uniform(arguments.key(key), tree.parents.shape, tree.logits.dtype)

    def bit(x, i):
        above = x[tree.parents[i]].astype(int)
        p = jax.nn.sigmoid(tree.logits[i, above])
        return x.at[i].set((uniforms[i] < p).astype(x.dtype)), None

    return jax.lax.scan(bit, jnp.zeros_like(uniforms), tree.order)[0]


def num_parameters(tree: Tree) -> int:
    """Returns 2n - 1: two numbers for each bit, but one for the root."""
    return 2 * len(tree.parents) - 1

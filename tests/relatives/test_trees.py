"""Chow-Liu trees: distributions over all states, the best of all trees, and the tree that made the data."""

from functools import partial
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from abp_jax.compilation import precision
from abp_jax.relatives import bits, trees
from tests.relatives import exact


@pytest.fixture
def float64():
    with precision.double_precision():
        yield


def correlated(num, n, seed=0):
    """Bits that depend on each other in no order: signs of mixed normal numbers."""
    rng = np.random.default_rng(seed)
    return np.float32(rng.normal(size=(num, n)) @ rng.normal(size=(n, n)) > 0)


def spanning_trees(n):
    """The edges of every one: n - 1 pairs that connect all."""
    for edges in combinations(combinations(range(n), 2), n - 1):
        group = list(range(n))
        for i, j in edges:
            group = [group[i] if g == group[j] else g for g in group]
        if len(set(group)) == 1:
            yield edges


def edges_of(parents):
    return {tuple(sorted((i, int(parent)))) for i, parent in enumerate(parents) if parent >= 0}


@pytest.mark.parametrize("n", [1, 2, 9])
def test_the_probabilities_sum_to_one(float64, n):
    tree = trees.fit(correlated(50, n))
    assert abs(exact.table(partial(trees.log_prob, tree), n).sum() - 1) < 1e-12


def test_the_tree_is_the_best_of_all_and_so_is_its_likelihood(float64):
    """Of 125 trees of five bits. The mean log-likelihood is the sum of mutual informations less the entropies."""
    assert len(list(spanning_trees(5))) == 125
    for seed in range(5):
        x = correlated(200, 5, seed)
        tables = trees.pair_tables(x, 1e-9)
        information = trees.mutual_information(tables)
        total = lambda edges, information=information: sum(information[edge] for edge in edges)
        tree = trees.fit(x, 1e-9)
        best = max(map(total, spanning_trees(5)))
        assert total(edges_of(tree.parents)) == pytest.approx(best, abs=1e-12)
        p = x.mean(axis=0)
        entropies = -np.sum(p * np.log(p) + (1 - p) * np.log(1 - p))
        found = jnp.mean(jax.vmap(partial(trees.log_prob, tree))(x))
        assert float(found) == pytest.approx(best - entropies, abs=1e-6)


def test_mutual_information_by_hand():
    """A copy, log 2 nats; two coins, none; and of a table, term by term."""
    x = np.array([[0, 0, 0], [0, 0, 1], [1, 1, 0], [1, 1, 1]])
    information = trees.mutual_information(trees.pair_tables(x, 1e-9))
    np.testing.assert_allclose(information, np.log(2) * np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]]), atol=1e-6)
    table = np.array([[0.1, 0.2], [0.3, 0.4]])
    terms = [table[a, b] * np.log(table[a, b] / (table[a].sum() * table[:, b].sum())) for a in (0, 1) for b in (0, 1)]
    tables = np.broadcast_to(table, (2, 2, 2, 2))
    assert trees.mutual_information(tables)[0, 1] == pytest.approx(sum(terms), rel=1e-12)


def test_a_chain_is_found_again():
    """In an order that is not that of the bits; its edges, and the chance with which a bit repeats the one before."""
    rng, order = np.random.default_rng(0), [3, 0, 5, 1, 4, 2]
    x = np.zeros((5000, 6), int)
    x[:, order[0]] = rng.random(5000) < 0.4
    for before, now in zip(order, order[1:], strict=False):
        x[:, now] = np.where(rng.random(5000) < 0.8, x[:, before], 1 - x[:, before])
    tree = trees.fit(x)
    assert edges_of(tree.parents) == {tuple(sorted(pair)) for pair in zip(order, order[1:], strict=False)}
    repeats = [np.mean(x[:, i] == x[:, j]) for i, j in zip(order, order[1:], strict=False)]
    np.testing.assert_allclose(repeats, 0.8, atol=0.02)
    place = {int(i): k for k, i in enumerate(tree.order)}
    assert all(place[int(parent)] < place[i] for i, parent in enumerate(tree.parents) if parent >= 0)


def test_bits_without_any_information_still_make_a_tree(float64):
    """Every weight is 0, and a missing edge would be too."""
    x = exact.all_states(4)
    tree = trees.fit(x)
    assert len(edges_of(tree.parents)) == 3
    np.testing.assert_allclose(exact.table(partial(trees.log_prob, tree), 4), 1 / 16, rtol=1e-12)


def test_draws_are_of_the_table():
    tree = trees.fit(correlated(100, 6))
    draws = jax.jit(jax.vmap(partial(trees.sample, tree=tree)))(jax.random.split(jax.random.key(1), 20_000))
    assert exact.chi_square(draws, exact.table(partial(trees.log_prob, tree), 6)) > 1e-3


def test_pseudo_counts_by_hand():
    """Three examples of one bit: (2 + 2a) / (3 + 4a), and always 1 is never certain."""
    (logits,) = np.asarray(trees.fit(np.array([[1], [1], [0]]), 0.5).logits)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), 3 / 5, rtol=1e-6)
    assert np.all(np.isfinite(trees.fit(np.ones((10, 3))).logits))
    assert trees.num_parameters(trees.fit(np.ones((10, 3)))) == 5


def test_digits_lie_between_independent_pixels_and_a_mixture():
    """-25.20 and -18.40 nats a test digit are the figures of those two."""
    split = bits.load_digits()
    values = jax.vmap(partial(trees.log_prob, trees.fit(split.train)))(split.test)
    assert -22 < float(values.mean()) < -20
    chunks = [jax.vmap(partial(trees.log_prob, trees.fit(split.train)))(split.test[i : i + 100]) for i in (0, 100, 200)]
    np.testing.assert_allclose(values, np.concatenate(chunks), rtol=1e-5)


def test_what_can_not_be_is_refused():
    with pytest.raises(ValueError, match=r"one example of 3 bits, \(3,\), got \(2, 3\): jax.vmap"):
        trees.log_prob(trees.fit(np.ones((4, 3))), np.ones((2, 3)))
    with pytest.raises(ValueError, match="must hold bits"):
        trees.fit(np.full((4, 3), 0.5))
    with pytest.raises(ValueError, match="pseudo_count must be positive, got 0"):
        trees.fit(np.ones((4, 3)), 0.0)

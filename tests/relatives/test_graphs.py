"""Independencies of graphs: three descriptions of d-separation, two libraries, and tables with random numbers."""

from itertools import combinations

import numpy as np
import pytest

from abp_jax.relatives import graphs, tables

STUDENT = graphs.parents_of(table.variables for table in tables.student())
RING = graphs.neighbours_of(table.variables for table in tables.misconception())


def statements(nodes):
    """Every (x, y, z) of two nodes and a set of others: 80 for five nodes, 24 for four."""
    for x, y in combinations(sorted(nodes), 2):
        others = sorted(set(nodes) - {x, y})
        for num in range(len(others) + 1):
            yield from ((x, y, z) for z in combinations(others, num))


def random_joint(scopes, sizes, conditional, seed=0):
    """A joint distribution in float64 by NumPy: the product of random tables over these variables."""
    rng, names = np.random.default_rng(seed), sorted(sizes)
    p = np.ones([sizes[name] for name in names])
    for scope in scopes:
        table = rng.uniform(0.1, 1, [sizes[name] for name in scope])
        table = table / table.sum(axis=-1, keepdims=True) if conditional else table
        axes = sorted(range(len(scope)), key=lambda k: names.index(scope[k]))
        p = p * table.transpose(axes).reshape([sizes[name] if name in scope else 1 for name in names])
    return p / p.sum()


def independent(p, names, x, y, z):
    """Whether p(x, y, z) p(z) = p(x, z) p(y, z), to rounding in float64. No random table comes as near by chance."""
    over = lambda *gone: p.sum(
        axis=tuple(k for k, n in enumerate(names) if n in gone or n not in (x, y, *z)), keepdims=True
    )
    return np.max(np.abs(over() * over(x, y) - over(x) * over(y))) < 1e-15


def test_the_student_s_graph():
    assert STUDENT == {"D": (), "I": (), "G": ("I", "D"), "S": ("I",), "L": ("G",)}
    moral = graphs.moral_graph(STUDENT)
    assert {a: "".join(sorted(b)) for a, b in moral.items()} == {"D": "GI", "I": "DGS", "G": "DIL", "S": "I", "L": "G"}
    assert graphs.ancestors(STUDENT, "L") == set("LGID")
    assert graphs.descendants(STUDENT, "I") == set("GSL")
    assert {node: "".join(sorted(graphs.markov_blanket(moral, node))) for node in "DISL"} == {
        "D": "GI", "I": "DGS", "S": "I", "L": "G"
    }  # fmt: skip


def test_d_separation_is_independence_for_random_numbers():
    """All 80 statements: random tables are independent exactly where the graph says so."""
    scopes = [(*above, node) for node, above in STUDENT.items()]
    p = random_joint(scopes, dict(D=2, I=2, G=3, S=2, L=2), conditional=True)
    every = list(statements(STUDENT))
    promised = [graphs.d_separated(STUDENT, *statement) for statement in every]
    assert promised == [independent(p, sorted(STUDENT), *statement) for statement in every]
    assert (len(every), sum(promised)) == (80, 25)


def test_separation_is_independence_for_random_numbers():
    p = random_joint([table.variables for table in tables.misconception()], dict.fromkeys("ABCD", 2), conditional=False)
    promised = {s: graphs.separated(RING, *s) for s in statements(RING)}
    assert promised == {s: independent(p, sorted(RING), *s) for s in statements(RING)}
    assert [s for s, holds in promised.items() if holds] == [("A", "C", ("B", "D")), ("B", "D", ("A", "C"))]


def test_active_trails_are_the_other_description():
    for x, y, z in statements(STUDENT):
        assert graphs.d_separated(STUDENT, x, y, z) == (not graphs.active_trails(STUDENT, x, y, z)), (x, y, z)
    assert graphs.active_trails(STUDENT, "D", "S") == []
    assert graphs.active_trails(STUDENT, "D", "S", "L") == [("D", "G", "I", "S")]  # the collider has its child in z
    assert graphs.active_trails(STUDENT, "D", "S", ("G", "I")) == []


@pytest.mark.parametrize("seed", range(4))
def test_both_descriptions_agree_on_random_graphs(seed):
    rng, nodes = np.random.default_rng(seed), "abcdef"
    parents = {node: [other for other in nodes[:k] if rng.random() < 0.45] for k, node in enumerate(nodes)}
    for x, y, z in statements(nodes):
        assert graphs.d_separated(parents, x, y, z) == (not graphs.active_trails(parents, x, y, z)), (parents, x, y, z)


def test_local_independencies_of_the_student():
    found = {(a, "".join(sorted(b)), "".join(sorted(c))) for a, b, c in graphs.local_independencies(STUDENT)}
    assert found == {("D", "IS", ""), ("I", "D", ""), ("G", "S", "DI"), ("S", "DGL", "I"), ("L", "DIS", "G")}
    assert all(graphs.d_separated(STUDENT, *statement) for statement in graphs.local_independencies(STUDENT))


@pytest.mark.parametrize("neighbours", [RING, graphs.moral_graph(STUDENT)], ids=["ring", "student"])
def test_a_blanket_is_the_smallest_that_separates(neighbours):
    for node in neighbours:
        blanket = graphs.markov_blanket(neighbours, node)
        assert graphs.separated(neighbours, node, set(neighbours) - blanket - {node}, blanket)
        for out in blanket:
            assert not graphs.separated(neighbours, node, out, blanket - {out})
    assert graphs.markov_blanket(RING, "A") == {"B", "D"}


def test_a_blanket_holds_the_other_parents_of_the_children():
    parents = {"a": "", "b": "", "c": "ab", "d": "c"}
    assert graphs.markov_blanket(graphs.moral_graph(parents), "a") == {"b", "c"}
    assert not graphs.d_separated(parents, "a", "b", "c") and graphs.d_separated(parents, "a", "d", ("b", "c"))


def test_networkx_says_the_same():
    nx = pytest.importorskip("networkx", minversion="3.3")
    graph = nx.DiGraph([(above, node) for node in STUDENT for above in STUDENT[node]])
    for x, y, z in statements(STUDENT):
        assert graphs.d_separated(STUDENT, x, y, z) == nx.is_d_separator(graph, {x}, {y}, set(z)), (x, y, z)


def test_pyagrum_says_the_same():
    gum = pytest.importorskip("pyagrum")
    net = gum.fastBN("D->G<-I->S;G->L")
    for x, y, z in statements(STUDENT):
        assert graphs.d_separated(STUDENT, x, y, z) == net.isIndependent(x, y, list(z)), (x, y, z)
    for node in STUDENT:
        blanket = {net.variable(k).name() for k in gum.MarkovBlanket(net, node).nodes()} - {node}
        assert graphs.markov_blanket(graphs.moral_graph(STUDENT), node) == blanket


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: graphs.d_separated(STUDENT, "D", "X"), r"unknown nodes \['X'\]"),
        (lambda: graphs.d_separated(STUDENT, "D", "I", "D"), "no common nodes"),
        (lambda: graphs.moral_graph({"a": "b", "b": "a"}), "no cycle"),
        (lambda: graphs.moral_graph({"a": "b"}), "unknown nodes"),
        (lambda: graphs.markov_blanket(STUDENT, "G"), "take the moral_graph"),
        (lambda: graphs.separated({"a": "a"}, "a", ()), "mutual and of other nodes"),
    ],
    ids=range(6),
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()

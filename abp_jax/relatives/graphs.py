"""Independencies that a graph promises, whatever the numbers are.

A Bayesian network is a directed acyclic graph, given by `parents`: node -> its parents. A Markov network is an
undirected graph, given by `neighbours`: node -> its neighbours.

    Markov network:    x and y are independent given z if every path between them passes through z (separation)
    Bayesian network:  the same in the moral graph of the ancestors of x, y and z (d-separation)

To moralise is to join any two parents of a common child and drop the arrows (Lauritzen, Dawid, Larsen and Leimer,
Networks 1990). The other description of d-separation is by active trails (Pearl, Probabilistic Reasoning in Intelligent
Systems, 1988): a trail is active if each of its colliders, a -> c <- b, is in z or has a descendant in z, and none of
its other inner nodes is in z. x and y are d-separated by z if there is no active trail between them.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

Graph = Mapping[str, Iterable[str]]
Nodes = str | Iterable[str]


def parents_of(scopes: Iterable[Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Returns node -> parents, from the variables of the conditional tables: of each the last one is the child."""
    return {child: tuple(parents) for *parents, child in scopes}


def neighbours_of(scopes: Iterable[Sequence[str]]) -> dict[str, frozenset[str]]:
    """Returns node -> neighbours, from the variables of the factors: any two in one factor are neighbours."""
    scopes = [tuple(scope) for scope in scopes]
    nodes = dict.fromkeys(node for scope in scopes for node in scope)
    return {a: frozenset(b for scope in scopes if a in scope for b in scope if b != a) for a in nodes}


def ancestors(parents: Graph, nodes: Nodes) -> frozenset[str]:
    """Returns these nodes, their parents, the parents of these, and so on."""
    parents, (found,) = _acyclic(parents), _sets(parents, nodes)
    while more := {p for node in found for p in parents[node]} - found:
        found |= more
    return found


def descendants(parents: Graph, node: str) -> frozenset[str]:
    """Returns the children of a node, their children, and so on, without the node itself."""
    _sets(parents, node)
    return frozenset(other for other in parents if node in ancestors(parents, other)) - {node}


def moral_graph(parents: Graph) -> dict[str, frozenset[str]]:
    """Returns the moral graph, node -> neighbours: a family, a child and its parents, becomes a clique.

    Raises:
      ValueError: an arrow from an unknown node, or a cycle; so for each function that takes `parents`.
    """
    return neighbours_of((*above, node) for node, above in _acyclic(parents).items())


def separated(neighbours: Graph, x: Nodes, y: Nodes, z: Nodes = ()) -> bool:
    """Returns whether every path from x to y passes through z, in an undirected graph.

    x, y, z: nodes, three sets without common members; z may be empty.

    Raises:
      ValueError: unknown or common nodes, or a graph in which b is a neighbour of a, but a isn't one of b.
    """
    neighbours = _undirected(neighbours)
    x, y, z = _sets(neighbours, x, y, z)
    reached = x
    while more := {b for a in reached for b in neighbours[a]} - reached - z:
        reached |= more
    return not reached & y


def d_separated(parents: Graph, x: Nodes, y: Nodes, z: Nodes = ()) -> bool:
    """Returns whether z d-separates x from y: separation in the moral graph of the ancestors of all three.

    Arguments and errors as for `separated`, of a directed graph.
    """
    x, y, z = _sets(parents, x, y, z)
    kept = ancestors(parents, x | y | z)
    return separated(moral_graph({node: parents[node] for node in parents if node in kept}), x, y, z)


def active_trails(parents: Graph, x: str, y: str, z: Nodes = ()) -> list[tuple[str, ...]]:
    """Returns the active trails from node x to node y given z, shortest first; none if z d-separates the two."""
    x, y, z = _sets(parents, x, y, z)
    skeleton, above = neighbours_of((p, node) for node in parents for p in parents[node]), ancestors(parents, z)

    def is_open(a, node, b):
        collider = a in parents[node] and b in parents[node]
        return node in above if collider else node not in z

    trails, active = [(node,) for node in x], []
    while trails:
        active += [trail for trail in trails if trail[-1] in y]
        longer = [(*trail, b) for trail in trails for b in sorted(skeleton.get(trail[-1], ())) if b not in trail]
        trails = [trail for trail in longer if len(trail) < 3 or is_open(*trail[-3:])]
    return active


def local_independencies(parents: Graph) -> list[tuple[str, frozenset[str], frozenset[str]]]:
    """Returns (node, its non-descendants without its parents, its parents) for each node that has such non-descendants.

    Each says: the node is independent of the second, given the third. The other independencies follow from these.
    """
    parents = _acyclic(parents)
    statements = []
    for node, above in parents.items():
        if others := frozenset(parents) - descendants(parents, node) - {node} - frozenset(above):
            statements.append((node, others, frozenset(above)))
    return statements


def markov_blanket(neighbours: Graph, node: str) -> frozenset[str]:
    """Returns the smallest set given which the node is independent of all others: its neighbours.

    In a Bayesian network, those are its parents, its children, and the other parents of its children: its neighbours
    in the moral graph, `markov_blanket(moral_graph(parents), node)`.
    """
    _sets(neighbours, node)
    return _undirected(neighbours)[node]


def _sets(graph: Graph, *groups: Nodes):
    """Each group as a set of nodes of the graph, no two with a common member."""
    sets = [frozenset([group] if isinstance(group, str) else group) for group in groups]
    if unknown := sorted(set().union(*sets) - set(graph)):
        raise ValueError(f"unknown nodes {unknown}: the graph has {sorted(graph)}.")
    if common := sorted(set().union(*(a & b for a, b in combinations(sets, 2)))):
        raise ValueError(f"x, y and z must have no common nodes, but {common} are in two of them.")
    return sets


def _acyclic(parents: Graph):
    """Node -> set of parents, once all are nodes and there is no cycle."""
    parents = {node: tuple(above) for node, above in parents.items()}
    _sets(parents, {p for above in parents.values() for p in above})
    left = dict(parents)
    while first := [node for node, above in left.items() if not set(above) & set(left)]:
        for node in first:
            del left[node]
    if left:
        raise ValueError(f"parents must hold no cycle, but there is one among {sorted(left)}.")
    return parents


def _undirected(neighbours: Graph):
    """Node -> set of neighbours, once each is a neighbour of its neighbours."""
    neighbours = {node: frozenset(others) for node, others in neighbours.items()}
    _sets(neighbours, {b for others in neighbours.values() for b in others})
    if one_way := [(a, b) for a, others in neighbours.items() for b in others if a not in neighbours[b] or a == b]:
        raise ValueError(
            f"neighbours must be mutual and of other nodes, unlike {one_way[0]}. Of parents, take the moral_graph."
        )
    return neighbours

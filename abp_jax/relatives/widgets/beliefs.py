"""What evidence says of the other variables of a small Bayesian network: every answer by the joint table.

    p(x | e) = p(x) prod_i [x_i agrees with e] / P(e),        P(e) = sum over x of the numerator

Evidence enters as factors, one for each variable: 1 for the values that it may have, 0 for those that it has not. So
all tables keep their shapes, and one compiled function answers for every evidence. What a variable x would tell about
another one, q, is their mutual information given the evidence,

    I(q; x | e) = sum over q, x of p(q, x | e) log [p(q, x | e) / (p(q | e) p(x | e))] >= 0,

in nats: the gain in log p(q) that is to be expected from learning x. It is 0 if and only if q and x are independent
given e.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import rel_entr

from abp_jax.relatives import graphs, tables
from abp_jax.relatives.tables import Table

MOST_CASES = 2**14  # of the joint table
MOST_NODES = 12
WIDTH, ROW, TITLE = 184, 20, 28  # of a box, in pixels,
ACROSS, DOWN = 200, 140  # and of a unit of the positions


class Beliefs(NamedTuple):
    """What follows from some evidence.

    Attributes:
      probability: P(evidence); at 0 the other numbers are 0 too, since nothing follows.
      posterior: node -> p(node | evidence), (number of its values,).
      told: node -> I(query; node | evidence) in nats.
      trails: node -> the active trails from the query to it, for each node that is not known; none if the query is.
    """

    probability: float
    posterior: dict[str, np.ndarray]
    told: dict[str, float]
    trails: dict[str, list[tuple[str, ...]]]


class Network:
    """A Bayesian network with places for its nodes on the screen.

    Args:
      conditionals: p(child | parents), one table for each variable, the child last; at most 12 variables and
        16,384 cases.
      positions: node -> (x, y), y upwards; boxes one unit apart have room side by side.
      titles: node -> what to call it; by default its name in the tables.
      values: node -> the names of its values; by default "0", "1", ...

    Raises:
      ValueError: tables that are no Bayesian network, or positions, titles or values that don't fit it.
    """

    def __init__(
        self,
        conditionals: Sequence[Table],
        positions: Mapping[str, Sequence[float]],
        titles: Mapping[str, str] | None = None,
        values: Mapping[str, Sequence[str]] | None = None,
    ):
        self.conditionals = tuple(conditionals)
        self.parents = _check_conditionals(self.conditionals)
        self.nodes = tuple(self.parents)
        sizes = {t.variables[-1]: t.values.shape[-1] for t in self.conditionals}
        self.titles = {node: str((titles or {}).get(node, node)) for node in self.nodes}
        self.values = {node: [str(v) for v in (values or {}).get(node, range(sizes[node]))] for node in self.nodes}
        if wrong := [node for node in self.nodes if len(self.values[node]) != sizes[node]]:
            raise ValueError(
                f"values must name each value of {wrong[0]}: {sizes[wrong[0]]}, got {self.values[wrong[0]]}."
            )
        self.positions = _check_positions(positions, self.nodes)
        self._answer = jax.jit(self._by_the_joint_table)
        self.prior = self.beliefs({}, self.nodes[0]).posterior

    def check(self, evidence: Mapping[str, int], query: str) -> dict[str, int]:
        """Returns the evidence with plain numbers. Raises ValueError if it or the query is not of this network."""
        if query not in self.nodes:
            raise ValueError(f"query must be one of {self.nodes}, got {query!r}.")
        if not isinstance(evidence, Mapping) or set(evidence) - set(self.nodes):
            raise ValueError(f"evidence must be a dict, node -> value, of nodes among {self.nodes}; got {evidence!r}.")
        for node, value in evidence.items():
            num = len(self.values[node])
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value < num:
                raise ValueError(f"evidence must give {node} a whole number from 0 to {num - 1}, got {value!r}.")
        return {node: int(evidence[node]) for node in self.nodes if node in evidence}

    def beliefs(self, evidence: Mapping[str, int], query: str) -> Beliefs:
        """Returns what follows from the evidence, node -> index of its value, and what else would tell about the query.

        Raises:
          ValueError: a node or a value that the network doesn't have.
        """
        evidence = self.check(evidence, query)
        possible = [np.ones(len(self.values[node]), np.float32) for node in self.nodes]
        for node, value in evidence.items():
            possible[self.nodes.index(node)][np.arange(len(self.values[node])) != value] = 0
        probability, posterior, information = jax.device_get(self._answer(possible))
        told = {pair[pair[0] == query]: max(0.0, float(v)) for pair, v in information.items() if query in pair}
        others = [node for node in self.nodes if node not in evidence and node != query and query not in evidence]
        trails = {node: graphs.active_trails(self.parents, query, node, set(evidence)) for node in others}
        return Beliefs(float(probability), dict(zip(self.nodes, posterior, strict=True)), told, trails)

    def trail(self, nodes: Sequence[str]) -> str:
        """Returns a trail with its arrows, such as "D → G ← I"."""
        steps = zip(nodes, nodes[1:], strict=False)
        return nodes[0] + "".join(f" → {b}" if a in self.parents[b] else f" ← {b}" for a, b in steps)

    def boxes(self) -> dict[str, tuple[float, float, float, float]]:
        """Returns node -> (left, top, width, height) in pixels, y downwards, all of them from 0 on."""
        heights = {node: TITLE + ROW * len(self.values[node]) for node in self.nodes}
        left = {node: ACROSS * x - WIDTH / 2 for node, (x, _) in self.positions.items()}
        top = {node: -DOWN * y - heights[node] / 2 for node, (_, y) in self.positions.items()}
        x, y = min(left.values()), min(top.values())
        return {node: (left[node] - x, top[node] - y, WIDTH, heights[node]) for node in self.nodes}

    def arrows(self) -> dict[tuple[str, str], tuple[float, float, float, float]]:
        """Returns (parent, child) -> (x, y, x, y), from the edge of one box to the edge of the other."""
        boxes = self.boxes()
        centre = {node: np.array([x + w / 2, y + h / 2]) for node, (x, y, w, h) in boxes.items()}
        found = {}
        for child, above in self.parents.items():
            for parent in above:
                step = centre[child] - centre[parent]
                ends = []
                for node, way in ((parent, step), (child, -step)):
                    half = np.array(boxes[node][2:]) / 2 + 2
                    ends += (centre[node] + way * np.min(half / np.maximum(np.abs(way), 1e-9))).tolist()
                found[parent, child] = tuple(ends)
        return found

    def _by_the_joint_table(self, possible: Sequence[jax.Array]):
        """P(evidence), each posterior, and the mutual information of each pair, from one factor for each variable."""
        evidence = [Table((node,), values) for node, values in zip(self.nodes, possible, strict=True)]
        product = tables.product([*self.conditionals, *evidence], self.nodes)
        total = jnp.sum(product.values)
        p = product._replace(values=product.values / jnp.where(total > 0, total, 1))
        posterior = [tables.marginal(p, node).values for node in self.nodes]
        information = {}
        for (i, a), (j, b) in combinations(enumerate(self.nodes), 2):
            independent = posterior[i][:, None] * posterior[j][None, :]
            information[a, b] = jnp.sum(rel_entr(tables.marginal(p, (a, b)).values, independent))
        return total, posterior, information


def _check_conditionals(conditionals: Sequence[Table]):
    """Node -> parents, once each variable has one table, and its rows are probabilities."""
    children = [table.variables[-1] for table in conditionals]
    if not children or sorted(children) != sorted({name for table in conditionals for name in table.variables}):
        raise ValueError(f"conditionals must be one p(child | parents) for each variable, got children {children}.")
    cases = np.prod([table.values.shape[-1] for table in conditionals])
    if len(children) > MOST_NODES or cases > MOST_CASES:
        raise ValueError(
            f"conditionals must have at most {MOST_NODES} variables and {MOST_CASES:,} cases, "
            f"got {len(children)} and {int(cases):,}."
        )
    for table in conditionals:
        rows = np.asarray(table.values)
        if not (np.all(rows >= 0) and np.allclose(rows.sum(axis=-1), 1, atol=1e-4)):
            raise ValueError(
                f"conditionals must be probabilities: rows of p({table.variables[-1]} | ...) don't sum to 1."
            )
    parents = graphs.parents_of(table.variables for table in conditionals)
    graphs.moral_graph(parents)  # no cycle
    return parents


def _check_positions(positions: Mapping[str, Sequence[float]], nodes: Sequence[str]):
    try:
        places = {node: tuple(float(v) for v in positions[node]) for node in nodes}
    except (KeyError, TypeError, ValueError):
        places = {}
    if not places or any(len(place) != 2 or not np.isfinite(place).all() for place in places.values()):
        raise ValueError(f"positions must hold two finite numbers for each of the nodes {nodes}, got {positions!r}.")
    return places

"""The evidence explorer in a notebook: a Bayesian network, evidence by a click, and all that follows (anywidget)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import anywidget
import traitlets

from abp_jax.relatives.tables import Table
from abp_jax.relatives.widgets.beliefs import Beliefs, Network
from abp_jax.widgets.encoding import WITHOUT_WIDGETS

FOLDER = Path(__file__).parent
MOST_TRAILS = 3  # that are written out for one node


class EvidenceExplorer(anywidget.AnyWidget):
    """Sets evidence by hand: click a value, and every bar and every open trail follows; click it again to take it back.

    A bar is p(value | evidence), the tick across it p(value) without any. A click on a node's name asks about that
    node: the active trails from it to the nodes that are not known yet are drawn strong, and below stands what each of
    those would still tell about it, in nats. Without an open trail that is 0. All numbers come from the joint table.

    Args:
      conditionals: p(child | parents), one table for each variable, the child last; at most 12 variables and
        16,384 cases.
      positions: node -> (x, y), y upwards; boxes one unit apart have room side by side.
      titles: node -> what to call it; by default its name in the tables.
      values: node -> the names of its values; by default "0", "1", ...
      evidence: node -> index of its value, to begin with.
      query: the node that is asked about; by default the first.

    Attributes:
      evidence, query: as above; set them to change what is shown.
      network: the tables and what follows from them, also for figures.

    Raises:
      ValueError: arguments that are no Bayesian network or don't fit it. A wrong evidence or query that is set later is
        a traitlets.TraitError, and changes nothing.
    """

    _esm = (FOLDER / "evidence_explorer.js").read_text("utf-8")
    _css = (FOLDER / "evidence_explorer.css").read_text("utf-8")
    evidence = traitlets.Dict().tag(sync=True)
    query = traitlets.Unicode().tag(sync=True)
    _config = traitlets.Dict().tag(sync=True)
    _shown = traitlets.Dict().tag(sync=True)
    _failure = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        conditionals: Sequence[Table],
        positions: Mapping[str, Sequence[float]],
        titles: Mapping[str, str] | None = None,
        values: Mapping[str, Sequence[str]] | None = None,
        *,
        evidence: Mapping[str, int] | None = None,
        query: str | None = None,
    ):
        self.network = network = Network(conditionals, positions, titles, values)
        query = network.nodes[0] if query is None else query
        evidence = network.check({} if evidence is None else evidence, query)
        config = {
            "nodes": [
                {
                    "name": node,
                    "title": network.titles[node],
                    "values": network.values[node],
                    "box": network.boxes()[node],
                }
                | {"prior": network.prior[node].tolist()}
                for node in network.nodes
            ],
            "arrows": [{"name": f"{a}>{b}", "ends": ends} for (a, b), ends in network.arrows().items()],
        }
        super().__init__(evidence=evidence, query=query, _config=config)
        self._update()
        self.observe(self._update, names=["evidence", "query"])

    @property
    def beliefs(self) -> Beliefs:
        """What follows from the evidence that is set, and what the other nodes would tell about the query."""
        return self.network.beliefs(self.evidence, self.query)

    def _repr_mimebundle_(self, **options):
        bundle = super()._repr_mimebundle_(**options)
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        data["text/plain"] = WITHOUT_WIDGETS.format("evidence explorer")
        return bundle

    @traitlets.validate("evidence", "query")
    def _check(self, proposal: dict):
        both = {"evidence": self.evidence, "query": self.query or self.network.nodes[0]}
        both[proposal["trait"].name] = proposal["value"]
        try:
            evidence = self.network.check(**both)
        except ValueError as error:
            raise traitlets.TraitError(str(error)) from None
        return evidence if proposal["trait"].name == "evidence" else proposal["value"]

    def _update(self, _: dict | None = None):
        try:
            self._shown, self._failure = self._what_follows(), ""
        except Exception as error:  # it would be lost in a log that nobody reads
            self._failure = f"{type(error).__name__}: {error}"

    def _what_follows(self):
        network, evidence, query = self.network, self.evidence, self.query
        beliefs = self.beliefs
        title = lambda node: network.titles[node]
        known = ", ".join(f"{title(node)} = {network.values[node][value]}" for node, value in evidence.items())
        says = (
            f"P({known}) = {beliefs.probability:.4g}. " if known else "Nothing is known: the bars are the marginals. "
        )
        if beliefs.probability == 0:
            says += "No case is left, so nothing follows: take some of it back."
        elif query in evidence:
            says += f"{title(query)} is known: nothing tells more about it."
        else:
            says += f"What would the others tell about {title(query)}?"
        rows = []
        for node, trails in beliefs.trails.items() if beliefs.probability else ():
            ways = [network.trail(trail) for trail in trails]
            more = [f"and {len(ways) - MOST_TRAILS} more"] * (len(ways) > MOST_TRAILS)
            text = ", ".join(ways[:MOST_TRAILS] + more) or "no open trail"
            rows.append(
                {"node": node, "title": title(node), "open": bool(ways), "trails": text, "told": beliefs.told[node]}
            )
        steps = {step for row in beliefs.trails.values() for t in row for step in zip(t, t[1:], strict=False)}
        return {
            "bars": {node: p.tolist() for node, p in beliefs.posterior.items()},
            "arrows": [f"{a}>{b}" for a, b in network.arrows() if {(a, b), (b, a)} & steps],
            "says": says,
            "rows": rows,
        }

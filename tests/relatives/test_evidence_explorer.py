"""The evidence explorer: what it shows is what the joint table says, and where no trail is open nothing is told."""

import json
import re
from itertools import product

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
import traitlets

from abp_jax.relatives import graphs, tables
from abp_jax.relatives.widgets import beliefs, evidence_explorer, evidence_picture

POSITIONS = {"D": (0, 2), "I": (1.4, 2), "G": (0.7, 1), "S": (2.1, 1), "L": (0.7, 0)}
SIZES = dict(D=2, I=2, G=3, S=2, L=2)


@pytest.fixture(scope="module")
def network():
    return beliefs.Network(tables.student(), POSITIONS, values={"G": "ABC"})


@pytest.fixture
def explorer():
    return evidence_explorer.EvidenceExplorer(tables.student(), POSITIONS, {"D": "Difficulty"}, {"G": "ABC"})


def all_evidence():
    """Every choice of a value or of none for each node: 3 * 3 * 4 * 3 * 3 = 324."""
    for values in product(*(range(-1, num) for num in SIZES.values())):
        yield {node: value for node, value in zip(SIZES, values, strict=True) if value >= 0}


def test_every_posterior_is_that_of_the_joint_table_by_numpy(network):
    p = np.asarray(tables.joint(tables.student(), "DIGSL").values, np.float64)
    for evidence in list(all_evidence())[::3]:
        kept = p.copy()
        for axis, node in enumerate("DIGSL"):
            if node in evidence:
                gone = np.arange(SIZES[node]) != evidence[node]
                kept[(slice(None),) * axis + (gone,)] = 0
        found = network.beliefs(evidence, "D")
        np.testing.assert_allclose(found.probability, kept.sum(), rtol=1e-5)
        for axis, node in enumerate("DIGSL"):
            expected = kept.sum(axis=tuple(k for k in range(5) if k != axis)) / kept.sum()
            np.testing.assert_allclose(found.posterior[node], expected, atol=1e-5, err_msg=str((evidence, node)))


def test_posteriors_are_those_of_given(network):
    joint = tables.joint(tables.student())
    for evidence in ({"G": 2, "S": 1}, {"L": 0}, {"I": 0, "D": 0}):
        rest = tables.given(joint, **evidence)
        for node in rest.variables:
            expected = tables.marginal(rest, node).values
            np.testing.assert_allclose(network.beliefs(evidence, "D").posterior[node], expected, atol=1e-6)


def test_a_node_tells_something_exactly_where_a_trail_is_open(network):
    """For these tables; the graph alone promises the zeros only."""
    for query, evidence in product("DIGSL", list(all_evidence())[::5]):
        found = network.beliefs(evidence, query)
        for node in set("DIGSL") - {query}:
            if node in evidence or query in evidence:
                assert node not in found.trails and found.told[node] < 1e-6
            else:
                assert bool(found.trails[node]) == (not graphs.d_separated(network.parents, query, node, set(evidence)))
                assert (found.told[node] > 2e-6) == bool(found.trails[node]), (query, node, evidence, found.told[node])


def test_what_is_told_is_the_expected_gain(network):
    """sum over x of p(x | e) KL(p(q | x, e) || p(q | e)), written out."""
    evidence = {"G": 2}
    now = network.beliefs(evidence, "D")
    later = [network.beliefs(evidence | {"I": i}, "D").posterior["D"] for i in range(2)]
    gain = sum(p * np.sum(q * np.log(q / now.posterior["D"])) for p, q in zip(now.posterior["I"], later, strict=True))
    np.testing.assert_allclose(now.told["I"], gain, rtol=1e-4)
    np.testing.assert_allclose(network.beliefs(evidence, "I").told["D"], gain, rtol=1e-4)


def test_clicks_change_all_that_is_shown(explorer):
    shown = []
    explorer.observe(lambda change: shown.append(change["new"]), names="_shown")
    explorer.set_state({"evidence": {"G": 2}})  # as the front end sends it
    explorer.set_state({"evidence": {"G": 2, "S": 1}})
    assert len(shown) == 2
    np.testing.assert_allclose([s["bars"]["D"][1] for s in shown], [0.629, 0.760], atol=5e-4)
    assert shown[0]["arrows"] == ["I>G", "D>G", "I>S"] and shown[1]["arrows"] == ["I>G", "D>G"]
    assert {row["node"]: row["trails"] for row in shown[1]["rows"]} == {"I": "D → G ← I", "L": "no open trail"}
    assert shown[1]["says"].startswith("P(G = C, S = 1) = 0.03818. What would the others tell about Difficulty?")
    explorer.set_state({"query": "S"})
    assert explorer._shown["says"].endswith("S is known: nothing tells more about it.")
    assert explorer._shown["rows"] == explorer._shown["arrows"] == []
    explorer.set_state({"evidence": {}})
    assert explorer._shown["says"].startswith("Nothing is known")
    for node, bars in explorer._shown["bars"].items():
        np.testing.assert_allclose(bars, explorer.network.prior[node], atol=1e-6)
    assert explorer._failure == ""
    json.dumps([explorer._config, explorer._shown])


def test_evidence_of_no_case_is_said_and_can_be_taken_back():
    copy = tables.Table(("a", "b"), jnp.eye(2))
    explorer = evidence_explorer.EvidenceExplorer(
        [tables.Table(("a",), jnp.array([0.5, 0.5])), copy], {"a": (0, 1), "b": (0, 0)}
    )
    explorer.evidence = {"a": 0, "b": 1}
    assert "No case is left" in explorer._shown["says"] and explorer._shown["rows"] == []
    assert explorer._shown["bars"] == {"a": [0, 0], "b": [0, 0]} and explorer._failure == ""
    explorer.evidence = {"b": 1}
    np.testing.assert_allclose(explorer._shown["bars"]["a"], [0, 1])


def test_what_is_set_wrongly_changes_nothing(explorer):
    explorer.evidence = {"G": np.int64(2)}
    for wrong in ({"X": 0}, {"G": 3}, {"G": 1.5}, {"G": True}, [1]):
        with pytest.raises(traitlets.TraitError):
            explorer.evidence = wrong
    with pytest.raises(traitlets.TraitError, match="query must be one of"):
        explorer.query = "X"
    assert explorer.evidence == {"G": 2} and type(explorer.evidence["G"]) is int and explorer.query == "D"


def test_other_networks_of_other_sizes():
    rng = np.random.default_rng(0)
    parents, sizes = {"a": "", "b": "a", "c": "ab", "d": "b", "e": "cd", "f": ""}, dict(a=2, b=4, c=3, d=2, e=2, f=5)
    conditionals = []
    for node, above in parents.items():
        rows = rng.dirichlet(np.ones(sizes[node]), [sizes[p] for p in above])
        conditionals.append(tables.Table((*above, node), jnp.asarray(rows)))
    explorer = evidence_explorer.EvidenceExplorer(
        conditionals, {node: (i % 3, -(i // 3)) for i, node in enumerate(parents)}, evidence={"e": 1}, query="a"
    )
    expected = tables.marginal(tables.given(tables.joint(conditionals), e=1), "b").values
    np.testing.assert_allclose(explorer._shown["bars"]["b"], expected, atol=1e-6)
    rows = {row["node"]: row for row in explorer._shown["rows"]}
    assert not rows["f"]["open"] and rows["f"]["trails"] == "no open trail"
    assert rows["d"]["trails"] == "a → b → d, a → c ← b → d, a → c → e ← d, and 1 more"  # a → b → c → e ← d


def test_arrows_go_from_the_edge_of_a_box_to_the_edge_of_another(network):
    boxes = network.boxes()
    assert min(box[k] for box in boxes.values() for k in (0, 1)) == 0
    for (parent, child), (x1, y1, x2, y2) in network.arrows().items():
        for node, x, y in ((parent, x1, y1), (child, x2, y2)):
            left, top, width, height = boxes[node]
            outside = max(abs(x - left - width / 2) - width / 2, abs(y - top - height / 2) - height / 2)
            assert 1 < outside < 3
    assert list(network.arrows()) == [("I", "G"), ("D", "G"), ("I", "S"), ("G", "L")]


def test_the_figure_shows_the_same_numbers(network):
    ax = evidence_picture.draw_beliefs(network, {"G": 2, "S": 1}, plt.figure().add_subplot(), "D")
    texts = [text.get_text() for text in ax.texts]
    assert "0.760" in texts and "0.578" in texts and "C" in texts
    assert sum(patch.get_edgecolor()[0] > 0.7 for patch in ax.patches if "Arrow" in type(patch).__name__) == 2
    plt.close("all")


def test_a_graph_is_drawn_with_every_node_and_line():
    arrows = [("I", "G"), ("D", "G"), ("I", "S"), ("G", "L")]
    ax = plt.figure().add_subplot()
    evidence_picture.draw_graph(POSITIONS, ax, arrows, [("D", "I")], known="G", strong=["GD"], dashed=["ID"], faint="S")
    assert [text.get_text() for text in ax.texts] == list("DIGSL") and len(ax.patches) == 5
    assert [patch.get_linewidth() > 2 for patch in ax.patches] == [False, True, False, False, False]
    plt.close("all")


def test_the_room_of_a_bar_is_the_same_on_the_screen_and_in_the_figure():
    script = (evidence_explorer.FOLDER / "evidence_explorer.js").read_text()
    found = {name: int(value) for name, value in re.findall(r"([A-Z]+) = (\d+)", script)}
    assert found == {"TITLE": beliefs.TITLE, "ROW": beliefs.ROW} | {
        "LEFT": evidence_picture.LEFT, "RIGHT": evidence_picture.RIGHT
    }  # fmt: skip


def test_without_widgets_a_line_says_what_is_missing(explorer):
    bundle = explorer._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert data["text/plain"].startswith("The evidence explorer: run this cell in JupyterLab")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conditionals": tables.student()[1:]}, "conditionals must be one p"),
        ({"conditionals": tables.misconception()}, "don't sum to 1"),
        ({"conditionals": [tables.Table((f"v{i}",), jnp.ones(1)) for i in range(13)]}, "at most 12 variables"),
        ({"positions": {"D": (0, 0)}}, "positions must hold two finite numbers"),
        ({"positions": POSITIONS | {"D": (0, np.nan)}}, "positions must hold two finite numbers"),
        ({"values": {"G": "AB"}}, "values must name each value of G: 3"),
        ({"evidence": {"G": 3}}, "evidence must give G a whole number from 0 to 2, got 3"),
        ({"query": "X"}, "query must be one of"),
    ],
    ids=range(8),
)
def test_bad_arguments_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        evidence_explorer.EvidenceExplorer(**{"conditionals": tables.student(), "positions": POSITIONS} | change)

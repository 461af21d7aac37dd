"""The one table: each row of bits at a small size, what is kept of it, and what is on file."""

import json
from functools import partial

import numpy as np
import pytest

from abp_jax.relatives import bits
from experiments import bit_rows, one_table
from experiments.measured import Measured
from experiments.records import Arrays, Records

SMALL = {"num_epochs": 1, "learning_rate": 1e-2}
PSEUDO = dict(num_epochs=20, learning_rate=1e-2)


@pytest.fixture(scope="module")
def corner():
    """3 x 3 pixels of the digits: 512 states."""
    return bits.Split(*(x.reshape(-1, 8, 8)[:, 2:5, 2:5].reshape(-1, 9) for x in bits.load_digits()))


def all_states(split):
    """The same, to be judged by all states, so that log p can be summed."""
    return split._replace(test=np.asarray(bits.states(9)))


EXACT = {
    "independent pixels": (bit_rows.independent, 9),
    "tree": (partial(bit_rows.tree, pseudo_count=1.0), 17),
    "mixture": (partial(bit_rows.mixture, num_components=3, num_rounds=5), 29),
    "chain": (partial(bit_rows.chain, **SMALL), 45),
    "NADE": (partial(bit_rows.neural_chain, num_hidden=4, **SMALL), 2 * 9 * 4 + 9),
    "MADE": (partial(bit_rows.masked, num_hidden=8, cosine=True, **SMALL), 36 + 8 + 9 + 8 * 9),
    "several orders": (partial(bit_rows.several_orders, num_hidden=8, num_orders=3, **SMALL), 2 * 72 + 8 + 9 + 72),
    "RBM": (partial(bit_rows.boltzmann, hidden=4, learning_rate=0.1, steps=100), 4 * 9 + 4 + 9),
}


@pytest.mark.parametrize("row", EXACT)
def test_exact_rows_are_distributions(corner, row):
    """Their probabilities sum to 1 over all states; samples are bits; parameters are counted by hand."""
    function, num_parameters = EXACT[row]
    found = function(all_states(corner), 0)
    assert np.exp(found.log_probs).sum() == pytest.approx(1, abs=1e-5)
    assert found.log_probs.std() > 0.1
    samples = np.asarray(found.samples)
    assert samples.shape == (16, 9) and set(samples.ravel().tolist()) == {0, 1}
    assert found.num_parameters == num_parameters
    assert found.seconds > 0


BRACKETS = {
    "RBM": partial(bit_rows.boltzmann, hidden=4, learning_rate=0.1, steps=1000, temperatures=200, long_chain=200),
    "pairwise": partial(
        bit_rows.edges,
        pseudo=PSEUDO,
        climb=dict(steps=500, learning_rate=0.2, num_chains=100),
        temperatures=200,
        long_chain=200,
    ),
}


@pytest.mark.parametrize("row", BRACKETS)
def test_brackets_are_narrow_and_near_what_sums_to_one(corner, row):
    low, high = BRACKETS[row](all_states(corner), 0).log_probs
    assert np.all(low <= high)
    for end in (low, high):
        assert np.log(np.exp(end).sum()) == pytest.approx(0, abs=0.1)


def test_a_row_is_measured_once_and_its_arrays_are_kept(tmp_path):
    """Of two rows and two seeds; what has no seed is learned once, and what is on file isn't learned again."""
    learned = []

    def learn(split, seed, **settings):
        learned.append((len(split.test), seed))
        return bit_rows.chain(split, seed, **settings)

    rows = {
        "independent pixels": (bit_rows.independent, "exact", one_table.both()),
        "chain": (learn, "exact", {"digits": SMALL}),
    }
    one_table.one_table(rows, (0, 1), tmp_path)
    names = ["independent pixels, digits, seed 0", "chain, digits, seed 0", "independent pixels, clothes, seed 0"]
    names += ["chain, digits, seed 1"]
    runs, arrays = Records("one_table", tmp_path).runs, Arrays("one_table", tmp_path)
    assert list(runs) == names and all(name in arrays for name in names)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one_table.json", "one_table.npz"]
    result, kept = runs[names[0]]["result"], arrays[names[0]]
    np.testing.assert_allclose(result["test"], [-25.20, 0.22], atol=0.01)
    assert result["kind"] == "exact" and result["parameters"] == 64
    assert kept["log_probs"].shape == (300,) and kept["log_probs"].mean() == pytest.approx(result["test"][0], abs=1e-3)
    samples = np.unpackbits(kept["samples"], axis=1, count=64)
    expected = bit_rows.independent(bits.load_digits(), 0).samples
    np.testing.assert_array_equal(samples, expected)
    assert learned == [(300, 0), (300, 1)]
    one_table.one_table(rows, (0, 1), tmp_path)
    assert learned == [(300, 0), (300, 1)]
    (tmp_path / "one_table.npz").unlink()
    one_table.one_table(rows | {"independent pixels": rows["independent pixels"]}, (1,), tmp_path)
    assert learned == [(300, 0), (300, 1), (300, 1)]


def test_what_a_row_must_give(tmp_path):
    wrong = lambda split, seed: Measured(np.zeros(5), np.zeros((16, 64)), 1, 0.0)
    not_finite = lambda split, seed: Measured(np.full(300, np.nan), np.zeros((16, 64)), 1, 0.0)
    for function, kind in ((wrong, "exact"), (not_finite, "bound"), (bit_rows.independent, "bracket")):
        with pytest.raises(ValueError, match="log_probs must be finite and of shape"):
            one_table.one_table({"row": (function, kind, {"digits": {}})}, (0,), tmp_path)
        assert not list(tmp_path.iterdir())


def shipped():
    return Records("one_table").runs, Arrays("one_table")


def test_what_is_on_file_is_of_the_present_settings_and_small():
    runs, arrays = shipped()
    expected = {name: json.loads(json.dumps(settings)) for name, (*_, settings) in one_table.runs().items()}
    assert {name: run["settings"] for name, run in runs.items()} == expected
    assert arrays.path.stat().st_size < 1.5e6
    for name, run in runs.items():
        ends = np.atleast_2d(np.asarray(arrays[name]["log_probs"], float))
        result = run["result"]
        assert result["kind"] in one_table.KINDS and ("high" in result) == (result["kind"] == "bracket")
        for end, (mean, error) in zip(ends, (result[part] for part in ("test", "high") if part in result), strict=True):
            assert end.mean() == pytest.approx(mean, abs=1e-3)
            assert end.std(ddof=1) / len(end) ** 0.5 == pytest.approx(error, abs=1e-3)


BARS = {  # nats a test image, digits and clothes
    "RBM 20": (-18.2, -45.5),
    "RBM 64": (-17.2, None),
    "RBM 200": (None, -36.5),
    "NADE": (-17.6, -34.8),
    "MADE": (-17.5, -33.8),
}


def test_what_is_on_file_is_above_the_bar_of_its_own_page():
    runs, _ = shipped()
    for row, bars in BARS.items():
        for data, bar in zip(one_table.DATA, bars, strict=True):
            found = [run["result"] for name, run in runs.items() if name.startswith(f"{row}, {data},")]
            assert len(found) == (3 if bar else 0)
            assert all(result["test"][0] > bar for result in found)
            jaws = [result["high"][0] - result["test"][0] for result in found if "high" in result]
            assert all(0 <= width < {"digits": 0.2, "clothes": 2}[data] for width in jaws)

"""The two tables on record: what is read, means and errors on records made here, and the bars of what comes along."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest

from abp_jax.relatives import bits, rows, rows_drawn


def made(name, offset, seeds, num=50, **more):
    """Runs of one row on the digits: their records and their arrays, by the name of the run."""
    rng = np.random.default_rng(len(name))
    kind = more.get("kind", "exact")
    records, arrays = {}, {}
    for seed in seeds:
        ends = np.float32(rng.normal(offset, 1, (2 if kind == "bracket" else 1, num)))
        ends[-1] = ends[0] + 0.5 * (kind == "bracket")
        samples = rng.integers(0, 2, (16, 64))
        result = {"kind": kind, "test": [float(ends[0].mean()), 0.1], "parameters": 7, "seconds": 2.0 + seed}
        run = f"{name}, digits, seed {seed}"
        records[run] = {"settings": {}, "result": result}
        arrays |= {f"{run}/log_probs": np.squeeze(ends), f"{run}/samples": np.packbits(samples, axis=1)}
    return records, arrays


def write(folder, parts, experiment="one_table"):
    records, arrays = {}, {}
    for some, others in parts:
        records, arrays = records | some, arrays | others
    (folder / f"{experiment}.json").write_text(json.dumps(records))
    np.savez(folder / f"{experiment}.npz", **arrays)
    return records, arrays


@pytest.fixture
def small(tmp_path):
    parts = [made("NADE", -17, (1, 0, 2)), made("tree", -20, (0,)), made("RBM 64", -16, (0, 1), kind="bracket")]
    records, arrays = write(tmp_path, [*parts, made("VAE, d = 2", -18, (0,))])
    return rows.load(tmp_path)["digits"], arrays


def test_rows_are_read_whole_and_in_the_order_of_their_seeds(small):
    found, arrays = small
    assert list(found) == ["NADE", "tree", "RBM 64", "VAE, d = 2"]
    nade = found["NADE"]
    assert nade.seeds == (0, 1, 2) and nade.seconds.tolist() == [2, 3, 4] and nade.parameters == 7
    for seed in range(3):
        np.testing.assert_array_equal(nade.log_probs[seed], arrays[f"NADE, digits, seed {seed}/log_probs"])
        packed = arrays[f"NADE, digits, seed {seed}/samples"]
        np.testing.assert_array_equal(nade.samples[seed], np.unpackbits(packed, axis=1))
    np.testing.assert_array_equal(nade.high, nade.log_probs)
    np.testing.assert_allclose(found["RBM 64"].high - found["RBM 64"].log_probs, 0.5, atol=1e-5)
    assert [row.title for row in found.values()] == ["NADE", "Chow-Liu tree", "RBM, 64 hidden", "VAE, d = 2"]
    assert [row.has_z for row in found.values()] == [False, False, False, True]
    assert [row.name for row in found.ranked()] == ["RBM 64", "NADE", "VAE, d = 2", "tree"]


def test_a_mean_its_error_over_pictures_and_its_spread_over_seeds(small):
    found, _ = small
    known, values = rows.over_seeds(found["NADE"]), found["NADE"].log_probs
    np.testing.assert_allclose(known.mean, values.sum() / 150)
    each = values.sum(axis=0) / 3
    np.testing.assert_allclose(known.error, np.sqrt(np.sum((each - each.mean()) ** 2) / 49 / 50))
    means = values.sum(axis=1) / 50
    np.testing.assert_allclose(known.spread, np.sqrt(np.sum((means - known.mean) ** 2) / 2))
    assert rows.over_seeds(found["tree"]).spread == 0
    assert np.isnan(rows.over_seeds(found["VAE, d = 2"]).spread)


def test_a_difference_is_of_the_same_pictures(small):
    """A model that is always .3 better is so without an error, however different the pictures are."""
    found, _ = small
    nade = found["NADE"]
    better = nade._replace(log_probs=nade.log_probs + 0.3)
    gap = rows.paired(better, nade)
    np.testing.assert_allclose(gap[:2], (0.3, 0), atol=1e-6)
    np.testing.assert_allclose(gap.spread, 2**0.5 * rows.over_seeds(nade).spread)
    gap, back = rows.paired(found["RBM 64"], found["tree"]), rows.paired(found["tree"], found["RBM 64"])
    each = found["RBM 64"].log_probs.mean(axis=0) - found["tree"].log_probs[0]
    np.testing.assert_allclose(gap[:2], (each.mean(), each.std(ddof=1) / 50**0.5))
    np.testing.assert_allclose((back.mean, back.error), (-gap.mean, gap.error))


def test_rows_of_two_data_sets_have_no_difference(small):
    found, _ = small
    nade = found["NADE"]
    for other in (nade._replace(log_probs=nade.log_probs[:, :40]), nade._replace(sigma=np.ones(3))):
        with pytest.raises(ValueError, match="must be rows of one data set"):
            rows.paired(nade, other)


def test_what_is_missing_says_how_to_measure_it(small, tmp_path):
    found, _ = small
    with pytest.raises(ValueError, match=r"no row 'ABP' .*python -m experiments --only one_table"):
        found["ABP"]
    records, arrays = made("NADE", -17, (0, 1))
    write(tmp_path, [(records, {key: array for key, array in arrays.items() if "seed 0" in key})])
    with pytest.raises(ValueError, match=r"no arrays of 'NADE, digits, seed 1'.*--only one_table"):
        rows.load(tmp_path)
    wrong = {key: array + 1 if key.endswith("log_probs") else array for key, array in arrays.items()}
    write(tmp_path, [(records, wrong)])
    with pytest.raises(ValueError, match="the arrays of 'NADE' have the means"):
        rows.load(tmp_path)
    (tmp_path / "one_table.npz").unlink()
    for load, experiment in ((rows.load, "one_table"), (rows.load_grey, "grey_table")):
        with pytest.raises(FileNotFoundError, match=rf"{experiment}\.npz.*--only {experiment}"):
            load(tmp_path)


def test_grey_rows_have_a_sigma_and_means(tmp_path):
    levels = np.arange(16 * 196).reshape(16, 196) % 256
    result = {"kind": "exact", "test": [12.0, 1.0], "sigma": 0.2, "parameters": 9, "seconds": 1.0}
    runs = {f"{name}, seed {seed}": (name, seed) for name in ("ABP", "mixture") for seed in (0, 1)}
    several = {"sigma": None}
    records = {run: {"result": result | (several if name == "mixture" else {})} for run, (name, _) in runs.items()}
    images = {"samples": np.uint8(levels), "means": np.uint8(255 - levels)}
    arrays = {f"{run}/{key}": array for run in runs for key, array in images.items()}
    arrays |= {f"{run}/log_probs": np.float32([11, 13]) for run in runs}
    write(tmp_path, [(records, arrays)], "grey_table")
    found = rows.load_grey(tmp_path)
    np.testing.assert_allclose(found["ABP"].samples[1], levels / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(found["ABP"].means, -found["ABP"].samples, atol=1e-6)
    np.testing.assert_allclose(found["ABP"].sigma, 0.2)
    assert np.isnan(found["mixture"].sigma).all() and found["ABP"].has_z and not found["mixture"].has_z
    assert rows.over_seeds(found["ABP"]) == (12, 1, 0)


def test_drawings_show_every_row_once(small):
    found, _ = small
    figure = rows_drawn.table(found, "digits", num_samples=3, reach=2.0)
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    for row in found.values():
        assert texts.count(row.title) == 1
        assert f"{rows.over_seeds(row).mean:.2f}" in texts
    assert "bracket, 0.50" in texts and sum(len(ax.images) for ax in figure.axes) == 4
    ax = plt.figure().add_subplot()
    gaps = rows_drawn.differences(ax, found, "tree")
    assert list(gaps) == [row.name for row in found.ranked()]
    assert [label.get_text() for label in ax.get_yticklabels()] == [row.title for row in found.ranked()]
    assert gaps["tree"].mean == 0 and gaps["NADE"] == rows.paired(found["NADE"], found["tree"])
    with pytest.raises(ValueError, match="no row 'ABP'"):
        rows_drawn.differences(ax, found, "ABP")
    plt.close("all")


# What comes along: the bars of its own page for each row, in nats a test image, and how wide a bracket may be.
BARS = {
    "RBM 20": (-18.2, -45.5),
    "RBM 64": (-17.2, None),
    "RBM 200": (None, -36.5),
    "NADE": (-17.6, -34.8),
    "MADE": (-17.5, -33.8),
    "VAE, d = 10": (-18.0, -36.2),
    "lattice": (-18.7, -43.2),
}
WIDEST = {"digits": 0.2, "clothes": 2.0}


@pytest.mark.parametrize("name", BARS)
def test_every_seed_is_above_the_bar_of_its_page(name):
    for (data, found), bar in zip(rows.load().items(), BARS[name], strict=True):
        assert (name in found) == (bar is not None)
        if bar is not None:
            row = found[name]
            assert row.seeds == (0, 1, 2)
            assert row.log_probs.mean(axis=1).min() >= bar, data
            assert 0 <= (row.high - row.log_probs).mean() < WIDEST[data]


@pytest.mark.parametrize("data", rows.PIXELS)
def test_abp_is_within_half_a_nat_of_the_lattice(data):
    found = rows.load()[data]
    gap = rows.paired(found["ABP"], found["lattice"])
    assert abs(gap.mean) + 2 * gap.error < 0.5
    assert found["ABP"].parameters == found["lattice"].parameters


def test_the_table_on_record_is_whole():
    table = rows.load()
    assert {name for found in table.values() for name in found} == set(rows.TITLES)
    num = {"digits": len(bits.load_digits().test), "clothes": len(bits.load_clothes().test)}
    for data, found in table.items():
        for row in found.values():
            assert row.seeds == ((0,) if row.name in rows.NO_SEED else (0, 1, 2)), row.name
            assert row.log_probs.shape[1] == num[data] and row.samples.shape[1:] == (16, rows.PIXELS[data])
            if row.sigma is None:
                assert row.log_probs.max() < 0 and set(np.unique(row.samples)) == {0, 1}

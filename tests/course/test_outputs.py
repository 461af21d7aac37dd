"""The comparison of a page's outputs with those of a fresh run finds what a reader would: each mutation is found."""

import copy
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import compare_outputs  # noqa: E402

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
BAR = "100%|█████████████| 300/300 [00:02<00:00, 114.52it/s, error 0.2515, accepted 80%]\n"
PRINTED = f"""jax 0.9.0.1 computes on the CPU (cpu, 1 device(s)).
{BAR}L_64 learned -7.7171, best -7.7079: 0.12 % apart, 12 of 16 chains, 40% accepted
largest difference 2.4e-07, of an image 0.0; covariance [[ 1.    0.634]
 [ 0.634 -0.   ]]
1,090,115 weights, 1.8 ms a picture, time 204 s, sigma 0.3
"""
FAILED = "Diverged at iteration 1 with step_size=0.6: the largest stable step is 0.53."


def page(printed=PRINTED, failed=FAILED, html="<b>error</b> 0.31", **metadata):
    picture = v4.new_output("display_data", {"text/plain": "<Figure size 900x300 with 1 Axes>", "image/png": "AA=="})
    outputs = [v4.new_output("stream", name="stdout", text=printed), picture]
    outputs += [v4.new_output("display_data", {"text/html": html, "text/plain": "error 0.31"})]
    outputs += [v4.new_output("error", ename="ChainDiverged", evalue=failed)]
    code = v4.new_code_cell("learn()", outputs=outputs, metadata=metadata)
    return v4.new_notebook(cells=[v4.new_markdown_cell("A page."), code])


def differs(new, old=None):
    return compare_outputs.compare(old or page(), new) != []


def test_a_run_is_the_same_as_itself():
    assert not differs(page())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.9.0.1 computes on the CPU (cpu, 1", "0.10.2 computes on the GPU (NVIDIA H100, 8"),
        ("[00:02<00:00, 114.52it/s, ", "[1:04:34<00:00,  1.83s/it, "),
        ("|█████████████|", "|██████|"),
        ("1.8 ms a picture, time 204 s,", "31 ms a picture, time 11 min,"),
        ("error 0.2515", "error 0.2891"),  # of one iteration
        ("accepted 80%]", "accepted 71%]"),
        ("-7.7171", "-7.7102"),
        ("-7.7171", "-7.62"),
        ("0.12 %", "0.13 %"),  # one unit of the last digit
        ("40%", "41%"),
        ("2.4e-07", "4.8e-08"),  # residues of rounding
        ("2.4e-07", "0e+00"),
        ("image 0.0", "image 4.7683716e-07"),
        ("image 0.0", "image 2e-05"),  # one unit of the last place of 200
        ("[[ 1.    0.634]\n [ 0.634 -0.   ]]", "[[1.   0.63]\n [0.63 0.  ]]"),
    ],
)
def test_timings_rounding_and_the_machine_are_put_aside(old, new):
    assert old in PRINTED and not differs(page(PRINTED.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("learned", "found"),  # a word
        ("L_64", "L_32"),  # a number in a name
        ("apart,", "apart;"),
        ("-7.7171", "-7.5"),  # beyond the tolerance
        ("-7.7171", "7.7171"),  # a sign
        ("-7.7171", "nan"),
        ("0.12 %", "0.14 %"),
        ("12 of 16", "13 of 16"),  # a count
        ("40%", "42%"),
        ("sigma 0.3", "sigma 0.4"),  # a unit of the last digit, and a third
        ("2.4e-07", "2.4e-05"),  # another order of magnitude
        ("image 0.0", "image 4.7e-04"),
        ("image 0.0", "image 5e-05"),
        ("1,090,115", "1,190,115"),
        ("100%|", "40%|"),
        ("300/300", "300/310"),
        ("best -7.7079: 0.12 %", "best -7.7079: 0.2 %"),
        ("0.634 -0. ", "0.634 -0.3"),
        ("error 0.2515", "error 0.3951"),
        ("accepted 80%]", "accepted 40%]"),
        ("1.8 ms", "1.8 MB"),
        ("1.8 ms", ""),
        ("0.634]\n", "0.634 1. ]\n"),
        (PRINTED.splitlines()[-1], ""),  # a line
        (PRINTED.splitlines()[0] + "\n", ""),
        (BAR, BAR + BAR),
    ],
)
def test_what_a_reader_would_see_is_found(old, new):
    assert old in PRINTED and differs(page(PRINTED.replace(old, new)))


def test_a_changed_message_of_an_error_is_found():
    assert differs(page(failed=FAILED.replace("the largest", "half of the largest")))
    assert differs(page(failed=FAILED.replace("0.53", "0.55")))
    assert not differs(page(failed=FAILED.replace("0.53", "0.54")))
    changed = page()
    changed.cells[1].outputs[-1].ename = "ValueError"
    assert differs(changed)


def test_tables_are_compared_as_they_are_read():
    assert not differs(page(html="<table><b>error</b> <td class='x 2'>0.31</table>"))
    assert differs(page(html="<b>error</b> 0.41"))


def test_a_missing_and_an_extra_output_are_found():
    for position in range(4):
        changed = page()
        del changed.cells[1].outputs[position]
        assert differs(changed) and differs(page(), changed)
    twice = page()
    twice.cells[1].outputs.append(copy.deepcopy(twice.cells[1].outputs[0]))
    assert differs(twice)
    without_picture = page()
    del without_picture.cells[1].outputs[1].data["image/png"]
    assert differs(without_picture)


def test_a_picture_may_come_as_either_kind_of_file():
    jpeg = page()
    jpeg.cells[1].outputs[1].data["image/jpeg"] = jpeg.cells[1].outputs[1].data.pop("image/png")
    assert not differs(jpeg)


def test_another_code_and_another_cell_are_found():
    changed = page()
    changed.cells[1].source = "learn(1)"
    assert differs(changed)
    longer = page()
    longer.cells.append(v4.new_markdown_cell("An end."))
    assert differs(longer) and differs(page(), longer)


def test_a_cell_can_declare_what_it_may_differ_by():
    new = page(PRINTED.replace("12 of 16", "13 of 16"))
    assert not differs(new, page(tolerance={"reason": "a long chain", "relative": 0.1}))
    assert not differs(new, page(tolerance={"reason": "a long chain", "absolute": 1}))
    assert not differs(new, page(tolerance={"reason": "a long chain", "aside": r"\d+ of 16 chains"}))
    residue = page(PRINTED.replace("image 0.0", "image 5e-05"))
    assert differs(residue) and not differs(residue, page(tolerance={"reason": "a long sum", "absolute": 1e-4}))
    assert differs(new, page(tolerance={"reason": "a long chain", "relative": 0.05, "absolute": 0.5, "aside": "x"}))
    word = page(PRINTED.replace("learned", "found"))
    assert differs(word, page(tolerance={"reason": "a long chain", "relative": 0.5, "absolute": 1}))


ESTIMATES = "the truth -1.25\nVAE -1.89 ± 0.09, asleep -14.03 ± 0.19, KL 1.5 ± 0.3\n"


@pytest.mark.parametrize(
    ("old", "new", "differ"),
    [
        ("-14.03 ± 0.19", "-13.42 ± 0.19", False),  # 3.2 errors
        ("-14.03 ± 0.19", "-13.12 ± 0.19", True),  # 4.8
        ("-14.03 ± 0.19", "-13.12 ± 0.63", False),  # by the larger error
        ("-14.03 ± 0.19", "-14.03 ± 2.50", True),  # an error is not thirteen times as large,
        ("-14.03 ± 0.19", "-14.03 ± 0.01", True),
        ("-14.03 ± 0.19", "-14.03 ± nan", True),
        ("-14.03 ± 0.19", "-14.03 0.19", True),
        ("0.09, asleep", "0.60, asleep", False),
        ("-1.25", "-1.32", True),  # has none
        ("1.5 ± 0.3", "2.8 ± 0.3", True),
        ("1.5 ± 0.3", "-1.5 ± 0.3", True),
    ],
)
def test_estimates_may_differ_by_some_of_their_errors(old, new, differ):
    tolerant = page(ESTIMATES, tolerance={"reason": "three seeds", "errors": 4})
    changed = page(ESTIMATES.replace(old, new))
    assert old in ESTIMATES and differs(changed) and differs(changed, tolerant) == differ


def test_a_tolerance_has_a_reason_and_something_to_tolerate():
    good = {"reason": "a long chain", "relative": 0.1, "aside": r"\d+ of \d+ chains"}
    assert compare_outputs.check_tolerance(page(tolerance=good).cells[1]) is None
    for bad in (
        {**good, "reason": ""},
        {"relative": 0.1},
        {"reason": "x"},
        {**good, "relativ": 1},
        {**good, "aside": "y"},
        {**good, "errors": 4},  # nothing has one
    ):
        assert compare_outputs.check_tolerance(page(tolerance=bad).cells[1])


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda f: f.stem)
def test_what_a_page_tolerates(file):
    cells = [cell for cell in nbformat.read(file, as_version=4).cells if "tolerance" in cell.metadata]
    assert [problem for cell in cells if (problem := compare_outputs.check_tolerance(cell))] == []
    assert all(cell.metadata.tolerance.get("relative", 0) <= 0.5 for cell in cells)

import json
import re
import shutil
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import compare_outputs  # noqa: E402
import run_notebooks  # noqa: E402

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda f: f.stem)
CAP_MINUTES = 20  # against a hang; what a notebook takes on two idle cores stands in the README


def read(file):
    return nbformat.read(file, as_version=4)


def code_cells(file):
    return [cell for cell in read(file).cells if cell.cell_type == "code"]


def test_the_course_is_complete():
    names = [f.stem for f in NOTEBOOKS]
    assert names == [
        "00_start_here",
        "01_factor_analysis",
        "02_langevin_dynamics",
        "03_alternating_back_propagation",
        "04_nonlinear_generator",
        "05_convnet_generator",
        "06_latent_explorer",
        "07_samplers_compared",
        "08_step_size_laboratory",
        "09_how_good_is_the_model",
        "10_reconstruction_and_synthesis",
        "11_interpolation",
        "12_train_test_negative",
        "13_against_pca",
        "14_incomplete_data",
        "15_scaling_up",
        "16_bayesian_networks",
        "17_markov_networks_and_gibbs_sampling",
        "18_restricted_boltzmann_machine",
        "19_contrastive_divergence",
        "20_nade",
        "21_made",
        "22_variational_autoencoder",
        "23_whose_gap_is_it",
        "24_wake_and_sleep",
        "25_generator_against_critic",
        "26_dcgan_on_clothes",
        "27_one_table",
        "28_what_you_can_do_now",
    ]


RECORDED = json.loads((ROOT / "docs" / "running_times.json").read_text("utf-8"))
longest_first = sorted(NOTEBOOKS, key=lambda f: -RECORDED.get(f.stem[:2], {"minutes": 0})["minutes"])


@pytest.mark.parametrize("file", longest_first, ids=lambda f: f.stem)  # two at a time, which end together
@pytest.mark.slow
def test_runs_as_shipped(file, tmp_path):
    """A page runs, and prints what stands in the page: scripts/compare_outputs.py says what may differ."""
    copy = Path(shutil.copy(file, tmp_path))
    run_notebooks.run(copy, CAP_MINUTES)
    differences = compare_outputs.compare(read(file), read(copy))
    assert not differences, "\n".join(["the outputs of a fresh run are not those of the page:", *differences])


@each_notebook
def test_committed_file(file):
    """Small, shown by GitHub, with the outputs of a whole run in order, and without a stray error or warning."""
    notebook, cells = read(file), code_cells(file)
    nbformat.validate(notebook)
    assert file.stat().st_size < 1_000_000
    assert "widgets" not in notebook.metadata
    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
    assert sum(bool(c.outputs) for c in cells) >= len(cells) / 3
    for cell in cells:
        for output in cell.outputs:
            if output.output_type == "error":
                assert "raises-exception" in cell.metadata.get("tags", [])
            assert output.get("name") != "stderr", output.get("text")


@each_notebook
def test_rhythm_of_the_page(file):
    notebook = read(file)
    lines = [len(c.source.splitlines()) for c in code_cells(file)]
    assert max(lines) <= 30
    kinds = "".join(c.cell_type[0] for c in notebook.cells)
    assert kinds[0] == "m" and kinds[-1] == "m" and "ccc" not in kinds


def test_every_notebook_begins_alike():
    """The cell that makes a notebook run on Colab, which pins jax and flax as they are there, and names the device."""
    first = {code_cells(f)[0].source for f in NOTEBOOKS}
    assert len(first) == 1
    (source,) = first
    address = re.search(r'Repository = "(.*)"', (ROOT / "pyproject.toml").read_text())[1]
    assert f'%pip install --quiet {{as_they_are}} "abp-jax[samplers] @ git+{address}"' in source
    assert "abp.describe_device()" in source
    assert 'jax.config.update("jax_default_matmul_precision", "highest")' in source


def test_runner_keeps_the_file_if_a_cell_fails(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    file = tmp_path / "bad.ipynb"
    nbformat.write(notebook, file)
    before = file.read_bytes()
    with pytest.raises(run_notebooks.NotebookError, match="ZeroDivisionError"):
        run_notebooks.run(file, 2)
    assert file.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
def test_runner_stops_a_notebook_that_hangs(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import threading; threading.Event().wait()")])
    nbformat.write(notebook, tmp_path / "hangs.ipynb")
    with pytest.raises(run_notebooks.NotebookError, match="stopped after 0.2 minutes, the cap"):
        run_notebooks.run(tmp_path / "hangs.ipynb", 0.2)


def test_progress_bars_leave_their_last_line():
    assert run_notebooks.overwrite("\r 10%|#   | \r100%|####|") == "100%|####|"


def test_running_times_go_into_the_record_and_from_there_into_the_maps(tmp_path):
    times, readme = tmp_path / "times.json", tmp_path / "README.md"
    times.write_text('{"01": {"minutes": 0.5, "cores": 2}}')
    first = "| **I** | [01 A](notebooks/01_factor_analysis.ipynb) | How? | 60 to 90 | {} |"
    second = "| | [02 B](02_langevin_dynamics.ipynb) | 2 | 5 | {} |"
    readme.write_text("\n".join([first.format(3), second.format(1.5)]))
    run_notebooks.record({"02": 1.2345}, times, [readme])
    recorded = json.loads(times.read_text())
    assert recorded["01"] == {"minutes": 0.5, "cores": 2}
    assert recorded["02"]["minutes"] == 1.2 and recorded["02"]["GFLOP/s"] > 0 and recorded["02"]["cores"] >= 1
    assert readme.read_text().splitlines() == [first.format(0.5), second.format(1.2)]


def test_the_maps_are_as_the_recorder_would_write_them():
    recorded = json.loads(run_notebooks.RUNNING_TIMES.read_text())
    for file in run_notebooks.MAPS:
        assert run_notebooks.with_running_times(file.read_text("utf-8"), recorded) == file.read_text("utf-8")

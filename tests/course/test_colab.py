"""The badges, the one command that sets their address, and the bundles that need no address."""

import base64
import io
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from functools import partial
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import bundle_for_colab  # noqa: E402
import set_address  # noqa: E402
import try_colab  # noqa: E402

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda f: f.stem)


@pytest.fixture(scope="module")
def wheel():
    return bundle_for_colab.build_wheel()


def badges(address, name):
    """The line that opens a notebook on Colab and on Binder."""
    slug = address.removeprefix("https://github.com/")
    colab, binder = "https://colab.research.google.com", "https://mybinder.org"
    return (
        f"[![Open in Colab]({colab}/assets/colab-badge.svg)]({colab}/github/{slug}/blob/main/notebooks/{name}) "
        f"[![Open in Binder]({binder}/badge_logo.svg)]({binder}/v2/gh/{slug}/HEAD?urlpath=lab/tree/notebooks/{name})"
    )


def bundled(file, wheel, address="https://github.com/OWNER/abp-jax"):
    notebook = json.loads(file.read_text("utf-8").replace(set_address.address(), address))
    return bundle_for_colab.bundle(notebook, *wheel, address)


def prose(notebook):
    return "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")


@each_notebook
def test_badges_stand_under_the_title(file):
    lines = nbformat.read(file, as_version=4).cells[0].source.splitlines()
    assert lines[0].startswith("# ")
    assert lines[1:4] == ["", badges(set_address.address(), file.name), ""]


def test_readme_has_the_badges_of_the_first_notebook():
    assert badges(set_address.address(), NOTEBOOKS[0].name) in (ROOT / "README.md").read_text("utf-8").splitlines()


def test_one_command_sets_every_address(tmp_path):
    for name in ("pyproject.toml", "README.md", "scripts/set_address.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=lambda *_: ["checkpoints", "runs"])
    files = [f for f in sorted(tmp_path.rglob("*")) if f.is_file()]
    before = [f.read_bytes() for f in files]
    old, new = set_address.address(), "https://github.com/some-body/abp.jax-2"
    for address in ("https://github.com/first/abp-jax", f"{new}.git"):
        command = [sys.executable, tmp_path / "scripts" / "set_address.py"]
        subprocess.run([*command, address], check=True, capture_output=True)
    for name in (f.name for f in NOTEBOOKS):
        notebook = (tmp_path / "notebooks" / name).read_text("utf-8")
        assert badges(new, name) in notebook and f"git+{new}\\" in notebook
        assert "OWNER" not in notebook and "first/abp-jax" not in notebook
    assert badges(new, NOTEBOOKS[0].name) in (tmp_path / "README.md").read_text("utf-8")
    subprocess.run([*command, old], check=True, capture_output=True)
    assert [f.read_bytes() for f in files] == before


@pytest.mark.parametrize("wrong", ["", "abp-jax", "http://github.com/you/abp-jax", "https://github.com/you"])
def test_an_address_of_another_form_is_refused(wrong):
    with pytest.raises(SystemExit, match="expected an address like"):
        set_address.main(wrong)


def test_same_files_same_bundle(wheel):
    again = bundle_for_colab.build_wheel()
    assert again == wheel
    assert json.dumps(bundled(NOTEBOOKS[0], again)) == json.dumps(bundled(NOTEBOOKS[0], wheel))


@each_notebook
def test_bundle_is_the_notebook_and_one_folded_cell(file, wheel):
    bundle, notebook = bundled(file, wheel), json.loads(file.read_text("utf-8"))
    nbformat.validate(nbformat.from_dict(bundle))
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    code_of = "".join(code).replace('load_experiment("exercise")', "")
    asks = any(name in code_of for name in ("load_fashion_mnist", "load_clothes", "load_experiment"))
    both = code_of != "".join(code) and "load_lion_tiger_generator" in code_of  # pictures of the exercise, a generator
    assert len(json.dumps(bundle, indent=1).encode()) < (12_500_000 if asks else 5_500_000 if both else 5_000_000)
    first = next(i for i, cell in enumerate(notebook["cells"]) if cell["cell_type"] == "code")
    carrier = bundle["cells"].pop(first)
    assert carrier["metadata"] == {"cellView": "form", "jupyter": {"source_hidden": True}}
    assert [len(line) < 120 for line in carrier["source"].splitlines()] == [True, True, True, False]
    assert '%pip install --quiet {as_they_are} "{wheel}[samplers]"' in bundle["cells"][first]["source"]
    for i, (mine, theirs) in enumerate(zip(bundle["cells"], notebook["cells"], strict=True)):
        if mine["cell_type"] == "code":
            assert mine["outputs"] == theirs["outputs"]
            assert mine["source"] == "".join(theirs["source"]) or i == first


def test_clothes_are_in_the_bundles_that_ask_for_them(wheel, tmp_path):
    """And where they are left out, pip still finds a whole wheel, whose list names no missing file."""
    of_wheel = partial(bundle_for_colab.carried, wheel[1])
    smaller, clothes, exercise = (of_wheel(*which, True) for which in ((False, False), (True, False), (False, True)))
    without = zipfile.ZipFile(io.BytesIO(of_wheel(True, True, False))).namelist()
    assert set(zipfile.ZipFile(io.BytesIO(wheel[1])).namelist()) - set(without) == {
        f"abp_jax/_data/lion_tiger_generator{size}.safetensors" for size in ("", "_32", "_16")
    }
    with zipfile.ZipFile(io.BytesIO(wheel[1])) as all_of_it, zipfile.ZipFile(io.BytesIO(smaller)) as rest:
        left_out = set(all_of_it.namelist()) - set(rest.namelist())
        (record,) = (name for name in rest.namelist() if name.endswith("RECORD"))
        assert {line.split(",")[0] for line in rest.read(record).decode().splitlines()} == set(rest.namelist())
    assert "abp_jax/_data/clothes/t10k-images-idx3-ubyte.gz" in left_out
    assert {"abp_jax/_data/experiments/exercise.json", "abp_jax/_data/experiments/exercise_cured.jpg"} < left_out
    assert all(name.startswith(("abp_jax/_data/clothes", "abp_jax/_data/experiments")) for name in left_out)
    for line, carried in (
        ("abp.load_lion_tiger()", smaller),
        ("abp.load_fashion_mnist(5)", clothes),
        ("bits.load_clothes()", clothes),
        ("abp.load_experiment", clothes),
        ('abp.load_experiment("exercise")', exercise),
    ):
        notebook = json.loads(NOTEBOOKS[0].read_text("utf-8"))
        notebook["cells"].append(bundle_for_colab.code_cell(line))
        bundle = bundle_for_colab.bundle(notebook, *wheel, set_address.address())
        assert any(base64.b64encode(carried).decode() in cell["source"] for cell in bundle["cells"])


@each_notebook
def test_links_of_a_bundle_lead_somewhere(file, wheel):
    without = prose(bundled(file, wheel))
    assert re.findall(r"\]\((?!https://)[^)]*\)", without) == [] and "Open in" not in without
    address = "https://github.com/you/abp-jax"
    targets = re.findall(rf"\]\({address}/blob/main/([^)#]*)", prose(bundled(file, wheel, address)))
    assert targets and all((ROOT / target).exists() for target in targets)


@pytest.fixture
def without_the_course(tmp_path, monkeypatch):
    """A folder with a new environment that has every package of this one, but not the course."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (tmp_path / "packages").mkdir()
    for entry in {e for place in ("purelib", "platlib") for e in Path(sysconfig.get_path(place)).iterdir()}:
        if "abp_jax" not in entry.name and entry.suffix != ".pth":
            (tmp_path / "packages" / entry.name).symlink_to(entry)
    where = [try_colab.python_of(tmp_path), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(where, check=True, capture_output=True, text=True).stdout.strip())
    (site / "packages.pth").write_text(str(tmp_path / "packages"))
    monkeypatch.setenv("JUPYTER_PATH", "")  # back to what it was afterwards
    try_colab.make_kernel(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_bundle_runs_where_the_course_is_absent(without_the_course, wheel):
    """From an empty folder, with no package changed and with the course that is in the bundle."""
    absent = [try_colab.python_of(without_the_course), "-c", "import jax, abp_jax"]
    failed = subprocess.run(absent, cwd=without_the_course, capture_output=True, text=True)
    assert "No module named 'abp_jax'" in failed.stderr
    try_colab.run(nbformat.from_dict(bundled(NOTEBOOKS[0], wheel)), without_the_course, cap=10)

"""pyproject.toml, environment.yml and requirements.lock name the same things, and the wheel carries the data."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from abp_jax.compilation.compiler import WRONG_ON_CPU

ROOT = Path(__file__).parents[2]
CONDA_NAMES = {"playwright": "playwright-python"}  # where conda-forge has another name than PyPI
PIP_ALONE = ["axe-playwright-python", "sphinx-mathjax-offline"]  # what pip installs there too


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


@pytest.fixture(scope="module")
def wanted(project):
    """The dependencies and those of the extras lab, data, samplers, test and book, name -> requirement."""
    extras = project["optional-dependencies"]
    names = ("lab", "data", "samplers", "test", "book")
    listed = project["dependencies"] + [text for name in names for text in extras[name]]
    requirements = map(Requirement, listed)
    return {r.name: r for r in requirements if r.name != project["name"]}


@pytest.fixture(scope="module")
def locked():
    """The pins of requirements.lock, with the text that follows each up to the next."""
    text = (ROOT / "requirements.lock").read_text("utf-8")
    blocks = re.split(r"^(?=[a-zA-Z0-9])", text, flags=re.MULTILINE)[1:]
    return [(Requirement(block.split("\\")[0]), block) for block in blocks]


def test_conda_names_the_same_packages_and_bounds(project, wanted):
    conda = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))["dependencies"]
    expected = {CONDA_NAMES.get(name, name): r.specifier for name, r in wanted.items() if name not in PIP_ALONE}
    python, *listed = [entry for entry in conda if isinstance(entry, str) and entry != "pip"]
    name, version = python.split("=")  # one version: Binder can't read a bound
    assert name == "python" and version in Requirement(f"python{project['requires-python']}").specifier
    requirements = [Requirement(entry) for entry in listed]
    assert {r.name: r.specifier for r in requirements} == expected
    assert len(requirements) == len(expected)
    assert conda[-1] == {"pip": [*(str(wanted[name]) for name in PIP_ALONE), "-e ."]}


def test_bounds_are_lower_bounds_but_for_wrong_compilers(project):
    extras = project["optional-dependencies"].values()
    for text in [*project["dependencies"], *(text for extra in extras for text in extra)]:
        requirement = Requirement(text)
        if requirement.name != project["name"]:
            assert [s.version for s in requirement.specifier if s.operator == ">="], text
            others = {f"{s}" for s in requirement.specifier if s.operator != ">="}
            wrong = {f"!={version}" for version in WRONG_ON_CPU} if requirement.name in ("jax", "jaxlib") else set()
            assert others == wrong, text


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize(("platform", "os_name"), [("linux", "posix"), ("darwin", "posix"), ("win32", "nt")])
def test_lock_has_one_fitting_version_of_each(wanted, locked, python, platform, os_name):
    machine = {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": platform,
        "os_name": os_name,
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    pins = [pin for pin, _ in locked if pin.marker is None or pin.marker.evaluate(machine)]
    names = [canonicalize_name(pin.name) for pin in pins]
    assert len(names) == len(set(names))
    versions = {name: next(iter(pin.specifier)).version for name, pin in zip(names, pins, strict=True)}
    for name, requirement in wanted.items():
        assert versions[canonicalize_name(name)] in requirement.specifier
    assert versions["jaxlib"] not in WRONG_ON_CPU


def test_lock_has_hashes_and_no_address(locked):
    for pin, block in locked:
        assert [s.operator for s in pin.specifier] == ["=="], pin
        assert "--hash=sha256:" in block, pin
    text = (ROOT / "requirements.lock").read_text("utf-8")
    assert not re.search(r"https?:|://|--(extra-)?index|--find-links|file:", text)


def test_wheel_carries_modules_style_and_data(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    files = set(zipfile.ZipFile(wheel).namelist())
    modules = {f.relative_to(ROOT).as_posix() for f in (ROOT / "abp_jax").rglob("*.*") if f.suffix != ".pyc"}
    data = {f"abp_jax/_data/{f.relative_to(ROOT / 'data').as_posix()}" for f in (ROOT / "data").rglob("*.*")}
    assert {f for f in files if ".dist-info/" not in f} == modules | data
    assert "abp_jax/_data/lion_tiger/CREDITS.md" in files

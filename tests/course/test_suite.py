"""The suite itself: it goes on where one of its workers is ended by the system."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow

TESTS = """
import os, pathlib, signal
import pytest

@pytest.mark.parametrize("number", range(4))
def test_number(number):
    once = pathlib.Path(__file__).with_suffix(".killed")
    if number == 1 and not once.exists():
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.sched_getaffinity(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="shares cores out where the system knows how to")
def test_a_worker_that_takes_another_s_place_works(tmp_path):
    for letter in "ab":
        (tmp_path / f"test_{letter}.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-n", "2", "-q", "-c", ROOT / "pyproject.toml", "-p", "tests.conftest"]
    command += ["--rootdir", tmp_path, tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert "2 failed, 8 passed" in done.stdout, done.stdout + done.stderr  # the two that were ended run once more
    assert done.stdout.count("crashed while running") >= 2

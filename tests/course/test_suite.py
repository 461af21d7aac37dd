"""The suite itself: it goes on where one of its workers is ended by the system."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow

# Both workers are ended, and so the hardest order is played: the first to take a place has its tests while the second
# still collects, and goes on when the first has run one of them.
TESTS = """
import os, pathlib, signal, time
import pytest

folder, worker = pathlib.Path(__file__).parent, os.environ["PYTEST_XDIST_WORKER"]

def wait_for(name):
    end = time.monotonic() + 60
    while not (folder / name).exists() and time.monotonic() < end:
        time.sleep(0.05)

if worker == "gw2":
    wait_for("gw3.collects")
if worker == "gw3":
    (folder / "gw3.collects").touch()
    wait_for("gw2.ran")

@pytest.mark.parametrize("number", range(4))
def test_number(number):
    once = pathlib.Path(__file__).with_suffix(".killed")
    if number == 1 and not once.exists():
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / f"{worker}.ran").touch()
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

"""The core under settings of jax that a user may have turned on, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODES = {
    "64 bits": ({"JAX_ENABLE_X64": "1"}, []),
    "64 bits, W too": ({"JAX_ENABLE_X64": "1"}, ["f64"]),
    "nan is an error": ({"JAX_DEBUG_NANS": "1"}, []),
    "ranks are compared": ({"JAX_NUMPY_RANK_PROMOTION": "raise"}, []),
    "old keys": ({}, ["old-key"]),
    "four devices": ({"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}, []),
}


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_the_core_works(mode):
    variables, arguments = MODES[mode]
    command = [sys.executable, "-m", "tests.modes", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, timeout=900)
    assert done.stdout.endswith("failed: []\n"), done.stdout + done.stderr[-2000:]

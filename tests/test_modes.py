"""The core under settings of jax that a user may have turned on, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import OWN_FLAGS

ROOT = Path(__file__).parents[1]
MODES = {
    "64 bits, nan is an error": ({"JAX_ENABLE_X64": "1", "JAX_DEBUG_NANS": "1"}, []),
    "64 bits, W too": ({"JAX_ENABLE_X64": "1"}, ["f64"]),
    "four devices, old keys, ranks are compared": (
        {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_NUMPY_RANK_PROMOTION": "raise"},
        ["old-key"],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_the_core_works(mode):
    variables, arguments = MODES[mode]
    command = [sys.executable, "-m", "tests.modes", *arguments]
    flags = f"{variables.get('XLA_FLAGS', '')} {OWN_FLAGS}"  # it compiles more than it computes
    variables = os.environ | variables | {"XLA_FLAGS": flags}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=900)
    assert done.stdout.endswith("failed: []\n"), done.stdout + done.stderr[-2000:]

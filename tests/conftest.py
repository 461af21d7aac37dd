import contextlib
import ctypes
import gc
import os
from importlib.metadata import version
from pathlib import Path

# Two workers that both compute on all cores spend most of their time waiting for each other. So each has its share of
# them, and so have the kernels and browsers that it starts. It must be said before jax counts the cores. A worker that
# takes the place of one that was ended has a number of its own, beyond the first ones: it gets the share in turn.
if (worker := os.environ.get("PYTEST_XDIST_WORKER")) and hasattr(os, "sched_setaffinity"):
    cores, num_workers = sorted(os.sched_getaffinity(0)), int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    if num_workers <= len(cores):
        os.sched_setaffinity(0, cores[int(worker.removeprefix("gw")) % num_workers :: num_workers])

# Most programs of the tests run for a moment and take seconds to compile: here at level 0, and by the code for fused
# operations that is compiled sooner, where jaxlib has two (see `compiler.quick`). The kernels and the other processes
# that tests start compute for longer: level 1, by the code that users have. (A worker finds that one, set by the
# process above it.)
if os.environ.get("XLA_FLAGS") in (None, "--xla_backend_optimization_level=1"):
    os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"
    if tuple(map(int, version("jaxlib").split(".")[:2])) < (0, 11):
        os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"

import jax
import matplotlib
import pytest
from xdist.scheduler import LoadScopeScheduling

import abp_jax as abp
from tests.widgets.browser import browser_path

OWN_FLAGS = os.environ["XLA_FLAGS"]  # of what this process compiles, whatever its children do
if OWN_FLAGS.startswith("--xla_backend_optimization_level=0"):
    jax.devices()  # reads the flags, once and for all
    os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=1"
matplotlib.use("Agg")
jax.config.update("jax_numpy_rank_promotion", "raise")
if jax.__version_info__ >= abp.compilation_cache.FIRST_SOUND_VERSION:
    # Every `fit` is a program of its own, often the same. One reader and writer for each folder: JAX does not write an
    # entry in one go.
    folder = Path(__file__).parents[1] / "build" / "programs" / f"jax-{jax.__version__}-{worker or 'alone'}"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


class ByFile(LoadScopeScheduling):
    """The tests of a file share a worker, and so their fixtures; but each notebook is executed by whoever has time."""

    def _split_scope(self, nodeid):
        return nodeid if "::test_runs_as_shipped[" in nodeid else super()._split_scope(nodeid)

    def _reschedule(self, node):
        """Work goes to a worker that has said what it collected: of two new ones the second may not have, as yet."""
        if node in self.registered_collections:
            super()._reschedule(node)


def pytest_collection_modifyitems(items):
    """What opens a browser is slow."""
    for item in items:
        if "chromium" in item.fixturenames:
            item.add_marker(pytest.mark.slow)


def pytest_xdist_make_scheduler(config, log):
    return ByFile(config, log)


@pytest.fixture(scope="module", autouse=True)
def no_program_outlives_its_file():
    """Compiled programs would fill gigabytes: a test file shares hardly any with the next."""
    yield
    jax.clear_caches()
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # what was freed goes back to the system, where it is glibc's
        ctypes.CDLL("libc.so.6").malloc_trim(0)


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture(scope="session")
def small_faces():
    """The eleven faces at 16 x 16."""
    return abp.load_lion_tiger(size=16)


@pytest.fixture(scope="session")
def tiny_faces():
    """The eleven faces at 8 x 8: a generator of one transposed convolution compiles much sooner than one of two."""
    return abp.load_lion_tiger(size=8)


@pytest.fixture(scope="session")
def chromium():
    """Where the browser is. Without one its tests are skipped, but in CI they fail."""
    if browser_path() is None:
        message = "no Chromium on the PATH: 'apt-get install chromium' or your system's like gets one"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(message)
    return browser_path()

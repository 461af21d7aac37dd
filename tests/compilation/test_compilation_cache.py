import os
import subprocess
import sys
from pathlib import Path

import pytest

from abp_jax.compilation import compilation_cache

pytestmark = pytest.mark.skipif(not compilation_cache.works(), reason="the cache is left off with this jax")

PROGRAM = """
import jax
import abp_jax as abp
from flax import nnx
abp.compilation_cache.enable()
result = abp.fit(abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(0)), abp.load_lion_tiger(size=8), 22,
                 key=jax.random.key(0), progress=False)
print(repr(float(result.losses[-1])), jax.config.jax_compilation_cache_dir)
"""

# Only programs that took long are kept, and how long one takes depends on what else the machine does. Here all are.
KEEP_ALL = PROGRAM.replace(
    "result =", "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)\nresult =", 1
)

FOLDER = "import jax, abp_jax; abp_jax.compilation_cache.enable(); print(None, jax.config.jax_compilation_cache_dir)"


def run(home: Path, program: str = FOLDER, **settings) -> tuple[str, str]:
    own = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "LOCALAPPDATA": str(home / "cache")}
    left = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    done = subprocess.run([sys.executable, "-c", program], env=left | own | settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loss, folder = done.stdout.split()
    return loss, folder


def test_a_second_process_reads_what_the_first_compiled(tmp_path):
    loss, folder = run(tmp_path, PROGRAM)
    assert Path(folder).is_relative_to(tmp_path)
    assert any(f.name.startswith("jit_advance") for f in Path(folder).glob("*-cache"))
    assert run(tmp_path, KEEP_ALL) == (loss, folder)
    entries = {f.name: f.read_bytes() for f in Path(folder).glob("*-cache")}
    assert run(tmp_path, KEEP_ALL) == (loss, folder)
    changed = {f.name for f in Path(folder).glob("*-cache") if entries.get(f.name) != f.read_bytes()}
    assert changed == set()  # nothing compiled anew


def test_the_choice_of_the_user_stays(tmp_path):
    _, folder = run(tmp_path, JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine"))
    assert folder == str(tmp_path / "mine")
    _, folder = run(tmp_path, JAX_ENABLE_COMPILATION_CACHE="false")
    assert folder == "None"


def test_a_home_that_is_not_writable_is_no_obstacle(tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert run(tmp_path)[1] == "None"

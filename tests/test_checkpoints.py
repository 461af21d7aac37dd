import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax import checkpoints

RUN = """
import sys
import jax
from flax import nnx
import abp_jax as abp

generator = abp.ConvGenerator(image_size=16, width=4, rngs=nnx.Rngs(0))
abp.fit(generator, abp.load_lion_tiger(size=16), 100_000, key=jax.random.key(0), num_steps=2, batch_size=4,
        learning_rate=lambda t: 1e-3, checkpoint_dir=sys.argv[1], progress=False)
"""


def run(folder, num_iterations, images, **changes):
    generator = abp.ConvGenerator(image_size=16, width=4, rngs=nnx.Rngs(0))
    arguments = dict(key=jax.random.key(0), num_steps=2, batch_size=4, learning_rate=lambda t: 1e-3, progress=False)
    return abp.fit(generator, images, num_iterations, checkpoint_dir=folder, **(arguments | changes))


def assert_same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(*(jax.random.key_data(v) if v.dtype == a.key.dtype else v for v in (x, y)))


def saved(folder):
    """Whether the checkpoint holds iterations already; it is written once before the first."""
    return checkpoints.exists(folder) and len(checkpoints._read(folder / checkpoints.STATE_FILE)[0]["losses"]) > 0


def test_killed_run_continues_to_the_same_bits(tmp_path, small_faces):
    """A real process, killed without warning once it has saved something, against a run that was never disturbed."""
    process = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path / "killed")])
    while process.poll() is None and not saved(tmp_path / "killed"):
        time.sleep(0.02)
    assert process.poll() is None, "the run ended by itself"
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    done = int(run(tmp_path / "killed", 1, small_faces).state.iteration)
    assert done >= 50 and done % 50 == 0
    resumed = run(tmp_path / "killed", done + 37, small_faces)
    undisturbed = run(None, done + 37, small_faces)
    assert_same(resumed.state, undisturbed.state)
    np.testing.assert_array_equal(resumed.losses, undisturbed.losses)
    assert len(resumed.losses) == done + 37


def test_the_last_iteration_is_what_is_kept(tmp_path, small_faces):
    result = run(tmp_path, 53, small_faces)
    state, losses = checkpoints.restore(tmp_path, result.state, _settings(tmp_path))
    assert int(state.iteration) == 53
    assert_same(state, result.state)
    np.testing.assert_array_equal(losses, result.losses)
    assert [f.name for f in tmp_path.iterdir()] == [checkpoints.STATE_FILE]


def _settings(folder):
    import json

    return json.loads(checkpoints._read(folder / checkpoints.STATE_FILE)[1]["settings"])


def test_other_settings_are_refused_and_nothing_is_overwritten(tmp_path, small_faces):
    run(tmp_path, 2, small_faces)
    before = (tmp_path / checkpoints.STATE_FILE).read_bytes()
    for changes in (dict(sigma=0.2), dict(key=jax.random.key(1)), dict(batch_size=5), dict(sampler="langevin")):
        with pytest.raises(
            ValueError, match=rf"belongs to another run: .*{next(iter(changes))} was .*delete the folder"
        ):
            run(tmp_path, 3, small_faces, **changes)
    with pytest.raises(ValueError, match="images was"):
        run(tmp_path, 3, small_faces[:10])
    assert (tmp_path / checkpoints.STATE_FILE).read_bytes() == before


def test_another_network_is_refused(tmp_path, small_faces):
    run(tmp_path, 2, small_faces)
    wider = abp.ConvGenerator(image_size=16, width=8, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="has shape .* expected"):
        abp.fit(
            wider,
            small_faces,
            3,
            key=jax.random.key(0),
            num_steps=2,
            batch_size=4,
            learning_rate=lambda t: 1e-3,
            checkpoint_dir=tmp_path,
            progress=False,
        )


def test_damaged_file_is_refused_and_left_alone(tmp_path, small_faces):
    run(tmp_path, 2, small_faces)
    file = tmp_path / checkpoints.STATE_FILE
    damaged = file.read_bytes()[:1000]
    file.write_bytes(damaged)
    with pytest.raises(ValueError, match="is damaged"):
        run(tmp_path, 3, small_faces)
    assert file.read_bytes() == damaged


def test_generator_round_trip(tmp_path):
    generator = abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(3))
    z = jnp.array([[0.5, -1.0], [2.0, 0.25]])
    abp.save_generator(tmp_path / "g.safetensors", generator, z)
    other = abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(4))
    loaded, loaded_z = abp.load_generator(tmp_path / "g.safetensors", other)
    np.testing.assert_array_equal(loaded_z, z)
    np.testing.assert_array_equal(abp.reconstruct(loaded, z), abp.reconstruct(generator, z))
    assert not np.allclose(abp.reconstruct(other, z), abp.reconstruct(generator, z))
    with pytest.raises(ValueError, match="expected"):
        abp.load_generator(tmp_path / "g.safetensors", abp.ConvGenerator(image_size=8, width=8, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match="no checkpoint"):
        abp.load_generator(tmp_path / "missing.safetensors", other)


def test_shipped_generator_draws_the_shipped_faces():
    generator, z = abp.load_lion_tiger_generator()
    assert z.shape == (11, 2)
    assert float(abp.reconstruction_error(generator, z, abp.load_lion_tiger()).mean()) < 0.006


def test_default_learning_rate_continues_to_the_same_bits(tmp_path, small_faces):
    """The rate falls along a cosine that belongs to num_iterations: a checkpoint of another length is another run."""
    whole = run(None, 60, small_faces, learning_rate=2e-3)
    halfway = run(tmp_path / "a", 60, small_faces, learning_rate=2e-3)
    np.testing.assert_array_equal(halfway.z, whole.z)
    with pytest.raises(ValueError, match="learning_rate was"):
        run(tmp_path / "a", 90, small_faces, learning_rate=2e-3)


def test_resume_never_overwrites_another_run(tmp_path, small_faces):
    run(tmp_path, 6, small_faces)
    other = run(None, 3, small_faces)
    before = (tmp_path / checkpoints.STATE_FILE).read_bytes()
    with pytest.raises(ValueError, match="belongs to another run"):
        run(tmp_path, 9, small_faces, resume=other)
    assert (tmp_path / checkpoints.STATE_FILE).read_bytes() == before


def test_numpy_settings_and_an_impossible_folder(tmp_path, small_faces):
    run(tmp_path / "numpy", 2, small_faces, sigma=np.float32(0.3), batch_size=np.int64(4))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        run(tmp_path / "file", 2, small_faces)

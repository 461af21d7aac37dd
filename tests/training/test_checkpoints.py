import asyncio
import contextlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax import learning
from abp_jax.training import checkpoints

SETTINGS = {"sigma": 0.3, "images": "of cats"}


def run(folder, num_iterations, images, **changes):
    generator = abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(0))
    arguments = dict(key=jax.random.key(0), num_steps=2, batch_size=4, learning_rate=lambda t: 1e-3, progress=False)
    return abp.fit(generator, images, num_iterations, checkpoint_dir=folder, **(arguments | changes))


def make_state(iteration=1, **changes):
    """A state of many types, with numbers that a copy by value would change."""
    odd = np.array([0x7F800001, 0xFFC00000, 0x80000000, 1, 0x3EAAAAAB], np.uint32)  # two nans, -0, 1.4e-45, 1/3
    half = np.array([0x7C01, 0xFFFF, 0x8000, 1, 0x3555], np.uint16)
    params = {
        "first": {"kernel": jax.random.normal(jax.random.key(1), (2, 300)), "bias": jnp.asarray(odd.view(np.float32))},
        "half": jnp.asarray(half.view(np.float16)),
        "brain": jnp.asarray(half.view(jnp.bfloat16)),
        "mask": jnp.array([True, False]),
        "index": jnp.arange(5, dtype=jnp.uint8),
    }
    opt_state = optax.adamw(optax.constant_schedule(1e-3)).init(params["first"])
    state = learning.ABPState(params, opt_state, jnp.ones((3, 2)), jax.random.key(7), jnp.int32(iteration))
    return state._replace(**changes)


def test_a_run_begins_where_its_newest_checkpoint_stands(tmp_path):
    assert checkpoints.begins_at(None, 3) == checkpoints.begins_at(tmp_path / "none", 3) == 3
    for iteration in (2, 11, 5):
        checkpoints.save(tmp_path, make_state(iteration), np.zeros(iteration), SETTINGS)
    assert checkpoints.begins_at(tmp_path, 0) == 11


def zeros_like(state):
    return jax.tree.map(lambda x: jax.random.clone(x) if is_key(x) else jnp.zeros_like(x), state)


def is_key(x):
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def assert_same_bits(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        x, y = (np.asarray(jax.random.key_data(v) if is_key(v) else v) for v in (x, y))
        assert x.shape == y.shape and x.tobytes() == y.tobytes()


def contents(folder):
    files = (path for path in Path(folder).rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder): path.read_bytes() for path in files}


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
@pytest.mark.parametrize("losses", [[], [0.1], np.arange(1, 4) / 3])
def test_every_bit_comes_back(tmp_path, losses, impl):
    state = make_state(key=jax.random.key(7, impl=impl))
    checkpoints.save(tmp_path, state, losses, SETTINGS)
    restored, restored_losses = checkpoints.restore(tmp_path, zeros_like(state), SETTINGS)
    assert_same_bits(restored, state)
    assert type(restored_losses) is np.ndarray and restored_losses.dtype == np.float64
    assert restored_losses.tolist() == list(losses)


def test_memory_may_be_reused_after_saving_and_after_restoring(tmp_path):
    advance = lambda s: s._replace(z=s.z * 1.5, iteration=s.iteration + 1)
    state, expected = jax.tree.map(jnp.copy, (make_state(), make_state()))
    for _ in range(3):
        checkpoints.save(tmp_path, state, [], SETTINGS)
        state, expected = jax.jit(advance, donate_argnums=0)(state), jax.jit(advance)(expected)
        checkpoints.save(tmp_path, state, [], SETTINGS)
        state, _ = checkpoints.restore(tmp_path, state, SETTINGS)
        assert_same_bits(state, expected)
        state, expected = jax.jit(advance, donate_argnums=0)(state), jax.jit(advance)(expected)
        assert_same_bits(state, expected)


def test_the_last_iteration_is_what_is_kept(tmp_path, tiny_faces):
    result = run(tmp_path, 53, tiny_faces)
    assert names(tmp_path) == ["iteration_0", "iteration_50", "iteration_53"]
    again = run(tmp_path, 53, tiny_faces)  # complete: what is there is returned, and saved over nothing
    assert_same_bits(again.state, result.state)
    np.testing.assert_array_equal(again.losses, result.losses)


def test_the_last_few_stay_by_number(tmp_path):
    for iteration in (8, 9, 10, 100):
        checkpoints.save(tmp_path, make_state(iteration), [], SETTINGS)
    assert names(tmp_path) == ["iteration_10", "iteration_100", "iteration_9"]
    checkpoints.save(tmp_path, make_state(101), [], SETTINGS, keep=1)
    assert names(tmp_path) == ["iteration_101"]
    with pytest.raises(ValueError, match="keep must be at least 1, got 0"):
        checkpoints.save(tmp_path, make_state(102), [], SETTINGS, keep=0)


def test_an_iteration_is_saved_once(tmp_path):
    checkpoints.save(tmp_path, make_state(), [], SETTINGS)
    before = contents(tmp_path)
    checkpoints.save(tmp_path, make_state(), [], SETTINGS)
    with pytest.raises(ValueError, match="belongs to another run: sigma was 0.3, is 0.2"):
        checkpoints.save(tmp_path, make_state(), [], SETTINGS | {"sigma": 0.2})
    assert contents(tmp_path) == before


def test_what_a_killed_save_leaves_is_ignored_then_deleted(tmp_path, monkeypatch):
    """The save fails at its last step; then the remains are given the name that they had in the middle of deleting."""
    with monkeypatch.context() as m:
        m.setattr(os, "fsync", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            checkpoints.save(tmp_path, make_state(1), [], SETTINGS)
        assert not checkpoints.exists(tmp_path) and names(tmp_path) == ["iteration_1.unfinished"]
    checkpoints.save(tmp_path, make_state(1), [], SETTINGS)
    shutil.copytree(tmp_path / "iteration_1", tmp_path / "iteration_2.unfinished")
    shutil.copytree(tmp_path / "iteration_1", tmp_path / "iteration_2.deleted")
    (tmp_path / "iteration_2.png").write_text("not ours")
    assert int(checkpoints.restore(tmp_path, make_state(), SETTINGS)[0].iteration) == 1
    checkpoints.save(tmp_path, make_state(2), [], SETTINGS)
    assert names(tmp_path) == ["iteration_1", "iteration_2", "iteration_2.png"]
    assert_same_bits(checkpoints.restore(tmp_path, zeros_like(make_state()), SETTINGS)[0], make_state(2))


def damages(path):
    """What can happen to a file: (name, function)."""
    whole, position = path.read_bytes(), random.Random(path.name).randrange(path.stat().st_size)
    yield "missing", path.unlink
    yield "empty", partial(path.write_bytes, b"")
    yield "truncated", partial(path.write_bytes, whole[:position])
    yield (
        "a bit flipped",
        partial(path.write_bytes, whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :]),
    )
    yield "a byte more", partial(path.write_bytes, whole + b"x")


def test_damage_anywhere_is_refused_and_left_alone(tmp_path):
    for iteration in (1, 2):
        checkpoints.save(tmp_path, make_state(iteration), np.arange(3.0), SETTINGS)
    newest, older = tmp_path / "iteration_2", tmp_path / "iteration_1"
    for path in filter(Path.is_file, newest.rglob("*")):
        whole = path.read_bytes()
        for name, damage in damages(path):
            damage()
            before = contents(tmp_path)
            print(path, name)
            message = rf"{newest} is damaged \(.* {older} is sound: delete {newest}, and the run continues from there"
            with pytest.raises(ValueError, match=message):
                checkpoints.restore(tmp_path, make_state(), SETTINGS)
            assert contents(tmp_path) == before
            path.write_bytes(whole)
    assert_same_bits(checkpoints.restore(tmp_path, make_state(), SETTINGS)[0], make_state(2))


def test_the_way_out_of_damage(tmp_path):
    for iteration in (1, 2, 3):
        checkpoints.save(tmp_path, make_state(iteration), [], SETTINGS)
    one, two, three = (tmp_path / f"iteration_{i}" for i in (1, 2, 3))
    shutil.rmtree(three / "state" / "d")
    (two / checkpoints.RECORD).write_text("{}")
    with pytest.raises(ValueError, match=f"{one} is sound: delete {three} and {two}, and the run continues"):
        checkpoints.restore(tmp_path, make_state(), SETTINGS)
    shutil.rmtree(three)
    shutil.rmtree(two)
    assert_same_bits(checkpoints.restore(tmp_path, make_state(), SETTINGS)[0], make_state(1))
    shutil.rmtree(one / "state")
    with pytest.raises(ValueError, match=f"{one} is damaged .* left as it is. Use another checkpoint_dir"):
        checkpoints.restore(tmp_path, make_state(), SETTINGS)
    (one / checkpoints.RECORD).unlink()
    with pytest.raises(ValueError, match=f"{one} is damaged"):
        checkpoints.restore(tmp_path, make_state(), SETTINGS)


def test_a_checkpoint_of_an_earlier_version_is_refused(tmp_path, tiny_faces):
    (tmp_path / "state.safetensors").write_bytes(b"old")
    assert checkpoints.exists(tmp_path)
    with pytest.raises(ValueError, match="state.safetensors was written by an earlier version .*delete the folder"):
        run(tmp_path, 2, tiny_faces)
    assert contents(tmp_path) == {Path("state.safetensors"): b"old"}


def test_no_checkpoint(tmp_path):
    assert not checkpoints.exists(tmp_path) and not checkpoints.exists(tmp_path / "missing")
    with pytest.raises(ValueError, match="no checkpoint in"):
        checkpoints.restore(tmp_path / "missing", make_state(), SETTINGS)
    assert not (tmp_path / "missing").exists()


@contextlib.contextmanager
def as_nobody():
    """Permissions don't bind root."""
    root = os.geteuid() == 0
    os.seteuid(65534) if root else None
    try:
        yield
    finally:
        os.seteuid(0) if root else None


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_what_must_not_be_read_is_not_called_damaged():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # the folders of pytest are closed to others
        folder = Path(folder)
        checkpoints.save(folder, make_state(), [], SETTINGS)
        file = next(filter(Path.is_file, (folder / "iteration_1" / "state").rglob("*")))
        for path, question in (
            (file, partial(checkpoints.restore, like=make_state(), settings=SETTINGS)),
            (folder, checkpoints.exists),
        ):
            mode = path.stat().st_mode
            path.chmod(0)
            with as_nobody(), pytest.raises(PermissionError, match=f"Permission denied: '{path}'"):
                question(folder)
            path.chmod(mode)
        folder.chmod(0o555)
        with as_nobody(), pytest.raises(PermissionError):
            checkpoints.save(folder, make_state(2), [], SETTINGS)
        folder.chmod(0o755)


def test_other_settings_are_refused_and_nothing_is_overwritten(tmp_path, tiny_faces):
    run(tmp_path, 2, tiny_faces)
    before = contents(tmp_path)
    for changes in (dict(sigma=0.2), dict(key=jax.random.key(1)), dict(batch_size=5), dict(sampler="langevin")):
        with pytest.raises(
            ValueError, match=rf"belongs to another run: .*{next(iter(changes))} was .*delete the folder"
        ):
            run(tmp_path, 3, tiny_faces, **changes)
    with pytest.raises(ValueError, match="images was"):
        run(tmp_path, 3, tiny_faces[:10])
    assert contents(tmp_path) == before


def test_another_network_is_refused(tmp_path, tiny_faces):
    run(tmp_path, 2, tiny_faces)
    before = contents(tmp_path)
    wider = abp.ConvGenerator(image_size=8, width=8, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="has shape .* expected"):
        abp.fit(
            wider,
            tiny_faces,
            3,
            key=jax.random.key(0),
            num_steps=2,
            batch_size=4,
            learning_rate=lambda t: 1e-3,
            checkpoint_dir=tmp_path,
            progress=False,
        )
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(z=jnp.zeros((3, 2), jnp.float16)), r"\.z has dtype float32, expected float16"),
        (dict(z=jnp.zeros((4, 2))), r"\.z has shape \[3, 2\], expected \[4, 2\]"),
        (dict(params={}), "holds other parameters: .*'mask'.* differ"),
        (dict(opt_state=optax.sgd(1e-3).init({})), "holds other parameters: .*opt_state.*mu.* differ"),
        (dict(key=jax.random.key(7, impl="rbg")), r"\.key has dtype key<fry>, expected key<rbg>"),
    ],
)
def test_another_state_is_refused(tmp_path, changes, message):
    checkpoints.save(tmp_path, make_state(), [], SETTINGS)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=f"iteration_1.*{message}.*another checkpoint_dir"):
        checkpoints.restore(tmp_path, make_state(**changes), SETTINGS)
    assert contents(tmp_path) == before


def test_inside_an_event_loop_as_in_a_notebook(tmp_path):
    async def cell():
        checkpoints.save(tmp_path, make_state(), [1.0], SETTINGS)
        return checkpoints.restore(tmp_path, make_state(), SETTINGS)

    assert_same_bits(asyncio.run(cell())[0], make_state())


def test_orbax_is_imported_when_needed():
    code = "import sys, abp_jax; assert not any(name.startswith('orbax') for name in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_default_learning_rate_continues_to_the_same_bits(tmp_path, tiny_faces):
    """The rate falls along a cosine that belongs to num_iterations: a checkpoint of another length is another run."""
    whole = run(None, 60, tiny_faces, learning_rate=2e-3)
    halfway = run(tmp_path / "a", 60, tiny_faces, learning_rate=2e-3)
    np.testing.assert_array_equal(halfway.z, whole.z)
    with pytest.raises(ValueError, match="learning_rate was"):
        run(tmp_path / "a", 90, tiny_faces, learning_rate=2e-3)


def test_resume_never_overwrites_another_run(tmp_path, tiny_faces):
    run(tmp_path, 6, tiny_faces)
    other = run(None, 3, tiny_faces)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="belongs to another run"):
        run(tmp_path, 9, tiny_faces, resume=other)
    assert contents(tmp_path) == before


def test_numpy_settings_and_an_impossible_folder(tmp_path, tiny_faces):
    run(tmp_path / "numpy", 2, tiny_faces, sigma=np.float32(0.3), batch_size=np.int64(4))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        run(tmp_path / "file", 2, tiny_faces)


def test_generator_round_trip(tmp_path):
    generator = abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(3))
    z = jnp.array([[0.5, -1.0], [2.0, 0.25]])
    abp.save_generator(tmp_path / "g.safetensors", generator, z)
    (tmp_path / "plain").touch()
    assert (tmp_path / "g.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode  # others may read it
    other = abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(4))
    loaded, loaded_z = abp.load_generator(tmp_path / "g.safetensors", other)
    np.testing.assert_array_equal(loaded_z, z)
    np.testing.assert_array_equal(abp.reconstruct(loaded, z), abp.reconstruct(generator, z))
    assert not np.allclose(abp.reconstruct(other, z), abp.reconstruct(generator, z))
    with pytest.raises(ValueError, match="expected"):
        abp.load_generator(tmp_path / "g.safetensors", abp.ConvGenerator(image_size=8, width=8, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match="no checkpoint"):
        abp.load_generator(tmp_path / "missing.safetensors", other)
    with pytest.raises(ValueError, match="is a folder: give the file"):
        abp.load_generator(tmp_path, other)


@pytest.mark.parametrize(("size", "error"), [(64, 0.002), (32, 0.02), (16, 0.006)])
def test_shipped_generators_draw_the_shipped_faces(size, error):
    generator, z = abp.load_lion_tiger_generator(size)
    assert z.shape == (11, 2)
    assert float(abp.reconstruction_error(generator, z, abp.load_lion_tiger(size=size)).mean()) < error

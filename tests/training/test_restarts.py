"""Runs that are killed, and runs of several processes. This file is also the program that those processes execute."""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec

import abp_jax as abp
from abp_jax import learning
from abp_jax.training import checkpoints

pytestmark = pytest.mark.slow

NUM_ITERATIONS, KILLS = 50_000, 10


def learn(folder, checkpoint_every=10_000):
    images = abp.load_lion_tiger(size=8).reshape(11, -1)
    generator = abp.MLPGenerator(latent_dim=2, data_dim=images.shape[1], widths=(32,), rngs=nnx.Rngs(0))
    return abp.fit(
        generator,
        images,
        NUM_ITERATIONS,
        key=jax.random.key(0),
        sampler="langevin",
        num_steps=2,
        num_warmup=50,
        weight_decay=0.1,
        batch_size=4,
        checkpoint_dir=folder,
        checkpoint_every=checkpoint_every,
        progress=False,
    )


def learn_aloud(folder):
    """Learns with frequent checkpoints, and says when it saves."""
    save = checkpoints.save

    def save_aloud(folder, state, losses, settings):
        print("saving", len(losses), flush=True)
        save(folder, state, losses, settings)
        print("saved", len(losses), flush=True)

    checkpoints.save = save_aloud
    print("started", flush=True)
    learn(folder, checkpoint_every=200)


def start(*arguments, **options):
    """A process that compiles as this one does, since another level of optimization gives other bits."""
    from tests.conftest import OWN_FLAGS  # here, since the process has none

    command = [sys.executable, __file__, *map(str, arguments)]
    return subprocess.Popen(command, text=True, env=os.environ | {"XLA_FLAGS": OWN_FLAGS}, **options)


def assert_same_bits(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        x, y = (jax.random.key_data(v) if jnp.issubdtype(v.dtype, jax.dtypes.prng_key) else v for v in (x, y))
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


def kill_once(folder, lines_to_wait_for, delay):
    """Kills a run `delay` seconds after it has said so many lines. Returns all its lines."""
    with start("learn", folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        lines = [process.stdout.readline() for _ in range(lines_to_wait_for)]
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(delay)
        process.kill()
        out, err = process.communicate()
    assert process.returncode == -signal.SIGKILL, f"the run ended by itself: {err}"
    assert err == ""
    return [*lines, *out.splitlines()]


def test_a_run_killed_again_and_again_ends_with_the_same_bits(tmp_path):
    """Real processes, killed without warning at random: while they start, iterate, save, delete what is too old."""
    seed = secrets.randbits(32)
    print(f"kills drawn with seed {seed}")
    rng = np.random.default_rng(seed)
    undisturbed = learn(None)  # first, so that the others find its compiled programs on disk
    last_lines = []
    for i in range(KILLS):
        at_the_start = i % 4 == 1
        lines_to_wait_for = 1 if at_the_start else rng.integers(4, 12)
        lines = kill_once(tmp_path, lines_to_wait_for, rng.uniform(0, 2 if at_the_start else 0.15))
        last_lines.append(lines[-1].split()[0])
        print(f"kill {i}: {lines[-1].strip()}; left behind: {sorted(f.name for f in tmp_path.iterdir())}")
    assert last_lines.count("saving") >= 1
    resumed_at = int(max(checkpoints._iterations(tmp_path)))
    assert 0 < resumed_at < NUM_ITERATIONS

    resumed = learn(tmp_path)
    assert_same_bits(resumed.state, undisturbed.state)
    assert len(resumed.losses) == NUM_ITERATIONS
    np.testing.assert_array_equal(resumed.losses, undisturbed.losses)
    left = sorted(f.name for f in tmp_path.iterdir() if f.name != ".lock")
    assert len(left) == 3 and f"iteration_{NUM_ITERATIONS}" in left and not any("." in name for name in left)


def make_state(iteration):
    generator = abp.MLPGenerator(latent_dim=2, data_dim=6, widths=(4,), rngs=nnx.Rngs(iteration))
    params = abp.generators.functional(generator)[1]
    state = learning.init(params, optax.adamw(1e-3), 8, 2, jax.random.key(iteration))
    return state._replace(iteration=jnp.int32(iteration))


def spread(state, mesh):
    """z shared out over the first axis of the mesh and copied over the second, all else copied everywhere."""
    place = lambda x, *spec: jax.jit(lambda x: x, out_shardings=NamedSharding(mesh, PartitionSpec(*spec)))(x)
    return jax.tree.map(place, state)._replace(z=place(np.asarray(state.z), "a"))


def share(folder, port, num_processes, process):
    """One of several processes with two devices each. Restores iteration 1, of one device, and saves 2 to 5."""
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 2)
    if num_processes > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"127.0.0.1:{port}", num_processes, process)
    mesh = jax.make_mesh((2, num_processes), ("a", "b"))
    for i in range(1, 5):
        expected = spread(make_state(i), mesh)
        state, losses = checkpoints.restore(folder, spread(make_state(9), mesh), {})
        assert losses.tolist() == [1 / 3] * i
        for x, y in zip(checkpoints.named(state).values(), checkpoints.named(expected).values(), strict=True):
            assert x.sharding.is_equivalent_to(y.sharding, x.ndim)
            x, y = (jax.random.key_data(v) if jnp.issubdtype(v.dtype, jax.dtypes.prng_key) else v for v in (x, y))
            for mine, wanted in zip(x.addressable_shards, y.addressable_shards, strict=True):
                np.testing.assert_array_equal(mine.data, wanted.data)
        checkpoints.save(folder, spread(make_state(i + 1), mesh), [1 / 3] * (i + 1), {})


@pytest.mark.parametrize("num_processes", [1, 2])
def test_one_device_several_and_several_processes_read_the_same_checkpoints(tmp_path, num_processes):
    checkpoints.save(tmp_path, make_state(1), [1 / 3], {})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(start("share", tmp_path, port, num_processes, i)) for i in range(num_processes)
        ]
    assert [process.returncode for process in processes] == [0] * num_processes
    assert sorted(set(os.listdir(tmp_path)) - {".lock"}) == ["iteration_3", "iteration_4", "iteration_5"]
    state, losses = checkpoints.restore(tmp_path, make_state(9), {})
    assert_same_bits(state, make_state(5))
    assert losses.tolist() == [1 / 3] * 5


if __name__ == "__main__":
    task, folder, *numbers = sys.argv[1:]
    {"learn": learn_aloud, "share": share}[task](folder, *map(int, numbers))

"""One device, four devices and two processes learn the same, because randomness is addressed by example."""

import os
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from abp_jax.training import loop
from abp_jax.training.devices import Devices
from tests.conftest import OWN_FLAGS

SMALL_RUNS = """
import sys
import jax
import numpy as np
from flax import nnx
import abp_jax as abp

def learn(latent_dim, num_images, file, **options):
    images = np.concatenate([abp.load_lion_tiger(size=16)] * 3)[:num_images]
    images = images * np.linspace(0.6, 1, num_images, dtype=np.float32)[:, None, None, None]
    generator = abp.ConvGenerator(latent_dim=latent_dim, image_size=16, width=4, rngs=nnx.Rngs(0))
    result = abp.fit(generator, images, 12, key=jax.random.key(0), num_warmup=4, progress=False, **options)
    pictures = abp.reconstruct(result.generator, result.z[:2])  # the result is at home on one device
    if jax.process_index() == 0:
        np.savez(file, losses=result.losses, z=result.z, pictures=pictures)
    return result

mesh = jax.make_mesh((jax.device_count(),), ("examples",)) if jax.device_count() > 1 else None
folder = sys.argv[1]
learn(2, 11, folder + "/eleven.npz", mesh=mesh)  # 11 images don't divide by 4: padding
spread = learn(20, 24, folder + "/minibatches.npz", mesh=mesh, batch_size=10)
if mesh:
    assert len(spread.state.z.sharding.device_set) == jax.device_count()
    assert spread.state.z.addressable_shards[0].data.shape[0] == 24 // jax.device_count()
"""

JOIN = """
import sys
import jax
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize("127.0.0.1:" + sys.argv[2], 2, int(sys.argv[3]))
"""


def start(program, *arguments, **settings):
    flags = f"{settings.pop('XLA_FLAGS', '')} {OWN_FLAGS}"  # it compiles more than it computes
    environment = os.environ | {k: str(v) for k, v in settings.items()} | {"XLA_FLAGS": flags}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(*processes):
    try:
        for process in processes:
            output, _ = process.communicate(timeout=240)
            assert process.returncode == 0, output
    finally:
        for process in processes:
            process.kill()


@pytest.fixture(scope="module")
def one_device(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    finish(start(SMALL_RUNS, folder, JAX_PLATFORMS="cpu"))
    return folder


def assert_same(folder, one_device):
    for name in ("eleven.npz", "minibatches.npz"):
        got, expected = np.load(folder / name), np.load(one_device / name)
        np.testing.assert_allclose(got["losses"], expected["losses"], rtol=1e-5)
        np.testing.assert_allclose(got["z"], expected["z"], atol=1e-4)
        np.testing.assert_allclose(got["pictures"], expected["pictures"], atol=1e-4)


@pytest.mark.slow
def test_four_devices_learn_what_one_learns(one_device, tmp_path):
    flags = "--xla_force_host_platform_device_count=4"
    finish(start(SMALL_RUNS, tmp_path, JAX_PLATFORMS="cpu", XLA_FLAGS=flags))
    assert_same(tmp_path, one_device)


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(one_device, tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    finish(*(start(JOIN + SMALL_RUNS, tmp_path, port, rank) for rank in range(2)))
    assert_same(tmp_path, one_device)


@pytest.mark.parametrize(("batch_size", "multiple", "length"), [(11, 1, 11), (11, 4, 12), (4, 1, 4), (5, 4, 8)])
def test_batches_have_a_length_that_divides(batch_size, multiple, length, key):
    batches = [loop.batch_indices(key, t, 11, batch_size, multiple) for t in range(-(-11 // batch_size))]
    assert {len(b) for b in batches} == {length}
    everyone = np.concatenate(batches)
    assert sorted(everyone[everyone < 11]) == list(range(11)) and everyone.max() <= 11


def test_the_work_of_a_batch_is_shared_out(tmp_path):
    """Each of four devices computes a quarter of the batch, and the images stay where they are."""
    program = """
import sys, jax, jax.numpy as jnp
from abp_jax.training import loop
from abp_jax.training.devices import Devices
devices = Devices(jax.make_mesh((4,), ("examples",)))
images, key = devices.spread(jnp.zeros((400, 50))), jax.random.key(0)

@jax.jit
def work(images):
    taken = images[devices.share_out(loop.batch_indices(key, 0, 400, 40, devices.size))]
    return jnp.tanh(taken) @ jnp.ones((50, 7))

text = work.lower(images).compile().as_text()
assert "f32[10,7]" in text and "f32[40,7]" not in text, text
assert "f32[400,50]" not in text, text
"""
    finish(start(program, JAX_PLATFORMS="cpu", XLA_FLAGS="--xla_force_host_platform_device_count=4"))


def test_images_that_come_spread_over_a_mesh_stay_there(small_faces):
    mesh = jax.make_mesh((1,), ("examples",))
    images = jax.device_put(jnp.asarray(small_faces), NamedSharding(mesh, PartitionSpec("examples")))
    devices = Devices(mesh)
    assert devices.spread(images).sharding.device_set == images.sharding.device_set
    np.testing.assert_array_equal(devices.gather(devices.spread(images)), small_faces)


@pytest.mark.slow
def test_whoever_takes_images_takes_them_spread_over_a_mesh():
    """With the explicit axes that jax.make_mesh gives: the results are those of images on one device."""
    program = """
import jax, numpy as np
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec
import abp_jax as abp

images, key, z = abp.load_lion_tiger(size=8)[:8], jax.random.key(0), np.zeros((8, 2))
mesh = jax.make_mesh((4,), ("examples",))
spread = jax.device_put(images, NamedSharding(mesh, PartitionSpec("examples")))
mask, generator = images > -0.9, abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(0))
learn = lambda images, **options: abp.fit(generator, images, 4, key=key, num_warmup=1, progress=False, **options)
calls = {
    "infer": lambda images: abp.infer(generator, images, key=key, num_steps=3, num_starts=2),
    "infer, mask": lambda images: abp.infer(generator, images, key=key, num_steps=3, num_starts=2, mask=mask),
    "error": lambda images: abp.reconstruction_error(generator, z, images),
    "quadrature": lambda images: [p.log_evidence for p in abp.quadrature.exact_posteriors(generator, images, 0.3)],
    "monitor": lambda images: learn(images, callback=abp.TrainingMonitor(images)).losses,
    "mask": lambda images: learn(images, mask=mask).losses,
}
for name, call in calls.items():
    np.testing.assert_allclose(np.asarray(call(spread)), np.asarray(call(images)), atol=1e-3, err_msg=name)
assert len(learn(spread, mask=mask).state.z.sharding.device_set) == 4
"""
    finish(start(program, JAX_PLATFORMS="cpu", XLA_FLAGS="--xla_force_host_platform_device_count=4"))

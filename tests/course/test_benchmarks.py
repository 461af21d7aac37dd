"""The contestants of the benchmarks compute the same function, and a table comes out."""

import runpy
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import nnx

import abp_jax as abp

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
Z = np.random.default_rng(0).normal(size=(11, 2)).astype(np.float32)
FRESH = abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(0))
PARAMS = jax.tree.map(lambda a: a + 0.1, abp.generators.functional(FRESH)[1])  # no bias is 0
OURS = abp.generators.with_params(FRESH, PARAMS)


def flat(params):
    return {f"{layer}/{name}": np.asarray(a) for layer, arrays in params.items() for name, a in arrays.items()}


def facts(generator, images):
    f, params = abp.generators.functional(generator)
    in_z = jax.vmap(jax.grad(lambda z, y: abp.model.log_joint(lambda z: f(params, z), z, y, 0.3)))(Z, images)
    in_w, loss = abp.learning.learning_gradient(f, params, Z, images, 0.3)
    return [np.asarray(a) for a in (jax.vmap(generator)(Z), in_z, loss)], flat(in_w)


def assert_close(actual, desired):
    np.testing.assert_allclose(actual, desired, rtol=1e-4, atol=1e-5 * float(abs(desired).max()))


def test_flax_twin_is_the_same_function(tiny_faces):
    twin = runpy.run_path(BENCHMARKS / "layer.py")["FlaxGenerator"](OURS)
    (theirs, their_in_w), (expected, in_w) = facts(twin, tiny_faces), facts(OURS, tiny_faces)
    assert_close(their_in_w["conv0/kernel"], in_w["conv0/kernel"].transpose(1, 2, 0, 3))
    list(map(assert_close, theirs, expected))  # images, gradients in z, error


def test_torch_twin_is_the_same_function(tiny_faces, monkeypatch):
    torch, ((image, in_z, loss), in_w) = pytest.importorskip("torch"), facts(OURS, tiny_faces)
    peer = runpy.run_path(BENCHMARKS / "peer_torch.py")
    learner, s = peer["Learner"](flat(PARAMS), np.asarray(tiny_faces), Z), peer["STEP_SIZE"]
    assert_close(learner.net(learner.z).detach(), peer["turned"](image))
    monkeypatch.setattr(torch, "randn_like", torch.ones_like)
    for step in (learner._step, learner._step_in_one):
        assert_close(step(learner.z).detach(), Z + s**2 / 2 * in_z + s)
    assert_close(learner.learn(), loss)
    for name, gradient in peer["to_torch"](in_w).items():
        assert_close(-learner.net.get_parameter(name).grad, gradient)


def test_an_iteration_is_kept_for_every_state_of_a_machine():
    states = runpy.run_path(BENCHMARKS / "iteration.py")["states"]
    measure = lambda product, machine: {
        "date": "2026-01-01",
        "machine": f"{machine}, 2 cores, 24 GiB, Linux; python 3.11.7, jax 0.9.0, jaxlib 0.9.0; computes on cpu",
        "measured": {
            "product": [product],
            "ours, iteration": [2.0, 1.0, 4.0],
            "ours, default": [0.5, 0.25, 1.0],
            "eager, iteration": [3.0, 1.0, 4.0],
        },
    }
    slow, fast = measure(2 * 2048**3 / 1e11, "EPYC"), measure(2 * 2048**3 / 2e11, "EPYC")
    found = states(states(states(None, slow), fast), slow)  # the same again takes its own place
    cells = ["2 s", "1.00 (1.00 to 1.50)", "", "4.00 (4.00 to 6.00)", ""]
    name = "2026-01-01, EPYC, jax 0.9.0"
    assert found["rows"] == [[name, f"{rate} GFLOP/s", *cells] for rate in (200, 100)]
    assert len(found["columns"]) == len(found["rows"][0])


@pytest.mark.slow
def test_a_table_is_printed():
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "layer"]
    printed = subprocess.run(command, cwd=BENCHMARKS.parent, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "| 8 x 8 x 8 to 3 |" in printed

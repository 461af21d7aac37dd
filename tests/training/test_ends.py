"""However a run ends, what it learned is in the error; a folder has one run at a time; the true cause is said."""

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax.training import loop

KEY = jax.random.key(0)
Y = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)


def small(seed=0, d=2):
    return abp.LinearGenerator(d, 5, rngs=nnx.Rngs(seed))


def learn(n=30, generator=None, images=Y, **options):
    settings = dict(key=KEY, num_warmup=1, progress=False) | options
    return abp.fit(generator or small(), images, n, **settings)


class TakesNothing(Exception):
    def __setattr__(self, *_):
        raise AttributeError("no attributes")


class Frozen(Exception):
    __slots__ = ()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), StopIteration(), ValueError("mine"), Frozen()])
def test_what_a_callback_raises_carries_the_result(error):
    def callback(done, snapshot):
        if done >= 5:
            raise error

    with pytest.raises(type(error)) as info:
        learn(callback=callback)
    assert info.value is error and len(error.result.losses) >= 5
    assert learn(40, resume=error.result).losses.shape == (40,)


def test_an_error_that_takes_no_attribute_has_a_stand_in():
    def callback(done, snapshot):
        if done >= 5:
            raise TakesNothing("mine")

    with pytest.raises(RuntimeError, match="TakesNothing after .* `result`") as info:
        learn(callback=callback)
    assert isinstance(info.value.__cause__, TakesNothing) and len(info.value.result.losses) >= 5


@pytest.mark.parametrize("last", [False, True])
def test_a_folder_that_is_spoiled_loses_nothing(tmp_path, last):
    folder = tmp_path / "run"

    def spoil(done, snapshot):
        if done == (30 if last else 10):
            shutil.rmtree(folder)
            folder.write_text("")

    with pytest.raises(OSError, match=str(tmp_path)) as info:
        learn(checkpoint_dir=folder, checkpoint_every=10, callback=spoil)
    assert len(info.value.result.losses) >= 10 and np.isfinite(info.value.result.losses).all()


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    """The limit on the size of a file stands for the disk: the operating system refuses to write on."""
    code = f"""
import resource, signal, sys
import numpy as np, jax
from flax import nnx
import abp_jax as abp
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def limit(done, snapshot):
    if done >= 10:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
try:
    y = np.random.default_rng(0).normal(size=(12, 500))
    abp.fit(abp.LinearGenerator(2, 500, rngs=nnx.Rngs(0)), y, 40, key=jax.random.key(0), progress=False,
            checkpoint_dir={str(tmp_path / "run")!r}, checkpoint_every=10, callback=limit)
except Exception as error:
    print(type(error).__name__, len(error.result.losses))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    name, losses = done.stdout.split()
    assert int(losses) >= 10 and name != "AttributeError", done.stdout + done.stderr[-500:]
    assert (tmp_path / "run" / "iteration_0").exists()


@pytest.mark.parametrize("mine", [Y, Y + 1], ids=["same settings", "other settings"])
def test_a_folder_in_use_is_refused_in_words(tmp_path, mine):
    """By a run in another process that is in the middle of it; when that one is killed, the folder is free."""
    code = f"""
import numpy as np, jax, threading
from flax import nnx
import abp_jax as abp
y = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
def callback(done, snapshot):
    if done:
        print("under way", flush=True)
        threading.Event().wait()
abp.fit(abp.LinearGenerator(2, 5, rngs=nnx.Rngs(0)), y, 30, key=jax.random.key(0), num_warmup=1, progress=False,
        checkpoint_dir={str(tmp_path)!r}, callback=callback)
"""
    options = dict(stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    with subprocess.Popen([sys.executable, "-c", code], **options) as other:
        try:
            assert other.stdout.readline() == "under way\n"
            with pytest.raises(ValueError, match="checkpoint_dir .* is in use by another run that has not ended"):
                learn(images=mine, checkpoint_dir=tmp_path)
        finally:
            other.kill()
    assert len(learn(checkpoint_dir=tmp_path).losses) == 30


def test_two_runs_in_one_process_do_not_share_a_folder_either(tmp_path):
    def callback(done, snapshot):
        with pytest.raises(ValueError, match="in use by another run"):
            learn(checkpoint_dir=tmp_path)

    learn(3, checkpoint_dir=tmp_path, callback=callback)
    learn(3, checkpoint_dir=tmp_path)


# What a checkpoint belongs to


class Bent(nnx.Module):
    def __init__(self, bend=jnp.tanh, shift=0.0, seed=0):
        self.latent_dim, self.bend, self.shift = 2, bend, nnx.Variable(jnp.full(5, shift))
        self.first, self.out = (nnx.Linear(a, b, rngs=nnx.Rngs(seed)) for a, b in ((2, 8), (8, 5)))

    def __call__(self, z):
        return self.out(self.bend(self.first(z))) + self.shift[...]


@pytest.mark.parametrize(
    "other",
    [dict(seed=1), dict(bend=jax.nn.relu), dict(bend=partial(jax.nn.leaky_relu, negative_slope=0.02)), dict(shift=0.1)],
    ids=["seed", "function", "slope", "constant"],
)
def test_a_checkpoint_knows_its_function_and_its_start(tmp_path, other):
    bend = dict(bend=jax.nn.leaky_relu) if "slope" in str(other) else {}
    first = learn(4, Bent(**bend), checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match="the generator draws other images, or starts from another W"):
        learn(4, Bent(**(bend | other)), checkpoint_dir=tmp_path)
    np.testing.assert_array_equal(learn(4, Bent(**bend), checkpoint_dir=tmp_path).z, first.z)


def test_a_checkpoint_of_a_resumed_run_knows_where_that_began(tmp_path):
    begun = [learn(3, small(seed)) for seed in (0, 1)]
    first = learn(6, resume=begun[0], checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match="starts from another W"):
        learn(6, resume=begun[1], checkpoint_dir=tmp_path)
    np.testing.assert_array_equal(learn(6, resume=begun[0], checkpoint_dir=tmp_path).z, first.z)


# Iterations done and asked for


@pytest.mark.parametrize("n", [1, 10, 19])
def test_more_done_than_asked_for_is_said(n):
    half = learn(20)
    with pytest.raises(ValueError, match=f"num_iterations={n} counts those done before.*pass num_iterations={20 + n}"):
        learn(n, resume=half)
    assert len(learn(20, resume=half).losses) == 20


def test_more_done_in_a_folder_than_asked_for_is_said(tmp_path):
    schedule = lambda t: 1e-3
    learn(12, checkpoint_dir=tmp_path, learning_rate=schedule)
    with pytest.raises(ValueError, match=rf"num_iterations=5 .*{tmp_path.name} has 12 already"):
        learn(5, checkpoint_dir=tmp_path, learning_rate=schedule)


# Nothing seen


@pytest.mark.parametrize("hidden", [[0], [3, 4], [11]])
@pytest.mark.parametrize("options", [{}, dict(learn_sigma=True), dict(sampler="adapted_langevin")], ids=str)
def test_a_batch_that_shows_nothing_teaches_nothing(hidden, options):
    mask = np.ones(Y.shape, bool)
    mask[hidden] = False
    result = learn(24, mask=mask, batch_size=1, **options)
    assert np.isfinite(result.losses).all() and result.sigma > 0.02


def test_before_anything_is_seen_nothing_is_learned():
    """Of twelve examples, one a batch, only the last that is visited is seen: until then W stays, to the bit."""
    order = np.concatenate([loop.batch_indices(KEY, t, 12, 1) for t in range(12)])
    mask = np.zeros(Y.shape, bool)
    mask[order[-1]] = True
    options = dict(mask=mask, batch_size=1, num_warmup=0, whitening=False)
    start, before, after = (abp.generators.functional(learn(n, **options).generator)[1] for n in (1, 11, 12))
    same = lambda a, b: [np.array_equal(*pair) for pair in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)]
    assert all(same(start, abp.generators.functional(small())[1])) and all(same(before, start))
    assert not any(same(after, before))


# Why a run diverged


class Root(Bent):
    """Its derivative is 0/0 wherever the first number is negative."""

    def __call__(self, z):
        return super().__call__(z) + jnp.sqrt(jnp.maximum(self.first(z)[0], 0))


class Logarithm(Bent):
    def __call__(self, z):
        return super().__call__(z) + jnp.log(self.first(z)[0])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: learn(200, sampler="langevin", step_size=30.0), "largest stable step is"),
        (lambda: learn(200, sampler="gauss_newton", step_size=40.0), "stable below 2, and this one is not"),
        (lambda: learn(200, Root()), "The step is not the cause: the derivative of log p"),
        (
            lambda: learn(200, Logarithm(), whitening=False),
            r"The step is not the cause: f\(z; W\) itself is not finite",
        ),
        (lambda: learn(50, learning_rate=1e30), "a weight has grown to 1e.*W itself has diverged. Lower learning_rate"),
    ],
    ids=["plain step", "step without unit", "root of 0", "logarithm", "learning rate"],
)
def test_the_true_cause_is_said(make, words):
    with pytest.raises(abp.ChainDiverged, match=words) as info:
        make()
    assert all(np.isfinite(w).all() for w in jax.tree.leaves(nnx.state(info.value.result.generator, nnx.Param)))


def test_a_generator_that_is_not_finite_is_said_before_the_run():
    with (
        jax.debug_nans(False),
        pytest.raises(ValueError, match=r"generator draws values that are not finite at z of N\(0, I\)"),
    ):
        learn(3, Logarithm())


def test_what_is_not_known_is_said():
    """A schedule that becomes nan: W is nan after one step, and nothing before it points there."""
    with pytest.raises(abp.ChainDiverged, match="The cause is not known"):
        learn(20, learning_rate=lambda t: jnp.where(t < 5, 1e-3, jnp.nan))


def test_no_file_of_the_users_is_touched(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    learn(3, checkpoint_dir=tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert {f for f in os.listdir(tmp_path) if not f.startswith("iteration_")} == {"notes.txt", ".lock"}
    assert not Path("~").exists()

"""What is learned is what the user made a parameter; all else stays as it is, and is saved and restored."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import abp_jax as abp
from tests.programs import assign

KEY = jax.random.key(0)
Y = np.random.default_rng(0).normal(size=(12, 7)).astype(np.float32)


class Base(nnx.Module):
    def __init__(self):
        self.latent_dim = 2
        self.first, self.out = nnx.Linear(2, 16, rngs=nnx.Rngs(0)), nnx.Linear(16, 7, rngs=nnx.Rngs(1))

    def __call__(self, z):
        return self.out(self.between(jnp.tanh(self.first(z))))

    def between(self, h):
        return h


class Own(nnx.Variable):
    pass


class Constant(Base):
    """A mean image of the user's, kept as `kind` has it."""

    def __init__(self, kind=nnx.Variable):
        super().__init__()
        self.mean = kind(jnp.asarray(Y.mean(axis=0)))

    def __call__(self, z):
        return super().__call__(z) + (self.mean if isinstance(self.mean, jax.Array | np.ndarray) else self.mean[...])


class Order(Base):
    def __init__(self):
        super().__init__()
        self.order, self.switch = jnp.arange(16)[::-1], nnx.Variable(jnp.array([True] * 16))

    def between(self, h):
        return jnp.where(self.switch[...], h[self.order], 0)


class Stopped(Base):
    def __init__(self):
        super().__init__()
        self.offset, self.unused = nnx.Param(jnp.full(16, 0.5)), nnx.Param(jnp.full(3, 0.5))

    def between(self, h):
        return h + jax.lax.stop_gradient(self.offset[...])


class Dropped(Base):
    def __init__(self):
        super().__init__()
        self.drop = nnx.Dropout(0.2, rngs=nnx.Rngs(0))

    def between(self, h):
        return self.drop(h)


class Normalised(Base):
    def __init__(self, **options):
        super().__init__()
        self.norm = nnx.BatchNorm(16, rngs=nnx.Rngs(0), **options)
        if options:
            assign(self.norm.mean, jnp.linspace(-1, 1, 16))

    def between(self, h):
        return self.norm(h)


class Counting(Base):
    def __init__(self):
        super().__init__()
        self.calls = nnx.Variable(jnp.zeros((), jnp.int32))

    def between(self, h):
        assign(self.calls, self.calls[...] + 1)
        return h


class KeepsRngs(Base):
    def __init__(self):
        super().__init__()
        self.rngs = nnx.Rngs(3)


def learn(generator, **options):
    settings = dict(key=KEY, num_warmup=2, weight_decay=0.4, learning_rate=1e-2, progress=False)
    return abp.fit(generator, Y, 12, **(settings | options)).generator


@pytest.mark.parametrize("kind", [nnx.Variable, nnx.Cache, nnx.BatchStat, Own, jnp.asarray, np.asarray])
def test_constants_are_kept(kind):
    before = Constant(kind)
    after = learn(before)
    mean = after.mean if isinstance(after.mean, jax.Array | np.ndarray) else after.mean[...]
    np.testing.assert_array_equal(mean, Y.mean(axis=0))
    assert np.abs(after.out.kernel[...] - before.out.kernel[...]).max() > 1e-3


def test_an_order_a_switch_and_statistics_are_kept():
    np.testing.assert_array_equal(learn(Order()).order, np.arange(16)[::-1])
    norm = learn(Normalised(use_running_average=True)).norm
    np.testing.assert_array_equal(norm.mean[...], jnp.linspace(-1, 1, 16))
    assert np.abs(norm.scale[...] - 1).max() > 1e-3


def test_a_parameter_that_no_gradient_reaches_does_not_decay():
    before = Stopped()
    after = learn(before)
    np.testing.assert_array_equal(after.offset[...], 0.5)
    np.testing.assert_array_equal(after.unused[...], 0.5)
    assert np.abs(after.out.kernel[...] - before.out.kernel[...]).max() > 1e-3


@pytest.mark.parametrize("generator", [Dropped(), Normalised(), Counting()], ids=lambda g: type(g).__name__)
@pytest.mark.parametrize("use", ["fit", "infer", "reconstruction_error"])
def test_what_couples_examples_or_steps_is_refused(generator, use):
    call = {
        "fit": learn,
        "infer": lambda g: abp.infer(g, Y, key=KEY),
        "reconstruction_error": lambda g: abp.reconstruction_error(g, np.zeros((12, 2)), Y),
    }[use]
    with pytest.raises(ValueError, match=r"changes its own state at every call \(.*generator.eval\(\)"):
        call(generator)


def test_the_same_after_eval_learns_and_comes_back_from_its_file(tmp_path):
    generator = Dropped()
    generator.eval()
    for before in (learn(generator), learn(KeepsRngs()), learn(Order()), learn(Constant())):
        abp.save_generator(tmp_path / "g.safetensors", before, np.zeros((3, 2)))
        fresh = type(before)()
        after, z = abp.load_generator(tmp_path / "g.safetensors", fresh)
        assert z.shape == (3, 2)
        states = [jax.tree.leaves(nnx.split(g)[1]) for g in (before, after)]
        for a, b in zip(*states, strict=True):
            data = jax.random.key_data if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else np.asarray
            np.testing.assert_array_equal(data(a), data(b))

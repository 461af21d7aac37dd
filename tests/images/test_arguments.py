"""Bad input gets one sentence that names the argument, says what was expected and what came."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax.images import arguments

KEY = jax.random.key(0)
Y = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)


def small(d=2, **options):
    return abp.LinearGenerator(d, 5, rngs=nnx.Rngs(0), **options)


class WithoutLatentDim(nnx.Module):
    def __init__(self):
        self.first = nnx.Linear(2, 5, rngs=nnx.Rngs(0))

    def __call__(self, z):
        return self.first(z)


class Integers(WithoutLatentDim):
    def __init__(self):
        super().__init__()
        self.latent_dim, self.order = 2, nnx.Param(jnp.arange(5))


class Halves(nnx.Module):
    def __init__(self, dtype=jnp.bfloat16):
        self.latent_dim, self.first = 2, nnx.Linear(2, 5, param_dtype=dtype, rngs=nnx.Rngs(0))

    def __call__(self, z):
        return self.first(z)


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        (dict(key=0), TypeError, "key must be a key of jax, such as .*, got 0"),
        (dict(key=None), TypeError, "key must be a key of jax"),
        (dict(key=np.zeros(2)), TypeError, r"key must be .* got ndarray of shape \(2,\)"),
        (dict(key=jax.random.split(KEY, 3)), ValueError, r"key must be one key, got an array of them, \(3,\)"),
        (dict(key=jax.random.split(jax.random.PRNGKey(0), 3)), ValueError, "key must be one key"),
        (dict(num_iterations=1e2), TypeError, r"num_iterations must be a whole number, got 100.0 .*pass 100"),
        (dict(num_iterations="3"), TypeError, "num_iterations must be a whole number, got '3'"),
        (dict(num_iterations=True), TypeError, "num_iterations must be a whole number, got True"),
        (dict(num_iterations=0), ValueError, "num_iterations must be positive, got 0"),
        (dict(batch_size=4.0), TypeError, r"batch_size must be a whole number, got 4.0 .*pass 4"),
        (dict(batch_size=0), ValueError, "batch_size must be positive, got 0"),
        (dict(checkpoint_every=2.5), TypeError, "checkpoint_every must be a whole number, got 2.5"),
        (dict(num_warmup=None), TypeError, "num_warmup must be a whole number, got None"),
        (dict(num_steps=2.5), TypeError, "num_steps must be a whole number, got 2.5"),
        (dict(step_size="big"), TypeError, "step_size must be one number, positive; got 'big'"),
        (dict(step_size=float("nan")), ValueError, "step_size must be positive, got nan"),
        (dict(sigma=(0.3, 0.1)), TypeError, "sigma must be one number, positive; got "),
        (dict(sigma="0.3"), TypeError, "sigma must be one number, positive; got '0.3'"),
        (dict(sigma=float("inf")), ValueError, "sigma must be positive, got inf"),
        (dict(sigma=lambda t: 0.1 - t), ValueError, "sigma must be positive, got -1.9"),
        (dict(learning_rate=-1e-2), ValueError, "learning_rate must be at least 0, got -0.01"),
        (dict(learning_rate="fast"), TypeError, "learning_rate must be one number, at least 0; got 'fast'"),
        (dict(weight_decay=-1), ValueError, "weight_decay must be at least 0"),
        (dict(sampler=3), ValueError, "sampler must be one of .*, got 3"),
        (dict(resume=3), TypeError, "resume must be a FitResult"),
        (dict(measure=3), TypeError, "measure must be a function"),
        (dict(images="faces"), TypeError, "images must be real numbers, got 'faces'"),
        (dict(images=None), TypeError, "images must be real numbers, got None"),
        (dict(images=[[1.0], [1.0, 2.0]]), ValueError, "images must be an array, or a list of arrays of one shape"),
        (dict(images=Y + 1j), TypeError, "images must be real numbers"),
        (dict(images=np.ma.masked_array(Y, Y > 1)), TypeError, "images is a masked array: .*mask="),
        (dict(images=Y.astype(np.float64) * 1e39), ValueError, "too large for 32 bits to square"),
        (dict(images=Y * np.inf), ValueError, "images hold nan or infinite"),
        (dict(images=Y[0]), ValueError, r"images of shape \(5,\) don't fit"),
        (dict(generator=lambda z: z), TypeError, "generator must be a flax.nnx.Module"),
        (dict(generator=abp.LinearGenerator), TypeError, "generator must be a flax.nnx.Module"),
        (dict(generator=None), TypeError, "generator must be a flax.nnx.Module"),
        (dict(generator=WithoutLatentDim()), TypeError, "generator must have an attribute latent_dim"),
        (dict(generator=Integers()), TypeError, "parameter order is of int32, which has no gradient"),
        (dict(generator=Halves()), TypeError, "of bfloat16, too coarse to be learned"),
        (dict(generator=Halves(jnp.float16)), TypeError, "of float16, too coarse to be learned"),
    ],
)
def test_fit_names_what_is_wrong(changes, kind, words):
    given = dict(generator=small(), images=Y, num_iterations=3, key=KEY, progress=False) | changes
    with pytest.raises(kind, match=words):
        abp.fit(given.pop("generator"), given.pop("images"), **given)


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        (dict(key=0), TypeError, "key must be a key of jax"),
        (dict(num_starts=2.0), TypeError, "num_starts must be a whole number"),
        (dict(num_starts=0), ValueError, "num_starts must be positive"),
        (dict(sigma=()), ValueError, "sigma must be a positive number, or several"),
        (dict(sigma=(0.3, -0.1)), ValueError, "sigma must be positive, got -0.1"),
        (dict(z=np.zeros((3, 2))), ValueError, r"z must be \(12, 2\), one row for each image.* got shape \(3, 2\)"),
        (dict(z=np.full((12, 2), np.nan)), ValueError, "z holds nan"),
    ],
)
def test_infer_names_what_is_wrong(changes, kind, words):
    with pytest.raises(kind, match=words):
        abp.infer(small(), Y, **(dict(key=KEY, num_steps=1, num_starts=1) | changes))


def test_what_makes_an_array_is_taken_as_one():
    """Lists, tables and tensors, other types and orders of bytes: one result."""

    class Tensor:  # as PyTorch's, which NumPy reads after these two
        def detach(self):
            return self

        def cpu(self):
            return self

        def __array__(self, dtype=None, copy=None):
            return Y

    learn = lambda images: abp.fit(small(), images, 3, key=KEY, num_warmup=1, progress=False).z
    expected = learn(Y)
    for images in (
        Y.tolist(),
        list(Y),
        Tensor(),
        Y.astype(object),
        Y.astype(">f4"),
        np.asfortranarray(Y),
        jnp.asarray(Y),
    ):
        np.testing.assert_array_equal(learn(images), expected)


def test_numbers_of_numpy_and_jax_are_numbers():
    assert arguments.whole("n", np.int64(3)) == 3 and arguments.whole("n", jnp.int32(3)) == 3
    assert arguments.number("s", np.float32(0.5)) == 0.5 and arguments.number("s", jnp.float32(0.5)) == 0.5


def test_sixteen_bits_that_are_not_learned_can_be_used():
    z = abp.infer(Halves(), Y, key=KEY, num_steps=2, num_starts=1)
    assert z.dtype == jnp.float32 and np.isfinite(z).all()


@pytest.mark.parametrize("make", [small, lambda d: abp.MLPGenerator(d, 5, rngs=nnx.Rngs(0))])
@pytest.mark.parametrize("d", [0, -1, 2.0, None])
def test_no_generator_without_a_latent_vector(make, d):
    with pytest.raises((TypeError, ValueError), match="latent_dim must be"):
        make(d)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ((Y[:, None, None, :3] > 0) * np.ones((1, 8, 8, 1), bool), r"boolean, .*pass 2.0 \* images - 1"),
        (np.full((3, 8, 8, 3), 200.0), "have values from -1 to 1, these go from 200 to 200"),
    ],
)
def test_ranges_of_pixels(images, words):
    with pytest.raises(ValueError, match=words):
        abp.fit(abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(0)), images, 2, key=KEY, progress=False)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.linspace(0, 1, 576).reshape(3, 8, 8, 3), r"pass 2 \* images - 1"),
        (np.arange(576, dtype=np.uint8).reshape(3, 8, 8, 3) % 6, "nearly black"),
    ],
)
def test_ranges_that_are_probably_meant_otherwise_are_said(images, words):
    generator = abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(0))
    with pytest.warns(UserWarning, match=words):
        abp.reconstruction_error(generator, np.zeros((3, 2)), images)

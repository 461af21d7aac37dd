"""Whitening changes no image, or the run says beforehand that it can't whiten: found out by f itself, not by names."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax import learning
from abp_jax.generators import functional
from abp_jax.training import settings


class Plain(nnx.Module):
    def __init__(self, d=2, **options):
        self.latent_dim = d
        self.first = nnx.Linear(d, 16, rngs=nnx.Rngs(0), **options)
        self.out = nnx.Linear(16, 7, rngs=nnx.Rngs(1))

    def __call__(self, z):
        return self.out(jnp.tanh(self.first(self.before(z)))) + self.beside(z)

    def before(self, z):
        return z

    def beside(self, z):
        return 0.0


class Skip(Plain):
    def __init__(self, **options):
        super().__init__()
        self.skip = nnx.Linear(2, 7, rngs=nnx.Rngs(2), **options)

    def beside(self, z):
        return self.skip(z)


class WeakSkip(Plain):
    def beside(self, z):
        return 0.01 * z.sum()


class Signs(Plain):
    """Does not feel a z that is halved."""

    def beside(self, z):
        return 0.1 * jnp.sign(z).sum()


class Squashed(Plain):
    def before(self, z):
        return jnp.tanh(z)


class OnTheCircle(Plain):
    def before(self, z):
        return z / jnp.linalg.norm(z)


class Twice(Plain):
    def before(self, z):
        return z + 0.1 * self.first(z)[:2]


class Scaled(Plain):
    def before(self, z):
        return 3 * z


class Alias(Plain):
    def __init__(self):
        super().__init__()
        self.encode = self.first


class Transposed(nnx.Module):
    def __init__(self):
        self.latent_dim = 2
        self.first = nnx.ConvTranspose(2, 8, (4, 4), rngs=nnx.Rngs(0))

    def __call__(self, z):
        return self.first(jnp.ones((4, 4, 1)) * z[None, None]).ravel()


class Nested(nnx.Module):
    def __init__(self):
        self.latent_dim, self.first = 2, Plain()

    def __call__(self, z):
        return self.first(z)


class General(nnx.Module):
    """A first layer whose output is no vector."""

    def __init__(self):
        self.latent_dim = 4
        self.first = nnx.LinearGeneral(4, (4, 4, 8), rngs=nnx.Rngs(0))
        self.out = nnx.Linear(128, 7, rngs=nnx.Rngs(1))

    def __call__(self, z):
        return self.out(jnp.tanh(self.first(z)).ravel())


class HalfComputed(Plain):
    def __init__(self):
        super().__init__()
        self.out = nnx.Linear(16, 7, dtype=jnp.bfloat16, rngs=nnx.Rngs(1))


@pytest.mark.parametrize(
    ("generator", "words"),
    [
        (Skip(), "would change what this generator draws"),
        (Skip(kernel_init=nnx.initializers.zeros), "would change"),  # not yet, but as soon as it learns
        (WeakSkip(), "would change"),
        (Signs(), "would change"),
        (Squashed(), "would change"),
        (OnTheCircle(), "would change"),
        (Twice(), "would change"),
        (Scaled(), "would change"),
        (Alias(), "kept under another name"),
        (Transposed(), "`first` with a kernel and a bias"),
        (Nested(), "`first` with a kernel and a bias"),
        (Plain(use_bias=False), "`first` with a kernel and a bias"),
    ],
    ids=lambda x: type(x).__name__,
)
def test_what_it_would_change_is_refused_in_words(generator, words):
    y = np.random.default_rng(0).normal(size=(12, generator(jnp.ones(2)).size))
    with pytest.raises(ValueError, match=f"{words}.*[Oo]r pass whitening=False"):
        abp.fit(generator, y, 3, key=jax.random.key(0), progress=False)


def test_what_is_refused_leaves_no_checkpoint(tmp_path):
    with pytest.raises(ValueError, match="whitening would change what this generator draws"):
        abp.fit(Skip(), np.ones((9, 7), np.float32), 3, key=jax.random.key(0), progress=False, checkpoint_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("generator", [Skip(), Transposed(), Plain(use_bias=False)], ids=lambda x: type(x).__name__)
def test_what_is_refused_learns_without(generator):
    y = np.random.default_rng(0).normal(size=(12, generator(jnp.ones(2)).size))
    result = abp.fit(generator, y, 3, key=jax.random.key(0), progress=False, whitening=False, num_warmup=1)
    assert np.all(np.isfinite(result.losses))


@pytest.mark.parametrize(
    "generator",
    [
        Plain(),
        General(),
        HalfComputed(),
        abp.LinearGenerator(5, 7, rngs=nnx.Rngs(0)),
        abp.MLPGenerator(20, 7, rngs=nnx.Rngs(0)),
        abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(0)),
        abp.ConvGenerator(image_size=8, width=4, dtype=jnp.bfloat16, rngs=nnx.Rngs(0)),
    ],
    ids=lambda x: type(x).__name__,
)
def test_what_it_does_not_change_is_whitened(generator):
    settings.check_whitening(generator, 100)
    generate, params = functional(generator)
    z = 3 + 2 * jax.random.normal(jax.random.key(1), (50, generator.latent_dim))
    draw = jax.jit(jax.vmap(generate, (None, 0)))
    white, whitened = learning.whiten(params, z)
    np.testing.assert_allclose(draw(white, whitened), draw(params, z), atol=0.05 * float(jnp.std(draw(params, z))))
    np.testing.assert_allclose(np.cov(whitened.T, bias=True), np.eye(generator.latent_dim), atol=1e-3)

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax.generators import functional, with_params

GENERATORS = {
    "linear": lambda: abp.LinearGenerator(2, 7, rngs=nnx.Rngs(0)),
    "mlp": lambda: abp.MLPGenerator(2, 7, rngs=nnx.Rngs(0)),
    "conv": lambda: abp.ConvGenerator(image_size=16, width=4, rngs=nnx.Rngs(0)),
}


@pytest.mark.parametrize("name", GENERATORS)
def test_one_example_does_not_depend_on_the_batch(name, key):
    """No batch statistics: f(z_i) is the same alone, in a batch, and in another batch."""
    generator, z = GENERATORS[name](), jax.random.normal(key, (5, 2))
    batch = abp.reconstruct(generator, z)
    np.testing.assert_allclose(batch[3], generator(z[3]), atol=1e-5)
    np.testing.assert_allclose(abp.reconstruct(generator, z[2:4])[1], batch[3], atol=1e-5)
    assert not np.allclose(batch[0], batch[1])


@pytest.mark.parametrize("name", GENERATORS)
def test_functional_form_is_the_generator(name, key):
    generator, z = GENERATORS[name](), jnp.array([0.3, -1.2])
    generate, params = functional(generator)
    np.testing.assert_allclose(generate(params, z), generator(z), atol=1e-6)
    doubled = jax.tree.map(lambda w: 2 * w, params)
    other = with_params(generator, doubled)
    np.testing.assert_allclose(other(z), generate(doubled, z), atol=1e-6)
    np.testing.assert_allclose(generate(params, z), generator(z), atol=1e-6)  # unchanged by any of this
    assert set(params["first"]) == {"kernel", "bias"}


def test_linear_generator_is_linear():
    generator = GENERATORS["linear"]()
    z = jnp.array([0.3, -1.2])
    np.testing.assert_allclose(generator(z), z @ generator.first.kernel[...] + generator.first.bias[...], atol=1e-6)


def test_mlp_by_hand():
    generator, z = abp.MLPGenerator(2, 7, widths=(5, 6), rngs=nnx.Rngs(0)), jnp.array([0.3, -1.2])
    _, params = functional(generator)
    layer = lambda name, x: x @ params[name]["kernel"] + params[name]["bias"]
    y = layer("dense1", jnp.tanh(layer("dense0", jnp.tanh(layer("first", z)))))
    np.testing.assert_allclose(generator(z), y, atol=1e-6)
    with pytest.raises(ValueError, match="at least one hidden layer"):
        abp.MLPGenerator(2, 7, widths=(), rngs=nnx.Rngs(0))


@pytest.mark.parametrize(("image_size", "features"), [(8, (4, 3)), (32, (16, 8, 4, 3)), (64, (32, 16, 8, 4, 3))])
def test_conv_shapes(image_size, features):
    generator = abp.ConvGenerator(image_size=image_size, width=4, rngs=nnx.Rngs(0))
    assert generator.features == features
    y = generator(jnp.zeros(2))
    assert y.shape == (image_size, image_size, 3) and bool(jnp.all(jnp.abs(y) <= 1))
    assert abp.ConvGenerator(image_size=8, channels=1, rngs=nnx.Rngs(0))(jnp.zeros(2)).shape == (8, 8, 1)


def test_full_width_is_the_network_of_the_exercise():
    shapes = jax.eval_shape(lambda: functional(abp.ConvGenerator(width=64, rngs=nnx.Rngs(0)))[1])
    assert shapes["first"]["kernel"].shape == (2, 4 * 4 * 512)
    assert [shapes[f"conv{i}"]["kernel"].shape for i in range(4)] == [
        (512, 5, 5, 256), (256, 5, 5, 128), (128, 5, 5, 64), (64, 5, 5, 3),
    ]  # fmt: skip


@pytest.mark.parametrize("image_size", [0, 4, 48, 63])
def test_impossible_image_size(image_size):
    with pytest.raises(ValueError, match=f"image_size must be 8, 16, .* got {image_size}"):
        abp.ConvGenerator(image_size=image_size, rngs=nnx.Rngs(0))


def test_grid_reads_like_a_plot():
    z = abp.generators.grid_points(-2, 2, 8, latent_dim=3)
    np.testing.assert_allclose(z[np.array([0, 7, 56, 63])], [[-2, 2, 0], [2, 2, 0], [-2, -2, 0], [2, -2, 0]])
    generator = GENERATORS["conv"]()
    images = abp.latent_grid(generator, num=3)
    np.testing.assert_allclose(images[1], generator(jnp.array([0.0, 2.0])), atol=1e-5)
    with pytest.raises(ValueError, match="latent_dim of at least 2, got 1"):
        abp.latent_grid(abp.ConvGenerator(1, rngs=nnx.Rngs(0)))


def test_random_samples_change_with_the_key():
    generator = GENERATORS["conv"]()
    samples = [abp.reconstruct(generator, jax.random.normal(jax.random.key(s), (4, 2))) for s in (0, 0, 1)]
    np.testing.assert_array_equal(samples[0], samples[1])
    assert not np.allclose(samples[0], samples[2])


def test_forward_and_reverse_derivatives_agree(key):
    generate, params = functional(GENERATORS["conv"]())
    z = jax.random.normal(key, (2,))
    forward, reverse = (j(partial(generate, params))(z) for j in (jax.jacfwd, jax.jacrev))
    np.testing.assert_allclose(forward, reverse, atol=1e-5)


@pytest.mark.slow
def test_bfloat16_computes_in_half_the_bytes_and_learns_the_same(small_faces, key):
    losses = {}
    for dtype in (jnp.float32, jnp.bfloat16):
        generator = abp.ConvGenerator(image_size=16, width=4, dtype=dtype, rngs=nnx.Rngs(0))
        y = generator(jnp.array([0.3, -1.2]))
        assert y.dtype == jnp.float32 and {p.dtype for p in jax.tree.leaves(functional(generator)[1])} == {y.dtype}
        jaxpr = str(jax.make_jaxpr(functional(generator)[0])(functional(generator)[1], jnp.zeros(2)))
        assert ("bf16" in jaxpr) == (dtype == jnp.bfloat16)
        losses[dtype] = abp.fit(generator, small_faces, 40, key=key, progress=False).losses
    np.testing.assert_allclose(losses[jnp.bfloat16][:20], losses[jnp.float32][:20], rtol=0.02)
    np.testing.assert_allclose(losses[jnp.bfloat16][-1], losses[jnp.float32][-1], rtol=0.25)

import signal
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax import factor_analysis, fitting, generators, inference
from abp_jax.compilation.compiler import quick_jit
from abp_jax.training import loop


@pytest.fixture
def small_generator():
    return abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(0))


@pytest.mark.slow
def test_defaults_on_the_eleven_faces(key):
    """The promise of the course: 200 iterations with every setting left as it is. Notebook 05 shows 64 x 64 pixels."""
    images = abp.load_lion_tiger(size=32)
    result = abp.fit(abp.ConvGenerator(image_size=32, rngs=nnx.Rngs(0)), images, key=key)
    assert result.losses.shape == (200,)
    assert float(abp.reconstruction_error(result.generator, result.z, images).mean()) <= 0.002
    np.testing.assert_allclose(result.z.mean(0), 0, atol=0.05)
    np.testing.assert_allclose(np.cov(result.z.T, bias=True), np.eye(2), atol=0.1)
    # Images that were inferred anew are reconstructed about as well, and from other starts.
    z = abp.infer(result.generator, images, key=jax.random.key(1), num_steps=50)
    assert float(abp.reconstruction_error(result.generator, z, images).mean()) <= 0.02


def test_the_generator_given_is_not_changed(small_generator, tiny_faces, key):
    z = jnp.ones((1, 2))
    before = abp.reconstruct(small_generator, z)
    result = abp.fit(small_generator, tiny_faces, 3, key=key, progress=False)
    np.testing.assert_array_equal(abp.reconstruct(small_generator, z), before)
    assert not np.allclose(abp.reconstruct(result.generator, z), before)


def test_the_key_decides_everything(small_generator, tiny_faces):
    runs = [abp.fit(small_generator, tiny_faces, 3, key=jax.random.key(s), progress=False) for s in (0, 0, 1)]
    np.testing.assert_array_equal(runs[0].z, runs[1].z)
    assert not np.allclose(runs[0].z, runs[2].z)


def test_resume_continues_the_run(small_generator, tiny_faces, key):
    options = dict(key=key, learning_rate=lambda t: 1e-3, batch_size=4, progress=False)
    half = abp.fit(small_generator, tiny_faces, 5, **options)
    whole = abp.fit(small_generator, tiny_faces, 9, **options)
    resumed = abp.fit(small_generator, tiny_faces, 9, resume=half, **options)
    np.testing.assert_array_equal(resumed.z, whole.z)
    np.testing.assert_array_equal(resumed.losses, whole.losses)


def test_chains_with_an_accept_step_learn_and_say_how_often_they_moved(small_generator, tiny_faces, key, capsys):
    result = abp.fit(small_generator, tiny_faces, 60, key=key, sampler="gauss_newton_mala")
    assert 0.1 < result.acceptance < 1
    assert f"accepted {result.acceptance:.0%}" in capsys.readouterr().out
    assert result.losses[-1] < 0.5 * result.losses[0]
    uncorrected = abp.fit(small_generator, tiny_faces, 3, key=key, sampler="gauss_newton", progress=False)
    assert np.isnan(uncorrected.acceptance)
    z = abp.infer(result.generator, tiny_faces, key=key, sampler="mala", num_steps=50)
    assert bool(jnp.all(jnp.isfinite(z)))


def test_no_program_is_compiled_for_a_phase_without_iterations():
    phases = [("warm-up", 5), ("chains", 9)]
    left = {done: [name for name, _ in loop.phases_left(phases, done)] for done in (0, 4, 5, 9)}
    assert left == {0: ["warm-up", "chains"], 4: ["warm-up", "chains"], 5: ["chains"], 9: []}
    assert loop.phases_left([("warm-up", 5), ("chains", 5)], 0) == [("warm-up", 5)]
    assert loop.phases_left([("warm-up", 0), ("chains", 5)], 0) == [("chains", 5)]


def test_warm_up_learns_W_and_leaves_z_alone(small_generator, tiny_faces, key):
    params = generators.functional(small_generator)[1]
    init = partial(fitting.learning.init, optimizer=fitting.optax.sgd(1.0), num_examples=11, latent_dim=2)
    start = quick_jit(init)(params, key=key).z  # as in fit: the tests' own compiler rounds otherwise
    result = abp.fit(small_generator, tiny_faces, 5, key=key, num_warmup=5, progress=False)
    np.testing.assert_array_equal(result.z, start)
    assert result.losses[-1] < result.losses[0]
    result = abp.fit(small_generator, tiny_faces, 6, key=key, num_warmup=5, progress=False)
    assert np.all(np.any(result.z != start, axis=1))


def test_the_first_iteration_waits_for_one_program(small_generator, tiny_faces, key, caplog):
    """That of the warm-up; the chains' is begun once the caller has seen the first iteration."""
    begun = lambda: sum("Compiling" in text and "advance" in text for text in caplog.messages)
    seen = {}
    note = lambda done, snapshot: seen.setdefault(done, begun())
    with jax.log_compiles():
        abp.fit(small_generator, tiny_faces, 4, key=key, num_warmup=2, progress=False, callback=note)
    assert (seen[1], seen[4]) == (1, 2)


def test_every_example_is_visited_in_a_pass_the_last_partial_batch_too(small_generator, tiny_faces, key):
    params = generators.functional(small_generator)[1]
    start = fitting.learning.init(params, fitting.optax.sgd(1.0), 11, 2, key).z
    result = abp.fit(
        small_generator, tiny_faces, 3, key=key, batch_size=4, whitening=False, num_warmup=0, progress=False
    )
    assert np.all(np.any(result.z != start, axis=1))
    batches = [loop.batch_indices(key, t, 11, 4) for t in range(6)]
    assert [len(b) for b in batches] == [4] * 6
    for epoch in (batches[:3], batches[3:]):
        assert sorted(np.concatenate(epoch)) == [*range(11), 11]  # 11 is padding
    assert not np.array_equal(np.concatenate(batches[:3]), np.concatenate(batches[3:]))


def test_linear_generator_reaches_the_maximum_of_the_likelihood(key):
    keys = jax.random.split(key, 3)
    W, sigma = jax.random.normal(keys[0], (8, 2)), 0.5
    z = jax.random.normal(keys[1], (300, 2))
    y = z @ W.T + sigma * jax.random.normal(keys[2], (300, 8))
    generator = abp.LinearGenerator(2, 8, rngs=nnx.Rngs(0))
    result = abp.fit(
        generator,
        y,
        600,
        key=key,
        sigma=sigma,
        sampler="langevin",
        step_size=0.1,
        num_steps=20,
        learning_rate=0.02,
        progress=False,
    )
    first = result.generator.first
    learned = factor_analysis.FactorAnalysis(first.kernel[...].T, first.bias[...], sigma)
    best = factor_analysis.maximum_likelihood(y, 2, sigma)
    scores = [float(factor_analysis.log_marginal_likelihood(m, y).mean()) for m in (learned, best)]
    assert scores[0] <= scores[1] + 1e-3 and scores[0] > scores[1] - 0.01 * abs(scores[1])


def test_divergence_is_explained_and_keeps_the_last_sound_result(key):
    y = 10 * jax.random.normal(key, (20, 5))
    generator = abp.LinearGenerator(2, 5, rngs=nnx.Rngs(0))
    with pytest.raises(
        abp.ChainDiverged, match=r"iteration \d+ with step_size=2\. .*largest stable step is 0\.\d+"
    ) as caught:
        abp.fit(generator, y, 50, key=key, sampler="langevin", step_size=2.0, whitening=False, progress=False)
    result = caught.value.result
    assert np.all(np.isfinite(result.z)) and len(result.losses) == int(result.state.iteration)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            dict(sampler="hmc"),
            r"sampler must be one of \['adapted_langevin', .*'random_walk'\], got 'hmc'",
        ),
        (dict(sigma=0.0), "sigma must be positive, got 0"),
        (dict(step_size=-1.0), "step_size must be positive"),
        (dict(num_steps=0), "num_steps must be positive"),
        (dict(batch_size=0), "batch_size must be positive"),
        (dict(num_iterations=0), "num_iterations must be positive"),
    ],
)
def test_bad_arguments(small_generator, tiny_faces, key, changes, message):
    with pytest.raises(ValueError, match=message):
        abp.fit(small_generator, tiny_faces, **(dict(key=key) | changes))


def test_bad_images(small_generator, tiny_faces, key):
    with pytest.raises(ValueError, match=r"shape \(11, 64, 64, 3\).*gives \(8, 8, 3\)"):
        abp.fit(small_generator, abp.load_lion_tiger(), key=key)
    with pytest.raises(ValueError, match=r"shape \(8, 8, 3\)"):
        abp.fit(small_generator, tiny_faces[0], key=key)
    with pytest.raises(ValueError, match="nan or infinite"):
        abp.fit(small_generator, np.full_like(tiny_faces, np.nan), key=key)
    with pytest.raises(ValueError, match="more examples than latent dimensions"):
        abp.fit(small_generator, tiny_faces[:2], key=key)


STOP = """
import jax
from flax import nnx
import abp_jax as abp

generator = abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(0))
result = abp.fit(generator, abp.load_lion_tiger(size=8), 1_000_000, key=jax.random.key(0))
print("KEPT", len(result.losses), int(result.state.iteration), bool(jax.numpy.isfinite(result.z).all()))
"""


def test_interrupt_keeps_the_last_complete_state():
    """A real process and a real SIGINT, which is what the stop button sends."""
    process = subprocess.Popen([sys.executable, "-u", "-c", STOP], stdout=subprocess.PIPE, text=True, bufsize=1)
    seen = ""
    while "error 0." not in seen:
        character = process.stdout.read(1)
        assert character, f"the run ended too soon, after {seen!r}"
        seen += character
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "the result so far is returned" in rest
    done, iteration, finite = rest.split("KEPT")[1].split()
    assert done == iteration and int(done) > 0 and finite == "True"


def test_infer_finds_the_best_of_several_modes(key):
    """y = z^2 with a slope that tells the two modes apart; chains from the prior end in both."""
    params = jnp.array([1.0, 0.2])

    class Parabola(nnx.Module):
        latent_dim = 1

        def __call__(self, z):
            return jnp.concatenate([params[0] * z**2, params[1] * z])

    z = abp.infer(Parabola(), jnp.array([[1.0, 0.2], [1.0, -0.2]]), key=key, sigma=0.05, num_steps=200)
    np.testing.assert_allclose(z[:, 0], [1, -1], atol=0.15)


def test_infer_does_not_need_the_training_set(small_generator, tiny_faces, key):
    z = abp.infer(small_generator, tiny_faces[:2], key=key, num_steps=5, num_starts=2)
    more = abp.infer(small_generator, tiny_faces[:5], key=key, num_steps=5, num_starts=2)
    assert z.shape == (2, 2)
    np.testing.assert_allclose(z, more[:2], atol=1e-3)


def test_infer_goes_through_several_sigmas_in_turn(key):
    """It ends in the posterior of the last one, and one step at each is no more than that: it starts where it stood."""
    generator, y = abp.LinearGenerator(1, 3, rngs=nnx.Rngs(0)), jnp.zeros((500, 3))
    curvature = float(jnp.sum(generator.first.kernel[...] ** 2))
    infer = lambda sigma, **options: np.asarray(
        abp.infer(generator, y, key=key, sigma=sigma, num_starts=1, step_size=0.5, **options)
    )
    for sigma in ((3.0, 0.5), (0.5, 3.0)):
        variance = (
            1 / (curvature / sigma[-1] ** 2 + 1) / (1 - 0.5**2 / 4)
        )  # the second factor: a step that is not small
        assert np.var(infer(sigma, num_steps=60)) == pytest.approx(variance, rel=4 * (2 / 500) ** 0.5)
    far = 1000 * jnp.ones((500, 1))
    np.testing.assert_allclose(infer((3.0, 1.0, 0.5), num_steps=1, z=far), 1000 * (1 - 0.5**2 / 2) ** 3, rtol=0.01)
    np.testing.assert_array_equal(infer((0.5,), num_steps=3), infer(0.5, num_steps=3))
    correlation = np.corrcoef(infer((0.5, 0.5), num_steps=60)[:, 0], infer(0.5, num_steps=60)[:, 0])[0, 1]
    assert abs(correlation) < 4 / 500**0.5  # each stage draws noise of its own
    for bad in ((), (0.3, 0.0), -1.0):
        with pytest.raises(ValueError, match="sigma must be"):
            infer(bad)


def test_infer_passes_over_chains_that_diverged(key):
    class Cubic(nnx.Module):
        latent_dim = 1

        def __call__(self, z):
            return jnp.concatenate([z**3, z])

    y = jnp.array([[1.0, 1.0], [0.1, 0.1]])
    z = abp.infer(Cubic(), y, key=key, sampler="langevin", step_size=0.05)
    np.testing.assert_allclose(z[0, 0], 1, atol=0.5)
    assert bool(jnp.all(jnp.isfinite(z)))
    with pytest.raises(ValueError, match="every chain of an image diverged with step_size=5"):
        abp.infer(Cubic(), y, key=key, sampler="langevin", step_size=5.0)


def test_learning_that_diverges_is_told_from_a_chain_that_does(key):
    y = jax.random.normal(key, (20, 5))
    generator = abp.LinearGenerator(2, 5, rngs=nnx.Rngs(0))
    with pytest.raises(abp.ChainDiverged, match="W itself has diverged. Lower learning_rate"):
        abp.fit(generator, y, 50, key=key, learning_rate=1e30, progress=False)


def test_resume_and_first_layer_must_fit(small_generator, tiny_faces, key):
    result = abp.fit(small_generator, tiny_faces, 2, key=key, progress=False)
    with pytest.raises(ValueError, match="Resume with the generator and the images of that run"):
        abp.fit(small_generator, tiny_faces[:8], 4, key=key, resume=result, progress=False)

    class NoBias(nnx.Module):
        latent_dim = 2

        def __init__(self):
            self.first = nnx.Linear(2, 5, use_bias=False, rngs=nnx.Rngs(0))

        def __call__(self, z):
            return self.first(z)

    with pytest.raises(ValueError, match="with a kernel and a bias"):
        abp.fit(NoBias(), jnp.ones((9, 5)), 4, key=key, progress=False)
    with pytest.raises(ValueError, match=r"values from -1 to 1, these go from .*127\.5 - 1"):
        abp.fit(small_generator, 255 * np.abs(tiny_faces), 4, key=key)


@pytest.mark.slow
def test_a_hundred_latent_dimensions_just_work(key):
    """The default sampler above d = 8, in minibatches, on images as bytes."""
    faces = np.uint8(np.round((abp.load_lion_tiger(size=8) + 1) * 127.5))
    images = np.concatenate([np.uint8(faces * s) for s in np.linspace(0.5, 1, 12)])
    generator = abp.ConvGenerator(100, image_size=8, width=8, rngs=nnx.Rngs(0))
    result = abp.fit(generator, images, 200, key=key, batch_size=50, progress=False)
    assert result.z.shape == (132, 100) and bool(jnp.all(jnp.isfinite(result.z)))
    np.testing.assert_allclose(np.cov(result.z.T, bias=True), np.eye(100), atol=0.1)
    variance = np.var(images / 127.5, axis=0).mean()  # the error of the mean image
    assert float(abp.reconstruction_error(result.generator, result.z, images).mean()) < 0.2 * variance


@pytest.mark.parametrize(
    ("size", "width", "expected"), [(64, 32, 2e-3), (64, 64, 1e-3), (16, 4, 2e-3), (128, 32, 1e-3)]
)
def test_default_learning_rate_falls_with_the_width(size, width, expected):
    generator = nnx.eval_shape(lambda: abp.ConvGenerator(image_size=size, width=width, rngs=nnx.Rngs(0)))
    assert fitting.default_learning_rate(generator) == expected


def test_default_learning_rate_is_used(small_generator, tiny_faces, key):
    runs = [
        abp.fit(small_generator, tiny_faces, 4, key=key, progress=False, **o) for o in ({}, {"learning_rate": 2e-3})
    ]
    np.testing.assert_array_equal(runs[0].losses, runs[1].losses)


@pytest.mark.parametrize(("latent_dim", "sampler"), [(1, "gauss_newton"), (8, "gauss_newton"), (9, "adapted_langevin")])
def test_default_sampler_by_the_number_of_latent_dimensions(latent_dim, sampler):
    assert inference.check_chain(latent_dim, 0.3, None, None, None).sampler == sampler


@pytest.mark.parametrize(("given", "expected"), [({}, 1), ({"batch_size": 4}, 4), ({"num_steps": 2}, 2)])
def test_default_number_of_steps_by_the_turns_of_a_chain(small_generator, tiny_faces, key, given, expected):
    result = abp.fit(small_generator, tiny_faces, 2, key=key, num_warmup=1, progress=False, **given)
    assert result.chain.num_steps == expected
    steps = {"num_steps": expected} | given
    same = abp.fit(small_generator, tiny_faces, 2, key=key, num_warmup=1, progress=False, **steps)
    np.testing.assert_array_equal(result.z, same.z)


def test_many_images_are_inferred_and_generated_in_batches(small_generator, key, monkeypatch):
    """More images than fit into one batch: the last batch is smaller, and nothing else changes."""
    z = jax.random.normal(key, (generators.BATCH + 3, 2))
    images = abp.reconstruct(small_generator, z)
    np.testing.assert_allclose(images[-1], small_generator(z[-1]), atol=1e-5)
    options = dict(key=key, num_steps=2, num_starts=2)
    everyone = abp.infer(small_generator, images, **options)
    np.testing.assert_allclose(everyone[:5], abp.infer(small_generator, images[:5], **options), atol=1e-3)


def test_a_run_cut_into_calls_gives_the_same_bits(small_generator, tiny_faces, key, monkeypatch):
    """However long a call is, it is the same program."""
    whole = abp.fit(small_generator, tiny_faces, 12, key=key, num_warmup=2, progress=False)
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 0)
    cut = abp.fit(small_generator, tiny_faces, 12, key=key, num_warmup=2, progress=False)
    np.testing.assert_array_equal(cut.losses, whole.losses)
    np.testing.assert_array_equal(cut.z, whole.z)


def test_the_given_arrays_are_not_overwritten(small_generator, tiny_faces, key):
    """The loop reuses the memory of its own state, never that of `resume` or of the generator."""
    images = jnp.asarray(tiny_faces)
    first = abp.fit(small_generator, images, 3, key=key, progress=False)
    abp.fit(small_generator, images, 6, key=key, resume=first, progress=False)
    for array in jax.tree.leaves((first.state.params, first.z, first.state.opt_state, images)):
        assert not array.is_deleted()
    assert bool(jnp.all(jnp.isfinite(small_generator(first.z[0]))))

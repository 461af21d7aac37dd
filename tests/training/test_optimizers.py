"""Which optimizer learns W, what its steps are, and what a checkpoint and a resumed run know of it."""

import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax.generators import functional
from abp_jax.training import optimizers

KEY = jax.random.key(0)
RATE = 2e-3


class Flax(nnx.Module):
    """A generator of layers of flax, with a parameter that is no kernel, one never used and one behind a stop."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.latent_dim = 2
        self.first, self.middle = nnx.Linear(2, 4 * 4 * 3, rngs=rngs), nnx.Linear(3, 6, rngs=rngs)
        self.up = nnx.ConvTranspose(6, 4, (3, 3), (2, 2), rngs=rngs)
        self.smooth = nnx.Conv(4, 3, (3, 3), rngs=rngs)
        self.offset, self.unused = nnx.Param(jnp.zeros((8, 8))), nnx.Linear(4, 5, rngs=rngs)
        self.stopped = nnx.Param(jnp.ones((8, 8)))

    def __call__(self, z):
        x = self.up(jnp.tanh(self.middle(jnp.tanh(self.first(z)).reshape(4, 4, 3))))
        offset = self.offset[...] + jax.lax.stop_gradient(self.stopped[...])
        return jnp.tanh(self.smooth(x) + offset[..., None])


def tiny(latent_dim=2, **options):
    return abp.ConvGenerator(latent_dim, image_size=8, width=4, rngs=nnx.Rngs(0), **options)


def small():
    """Eleven vectors and an MLP for them: compiled in a fraction of the time of a convolution."""
    vectors = np.random.default_rng(0).normal(size=(11, 5)).astype(np.float32)
    return abp.MLPGenerator(2, 5, (4,), rngs=nnx.Rngs(0)), vectors


def learn(generator, images, num_iterations=4, **options):
    return abp.fit(generator, images, num_iterations, **(dict(key=KEY, num_warmup=1, progress=False) | options))


def chosen(generator, num_iterations=8, learning_rate=None, weight_decay=None):
    generate, params = functional(generator)
    optimizer, _ = optimizers.choose(None, generator, generate, learning_rate, num_iterations, weight_decay)
    return optimizer, params


def updates_of(optimizer, params, num=1, seed=0):
    """The updates for gradients drawn at random, and these gradients; the last of `num`."""
    noise, state = np.random.default_rng(seed), optimizer.init(params)
    for _ in range(num):
        gradients = jax.tree.map(lambda w: jnp.asarray(noise.normal(size=w.shape), w.dtype), params)
        updates, state = jax.jit(optimizer.update)(gradients, state, params)
    return updates, gradients


def newton_schulz(matrix):
    """Jordan's five steps towards the orthogonal matrix nearest to it, by numpy in 64 bits."""
    x = np.asarray(matrix, np.float64)
    x = x / np.linalg.norm(x)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x


def muon_update(matrix, weights, rate, decay):
    scale = max(1, matrix.shape[1] / matrix.shape[0]) ** 0.5
    return -optimizers.RATIO * rate * (scale * newton_schulz(matrix) + decay * np.asarray(weights, np.float64))


# The rule


def test_convolutions_are_learned_by_muon_as_the_matrices_that_they_are():
    params = functional(tiny(3))[1]
    matrices = optimizers.as_matrices(tiny(3))
    assert params["first"]["kernel"].shape == (3, 64) and params["conv0"]["kernel"].shape == (4, 5, 5, 3)
    assert matrices == {
        "first": {"kernel": 0, "bias": None},
        "conv0": {"kernel": 0, "bias": None},
    }


def test_layers_of_flax_are_too():
    matrices = optimizers.as_matrices(Flax())
    layers = dict(first=0, middle=0, unused=0, up=2, smooth=2)
    expected = {name: {"kernel": axis, "bias": None} for name, axis in layers.items()}
    assert matrices == expected | {"offset": None, "stopped": None}


@pytest.mark.parametrize("make", [partial(abp.LinearGenerator, 2, 5), partial(abp.MLPGenerator, 2, 5, (8,))])
def test_linear_generators_and_mlps_are_learned_by_adamw(make):
    generator = make(rngs=nnx.Rngs(0))
    assert optimizers.as_matrices(generator) is None
    optimizer, params = chosen(generator, learning_rate=RATE, weight_decay=0.4)
    expected = optax.adamw(optimizers.constant_then_cosine(RATE, 8), b1=0.5, weight_decay=0.4)
    for num in (1, 7):
        updates, like = (updates_of(o, params, num)[0] for o in (optimizer, expected))
        jax.tree.map(np.testing.assert_array_equal, updates, like)


def test_defaults_by_the_rule(tiny_faces):
    """Of the rate see test_fitting.py."""
    line, given = abp.LinearGenerator(2, 5, rngs=nnx.Rngs(0)), optax.sgd(1e-3)
    for generator, decay in ((tiny(), 0.4), (line, 0.0)):
        optimizer, params = chosen(generator, learning_rate=RATE)
        expected, _ = chosen(generator, learning_rate=RATE, weight_decay=decay)
        updates, like = (updates_of(o, params)[0] for o in (optimizer, expected))
        jax.tree.map(np.testing.assert_array_equal, updates, like)
    cases = ((None, tiny(), None), (None, tiny(), 4), (None, line, None), (given, tiny(), None))
    assert [optimizers.iterations(None, *case) for case in cases] == [200, 600, 600, 600]
    assert optimizers.iterations(7, None, tiny(), None) == 7


# Its steps


@pytest.mark.parametrize("generator", [tiny(), tiny(20), Flax()], ids=["d = 2", "d = 20", "flax"])
def test_a_first_step_is_muon_s_and_adam_s_by_hand(generator):
    decay = 0.4
    optimizer, params = chosen(generator, learning_rate=RATE, weight_decay=decay)
    updates, gradients = updates_of(optimizer, params)
    matrices = optimizers.as_matrices(generator)
    for name in ("conv0", "first") if hasattr(generator, "conv0") else ("first", "middle", "up", "smooth"):
        rows = matrices[name]["kernel"]
        flat = lambda a, rows=rows: np.moveaxis(np.asarray(a), rows, 0).reshape(a.shape[rows], -1)
        g, w, u = (flat(tree[name]["kernel"]) for tree in (gradients, params, updates))
        np.testing.assert_allclose(u, muon_update(g, w, RATE, decay), rtol=1e-3, atol=1e-5)
        turn = (u / -RATE / optimizers.RATIO - decay * w) / max(1, g.shape[1] / g.shape[0]) ** 0.5
        u, _, v = np.linalg.svd(g, full_matrices=False)
        sizes = np.diag(u.T @ turn @ v.T)
        np.testing.assert_allclose(turn, u * sizes @ v, atol=1e-3)  # the directions of g ...
        assert np.all((sizes > 0.3) & (sizes < 1.3))  # ... and all of about one size
        g, w, u = (np.asarray(tree[name]["bias"]) for tree in (gradients, params, updates))
        np.testing.assert_allclose(u, -RATE * (4 / 3 * np.sign(g) + decay * w), rtol=1e-4, atol=1e-8)


def test_the_mean_of_gradients_and_the_rate_follow_the_iterations():
    """The second of two steps, by hand: Nesterov's mean with b = 0.9, and half the cosine."""
    optimizer, params = chosen(tiny(), num_iterations=2, learning_rate=RATE, weight_decay=0.0)
    noise = np.random.default_rng(0)
    draw = lambda: jax.tree.map(lambda w: jnp.asarray(noise.normal(size=w.shape), w.dtype), params)
    state, (g1, g2) = optimizer.init(params), (draw(), draw())
    _, state = optimizer.update(g1, state, params)
    updates, _ = optimizer.update(g2, state, params)
    flat = lambda tree: np.asarray(tree["conv0"]["kernel"], np.float64).reshape(4, -1)
    mean = flat(g2) + 0.9 * (flat(g2) + 0.9 * flat(g1))
    rate = RATE / 2
    np.testing.assert_allclose(flat(updates), muon_update(mean, flat(params), rate, 0.0), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 40), (40, 2), (16, 16), (64, 200), (200, 64), (1, 7), (7, 1)])
@pytest.mark.parametrize("falls", [0, 3, 7])
def test_orthogonal_is_optax_s_newton_schulz(shape, falls):
    """Singular values over so many powers of ten; and a matrix of zeros stays one."""
    noise, k = np.random.default_rng(0), min(shape)
    u, v = (np.linalg.qr(noise.normal(size=(m, k)))[0] for m in shape)
    matrix = jnp.asarray(u * 10.0 ** -np.linspace(0, falls, k) @ v.T, jnp.float32)
    expected = optax.contrib._muon.orthogonalize_via_newton_schulz(matrix, jnp.asarray(optimizers.NEWTON_SCHULZ))
    exact = newton_schulz(matrix) if shape[0] <= shape[1] else newton_schulz(matrix.T).T
    for other in (expected, exact):
        np.testing.assert_allclose(optimizers.orthogonal(matrix), other, atol=2e-3 * np.abs(exact).max())
    np.testing.assert_array_equal(optimizers.orthogonal(0 * matrix), 0)


def test_what_no_gradient_reaches_does_not_move():
    images = np.random.default_rng(0).uniform(-1, 1, (6, 8, 8, 3)).astype(np.float32)
    before = Flax()
    after = learn(before, images, weight_decay=0.4).generator
    moved = jax.tree.map(lambda a, b: bool(jnp.any(a != b)), *(functional(g)[1] for g in (after, before)))
    assert not any(jax.tree.leaves([moved.pop("unused"), moved.pop("stopped")]))
    assert all(jax.tree.leaves(moved))


# What is given


def test_a_given_optimizer_is_used_exactly(tiny_faces):
    def init(params):
        return jnp.zeros((), jnp.int32)

    def update(gradients, count, params):
        return jax.tree.map(lambda g: jnp.full_like(g, 0.25) * (count + 1), gradients), count + 1

    before = tiny()
    options = dict(optimizer=optax.GradientTransformation(init, update), whitening=False)
    result = learn(before, tiny_faces, 3, **options)
    expected = jax.tree.map(lambda w: w + 1.5, functional(before)[1])
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), functional(result.generator)[1], expected)
    assert int(result.state.opt_state) == 3


@pytest.mark.parametrize(("batch_size", "rates"), [(None, [1, 0.75, 0.25]), (11, [1, 0.75, 0.25]), (6, [1, 1, 0.5])])
def test_the_rate_falls_from_the_start_where_all_images_are_seen_at_once(batch_size, rates):
    """The rate of the biases' AdamW, by what decay alone takes off one that no pixel seen depends on."""
    options = dict(num_warmup=3, weight_decay=1.0, learning_rate=0.1, batch_size=batch_size)
    images, biases = np.random.default_rng(0).uniform(-1, 1, (11, 8, 8, 3)).astype(np.float32), []
    mask = jnp.zeros(images.shape, bool).at[:, 0, 0].set(True)
    start = tiny()
    start.first.bias.set_value(jnp.ones(64))
    note = lambda done, snapshot: biases.append(float(snapshot().generator.first.bias[-1]))
    learn(start, images, 3, mask=mask, callback=note, **options)
    shares = 1 - np.divide(biases[1:4], biases[:3])
    np.testing.assert_allclose(shares, 0.1 * np.array(rates), rtol=1e-4)


def test_the_rule_given_as_an_optimizer_does_the_same(tiny_faces):
    optimizer, _ = chosen(tiny(), 4, 1e-3, 0.1)
    runs = [
        learn(tiny(), tiny_faces, **o) for o in (dict(learning_rate=1e-3, weight_decay=0.1), {"optimizer": optimizer})
    ]
    np.testing.assert_array_equal(runs[0].losses, runs[1].losses)


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        (dict(learning_rate=1e-3), ValueError, "either optimizer or learning_rate, not both"),
        (dict(weight_decay=0.0), ValueError, "either optimizer or weight_decay, not both"),
        (
            dict(learning_rate=1, weight_decay=0.4),
            ValueError,
            "either optimizer or learning_rate and weight_decay, not",
        ),
        (dict(optimizer="adam"), TypeError, "optimizer must be an optimizer of optax, .*, got 'adam'"),
        (dict(optimizer=optax.adamw), TypeError, "optimizer must be an optimizer of optax"),
        (dict(optimizer=optax.polyak_sgd()), ValueError, "optimizer must do with gradients, its state and W"),
        (dict(optimizer=optax.stateless(lambda u, p: {"w": 0.0})), ValueError, "updates of the shapes of W"),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_what_can_t_be_is_refused(tiny_faces, changes, kind, words):
    with pytest.raises(kind, match=words):
        learn(tiny(), tiny_faces, **(dict(optimizer=optax.sgd(1e-3)) | changes))


# Checkpoints and runs that go on


def test_a_checkpoint_knows_its_optimizer(tmp_path):
    learned_by = lambda *args, **options: learn(*small(), *args, checkpoint_dir=tmp_path, **options)
    first = learned_by(4, optimizer=optax.adam(1e-3))
    for other in ({}, *(dict(optimizer=o) for o in (optax.adam(2e-3), optax.sgd(1e-3), optax.adam(1e-3, b1=0.8)))):
        with pytest.raises(ValueError, match="belongs to another run: .*another optimizer, or at other rates"):
            learned_by(6, **other)
    longer = learned_by(6, optimizer=optax.adam(1e-3))
    np.testing.assert_array_equal(longer.losses[:4], first.losses)


def test_a_checkpoint_of_an_earlier_version_is_not_continued_by_muon(tmp_path, tiny_faces, monkeypatch):
    """They knew AdamW alone, and recorded no optimizer."""
    with monkeypatch.context() as patch:
        patch.setattr(optimizers, "as_matrices", lambda generator: None)
        learn(tiny(), tiny_faces, checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match="another optimizer, or at other rates"):
        learn(tiny(), tiny_faces, checkpoint_dir=tmp_path)


@pytest.mark.parametrize("optimizer", [None, optax.contrib.muon(1e-3), optax.lion(1e-3)], ids=["rule", "muon", "lion"])
def test_a_run_in_two_parts_ends_as_the_whole_one(tmp_path, tiny_faces, optimizer):
    schedule = dict(learning_rate=lambda t: 1e-3 / (1 + t)) if optimizer is None else dict(optimizer=optimizer)
    begun = (tiny(), tiny_faces) if optimizer is None else small()
    whole, half = (learn(*begun, n, **schedule) for n in (7, 4))
    resumed = learn(*begun, 7, resume=half, **schedule)
    for n in (4, 7):
        restored = learn(*begun, n, checkpoint_dir=tmp_path, **schedule)
    for other in (resumed, restored):
        np.testing.assert_array_equal(other.losses, whole.losses)
        jax.tree.map(np.testing.assert_array_equal, other.state.opt_state, whole.state.opt_state)


def test_resumed_with_another_optimizer_its_schedules_are_where_the_iterations_are(tiny_faces):
    begun = learn(tiny(), tiny_faces, 5, optimizer=optax.sgd(1e-2))
    result = learn(tiny(), tiny_faces, 7, resume=begun)
    np.testing.assert_array_equal(result.losses[:5], begun.losses)
    counts = {}
    for kind in (optax.ScaleByScheduleState, optax.ScaleByAdamState):
        nodes = jax.tree.leaves(result.state.opt_state, is_leaf=lambda node, kind=kind: isinstance(node, kind))
        counts[kind] = [int(node.count) for node in nodes if isinstance(node, kind)]
    assert counts == {optax.ScaleByScheduleState: [7, 7], optax.ScaleByAdamState: [2]}


# Where it runs

MODES = """
import jax, jax.numpy as jnp, numpy as np
from flax import nnx
import abp_jax as abp
from abp_jax.generators import functional, with_params

faces = abp.load_lion_tiger(size=8)
generator = abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(0))
runs = [abp.fit(generator, faces, 4, key=jax.random.key(0), num_warmup=1, progress=False, mesh=mesh)
        for mesh in (None, jax.make_mesh((4,), ("examples",)))]
np.testing.assert_allclose(runs[0].losses, runs[1].losses, rtol=1e-3)
jax.config.update("jax_enable_x64", True)
for dtype in (jnp.float32, jnp.float64):
    start = with_params(generator, jax.tree.map(lambda w: w.astype(dtype), functional(generator)[1]))
    mask = np.ones(faces.shape, bool)
    mask[:10] = False  # most batches show nothing: all their gradients are 0
    result = abp.fit(start, faces, 22, key=jax.random.key(0), mask=mask, num_warmup=1, batch_size=1, progress=False)
    assert all(w.dtype == dtype and bool(jnp.all(jnp.isfinite(w))) for w in jax.tree.leaves(result.state.params))
    assert 2 <= len(np.unique(result.losses)) <= 3  # what shows nothing repeats the last
"""


def test_in_64_bits_on_four_devices_and_with_gradients_of_zero():
    code = "import jax; jax.config.update('jax_num_cpu_devices', 4); jax.config.update('jax_platforms', 'cpu')\n"
    code += "jax.config.update('jax_debug_nans', True)\n" + MODES
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]

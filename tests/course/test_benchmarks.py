"""The benchmarks compare like with like, and their arithmetic and report are right."""

import json
import re

import jax
import numpy as np
import pytest
from flax import nnx

import abp_jax as abp
from abp_jax import learning, model
from abp_jax.generators import functional
from benchmarks import contestants, exercise, growing, machine, monitor, report, target, tasks_jax, watched_fit
from benchmarks.many_images import many_images
from benchmarks.rounds import Spread, alternate, arrival, ratios, spread
from benchmarks.workers import TaskFailed

TINY = contestants.Settings(width=4, size=16, rounds=2)


@pytest.fixture(scope="module")
def tiny():
    """The exercise's network, small, with biases that are not 0; and the faces."""
    generator, images = tasks_jax.build(width=4, size=16)
    for i, layer in enumerate([generator.conv0, generator.conv1]):
        layer.bias = nnx.Param(jax.random.normal(jax.random.key(i), layer.bias.shape))
    return generator, images


def gradients(generator, images, z):
    """The gradient of log p(y, z) in each z, and that of the learning step in W with its mean squared error."""
    f, params = functional(generator)
    in_z = jax.vmap(jax.grad(lambda z, y: model.log_joint(lambda z: f(params, z), z, y, 0.3)))(z, images)
    return in_z, *learning.learning_gradient(f, params, z, images, 0.3)


def flat(params):
    return {f"{layer}/{name}": np.asarray(a) for layer, arrays in params.items() for name, a in arrays.items()}


def assert_close(actual, desired):
    np.testing.assert_allclose(actual, desired, rtol=1e-4, atol=1e-5 * np.abs(desired).max())


def test_flax_twin_is_the_same_function(tiny):
    generator, images = tiny
    twin, z = tasks_jax.FlaxGenerator(generator), tasks_jax.initial_z(generator, images)
    assert_close(jax.vmap(twin)(z), jax.vmap(generator)(z))
    (in_z, in_w, loss), (twin_in_z, twin_in_w, twin_loss) = (gradients(g, images, z) for g in (generator, twin))
    assert_close(twin_in_z, in_z)
    assert_close(twin_loss, loss)
    assert_close(twin_in_w["conv0"]["kernel"], in_w["conv0"]["kernel"].transpose(1, 2, 0, 3))


@pytest.mark.parametrize("form", ["eager", "channels_last"])
def test_torch_twin_is_the_same_function(form, tiny, tmp_path):
    """Same weights: same image, same gradient in z, same step, same gradient in W and mean squared error."""
    torch = pytest.importorskip("torch")
    from benchmarks import twins_torch

    generator, images = tiny
    tasks_jax.export(generator, images, str(tmp_path / "weights.npz"))
    arrays = dict(np.load(tmp_path / "weights.npz"))
    learner = twins_torch.Learner(arrays, arrays.pop("images"), z := arrays.pop("z"), form)
    drawn = learner.net(learner.z).detach().numpy().transpose(0, 2, 3, 1)[:, ::-1, ::-1]
    assert_close(drawn, jax.vmap(generator)(z))

    in_z, in_w, loss = gradients(generator, images, z)
    leaf = learner.z.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(-twins_torch.negative_log_joint(learner.net, leaf, learner.images, 0.3), leaf)
    assert_close(gradient, in_z)
    torch.manual_seed(1)
    stepped = learner.step(learner.net, learner.z, learner.images, 0.3, learner.step_size)
    torch.manual_seed(1)
    assert_close(stepped, z + 0.003**2 / 2 * np.asarray(in_z) + 0.003 * torch.randn_like(learner.z).numpy())

    assert learner.learn().item() == pytest.approx(float(loss), rel=1e-4)
    expected = twins_torch.to_torch(flat(in_w))
    for name, parameter in learner.net.named_parameters():
        assert_close(-parameter.grad, expected[name].numpy())


def test_torch_twin_learns_the_mean_image(tiny, tmp_path):
    pytest.importorskip("torch")
    from benchmarks import tasks_torch, twins_torch

    generator, images = tiny
    tasks_jax.export(generator, images, str(tmp_path / "weights.npz"))
    arrays = dict(np.load(tmp_path / "weights.npz"))
    learner = twins_torch.Learner(arrays, arrays.pop("images"), arrays.pop("z"), "eager")
    seen = tasks_torch.train(learner, target=0.4, step_size=0.01, learning_rate=1e-2, num_steps=3)
    assert seen["reached"] and 5 <= seen["iterations"] < 600 and seen["seconds"] > 0
    assert tasks_torch.train(learner, limit=40, step_size=3.0, learning_rate=1e-2)["iterations"] < 40  # diverges


def test_nominal_work_of_the_exercise():
    assert exercise.nominal_flops(64, 64, 11) == pytest.approx(3.57e9, rel=2e-3)
    layers = [(4, 512, 256), (8, 256, 128), (16, 128, 64), (32, 64, 3)]
    assert exercise.nominal_flops(64, 64, 1) == sum(2 * 25 * side**2 * a * b for side, a, b in layers)


def test_rounds_take_turns_and_ratios_stay_within_a_round():
    order = []
    tasks = {name: lambda name=name: order.append(name) or float(len(order)) for name in "abc"}
    seconds = alternate(tasks, 3, fewer={"c": 1})
    assert "".join(order) == "abc" + "ba" + "ab"
    assert seconds == {"a": [1, 5, 6], "b": [2, 4, 7], "c": [3]}
    assert ratios(seconds["c"], seconds["a"]) == [3]
    assert spread([3.0, 1.0, 2.0]) == Spread(2, 1, 3)
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == Spread(3, 2, 4)


def test_watched_fit_is_fit_and_stops_when_told(tiny, key):
    generator, images = tiny
    settings = dict(key=key, num_warmup=3, learning_rate=1e-2)
    seen = watched_fit.watched_fit(generator, images, 30, **settings, enough=lambda losses: len(losses) >= 12)
    plain = abp.fit(generator, images, 30, **settings, progress=False)
    assert 12 <= len(seen.result.losses) < 30
    np.testing.assert_array_equal(seen.result.losses, plain.losses[: len(seen.result.losses)])
    assert seen.seconds > 0 and seen.compile_seconds > 0 and seen.iteration_seconds > 0


def test_compilation_is_taken_out_of_the_seconds():
    calls = [(5.1, 1), (0.1, 2), (0.1, 3), (7.4, 5), (0.2, 6), (0.4, 8)]  # warm-up of 3; two programs
    seconds, compilation, iteration = watched_fit.split([watched_fit.Call(*call) for call in calls], 3)
    assert (seconds, compilation, iteration) == pytest.approx((0.3 + 1.0, 5 + 7, 0.2))


def test_arrival_needs_the_median_of_five_too():
    assert arrival([1, 0.01, 0.02, 1, 0.02], 0.02) == 5
    assert arrival([0.02, 0.02, 0.02, 1, 1, 0.02, 0.01, 0.01, 1], 0.02) == 6
    assert arrival([0.02, 1, 1, 0.02, 1, 0.02, 1, 0.02, 0.02, 0.03], 0.02) == 8
    assert arrival([1, 1, 0.02, 1, 0.02, 0.03], 0.02) is None
    assert arrival([0.0], 0.02) is None
    assert arrival([0.0] * 9, None) is None


def test_many_images_are_different_and_reproducible():
    images = many_images(30, 16)
    assert images.shape == (30, 16, 16, 3) and images.dtype == np.uint8
    assert len({image.tobytes() for image in images}) == 30
    np.testing.assert_array_equal(images, many_images(30, 16))


def test_growing_measures_time_and_memory():
    row = growing.run(num_images=12, batch_size=6, size=16, width=4, latent_dim=2, iterations=4, product=64)
    assert row["iteration_seconds"] > 0 and row["product_seconds"] > 0
    assert row["memory"] >= row["memory_before"] > 1e7
    assert len(row["losses"]) == 4
    json.dumps(row)


def test_watching_is_measured_in_turn_with_not_watching():
    section = monitor.monitor(TINY, iterations=25)
    assert [len(seconds) for seconds in section.measured["seconds"].values()] == [TINY.rounds] * 2
    assert [row[0] for row in section.rows] == [monitor.WITHOUT, monitor.WITH]
    assert all(0 < d["seconds"] < d["training"] and d["pictures"] >= 3 for d in section.measured["drawn"])
    json.dumps(section.measured)


def test_page_holds_what_workers_measured(tmp_path, monkeypatch):
    """Real workers, small; without PyTorch, which the rows say. A run renews its own part only."""
    monkeypatch.setattr(machine, "has_torch", lambda: False)
    workers = contestants.Contestants(TINY, tmp_path)
    with pytest.raises(TaskFailed, match="KeyError"):
        workers.workers["ours"].ask("no such service")
    assert workers.workers["ours"].ask("describe")["platform"] == "cpu"
    for part in ("gpu", "cpu"):
        results = report.Results(part, tmp_path)
        results.describe({"processor": f"a {part}"})
        results.add("slider", exercise.slider(workers))
    for name, section in {"gradient": exercise.gradient, "iteration": exercise.iteration}.items():
        results.add(name, section(workers), "Others used 0%.")
    monkeypatch.setattr(target, "TARGET", 0.5)
    results.add("target", target.target(workers))
    workers.close()
    assert all(worker.process.returncode == 0 for worker in workers.workers.values())

    page = (tmp_path / "RESULTS.md").read_text("utf-8")
    assert page == report.page(tmp_path)
    assert page.index("a cpu") < page.index("One iteration") < page.index("One image") < page.index("a gpu")
    assert page.count("One image") == 2 and page.count(machine.TORCH_HINT) == 3 * 4 + 1
    assert re.search(r"\| ours, 30 plain Langevin steps \| [\d.]+ .?s \| 1 \|", page)
    (ours,) = report.Results("cpu", tmp_path).measured("target")["ours"]
    assert ours["reached"] and ours["loss"] <= 0.5 and 5 <= ours["iterations"] < 600
    seconds = report.Results("cpu", tmp_path).measured("iteration")
    assert {name: len(values) for name, values in seconds.items()} == {"default": 2, "ours": 2, "flax": 1}
    assert all(s > 0 for values in seconds.values() for s in values)


def test_description_names_no_machine():
    text = " ".join(machine.describe().values())
    assert abp.__version__ and "jax 0." in text and "GiB" in text
    assert machine.platform.node() not in text and "/" not in text.replace("GB/s", "")


def test_seconds_have_a_unit():
    assert [report.seconds_of(s) for s in (123.4, 1.234, 0.01234, 2e-6)] == ["123 s", "1.23 s", "12.3 ms", "2 µs"]

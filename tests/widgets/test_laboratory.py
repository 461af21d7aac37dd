"""The step-size laboratory: on linear models, where every number has a formula, and in a real browser."""

import io
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

import abp_jax as abp
from abp_jax import langevin, model, samplers
from abp_jax.widgets import laboratory
from abp_jax.widgets.laboratory import CHAINS, NUM_STEPS, StepSizeLaboratory, explanation
from abp_jax.widgets.laboratory import picture as laboratory_picture
from abp_jax.widgets.laboratory.chains import run_segment
from tests.widgets.browser import barriers, choose_chain, laboratory_page

SIGMA = 0.3
W = jnp.array([[1.4, 0.8, -0.3], [0.8, 0.5, 0.4]])  # as the kernel of a linear layer: z @ W
y = jnp.array([[-0.3, -0.4, -1.9], [0.9, 0.1, 0.2]])


def linear_generator():
    generator = abp.LinearGenerator(2, 3, rngs=nnx.Rngs(0))
    _, params = abp.generators.functional(generator)
    return abp.generators.with_params(generator, {"first": params["first"] | {"kernel": W}})


@pytest.fixture(scope="module")
def kept():
    """One laboratory, for tests that leave its widgets alone."""
    return StepSizeLaboratory(linear_generator(), y, sigma=SIGMA, key=jax.random.key(3))


@pytest.fixture
def lab():
    return StepSizeLaboratory(linear_generator(), y, sigma=SIGMA, key=jax.random.key(3), names=["one", "two"])


def shown(lab):
    return np.asarray(Image.open(io.BytesIO(lab.image.value)))


PRECISION = np.asarray(W @ W.T / SIGMA**2 + jnp.eye(2), np.float64)


def test_the_target_is_the_posterior_of_factor_analysis(kept):
    target = kept.target(1)
    mean = np.linalg.solve(PRECISION, np.asarray(W @ y[1]) / SIGMA**2)
    np.testing.assert_allclose(target.precision, PRECISION, rtol=1e-5)
    np.testing.assert_allclose(target.posterior.mean, mean, atol=1e-3)
    np.testing.assert_allclose(target.exact_variances, 1 / target.curvatures, rtol=1e-3)
    assert target.curvatures[0] < target.curvatures[1]
    np.testing.assert_allclose(
        laboratory.largest_step(CHAINS["unadjusted Langevin"], target), 2 / target.curvatures[1] ** 0.5
    )
    sd = np.linalg.inv(np.linalg.cholesky(PRECISION)).T[:, 0]  # a vector of length 1 in the metric of the precision
    np.testing.assert_allclose(target.distance(target.posterior.mean + 3 * sd[None]), [3], rtol=1e-4)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_law_on_the_gaussian(kept, share):
    target, chain = kept.target(0), CHAINS["unadjusted Langevin"]
    s = share * laboratory.largest_step(chain, target)
    A = np.eye(2) - s**2 / 2 * PRECISION
    covariance = s**2 * np.linalg.inv(np.eye(2) - A @ A)
    expected = np.diag(target.directions.T @ covariance @ target.directions) * target.curvatures
    np.testing.assert_allclose(laboratory.stationary_variances(chain, target, s), expected, rtol=1e-5)
    np.testing.assert_allclose(laboratory.multipliers(chain, target, s), 1 - s**2 * target.curvatures / 2)
    newton = CHAINS["Gauss-Newton Langevin"]
    np.testing.assert_allclose(laboratory.stationary_variances(newton, target, 2 * share), 1 / (1 - share**2))
    np.testing.assert_allclose(laboratory.stationary_variances(newton, target, 2.1), np.inf)
    assert np.isinf(laboratory.stationary_variances(chain, target, s / share * 1.01)[1])
    for name in ("random walk", "MALA", "Gauss-Newton MALA"):
        np.testing.assert_array_equal(laboratory.stationary_variances(CHAINS[name], target, 9.0), 1)


@pytest.mark.parametrize(("name", "share"), [(name, 0.75) for name in CHAINS])
def test_long_trails_have_the_variances_that_are_announced(kept, name, share):
    target, chain = kept.target(0), CHAINS[name]
    s = share * laboratory.largest_step(chain, target)
    run = kept.run(s, name, image=0, num_steps=20_000)
    assert run.trajectory.shape == (20_001, 2) and run.lost_after is None
    draws = laboratory.effective_draws(run.trajectory)
    announced = laboratory.stationary_variances(chain, target, s)
    measured = np.var(run.trajectory @ target.directions, axis=0) / target.exact_variances
    assert np.abs(measured / announced - 1).max() < 5 * np.sqrt(2 / draws) and draws > 400
    assert np.isnan(run.acceptance) if not chain.adjusted else 0.05 < run.acceptance < 1


def test_trails_are_the_chains_of_the_library(kept):
    """With the key of the laboratory folded by hand."""
    generate = lambda z: z @ W
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(3), 0), 0)
    start = jnp.asarray(kept.target(0).posterior.modes[0], jnp.float32)
    log_density = partial(model.log_joint, generate, y=y[0], sigma=SIGMA)
    residual = partial(model.residual, generate, y=y[0], sigma=SIGMA)
    plain = lambda key, z: langevin.langevin_step(key, z, log_density, 0.1)
    newton = lambda key, z: langevin.gauss_newton_step(key, z, residual, 0.1)
    kinds = {
        "random walk": samplers.random_walk(log_density),
        "MALA": samplers.mala(log_density),
        "Gauss-Newton MALA": samplers.gauss_newton_mala(residual, 2),
    }
    expected = {"unadjusted Langevin": plain, "Gauss-Newton Langevin": newton}
    expected = {name: langevin.sample(key, start, step, NUM_STEPS)[0] for name, step in expected.items()}
    for name, kind in kinds.items():
        expected[name] = samplers.run(key, kind, samplers.start(kind, start[None]), 0.1, NUM_STEPS).z[:, 0]
    for name in CHAINS:
        run = kept.run(0.1, name, image=0)
        np.testing.assert_array_equal(run.trajectory[0], start)
        np.testing.assert_allclose(run.trajectory[1:], expected[name], atol=1e-5)


def test_the_noise_stays_the_same(kept):
    a, b, again = (kept.run(s, "unadjusted Langevin", 0) for s in (0.1, 0.1001, 0.1))
    np.testing.assert_array_equal(a.trajectory, again.trajectory)
    assert 0 < np.abs(a.trajectory - b.trajectory).max() < 1e-3 < np.abs(a.trajectory - a.trajectory[0]).max()
    longer = kept.run(0.1, "unadjusted Langevin", 0, num_steps=NUM_STEPS + 1)
    assert len(longer.trajectory) == 2 * NUM_STEPS + 1
    np.testing.assert_array_equal(longer.trajectory[: NUM_STEPS + 1], a.trajectory)


@pytest.mark.parametrize("step_size", [0.35, 1.0, 1e3, 1e30])
def test_past_the_largest_stable_step(kept, step_size):
    """What is kept is finite, and the number of steps is that of a chain computed by hand."""
    run = kept.run(step_size, "unadjusted Langevin", 0)
    target = kept.target(0)
    assert np.isfinite(run.trajectory).all() and len(run.trajectory) - 1 in (run.lost_after, run.lost_after - 1)
    assert (target.distance(run.trajectory)[: run.lost_after] < laboratory.LOST).all()
    words = kept.explain(run, step_size, "unadjusted Langevin", 0)
    assert words.startswith("Past the largest stable step") and f"After {run.lost_after} steps" in words
    picture = kept.picture(run, step_size, "unadjusted Langevin", 0)
    assert picture.dtype == np.uint8 and "nan" not in explanation.table(CHAINS["unadjusted Langevin"], target, 1.0, run)


def test_gauss_newton_is_unstable_from_two_on(kept):
    words = [kept.explain(kept.run(s, "Gauss-Newton Langevin", 0), s, "Gauss-Newton Langevin", 0) for s in (1.9, 2.1)]
    assert "overshoots to the other side, but lands nearer" in words[0]
    assert "Past the largest stable step: in every direction" in words[1]


def test_chains_with_an_accept_step_are_never_lost(kept):
    for name in ("random walk", "MALA", "Gauss-Newton MALA"):
        run = kept.run(50.0, name, 0)
        assert run.lost_after is None and run.acceptance < 0.1
        assert "stands still" in kept.explain(run, 50.0, name, 0)


def test_the_picture_shows_the_trail_where_it_is(kept):
    target, side = kept.target(0), laboratory_picture.SIDE
    centre = laboratory_picture.TOP + side / 2, laboratory_picture.LEFT + side / 2
    place = target.posterior.mean + target.half_width * np.array([0.5, 0.25])
    run = laboratory.Run(np.stack([target.posterior.mean, place]), float("nan"), None)
    picture = kept.picture(run, 1e-3, "unadjusted Langevin", 0)
    row, column = (round(v) for v in (centre[0] - 0.25 * side / 2, centre[1] + 0.5 * side / 2))
    np.testing.assert_array_equal(picture[row, column], laboratory_picture.PATH)
    away = laboratory.Run(np.array([target.posterior.mean, target.posterior.mean + [1e12, 0]]), float("nan"), 1)
    frame = np.ones(picture.shape[:2], bool)
    top, left = laboratory_picture.TOP, laboratory_picture.LEFT
    frame[top : top + side, left : left + side] = False
    clipped = kept.picture(away, 1e-3, "unadjusted Langevin", 0)
    np.testing.assert_array_equal(clipped[frame], picture[frame])
    red = clipped[round(centre[0]), -laboratory_picture.RIGHT - 20].astype(int)
    assert red[0] > red[2] + 50  # up to the border


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_effective_draws(correlation):
    """An autoregression of correlation a is worth m (1 - a) / (1 + a) draws."""
    u = np.random.default_rng(0).normal(size=(20_000, 1))
    z = np.zeros_like(u)
    for t in range(1, len(u)):
        z[t] = correlation * z[t - 1] + u[t]
    draws = laboratory.effective_draws(z)
    assert abs(draws / (len(u) * (1 - correlation) / (1 + correlation)) - 1) < 0.15


def test_a_chain_that_stood_still_is_worth_little():
    assert laboratory.effective_draws(np.zeros((10, 2))) == 1
    assert laboratory.effective_draws(np.repeat([[0.0, 0.0], [1.0, 2.0]], [1, 49], axis=0)) <= 2


def test_moves_of_the_slider_redraw_without_compiling(lab):
    before = lab.image.value, lab.readout.value
    sizes = run_segment.program._cache_size()
    lab.slider.value *= 1.1
    assert lab.image.value != before[0] and lab.readout.value != before[1]
    lab.choice.value = 1
    assert run_segment.program._cache_size() == sizes
    s = lab.slider.value
    np.testing.assert_array_equal(shown(lab), lab.picture(lab.run(s), s))


def test_buttons(lab):
    first = lab.run(0.1).trajectory
    lab.more.click()
    assert lab.num_steps == 2 * NUM_STEPS and f"<td>steps</td><td>{2 * NUM_STEPS}</td>" in lab.readout.value
    lab.again.click()
    assert lab.num_steps == NUM_STEPS and np.abs(lab.run(0.1).trajectory - first).max() > 0.01


def test_another_chain_keeps_the_step_in_its_own_unit(lab):
    limit = laboratory.largest_step(CHAINS["unadjusted Langevin"], lab.target(0))
    lab.slider.value = 0.8 * limit
    lab.chain.value = "Gauss-Newton MALA"
    assert lab.slider.value == pytest.approx(1.6) and 10**lab.slider.max > 4
    lab.chain.value = "random walk"
    assert lab.slider.value == pytest.approx(0.8 * limit)
    assert "scale of the stiff direction" in lab.readout.value


def test_errors_are_shown_and_pass(lab):
    generator, lab.generator = lab.generator, None
    lab.slider.value *= 1.1
    assert re.match(r"<b>\w+:</b> ", lab.message.value)
    lab.generator = generator
    lab.slider.value *= 1.1
    assert lab.message.value.startswith("Stable")


def test_bad_arguments():
    generator = abp.LinearGenerator(3, 3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="latent vector of two numbers"):
        StepSizeLaboratory(generator, y, key=jax.random.key(0))


CELL = """
import jax, jax.numpy as jnp
from flax import nnx
import abp_jax as abp
from abp_jax import StepSizeLaboratory

generator = abp.LinearGenerator(2, 3, rngs=nnx.Rngs(0))
generator.first.kernel = nnx.Param(jnp.array([[1.4, 0.8, -0.3], [0.8, 0.5, 0.4]]))
y = jnp.array([[-0.3, -0.4, -1.9], [0.9, 0.1, 0.2]])
StepSizeLaboratory(generator, y, key=jax.random.key(3))
"""


def drag(page, distance):
    """Drags the slider, and waits until the picture has followed while the button is still down."""
    box = page.locator(".widget-slider .noUi-handle").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    source = page.locator("img.abp-laboratory").get_attribute("src")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + distance, y, steps=15)
    page.wait_for_function("src => document.querySelector('img.abp-laboratory').src != src", arg=source)
    page.mouse.up()


def test_dragged_past_stability_in_a_browser(chromium, tmp_path):
    with laboratory_page(tmp_path, [CELL], timeout=120) as page:
        message = page.locator(".abp-message")
        message.get_by_text("Stable").wait_for()
        page.get_by_role("slider", name="step size").wait_for()
        page.get_by_role("img", name="the trajectory over the exact posterior").wait_for()
        assert barriers(page, ".jp-OutputArea-output") == []
        drag(page, 200)
        message.get_by_text(re.compile(r"Past the largest stable step.* After \d+ steps")).wait_for()
        drag(page, -400)
        message.get_by_text("Small").wait_for()
        choose_chain(page, "MALA")
        message.get_by_text("smaller than they need to be").wait_for()
        drag(page, 400)
        message.get_by_text("stands still").wait_for()
        for text in ("Error", "Traceback", "nan"):
            assert text not in page.locator(".jp-OutputArea").first.inner_text()

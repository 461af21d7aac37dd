"""The numbers of the pages that need no kernel, as a real browser computes them, against the library."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from abp_jax import factor_analysis as fa
from abp_jax.compilation.precision import double_precision
from abp_jax.relatives import bits, divergences, gibbs, markov_chains, tables
from abp_jax.relatives.widgets import critics_view
from abp_jax.widgets.laboratory import chains
from tests.widgets.pages import wait_for_frame

NEAR = [(0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01)]  # in the mean of q, and in the log of its width


def test_step_size(show):
    page = show("step_size")
    kinds = {False: chains.CHAINS["unadjusted Langevin"], True: chains.CHAINS["Gauss-Newton Langevin"]}
    for s, kappa, preconditioned in (
        (0.05, 25, False),
        (0.73, 3.5, True),
        (1.5, 7, False),
        (1.98, 1, True),
        (2.3, 25, False),
    ):
        curvatures = np.array([1 / kappa, 1.0])
        target = chains.Target(None, None, None, curvatures, None, 2.0, None, 1.0)
        settled = chains.stationary_variances(kinds[preconditioned], target, s)[::-1]
        got = page.evaluate(f"page.checks.stationary({s}, {kappa}, {str(preconditioned).lower()}).map(String)")
        np.testing.assert_allclose(np.array([g.replace("Infinity", "inf") for g in got], float), settled, rtol=1e-10)
        # The law after k steps in the plane itself, by the recursion of mean and covariance.
        metric = np.diag(1 / curvatures if preconditioned else [1.0, 1.0])
        mean, covariance = 2.5 / np.sqrt(curvatures), np.zeros((2, 2))
        A = np.eye(2) - s**2 / 2 * metric @ np.diag(curvatures)
        for _ in range(30):
            mean, covariance = A @ mean, A @ covariance @ A.T + s**2 * metric
        law = page.evaluate(f"page.law({s}, {kappa}, {str(preconditioned).lower()}, 30)")
        np.testing.assert_allclose(law["mean"][::-1], mean * np.sqrt(curvatures), rtol=1e-9)
        np.testing.assert_allclose(law["variance"][::-1], np.diag(covariance) * curvatures, rtol=1e-9)
        x = np.array(page.evaluate(f"page.chains({s}, {kappa}, {str(preconditioned).lower()}, 30).map(x => [...x])"))
        error = np.sqrt(np.array(law["variance"]) / x.shape[1])
        assert x.shape == (2, 1000) and np.all(np.abs(x.mean(axis=1) - law["mean"]) < 4 * error)
        np.testing.assert_allclose(x.var(axis=1), law["variance"], rtol=4 * np.sqrt(2 / 1000))
    page.evaluate("page.set.s(1.99)")
    page.locator("#s input").press("ArrowRight")
    page.locator("#s input").press("ArrowRight")
    wait_for_frame(page)
    assert "s = 2.01 is beyond the limit 2" in page.locator("#says").inner_text()
    page.evaluate("page.set.k(0), page.set.s(0.5)")
    page.get_by_role("button", name="Run").click()
    page.wait_for_function("page.state.k > 2")
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Back to the start").click()
    assert page.evaluate("page.state.k") == 0


def test_expectation_maximisation(show):
    """Sampled data of three dimensions, turned and shifted, whose variance along W is v: the paths of the library."""
    page = show("expectation_maximisation")
    steps = [jax.jit(partial(step, learn_sigma=False)) for step in (fa.em_step, fa.px_em_step)]
    log_p = jax.jit(lambda model, y: fa.log_marginal_likelihood(model, y).mean())
    move = lambda step, c, model, y: jnp.linalg.norm(step(model._replace(loading=c * model.loading), y).loading)
    slopes = [jax.jit(jax.jacfwd(partial(move, step))) for step in steps]
    for v, start, sigma in ((1.5, 0.02, 0.3), (1000.0, 30.0, 2.0)):
        noise = np.random.default_rng(0).normal(size=(9, 3))
        U, _, V = np.linalg.svd(noise - noise.mean(axis=0), full_matrices=False)
        y = 3.0 * sigma * U @ (np.sqrt([[v], [0.5], [0.2]]) * V) + 7.0
        best = fa.FactorAnalysis(sigma * np.sqrt(v - 1) * V[:1].T, np.full(3, 7.0), np.array(sigma))
        models, lengths, nats = [best._replace(loading=start * best.loading)] * 2, [], []
        with double_precision():
            for _ in range(5):
                lengths.append([np.linalg.norm(model.loading) / sigma for model in models])
                nats.append([log_p(best, y) - log_p(model, y) for model in models])
                models = [step(model, y) for step, model in zip(steps, models, strict=True)]
            rates = [slope(1.0, best, y) / np.linalg.norm(best.loading) for slope in slopes]
        got = page.evaluate(f"page.checks.steps({start}, {v}, 4)")
        np.testing.assert_allclose(got, np.transpose(lengths), rtol=1e-8)
        below = page.evaluate("([w, v]) => w.map(one => one.map(w => page.below(w, v)))", [got, v])
        np.testing.assert_allclose(below, np.transpose(nats), rtol=1e-6, atol=1e-10)
        np.testing.assert_allclose(page.evaluate(f"page.checks.rates({v})"), rates, rtol=1e-8, atol=1e-12)
    page.evaluate("page.set.v(1000), page.set.start(0.02)")
    wait_for_frame(page)
    assert page.locator("#numbers tbody").inner_text().startswith("EM\t0.99800\t")


@pytest.mark.parametrize("strength", [0.0, 0.37, 1.2])
def test_gibbs_chain(show, strength):
    """The law, the memory and the waiting time of each chain by the library's matrices; then the chain itself."""
    page, bob = show("gibbs_chain"), np.asarray(bits.states(4), float)[:, 1]
    with double_precision():
        ties = [factor._replace(values=factor.values**strength) for factor in tables.misconception()]
        p = np.asarray(tables.joint(ties, "ABCD").values, float).ravel()
        T = {"random": gibbs.random_scan(np.log(p)), "sweep": gibbs.sweep(np.log(p))}
        T["blocks"] = gibbs.sweep(np.log(p), [(0, 2), (1, 3)])
    np.testing.assert_allclose(page.evaluate(f"page.checks.distribution({strength})"), p, rtol=1e-10)
    for scan, matrix in T.items():
        call = lambda name, *rest, scan=scan: page.evaluate(
            f"page.checks.{name}(...{json.dumps([strength, scan, *rest])})"
        )
        np.testing.assert_allclose(call("matrix"), np.ravel(matrix), atol=1e-12)
        assert abs(call("secondEigenvalue") - markov_chains.second_eigenvalue(matrix)) < 1e-8
        f = bob - p @ bob
        after, rho = f, []
        for _ in range(4000):
            rho.append(p * f @ after / (p @ f**2))
            after = np.asarray(matrix) @ after
        np.testing.assert_allclose(call("autocorrelation", 1, 50), rho[:51], atol=1e-10)
        tau = 2 * sum(rho) - 1
        np.testing.assert_allclose(call("autocorrelationTime", 1), tau, rtol=1e-6)
        path = np.array(page.evaluate(f"page.visits({strength}, '{scan}', 10000)"))
        error = np.sqrt(tau * (p @ bob) * (1 - p @ bob) / len(path))
        assert path[0] == 0b1001 and abs(bob[path].mean() - p @ bob) < 4 * error
        if scan == "random":
            changed = [bin(a ^ b).count("1") for a, b in zip(path, path[1:], strict=False)]
            assert set(changed) == {0, 1}  # one bit at a time, and at times none
    page.evaluate(f"page.set.strength({strength}), page.set.k(0)")
    page.get_by_role("button", name="Run").click()
    page.wait_for_function("page.state.k > 100")
    page.get_by_role("button", name="Pause").click()


def test_divergences(show):
    """Both divergences against the library's sums over a grid, and the best q against its neighbours."""
    page, (x, cell) = show("divergences"), divergences.grid(-60, 60, 24_000, dim=1)
    x = np.asarray(x[:, 0], float)
    kl = jax.jit(lambda a, b: jnp.stack([divergences.kl(a, b, cell), divergences.kl(b, a, cell)]))
    for apart, share, mean, width in ((0, 0.5, 0, 0.7), (3.3, 0.3, -6, 0.2), (8, 0.9, 6, 5), (5.5, 0.12, -2.5, 0.9)):
        log_p = np.logaddexp(
            np.log(share) + norm.logpdf(x, -apart / 2, 0.7), np.log(1 - share) + norm.logpdf(x, apart / 2, 0.7)
        )
        with double_precision():
            of = lambda q, log_p=log_p: np.asarray(kl(log_p, norm.logpdf(x, *q)))
            exact = of((mean, width))
            got = page.evaluate(f"['forward', 'reverse'].map(n => page.checks[n]({apart}, {share}, {mean}, {width}))")
            np.testing.assert_allclose(got, exact, rtol=1e-7, atol=1e-9)
            both = [f"page.checks.bestForward({apart}, {share})", f"page.bestReverse({apart}, {share})"]
            for which, call in enumerate(both):
                best = page.evaluate(call)
                around = [of((best[0] + dm, best[1] * np.exp(ds)))[which] for dm, ds in NEAR]
                starts = [of(q)[which] for q in ((-apart / 2, 0.7), (apart / 2, 0.7), (0, 2.0))]
                assert of(best)[which] < min(around) and of(best)[which] <= min(starts) + 1e-9
    page.evaluate("page.set.apart(6), page.set.share(0.5), page.set.hold('reverse')")
    wait_for_frame(page)
    assert "picks one" in page.locator("#says").inner_text()
    page.locator("#mean input").press("ArrowRight")
    assert page.evaluate("page.state.hold") == "hand"


def test_critics_view(show):
    """The critic, its worth and the slopes as the library has them; and the mean push is where the mean is sent."""
    page = show("critics_view")
    for data, mean, width in (("one", -6, 0.3), ("two", 1.3, 0.7), ("one", 4.2, 0.8), ("two", 6, 3)):
        view, place = (
            critics_view.view(mean, width, f"{data} Gaussian{'s' * (data == 'two')}"),
            f"'{data}', {mean}, {width}",
        )
        values = [view.value, view.jsd, view.kl, view.reverse_kl]
        np.testing.assert_allclose(page.evaluate(f"page.checks.values({place})"), values, rtol=1e-8, atol=1e-12)
        slopes = list(view.slopes.values())
        np.testing.assert_allclose(page.evaluate(f"page.checks.slopes({place})"), slopes, rtol=1e-8, atol=1e-10)
        y = view.y[2000:4001:50]
        critic = page.evaluate(f"y => y.map(y => page.checks.critic({place}, y))", y.tolist())
        np.testing.assert_allclose(critic, view.critic[2000:4001:50], rtol=1e-8, atol=1e-14)
        if width > 0.5:  # of a mean far out the push is so rare and large that no grid of draws shows it
            u = np.linspace(-16, 16, 3201)
            y = (mean + width * u).tolist()
            pushes = np.array(page.evaluate(f"y => y.map(y => page.pushes({place}, y))", y), float)
            sent = (u[1] - u[0]) * norm.pdf(u) @ pushes
            np.testing.assert_allclose(sent, -np.array(slopes)[:, 0], rtol=1e-6)
    page.evaluate("page.set.density('two'), page.set.width(0.6)")
    for mean in (1.5, 2.5):  # what the page says of two humps
        minimax, saturating, likelihood = np.array(page.evaluate(f"page.checks.slopes('two', {mean}, 0.6)"))[:, 0]
        assert np.sign([-minimax, -saturating, -likelihood]).tolist() == [np.sign(2 - mean)] * 2 + [-1]

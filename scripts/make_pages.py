"""Writes the interactive pages of docs/ from their sources in docs/pages_src: one file each, which needs nothing else.

A page has a body (NAME.html), what it computes and draws (NAME.js), and what all of them share: shell.html, shell.css,
shell.js and plot.js. Into each go numbers that the library computes here; the page computes them again when it opens,
and says how far it is from them.
"""

import json
import re
from functools import partial
from pathlib import Path
from string import Template

import jax
import numpy as np

from abp_jax import factor_analysis as fa
from abp_jax.compilation.precision import double_precision
from abp_jax.relatives import divergences, gibbs, markov_chains, tables
from abp_jax.relatives.widgets import critics_view
from abp_jax.widgets.laboratory import chains

DOCS = Path(__file__).parent.parent / "docs"
SOURCES = DOCS / "pages_src"
DIGITS = 12  # of the numbers in a page


def step_size():
    """Where Langevin chains on a Gaussian settle, along its stiff and its soft direction."""
    kinds = {False: chains.CHAINS["unadjusted Langevin"], True: chains.CHAINS["Gauss-Newton Langevin"]}
    checks = []
    for preconditioned, kind in kinds.items():
        for s in (0.05, 0.5, 1.0, 1.9, 1.99):
            for kappa in (1.0, 9.0, 25.0):
                target = chains.Target(None, None, None, np.array([1 / kappa, 1.0]), None, 2.0, None, 1.0)
                for name, function in (
                    ("stationary", chains.stationary_variances),
                    ("multipliers", chains.multipliers),
                ):
                    values = function(kind, target, s)[::-1]  # the stiff direction first
                    checks.append((name, (s, kappa, preconditioned), values))
    return {"checks": checks}


def expectation_maximisation():
    """Paths of EM and of parameter-expanded EM on two examples whose variance along W is v, with sigma = 1."""
    checks, steps = [], [jax.jit(partial(step, learn_sigma=False)) for step in (fa.em_step, fa.px_em_step)]
    log_p = jax.jit(lambda model, y: fa.log_marginal_likelihood(model, y).mean())
    for v in (1.5, 30.0, 1000.0):
        y = np.array([[1.0, 0.0], [-1.0, 0.0]]) * v**0.5
        for start in (0.02, 1.0, 30.0):
            paths = []
            for step in steps:
                path = [fa.FactorAnalysis(np.array([[start * (v - 1) ** 0.5], [0.0]]), np.zeros(2), np.array(1.0))]
                for _ in range(12):
                    path.append(step(path[-1], y))
                paths.append(path)
            lengths = [[np.linalg.norm(model.loading) for model in path] for path in paths]
            across = -0.5 * np.log(2 * np.pi)  # the second number of y, which is noise of size 0
            nats = [[float(log_p(model, y)) - across for model in path] for path in paths]
            checks += [("steps", (start, v, 12), np.array(lengths)), ("logLikelihood", (start, v, 12), np.array(nats))]
    return {"checks": checks}


def gibbs_chain():
    """The four students of notebook 17: p, and the matrices of three chains with their second eigenvalues."""
    factors = tables.misconception()
    checks = []
    for strength in (0.0, 1.0):
        ties = [factor._replace(values=factor.values**strength) for factor in factors]
        p = np.asarray(tables.joint(ties, "ABCD").values).ravel()
        checks.append(("distribution", (strength,), p))
        scans = {"random": gibbs.random_scan(np.log(p)), "sweep": gibbs.sweep(np.log(p))}
        scans["blocks"] = gibbs.sweep(np.log(p), [(0, 2), (1, 3)])
        for scan, T in scans.items():
            checks.append(("secondEigenvalue", (strength, scan), markov_chains.second_eigenvalue(T)))
            checks += [("matrix", (strength, scan), np.asarray(T).ravel())] * (strength == 1)
    pairs = [(["ABCD".index(name) for name in names], np.asarray(values)) for names, values in factors]
    return {"factors": pairs, "checks": checks}


def two_humps():
    """Both divergences of a Gaussian from a density with two humps, as sums over a grid."""
    x = np.linspace(-60, 60, 12_001)
    log_normal = lambda mean, width: -0.5 * ((x - mean) / width) ** 2 - np.log(width) - 0.5 * np.log(2 * np.pi)
    checks = []
    for apart, share in ((0.0, 0.5), (4.0, 0.5), (8.0, 0.9)):
        humps = np.log(share) + log_normal(-apart / 2, 0.7), np.log(1 - share) + log_normal(apart / 2, 0.7)
        log_p = np.logaddexp(*humps)
        for mean, width in ((0.6, 1.2), (-6.0, 5.0), (6.0, 0.2)):
            log_q, place = log_normal(mean, width), (apart, share, mean, width)
            checks.append(("forward", place, divergences.kl(log_p, log_q, 0.01)))
            checks.append(("reverse", place, divergences.kl(log_q, log_p, 0.01)))
    return {"checks": checks}


def critic():
    """The best critic of one and of two humps, what it is worth, and the slopes of the three losses."""
    checks = []
    for short, data in (("one", "one Gaussian"), ("two", "two Gaussians")):
        for mean, width in ((-6.0, 0.3), (0.5, 1.0), (4.0, 0.8), (6.0, 3.0)):
            view, place = critics_view.view(mean, width, data), (short, mean, width)
            checks.append(("values", place, np.array([view.value, view.jsd, view.kl, view.reverse_kl])))
            checks.append(("slopes", place, np.array(list(view.slopes.values()))))
            checks += [("critic", (*place, view.y[i]), view.critic[i]) for i in (2600, 3000, 3150, 3600)]
    return {"checks": checks}


PAGES = {
    "step_size": step_size,
    "expectation_maximisation": expectation_maximisation,
    "gibbs_chain": gibbs_chain,
    "divergences": two_humps,
    "critics_view": critic,
}


def page(name: str) -> str:
    """Returns the whole text of a page."""
    body = _source(f"{name}.html")
    with double_precision():
        numbers = PAGES[name]()
    return Template(_source("shell.html")).substitute(
        title=re.sub("<.*?>", "", re.search("<h1>(.*)</h1>", body)[1]),
        style=_source("shell.css"),
        body=body.rstrip(),
        data=json.dumps(numbers, default=_plain).replace("<", "\\u003c"),
        shell=_source("shell.js") + _source("plot.js"),
        script="".join(map(_source, _scripts(name))).rstrip(),
    )


def _scripts(name: str):
    """What a page computes, and what it draws, if that is a file of its own."""
    return [f"{name}{part}.js" for part in ("", "_view") if (SOURCES / f"{name}{part}.js").exists()]


def _plain(array: np.ndarray):
    """A list of numbers with DIGITS digits, which differ less from one processor to the next than all of them do."""
    return np.vectorize(lambda x: float(f"{x:.{DIGITS}g}"))(np.asarray(array, np.float64)).tolist()


def _source(name: str):
    return (SOURCES / name).read_text("utf-8")


def main():
    for name in PAGES:
        path = DOCS / f"{name}.html"
        path.write_text(page(name), "utf-8")
        print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()

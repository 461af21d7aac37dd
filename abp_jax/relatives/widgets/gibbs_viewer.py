"""The Gibbs viewer: many chains on a few bits after k steps, beside their exact distribution mu T^k and the limit pi.

The chains are run bit by bit, as `gibbs.sample` does; mu T^k comes from the transition matrix. Neither knows the other.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import ipywidgets
import jax
import jax.numpy as jnp
import numpy as np

from abp_jax.images import arguments
from abp_jax.relatives import bits, gibbs, tables
from abp_jax.relatives.widgets import gibbs_picture
from abp_jax.widgets.encoding import encoded, guarded
from abp_jax.widgets.names import Names

NUM_STEPS = 100
LARGEST = 5  # bits: 32 states have room in the picture
SCANS = {"random scan": (gibbs.sample_random_scan, gibbs.random_scan), "sweep": (gibbs.sample, gibbs.sweep)}


class Run(NamedTuple):
    """Chains from one state, and what is known of them; after 0, 1, ... NUM_STEPS steps.

    Attributes:
      chains: share of the chains in each state, (NUM_STEPS + 1, states), in the order of `bits.states`.
      exact: mu T^k, (NUM_STEPS + 1, states).
      distances: the total-variation distance of `exact` from pi, sum |mu T^k - pi| / 2, (NUM_STEPS + 1,).
      asymptote: the part of it that decays slowest, c |lambda_2|^k, (NUM_STEPS + 1,).
      eigenvalue: |lambda_2|.
    """

    chains: np.ndarray
    exact: np.ndarray
    distances: np.ndarray
    asymptote: np.ndarray
    eigenvalue: float


class GibbsViewer(ipywidgets.VBox):
    """Shows where many Gibbs chains are after k steps, with a slider for k.

    A step of the random scan redraws one bit, a step of the sweep each bit once. The first choice of either costs its
    compilation. Errors are shown under the picture.

    Args:
      factors: of a network of 2 to 5 variables with two values each, all positive; by default the misconception.
      num_chains: how many are run.
      key: for their draws.
      order: the states as they stand in the picture, such as ("00", "01", "11", "10"); by default in binary order.
      start: the state where all chains begin; by default one of those from which random scan takes longest.

    Attributes:
      slider: the IntSlider of k, 0 to NUM_STEPS.
      scan: ToggleButtons, a name in SCANS.
      start: Dropdown of the state where all chains begin.
      again: Button: other draws.
      image: the ipywidgets.Image.
      message: HTML, the values in words.
      pi: the stationary distribution, (states,).

    Raises:
      TypeError, ValueError: an argument is not what it should be.
    """

    def __init__(
        self,
        factors: Sequence[tables.Table] | None = None,
        *,
        num_chains: int = 2000,
        key: jax.Array,
        order: Sequence[str] | None = None,
        start: str | None = None,
    ):
        joint = _joint(tables.misconception() if factors is None else factors)
        self.variables, self.num_chains = joint.variables, arguments.whole("num_chains", num_chains, of="chains")
        self.key, self._draws, self._runs = arguments.key(key), 0, {}
        self._log_p = jnp.log(joint.values.ravel())
        self._matrices = {scan: _transitions(matrix(self._log_p)) for scan, (_, matrix) in SCANS.items()}
        self.pi = _stationary(self._matrices["random scan"])
        self.names = _names(len(self.variables))
        self._order = _order(order, self.names)
        slow = np.abs(np.linalg.matrix_power(self._matrices["random scan"], NUM_STEPS) - self.pi).sum(axis=1)
        start = self.names[int(slow.argmax())] if start is None else _known(start, self.names)

        narrow = {"description_width": "initial"}
        self.scan = ipywidgets.ToggleButtons(options=list(SCANS), style={"button_width": "100px"})
        options = [self.names[i] for i in self._order]
        self.start = ipywidgets.Dropdown(
            options=options, value=start, description="start", style=narrow, layout={"width": "130px"}
        )
        self.slider = ipywidgets.IntSlider(
            0, 0, NUM_STEPS, description="steps k", style=narrow, layout={"width": "420px"}
        )
        self.again = ipywidgets.Button(description="other draws", icon="refresh", layout={"width": "130px"})
        self.image = ipywidgets.Image(format="png", layout={"max_width": "100%"}, **gibbs_picture.SIZE)
        self.message = ipywidgets.HTML()
        self._draw()
        redraw = guarded(self.message, self._draw)
        for control in (self.slider, self.scan, self.start):
            control.observe(redraw, names="value")
        self.again.on_click(guarded(self.message, self._other_draws))
        names = Names(picture="the shares of the chains in each state after k steps, and the exact ones")
        rows = [ipywidgets.HBox([self.scan, self.start, self.again]), self.slider, self.image, self.message, names]
        super().__init__(rows)

    def run(self, scan: str | None = None, start: str | None = None) -> Run:
        """Returns the chains of one kind from one state; the widget does not change.

        scan: a name in SCANS; start: a state, such as "0110"; both by default as chosen.

        Raises ValueError for any other.
        """
        scan = self.scan.value if scan is None else scan
        start = _known(self.start.value if start is None else start, self.names)
        if scan not in SCANS:
            raise ValueError(f"scan must be one of {list(SCANS)}, got {scan!r}.")
        if (scan, start) not in self._runs:
            a = self.names.index(start)
            key = jax.random.fold_in(self.key, self._draws)
            chains = _shares(self._log_p, jax.random.split(key, self.num_chains), a, scan)
            mu = np.eye(len(self.pi))[a]
            self._runs[scan, start] = _against(self._matrices[scan], mu, np.vstack([mu, chains]))
        return self._runs[scan, start]

    def picture(self, k: int | None = None, scan: str | None = None, start: str | None = None) -> np.ndarray:
        """Returns what the widget shows after k steps, by default as chosen: (height, width, 3), uint8.

        Raises TypeError, ValueError where k is not 0 to NUM_STEPS; otherwise as `run`.
        """
        k = self.slider.value if k is None else arguments.whole("k", k, least=0, most=NUM_STEPS, of="steps")
        run, i = self.run(scan, start), self._order
        names = [self.names[a] for a in i]
        return gibbs_picture.draw(names, run.chains[:, i], run.exact[:, i], self.pi[i], run.distances, run.asymptote, k)

    def _draw(self):
        k, run = self.slider.value, self.run()
        self.image.value = encoded(self.picture(), compress_level=1)
        of_chains = np.abs(run.chains[k] - self.pi).sum() / 2
        redraws = k if self.scan.value == "random scan" else k * len(self.variables)
        self.message.value = (
            f"{self.num_chains:,} chains, {redraws} bits redrawn in each. Distance from &pi;: &mu;T<sup>k</sup> "
            f"{run.distances[k]:.2g}, the chains' shares {of_chains:.2g}. |&lambda;<sub>2</sub>| = "
            f"{run.eigenvalue:.4f}, |&lambda;<sub>2</sub>|<sup>k</sup> = {run.eigenvalue**k:.2g}."
        )

    def _other_draws(self):
        self._draws, self._runs = self._draws + 1, {}
        self._draw()


@partial(jax.jit, static_argnames="scan")
def _shares(log_p: jax.Array, keys: jax.Array, start: int, scan: str):
    """The share of chains in each state after 1, 2, ... steps, (NUM_STEPS, states); a chain for each key."""
    sample, _ = SCANS[scan]
    x = bits.state(start, log_p.size.bit_length() - 1)
    states = jax.vmap(lambda key: bits.index(sample(key, lambda x: log_p[bits.index(x)], x, NUM_STEPS)))(keys)
    counts = jax.vmap(partial(jnp.bincount, length=log_p.size), in_axes=1)(states)
    return counts / len(keys)


def _against(T: np.ndarray, mu: np.ndarray, chains: np.ndarray):
    """The Run of a chain with matrix T that starts from mu."""
    exact = [mu]
    for _ in range(NUM_STEPS):
        exact.append(exact[-1] @ T)
    exact, pi = np.stack(exact), _stationary(T)  # T's own, equal but for single precision
    values, right = np.linalg.eig(T)
    second = np.argsort(-np.abs(values))[1]
    values_left, left = np.linalg.eig(T.T)
    r, l_ = right[:, second], left[:, np.abs(values_left - values[second]).argmin()]
    part = np.abs(mu @ r / (l_ @ r)) * np.abs(l_).sum() / 2  # of mu - pi, along the second left eigenvector
    size = float(np.abs(values[second]))
    return Run(chains, exact, np.abs(exact - pi).sum(axis=1) / 2, part * size ** np.arange(NUM_STEPS + 1), size)


def _joint(factors: Sequence[tables.Table]):
    """The joint table, once it is one that the viewer can show."""
    joint = tables.joint(factors)
    shape = joint.values.shape
    if not 2 <= len(shape) <= LARGEST or set(shape) != {2}:
        raise ValueError(f"factors must be of 2 to {LARGEST} variables with two values each, got {shape} values.")
    if not bool(jnp.all(joint.values > 0)):
        raise ValueError("factors must be positive: beside a state of probability 0 a chain may be unable to move.")
    return joint


def _transitions(T: jax.Array):
    """T in float64, each row with the sum 1 to its last digit, so that distances may get small."""
    T = np.asarray(T, np.float64)
    return T / T.sum(axis=1, keepdims=True)


def _stationary(T: np.ndarray):
    """As `markov_chains.stationary`, in float64 whatever jax computes in."""
    equations = np.vstack([T.T - np.eye(len(T)), np.ones(len(T))])
    return np.linalg.lstsq(equations, np.eye(len(T) + 1)[-1], rcond=None)[0]


def _names(n: int):
    return [f"{a:0{n}b}" for a in range(2**n)]


def _known(start: str, names: Sequence[str]):
    if start not in names:
        raise ValueError(f"start must be one of {names[0]} ... {names[-1]}, got {start!r}.")
    return start


def _order(order: Sequence[str] | None, names: Sequence[str]):
    """Indices of the states, in the order shown."""
    order = names if order is None else list(order)
    if sorted(order) != sorted(names):
        raise ValueError(
            f"order must hold each of the {len(names)} states {names[0]} ... {names[-1]} once, got {order}."
        )
    return [names.index(name) for name in order]

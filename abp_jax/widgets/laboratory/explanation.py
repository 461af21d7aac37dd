"""What the step-size laboratory says of a trajectory: an explanation in words, and a table of its values."""

import numpy as np

from abp_jax.samplers import Kind
from abp_jax.widgets.laboratory.chains import (
    Run,
    Target,
    effective_draws,
    largest_step,
    multipliers,
    stationary_variances,
)


def explanation(chain: Kind, target: Target, step_size: float, run: Run) -> str:
    """Returns one or two sentences on what a step size does to a chain on this target, as this run shows it."""
    if chain.adjusted:
        return _on_acceptance(chain, run.acceptance)
    soft, stiff = multipliers(chain, target, step_size)
    if step_size >= largest_step(chain, target):
        where = "in every direction" if chain.stable_below else "along the stiff direction"
        text = (
            f"Past the largest stable step: {where} each step on the Gaussian at the mode multiplies the distance "
            f"from it by {stiff:.2f}. It overshoots, and lands further out on the other side, every time. There is no "
            "stationary distribution to settle at."
        )
        if run.lost_after is None:
            text += (
                " But the posterior is not that Gaussian: this chain came no farther than "
                f"{target.distance(run.trajectory).max():.0f} standard deviations from the mean."
            )
        return text
    settles = stationary_variances(chain, target, step_size)[1]
    distance = target.distance(run.trajectory).max()
    if distance > 6 * np.sqrt(settles):
        return (
            "On the Gaussian at the mode this step would be stable. But the posterior is not quite a Gaussian: the "
            f"chain came to places of larger curvature, where the step is too large, and got {distance:.0f} standard "
            "deviations away."
        )
    half_life = np.log(0.5) / np.log(np.clip(abs(soft), 1e-9, 1 - 1e-9))
    if half_life > len(run.trajectory) / 2:
        return (
            f"Small: half of the distance along the soft direction is forgotten only after {half_life:.0f} steps. The "
            f"chain creeps, and {len(run.trajectory) - 1} steps have seen a small patch of the posterior."
        )
    way = "overshoots to the other side, but lands nearer than it was" if stiff < 0 else "moves towards the mode"
    return (
        f"Stable: along the stiff direction a step {way} ({stiff:.2f} times the distance). In the long run the "
        f"variance there is {settles:.2f} times the exact one: the price of having no Metropolis correction."
    )


def _on_acceptance(chain: Kind, acceptance: float):
    share = f"{acceptance:.2f} of the proposals are accepted"
    if acceptance < 0.1:
        return (
            f"{share}: nearly all end far out and are refused, so that the chain stands still. Its stationary "
            "distribution is exact all the same, but nobody can wait for it."
        )
    if acceptance < 0.3:
        return (
            f"{share}: most end too far out. The stationary distribution of the chain is exact, but it stands still "
            "for many steps."
        )
    if acceptance > (0.95 if chain.gradient else 0.75):
        return (
            f"{share}: the steps are smaller than they need to be, and the chain creeps. Its stationary "
            "distribution is exact all the same."
        )
    return (
        f"{share}. The Metropolis correction makes the posterior the stationary distribution of this chain; the step "
        "size decides how soon it gets there."
    )


def table(chain: Kind, target: Target, step_size: float, run: Run) -> str:
    """Returns the values of a run, as tables of HTML."""
    limit = largest_step(chain, target)
    places = run.trajectory[1:]
    lost = run.lost_after is not None
    variances = ["left"] * 2
    if not lost:
        variances = _texts(np.var(places @ target.directions, axis=0) / target.exact_variances, ".2f")
    name = "scale of the stiff direction" if not chain.gradient else "largest stable step"
    accepted = f"{run.acceptance:.2f}" if chain.adjusted else "no Metropolis correction"
    lines = [
        ("step size", f"{step_size:.3g}"),
        (name, f"{limit:.3g}"),
        ("step size / that", f"{step_size / limit:.2f}"),
        ("accepted", accepted),
        ("steps", f"{len(places)}"),
        ("effective sample size", "none" if lost else f"{effective_draws(places):.1f}"),
    ]
    directions = [
        ("exact standard deviation", _texts(np.sqrt(target.exact_variances), ".3g")),
        ("drift multiplies by", _texts(multipliers(chain, target, step_size), ".2f")),
        ("long-run variance / exact", _texts(stationary_variances(chain, target, step_size), ".2f")),
        ("this trajectory / exact", variances),
    ]
    first = "".join(f"<tr><td>{a}</td><td>{b}</td></tr>" for a, b in lines)
    second = "".join(f"<tr><td>{a}</td>{''.join(f'<td>{b}</td>' for b in values)}</tr>" for a, values in directions)
    second = second.replace("<td>inf</td>", "<td>&infin;</td>")
    return f"<table>{first}</table><table><tr><td></td><th>soft</th><th>stiff</th></tr>{second}</table>"


def _texts(values: np.ndarray, spec: str):
    return [format(v, spec) for v in values]

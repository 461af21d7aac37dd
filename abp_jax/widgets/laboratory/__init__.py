"""The step-size laboratory: a slider for s, and a chain over the exact posterior that follows it."""

from abp_jax.widgets.laboratory.chains import (
    CHAINS,
    LOST,
    NUM_STEPS,
    Run,
    Target,
    effective_draws,
    largest_step,
    multipliers,
    stationary_variances,
)
from abp_jax.widgets.laboratory.widget import StepSizeLaboratory

__all__ = [
    "CHAINS",
    "LOST",
    "NUM_STEPS",
    "Run",
    "StepSizeLaboratory",
    "Target",
    "effective_draws",
    "largest_step",
    "multipliers",
    "stationary_variances",
]

"""The training monitor: one picture that follows a run."""

from abp_jax.widgets.monitor.widget import TrainingMonitor

__all__ = ["TrainingMonitor"]

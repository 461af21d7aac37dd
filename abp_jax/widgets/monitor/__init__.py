"""The training monitor: a run, to be watched while it goes on."""

from abp_jax.widgets.monitor.widget import TrainingMonitor

__all__ = ["TrainingMonitor"]

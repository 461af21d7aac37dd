"""Long runs: the compiled loop, devices, checkpoints, the record of settings, and what keeps them sound."""

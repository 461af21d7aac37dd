"""Long runs: the compiled loop, devices, checkpoints, the record of settings, soundness, the experiments on record."""

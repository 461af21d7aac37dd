"""What is observed: data and datasets load it, masks hide parts, observation is the one door to `fit`."""

"""What is observed: data and datasets load it, masks say what is missing, observation checks it."""

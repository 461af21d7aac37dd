"""How fast the course's code is, beside stock Flax and PyTorch, and how it grows. `make bench` writes RESULTS.md.

- timing: contestants in turn, ratios within a round, the machine
- peer_torch: the exercise in PyTorch, a process that prints its seconds
- layer: the exercise with Flax's own layer; the forms of the transposed convolution
- iteration: an iteration and its parts, ours beside Flax and PyTorch
- learning: from the start to a small error, ours beside PyTorch
- growth: more images, more pixels, more latent dimensions
- screens: the explorer and the step-size laboratory in a real browser
- __main__: the sections, and the page
"""

"""How fast the course's code is, beside flax's layer and PyTorch, and how it grows. `make bench` writes RESULTS.md.

- machine: what it runs on
- workers: contestants as processes of their own
- rounds: contestants in turn, ratios round by round; when a run has arrived
- twins_flax, twins_torch: the exercise's network and algorithm, written with other libraries, from the same weights
- tasks_jax, tasks_torch: what the worker processes of the contestants can do
- watched_fit: a run of fit with a clock beside it
- contestants: who takes part, and their workers
- exercise: one iteration, a forward pass, a gradient, an image for the slider
- target: the time until the error is small; the opponent's settings
- precision: bfloat16
- many_images, growing, growth: more images, pixels, latent dimensions, devices
- report: the tables as a page
- __main__: the order of it all
"""

"""The experiments of the poster and the paper: `make experiments` runs them and writes data/experiments.

Each run is kept as soon as it is finished, and a run that was killed goes on from its checkpoint.
"""

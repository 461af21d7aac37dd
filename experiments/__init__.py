"""The experiments of Han, Lu, Zhu and Wu (AAAI 2017), of Xu's poster and of the exercise sheet.

`make experiments` writes data/experiments. Which images are learned and measured stands in
abp_jax/training/records.py, from which the pages take them too. Each run is kept as soon as it is finished, and most of
those that were killed go on from a checkpoint.
"""

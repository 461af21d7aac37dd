"""Which pixels of an image are observed: masks for `fit` and `infer`, True where observed, (num, size, size)."""

import numpy as np


def scattered_blocks(num: int, size: int, hidden: float, *, block: int = 3, seed: int = 0) -> np.ndarray:
    """Removes blocks at random places until a share of the pixels is missing: P.5, P.7, P.9 of Han et al., AAAI 2017.

    Blocks may overlap and extend over the border. The share is exceeded by less than the size of one block.

    Args:
      num: how many masks.
      size: side of the images, in pixels.
      hidden: share of the pixels that are missing, between 0 and 1.
      block: side of a block, in pixels.
      seed: of the places.

    Returns:
      bool array (num, size, size), True where a pixel is observed.

    Raises:
      ValueError: hidden is not between 0 and 1, or a block is not between 1 and size pixels wide.
    """
    if not 0 < hidden < 1:
        raise ValueError(f"hidden is a share of the pixels between 0 and 1, got {hidden}.")
    _check_block(block, size)
    rng, seen = np.random.default_rng(seed), np.ones((num, size, size), bool)
    for mask in seen:
        while mask.mean() > 1 - hidden:
            row, column = rng.integers(1 - block, size, 2)
            mask[max(0, row) : row + block, max(0, column) : column + block] = False
    return seen


def one_block(num: int, size: int, block: int, *, seed: int = 0) -> np.ndarray:
    """Removes one square at a random place in each image: M20, M30 of Han et al., AAAI 2017. Arguments as above."""
    _check_block(block, size)
    rng, seen = np.random.default_rng(seed), np.ones((num, size, size), bool)
    for mask, (row, column) in zip(seen, rng.integers(0, size - block, (num, 2), endpoint=True), strict=True):
        mask[row : row + block, column : column + block] = False
    return seen


def _check_block(block: int, size: int):
    if not 1 <= block <= size:
        raise ValueError(f"block is the side of a square inside the image, from 1 to {size} pixels; got {block}.")

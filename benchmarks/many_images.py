"""As many images as one likes, made from the eleven faces."""

import numpy as np
from PIL import Image

import abp_jax as abp


def many_images(num: int, size: int, seed: int = 0) -> np.ndarray:
    """Faces cut out, scaled, shifted, mirrored and lit at random.

    Args:
      num: how many.
      size: their side in pixels.
      seed: of the numpy Generator.

    Returns:
      uint8 array (num, size, size, 3).
    """
    random = np.random.default_rng(seed)
    side = size + size // 4
    faces = [Image.fromarray(np.uint8(np.round((face + 1) * 127.5))) for face in abp.load_lion_tiger(size=side)]
    images = np.empty((num, size, size, 3), np.uint8)
    for image in images:
        cut = random.uniform(0.7, 1) * side
        left, top = random.uniform(0, side - cut, 2)
        face = faces[random.integers(len(faces))].resize((size, size), box=(left, top, left + cut, top + cut))
        pixels = np.asarray(face)[:, :: random.choice([-1, 1])]
        image[:] = np.clip(pixels * random.uniform(0.7, 1.3), 0, 255)
    return images

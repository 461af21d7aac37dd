"""What a row of the one table is made of: log p of the test images, samples, parameters, and the time of learning."""

import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

NUM_SAMPLES = 16


class Measured(NamedTuple):
    """Of one model, learned once.

    Attributes:
      log_probs: log p of each test image in nats, (N,); for a bracket (2, N), its lower end and its upper end.
      samples: draws of the model, (16, n), bits.
      num_parameters: how many numbers were learned.
      seconds: of a processor's work, of learning.
    """

    log_probs: np.ndarray
    samples: np.ndarray
    num_parameters: int
    seconds: float


def timed(learn: Callable) -> tuple:
    """Returns what `learn()` returns, once it is computed, and the seconds of a processor that took."""
    begin = time.process_time()
    learned = jax.block_until_ready(learn())
    return learned, time.process_time() - begin

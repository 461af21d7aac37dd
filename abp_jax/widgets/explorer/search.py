"""Chains that look for the z of an image which was not trained on."""

from collections.abc import Callable, Iterator
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from abp_jax import model
from abp_jax.generators import compiled
from abp_jax.inference import Chain, check_chain, infer_latents

CHAINS, STEPS = 16, 40  # of the search for a new image


class Search:
    """Chains from the prior towards the z of an image that was not trained on, one step of all chains at a time.

    Args:
      generator: an image generator.
      sigma: standard deviation of the noise.
      key: for the starts and the noise; the same for every image.
    """

    def __init__(self, generator: nnx.Module, sigma: float, key: jax.Array):
        self.generator, self.key = generator, key
        self.chain = check_chain(generator.latent_dim, sigma, None, 1, None)

    def run(self, y: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        """Yields where the chains stand, (CHAINS, d), and which has the highest log p(y, z): at first, and after each
        of STEPS steps.

        Raises:
          ValueError: every chain has diverged.
        """
        start_key, key = jax.random.split(self.key)
        z = jax.random.normal(start_key, (CHAINS, self.generator.latent_dim))
        yield np.asarray(z), 0
        for t in range(STEPS):
            z, scores = _step(self.generator, jax.random.fold_in(key, t), z, jnp.asarray(y), self.chain)
            scores = np.where(np.isfinite(scores), scores, -np.inf)
            if not np.isfinite(scores.max()):
                raise ValueError("every chain diverged: this picture is too far from what the generator draws.")
            yield np.asarray(z), int(np.argmax(scores))


@partial(compiled, static=("chain",))
def _step(f: Callable, key: jax.Array, z: jax.Array, y: jax.Array, chain: Chain):
    """One step of every chain towards y: where they stand, and log p(y, z) there."""
    z = infer_latents(f, jax.random.split(key, len(z)), z, jnp.broadcast_to(y, (len(z), *y.shape)), chain=chain)
    return z, jax.vmap(model.given(f, y, chain.sigma).log_density)(z)

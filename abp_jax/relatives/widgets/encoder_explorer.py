"""The latent explorer with an encoder: a picture dropped on it is placed in one pass, and climbs from there."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from abp_jax.images import arguments
from abp_jax.relatives.encoders import Gaussian
from abp_jax.widgets.explorer import LatentExplorer


class EncoderExplorer(LatentExplorer):
    """A `LatentExplorer` that asks an encoder where a new picture belongs, in the place of chains from the prior.

    It moves to the mean of q(z | y), and from there climbs to a peak of p(z | y) by damped Gauss-Newton steps. The line
    under the buttons tells the error of both.

    Args:
      generator: an image generator.
      encoder: y -> `encoders.Gaussian`, of the generator's latent_dim.
      z, options: as in `LatentExplorer`.

    Attributes:
      guess: the encoder's answer to the last picture dropped, a Gaussian; None before.

    Raises:
      TypeError, ValueError: as `LatentExplorer`; or the encoder does not fit the generator.
    """

    def __init__(self, generator: nnx.Module, encoder: Callable, z: jax.Array | None = None, **options):
        super().__init__(generator, z, **options)
        self.guess, self._search = None, _OnePass(self, encoder)
        shape = [self._config[name] for name in ("height", "width", "channels")]
        q = jax.eval_shape(encoder, jax.ShapeDtypeStruct(tuple(shape), jnp.float32)) if callable(encoder) else None
        if not isinstance(q, Gaussian):
            raise TypeError(
                f"encoder must be a function of an image that gives a Gaussian, got {arguments.shown(encoder)}."
            )
        if q.mean.shape != (generator.latent_dim,):
            raise ValueError(
                f"encoder must have latent_dim {generator.latent_dim}; its mean is of shape {q.mean.shape}."
            )

    def _look_for(self, name: str, data: bytes):
        super()._look_for(name, data)
        _, image, found = self._examples[-1]
        at_guess, at_peak = (self._error_at(image, np.asarray(z)) for z in (self.guess.mean, found))
        distance = np.linalg.norm(np.asarray(self.guess.mean) - found)
        self._status = (
            f"{name}: mean squared error {at_guess:.3f} at the encoder's guess, {at_peak:.3f} at the peak that a climb "
            f"from there reaches, {distance:.2f} away."
        )


class _OnePass:
    """What the explorer asks for the z of a new picture, as it asks its chains: see `explorer.search.Search`."""

    def __init__(self, explorer: EncoderExplorer, encoder: Callable):
        self.explorer, self.encoder = explorer, encoder

    def run(self, y: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        """Yields the mean of q(z | y) as the only place, (1, d), twice: where the trail begins, and where it ends."""
        self.explorer.guess = self.encoder(jnp.asarray(y))
        for _ in range(2):
            yield np.asarray(self.explorer.guess.mean)[None], 0

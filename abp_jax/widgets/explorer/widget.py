"""The latent explorer in a notebook: a plane, sliders, thumbnails and a live image, in one widget (anywidget)."""

import base64
import io
import threading
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import anywidget
import jax
import numpy as np
import traitlets
from flax import nnx

from abp_jax.generators import reconstruct
from abp_jax.images.data import load_image
from abp_jax.plots import evenly_spaced, pixels
from abp_jax.widgets.encoding import WITHOUT_WIDGETS, thumbnail
from abp_jax.widgets.explorer.plane import MOST_MARKERS, MOST_THUMBNAILS, backdrop_of, check_arguments, plane_of
from abp_jax.widgets.explorer.posterior import PosteriorMaps
from abp_jax.widgets.explorer.search import Search

LEADING = 4  # sliders that are not folded away
FOLDER = Path(__file__).parent


class Point(traitlets.TraitType):
    """A trait: finite numbers, from any sequence or array of `num` of them; kept as a tuple of floats."""

    info_text = "a vector of numbers"

    def validate(self, obj: traitlets.HasTraits, value: Any):
        try:
            point = np.asarray(value, np.float64)
        except (TypeError, ValueError):
            point = np.zeros(())
        d = obj.generator.latent_dim
        if point.shape != (d,) or not np.isfinite(point).all():
            raise traitlets.TraitError(f"z must be {d} finite number(s), the generator's latent vector; got {value!r}.")
        return tuple(point.tolist())


def shows_errors(method: Callable) -> Callable:
    """An exception in a callback would be lost in a log that nobody reads: the widget shows it instead."""

    @wraps(method)
    def guarded(self, *args):
        try:
            self._failure = ""
            method(self, *args)
        except Exception as error:
            self._status, self._failure = "", f"{type(error).__name__}: {error}"

    return guarded


class LatentExplorer(anywidget.AnyWidget):
    """Moves z by hand: drag on the plane or move a slider, and the image f(z; W) follows.

    A click on a thumbnail goes to its z; a second one makes a path, to be played or scrubbed along. "Posterior" shows
    p(z | Y) of the chosen image: lines of equal log p(Y, z) on the plane, and the peak magnified. "Your picture", or a
    picture dropped on the explorer, is cropped to a square and made small; chains look for its z from the prior, and
    the plane shows their trajectories. Errors are shown under the buttons.

    With more than two latent dimensions the coordinates are the directions of the inferred z in which the images differ
    most; with one, a slider is all there is. Behind the plane lies the cut through the mean of z.

    Args:
      generator: an image generator.
      z: inferred latents (n, d), or one (d,). The explorer starts at the first; without any, at 0.
      images: (n, h, w, c) in [-1, 1], or uint8 from 0 to 255, one for each z, for thumbnails and posteriors; by default
        what the generator draws at z. Images of which a mask hides a part have no posterior here: leave them out.
      names: of the images, shown as `str` has them; by default "image 1", "image 2", ...
      low, high: range of the coordinates.
      sigma: standard deviation of the noise e, for posteriors and chains.
      key: of the chains, by default `jax.random.key(0)`.

    Attributes:
      z: the current z, a tuple of d floats; set it, from any vector, to move there.
      posterior_of: index of the image whose posterior is shown, or -1. Your own pictures follow the n images.

    Raises:
      TypeError, ValueError: the generator does not give images, arguments don't fit together, or images or z hold nan.
    """

    _esm = "".join((FOLDER / name).read_text("utf-8") for name in ("view.js", "widget.js"))
    _css = (FOLDER / "view.css").read_text("utf-8")
    z = Point().tag(sync=True)
    posterior_of = traitlets.Int(-1).tag(sync=True)
    _config = traitlets.Dict().tag(sync=True)
    _backdrop = traitlets.Bytes().tag(sync=True)
    _frame = traitlets.Bytes().tag(sync=True)
    _posterior = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    _own = traitlets.List().tag(sync=True)
    _busy = traitlets.Bool(False).tag(sync=True)
    _status = traitlets.Unicode().tag(sync=True)
    _failure = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        generator: nnx.Module,
        z: jax.Array | None = None,
        *,
        images: jax.Array | None = None,
        names: Sequence[str] | None = None,
        low: float = -2.5,
        high: float = 2.5,
        sigma: float = 0.3,
        key: jax.Array | None = None,
    ):
        self.generator, self._lock, self._given = generator, threading.RLock(), images is not None
        places, images, names, low, high = check_arguments(generator, z, images, names, low, high)
        self.plane = plane = plane_of(generator, places)
        self._examples = list(zip(names, images, places, strict=True))
        self._maps = PosteriorMaps(generator, plane, sigma, low, high)
        self._search = Search(generator, sigma, jax.random.key(0) if key is None else key)
        start = tuple(map(float, places[0] if len(places) else plane.origin))
        first = self.render(start)
        height, width, channels = first.shape
        config = {
            "axes": plane.names,
            **{"low": low, "high": high, "leading": LEADING, "start": start},
            **{"height": height, "width": width, "channels": channels, "upload": height == width},
            "origin": plane.origin.tolist(),
            "directions": plane.directions.tolist(),
            "thumbs": [self._thumb(i, len(places) > MOST_THUMBNAILS) for i in evenly_spaced(len(places), MOST_MARKERS)],
        }
        backdrop = backdrop_of(generator, plane, low, high) if generator.latent_dim > 1 else b""
        super().__init__(z=start, _config=config, _backdrop=backdrop, _frame=pixels(first).tobytes())
        self.observe(self._draw, names="z")
        self.observe(self._draw_posterior, names="posterior_of")
        self.on_msg(self._hear)

    def render(self, z: Sequence[float]) -> np.ndarray:
        """Returns f(z; W) for one z of shape (d,): (h, w, c)."""
        return np.asarray(reconstruct(self.generator, np.asarray(z, np.float32)[None]))[0]

    def _repr_mimebundle_(self, **options):
        bundle = super()._repr_mimebundle_(**options)
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        data["text/plain"] = WITHOUT_WIDGETS.format("latent explorer")
        return bundle

    @property
    def shown(self) -> np.ndarray:
        """The image on the screen, from 0 to 255: (h, w, c), uint8."""
        shape = [self._config[name] for name in ("height", "width", "channels")]
        return np.frombuffer(self._frame, np.uint8).reshape(shape)

    @traitlets.validate("posterior_of")
    def _check_posterior_of(self, proposal: dict):
        if proposal["value"] >= len(self._examples):
            raise traitlets.TraitError(
                f"posterior_of is the index of one of {len(self._examples)} images, or -1; got {proposal['value']}."
            )
        if proposal["value"] >= 0 and self.generator.latent_dim < 2:
            raise traitlets.TraitError("posterior_of needs a plane: a generator with two or more latent numbers.")
        return max(-1, proposal["value"])

    @shows_errors
    def _draw(self, _):
        with self._lock:  # a cell and a widget's message may come in two threads
            self._frame = pixels(self.render(self.z)).tobytes()

    @shows_errors
    def _draw_posterior(self, change: dict):
        if change["new"] < 0:
            self._posterior, self._status = None, ""
            return
        name, image, z = self._examples[change["new"]]
        if not self._given and change["new"] < len(self._examples) - len(self._own):
            name = f"What the generator draws at the z of {name}"
        self._status = f"{name}: the posterior is computed …"
        self._posterior = self._maps.draw(image, z)
        self._status = f"{name}. {self._posterior['text']}"

    @shows_errors
    def _hear(self, _, content: dict, buffers: list):
        if content.get("kind") != "picture":
            return
        self._busy, self._status = True, f"{content['name']} is read …"
        try:
            self._look_for(str(content["name"]), base64.b64decode(content["data"]))
        finally:
            self._busy = False

    def _look_for(self, name: str, data: bytes):
        """Runs the chains for a picture of one's own, and shows their trajectories as they grow."""
        try:
            image = load_image(NamedBytes(name, data), self._config["height"])
        except ValueError as error:
            reason = str(error).split(". It may be")[0]
            raise ValueError(f"{reason}. Choose another file, a JPEG or a PNG for instance.") from None
        image = image if self._config["channels"] == 3 else image @ np.float32([[0.299], [0.587], [0.114]])
        given = len(self._examples) - len(self._own)
        self._status = f"Chains from the prior look for {name} …"
        places = 0.0
        for t, (z, best) in enumerate(self._search.run(image)):
            places = np.where(np.isfinite(z), z, places)  # a chain that diverges stays where it was
            trails = [[p] for p in np.round(self.plane.to_points(places)[:, :2], 4).tolist()]
            self.send({"kind": "trails", "first": t == 0, "trails": trails, "best": best})
            if t:
                self.z = places[best]
        found = self._maps.mode(image, places[best])
        self.z = found
        self._examples.append((name, image, np.asarray(found, np.float32)))
        self._own = [*self._own, self._thumb(len(self._examples) - 1)]
        self._status = f"{name}: mean squared error {self._error_at(image, found):.3f} at the z that explains it best."
        if self._given and given:
            known = np.mean([self._error_at(y, z) for _, y, z in self._examples[: min(given, 50)]])
            which = f"The {given} images on the plane have" if given <= 50 else f"50 of the {given} images have"
            self._status += f" {which} {known:.3f}."

    def _error_at(self, image: np.ndarray, z: np.ndarray):
        return float(np.mean((image - self.render(z)) ** 2))

    def _thumb(self, index: int, dot: bool = False):
        name, image, z = self._examples[index]
        return {
            "name": name,
            "source": "" if dot else thumbnail(image),
            "point": self.plane.to_points(z).tolist(),
            "index": int(index),
        }


class NamedBytes(io.BytesIO):
    """A file in memory which messages call by its name."""

    def __init__(self, name: str, data: bytes):
        super().__init__(data)
        self.name = name

    def __repr__(self):
        return self.name

"""Live images in a notebook: sliders that move z, and the generated image that follows."""

import base64
import io

import ipywidgets
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from PIL import Image

from abp_jax.generators import latent_grid, reconstruct
from abp_jax.plots import tile, to_display


def describe_device() -> str:
    """Returns one line that says on what jax computes."""
    device = jax.devices()[0]
    kind = {"cpu": "the CPU", "gpu": "a GPU", "tpu": "a TPU"}.get(device.platform, device.platform)
    return f"jax {jax.__version__} computes on {kind} ({device.device_kind}, {jax.device_count()} device(s))."


def png(image: np.ndarray) -> bytes:
    """Returns an image (h, w, 1 or 3) with values in [-1, 1] as PNG bytes, quickly rather than smallest."""
    pixels = np.uint8(np.round(255 * to_display(image)))
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


class LatentExplorer(ipywidgets.HBox):
    """One slider for each coordinate of z, and the image f(z; W) beside them, drawn anew at every move.

    With two or more latent dimensions the plane of z1 and z2 is drawn under the sliders: small images of what lies
    where, a dot for every inferred z, and a ring where the sliders stand.

    Args:
      generator: an image generator.
      z: inferred latents (n, d), or one (d,), if at hand. The sliders start at the first of them.
      low, high: range of the sliders.
      size: side of the shown image, in CSS pixels.

    Attributes:
      sliders: the FloatSliders z1, z2, ...
      image: the ipywidgets.Image.

    Raises:
      ValueError: the generator does not give images, or z does not fit it.
    """

    def __init__(self, generator: nnx.Module, z: jax.Array | None = None, *, low=-2.5, high=2.5, size: int = 384):
        self.generator, self.low, self.high = generator, low, high
        d = generator.latent_dim
        places = np.zeros((1, d)) if z is None else np.atleast_2d(np.asarray(z, np.float64))
        if places.shape[1] != d:
            raise ValueError(f"z has {places.shape[1]} coordinates, but the generator takes {d}.")
        if self.render(np.zeros(d)).ndim != 3:
            raise ValueError("LatentExplorer shows images (h, w, c); this generator gives another shape.")
        self.sliders = [
            ipywidgets.FloatSlider(
                float(np.clip(v, low, high)),
                min=low,
                max=high,
                step=0.05,
                description=f"z{i + 1}",
                continuous_update=True,
                readout_format=".2f",
            )
            for i, v in enumerate(places[0])
        ]
        self.image = ipywidgets.Image(format="png", width=size, height=size)
        self.image.add_class("abp-pixelated")
        controls = [ipywidgets.HTML(STYLE), *self.sliders]
        self.marker = None
        if d >= 2:
            self.marker = ipywidgets.HTML()
            self.marker.add_class("abp-marker")
            plane = ipywidgets.VBox([ipywidgets.HTML(self._plane(places if z is not None else [])), self.marker])
            plane.add_class("abp-plane")
            controls.append(plane)
        self._draw()
        for slider in self.sliders:
            slider.observe(self._draw, names="value")
        super().__init__([ipywidgets.VBox(controls), self.image])

    @property
    def z(self) -> np.ndarray:
        """Where the sliders stand, (d,)."""
        return np.array([slider.value for slider in self.sliders], np.float32)

    def render(self, z: np.ndarray) -> np.ndarray:
        """Returns f(z; W) for one z of shape (d,)."""
        return np.asarray(reconstruct(self.generator, jnp.asarray(z, jnp.float32)[None])[0])

    def _draw(self, _=None):
        self.image.value = png(self.render(self.z))
        if self.marker is not None:
            self.marker.value = self._dot(self.z, "abp-ring")

    def _plane(self, places, num=12, pixels=300):
        half_cell = (self.high - self.low) / num / 2
        atlas = tile(latent_grid(self.generator, self.low + half_cell, self.high - half_cell, num), num, gap=0)
        atlas = Image.fromarray(np.uint8(np.round(255 * atlas))).resize((pixels, pixels), Image.Resampling.BOX)
        buffer = io.BytesIO()
        atlas.save(buffer, "PNG")
        source = base64.b64encode(buffer.getvalue()).decode()
        dots = "".join(self._dot(place, "abp-dot") for place in places)
        return f'<div class="abp-atlas" style="background-image: url(data:image/png;base64,{source})">{dots}</div>'

    def _dot(self, place, name):
        left, bottom = (100 * (np.asarray(place[:2]) - self.low) / (self.high - self.low)).clip(0, 100)
        return f'<div class="{name}" style="left: {left:.2f}%; bottom: {bottom:.2f}%"></div>'


STYLE = """<style>
.abp-pixelated {image-rendering: pixelated; object-fit: contain; margin: 0 0 0 12px}
.abp-plane {position: relative; overflow: visible; width: 300px; height: 300px; margin: 8px 2px}
.abp-plane > * {position: absolute; inset: 0; margin: 0; width: 300px; height: 300px; overflow: visible}
.abp-plane .widget-html-content {position: relative; width: 300px; height: 300px}
.abp-plane .jupyter-widgets-html-content {position: relative; width: 300px; height: 300px}
.abp-marker {pointer-events: none}
.abp-atlas {width: 300px; height: 300px; background-size: cover; border: 1px solid #8888; box-sizing: border-box}
.abp-dot, .abp-ring {position: absolute; border-radius: 50%; transform: translate(-50%, 50%); box-sizing: border-box}
.abp-dot {width: 9px; height: 9px; background: #fff; border: 2px solid #222}
.abp-ring {width: 20px; height: 20px; border: 3px solid #e4002b; box-shadow: 0 0 0 2px #fff}
</style>"""

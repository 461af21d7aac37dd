"""The latent explorer of plain ipywidgets, for where anywidget is missing: sliders, and the image beside them."""

import base64
import html
from collections.abc import Sequence

import ipywidgets
import jax
import numpy as np
from flax import nnx

from abp_jax import explorer_plane
from abp_jax.explorer_plane import LEADING, Explorer, Point, backdrop_of
from abp_jax.plots import pixels
from abp_jax.widgets import png

MISSING = "Without anywidget the plane can't be dragged. <code>pip install anywidget</code> brings that and more."


class PlainLatentExplorer(Explorer, ipywidgets.HBox):
    """A slider for each coordinate, and the image f(z; W) beside them. Arguments and errors as for `LatentExplorer`.

    Attributes:
      z: where the sliders stand, d numbers (a tuple); set it, from any vector, to move there.
      sliders: the FloatSliders.
      image: the ipywidgets.Image.
    """

    z = Point()

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
        self.generator, self.low, self.high = generator, low, high
        places, images, names = explorer_plane.check_arguments(generator, z, images, names, low, high)
        self.plane = plane = explorer_plane.plane_of(generator, places)
        start = places[0] if len(places) else plane.origin
        self.sliders = [
            ipywidgets.FloatSlider(0.0, min=low, max=high, step=0.01, description=name, readout_format=".2f")
            for name in plane.names
        ]
        self.image = ipywidgets.Image(format="png", width=384, height=384)
        self.image.add_class("abp-pixelated")
        self.message = ipywidgets.HTML(MISSING)
        self._marker = ipywidgets.HTML()
        controls = [ipywidgets.HTML(STYLE), *self.sliders[:LEADING]]
        if len(self.sliders) > LEADING:
            rest = ipywidgets.Accordion([ipywidgets.VBox(self.sliders[LEADING:])], selected_index=None)
            rest.set_title(0, f"the other {len(self.sliders) - LEADING} directions")
            controls.append(rest)
        if len(places):
            self.choice = ipywidgets.Dropdown(
                options=[("", -1), *zip(names, range(len(names)), strict=True)], description="go to"
            )
            self.choice.observe(lambda change: self._choose(places, change["new"]), names="value")
            controls.append(self.choice)
        self.random, self.reset = (ipywidgets.Button(description=text) for text in ("Random z", "Reset"))
        generator_of_places = np.random.default_rng()
        self.random.on_click(lambda _: self.set_trait("z", generator_of_places.normal(size=generator.latent_dim)))
        self.reset.on_click(lambda _: self.set_trait("z", start))
        controls.append(ipywidgets.HBox([self.random, self.reset]))
        if generator.latent_dim > 1:
            dots = "".join(self._dot(place, "abp-dot-plain") for place in plane.to_points(places))
            source = base64.b64encode(backdrop_of(generator, plane, low, high)).decode()
            style = f"background-image: url(data:image/jpeg;base64,{source})"
            shown = ipywidgets.HTML(f'<div class="abp-atlas" style="{style}">{dots}</div>')
            box = ipywidgets.VBox([shown, self._marker])
            box.add_class("abp-plane-plain")
            controls.append(box)
        super().__init__([ipywidgets.VBox([*controls, self.message]), self.image])
        self.z = start
        self.observe(self._draw, names="z")
        self._draw(None)
        for slider in self.sliders:
            slider.observe(self._read, names="value")

    @property
    def shown(self) -> np.ndarray:
        """The image on the screen, from 0 to 255: (h, w, c), uint8."""
        return self._shown

    def _read(self, change):
        if not self._moving:  # the other coordinates stay, which may lie outside of their sliders
            points = self.plane.to_points(self.z)
            points[self.sliders.index(change["owner"])] = change["new"]
            self.z = self.plane.to_z(points)

    def _choose(self, places, index):
        if index >= 0:
            self.z = places[index]
            self.choice.value = -1  # so that the same one can be chosen again

    _moving = False

    def _draw(self, _):
        points = self.plane.to_points(self.z)
        self._moving = True  # the sliders follow z now, and not z the sliders
        try:
            for slider, value in zip(self.sliders, points, strict=True):
                value = float(np.clip(value, self.low, self.high))
                if abs(value - slider.value) > 1e-9:  # the slider under the hand is left alone
                    slider.value = value
            image = self.render(self.z)
            self.image.value, self._shown = png(image), pixels(image)
            self._marker.value = self._dot(points, "abp-ring-plain")
            self.message.value = MISSING
        except Exception as error:  # it would be lost in a log that nobody reads
            self.message.value = f"<b>{type(error).__name__}:</b> {html.escape(str(error))}"
        finally:
            self._moving = False

    def _dot(self, point, name):
        if len(point) < 2:
            return ""
        left, bottom = (100 * (np.asarray(point[:2]) - self.low) / (self.high - self.low)).clip(0, 100)
        return f'<div class="{name}" style="left: {left:.2f}%; bottom: {bottom:.2f}%"></div>'


STYLE = """<style>
.abp-pixelated {image-rendering: pixelated; object-fit: contain; margin: 0 0 0 12px; align-self: flex-start}
.abp-plane-plain {position: relative; overflow: visible; width: 300px; height: 300px; margin: 8px 2px}
.abp-plane-plain > * {position: absolute; inset: 0; margin: 0; width: 300px; height: 300px; overflow: visible}
.abp-plane-plain .widget-html-content {position: relative; width: 300px; height: 300px}
.abp-plane-plain .jupyter-widgets-html-content {position: relative; width: 300px; height: 300px}
.abp-atlas {width: 300px; height: 300px; background-size: cover; border: 1px solid #8888; box-sizing: border-box}
.abp-dot-plain, .abp-ring-plain {position: absolute; border-radius: 50%; transform: translate(-50%, 50%);
  box-sizing: border-box}
.abp-dot-plain {width: 9px; height: 9px; background: #fff; border: 2px solid #222}
.abp-ring-plain {width: 20px; height: 20px; border: 3px solid #e4002b; box-shadow: 0 0 0 2px #fff}
</style>"""

"""What the live pictures in a notebook share: where jax computes, images as bytes, a word where no widget can show."""

import io

import jax
import numpy as np
from PIL import Image

from abp_jax.plots import pixels

WITHOUT_WIDGETS = (
    "The {}: run this cell in JupyterLab, Notebook 7 or Colab to see it. If nothing but this line shows: "
    "pip install --upgrade anywidget ipywidgets, start Jupyter again and reload the page."
)


def describe_device() -> str:
    """Returns one line that says on what jax computes."""
    device = jax.devices()[0]
    kind = {"cpu": "the CPU", "gpu": "a GPU", "tpu": "a TPU"}.get(device.platform, device.platform)
    return f"jax {jax.__version__} computes on {kind} ({device.device_kind}, {jax.device_count()} device(s))."


def png(image: np.ndarray) -> bytes:
    """Returns an image (h, w, 1 or 3) with values in [-1, 1] as PNG bytes, quickly rather than smallest."""
    values = pixels(image)
    buffer = io.BytesIO()
    Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()

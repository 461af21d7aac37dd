"""What the live pictures in a notebook share: images as bytes, and a word where no widget can show."""

import base64
import html
import io
import os
import re
from collections.abc import Callable
from typing import Any

import ipywidgets
import numpy as np
from PIL import Image

from abp_jax.plots import pixels

WITHOUT_WIDGETS = (
    "The {}: run this cell in JupyterLab, Notebook 7 or Colab to see it. If nothing but this line shows: "
    "pip install --upgrade anywidget ipywidgets, start Jupyter again and reload the page."
)


def guarded(message: ipywidgets.HTML, callback: Callable[[], Any]) -> Callable[[Any], None]:
    """Returns an observer that calls `callback()`. An exception would be lost in a log that nobody reads: `message`
    shows it instead.
    """

    def show_errors(_):
        try:
            callback()
        except Exception as error:
            message.value = f"<b>{type(error).__name__}:</b> {html.escape(str(error))}"

    return show_errors


def readable(text: Any) -> str:
    """Returns what a page can show of a text, a path, a number or anything else; what is not UTF-8 becomes U+FFFD."""
    text = os.fsdecode(text) if isinstance(text, bytes) else str(text)
    return re.sub("[\ud800-\udfff]", "\ufffd", text)  # so the bytes of a file's name come that are no text


def png(image: np.ndarray) -> bytes:
    """Returns an image (h, w, 1 or 3) with values in [-1, 1] as PNG bytes, quickly rather than smallest."""
    return encoded(_picture(image), compress_level=1)


def encoded(image: Image.Image | np.ndarray, kind: str = "PNG", **options) -> bytes:
    """Returns a picture, or (h, w, 3) from 0 to 255, as the bytes of a file; options as of Pillow's `save`."""
    buffer, image = io.BytesIO(), Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def address(data: bytes, kind: str = "png") -> str:
    """Returns the bytes of a picture as an address that a page can show. kind: "png", or "svg+xml"."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def thumbnail(image: np.ndarray) -> str:
    """Returns an image (h, w, 1 or 3) in [-1, 1], at most 64 pixels wide and high, as the address of a PNG."""
    small = _picture(image)
    small.thumbnail((64, 64))
    return address(encoded(small, optimize=True))


def _picture(image: np.ndarray):
    values = pixels(image)
    return Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)

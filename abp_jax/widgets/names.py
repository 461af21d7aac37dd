"""Names, for screen readers, of the sliders and the picture of a widget that is a box of ipywidgets (anywidget)."""

from pathlib import Path

import anywidget
import traitlets


class Names(anywidget.AnyWidget):
    """Stands among the children of a box and shows nothing. In the box, and the boxes in it, each slider's handle then
    has the name that its label shows, and a picture (`ipywidgets.Image`) the one given here: ipywidgets has no way to
    give them one.

    picture: what the picture shows, in words; "" where there is none.
    """

    _esm = (Path(__file__).parent / "names.js").read_text("utf-8")
    picture = traitlets.Unicode().tag(sync=True)

"""Sliders that Python moves as well: a browser then puts the handle on a whole step, and says so as if a hand had."""

import ipywidgets
import numpy as np


def wanted(slider: ipywidgets.FloatSlider | ipywidgets.FloatLogSlider, place: float) -> float:
    """Returns where a hand wants what stands at `place` and is shown by the slider: at its value.

    If that is only `place` on a whole step, no hand has moved it, and `place` is returned as it is.
    """
    logarithmic = isinstance(slider, ipywidgets.FloatLogSlider)
    value, shown = np.log((slider.value, place)) / np.log(slider.base) if logarithmic else (slider.value, place)
    return place if abs(value - shown) <= slider.step / 2 + 1e-9 else slider.value

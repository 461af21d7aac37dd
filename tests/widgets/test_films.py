"""A film: its frames, in order, in an image that any page can show; still until it is asked to play."""

import base64
import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

import abp_jax as abp

ALT = 'a square goes from "left" to right, x < 5'


def square(at):
    """Draws a black square at one of six places on white, and nothing else."""
    figure = plt.gcf()
    figure.clear()
    figure.add_artist(plt.Rectangle((at / 6, 0), 1 / 6, 1, color="black"))


def new_figure():
    return plt.figure(figsize=(1.2, 0.2), dpi=100)


def frames_of(data):
    """Where the square is in each frame of a file, and how long each stays in milliseconds."""
    image, places, durations = Image.open(io.BytesIO(data)), [], []
    for k in range(getattr(image, "n_frames", 1)):
        image.seek(k)
        image.load()
        dark = np.asarray(image.convert("L"), float).reshape(20, 6, 20).mean(axis=(0, 2))
        places.append(int(dark.argmin()))
        durations.append(image.info.get("duration"))
    return places, durations


def test_frames_come_in_order_and_the_last_one_stays():
    film = abp.film(new_figure(), square, range(6), alt=ALT, seconds=0.15, still=2)
    assert frames_of(film.moving) == ([0, 1, 2, 3, 4, 5], [150] * 5 + [3000])
    assert frames_of(film.still)[0] == [2]
    assert plt.get_fignums() == []  # nothing that a notebook would show once more


def test_white_stays_white():
    """Though other colours are near it, and a film has few."""
    near = np.random.default_rng(0).uniform(0.9, 1.0, (10, 120, 3))
    film = abp.film(new_figure(), lambda frame: plt.gcf().figimage(near, yo=10), range(2), alt="white below")
    assert Image.open(io.BytesIO(film.still)).convert("RGB").getpixel((60, 18)) == (255, 255, 255)


def test_it_is_still_until_it_is_asked_to_play():
    film = abp.film(new_figure(), square, range(3), alt=ALT)
    before, folded = film._repr_html_().split("<details>")
    images = [
        re.findall(r'<img src="data:image/webp;base64,([^"]*)" alt="([^"]*)">', part) for part in (before, folded)
    ]
    (still, alt), (moving, _) = images[0][0], images[1][0]
    assert base64.b64decode(still) == film.still and base64.b64decode(moving) == film.moving
    assert alt == "a square goes from &quot;left&quot; to right, x &lt; 5"
    assert folded.startswith("<summary>Play the film</summary>") and "open" not in folded.split(">")[0]
    assert repr(film) == f"Film of 3 frames: {ALT}"


def test_what_is_no_film_is_said():
    with pytest.raises(ValueError, match="at least two frames, got 1"):
        abp.film(new_figure(), square, [0], alt=ALT)
    with pytest.raises(ValueError, match="alt must say"):
        abp.film(new_figure(), square, range(3), alt=" ")


def test_a_film_stays_small():
    """Noise can't be made small: the quality falls, and if that is not enough it is said."""
    rng = np.random.default_rng(0)
    noise = lambda size: lambda frame: plt.gcf().figimage(rng.uniform(size=(size, size, 3)))
    film = abp.film(plt.figure(figsize=(1.5, 1.5), dpi=100), noise(150), range(8), alt="noise")
    assert len(film.moving) <= 150_000
    with pytest.raises(ValueError, match="take fewer frames or a smaller figure"):
        abp.film(plt.figure(figsize=(4, 4), dpi=100), noise(400), range(8), alt="noise")

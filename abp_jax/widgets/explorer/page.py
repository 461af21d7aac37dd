"""The latent explorer as one file: a page that needs no kernel, no network and no Python.

A browser need not run the network. The images over a plane of z lie near a space of few dimensions: with the singular
value decomposition of the images on a grid of z,

    f(z) = mean + sum_k c_k(z) B_k + a small rest,

where the B_k are fixed images and the c_k(z) are smooth. The page keeps the B_k as bytes, the c_k on the grid, and
interpolates (Catmull-Rom). What that costs is measured here, at random z, by the same arithmetic.
"""

import base64
import html
import json
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from abp_jax.generators import latent_grid, reconstruct
from abp_jax.images.files import to_write, write_whole
from abp_jax.plots import evenly_spaced, to_display
from abp_jax.widgets.encoding import readable, thumbnail
from abp_jax.widgets.explorer.plane import MOST_MARKERS, MOST_THUMBNAILS, check_arguments

NUM = 41  # points of the grid along a side
NUM_CHECKS = 1000  # random places at which the page is compared with the generator
LARGEST_ERROR = 5.0  # of 255, root mean square
LARGEST_FILE = 2_000_000  # bytes


class ExportReport(NamedTuple):
    """What `export_explorer` wrote.

    Attributes:
      path: the file.
      num_bytes: its size.
      error: root mean square difference from the generator, over random places of the plane, on the scale 0 to 255.
      rank: how many images the page adds up.
    """

    path: Path
    num_bytes: int
    error: float
    rank: int


def export_explorer(
    generator: nnx.Module,
    path: str | Path = "explorer.html",
    *,
    z: jax.Array | None = None,
    images: jax.Array | None = None,
    names: Sequence[str] | None = None,
    low: float = -2.5,
    high: float = 2.5,
    title: str = "Latent explorer",
) -> ExportReport:
    """Writes a page with which anyone can explore the plane of z in a browser, offline.

    Args:
      generator: an image generator with a two-dimensional latent vector.
      path: the file to write. It appears whole or not at all; folders that lead to it are made.
      z: inferred latents (n, 2), shown on the plane with `images`. The page starts at the first one.
      images: (n, h, w, c) in [-1, 1], or uint8 from 0 to 255, the thumbnails; by default what the generator draws.
      names: of the images, for screen readers and as hints, shown as `str` has them; by default "image 1", ...
      low, high: range of z1 and z2. Latents outside are shown at the border.
      title: of the page.

    Returns:
      An ExportReport, with the measured distance from the generator. The page says it too.

    Raises:
      TypeError, ValueError: path is a folder, the generator has no two-dimensional z or no images, arguments don't fit
        together or have values that are not finite, or the page would be farther than 5/255 from the generator, or
        larger than 2 MB.
    """
    path = to_write(path)
    latent_dim = getattr(generator, "latent_dim", "none")
    if latent_dim != 2:
        raise ValueError(
            f"export_explorer needs latent_dim=2, the plane that it shows; this generator has {latent_dim}."
        )
    z, images, names, low, high = check_arguments(generator, z, images, names, low, high)
    grid = latent_grid(generator, low, high, NUM).reshape(NUM, NUM, -1)[::-1]  # rows from the lowest z2
    shape = jax.eval_shape(generator, jnp.zeros(2)).shape
    thumbs = _thumbnails(z, images, names, low, high)
    template, look, view = (_text(name) for name in ("page.html", "view.css", "view.js"))
    fixed = len(template) + len(look) + len(view) + len(json.dumps(thumbs))
    room = LARGEST_FILE * 0.97 - fixed - 4 / 3 * 4 * np.prod(shape)
    rank = int(min(room / (4 / 3 * (np.prod(shape) + 2 * NUM**2 + 4)), 96, np.prod(shape)))
    if rank < 1:
        raise ValueError(f"images of {shape} are too large for a page of {LARGEST_FILE / 1e6:g} MB.")
    parts = _factorise(_scaled(grid).reshape(NUM**2, -1), rank)
    places = np.random.default_rng(0).uniform(low, high, (NUM_CHECKS, 2)).astype(np.float32)
    difference = evaluate(parts, places, low, high) - _scaled(reconstruct(generator, jnp.asarray(places))).reshape(
        NUM_CHECKS, -1
    )
    error = float(np.sqrt(np.mean(difference**2)))
    if error > LARGEST_ERROR:
        raise ValueError(
            f"over ({low:g}, {high:g}) the page would differ from the generator by {error:.1f} of 255 (root mean "
            f"square); at most {LARGEST_ERROR:g} is allowed. Pass a smaller range low, high."
        )
    page = Template(template).substitute(
        title=html.escape(readable(title)),
        style=look,
        view=view,
        note=f"This page runs no network. It adds up {rank} fixed images, and differs from the generator by "
        f"{error:.1f} of 255 (root mean square over {NUM_CHECKS} random places, measured when it was made).",
        data=json.dumps(_data(parts, shape, thumbs, z, low, high)).replace("<", "\\u003c"),
    )
    content = page.encode()
    if len(content) > LARGEST_FILE:
        raise ValueError(f"the page would have {len(content) / 1e6:.2f} MB, more than {LARGEST_FILE / 1e6:g}.")
    write_whole(path, content)
    return ExportReport(path, len(content), error, rank)


class Parts(NamedTuple):
    """What the page computes with.

    Attributes:
      mean: (D,) float32, on the scale 0 to 255.
      basis: B, (rank, D) int8.
      coefficients: c on the grid, (NUM * NUM, rank) int16, rows from the lowest z2.
      scale: (rank,) float32, by which c_k is to be multiplied.
    """

    mean: np.ndarray
    basis: np.ndarray
    coefficients: np.ndarray
    scale: np.ndarray


def evaluate(parts: Parts, z: np.ndarray, low: float, high: float) -> np.ndarray:
    """Returns the images of the page at z, (n, 2), by its own arithmetic: (n, D), from 0 to 255."""
    t = (np.asarray(z, np.float64) - low) / (high - low) * (NUM - 1)
    i = np.clip(np.floor(t).astype(int), 0, NUM - 2)
    u = t - i
    weights = np.stack(  # Catmull and Rom's cubic through the four points around
        [
            u * (-0.5 + u * (1 - 0.5 * u)),
            1 + u * u * (-2.5 + 1.5 * u),
            u * (0.5 + u * (2 - 1.5 * u)),
            u * u * (u - 1) / 2,
        ]
    )
    grid = parts.coefficients.reshape(NUM, NUM, -1) * parts.scale
    c = np.zeros((len(t), grid.shape[-1]))
    for p in range(4):
        for q in range(4):
            row, column = (np.clip(i[:, axis] + offset - 1, 0, NUM - 1) for axis, offset in ((1, p), (0, q)))
            c += (weights[p, :, 1] * weights[q, :, 0])[:, None] * grid[row, column]
    return np.clip(np.rint(parts.mean + c @ parts.basis.astype(np.float64)), 0, 255)


def _factorise(rows: np.ndarray, rank: int):
    """Parts whose sum is near the rows, (NUM * NUM, D)."""
    mean = rows.mean(axis=0)
    centred = rows - mean
    eigenvalues, vectors = np.linalg.eigh(centred @ centred.T)
    vectors = vectors[:, ::-1][:, :rank]
    basis = vectors.T @ centred  # rows of D numbers, with coefficients `vectors`
    basis_step = np.maximum(np.abs(basis).max(axis=1), 1e-20) / 127
    vector_step = np.abs(vectors).max(axis=0) / 32767
    return Parts(
        mean.astype(np.float32),
        np.rint(basis / basis_step[:, None]).astype(np.int8),
        np.rint(vectors / vector_step).astype(np.int16),
        (basis_step * vector_step).astype(np.float32),
    )


def _data(parts: Parts, shape: tuple, thumbs: list, z: np.ndarray, low: float, high: float):
    height, width, channels = shape
    return {
        "num": NUM,
        "rank": len(parts.basis),
        **{"height": height, "width": width, "channels": channels, "low": low, "high": high},
        "axes": ["z1", "z2"],
        "leading": 2,
        "start": [float(v) for v in np.clip(z[0], low, high)] if len(z) else [0.0, 0.0],
        "thumbs": thumbs,
        **{name: base64.b64encode(np.ascontiguousarray(array)).decode() for name, array in parts._asdict().items()},
    }


def _thumbnails(z: np.ndarray, images: np.ndarray, names: list[str], low: float, high: float):
    shown = evenly_spaced(len(z), MOST_MARKERS)
    source = lambda image: thumbnail(image) if len(shown) <= MOST_THUMBNAILS else ""
    names, z, images = ([values[i] for i in shown] for values in (names, z, images))
    return [
        {"name": name, "point": [round(float(v), 5) for v in np.clip(place, low, high)], "source": source(image)}
        for name, place, image in zip(names, z, images, strict=True)
    ]


def _scaled(images: np.ndarray):
    return 255 * to_display(images)


def _text(name: str):
    return (Path(__file__).parent / name).read_text("utf-8")

"""The latent explorer without a browser: what it shows, against the generator and against exact answers."""

import base64
import io
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import traitlets
from flax import nnx
from PIL import Image

import abp_jax as abp
from abp_jax.widgets.explorer import LatentExplorer, posterior, search
from abp_jax.widgets.explorer import plane as explorer_plane


class LinearImages(nnx.Module):
    """Images of 4 x 4 pixels, linear in z, so that every posterior is a normal distribution."""

    def __init__(self, latent_dim=2):
        self.latent_dim = latent_dim
        self.weights = nnx.Param(0.1 * jax.random.normal(jax.random.key(3), (latent_dim, 16)))

    def __call__(self, z):
        return (z @ self.weights[...]).reshape(4, 4, 1)

    def posterior(self, y, sigma):
        """Mean and precision."""
        w = np.asarray(self.weights[...], np.float64)
        precision = np.eye(self.latent_dim) + w @ w.T / sigma**2
        return np.linalg.solve(precision, w @ np.ravel(y) / sigma**2), precision


@pytest.fixture
def generator():
    return abp.ConvGenerator(image_size=16, width=4, rngs=nnx.Rngs(0))


def expected(generator, z):
    return np.rint(255 * abp.plots.to_display(abp.reconstruct(generator, jnp.array([z], jnp.float32))[0]))


def as_file(image):
    """An image (h, w, 3) in [-1, 1] as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(abp.plots.pixels(image)).save(buffer, "PNG")
    return buffer.getvalue()


def drop(explorer, name, data):
    """What the screen sends when a file is dropped on it."""
    explorer._hear(explorer, {"kind": "picture", "name": name, "data": base64.b64encode(data).decode()}, [])


def points(path):
    """The points of an SVG path, the second coordinate up."""
    return np.array([[float(x), -float(y)] for x, y in re.findall(r"[ML](\S+?) (-?[\d.e-]+)", path)])


def test_the_image_follows_z_whatever_kind_of_vector_it_is(generator):
    explorer = LatentExplorer(generator)
    np.testing.assert_array_equal(explorer.shown, expected(generator, [0.0, 0.0]))
    for z in ([1.5, -0.5], np.array([0.25, 2.0], np.float32), jnp.array([-1.0, 0.5]), (9.0, 0.0)):
        explorer.z = z
        np.testing.assert_allclose(explorer.z, z, rtol=1e-6)
        np.testing.assert_array_equal(explorer.shown, expected(generator, z))


def test_it_starts_at_the_first_z(generator):
    explorer = LatentExplorer(generator, jnp.array([[0.5, 1.0], [-1.0, 2.0]]), names=["a", "b"])
    np.testing.assert_array_equal(explorer.z, [0.5, 1.0])
    np.testing.assert_array_equal(explorer.shown, expected(generator, [0.5, 1.0]))
    np.testing.assert_array_equal(LatentExplorer(generator, jnp.array([0.5, 1.0])).z, [0.5, 1.0])


@pytest.mark.parametrize("z", [[1.0], [1.0, np.nan], "ab", [[1.0, 2.0]]])
def test_a_z_that_does_not_fit_changes_nothing(generator, z):
    explorer = LatentExplorer(generator)
    with pytest.raises(traitlets.TraitError, match=r"z must be 2 finite number\(s\)"):
        explorer.z = z
    assert explorer.z == (0.0, 0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(z=np.zeros((4, 3))), r"z must be \(n, 2\), one row for each image of this generator; got shape \(4, 3\)"),
        (dict(z=np.full((1, 2), np.inf)), "z holds nan or infinite values"),
        (dict(z=np.zeros((2, 2)), images=np.zeros((2, 8, 8, 3))), r"images must be \(2, 16, 16, 3\)"),
        (dict(z=np.zeros((2, 2)), names=["a"]), "names must be as many as z: got 1 for 2"),
        (dict(low=1, high=1), "high must be finite and above 1, got 1"),
        (dict(low=-np.inf), "low must be finite, got -inf"),
        (dict(high="a"), "high must be one number, finite and above -2.5; got 'a'"),
        (dict(low=None), "low must be one number, finite; got None"),
        (dict(z="ab"), "z must be real numbers, got 'ab'"),
        (dict(z=3.0), r"z must be \(n, 2\), .* got shape \(\)"),
        (dict(z=np.zeros((2, 2)), names="ab"), "names must be a list with one name for each z, got 'ab'"),
        (dict(z=np.zeros((2, 2)), names=5), "names must be a list with one name for each z, got 5"),
        (dict(z=np.zeros((1, 2)), images=np.full((1, 16, 16, 3), np.nan)), "images hold nan or infinite values"),
        (
            dict(z=np.zeros((1, 2)), images=np.full((1, 16, 16, 3), 255.0)),
            "these go from 255 to 255. For values from 0",
        ),
        (
            dict(z=np.zeros((1, 2)), images=np.full((1, 16, 16, 3), 7)),
            "images for a ConvGenerator have values from -1 to 1",
        ),
        (dict(generator=lambda z: z), "generator must be a flax.nnx.Module"),
        (dict(generator=abp.LinearGenerator(2, 5, rngs=nnx.Rngs(0))), r"shows images .* this generator gives \(5,\)"),
    ],
)
def test_bad_arguments(generator, arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        LatentExplorer(**{"generator": generator} | arguments)


@pytest.mark.parametrize("latent_dim", [1, 6])
def test_other_numbers_of_latents(latent_dim):
    generator = abp.ConvGenerator(latent_dim, image_size=8, width=4, channels=1, rngs=nnx.Rngs(0))
    z = jax.random.normal(jax.random.key(1), (9, latent_dim))
    explorer = LatentExplorer(generator, z)
    np.testing.assert_array_equal(explorer.shown, expected(generator, z[0]))
    assert explorer.plane.names == ([f"direction {i + 1}" for i in range(6)] if latent_dim == 6 else ["z1"])


def test_without_a_screen_it_says_what_to_do(generator):
    bundle = LatentExplorer(generator)._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "pip install --upgrade anywidget ipywidgets" in data["text/plain"]


def test_an_error_shows_in_the_widget_and_goes_when_all_is_well(generator):
    explorer = LatentExplorer(generator)
    explorer.generator = abp.ConvGenerator(3, image_size=16, width=4, rngs=nnx.Rngs(0))
    explorer.set_trait("z", (1.0, 0.0, 0.0))
    assert explorer._failure == ""
    explorer.render = lambda z: 1 / 0
    explorer.z = [1.0, 1.0, 0.0]
    assert explorer._failure == "ZeroDivisionError: division by zero"
    del explorer.render
    explorer.z = [0.0, 1.0, 0.0]
    assert explorer._failure == ""


@pytest.mark.parametrize("scale", [[1, 1, 1, 1, 1], [1, 4, 0.5, 2, 0]])
def test_coordinates_are_the_directions_in_which_the_images_differ_most(scale):
    """With f linear: the principal components of the images f(z), found here from the images themselves."""
    generator = LinearImages(5)
    z = np.random.default_rng(0).normal(size=(400, 5)) * scale + 3
    plane = explorer_plane.plane_of(generator, z)
    np.testing.assert_allclose(plane.directions @ plane.directions.T, np.eye(5), atol=1e-9)
    np.testing.assert_allclose(plane.to_z(plane.to_points(z)), z, rtol=1e-5)
    images = (z - z.mean(axis=0)) @ np.asarray(generator.weights[...])
    _, _, components = np.linalg.svd(images, full_matrices=False)
    whitened = np.linalg.pinv(images) @ (z - z.mean(axis=0))  # from images back to z
    first = components[0] @ whitened
    cosine = first @ plane.directions[0] / np.linalg.norm(first)
    np.testing.assert_allclose(abs(cosine), 1, rtol=1e-3)
    np.testing.assert_allclose(plane.to_z([1.0, -2.0]), plane.origin + plane.directions[0] - 2 * plane.directions[1])
    assert explorer_plane.plane_of(generator, z[:2]).directions.shape == (5, 5)


def test_the_backdrop_shows_what_lies_where(generator):
    plane = explorer_plane.plane_of(generator, np.zeros((0, 2)))
    atlas = np.asarray(Image.open(io.BytesIO(explorer_plane.backdrop_of(generator, plane, -2.0, 2.0))), np.float32)
    side, half = atlas.shape[0] // explorer_plane.CELLS, 2 / explorer_plane.CELLS
    for row, column, z in ((0, 0, [-2 + half, 2 - half]), (15, 3, [-2 + 7 * half, -2 + half])):
        cell = atlas[row * side : (row + 1) * side, column * side : (column + 1) * side]
        np.testing.assert_allclose(cell.mean(axis=(0, 1)), expected(generator, z).mean(axis=(0, 1)), atol=2)


@pytest.mark.parametrize("latent_dim", [2, 5])
def test_the_lines_of_the_posterior_are_those_of_the_exact_normal(latent_dim):
    """Under the lens at 1, 2 and 3 standard deviations of the cut along the plane; on the plane at even steps."""
    generator, sigma = LinearImages(latent_dim), 0.3
    z = jax.random.normal(jax.random.key(0), (20, latent_dim))
    explorer = LatentExplorer(generator, z, sigma=sigma)
    explorer.posterior_of = 7
    mean, precision = generator.posterior(explorer.render(z[7]), sigma)
    axes = explorer.plane.directions[:2]
    shown, precision_in_plane = explorer._posterior, axes @ precision @ axes.T
    centre = explorer.plane.to_points(mean)[:2]
    np.testing.assert_allclose(shown["lens"]["at"], centre, atol=1e-3)
    widths = np.sqrt(np.diag(np.linalg.inv(precision_in_plane)))
    for path, k in zip(shown["lens"]["paths"], (3, 2, 1), strict=True):
        offsets = points(path) * posterior.LENS_WIDTHS * widths.max()
        np.testing.assert_allclose(np.sqrt(np.sum(offsets @ precision_in_plane * offsets, axis=1)), k, rtol=0.02)
    assert f"{widths[0]:.2g} and {widths[1]:.2g} along" in shown["text"]
    assert ("the other 3 held at the mode" in shown["text"]) == (latent_dim == 5)
    distance = lambda p: np.sqrt(np.einsum("ni,ij,nj->n", p - centre, precision_in_plane, p - centre))
    grid = np.stack(np.meshgrid(*2 * [np.linspace(-2.5, 2.5, posterior.MAP_POINTS)]), axis=-1).reshape(-1, 2)
    r = distance(grid)
    levels = r.min() + np.ptp(r) * (np.arange(9) + 0.5) / 9
    off = np.abs(distance(points(shown["contours"]))[:, None] - levels).min(axis=1)
    assert len(off) > 100 and off.max() < 0.06 * np.ptp(r) / 9  # where cubic interpolation ends
    below = float(re.search(r"lies ([\d,]+) nats", shown["text"])[1].replace(",", ""))
    assert abs(below - r.max() ** 2 / 2) < 1
    explorer.posterior_of = -1
    assert explorer._posterior is None and explorer._status == ""


def test_the_chains_find_the_z_of_a_new_picture(generator):
    """The picture is what the generator draws, so the best z draws it again; and the same picture gives the same z."""
    explorer = LatentExplorer(generator, np.eye(2), images=abp.reconstruct(generator, jnp.eye(2)), sigma=0.02)
    picture = explorer.render([0.7, -0.4])
    drop(explorer, "mine.png", as_file(picture))
    assert explorer._failure == ""
    found = explorer.z
    assert np.mean((explorer.render(found) - picture) ** 2) < 1e-3
    np.testing.assert_array_equal(explorer.shown, expected(generator, found))
    assert explorer._own[0]["name"] == "mine.png"
    np.testing.assert_allclose(explorer._own[0]["point"], found, rtol=1e-5)
    assert re.search(r"mine.png: mean squared error 0\.00\d .* The 2 images on the plane have 0.000", explorer._status)
    explorer.z = [0.0, 0.0]
    drop(explorer, "mine.png", as_file(picture))
    assert explorer.z == found and len(explorer._own) == 2
    explorer.posterior_of = 3
    assert explorer._posterior is not None and explorer._status.startswith("mine.png. The lens")


def test_chains_of_a_new_picture_agree_with_infer(generator):
    images = np.asarray(abp.reconstruct(generator, jnp.array([[0.7, -0.4], [-1.0, 1.0]])))
    z = abp.infer(generator, images, key=jax.random.key(1), sigma=0.05)
    for y, expected_z in zip(images, z, strict=True):
        *_, (places, best) = search.Search(generator, 0.05, jax.random.key(0)).run(y)
        difference = generator(jnp.asarray(places[best])) - generator(expected_z)
        assert float(jnp.mean(difference**2)) < 0.05**2


def test_a_bad_picture_is_said_and_changes_nothing(generator):
    explorer = LatentExplorer(generator, np.eye(2))
    for data in (b"", b"not an image", as_file(np.zeros((16, 16, 3)))[:60]):
        drop(explorer, "holiday.jpg", data)
        assert explorer._failure.startswith("ValueError: holiday.jpg could not be read as an image")
        assert explorer.z == (1.0, 0.0) and explorer._own == [] and explorer._status == ""


def test_what_lies_outside_of_the_sliders_stays_there():
    generator = abp.ConvGenerator(3, image_size=8, width=4, rngs=nnx.Rngs(0))
    z = np.array([[4.0, 0.0, -3.0]])
    explorer = LatentExplorer(generator, z)
    np.testing.assert_allclose(explorer.z, z[0])


def test_the_index_of_a_posterior_is_checked(generator):
    explorer = LatentExplorer(generator, np.eye(2))
    with pytest.raises(traitlets.TraitError, match="one of 2 images, or -1; got 2"):
        explorer.posterior_of = 2
    one = LatentExplorer(abp.ConvGenerator(1, image_size=8, width=4, rngs=nnx.Rngs(0)), np.ones((2, 1)))
    with pytest.raises(traitlets.TraitError, match="needs a plane"):
        one.posterior_of = 0


def test_without_images_it_does_not_claim_to_have_any(generator):
    explorer = LatentExplorer(generator, np.eye(2))
    drop(explorer, "a.png", as_file(explorer.render([0.0, 0.5])))
    assert "mean squared error" in explorer._status and "images" not in explorer._status
    explorer.posterior_of = 1
    assert explorer._status.startswith("What the generator draws at the z of image 2. The lens")


def test_bytes_are_the_images_that_they_stand_for(generator):
    """The posterior is that of the decoded image, and so is the thumbnail."""
    as_floats, as_bytes = (LatentExplorer(generator, np.eye(2), images=images) for images in two_kinds_of_images())
    for explorer in (as_floats, as_bytes):
        explorer.posterior_of = 0
    assert as_floats._posterior["text"] == as_bytes._posterior["text"]
    assert as_floats._config["thumbs"] == as_bytes._config["thumbs"]


def two_kinds_of_images():
    pictures = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    return pictures / np.float32(127.5) - 1, pictures


def test_names_of_any_kind_are_shown_as_text(generator):
    for names in (np.arange(2), [Path("a"), None], np.array([b"a", b"\xff"]), (i for i in "ab"), ["\ud800", "\udcff"]):
        shown = [thumb["name"] for thumb in LatentExplorer(generator, np.eye(2), names=names)._config["thumbs"]]
        assert all(type(name) is str and name.encode() for name in shown)
    assert shown == ["\ufffd", "\ufffd"]


def test_hundreds_of_images_are_dots(generator):
    z = np.random.default_rng(0).normal(size=(700, 2)).astype(np.float32)
    thumbs = LatentExplorer(generator, z, images=np.zeros((700, 16, 16, 3)))._config["thumbs"]
    assert len(thumbs) == explorer_plane.MOST_MARKERS and {t["source"] for t in thumbs} == {""}
    for thumb in thumbs[::50]:
        np.testing.assert_allclose(thumb["point"], z[thumb["index"]], rtol=1e-6)


def test_a_grey_generator_takes_a_picture_in_colour():
    generator = abp.ConvGenerator(image_size=8, width=4, channels=1, rngs=nnx.Rngs(0))
    explorer = LatentExplorer(generator)
    drop(explorer, "a.png", as_file(np.zeros((30, 20, 3))))
    assert explorer._failure == "" and len(explorer._own) == 1

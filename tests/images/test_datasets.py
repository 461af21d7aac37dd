"""The sets of the experiments: shapes, ranges, hashes, and how larger sets are drawn from smaller ones."""

import gzip
import shutil

import numpy as np
import pytest

import abp_jax as abp
from abp_jax.images import datasets


@pytest.mark.parametrize(
    "load", [datasets.load_clothes, datasets.load_digits, datasets.load_textures], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("size", [32, 16])
def test_every_set_has_the_same_shape_and_range(load, size):
    images = load(50, size=size)
    assert images.shape == (50, size, size, 1) and images.dtype == np.float32
    assert images.min() >= -1 and images.max() <= 1
    assert images.max() - images.min() > 1.5
    assert len(np.unique(images.reshape(50, -1), axis=0)) == 50


def test_clothes_are_in_the_order_of_the_file_with_their_kinds():
    images, kinds = datasets.load_clothes(), datasets.clothes_labels()
    assert images.shape == (10_000, 32, 32, 1)
    np.testing.assert_array_equal(np.bincount(kinds), [1000] * 10)
    np.testing.assert_array_equal(images[:7], datasets.load_clothes(7))
    assert datasets.CLOTHES[kinds[0]] == "ankle boot"
    # trousers are narrow, sandals dark, bags wide: labels and images belong together
    width = lambda kind: (images[kinds == datasets.CLOTHES.index(kind)] > 0).any(axis=1).sum(axis=(1, 2)).mean()
    assert width("trousers") < width("dress") + 4 < width("bag") - 4
    np.testing.assert_array_equal(images[:, [0, 1, 30, 31]], -1)  # the border


def test_digits_are_those_of_scikit_learn():
    from sklearn.datasets import load_digits

    images = datasets.load_digits(size=8)
    np.testing.assert_allclose(images[..., 0], load_digits().images / 8 - 1, atol=1 / 127)


def test_textures_follow_from_their_seed():
    a, b, c = (datasets.load_textures(9, seed=k) for k in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
    np.testing.assert_array_equal(datasets.load_textures(5), a[:5])


def test_a_larger_set_is_the_smaller_one_mirrored_and_shifted():
    images = datasets.load_clothes(3)
    drawn = datasets.enlarge(images, 30)
    np.testing.assert_array_equal(drawn[:3], images)
    np.testing.assert_array_equal(drawn[3:6], images[:, :, ::-1])
    for k, (rows, columns) in enumerate([(0, -1), (0, 1), (-1, 0), (1, 0)]):
        moved = np.roll(drawn[:6], (rows, columns), axis=(1, 2))  # the border is black
        np.testing.assert_array_equal(drawn[6 + 6 * k : 12 + 6 * k], moved)
    np.testing.assert_array_equal(datasets.enlarge(images, 4), drawn[:4])
    for num in (0, 31):
        with pytest.raises(ValueError, match=f"1 to 30 can be drawn; {num} were asked for"):
            datasets.enlarge(images, num)


def test_a_folder_of_images_in_grey(tmp_path):
    from PIL import Image

    colours = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png")
    images = abp.load_images(tmp_path, size=9, channels=1)
    assert images.shape == (1, 9, 9, 1)
    luma = colours @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(images[0, ..., 0], luma / 127.5 - 1, atol=1.1 / 127.5)
    with pytest.raises(ValueError, match="channels must be 3 or 1, got 2"):
        abp.load_images(tmp_path, channels=2)


def test_a_file_that_was_changed_is_refused(tmp_path, monkeypatch):
    shutil.copytree(abp.data.data_folder() / "clothes", tmp_path / "clothes")
    file = tmp_path / "clothes" / "t10k-images-idx3-ubyte.gz"
    content = bytearray(gzip.decompress(file.read_bytes()))
    content[1000] ^= 1
    file.write_bytes(gzip.compress(bytes(content), 1))
    monkeypatch.setattr(datasets, "data_folder", lambda: tmp_path)
    with pytest.raises(ValueError, match="its SHA-256 is .* Put the file back"):
        datasets.load_clothes(5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: datasets.load_clothes(10_001),
            "1 to 10,000 images .*, 10,001 were asked for. datasets.enlarge",
        ),
        (lambda: datasets.load_clothes(0), "1 to 10,000 images"),
        (lambda: datasets.load_clothes(split="valid"), '"test" .10,000 clothes.'),
        (lambda: datasets.load_clothes(2, size=0), "size must be positive, got 0"),
        (lambda: datasets.load_textures(0), "num must be positive, got 0"),
        (lambda: datasets.load_faces(source="celeba"), '"olivetti" or "lfw", got \'celeba\''),
    ],
)
def test_what_is_not_there_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""Paths, folders and image files as people have them: what is loaded, what is said of the rest, and what is refused."""

import importlib
import inspect
import io
import os
import pkgutil
import shutil
import struct
import warnings
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

import abp_jax as abp
from abp_jax.images import data, files
from abp_jax.relatives import rows


def save(path, mode="L", size=(9, 9), level=200, **options):
    Image.new(mode, size, level).save(path, **options)


SIZE = r"^size must be (a whole number of pixels, the side of each square image|positive|at most 7,071), got .*\.$"


@pytest.mark.parametrize("size", [64.0, 16.5, "64", None, (64, 64), [64], True, np.True_, np.float32(64), 0, -3, 7072])
def test_a_size_that_is_no_number_of_pixels_is_refused_by_its_name(tmp_path, size):
    save(tmp_path / "a.png")
    for load in (
        lambda: abp.load_images(tmp_path, size),
        lambda: abp.load_image(tmp_path / "a.png", size),
        lambda: abp.load_lion_tiger(size=size),
        lambda: abp.load_fashion_mnist(3, size=size),
    ):
        with pytest.raises((TypeError, ValueError), match=SIZE) as caught:
            load()
        assert "a.png" not in str(caught.value)


@pytest.mark.parametrize("size", [5, np.int64(5), np.uint8(5), np.array(5), jnp.int32(5)])
def test_whole_numbers_of_any_type_are_a_size(tmp_path, size):
    save(tmp_path / "a.png")
    assert abp.load_images(tmp_path, size, channels=np.int8(1)).shape == (1, 5, 5, 1)


@pytest.mark.parametrize("channels", [3.0, True, "RGB", 2, 4, 0, None, (3,)])
def test_channels_are_three_or_one(tmp_path, channels):
    save(tmp_path / "a.png")
    with pytest.raises((TypeError, ValueError), match="^channels must be (a whole number|3 or 1), got"):
        abp.load_image(tmp_path / "a.png", 8, channels)


@pytest.mark.parametrize("num", [2.0, "3", True, [3]])
def test_numbers_of_images_are_whole(num):
    for load in (abp.load_fashion_mnist, abp.load_digits, lambda n: abp.datasets.enlarge(np.zeros((2, 4, 4, 1)), n)):
        with pytest.raises(TypeError, match="^num must be a whole number of images, got"):
            load(num)


@pytest.mark.parametrize(
    "folder", [["a.png"], ("a.png", "b.png"), None, 5, {"a"}, np.zeros(3), "", "a\0b", io.BytesIO()]
)
def test_a_folder_is_one_path(folder):
    with pytest.raises(ValueError, match="^folder must be ") as caught:
        abp.load_images(folder)
    assert ("load_image(file, size)" in str(caught.value)) == isinstance(folder, list | tuple)


def test_what_is_no_file_is_not_called_a_bad_image(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*nowhere\.png. Check the path"):
        abp.load_image(tmp_path / "nowhere.png")
    with pytest.raises(IsADirectoryError, match="is a folder. load_images"):
        abp.load_image(tmp_path)
    for file in (None, 5, ["a.png"], np.zeros((3, 3)), Image.new("L", (3, 3))):
        with pytest.raises(ValueError, match="^file must be one path"):
            abp.load_image(file)
    with pytest.raises(ValueError, match="^file must be open for bytes"):
        abp.load_image(io.StringIO("text"))
    save(tmp_path / "a.png")
    with open(tmp_path / "a.png", "rb") as stream:
        assert abp.load_image(stream, 8).shape == (8, 8, 3)


def test_a_fault_of_ours_is_not_blamed_on_the_file(tmp_path, monkeypatch):
    save(tmp_path / "a.png")
    monkeypatch.setattr(files.ImageOps, "fit", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        abp.load_images(tmp_path)


def test_every_format_that_pillow_reads_is_loaded(tmp_path):
    suffixes = [s for s in ".jfif .jpe .gif .ppm .jp2 .tga .ico .avif".split() if s in files.suffixes()]
    assert {".jfif", ".jpe", ".gif", ".ppm", ".tga"} <= {*suffixes}
    for suffix in suffixes:
        save(
            tmp_path / f"a{suffix.upper()}",
            "RGB",
            (16, 16),
            (200, 200, 200),
            format=Image.registered_extensions()[suffix],
        )
    images = abp.load_images(tmp_path, 8)
    assert len(images) == len(suffixes)
    np.testing.assert_allclose(images, 200 / 127.5 - 1, atol=0.03)


def test_what_is_skipped_is_said(tmp_path):
    save(tmp_path / "a.png")
    for name in ("notes.txt", "labels.csv", "model.h5", "film.mpg", ".hidden.heic", "._a.jpg", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"something")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(abp.load_images(tmp_path, 8)) == 1
    for name in ("b.heic", "c.svg", "d.CR2"):
        (tmp_path / name).write_bytes(b"something")
    for name in ("no_suffix", "e.jpg_large"):
        (tmp_path / name).write_bytes((tmp_path / "a.png").read_bytes())
    with pytest.warns(UserWarning, match=r"5 were not loaded, b\.heic, c\.svg, d\.CR2, e\.jpg_large, no_suffix: "):
        assert len(abp.load_images(tmp_path, 8)) == 1
    (tmp_path / "a.png").unlink()
    with pytest.raises(ValueError, match=r"no image in .*There are b\.heic, c\.svg, .*Save them as \.png"):
        abp.load_images(tmp_path, 8)


def test_folders_are_no_files(tmp_path):
    (tmp_path / "holiday.jpg").mkdir()
    save(tmp_path / "holiday.jpg" / "deep.png")
    with pytest.raises(ValueError, match=r"no image in .*sub-folders have some \(holiday\.jpg\)"):
        abp.load_images(tmp_path)
    save(tmp_path / "a.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "holiday.jpg")
    os.mkfifo(tmp_path / "pipe.png")
    assert len(abp.load_images(tmp_path)) == 1
    (tmp_path / "broken.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(FileNotFoundError, match=r"no file .*broken\.png"):
        abp.load_images(tmp_path)


def test_sub_folders_with_images_are_pointed_out(tmp_path):
    for name in ("cats", "dogs/small", ".cache", "texts"):
        (tmp_path / name).mkdir(parents=True)
    save(tmp_path / "cats" / "a.png")
    save(tmp_path / "dogs" / "small" / "a.png")
    (tmp_path / "texts" / "a.txt").write_text("a")
    with pytest.raises(ValueError, match=r"sub-folders have some \(cats, dogs.small\), .*np\.concatenate"):
        abp.load_images(tmp_path)


def png(depth, colour, rows, transparent):
    """A PNG file of two columns: tRNS says which level is transparent."""
    part = lambda kind, d: struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d))
    head = part(b"IHDR", struct.pack(">IIBBBBB", 2, len(rows), depth, colour, 0, 0, 0))
    pixels = part(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + head + part(b"tRNS", transparent) + pixels + part(b"IEND", b"")


@pytest.mark.parametrize(
    ("depth", "colour", "row", "transparent", "other"),
    [
        (1, 0, b"\x40", [0], 255),
        (2, 0, b"\x70", [1], 255),
        (2, 0, b"\x60", [1], 170),
        (4, 0, b"\x3a", [3], 170),
        (8, 0, b"\x33\xaa", [0x33], 170),
        (16, 0, b"\x12\x34\xaa\xaa", [0x1234], 170),
        (8, 2, b"\x01\x02\x03\xaa\xaa\xaa", [1, 2, 3], 170),
        (16, 2, b"\x01\x00\x02\x00\x03\x00\xaa\xaa\xaa\xaa\xaa\xaa", [0x100, 0x200, 0x300], 170),
    ],
)
def test_a_transparent_level_is_white_at_every_depth(depth, colour, row, transparent, other):
    file = io.BytesIO(png(depth, colour, [row] * 2, struct.pack(f">{len(transparent)}H", *transparent)))
    image = (abp.load_image(file, 2) + 1) * 127.5
    np.testing.assert_allclose(image[0], [[255] * 3, [other] * 3], atol=1e-3)


def test_few_bits_in_sixteen_are_warned_of(tmp_path):
    grey = np.linspace(0, 4095, 81).reshape(9, 9).astype(np.uint16)
    for name in ("a.tif", "b.png"):
        Image.fromarray(grey).save(tmp_path / name)
    Image.fromarray(grey * 16).save(tmp_path / "c.tif")
    with pytest.warns(
        UserWarning, match=r"a\.tif, .*b\.png: dark, with at most 6.2%.*multiply the values by 16 "
    ) as told:
        abp.load_images(tmp_path, 8)
    assert len(told) == 1 and told[0].filename == __file__
    Image.fromarray(grey * 4).save(tmp_path / "d.tif")
    with pytest.warns(UserWarning, match="multiply the values by 4 "):
        abp.load_image(tmp_path / "d.tif", 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for dark in (grey * 16, grey * 0, np.uint8(grey // 256)):
            Image.fromarray(dark).save(tmp_path / "d.tif")
            abp.load_image(tmp_path / "d.tif", 8)


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "a.bin"
    files.write_whole(path, b"one")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda number: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            files.write_whole(path, b"two")
    assert path.read_bytes() == b"one" and list(path.parent.iterdir()) == [path]
    for bad in (tmp_path, tmp_path / "new", path / "b.bin", "~", ".", None, ["a"], ""):
        with pytest.raises(ValueError, match="^path must be"):
            files.to_write(bad)


# Every function that takes a path, and a call of it with a path below the home folder.
WITH_PATHS = {
    "images.data.load_images": lambda g, z: abp.load_images("~/pictures", 8),
    "images.data.load_image": lambda g, z: abp.load_image("~/pictures/a.png", 8),
    "images.data.fetch_course_photographs": lambda g, z: data.fetch_course_photographs("~/cache"),
    "images.files.expanded": lambda g, z: files.expanded("~/x"),
    "images.files.to_write": lambda g, z: files.to_write("~/x"),
    "images.files.image_files": lambda g, z: files.image_files("~/pictures"),
    "fitting.fit": lambda g, z: abp.fit(
        g, np.zeros((3, 8, 8, 3)), 1, key=jax.random.key(0), checkpoint_dir="~/run", whitening=False, progress=False
    ),
    "relatives.rows.load": lambda g, z: rows.load("~/experiments"),
    "relatives.rows.load_grey": lambda g, z: rows.load_grey("~/experiments"),
    "training.session.begin_or_continue": None,  # of fit
    "training.checkpoints.save": None,
    "training.checkpoints.restore": None,
    "training.checkpoints.in_use": None,
    "training.checkpoints.exists": lambda g, z: abp.checkpoints.exists("~/run") or 1 / 0,
    "training.checkpoints.begins_at": lambda g, z: abp.checkpoints.begins_at("~/run", 0) or 1 / 0,
    "training.generator_files.save_generator": lambda g, z: abp.save_generator("~/g.safetensors", g, z),
    "training.generator_files.load_generator": lambda g, z: abp.load_generator("~/g.safetensors", g),
    "widgets.explorer.page.export_explorer": lambda g, z: abp.export_explorer(g, "~/page.html", z=z),
    "widgets.monitor.widget.TrainingMonitor.save": lambda g, z: _drawn().save("~/picture.png"),
}


def _drawn():
    monitor = abp.TrainingMonitor(np.zeros((3, 5)))
    monitor.png = b"a picture"
    return monitor


def _takes_path(function):
    parameters = inspect.signature(function).parameters.values()
    return any("Path" in str(p.annotation) and "str" in str(p.annotation) for p in parameters)


def test_every_path_knows_the_home_folder(tmp_path, monkeypatch):
    found = set()
    for module in pkgutil.walk_packages(abp.__path__, "abp_jax."):
        for name, thing in vars(importlib.import_module(module.name)).items():
            if getattr(thing, "__module__", None) != module.name or name.startswith("_"):
                continue
            members = {f"{name}.{k}": v for k, v in vars(thing).items()} if isinstance(thing, type) else {name: thing}
            functions = {k: v for k, v in members.items() if inspect.isfunction(v) and "._" not in k and _takes_path(v)}
            found |= {f"{module.name.removeprefix('abp_jax.')}.{k}" for k in functions}
    assert found == set(WITH_PATHS)
    home, here = tmp_path / "home", tmp_path / "here"
    (home / "pictures").mkdir(parents=True)
    (home / "cache").mkdir()
    shutil.copytree(data.data_folder() / "experiments", home / "experiments")
    here.mkdir()
    save(home / "pictures" / "a.png")
    monkeypatch.setattr(data, "COURSE_SHA256", {})
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    for call in filter(None, WITH_PATHS.values()):
        call(abp.ConvGenerator(image_size=8, width=4, rngs=nnx.Rngs(0)), jnp.zeros((2, 2)))
    assert list(here.iterdir()) == []
    written = {"run", "g.safetensors", "page.html", "picture.png"}
    assert written <= {f.name for f in home.iterdir()}
    assert files.expanded("~nobody_of_this_name/x") == Path("~nobody_of_this_name/x")

import hashlib
import http.server
import threading

import numpy as np
import pytest
from PIL import Image

import abp_jax as abp
from abp_jax.images import data


def save(folder, name, array, mode=None, **options):
    Image.fromarray(array, mode).save(folder / name, **options) if mode else Image.fromarray(array).save(
        folder / name, **options
    )


def ramp(h=8, w=8):
    return np.uint8(np.linspace(0, 255, h * w).reshape(h, w))


def test_range_shape_and_order(tmp_path):
    for name, level in [("b.png", 0), ("a.jpg", 255), ("c.bmp", 128), ("d.webp", 0), ("e.tiff", 255), ("F.PNG", 0)]:
        save(tmp_path, name, np.full((9, 9, 3), level, np.uint8))
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "._a.jpg").write_bytes(b"a hidden file")
    images = abp.load_images(tmp_path, size=4)
    assert images.shape == (6, 4, 4, 3) and images.dtype == np.float32
    means = images.mean(axis=(1, 2, 3))  # F, a, b, c, d, e: capital letters sort first
    np.testing.assert_allclose(means, [-1, 1, -1, 128 / 127.5 - 1, -1, 1], atol=0.02)


def test_grey_palette_alpha_cmyk_and_16_bit_are_the_same_image(tmp_path):
    grey = ramp()
    rgb = Image.fromarray(grey).convert("RGB")
    alpha = np.dstack([np.zeros((8, 8, 3), np.uint8), 255 - grey])  # black ink on white paper
    save(tmp_path, "1_grey.png", grey)
    rgb.quantize(256).save(tmp_path / "2_palette.png")
    save(tmp_path, "3_alpha.png", alpha)
    rgb.convert("CMYK").save(tmp_path / "4_cmyk.tiff")
    save(tmp_path, "5_16bit.png", grey.astype(np.uint16) * 257)
    save(tmp_path, "6_16bit.tiff", grey.astype(np.uint16) * 257)
    rgb.convert("LA").save(tmp_path / "7_la.png")
    images = abp.load_images(tmp_path, size=8)
    expected = np.broadcast_to((grey / 127.5 - 1)[..., None], (8, 8, 3))
    for image in images:
        np.testing.assert_allclose(image, expected, atol=2 / 127.5)


def test_exif_rotation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by 90 degrees clockwise to see it so
    Image.fromarray(ramp()).save(tmp_path / "turned.png", exif=exif)
    image = abp.load_images(tmp_path, size=8)[0, ..., 0]
    np.testing.assert_allclose(image, np.rot90(ramp(), -1) / 127.5 - 1, atol=1e-6)


def test_central_square_of_a_wide_image(tmp_path):
    wide = np.zeros((8, 24), np.uint8)
    wide[:, 8:16] = 255
    save(tmp_path, "wide.png", wide)
    assert abp.load_images(tmp_path, size=8).min() > 0.99


def test_missing_empty_and_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere"):
        abp.load_images(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"no image in .*\.jpg"):
        abp.load_images(tmp_path)
    save(tmp_path, "a.png", ramp())
    with pytest.raises(NotADirectoryError, match=r"a\.png is a file"):
        abp.load_images(tmp_path / "a.png")
    with pytest.raises(ValueError, match="size must be positive"):
        abp.load_images(tmp_path, size=0)


@pytest.mark.parametrize("name", ["bad.png", "bad.jpg", "bad.webp", "bad.tiff"])
def test_a_truncated_or_corrupt_file_is_named(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    save(tmp_path, name, noise)
    whole = (tmp_path / name).read_bytes()
    for broken in (whole[: len(whole) // 2], b"plainly not an image"):
        (tmp_path / name).write_bytes(broken)
        with pytest.raises(ValueError, match=rf"{name} could not be read as an image .*replace the file"):
            abp.load_images(tmp_path)


def test_decompression_bomb_is_refused_unopened(tmp_path):
    for side in (7_100, 14_000):  # above our limit; above pillow's own
        Image.new("1", (side, side)).save(tmp_path / "bomb.png")
        with pytest.raises(ValueError, match=r"bomb\.png has more than 50,000,000 pixels"):
            abp.load_images(tmp_path)


def test_float_image_is_refused(tmp_path):
    save(tmp_path, "float.tiff", np.ones((4, 4), np.float32))
    with pytest.raises(ValueError, match=r"float\.tiff .*floating-point"):
        abp.load_images(tmp_path)


def test_shipped_faces():
    images = abp.load_lion_tiger(size=32)
    assert images.shape == (11, 32, 32, 3) and images.max() <= 1 and images.min() >= -1
    assert abp.lion_tiger_labels() == ["lion"] * 5 + ["tiger"] * 6
    files = data.image_files(data.data_folder() / "lion_tiger")
    assert [f.name.split("_")[0] for f in files] == abp.lion_tiger_labels()
    with pytest.raises(ValueError, match='source must be "faces" or "course"'):
        abp.load_lion_tiger(source="photos")


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server on this machine that serves eleven pictures, registered in the place of the course photographs."""
    folder = tmp_path / "served"
    folder.mkdir()
    hashes = {}
    for i, name in enumerate(data.COURSE_SHA256):
        save(folder, name, np.full((9, 9, 3), 20 * i, np.uint8))
        hashes[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args):
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    monkeypatch.setattr(data, "COURSE_URL", f"http://127.0.0.1:{httpd.server_address[1]}/")
    monkeypatch.setattr(data, "COURSE_SHA256", hashes)
    yield folder, httpd
    httpd.shutdown()
    httpd.server_close()


def test_course_photographs_are_fetched_checked_and_cached(server, tmp_path):
    folder, _ = server
    cache = tmp_path / "cache"
    files = data.fetch_course_photographs(cache)
    assert [f.name for f in files] == sorted(data.COURSE_SHA256) and len(files) == 11
    for file in folder.iterdir():
        file.unlink()
    assert data.fetch_course_photographs(cache) == files  # from the cache
    assert len(abp.lion_tiger_labels("course")) == 11


def test_a_tampered_photograph_is_refused_and_not_kept(server, tmp_path):
    folder, _ = server
    (folder / "3.jpg").write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"3\.jpg gave is not the expected photograph"):
        data.fetch_course_photographs(tmp_path / "cache")
    assert not (tmp_path / "cache" / "3.jpg").exists()


def test_offline_says_what_to_do(server, tmp_path):
    _, httpd = server
    httpd.shutdown()
    httpd.server_close()
    with pytest.raises(ConnectionError, match=r'(?s)Connect this machine.*copy the files.*source="faces"'):
        data.fetch_course_photographs(tmp_path / "cache")

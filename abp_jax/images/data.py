"""Images as arrays: float32 of shape (n, height, width, channel) in [-1, 1], where -1 is black and 1 is white."""

from pathlib import Path

import jax
import numpy as np

from abp_jax.images import arguments
from abp_jax.images.files import MAX_PIXELS, expanded, image_files, read_image, warn_if_dark

COURSE_URL = (
    "https://raw.githubusercontent.com/EricMFischer/abp-generator-tf/"
    "be0fe155b26203cd2637fb0c69ab0b0fd3cec608/GenNet/Image/lion_tiger/"
)
COURSE_SHA256 = {
    "1.jpg": "b034a00d21c92f12766c57866875caaebe71047e3ea3fbdfdeda9257d579a1d7",
    "2.jpg": "989263264b7d4997b1c3230f0d4bbab64f2c0452fd3e71263e236b26f1df8d7f",
    "3.jpg": "7a151e28235a8655eec7a3364e0a85acb9fc3f630a2d77eba688e839d9d61f94",
    "4.jpg": "4decae14720be5abcd462b0c5ff5e0a24935e4c8ee3488453dfe1dc959781dee",
    "5.jpg": "0e17470b4efdc9d270e6fa0cbcce8fac0517447b474467c2acf99a624c4f3e92",
    "6.jpg": "ebf41d3012397a67679e71c92442d84c707dd25edf6c2fc32494d0751b99e6c4",
    "A1.jpg": "f37a82a7dfcad51acf7b4940e4a690d426e366cb94595c7667d3685960277350",
    "A2.jpg": "b6d69f18a83120ab63bc1734221a3feac4ddd27f559c0ab0037b7adf537f7f32",
    "A3.jpg": "24c1d7c8383071bb9b300d4aa29f0d89b83c1706a0157d812cd7e7a7b9639130",
    "A4.jpg": "3e57068224aca566fbce262335eae56cc3c061478ca514e9859d0c13d6861d29",
    "A5.jpg": "87f4ef169eaef22cb70ba6204833e5e2a68d4f63c2f4e45613f56a7b86a93307",
}


def load_images(folder: str | Path, size: int = 64, channels: int = 3) -> np.ndarray:
    """Loads every image file of a folder, in the order of the file names.

    Each image is turned upright (EXIF), laid on white where it is transparent, converted to RGB, cropped to its
    central square and resized. Of a file with several frames the first is taken.

    Args:
      folder: a folder with images, of any format that Pillow reads: .jpg, .jfif, .png, .gif, .webp, .avif, .tiff, ...
        Other files, hidden files and sub-folders are skipped. Skipped files that look like images are warned of, and
        so are 16-bit images that use less than a quarter of the range, such as those of a camera with 12 bits.
      size: side of the square that each image becomes, in pixels: a whole number from 1 to 7,071.
      channels: 3 for colour, 1 for grey.

    Returns:
      float32 array of shape (n, size, size, channels) in [-1, 1].

    Raises:
      FileNotFoundError, NotADirectoryError, PermissionError: there is no such folder, or a file may not be read.
      TypeError: size or channels is no whole number.
      ValueError: an argument is not as above; the folder holds no image, or a file can't be read as one. The message
        names the argument or the file.
    """
    size, channels = _checked(size, channels)
    files = image_files(folder)
    images, shares = zip(*(read_image(file, size, channels) for file in files), strict=True)
    warn_if_dark(files, shares)
    return np.stack(images)


def decode(images: np.ndarray | jax.Array):
    """Returns images in [-1, 1]: uint8 values v become v / 127.5 - 1 in float32, anything else stays as it is."""
    return images.astype("float32") / 127.5 - 1 if images.dtype == np.uint8 else images


def load_image(file: str | Path, size: int = 64, channels: int = 3) -> np.ndarray:
    """Loads one image file, or an open one, as `load_images` does. Returns (size, size, channels). Raises, and warns,
    as it does; FileNotFoundError or IsADirectoryError where there is no such file.
    """
    size, channels = _checked(size, channels)
    image, share = read_image(file, size, channels)
    warn_if_dark([file], [share])
    return image


def check_size(size: int) -> int:
    """Returns the side of square images in pixels, an int. Raises as `arguments.whole` unless it is 1 to 7,071."""
    return arguments.whole("size", size, most=int(MAX_PIXELS**0.5), of="pixels, the side of each square image")


def _checked(size: int, channels: int):
    if (number := arguments.whole("channels", channels, least=None)) not in (1, 3):
        raise ValueError(f"channels must be 3 or 1, got {number}.")
    return check_size(size), number


def load_lion_tiger(source: str = "faces", size: int = 64) -> np.ndarray:
    """Loads eleven lions and tigers.

    Args:
      source: "faces", the drawn faces that come with the course (5 lions, then 6 tigers; data/lion_tiger/CREDITS.md),
        or "course", the photographs of the exercise sheet (6 tigers, then 5 lions), which are fetched once to this
        machine, checked against their hashes and kept in a cache folder.
      size: side of the images, in pixels.

    Returns:
      float32 array of shape (11, size, size, 3) in [-1, 1].

    Raises:
      ConnectionError: a photograph is neither in the cache nor to be had; the message says what to do.
      ValueError: an unknown source, or a downloaded file whose hash is not the expected one.
    """
    if source == "faces":
        return load_images(data_folder() / "lion_tiger", size)
    if source == "course":
        return np.stack([load_image(file, size) for file in fetch_course_photographs()])
    raise ValueError(
        f'source must be "faces" or "course", got {source!r}. For your own images, use load_images(folder).'
    )


def lion_tiger_labels(source: str = "faces") -> list[str]:
    """Returns "lion" or "tiger" for each image of `load_lion_tiger(source)`."""
    return ["lion"] * 5 + ["tiger"] * 6 if source == "faces" else ["tiger"] * 6 + ["lion"] * 5


def fetch_course_photographs(cache: str | Path | None = None) -> list[Path]:
    """Downloads what is missing of the course photographs to the folder `cache`, by default in the user's caches.

    Returns their paths. Raises as `load_lion_tiger` does.
    """
    import pooch  # here, since only this source needs it

    cache = expanded(pooch.os_cache("abp_jax") / "lion_tiger_course" if cache is None else cache, "cache")
    library = pooch.create(path=cache, base_url=COURSE_URL, registry=COURSE_SHA256)
    files = []
    for name in sorted(COURSE_SHA256):
        try:
            files.append(Path(library.fetch(name)))
        except ValueError as error:
            raise ValueError(
                f"the file that {COURSE_URL}{name} gave is not the expected photograph (its SHA-256 differs). "
                'Nothing was kept. Try again later, or use source="faces".'
            ) from error
        except OSError as error:
            raise ConnectionError(
                f"could not fetch {COURSE_URL}{name} ({type(error).__name__}). Connect this machine to the internet "
                f"and run the cell again, or copy the files {', '.join(sorted(COURSE_SHA256))} into {cache}, "
                'or use source="faces", which needs no network.'
            ) from error
    return files


def to_display(images: np.ndarray) -> np.ndarray:
    """Maps [-1, 1] to [0, 1] and clips: the same map for every image, so that errors of amplitude stay visible."""
    return np.clip((np.asarray(images, np.float32) + 1) / 2, 0, 1)


def pixels(images: np.ndarray) -> np.ndarray:
    """Returns images with values in [-1, 1] as uint8, from 0 to 255."""
    return np.uint8(np.rint(255 * to_display(images)))


def data_folder() -> Path:
    """Returns the folder of the shipped data: inside the installed package, or beside it in a clone."""
    package = Path(__file__).parent.parent
    installed = package / "_data"
    return installed if installed.is_dir() else package.parent / "data"

"""Images as arrays: float32 of shape (n, height, width, channel) in [-1, 1], where -1 is black and 1 is white."""

import warnings
from pathlib import Path

import jax
import numpy as np
from PIL import Image, ImageOps

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
MAX_PIXELS = 50_000_000  # of one file, before resizing; larger ones are refused as decompression bombs
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
      folder: a folder with .jpg, .png, .webp, .bmp or .tiff files; other files and hidden files are skipped.
      size: side of the square that each image becomes, in pixels.
      channels: 3 for colour, 1 for grey.

    Returns:
      float32 array of shape (n, size, size, channels) in [-1, 1].

    Raises:
      FileNotFoundError, NotADirectoryError: there is no such folder.
      ValueError: the folder holds no image, or a file can't be read as one; the message names the file.
    """
    if size < 1:
        raise ValueError(f"size must be a positive number of pixels, got {size}.")
    files = image_files(folder)
    return np.stack([load_image(file, size, channels) for file in files])


def image_files(folder: str | Path) -> list[Path]:
    """Returns the image files of a folder, sorted by name. Raises as `load_images` does."""
    folder = Path(folder).expanduser()
    if not folder.exists():
        raise FileNotFoundError(f"no folder {folder.absolute()}. Check the path; it is relative to {Path.cwd()}.")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file. Give the folder that holds your images.")
    files = [f for f in folder.iterdir() if f.suffix.lower() in EXTENSIONS and not f.name.startswith(".")]
    if not files:
        raise ValueError(f"no image in {folder.absolute()}. Put files there that end in {', '.join(EXTENSIONS)}.")
    return sorted(files, key=lambda f: f.name)


def decode(images: np.ndarray | jax.Array):
    """Returns images in [-1, 1]: uint8 values v become v / 127.5 - 1 in float32, anything else stays as it is."""
    return images.astype("float32") / 127.5 - 1 if images.dtype == np.uint8 else images


def load_image(file: str | Path, size: int = 64, channels: int = 3) -> np.ndarray:
    """Loads one image as `load_images` does. Returns (size, size, channels). Raises ValueError if it can't be read."""
    if channels not in (1, 3):
        raise ValueError(f"channels must be 3 or 1, got {channels}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the line below is stricter
            with Image.open(file) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                image = ImageOps.fit(_to_rgb(ImageOps.exif_transpose(image)), (size, size), Image.Resampling.LANCZOS)
    except Image.DecompressionBombError:
        raise ValueError(
            f"{file} has more than {MAX_PIXELS:,} pixels and was not opened. Make it smaller, or move it away."
        ) from None
    except Exception as error:
        raise ValueError(
            f"{file} could not be read as an image ({error}). It may be truncated or of another format: "
            "replace the file, or move it out of the folder."
        ) from error
    image = image if channels == 3 else image.convert("L")
    return np.asarray(image, np.float32).reshape(size, size, channels) / 127.5 - 1


def _to_rgb(image: Image.Image):
    if image.mode.startswith("I"):  # 16-bit grey, which a plain convert() would clip
        grey = np.asarray(image, np.float64)
        if grey.min() < 0 or grey.max() > 65535:
            raise ValueError(f"its values span {grey.min():g} to {grey.max():g}; 16-bit grey (0 to 65535) was expected")
        image = Image.fromarray(np.uint8(np.round(grey / 257)))
    if image.mode == "F":
        raise ValueError("it holds floating-point pixels, whose range is unknown; save it with 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


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
    """Downloads what is missing of the course photographs. Returns their paths. Raises as `load_lion_tiger` does."""
    import pooch  # here, since only this source needs it

    cache = Path(cache or pooch.os_cache("abp_jax") / "lion_tiger_course")
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

"""Files that are named by hand: where they are, which of a folder are images, and what is in one."""

import contextlib
import io
import itertools
import mimetypes
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from abp_jax.images import arguments

MAX_PIXELS = 50_000_000  # of one file, before resizing; larger ones are refused as decompression bombs
# Pillow registers suffixes for these too, but can't draw them by itself, or they are films or tables of numbers.
NO_PICTURES = {"BUFR", "GRIB", "HDF5", "FITS", "IPTC", "MPEG", "EPS", "WMF"}
ALSO_PICTURES = ".heic .heif .svg .svgz .jxl .dng .cr2 .cr3 .nef .arw .orf .raf .rw2 .xcf .psb .exr .hdr .eps .wmf .emf"
PACKED = {"L;2": 85, "L;4": 17}  # by which Pillow multiplies such pixels, but not the level that is transparent
KNOWN_BY_CONTENT = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")  # whose first bytes are like no other's


def expanded(path: str | Path, argument: str = "path") -> Path:
    """Returns a path in which a leading ~ is the home folder. Every function that takes a path begins with this.

    Raises:
      ValueError: what came is no path; the message names the argument.
    """
    if not isinstance(path, str | bytes | os.PathLike):
        raise ValueError(f"{argument} must be one path, a str or a Path, got {arguments.shown(path)}.")
    text = os.fsdecode(path)
    if not text or "\0" in text:
        raise ValueError(f"{argument} must be the path of a file or a folder, got {text!r}.")
    return Path(os.path.expanduser(text))  # leaves a ~name that is no user's as it is, as a shell does


def to_write(path: str | Path, argument: str = "path") -> Path:
    """Returns the path of a file to write, ~ expanded. Raises ValueError if it is a folder, in a file, or no path."""
    path = expanded(path, argument)
    if path.is_dir() or not path.name:
        raise ValueError(f"{argument} must be a file to write, but {path} is a folder: add the name of a file.")
    for parent in path.parents:
        if parent.exists() and not parent.is_dir():
            raise ValueError(f"{argument} must be a file in a folder, but {parent} is a file.")
    return path


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all, whatever fails meanwhile. Makes the folders that lead to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def suffixes() -> set[str]:
    """Returns those of the files that count as images: of every picture format that Pillow reads here.

    A plug-in that is registered with Pillow (`pillow_heif.register_heif_opener()`) adds its own.
    """
    Image.init()
    registered = Image.registered_extensions().items()
    return {suffix for suffix, kind in registered if kind in Image.OPEN and kind not in NO_PICTURES}


def image_files(folder: str | Path) -> list[Path]:
    """Returns the image files of a folder, sorted by name. Raises, and warns, as `load_images` does."""
    if isinstance(folder, list | tuple):
        raise ValueError(
            f"folder must be the path of one folder, got {arguments.shown(folder)}. For single files: "
            "np.stack([load_image(file, size) for file in files])."
        )
    folder = expanded(folder, "folder")
    if not folder.exists():
        raise FileNotFoundError(f"no folder {folder.absolute()}. Check the path; it is relative to {Path.cwd()}.")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file. Give the folder that holds your images.")
    known = suffixes()
    files = [f for f in folder.iterdir() if _may_be_image(f)]
    skipped = sorted(f.name for f in files if f.suffix.lower() not in known and _looks_like_image(f))
    files = [f for f in files if f.suffix.lower() in known]
    left_out = f"{listed(skipped)}: Pillow reads no such suffix here. Save them as .png or .jpg"
    if not files:
        raise ValueError(f"no image in {folder.absolute()}. {_where_else(folder, known, left_out if skipped else '')}")
    if skipped:
        warnings.warn(f"of {folder}, {len(skipped)} were not loaded, {left_out}.", stacklevel=3)
    return sorted(files, key=lambda f: f.name)


def listed(names: list, most: int = 5) -> str:
    """Returns the first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def _may_be_image(file: Path):
    """No hidden file, no folder and no device; a link that leads nowhere is one, so that it is not lost in silence."""
    return not file.name.startswith(".") and not file.is_dir() and (file.is_file() or file.is_symlink())


def _looks_like_image(file: Path):
    """By what its suffix means elsewhere, or by its first bytes."""
    if file.suffix.lower() in ALSO_PICTURES.split() or (mimetypes.guess_type(file.name)[0] or "").startswith("image/"):
        return True
    with contextlib.suppress(Exception), Image.open(file, formats=KNOWN_BY_CONTENT):
        return True
    return False


def _where_else(folder: Path, known: set[str], left_out: str):
    """What to do where a folder has no image itself."""
    if left_out:
        return f"There are {left_out}."
    below = itertools.islice(itertools.chain(folder.glob("*/*"), folder.glob("*/*/*")), 10_000)
    folders = sorted({str(f.parent.relative_to(folder)) for f in below if f.suffix.lower() in known})
    if folders:
        return (
            f"Its sub-folders have some ({listed(folders)}), which are not searched: load each of them, and join what "
            "comes with np.concatenate."
        )
    return "Put files there that end in .jpg, .png, .webp, .gif, .tiff or like any other picture that Pillow reads."


def read_image(file: Any, size: int, channels: int) -> tuple[np.ndarray, float]:
    """Reads what `load_image` returns, from a path or a stream of bytes.

    Returns:
      The image, (size, size, channels); and how bright its brightest pixel is as a share of 16 bits, 1 for other files.

    Raises:
      FileNotFoundError, IsADirectoryError, PermissionError: nothing can be read there.
      ValueError: no file was given, or it can't be read as an image; the message names it.
    """
    if isinstance(file, io.TextIOBase):
        raise ValueError(f'file must be open for bytes, got {arguments.shown(file)} of text: open(path, "rb").')
    if hasattr(file, "read"):
        return _resized(file, file, size, channels)
    path = expanded(file, "file")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder. load_images(folder) loads all images of one.")
    if not path.exists():
        raise FileNotFoundError(f"no file {path.absolute()}. Check the path; it is relative to {Path.cwd()}.")
    with open(path, "rb") as stream:  # what the system says, such as no permission, is no fault of the content
        return _resized(stream, path, size, channels)


def _resized(stream: Any, file: Any, size: int, channels: int):
    image, share = _to_rgb(*_decoded(stream, file), file)
    image = ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    image = image if channels == 3 else image.convert("L")
    return np.asarray(image, np.float32).reshape(size, size, channels) / 127.5 - 1, share


def _decoded(stream: Any, file: Any):
    """The picture in a stream, and how its numbers are packed in it, such as "I;16B". Nothing of ours is done here."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the line below is stricter
            image = Image.open(stream)
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            packed = str(image.tile[0][3]) if image.tile else ""
            image.load()
            return ImageOps.exif_transpose(image), packed
    except Image.DecompressionBombError:
        raise ValueError(
            f"{file} has more than {MAX_PIXELS:,} pixels and was not opened. Make it smaller, or move it away."
        ) from None
    except MemoryError:
        raise
    except Exception as error:  # a broken file makes Pillow raise almost anything; the arguments are checked before
        reason = "of no kind that Pillow knows" if isinstance(error, UnidentifiedImageError) else error
        raise ValueError(
            f"{file} could not be read as an image ({reason}). It may be truncated or of another format: "
            "replace the file, or move it out of the folder."
        ) from error


def _to_rgb(image: Image.Image, packed: str, file: Any):
    """The picture in RGB, on white where it is transparent; and its brightest pixel as a share of 16 bits."""
    share, transparent = 1.0, image.info.get("transparency")
    if image.mode == "F":
        raise ValueError(f"{file} holds floating-point pixels, whose range is unknown; save it with 8 or 16 bits.")
    if image.mode.startswith("I"):  # 16-bit grey, which a plain convert() would clip
        grey = np.asarray(image, np.float64)
        low, high = grey.min(), grey.max()
        if low < 0 or high > 65535:
            raise ValueError(f"{file} has values from {low:g} to {high:g}; 16-bit grey, 0 to 65535, was expected.")
        image, share = Image.fromarray(np.uint8(np.round(grey / 257))), high / 65535
        if isinstance(transparent, int):
            image.putalpha(Image.fromarray(np.uint8(np.where(grey == transparent, 0, 255))))
    elif ";16" in packed:  # colour, of which Pillow has kept the upper 8 bits, but not of the transparent one
        share = max(np.ravel(image.convert("RGB").getextrema())) / 255
        if isinstance(transparent, tuple):
            image.info["transparency"] = tuple(value >> 8 for value in transparent)
    elif isinstance(transparent, int) and packed in PACKED:
        image.info["transparency"] = transparent * PACKED[packed]
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB"), share


def warn_if_dark(files: list, shares: list[float]) -> None:
    """Warns of 16-bit files that use so little of the 16 bits that they are nearly black, in one message for all."""
    dark = [(file, share) for file, share in zip(files, shares, strict=True) if 0 < share < 0.25]
    if not dark:
        return
    share = max(share for _, share in dark)
    warnings.warn(
        f"{listed([file for file, _ in dark])}: dark, with at most {share:.1%} of the 16-bit range (white is 65,535). "
        f"If the camera has fewer bits, multiply the values by {2 ** int(np.log2(1 / share))} and save them again.",
        stacklevel=3,
    )

"""Sets of grey images to experiment on, all as float32 (n, size, size, 1) in [-1, 1], where -1 is black.

Fashion-MNIST comes with the course; digits and textures with scikit-learn and scikit-image; scikit-learn fetches the
faces. Each is checked against its hash. For your own images there is `data.load_images(folder, channels=1)`.
"""

import gzip
import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from abp_jax.images import arguments
from abp_jax.images.data import check_size, data_folder

SIZE = 32  # pixels
CLOTHES = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
CLOTHES_URL = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"
CLOTHES_FILES = {  # split: images, labels
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
}
SHA256 = {  # of the uncompressed bytes
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "digits": "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3",
    "brick": "664a145c5253f0d66db1a12776785f0ea35a44cc7447ffc933f6d6118dc58643",
    "grass": "b18dae4c68bf850a7a7b28a29d1846c76be890665117b57fd125fe29c4d4ede6",
    "gravel": "3d51ad45f789cd8b98534b7af6bce774e499ead45421135afd757358c7230009",
}
INSTALL = "Run: pip install 'abp-jax[data]'"


def load_fashion_mnist(num: int | None = None, *, split: str = "test", size: int = SIZE) -> np.ndarray:
    """Loads Fashion-MNIST, images of clothes (Xiao, Rasul, Vollgraf 2017; MIT licence, data/clothes/CREDITS.md).

    28 x 28 pixels, laid on a black square of 32 x 32, and resized if another size is asked for.

    Args:
      num: how many, the first of the file, in which the classes are mixed; by default all.
      split: "test", the 10,000 that come with the course; or "train", 60,000 more, which are fetched once (27 MB),
        checked and kept in a cache folder.
      size: side of the images, in pixels.

    Returns:
      float32 array of shape (num, size, size, 1) in [-1, 1].

    Raises:
      FileNotFoundError: this copy of the course has no Fashion-MNIST.
      ConnectionError: the 60,000 are neither in the cache nor to be had.
      TypeError: num or size is no whole number.
      ValueError: an unknown split, more images than there are, or a file that is not the expected one.
    """
    images = np.frombuffer(_clothes(split, 0), np.uint8, offset=16).reshape(-1, 28, 28)
    return to_size(np.pad(_first(images, num), ((0, 0), (2, 2), (2, 2))), size)


def fashion_mnist_labels(num: int | None = None, *, split: str = "test") -> np.ndarray:
    """Returns the label of each image of `load_fashion_mnist(num, split=split)`, an index into `CLOTHES`: (num,)."""
    return _first(np.frombuffer(_clothes(split, 1), np.uint8, offset=8), num).astype(int)


def load_digits(num: int | None = None, *, size: int = SIZE) -> np.ndarray:
    """Loads handwritten digits, white on black: 1,797 of 8 x 8 pixels, which come with scikit-learn, resized.

    Arguments and results as for `load_fashion_mnist`. Raises ModuleNotFoundError without scikit-learn.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"the digits come with scikit-learn, which is not installed. {INSTALL}") from error
    digits = np.uint8(load_digits().images)
    _check_hash("digits", digits.tobytes(), "Another version of scikit-learn has other digits.")
    return to_size(np.uint8(np.round(_first(digits, num) * (255 / 16))), size)


def load_textures(num: int = 1000, *, size: int = SIZE, seed: int = 0) -> np.ndarray:
    """Draws pieces of brick, grass and gravel in turn (CC0, 512 x 512 pixels each, which come with scikit-image).

    A piece is a square of 64 x 64 pixels at a random place, turned by a random multiple of 90 degrees, mirrored or not,
    and resized. There are many of them, but near ones overlap.

    Args:
      num: how many, at least 1.
      size: side of the images, in pixels.
      seed: of the places.

    Raises:
      ModuleNotFoundError: scikit-image is not installed.
    """
    arguments.whole("num", num, of="pieces")
    try:
        import skimage.data
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"textures come with scikit-image, which is not installed. {INSTALL}") from error
    textures = [getattr(skimage.data, name)() for name in ("brick", "grass", "gravel")]
    for name, texture in zip(("brick", "grass", "gravel"), textures, strict=True):
        _check_hash(name, texture.tobytes(), "Another version of scikit-image has another picture.")
    rng, pieces = np.random.default_rng(seed), []
    for i in range(num):
        row, column = rng.integers(0, 512 - 64, 2, endpoint=True)
        piece = np.rot90(textures[i % 3][row : row + 64, column : column + 64], rng.integers(4))
        pieces.append(piece[:, ::-1] if rng.integers(2) else piece)
    return to_size(np.stack(pieces), size)


def load_faces(num: int | None = None, *, source: str = "olivetti", size: int = SIZE) -> np.ndarray:
    """Fetches photographs of faces through scikit-learn, which checks and keeps them. Needs a network the first time.

    Args:
      num: how many, by default all.
      source: "olivetti" (400 of 64 x 64 pixels, 40 people; 2 MB) or "lfw" (13,233, cropped to the face; 200 MB).
      size: side of the images, in pixels.

    Raises:
      ModuleNotFoundError: scikit-learn is not installed.
      ConnectionError: there is no network, and the faces were not fetched before.
      ValueError: an unknown source, or more images than there are.
    """
    try:
        from sklearn import datasets
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"faces are fetched by scikit-learn, which is not installed. {INSTALL}") from error
    if source not in ("olivetti", "lfw"):
        raise ValueError(f'source must be "olivetti" or "lfw", got {source!r}.')
    try:
        if source == "olivetti":
            faces = datasets.fetch_olivetti_faces().images
        else:
            square = (slice(78, 172), slice(78, 172))  # of 250 x 250 pixels
            faces = datasets.fetch_lfw_people(slice_=square, resize=64 / 94).images
    except OSError as error:
        raise ConnectionError(
            f"could not fetch the faces ({error}). Connect this machine to the internet; the clothes, "
            "digits and textures need no network."
        ) from error
    return to_size(np.uint8(np.round(255 * _first(faces, num))), size)


def enlarge(images: np.ndarray, num: int) -> np.ndarray:
    """Draws a larger set from a smaller one: the images, their mirror images, and both shifted by one pixel.

    First the n images; then each of them mirrored left to right; then those 2 n shifted one pixel to the left, to the
    right, up, and down, where the border is repeated. The first `num` of these 10 n.

    Raises TypeError if num is no whole number, ValueError if there are not so many.
    """
    if not 0 < arguments.whole("num", num, least=None, of="images") <= 10 * len(images):
        raise ValueError(f"from {len(images)} images, 1 to {10 * len(images)} can be drawn; {num} were asked for.")
    both = np.concatenate([images, images[:, :, ::-1]])
    padded = np.pad(both, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = images.shape[1:3]
    corners = [(1, 2), (1, 0), (2, 1), (0, 1)]
    shifted = (padded[:, top : top + height, left : left + width] for top, left in corners)
    return np.concatenate([both, *shifted])[:num]


def to_size(images: np.ndarray, size: int) -> np.ndarray:
    """Returns grey images (n, h, w), uint8, as float32 (n, size, size, 1) in [-1, 1]."""
    size = check_size(size)
    if images.shape[1:] != (size, size):
        resize = lambda image: Image.fromarray(image).resize((size, size), Image.Resampling.LANCZOS)
        images = np.stack([np.asarray(resize(image)) for image in images])
    return np.float32(images[..., None]) / 127.5 - 1


def _clothes(split: str, which: int):
    """The bytes of a file of Fashion-MNIST: which is 0 for the images, 1 for the labels."""
    if split not in CLOTHES_FILES:
        raise ValueError(f'split must be "test" (10,000 clothes) or "train" (60,000, to be fetched), got {split!r}.')
    name = CLOTHES_FILES[split][which]
    file = data_folder() / "clothes" / name if split == "test" else _fetch(name)
    if not file.exists():
        raise FileNotFoundError(
            f"no {file}: this copy of the course came without the clothes, like a bundle of a notebook without "
            "them. Install the course from its repository."
        )
    content = gzip.decompress(file.read_bytes())
    _check_hash(name, content, f"Put the file back from the repository, or delete {file} to fetch it again.")
    return content


def _fetch(name: str):
    import pooch  # here, since only the larger set needs it

    try:
        return Path(pooch.retrieve(CLOTHES_URL + name, None, fname=name, path=pooch.os_cache("abp_jax") / "clothes"))
    except OSError as error:
        raise ConnectionError(
            f"could not fetch {CLOTHES_URL}{name} ({type(error).__name__}). Connect this machine to the internet and "
            'run this again, or use split="test", which needs no network.'
        ) from error


def _check_hash(name: str, content: bytes, remedy: str):
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256[name]:
        raise ValueError(f"{name} is not what was expected: its SHA-256 is {found}, not {SHA256[name]}. {remedy}")


def _first(array: np.ndarray, num: int):
    if num is None:
        return array
    if not 0 < arguments.whole("num", num, least=None, of="images") <= len(array):
        raise ValueError(
            f"1 to {len(array):,} images are there, {num:,} were asked for. datasets.enlarge draws more of them."
        )
    return array[:num]


load_clothes, clothes_labels = load_fashion_mnist, fashion_mnist_labels  # their names before, for one release

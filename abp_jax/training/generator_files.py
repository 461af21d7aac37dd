"""Save and restore a learned generator and its z, alone (safetensors). No pickle."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from safetensors import SafetensorError, safe_open
from safetensors import numpy as safetensors_numpy

from abp_jax.generators import ConvGenerator, functional, with_params
from abp_jax.images.data import data_folder
from abp_jax.images.files import expanded, to_write, write_whole
from abp_jax.training.checkpoints import CHOICE, check_arrays, data, named, unflatten, with_keys


def save_generator(path: str | Path, generator: nnx.Module, z: jax.Array, dtype: np.dtype | type = np.float32) -> None:
    """Writes the parameters of a generator and latents z, (n, d), to a safetensors file, as `dtype`.

    What else the generator has (constants, statistics, counters, keys) is written as it is.
    """
    arrays = {name: np.asarray(array).astype(dtype) for name, array in named((functional(generator)[1], z)).items()}
    others = named((None, None, _other_arrays(generator)))
    arrays |= {name: np.asarray(data(array)) for name, array in others.items()}
    write_whole(to_write(path), safetensors_numpy.save(arrays))


def _other_arrays(generator: nnx.Module):
    """What is in a generator and is no parameter."""
    return nnx.split(generator, nnx.Param, ...)[2]


def load_generator(path: str | Path, like: nnx.Module) -> tuple[nnx.Module, jax.Array]:
    """Reads what `save_generator` wrote.

    Args:
      path: the file.
      like: a generator of the same class and sizes; it is not changed.

    Returns:
      The generator, in float32, and z, (n, d).

    Raises:
      ValueError: the file is missing, damaged or of another generator.
    """
    arrays = _read(expanded(path))
    if "[1]" not in arrays:
        raise ValueError(f"{path} does not hold a generator and its z, as save_generator writes them.")
    z = arrays.pop("[1]")
    target = (functional(like)[1], None, _other_arrays(like))
    expected = named(target)
    found = {name: {"shape": list(array.shape)} for name, array in arrays.items()}
    check_arrays(path, found, {name: data(x) for name, x in expected.items()})
    arrays = {k: jnp.asarray(v, data(expected[k]).dtype) for k, v in arrays.items()}
    params, _, others = unflatten(with_keys(arrays, expected), target)
    generator = with_params(like, params)
    nnx.update(generator, others)
    return generator, jnp.asarray(z, jnp.float32)


SHIPPED = {  # by image size: width, file
    64: (32, "lion_tiger_generator.safetensors"),
    32: (16, "lion_tiger_generator_32.safetensors"),
    16: (16, "lion_tiger_generator_16.safetensors"),
}


def load_lion_tiger_generator(image_size: int = 64) -> tuple[ConvGenerator, jax.Array]:
    """Returns a shipped generator, learned from the eleven faces, and their z, (11, 2). See data/README.md.

    image_size: 64, or 32 or 16 for a smaller one. Raises ValueError for another.
    """
    if image_size not in SHIPPED:
        raise ValueError(f"image_size must be 64, 32 or 16, of which there are generators; got {image_size!r}.")
    width, file = SHIPPED[image_size]
    like = lambda: ConvGenerator(image_size=image_size, width=width, rngs=nnx.Rngs(0))
    return load_generator(data_folder() / file, nnx.eval_shape(like))  # shapes, without drawing a W to throw away


def _read(path: Path):
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give the file in it that save_generator wrote.")
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}
    except FileNotFoundError:
        raise ValueError(f"no checkpoint {path}. Check the path.") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged ({error}) and was left as it is. {CHOICE}") from error

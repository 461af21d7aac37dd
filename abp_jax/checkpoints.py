"""Save and restore: the whole ABPState of a run, or a learned generator alone. Safetensors files; no pickle."""

import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from abp_jax.data import data_folder
from abp_jax.generators import ConvGenerator, functional, with_params
from abp_jax.learning import ABPState

STATE_FILE = "state.safetensors"


def save(folder: str | Path, state: ABPState, losses: list[float], settings: dict) -> None:
    """Writes `folder`/state.safetensors. The old file stays whole until the new one is complete.

    Args:
      folder: made if it is not there.
      state: parameters, optimizer state, latents, key and iteration; every array keeps its bits.
      losses: of the iterations done.
      settings: what `restore` must find again; anything that JSON can hold.
    """
    arrays = _flatten(state) | {"losses": np.asarray(losses, np.float64)}
    _write(Path(folder) / STATE_FILE, arrays, {"settings": json.dumps(settings)})


def exists(folder: str | Path) -> bool:
    """Whether `folder` holds a checkpoint."""
    return (Path(folder) / STATE_FILE).exists()


def restore(folder: str | Path, like: ABPState, settings: dict) -> tuple[ABPState, list[float]]:
    """Reads what `save` wrote.

    Args:
      folder: the folder given to `save`.
      like: a state of the same structure and shapes, for instance a freshly initialised one.
      settings: of the present run.

    Returns:
      The state and the losses.

    Raises:
      ValueError: the file is damaged, or it belongs to other settings or another generator. It is left as it is.
    """
    path = Path(folder) / STATE_FILE
    arrays, metadata = _read(path)
    old, new = json.loads(metadata.get("settings", "{}")), json.loads(json.dumps(settings))
    changed = [f"{k} was {old.get(k)}, is {new.get(k)}" for k in sorted(old | new) if old.get(k) != new.get(k)]
    if changed:
        raise ValueError(f"{path} belongs to another run: {'; '.join(changed)}. {_CHOICE}")
    losses = arrays.pop("losses", np.zeros(0)).tolist()
    return _unflatten(arrays, like, path), losses


def save_generator(path: str | Path, generator: nnx.Module, z: jax.Array, dtype=np.float32) -> None:
    """Writes the parameters of a generator and latents z, (n, d), to a safetensors file, as `dtype`."""
    _write(Path(path), {k: v.astype(dtype) for k, v in _flatten((functional(generator)[1], z)).items()}, {})


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
    arrays, _ = _read(Path(path))
    if "[1]" not in arrays:
        raise ValueError(f"{path} does not hold a generator and its z, as save_generator writes them.")
    z = arrays.pop("[1]")
    params = _unflatten(arrays, (functional(like)[1],), path)[0]
    return with_params(like, params), jnp.asarray(z, jnp.float32)


def load_lion_tiger_generator() -> tuple[ConvGenerator, jax.Array]:
    """Returns the shipped generator, learned from the eleven faces, and their z, (11, 2). See data/README.md."""
    like = ConvGenerator(rngs=nnx.Rngs(0))
    return load_generator(data_folder() / "lion_tiger_generator.safetensors", like)


_CHOICE = "Use another checkpoint_dir, or delete the folder to start afresh."


def _flatten(tree):
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path): np.asarray(_key_data(leaf)) for path, leaf in flat}


def _unflatten(arrays, like, path):
    flat, treedef = jax.tree_util.tree_flatten_with_path(like)
    names = [jax.tree_util.keystr(p) for p, _ in flat]
    if set(names) != set(arrays):
        raise ValueError(f"{path} holds other parameters: {sorted(set(names) ^ set(arrays))} differ. {_CHOICE}")
    leaves = []
    for name, (_, leaf) in zip(names, flat, strict=True):
        expected = _key_data(leaf)
        if arrays[name].shape != expected.shape:
            raise ValueError(f"{path}: {name} has shape {arrays[name].shape}, expected {expected.shape}. {_CHOICE}")
        array = jnp.asarray(arrays[name], expected.dtype)
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        leaves.append(jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf)) if is_key else array)
    return jax.tree.unflatten(treedef, leaves)


def _key_data(leaf):
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def _write(path, arrays, metadata):
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    save_file(arrays, partial, metadata)
    with open(partial, "rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)


def _read(path):
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except FileNotFoundError:
        raise ValueError(f"no checkpoint {path}. Check the path.") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged ({error}) and was left as it is. {_CHOICE}") from error

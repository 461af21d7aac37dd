"""Save and restore the whole ABPState of a run (Orbax). No pickle."""

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from filelock import FileLock, Timeout
from jax.experimental import multihost_utils

from abp_jax.images.files import expanded
from abp_jax.learning import ABPState

# A run's folder holds iteration_50, iteration_100, ... Each has the arrays in `state`, as Orbax writes them, and in
# RECORD the settings, the shapes and a checksum of every file.
STATE, RECORD = "state", "record.json"
UNFINISHED, DELETED = ".unfinished", ".deleted"  # end the name of a folder that is not, or no longer, a checkpoint
OLD_FILE = "state.safetensors"  # of earlier versions


def save(folder: str | Path, state: ABPState, losses: np.ndarray | list, settings: dict, *, keep: int = 3) -> None:
    """Writes `folder`/iteration_N, N being `state.iteration`, and deletes all but the last `keep` of them.

    A checkpoint gets its name when it is complete: a killed save leaves those before it as they were. When this returns
    the arrays are on the disk and may be donated. Of several processes all call this, with a folder that all see.

    Args:
      folder: made if it is not there.
      state: parameters, optimizer state, latents, key and iteration; every array keeps its bits.
      losses: of the iterations done.
      settings: what `restore` must find again; anything that JSON can hold.
      keep: how many checkpoints stay, by iteration.

    Raises:
      ValueError: `folder` holds this iteration already, of another run. It is left as it is.
    """
    if keep < 1:
        raise ValueError(f"keep must be at least 1, got {keep}.")
    folder = _expanded(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"iteration_{int(state.iteration)}"
    if path.exists():
        _check_settings(path, _read_record(path)["settings"], settings, generator=True)
        return
    unfinished = path.with_name(path.name + UNFINISHED)
    _sweep(folder)
    arrays = named(state) | {"losses": np.asarray(losses, np.float64)}
    _write_arrays(unfinished / STATE, arrays)
    if jax.process_index() == 0:
        _write_record(unfinished, arrays, settings)
        unfinished.rename(path)
        _sweep(folder, _iterations(folder)[:-keep])
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(str(path))


def exists(folder: str | Path) -> bool:
    """Whether `folder` holds a checkpoint, of this version or an earlier one."""
    folder = _expanded(folder)
    return bool(_iterations(folder)) or (folder / OLD_FILE).exists()


def begins_at(folder: str | Path | None, done: int) -> int:
    """Returns after how many iterations a run begins: those of the newest checkpoint in `folder`, or `done` without."""
    iterations = [] if folder is None else _iterations(_expanded(folder))
    return iterations[-1] if iterations else done


@contextlib.contextmanager
def in_use(folder: str | Path | None) -> Iterator[None]:
    """Keeps other runs out of `folder` until the block ends, or the process, however it does. None: no folder, no lock.

    Raises ValueError if another run has it. Of several processes of one run the first locks for all.
    """
    if folder is None or jax.process_index() > 0:
        yield
        return
    folder = _expanded(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(
            f"checkpoint_dir {folder} is in use by another run that has not ended. Wait for it, or use another folder."
        ) from None
    with lock:
        lock.release()  # what `acquire` counted: `with` counts once more
        yield


def restore(folder: str | Path, like: ABPState, settings: dict) -> tuple[ABPState, np.ndarray]:
    """Reads the last of what `save` wrote.

    Args:
      folder: the folder given to `save`.
      like: a state of the same structure and shapes, for instance a freshly initialised one. Every array is put where
        that of `like` is, on one device or spread over a mesh.
      settings: of the present run.

    Returns:
      The state and the losses, float64.

    Raises:
      ValueError: the checkpoint is damaged, or it belongs to other settings or another generator. It is left as it is.
      PermissionError: one of its files can't be read.
    """
    folder = _expanded(folder)
    paths = [folder / f"iteration_{i}" for i in reversed(_iterations(folder))]
    if not paths:
        old = f"{folder / OLD_FILE} was written by an earlier version of abp_jax. {CHOICE}"
        raise ValueError(old if exists(folder) else f"no checkpoint in {folder}. Check the path.")
    try:
        record = _read_record(paths[0])
    except ValueError as error:
        raise ValueError(f"{error} {_way_out(paths)}") from None
    _check_settings(paths[0], record["settings"], settings)
    expected = named(like) | {"losses": np.zeros(record["arrays"]["losses"]["shape"])}
    of_the_network = lambda arrays: {name: x for name, x in arrays.items() if not name.startswith(".opt_state")}
    check_arrays(paths[0], of_the_network(record["arrays"]), of_the_network(expected))
    _check_settings(paths[0], record["settings"], settings, generator=True)
    check_arrays(paths[0], record["arrays"], expected)
    arrays = _read_arrays(paths[0] / STATE, expected)
    return unflatten(arrays, like), arrays["losses"]


CHOICE = "Use another checkpoint_dir, or delete the folder to start afresh."


def _expanded(folder: str | Path):
    return expanded(folder, "the folder of checkpoints (checkpoint_dir)").absolute()  # Orbax wants it so


def _iterations(folder: Path):
    """Of the complete checkpoints in `folder`, in order."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return sorted(int(name.removeprefix("iteration_")) for name in names if re.fullmatch(r"iteration_\d+", name))


def _sweep(folder: Path, iterations: list[int] = ()):
    """Deletes the checkpoints of some iterations, and what killed saves left behind."""
    if jax.process_index() > 0:
        return
    for i in iterations:  # renamed first: half of a checkpoint must not look like one
        (folder / f"iteration_{i}").rename(folder / f"iteration_{i}{DELETED}")
    for name in os.listdir(folder):
        if re.fullmatch(rf"iteration_\d+({re.escape(UNFINISHED)}|{re.escape(DELETED)})", name):
            shutil.rmtree(folder / name, ignore_errors=True)


def _way_out(paths: list[Path]):
    """What to do about the damaged paths[0], of all checkpoints, the newest first."""
    for i, path in enumerate(paths[1:], 1):
        with contextlib.suppress(ValueError, OSError):
            _read_record(path)
            newer = " and ".join(map(str, paths[:i]))
            return f"{path} is sound: delete {newer}, and the run continues from there."
    return CHOICE


def _write_arrays(path: Path, arrays: dict):
    arrays = {name: data(x) for name, x in arrays.items() if x.size}  # Orbax saves no empty ones
    with _orbax() as (ocp, checkpointer):
        try:
            checkpointer.save(path, args=ocp.args.PyTreeSave(arrays))
        except ValueError as error:  # TensorStore says so when the disk is full
            raise OSError(f"{path.parent} can't be written: {error}. The checkpoints before are whole.") from error


def _read_arrays(path: Path, like: dict):
    """Arrays of the shapes, types and places of those of `like`."""
    place = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding) if isinstance(x, jax.Array) else x
    target = {name: place(data(x)) for name, x in like.items() if x.size}
    with _orbax() as (ocp, checkpointer):
        places = ocp.checkpoint_utils.construct_restore_args(target)
        arrays = like | checkpointer.restore(path, args=ocp.args.PyTreeRestore(target, restore_args=places))
    return with_keys(arrays, like)


@contextlib.contextmanager
def _orbax():
    """Orbax, which takes half a second to import, and a checkpointer. What fails comes as an exception."""
    import orbax.checkpoint as ocp
    from orbax.checkpoint import type_handlers

    # Sharing out the writing of W among its copies would slice it, which orbax 0.12 can't do in jax 0.6.
    registry = type_handlers.create_type_handler_registry(
        (jax.Array, type_handlers.ArrayHandler(use_replica_parallel=False)), (np.ndarray, type_handlers.NumpyHandler())
    )
    logger, mute = logging.getLogger("absl"), lambda entry: False
    logger.addFilter(mute)
    try:
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(type_handler_registry=registry)) as checkpointer:
            yield ocp, checkpointer
    finally:
        logger.removeFilter(mute)


def _write_record(path: Path, arrays: dict, settings: dict):
    files = {f.relative_to(path).as_posix(): _checksum(f) for f in path.rglob("*") if f.is_file()}
    arrays = {name: _describe(x) for name, x in arrays.items()}
    record = json.loads(json.dumps({"settings": settings, "arrays": arrays, "files": files}))
    with open(path / RECORD, "w", encoding="utf-8") as file:
        json.dump({"record": record, "sha256": _digest(record)}, file)
        file.flush()
        os.fsync(file.fileno())


def _read_record(path: Path):
    """Returns the record of a checkpoint, if every file is as it was saved; else raises a ValueError."""
    try:
        sealed = json.loads((path / RECORD).read_text("utf-8"))
        record = sealed["record"]
        if sealed["sha256"] != _digest(record):
            raise ValueError(f"{RECORD} is not as it was saved")
        for name, sha256 in record["files"].items():
            if sha256 != _checksum(path / name):
                raise ValueError(f"{name} is not as it was saved")
        return record
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}) and was left as it is.") from error


def _digest(record: dict):
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _checksum(path: Path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_settings(path: Path, old: dict, new: dict, generator: bool = False):
    """Raises ValueError where settings differ; f's and the optimizer's numbers too, if W's shapes are known to fit."""
    new = json.loads(json.dumps(new))
    old = dict(old)
    start, other = old.pop("generator", None), new.pop("generator", None)
    before, now = old.pop("optimizer", None), new.pop("optimizer", None)
    changed = [f"{k} was {old.get(k)}, is {new.get(k)}" for k in sorted(old | new) if old.get(k) != new.get(k)]
    if generator and start is not None and other is not None and not alike(start, other):
        changed.append("the generator draws other images, or starts from another W")
    if (before is None) != (now is None) or ((generator or changed) and now is not None and not alike(before, now)):
        changed.append("it was learned by another optimizer, or at other rates")
    if changed:
        raise ValueError(f"{path} belongs to another run: {'; '.join(changed)}. {CHOICE}")


def alike(a: list, b: list) -> bool:
    """Whether two lists of numbers agree but for rounding, which differs from one machine to the next."""
    return len(a) == len(b) and bool(np.allclose(a, b, rtol=1e-3, atol=1e-3 * float(np.max(np.abs(b), initial=1e-6))))


def check_arrays(path: Path, found: dict, expected: dict):
    """Compares what `_describe` says of arrays, by name, with arrays."""
    if set(found) != set(expected):
        raise ValueError(f"{path} holds other parameters: {sorted(set(found) ^ set(expected))} differ. {CHOICE}")
    for name, old in found.items():
        for k, new in _describe(expected[name]).items():
            if old.get(k, new) != new:
                raise ValueError(f"{path}: {name} has {k} {old[k]}, expected {new}. {CHOICE}")


def _describe(array: jax.Array | np.ndarray):
    return {"shape": list(array.shape), "dtype": str(array.dtype)}


def named(tree: dict | tuple):
    """The arrays of a tree by their place in it, for instance ".params['first']['kernel']"."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


def unflatten(arrays: dict, like: ABPState):
    """The inverse of `_named`."""
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in named(like)])


def is_key(array: jax.Array | np.ndarray):
    return jnp.issubdtype(array.dtype, jax.dtypes.prng_key)


def data(array: jax.Array | np.ndarray):
    return jax.random.key_data(array) if is_key(array) else array


def with_keys(arrays: dict, like: dict):
    """The arrays, the data of keys as the keys that they are in `like`."""
    wrap = lambda name: jax.random.wrap_key_data(arrays[name], impl=jax.random.key_impl(like[name]))
    return arrays | {name: wrap(name) for name, x in like.items() if is_key(x) and not is_key(arrays[name])}

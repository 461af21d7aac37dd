"""Compiled programs are kept on disk, so that a notebook opened again does not compile again."""

import os

import jax

FIRST_SOUND_VERSION = (0, 7, 2)  # with jax 0.6.0 on a CPU, programs read back from the cache never ended
ALARMING = (0, 8, 2), (0, 9, 1)  # from one to before the other, each program read back on a CPU prints an error message


def enable() -> str | None:
    """Turns on JAX's persistent compilation cache, in the user's cache folder, unless a choice was made already.

    A folder set by `JAX_COMPILATION_CACHE_DIR` or by `jax.config` stays; `JAX_ENABLE_COMPILATION_CACHE=false` turns the
    cache off. The folder may be deleted at any time.

    Returns:
      The folder, or None where this function changed nothing.
    """
    if jax.config.jax_compilation_cache_dir or not jax.config.jax_enable_compilation_cache:
        return None
    if not works():
        return None
    import platformdirs  # here, since only this function needs it

    folder = os.path.join(platformdirs.user_cache_dir("abp_jax"), "compiled")
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError:
        return None
    if not os.access(folder, os.W_OK):
        return None
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    return folder


def works(version: tuple[int, ...] = jax.__version_info__) -> bool:
    """Returns whether programs can be read back from the cache in this version of jax, and in silence."""
    return version >= FIRST_SOUND_VERSION and not ALARMING[0] <= version < ALARMING[1]

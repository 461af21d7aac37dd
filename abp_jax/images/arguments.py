"""What a public function is given, checked at its door: arrays, numbers, keys, generators.

Every error names the argument, and says what was expected, what came and what to do.
"""

import math
import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from abp_jax.model import Bernoulli, Noise


def is_traced(value: Any) -> bool:
    """Whether this is an array inside a function that jax transforms: its shape is known, its numbers are not."""
    return isinstance(value, jax.core.Tracer)


def number(name: str, value: Any, *, least: float = 0.0, or_least: bool = False) -> float:
    """Returns a finite number above `least`, or from it on with or_least, as a float; least -inf: any.

    Raises:
      TypeError: it is no number.
      ValueError: it is too small, or not finite.
    """
    wanted = {0: "positive", -math.inf: "finite"}.get(least, f"finite and above {least:g}")
    wanted = f"at least {least:g}" if or_least else wanted
    if isinstance(value, (str, bytes, bool)) or np.ndim(value) or value is None:
        raise TypeError(f"{name} must be one number, {wanted}; got {shown(value)}.")
    try:
        found = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be one number, {wanted}; got {shown(value)}.") from None
    if not math.isfinite(found) or found < least or (found == least and not or_least):
        raise ValueError(f"{name} must be {wanted}, got {found:g}.")
    return found


def noise(name: str, value: Any) -> Noise:
    """Returns the noise of observations: `Bernoulli()` as it is, else a positive number. Raises as `number` does."""
    if isinstance(value, Bernoulli):
        return value
    if value is Bernoulli:
        raise TypeError(f"{name} must be an object: pass {name}=abp.Bernoulli(), with the brackets.")
    return number(name, value)


def whole(name: str, value: Any, *, least: int | None = 1, most: int | None = None, of: str = "") -> int:
    """Returns a whole number from `least` to `most` (None: any), as an int; those of NumPy are taken too.

    of: what is counted, for the message.

    Raises:
      TypeError: it is no whole number, such as 1e2 or 4.0.
      ValueError: it is too small, or too large.
    """
    wanted = f"a whole number{' of ' * bool(of)}{of}"
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        found = operator.index(value)
    except TypeError:
        hint = f": pass {int(value)}" if isinstance(value, float) and value.is_integer() else ""
        raise TypeError(f"{name} must be {wanted}, got {shown(value)}{hint}.") from None
    if least is not None and found < least:
        raise ValueError(f"{name} must be {'positive' if least == 1 else f'at least {least}'}, got {found}.")
    if most is not None and found > most:
        raise ValueError(f"{name} must be at most {most:,}, got {found:,}.")
    return found


def key(value: Any, name: str = "key") -> jax.Array:
    """Returns one key: `jax.random.key(seed)`, or one of the older kind, `jax.random.PRNGKey(seed)`.

    Raises:
      TypeError: it is no key.
      ValueError: it is several.
    """
    shape, dtype = np.shape(value), getattr(value, "dtype", None)
    typed = isinstance(value, jax.Array) and jnp.issubdtype(dtype, jax.dtypes.prng_key)
    legacy = dtype == np.uint32 and shape and shape[-1] in (2, 4)
    if not (typed or legacy):
        raise TypeError(f"{name} must be a key of jax, such as jax.random.key(0), got {shown(value)}.")
    if len(shape) != (0 if typed else 1):
        raise ValueError(f"{name} must be one key, got an array of them, {shape}: pass one, such as {name}s[0].")
    return value


def array(name: str, value: Any) -> np.ndarray | jax.Array:
    """Returns numbers as an array: a jax or NumPy array as it is; lists, tensors and tables by `np.asarray`.

    Raises:
      TypeError: text, complex numbers, or a masked array.
      ValueError: rows of different lengths.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array: pass {name}=x.filled(0) and mask=~np.ma.getmaskarray(x).")
    if isinstance(value, jax.Array):
        found = value
    else:
        try:
            found = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
            found = found.astype(np.float64) if found.dtype == object and found.ndim else found
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{name} must be an array, or a list of arrays of one shape, got {shown(value)} ({error})."
            ) from None
    if not (jnp.issubdtype(found.dtype, jnp.number) or found.dtype == bool) or np.iscomplexobj(found):
        raise TypeError(f"{name} must be real numbers, got {shown(value)} of type {found.dtype}.")
    return found


def generator(value: Any) -> nnx.Module:
    """Returns a generator that a chain can use: f(z; W) for one z of `latent_dim` numbers, the same at every call.

    Raises:
      TypeError: it is no module of flax.nnx, has no `latent_dim`, or a parameter is not of floating-point numbers.
      ValueError: latent_dim is below 1, or a call changes the module's own state, as batch statistics and dropout do.
    """
    if not isinstance(value, nnx.Module) or not callable(value):
        raise TypeError(f"generator must be a flax.nnx.Module that maps z to an observation, got {shown(value)}.")
    if not hasattr(value, "latent_dim"):
        raise TypeError(
            f"generator must have an attribute latent_dim, the length of z; {type(value).__name__} has none. "
            "Set self.latent_dim = d in its __init__."
        )
    whole("generator.latent_dim", value.latent_dim)
    for path, leaf in nnx.to_flat_state(nnx.state(value, nnx.Param)):
        dtype = jnp.asarray(leaf[...] if hasattr(leaf, "__getitem__") else leaf.value).dtype
        if not jnp.issubdtype(dtype, jnp.floating):
            raise TypeError(
                f"generator's parameter {_dotted(path)} is of {dtype}, which has no gradient: parameters are floating-"
                "point numbers; keep constants in nnx.Variable."
            )
    if changed := _changed_by_a_call(value):
        raise ValueError(
            f"generator changes its own state at every call ({', '.join(changed)}), as dropout and batch statistics "
            "do: f(z; W) must be the same for every example and step of a chain. Call generator.eval() first, or use "
            "LayerNorm in place of BatchNorm."
        )
    return value


def _changed_by_a_call(module: nnx.Module):
    """The names of the variables that a call changes."""
    graphdef, state = nnx.split(module)

    def call(state, z):
        copy = nnx.merge(graphdef, state)
        copy(z)
        return nnx.split(copy)[1]

    z = jax.ShapeDtypeStruct((module.latent_dim,), latent_dtype(module))
    program = jax.make_jaxpr(call)(state, z).jaxpr
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(state)[0]]
    before_and_after = zip(paths, program.invars, program.outvars, strict=False)
    return [_dotted(path) for path, before, after in before_and_after if before is not after]


def latents(generator: nnx.Module, z: Any, num: int | None = None, name: str = "z") -> jax.Array:
    """Returns z as an array (n, d) of finite numbers for this generator. num: the n that it must have; None for any.

    Raises TypeError, ValueError for anything else.
    """
    found = array(name, z)
    d = generator.latent_dim
    if found.ndim != 2 or found.shape[1] != d or (num is not None and len(found) != num):
        rows = "n" if num is None else num
        raise ValueError(
            f"{name} must be ({rows}, {d}), one row for each image of this generator; got shape {found.shape}."
        )
    found = jnp.asarray(found, latent_dtype(generator))
    if not is_traced(found) and not bool(jnp.all(jnp.isfinite(found))):
        raise ValueError(f"{name} holds nan or infinite values.")
    return found


def latent_dtype(generator: nnx.Module) -> np.dtype:
    """Returns the type of z and of images: float32, or float64 where a parameter is of 64 bits."""
    return jnp.result_type(jnp.float32, *jax.tree.leaves(nnx.state(generator, nnx.Param)))


def _dotted(path: tuple):
    names = (getattr(p, "key", getattr(p, "name", getattr(p, "idx", p))) for p in path)
    return ".".join(str(name) for name in names if name != "value")


def shown(value: Any) -> str:
    """Returns what a message calls a value that is not what was expected, in a few words."""
    kind = type(value).__name__
    if getattr(value, "shape", ()):
        return f"{kind} of shape {tuple(value.shape)}"
    text = repr(value)
    if isinstance(value, list | tuple) and len(text) > 20:
        return f"a {kind} of {len(value)}"
    return f"{text} ({kind})" if len(text) <= 60 and "\n" not in text else f"a {kind}"

"""Compiled programs of functions that take a generator, or any other f: z -> y. Nothing they use becomes stale."""

import inspect
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, jaxpr_as_fun

WITH_RULES = {"custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr", "checkpoint", "remat2"}  # of derivatives


def compiled(function: Callable, static: Sequence[str] = ()) -> Callable:
    """Returns function(f, ...), compiled, for f: z -> y, a generator or any other function.

    Nothing that f refers to can become stale. A program is kept for each architecture of this library's generators,
    whatever their W; for another f, whose attributes and globals may have changed, it is traced at every call, and the
    program of an equal trace is used.

    static: names of arguments that are no arrays; each value of theirs is a program of its own. Functions among them
    are traced like f.
    """
    names = list(inspect.signature(function).parameters)[1:]

    @partial(jax.jit, static_argnums=(0, 1))
    def known(graph, fixed, state, arrays):
        return function(nnx.merge(graph.graphdef, state), **arrays, **dict(fixed))

    def prepare(f, *args, **kwargs):
        """The program, as a function of a dict of arrays, and these arrays."""
        arrays = dict(zip(names, args, strict=False)) | kwargs
        fixed = {name: arrays.pop(name) for name in static if name in arrays}
        if isinstance(f, nnx.Module) and _of_ours(f) and not any(map(callable, fixed.values())):
            graphdef, state = nnx.split(f)
            graph = _graph(graphdef, f)
            if graph.all_ours:
                return partial(known, graph, tuple(fixed.items()), state), arrays
        trace, tree = jax.make_jaxpr(lambda arrays: function(f, **arrays, **fixed), return_shape=True)(arrays)
        read = _Reading(trace.jaxpr, ())  # its own constants, among them W, are arguments of the program
        return partial(_evaluate, Trace(trace.jaxpr, jax.tree.structure(tree), read), trace.consts), arrays

    @wraps(function)
    def call(f, *args, **kwargs):
        program, arrays = prepare(f, *args, **kwargs)
        return program(arrays)

    def ahead(f, *args, **kwargs):
        """What `call` does, compiled now and run later: a function of no arguments."""
        program, arrays = prepare(f, *args, **kwargs)
        dynamic = program.args[2:] if program.func is known else program.args[1:]
        return partial(program.func.lower(*program.args, arrays).compile(), *dynamic, arrays)

    call.prepare, call.ahead, call.program = prepare, ahead, known
    return call


class Trace(NamedTuple):
    """What a function computes, from its arrays and the constants that it refers to. Equal if it reads the same."""

    jaxpr: Jaxpr
    tree: jax.tree_util.PyTreeDef
    read: "_Reading"

    def __hash__(self):
        return hash(self.read)

    def __eq__(self, other: object):
        return isinstance(other, Trace) and self.tree == other.tree and self.read == other.read


class _Reading:
    """All that decides what a jaxpr computes, as tuples: its variables by number, its equations, those within them.

    (Its text would do, but for the constants of jitted functions in it, and takes many times as long.)
    """

    def __init__(self, jaxpr: Jaxpr, constants: Sequence):
        numbers = {}

        def name(atom):
            return _read_value(atom.val) if isinstance(atom, Literal) else numbers.setdefault(atom, len(numbers))

        read = lambda atoms: tuple([(name(atom), atom.aval) for atom in atoms])
        inputs = read(jaxpr.constvars), read(jaxpr.invars)
        equations = tuple([(e.primitive, read(e.invars), read(e.outvars), _read_params(e)) for e in jaxpr.eqns])
        self.parts = inputs, tuple(map(_read_value, constants)), equations, read(jaxpr.outvars)
        self.hash = hash(self.parts)

    def __hash__(self):
        return self.hash

    def __eq__(self, other: object):
        return self is other or (isinstance(other, _Reading) and self.hash == other.hash and self.parts == other.parts)


_READINGS = WeakKeyDictionary()  # jax keeps the jaxprs of jitted functions: those in a new trace have been read before


def _read(jaxpr: Jaxpr):
    if (reading := _READINGS.get(jaxpr)) is None:
        constants = getattr(jaxpr, "consts", ())  # newer versions of jax have them here, older ones in the ClosedJaxpr
        reading = _READINGS.setdefault(jaxpr, _Reading(jaxpr, constants))
    return reading


def _read_params(equation: JaxprEqn):
    """Rules of derivatives are left out: what is traced here is evaluated, and they are made anew in each trace."""
    params = equation.params.items()
    if equation.primitive.name in WITH_RULES:
        params = [(name, value) for name, value in params if isinstance(value, Jaxpr | ClosedJaxpr | int)]
    return tuple([(name, _read_value(value)) for name, value in params])


def _read_value(value: Any):
    if isinstance(value, bool | int | float | complex):  # 1 == 1.0 == True, and 0.0 == -0.0
        return type(value), repr(value)
    if isinstance(value, Jaxpr):
        return _read(value)
    if isinstance(value, ClosedJaxpr):
        return _read(value.jaxpr), tuple(map(_read_value, value.consts))
    if isinstance(value, tuple | list):
        return type(value), tuple(map(_read_value, value))
    if isinstance(value, dict):
        return tuple([(name, _read_value(v)) for name, v in value.items()])
    if isinstance(value, jax.Array) or hasattr(value, "__array__"):
        return _Constant(value)
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value


class _Constant:
    """An array in a jaxpr. Equal are those of the same type and the same bits."""

    def __init__(self, value: Any):
        self.value, self.kind = value, (type(value), tuple(value.shape), str(value.dtype))

    def __hash__(self):
        return hash(self.kind)

    def __eq__(self, other: object):
        same_kind = isinstance(other, _Constant) and self.kind == other.kind
        return same_kind and (self.value is other.value or self.bits() == other.bits())

    def bits(self):
        keys = isinstance(self.value, jax.Array) and jnp.issubdtype(self.value.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(self.value) if keys else self.value).tobytes()


@partial(jax.jit, static_argnums=0)
def _evaluate(trace: Trace, constants: list, arrays: dict):
    program = jaxpr_as_fun(ClosedJaxpr(trace.jaxpr, constants))
    return jax.tree.unflatten(trace.tree, program(*jax.tree.leaves(arrays)))


class _Graph(NamedTuple):
    """The graph of a generator, which names the types in it, and whether all of them are of these libraries."""

    graphdef: nnx.GraphDef
    all_ours: bool

    __hash__, __eq__ = object.__hash__, object.__eq__  # of equal graphs there is one: quicker than to compare them


_GRAPHS = {}  # by their graphdef


def _graph(graphdef: nnx.GraphDef, f: nnx.Module):
    try:
        graph = _GRAPHS.get(graphdef)
    except TypeError:  # a list or a dict among its attributes, which may change
        return _Graph(graphdef, False)
    if graph is None:
        all_ours = all(_of_ours(x) for _, x in nnx.iter_graph(f) if isinstance(x, nnx.Module) or callable(x))
        graph = _GRAPHS.setdefault(graphdef, _Graph(graphdef, all_ours))
    return graph


def _of_ours(x: Any):
    """Whether this is a module of this library or of flax, whose graph says all that it computes, or a fixed function.

    Another function, for instance a layer of `nnx.Sequential`, may refer to what changes.
    """
    if isinstance(x, nnx.Module):
        return _library(type(x)) in ("abp_jax", "flax")
    return callable(x) and _library(x) in ("abp_jax", "flax", "jax", "numpy")


def _library(x: Any):
    return (getattr(x, "__module__", None) or "").partition(".")[0]

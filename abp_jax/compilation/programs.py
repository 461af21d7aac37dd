"""Compiled programs of functions that take a generator, or any other f: z -> y. Nothing they use becomes stale."""

import inspect
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import NamedTuple

import jax
from flax import nnx
from jax.extend.core import ClosedJaxpr, Jaxpr, jaxpr_as_fun


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
        if _of_ours(f) and not any(map(callable, fixed.values())):
            graphdef, state = nnx.split(f)
            graph = _graph(graphdef, f)
            if graph.all_ours:
                return partial(known, graph, tuple(fixed.items()), state), arrays
        trace, tree = jax.make_jaxpr(lambda arrays: function(f, **arrays, **fixed), return_shape=True)(arrays)
        return partial(_evaluate, Trace(trace.jaxpr, jax.tree.structure(tree)), trace.consts), arrays

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


class Trace:
    """What a function computes, from its arrays and the constants that it refers to. Equal if it reads the same."""

    def __init__(self, jaxpr: Jaxpr, tree: jax.tree_util.PyTreeDef):
        self.jaxpr, self.tree, self.text = jaxpr, tree, f"{jaxpr} {tree}"

    def __hash__(self):
        return hash(self.text)

    def __eq__(self, other: object):
        return isinstance(other, Trace) and self.text == other.text


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
        all_ours = all(_of_ours(node) for _, node in nnx.iter_graph(f) if isinstance(node, nnx.Module))
        graph = _GRAPHS.setdefault(graphdef, _Graph(graphdef, all_ours))
    return graph


def _of_ours(f: Callable):
    """Whether this is a module of this library or of flax: then its graph says all that it computes."""
    return isinstance(f, nnx.Module) and type(f).__module__.partition(".")[0] in ("abp_jax", "flax")

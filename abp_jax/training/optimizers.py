"""Which optimizer learns W, and at which rates: Muon where there are convolutions, else AdamW, or any one of optax.

Muon moves a matrix by the orthogonal matrix nearest to the mean of its last gradients: by the same amount in every
direction, whether the gradients there are large or small. Sources: Jordan et al., Muon: An optimizer for hidden layers
in neural networks, 2024; Liu et al., Muon is scalable for LLM training, 2025; Loshchilov and Hutter, ICLR 2019 (AdamW).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from abp_jax.generators import ConvGenerator, functional
from abp_jax.images import arguments
from abp_jax.layers import TransposedConv

Optimizer = optax.GradientTransformation
RATIO = 12.5  # of Muon's rate to the learning rate, which is AdamW's: 0.025 to 2e-3
NEWTON_SCHULZ = 3.4445, -4.7750, 2.0315  # a, b, c of `orthogonal`
MUON_DECAY = 0.4  # weight_decay by default; AdamW's is 0


def choose(
    optimizer: Optimizer | None,
    generator: nnx.Module,
    generate: Callable,
    learning_rate: float | optax.Schedule | None,
    num_iterations: int,
    weight_decay: float | None,
    in_batches: bool = False,
) -> tuple[Optimizer, dict[str, Any]]:
    """Returns the optimizer of a run, and what tells it from others: for `settings.record`.

    The rule, where none is given: a generator with a layer of convolution is learned by Muon, any other by AdamW.
    generate: (params, z) -> f(z; W), or of it what is observed; in_batches: whether an iteration sees a part of the
    images only; the other arguments as in `fit`.

    Raises TypeError or ValueError for arguments that can't work, with the name.
    """
    params = functional(generator)[1]
    if optimizer is not None:
        check(optimizer, params, learning_rate, weight_decay)
        return optimizer, dict(optimizer=optimizer)
    rate = default_learning_rate(generator) if learning_rate is None else learning_rate
    if not callable(rate):
        rate = arguments.number("learning_rate", rate, or_least=True)
    matrices, reached = as_matrices(generator), learned(generate, params, generator.latent_dim)
    decay = (0.0 if matrices is None else MUON_DECAY) if weight_decay is None else weight_decay
    decay = arguments.number("weight_decay", decay, or_least=True)
    numbers = dict(learning_rate="a schedule" if callable(rate) else [rate, num_iterations], weight_decay=decay)
    fall = constant_then_cosine if matrices is None or in_batches else optax.cosine_decay_schedule
    rate = rate if callable(rate) else fall(rate, num_iterations)
    if matrices is None:
        return adam(rate, decay, reached), numbers  # as in earlier versions, whose checkpoints are still good
    optimizer = muon_and_adam(rate, decay, matrices, reached)
    return optimizer, numbers | dict(optimizer=optimizer)


def check(optimizer: Optimizer, params: dict, learning_rate: Any, weight_decay: Any) -> None:
    """Raises TypeError for what is no optimizer of optax, ValueError for arguments that it leaves no room for."""
    given = dict(learning_rate=learning_rate, weight_decay=weight_decay)
    besides = [name for name, value in given.items() if value is not None]
    if not all(callable(getattr(optimizer, name, None)) for name in ("init", "update")):
        raise TypeError(f"optimizer must be an optimizer of optax, such as optax.adamw(1e-3), got {optimizer!r}.")
    if besides:
        raise ValueError(
            f"optimizer has rates of its own: pass either optimizer or {' and '.join(besides)}, not both of them."
        )
    try:
        updates, _ = jax.eval_shape(optimizer.update, params, jax.eval_shape(optimizer.init, params), params)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"optimizer must do with gradients, its state and W, as optax.adamw does: {error}") from error
    if jax.tree.map(jnp.shape, updates) != jax.tree.map(jnp.shape, params):
        raise ValueError("optimizer must return updates of the shapes of W, as optax.adamw does.")


def iterations(given: int | None, optimizer: Optimizer | None, generator: nnx.Module, batch_size: int | None) -> int:
    """Returns num_iterations as given, or for None 200 where Muon learns from all images at once, else 600."""
    soon = optimizer is None and batch_size is None and as_matrices(generator) is not None
    return given if given is not None else 200 if soon else 600


def default_learning_rate(generator: nnx.Module) -> float:
    """Returns 2e-3; for a ConvGenerator whose widest layer has more than 256 features in proportion less.

    Adam moves every weight by about the learning rate, so the output of a layer moves with the number of its inputs
    (Yang and Hu, ICML 2021). With 512 features and 64 x 64 pixels the error swings at 2e-3 and falls at 1e-3. The
    rate of Muon goes along.
    """
    widest = max(generator.features) if isinstance(generator, ConvGenerator) else 1
    return 2e-3 * min(1.0, 256 / widest)


def constant_then_cosine(learning_rate: float, num_iterations: int) -> optax.Schedule:
    """Returns the schedule of `fit`: constant for the first half of the iterations, then along a cosine to 0.

    Where Muon learns from all images at once it is a cosine from the start: as good at the end, and small errors are
    reached sooner. In batches, where the passes are few, the constant half is worth more.
    """
    half = num_iterations // 2
    fall = optax.cosine_decay_schedule(learning_rate, max(1, num_iterations - half))
    return optax.join_schedules([optax.constant_schedule(learning_rate), fall], [half])


def adam(rate: float | optax.Schedule, weight_decay: float = 0.0, learned: dict | None = None) -> Optimizer:
    """Returns AdamW with b1 = 0.5, as in the exercise. learned: like params, which of them decay; by default all."""
    some = learned is not None and not all(jax.tree.leaves(learned))
    return optax.adamw(rate, b1=0.5, weight_decay=weight_decay, mask=learned if some else None)


def muon_and_adam(rate: optax.Schedule, weight_decay: float, matrices: dict, learned: dict) -> Optimizer:
    """Returns Muon for the parameters that are matrices, and AdamW with Nesterov's mean, b1 = 0.5, for the others.

    An update of Muon is R rate(t) sqrt(max(1, out / in)) O, with R of `RATIO` and O = `orthogonal` of Nesterov's mean
    of the gradients, b = 0.9, in x out.

    Args:
      rate: Adam's, by the number of iterations done.
      weight_decay: takes this times the rate off every parameter: Muon's rate off a matrix, Adam's off another.
      matrices: like params, see `as_matrices`.
      learned: like params, which of them to move at all.
    """
    label = lambda moves, axis: "none" if not moves else "adam" if axis is None else f"muon {axis}"
    labels = jax.tree.map(label, learned, matrices)
    groups = {f"muon {axis}": muon(rate, weight_decay, axis) for axis in set(jax.tree.leaves(matrices))}
    groups |= {"adam": optax.adamw(rate, b1=0.5, weight_decay=weight_decay, nesterov=True), "none": optax.set_to_zero()}
    return optax.partition(groups, labels)


def muon(rate: optax.Schedule, weight_decay: float, axis: int) -> Optimizer:
    """Returns Muon for kernels whose rows are along this axis; see `muon_and_adam`.

    As optax.contrib.muon, which takes three to four times as long for these shapes, longer than the gradient itself;
    and the mean is without its bias correction, as in the source.
    """

    def direction(mean):
        rows = jnp.moveaxis(mean, axis, 0)
        matrix = rows.reshape(len(rows), -1)
        turned = orthogonal(matrix) * max(1, matrix.shape[1] / matrix.shape[0]) ** 0.5
        return jnp.moveaxis(turned.reshape(rows.shape), 0, axis)

    return optax.chain(
        optax.trace(0.9, nesterov=True),
        optax.stateless(lambda means, _: jax.tree.map(direction, means)),
        optax.add_decayed_weights(weight_decay),
        optax.scale_by_learning_rate(lambda t: RATIO * rate(t)),
    )


def orthogonal(matrix: jax.Array) -> jax.Array:
    """Returns about the orthogonal matrix nearest to a matrix X, (m, n), by the five steps of Jordan et al.

    A step X <- a X + b (X X') X + c (X X')^2 X multiplies X by a polynomial P of X X', which becomes P X X' P. So only
    this square is moved, and X is multiplied once, by the product of the five P. Singular values end between about 0.7
    and 1.2, and a very small one at its share of X's times a^5.
    """
    matrix = matrix / (jnp.linalg.norm(matrix) + 1e-8)
    small, wide = (matrix, matrix.T), matrix.shape[0] <= matrix.shape[1]
    dot = partial(jnp.matmul, precision="highest")  # an error of X X' grows by a^2 in each step
    square = dot(*(small if wide else small[::-1]))
    (a, b, c), one, product = NEWTON_SCHULZ, jnp.eye(len(square), dtype=matrix.dtype), None
    for _ in range(5):
        polynomial = a * one + b * square + c * dot(square, square)
        product = polynomial if product is None else dot(polynomial, product)
        square = dot(dot(polynomial, square), polynomial)
    return dot(product, matrix) if wide else dot(matrix, product)


def as_matrices(generator: nnx.Module) -> dict | None:
    """Returns like params the axis of a kernel's rows, None for what is no matrix; or None without convolutions.

    As a matrix, in x out, a convolution's has a row for every channel that comes in, and a column for every channel and
    place of the patch that it paints: so it is multiplied by in `layers.transposed_convolution`.
    """
    layers = {path: layer for path, layer in nnx.iter_graph(generator) if isinstance(layer, nnx.Module)}
    convolutions = (TransposedConv, nnx.Conv, nnx.ConvTranspose)
    if not any(isinstance(layer, convolutions) for layer in layers.values()):
        return None

    def axis_of_rows(path, w):
        *path, name = (entry.key for entry in path)
        layer = layers.get(tuple(path))
        if name != "kernel" or not isinstance(layer, (nnx.Linear, *convolutions)):
            return None
        return 0 if w.ndim == 2 or isinstance(layer, TransposedConv) else w.ndim - 2  # of the channels that come in

    return jax.tree_util.tree_map_with_path(axis_of_rows, functional(generator)[1])


def learned(generate: Callable, params: dict, latent_dim: int) -> dict:
    """Returns like params whether a gradient reaches each: not one behind `stop_gradient`, nor one that f never uses.

    By the program of the gradient: where no argument has a part in it, it is 0 by construction.
    """
    total = lambda params, z: jnp.sum(generate(params, z))
    z = jax.ShapeDtypeStruct((latent_dim,), jnp.float32)
    program = jax.make_jaxpr(jax.grad(total))(params, z).jaxpr
    known = set(map(id, program.invars + program.constvars))
    for equation in program.eqns:
        if any(id(v) in known for v in equation.invars):
            known |= set(map(id, equation.outvars))
    return jax.tree.unflatten(jax.tree.structure(params), [id(v) in known for v in program.outvars])


def state_from(old: optax.OptState, fresh: optax.OptState, iteration: jax.Array) -> optax.OptState:
    """Returns the state to go on with: the old one if it has the form of `fresh`, else this, its schedules moved on.

    So a run that is resumed with another optimizer keeps its W and z, and forgets the means of its gradients.
    """
    form = lambda state: (jax.tree.structure(state), jax.tree.map(lambda x: (jnp.shape(x), jnp.result_type(x)), state))
    if form(old) == form(fresh):
        return old
    scheduled = lambda node: isinstance(node, optax.ScaleByScheduleState)
    later = lambda node: node._replace(count=jnp.asarray(iteration, node.count.dtype)) if scheduled(node) else node
    return jax.tree.map(later, fresh, is_leaf=scheduled)


def fingerprint(optimizer: Optimizer, params: dict) -> list[float]:
    """Returns numbers that tell one optimizer from others: of its first updates, for W and gradients always the same.

    Two whose rates begin to differ only later have the same numbers.
    """
    noise = np.random.default_rng(4)
    draw = lambda: jax.tree.map(lambda w: jnp.asarray(noise.normal(size=w.shape), w.dtype), params)
    w, state, view, numbers = draw(), optimizer.init(params), draw(), []
    with jax.default_matmul_precision("highest"):
        update = jax.jit(optimizer.update)
        for _ in range(3):
            updates, state = update(draw(), state, w)
            seen = jax.tree.map(lambda u, v: jnp.sum(u * v) / max(1, u.size) ** 0.5, updates, view)
            numbers += [round(float(x), 9) for x in jax.tree.leaves(seen)]
    return numbers

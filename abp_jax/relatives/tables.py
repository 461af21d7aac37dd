"""Joint distributions of a few discrete variables, kept as tables.

    Bayesian network:  p(x) = prod_i p(x_i | parents(x_i))          Markov network:  p(x) = (1/Z) prod_j phi_j(x_j)

x_j are the variables of factor j, and Z is the sum of the product over all x. A conditional probability table is a
factor that sums to 1 over its child, so a Bayesian network has Z = 1. The two examples are from Koller and Friedman,
Probabilistic Graphical Models, 2009: the student in section 3.2, the misconception in section 4.1.
"""

from collections.abc import Iterable, Sequence
from math import prod
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Table(NamedTuple):
    """A function of some variables.

    Attributes:
      variables: their names. Of a conditional probability p(child | parents) the child is the last.
      values: one axis for each variable, its length the number of the variable's values.
    """

    variables: tuple[str, ...]
    values: jax.Array


def student() -> tuple[Table, ...]:
    """Returns p(D), p(I), p(G | I, D), p(S | I) and p(L | G): fifteen free numbers for 48 cases.

    Difficulty of a course: 0 easy, 1 hard. Intelligence of a student: 0, 1 high. Grade: 0 an A, 1 a B, 2 a C, which
    the book writes g^1, g^2, g^3. SAT score: 0, 1 high. Letter of recommendation: 0 weak, 1 strong.
    """
    grade = [[[0.3, 0.4, 0.3], [0.05, 0.25, 0.7]], [[0.9, 0.08, 0.02], [0.5, 0.3, 0.2]]]
    return (
        Table(("D",), jnp.array([0.6, 0.4])),
        Table(("I",), jnp.array([0.7, 0.3])),
        Table(("I", "D", "G"), jnp.array(grade)),
        Table(("I", "S"), jnp.array([[0.95, 0.05], [0.2, 0.8]])),
        Table(("G", "L"), jnp.array([[0.1, 0.9], [0.4, 0.6], [0.99, 0.01]])),
    )


def misconception() -> tuple[Table, ...]:
    """Returns phi_1(A, B), phi_2(B, C), phi_3(C, D) and phi_4(D, A): four students in a ring, two of whom disagree.

    1 is to have the misconception. A with B, B with C, and D with A tend to agree; C and D to disagree.
    """
    agree, disagree = jnp.array([[100.0, 1.0], [1.0, 100.0]]), jnp.array([[1.0, 100.0], [100.0, 1.0]])
    return (
        Table(("A", "B"), jnp.array([[30.0, 5.0], [1.0, 10.0]])),
        Table(("B", "C"), agree),
        Table(("C", "D"), disagree),
        Table(("D", "A"), agree),
    )


def product(factors: Sequence[Table], order: Sequence[str] | None = None) -> Table:
    """Returns the product of the factors for every case, a table of all variables.

    order: of the axes; by default the order in which the variables first appear.

    Raises:
      ValueError: a variable has different numbers of values in two factors, or order is not an order of the variables.
    """
    sizes = _sizes(factors)
    order = tuple(sizes if order is None else order)
    if sorted(order) != sorted(sizes):
        raise ValueError(f"order must hold each of the variables {tuple(sizes)} once, got {order}.")
    operands = [part for table in factors for part in (table.values, [order.index(name) for name in table.variables])]
    return Table(order, jnp.einsum(*operands, list(range(len(order))), precision="highest"))


def partition_function(factors: Sequence[Table]) -> jax.Array:
    """Returns Z, the sum of the product of the factors over all cases: a scalar, 1 for a Bayesian network."""
    return jnp.sum(product(factors).values)


def joint(factors: Sequence[Table], order: Sequence[str] | None = None) -> Table:
    """Returns p(x) = (1/Z) prod_j phi_j(x_j) for every case. Arguments and errors as for `product`."""
    table = product(factors, order)
    return table._replace(values=table.values / jnp.sum(table.values))


def marginal(joint: Table, names: str | Iterable[str]) -> Table:
    """Returns p(names): the sum of the joint table over all other variables, with axes in the order of `names`.

    Raises:
      ValueError: a name is not one of the table's, or comes twice.
    """
    names = _known(joint, names)
    axes = [joint.variables.index(name) for name in names]
    others = tuple(axis for axis in range(len(joint.variables)) if axis not in axes)
    kept = [axis for axis in range(len(joint.variables)) if axis in axes]
    return Table(names, jnp.transpose(jnp.sum(joint.values, axis=others), [kept.index(axis) for axis in axes]))


def given(joint: Table, **evidence: int) -> Table:
    """Returns p(the other variables | evidence), such as `given(joint, G=2, S=1)`: one slice of the table over its sum.

    Raises:
      ValueError: a name or a value that the table doesn't have, or evidence of probability 0.
    """
    _known(joint, evidence)
    for name, value in evidence.items():
        num = joint.values.shape[joint.variables.index(name)]
        if not 0 <= value < num:
            raise ValueError(f"{name} must be a whole number from 0 to {num - 1}, got {value!r}.")
    slice_ = joint.values[tuple(evidence.get(name, slice(None)) for name in joint.variables)]
    total = jnp.sum(slice_)
    if not isinstance(total, jax.core.Tracer) and total == 0:
        raise ValueError(f"the evidence {evidence} has probability 0: nothing can be said given it.")
    return Table(tuple(name for name in joint.variables if name not in evidence), slice_ / total)


def independent(
    joint: Table,
    x: str | Iterable[str],
    y: str | Iterable[str],
    z: str | Iterable[str] = (),
    *,
    tolerance: float | None = None,
) -> bool:
    """Returns whether x and y are independent given z: p(x, y, z) p(z) = p(x, z) p(y, z) for all values.

    Args:
      joint: of all variables.
      x, y, z: names of variables, three sets without common members; z may be empty.
      tolerance: of the largest difference; by default 100 times the rounding error of the table's type.
    """
    x, y, z = (_known(joint, names) for names in (x, y, z))
    _known(joint, x + y + z)
    p = marginal(joint, x + y + z).values
    over_x, over_y = tuple(range(len(x))), tuple(range(len(x), len(x) + len(y)))
    p_yz, p_xz = jnp.sum(p, axis=over_x, keepdims=True), jnp.sum(p, axis=over_y, keepdims=True)
    p_z = jnp.sum(p_xz, axis=over_x, keepdims=True)
    tolerance = 100 * jnp.finfo(p.dtype).eps if tolerance is None else tolerance
    return bool(jnp.max(jnp.abs(p * p_z - p_xz * p_yz)) <= tolerance)


def num_parameters(conditionals: Sequence[Table]) -> int:
    """Returns how many numbers are free in a Bayesian network: each row p(child | parents) sums to 1, so one is not."""
    return sum(prod(t.values.shape[:-1]) * (t.values.shape[-1] - 1) for t in conditionals)


def _sizes(factors: Sequence[Table]):
    """Variable -> how many values it has."""
    sizes = {}
    for table in factors:
        if len(table.variables) != jnp.ndim(table.values) or len(set(table.variables)) != len(table.variables):
            raise ValueError(
                f"a table of {len(table.variables)} variables {table.variables} must have one axis for each, and each "
                f"once; its values have shape {jnp.shape(table.values)}."
            )
        for name, num in zip(table.variables, table.values.shape, strict=True):
            if sizes.setdefault(name, num) != num:
                raise ValueError(f"{name} has {sizes[name]} values in one table and {num} in {table.variables}.")
    return sizes


def _known(table: Table, names: str | Iterable[str]):
    """The names as a tuple, each a variable of the table and no two the same."""
    names = (names,) if isinstance(names, str) else tuple(names)
    if unknown := [name for name in names if name not in table.variables]:
        raise ValueError(f"unknown variables {unknown}: the table has {table.variables}.")
    if len(set(names)) != len(names):
        raise ValueError(f"each variable may appear once, got {names}.")
    return names

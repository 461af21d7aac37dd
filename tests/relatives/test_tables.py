"""Tables: the numbers of the two examples, and every posterior against a sum written out."""

import jax.numpy as jnp
import numpy as np
import pytest

from abp_jax.relatives import tables


@pytest.fixture(scope="module")
def student():
    return tables.joint(tables.student(), "DIGSL")


def test_fifteen_numbers_say_the_same_as_48(student):
    assert tables.num_parameters(tables.student()) == 15
    assert student.values.size - 1 == 47
    np.testing.assert_allclose(tables.partition_function(tables.student()), 1, rtol=1e-6)
    np.testing.assert_allclose(student.values[0, 1, 1, 1, 0], 0.3 * 0.6 * 0.08 * 0.8 * 0.4, rtol=1e-6)


def test_student_is_the_product_of_its_tables_case_by_case(student):
    D, I, G, S, L = (np.asarray(table.values) for table in tables.student())
    for d, i, g, s, l in np.ndindex(2, 2, 3, 2, 2):
        expected = D[d] * I[i] * G[i, d, g] * S[i, s] * L[g, l]
        np.testing.assert_allclose(student.values[d, i, g, s, l], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "evidence", "expected"),
    [
        ("I", {}, 0.3),
        ("L", {}, 0.5023),
        ("I", {"L": 0}, 0.140),
        ("I", {"G": 2}, 0.079),
        ("I", {"G": 2, "S": 1}, 0.578),
        ("D", {"G": 2}, 0.629),
        ("D", {"G": 2, "S": 1}, 0.760),  # explaining away: a clever student's bad grade speaks for a hard course
        ("L", {"I": 0}, 0.389),
        ("L", {"I": 0, "D": 0}, 0.513),
        ("D", {"S": 1}, 0.4),
    ],
    ids=str,
)
def test_posteriors_are_those_of_the_book(student, name, evidence, expected):
    posterior = tables.marginal(tables.given(student, **evidence), name).values
    np.testing.assert_allclose(posterior[1], expected, atol=5e-4)


def test_misconception():
    factors = tables.misconception()
    assert tables.partition_function(factors) == 7_201_840
    joint = tables.joint(factors, "ABCD")
    np.testing.assert_allclose(joint.values[0, 1, 1, 0], 5_000_000 / 7_201_840, rtol=1e-6)
    assert np.unravel_index(np.argmax(joint.values), joint.values.shape) == (0, 1, 1, 0)
    np.testing.assert_allclose(tables.marginal(joint, "B").values[1], 0.7361, atol=5e-5)
    np.testing.assert_allclose(tables.marginal(tables.given(joint, C=0), "B").values[1], 0.0594, atol=5e-5)
    phi = [np.asarray(table.values) for table in factors]
    np.testing.assert_allclose(np.trace(phi[0] @ phi[1] @ phi[2] @ phi[3]), 7_201_840)


def test_the_first_factor_four_times_is_another_network():
    first = tables.misconception()[0].values
    ring = [tables.Table(pair, first) for pair in (("A", "B"), ("B", "C"), ("C", "D"), ("D", "A"))]
    assert tables.partition_function(ring) == 846_050
    assert np.argmax(tables.product(ring, "ABCD").values) == 0  # all four without it, not 0110


def test_marginals_keep_the_order_that_is_asked_for():
    values = jnp.asarray(np.random.default_rng(0).random((2, 3, 4, 5)))
    table = tables.Table(("a", "b", "c", "d"), values)
    found = tables.marginal(table, ("d", "a", "c"))
    assert found.variables == ("d", "a", "c")
    np.testing.assert_allclose(found.values, np.einsum("abcd->dac", values), rtol=1e-5)
    found = tables.given(table, c=2, a=1)
    assert found.variables == ("b", "d")
    np.testing.assert_allclose(found.values, values[1, :, 2] / values[1, :, 2].sum(), rtol=1e-5)


def test_independence_by_the_numbers(student):
    assert tables.independent(student, "D", "I")
    assert not tables.independent(student, "D", "I", "G")
    assert tables.independent(student, "S", ("D", "G", "L"), ("I",))
    assert not tables.independent(student, "S", ("D", "G", "L"))
    misconception = tables.joint(tables.misconception())
    assert tables.independent(misconception, "A", "C", ("B", "D"))
    assert not tables.independent(misconception, "A", "C", "B")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: tables.product(tables.student(), "DIGS"), "order must hold each"),
        (lambda p: tables.product([p, tables.Table(("D",), jnp.ones(3))]), "D has 2 values in one table and 3"),
        (lambda p: tables.product([tables.Table(("A", "B"), jnp.ones(3))]), "one axis for each"),
        (lambda p: tables.marginal(p, "X"), r"unknown variables \['X'\]"),
        (lambda p: tables.marginal(p, "DD"), "unknown variables"),
        (lambda p: tables.given(p, G=3), "from 0 to 2, got 3"),
        (lambda p: tables.given(p._replace(values=p.values.at[1].set(0)), D=1), "probability 0"),
        (lambda p: tables.independent(p, "D", ("D", "I")), "once"),
    ],
    ids=range(8),
)
def test_bad_arguments_are_named(student, call, message):
    with pytest.raises(ValueError, match=message):
        call(student)

"""The assignment: the right solution has full marks, and each typical mistake loses the points that are its own."""

import json
import sys
from pathlib import Path

import pytest

TEACHING = Path(__file__).parents[2] / "docs" / "book" / "teaching"
sys.path.insert(0, str(TEACHING))
import grade  # noqa: E402

CELLS = json.loads((TEACHING / "assignment.ipynb").read_text("utf-8"))["cells"]
GRADERS = (grade.part_1, grade.part_2, grade.part_3, grade.part_4)

SOLUTIONS = (
    """
def log_joint(z, y, f, sigma):
    return -jnp.sum((y - f(z)) ** 2) / (2 * sigma**2) - jnp.sum(z**2) / 2


def langevin_step(key, z, y, f, sigma, step_size):
    u = jax.random.normal(key, z.shape)
    return z + step_size**2 / 2 * jax.grad(log_joint)(z, y, f, sigma) + step_size * u
""",
    """
def weights_gradient(params, z, y, generate, sigma):
    one = lambda params, z, y: log_joint(z, y, lambda z: generate(params, z), sigma)
    return jax.grad(lambda params: jnp.sum(jax.vmap(one, (None, 0, 0))(params, z, y)))(params)
""",
    """
def alternate(key, params, z, y, infer_step, learn_step, num_iterations, num_steps):
    start = z
    for iteration in range(num_iterations):
        for step in range(num_steps):
            key, now = jax.random.split(key)
            z = jax.vmap(infer_step, (0, None, 0, 0))(jax.random.split(now, len(z)), params, z, y)
        params = learn_step(params, z, y)
    return params, z
""",
    """
def panel(f, num):
    axis = jnp.linspace(-2, 2, num)
    return jnp.stack([f(jnp.stack([z1, z2])) for z2 in axis[::-1] for z1 in axis])
""",
)


def answers(old=None, new=None):
    """The functions of the notebook with its blanks filled in, by the solution with a replacement."""
    blanks = ["".join(cell["source"]) for cell in CELLS if "blank" in cell["metadata"].get("tags", ())]
    found = []
    namespace = {}
    exec("import jax\nimport jax.numpy as jnp", namespace)
    for blank, solution in zip(blanks, SOLUTIONS, strict=True):
        heads = [line for line in blank.splitlines() if line.startswith("def ")]
        assert heads == [line for line in solution.splitlines() if line.startswith("def ")]
        exec(solution.replace(old, new) if old else solution, namespace)
        found.append(namespace[heads[-1][4:].split("(")[0]])
    return found


def lost(old, new):
    """What a replacement in the solution loses, as the first words of each check that failed: points."""
    changed = [old in solution for solution in SOLUTIONS]
    changed[1] |= changed[0]  # the second part builds on the first
    grades = [GRADERS[part](function) for part, function in enumerate(answers(old, new)) if changed[part]]
    assert len(grades) > 0
    return {check.what.split(",")[0]: check.points for one in grades for check in one.checks if not check.passed}


def test_the_right_solution_has_full_marks():
    grades = [part(function) for part, function in zip(GRADERS, answers(), strict=True)]
    assert [one.points for one in grades] == [10, 6, 8, 4], grades


@pytest.mark.parametrize(
    ("old", "new", "points"),
    [
        ("step_size**2 / 2 *", "step_size**2 *", {"the drift is s^2 / 2 times the gradient": 2}),
        ("+ step_size**2 / 2 *", "- step_size**2 / 2 *", {"the drift leads uphill": 2}),
        (
            "-jnp.sum((y - f(z)) ** 2)",
            "-jnp.mean((y - f(z)) ** 2)",
            {"a sum over y": 2, "a sum over examples and over y": 2},
        ),
        ("/ (2 * sigma**2)", "/ 2", {"a sum over y": 2, "a sum over examples and over y": 2}),
        ("+ step_size * u", "+ u", {"the noise is s u": 2}),
        ("+ step_size * u", "+ step_size**2 * u", {"the noise is s u": 2}),
        ("jnp.sum(jax.vmap", "jnp.mean(jax.vmap", {"a sum over examples and over y": 2}),
        ("jnp.sum(jax.vmap", "-jnp.sum(jax.vmap", {"it leads uphill": 2}),
        (
            "for step in range",
            "z = start\n        for step in range",
            {"warm start: each z goes on from its last value": 2},
        ),
        ("jax.random.split(now, len(z))", "jnp.broadcast_to(now, (len(z),))", {"each image has noise of its own": 1}),
        ("key, now = jax", "_, now = jax", {"and fresh noise at each step": 1}),
        ("axis[::-1]", "axis", {"in reading order": 1}),
        (
            "linspace(-2, 2, num)",
            "linspace(-1, 1, num)",
            {"eight points from -2 to 2 in each coordinate": 2, "in reading order": 1},
        ),
    ],
)
def test_a_mistake_loses_its_own_points(old, new, points):
    found = lost(old, new)
    found.pop("the chain's stationary variance", None)  # every mistake in the step shows there too
    assert found == points


def test_a_blank_has_no_points_and_no_error():
    for part in GRADERS:
        grade_of_blank = part(lambda *arguments: ...)
        assert grade_of_blank.points == 0 and " 0 of " in repr(grade_of_blank)


def test_the_notebook_is_shipped_with_its_blanks():
    blanks = ["".join(cell["source"]) for cell in CELLS if "blank" in cell["metadata"].get("tags", ())]
    assert len(blanks) == 4 and all(blank.rstrip().endswith("\n    ...") for blank in blanks)
    assert all(cell["outputs"] == [] for cell in CELLS if cell["cell_type"] == "code")

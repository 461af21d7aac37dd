"""Who may import whom: the spine is read in order, the folders stand beside it, and nothing waits for a screen."""

import ast
import subprocess
import sys
from pathlib import Path

from abp_jax.samplers import KINDS

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "abp_jax"
SPINE = "model langevin samplers factor_analysis layers generators inference learning fitting plots".split()
BELOW_TRAINING = {"spine", "images", "training"}
MAY_IMPORT = {
    "compilation": {"compilation"},
    "spine": {"spine", "images", "compilation"},
    "fitting": BELOW_TRAINING,
    "images": {"images", "spine"},
    "training": {*BELOW_TRAINING, "compilation"},
    "evaluation": {"evaluation", "spine", "images", "compilation"},
    "practice": {"practice", "spine", "images", "evaluation", "training", "relatives"},
    "relatives": {"relatives", "spine", "images", "evaluation", "compilation", "training", "widgets"},
    "widgets": {"widgets", "compilation", "evaluation", "training", "spine", "images", "fitting"},
}


def modules():
    """Name -> file of every module, without the package's own first file."""
    files = {f: f.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for f in LIBRARY.rglob("*.py")}
    return {name.removesuffix(".__init__"): f for f, name in files.items() if f != LIBRARY / "__init__.py"}


def imported(file, known):
    """The modules of the library that a file imports anywhere, be it at its top or in a function."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "abp_jax":
            assert node.level == 0, file
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (whole & known) | ({node.module} if not whole <= known else set())
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "abp_jax"}
    return found


def group(name):
    """The folder of a module; `fitting`, the one of the spine that may use `training`, is a group of its own."""
    parts = name.split(".")
    if len(parts) == 2 and parts[1] in SPINE:
        return "fitting" if parts[1] == "fitting" else "spine"
    return parts[1]


def test_everything_has_its_place():
    assert {f.stem for f in LIBRARY.glob("*.py")} == {*SPINE, "__init__"}
    assert {group(name) for name in modules()} == set(MAY_IMPORT)


def test_who_imports_whom():
    known = set(modules())
    arrows = [(name, other) for name, file in modules().items() for other in imported(file, known)]
    assert len(arrows) > 100
    forbidden = [(a, b) for a, b in arrows if b not in known or group(b) not in MAY_IMPORT[group(a)]]
    assert forbidden == []


def test_there_is_an_order_to_read_in():
    """No circle: again and again, take away what imports nothing that is left."""
    known = set(modules())
    left = {name: imported(file, known) - {name} for name, file in modules().items()}
    while free := [name for name, others in left.items() if not others & set(left)]:
        for name in free:
            del left[name]
    assert left == {}


def test_nothing_imports_the_widgets_before_they_are_used():
    """Nor is anything started: no compilation cache, no device, no screen, no BlackJAX and no Orbax."""
    code = """
import sys, jax, flax, optax
import abp_jax
late = ("abp_jax.widgets", "abp_jax.relatives", "abp_jax.practice", "anywidget", "ipywidgets")
late += ("matplotlib", "contourpy", "blackjax", "orbax")
print([name for name in sys.modules if name.startswith(late)], jax.config.jax_compilation_cache_dir)
print(jax._src.xla_bridge.backends_are_initialized())
assert all(hasattr(abp_jax, name) for name in abp_jax.__all__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "[] None\nFalse\n", done.stdout + done.stderr


def test_samplers_are_named_in_one_place():
    """Their names are strings of the table, of defaults and of documentation; nobody else compares them."""
    compared = []
    for name, file in modules().items():
        tree = ast.parse(file.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare | ast.Call | ast.Dict) and group(name) != "spine":
                strings = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
                compared += [(name, s) for s in strings & set(KINDS)]
    assert compared == []


def test_the_house_keeps_its_measure():
    """A spine of 1,700 lines, no file over 300, no function over 60 without its documentation, arguments with types."""
    sizes = {file: len(file.read_text("utf-8").splitlines()) for file in LIBRARY.rglob("*.py")}
    assert sum(sizes[LIBRARY / f"{name}.py"] for name in SPINE) <= 1700
    assert {file.name: lines for file, lines in sizes.items() if lines > 300} == {}
    nodes = [node for file in sizes for node in ast.walk(ast.parse(file.read_text("utf-8")))]
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    documentation = {node.name: len((ast.get_docstring(node, clean=False) or "").splitlines()) for node in functions}
    lengths = {f.name: f.end_lineno - f.lineno + 1 - documentation[f.name] for f in functions}
    assert {name: length for name, length in lengths.items() if length > 60} == {}
    arguments = [a for f in functions for a in f.args.args + f.args.kwonlyargs if a.arg not in ("self", "cls")]
    assert sum(a.annotation is not None for a in arguments) / len(arguments) >= 0.9

"""The house itself: which module may import which, documentation of every public name, the types."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import dnn

SOURCE = Path(__file__).parents[1] / "src" / "dnn"

# Arrows never turn back. The tables of the core are the base: what may be asked for is read from them.
SPECS = {"layers", "losses", "initializers", "schedules", "optimizers"}
MAY_IMPORT = {
    "checks": set(),
    "threads": {"checks"},
    "values": set(),
    "schedules": {"checks", "values"},
    "initializers": {"_core", "checks", "data", "values"},
    "layers": {"_core", "checks", "values"},
    "losses": {"_core", "checks", "values"},
    "optimizers": {"checks", "schedules", "values"},
    "blocks": set(),
    "data": {"_core", "blocks", "checks", "losses", "non_numeric"},
    "non_numeric": set(),
    "optional": set(),
    "cache": {"_core"},
    "predictor": {"_core", "blocks", "data", "rows"},
    "diagnosis": {"_core", "history", "layers"},
    "history": set(),
    "installation": set(),
    "rows": {"_core"},
    "trainers": {"_core", "blocks"},
    "passes": {"network", "rows"},
    "summary": set(),
    "optimizer_state": {"_core", "checks", "data", "optimizers", "schedules"},
    "training": {
        "_core",
        "blocks",
        "checks",
        "data",
        "diagnosis",
        "history",
        "optimizer_state",
        "optional",
        "rows",
        "trainers",
        *SPECS,
    },
    "lbfgs": {"_core", "blocks", "data", "history", "optimizers", "training"},
    "network": {
        "_core",
        "cache",
        "checks",
        "data",
        "diagnosis",
        "history",
        "lbfgs",
        "optimizer_state",
        "predictor",
        "summary",
        "threads",
        "training",
        *SPECS,
    },
    "labels": set(),
    "by_steps": set(),
    "convergence": {"diagnosis", "history", "optimizer_state", "optimizers", "schedules"},
    "estimator_input": {"blocks", "data", "non_numeric", "rows"},
    "parameters": {"_core", "checks", "convergence", "threads", *SPECS},
    "perceptron": {
        "_core",
        "checks",
        "convergence",
        "data",
        "estimator_input",
        "diagnosis",
        "history",
        "labels",
        "lbfgs",
        "network",
        "parameters",
        "passes",
        "predictor",
        "rows",
        "threads",
        "trainers",
        "training",
        *SPECS,
    },
    "classifier": {
        "by_steps",
        "checks",
        "data",
        "estimator_input",
        "labels",
        "losses",
        "perceptron",
        "predictor",
    },
    "regressor": {
        "by_steps",
        "checks",
        "data",
        "estimator_input",
        "losses",
        "parameters",
        "perceptron",
        "predictor",
    },
    "gradient_check": {"checks", "data", "losses", "network"},
    "explanation": {"layers", "network"},
    "drawing": {"checks", "data", "explanation", "losses", "network", "optional"},
    "rate_finder": {"checks", "network", "optimizers"},
    "__init__": {
        "cache",
        "gradient_check",
        "history",
        "installation",
        "network",
        "predictor",
        "optimizer_state",
        "rate_finder",
        *SPECS,
    },
}
# What is optional may import all of these; nothing of these imports it, but inside a method, by name.
INSIDE_A_METHOD = {
    ("history", "plotting"),
    ("rate_finder", "plotting"),
    ("summary", "drawing"),
    ("gradient_check", "explanation"),
}
# For types alone, under TYPE_CHECKING
FOR_TYPES = {
    ("optimizer_state", "network"),
    ("training", "network"),
    ("lbfgs", "network"),
    ("diagnosis", "losses"),
    ("diagnosis", "network"),
    ("diagnosis", "training"),
    ("trainers", "optimizer_state"),
    ("trainers", "training"),
    ("convergence", "training"),
    ("summary", "network"),
    ("summary", "drawing"),
    ("predictor", "network"),
    ("convergence", "network"),
    ("parameters", "network"),
    ("convergence", "perceptron"),
    ("__init__", "classifier"),
    ("__init__", "regressor"),
}


def imports(tree, top_level):
    """Names of sibling modules that a module imports, at its top or elsewhere."""
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        if (node in tree.body) != top_level:
            continue
        if isinstance(node, ast.ImportFrom) and node.level:
            found |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "dnn":
            found |= (
                {node.module.split(".")[1]} if "." in node.module else {alias.name for alias in node.names}
            )
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("dnn.")}
    return found


def test_arrows_never_turn_back():
    for module, allowed in MAY_IMPORT.items():
        tree = ast.parse((SOURCE / f"{module}.py").read_text())
        assert imports(tree, top_level=True) <= allowed, module
        inside = {(module, name) for name in imports(tree, top_level=False)}
        assert inside <= INSIDE_A_METHOD | FOR_TYPES, module


def test_no_file_is_too_long():
    """Past these a file is split along a noun."""
    for path in SOURCE.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 600, path.name
    for path in SOURCE.glob("_core.pyx"):
        assert len(path.read_text().splitlines()) <= 900, path.name


def test_importing_is_light():
    """What takes long, or is optional, waits until it is needed."""
    code = (
        "import sys, dnn; print([m for m in ('scipy', 'sklearn', 'matplotlib', 'tqdm') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def modules():
    return [
        "dnn",
        *(f"dnn.{m.name}" for m in pkgutil.iter_modules(dnn.__path__) if not m.name.startswith("_")),
    ]


@pytest.mark.parametrize("name", modules())
def test_examples_run(name):
    module = importlib.import_module(name)
    assert module.__doc__
    failed, _ = doctest.testmod(module)
    assert not failed


def public():
    """Every public name, and the public methods of every public class."""
    for name in (*dnn.__all__, "MLPClassifier", "MLPRegressor"):
        thing = getattr(dnn, name)
        yield name, thing
        if inspect.isclass(thing):
            for attribute, value in vars(thing).items():
                if not attribute.startswith("_") and inspect.isfunction(value):
                    yield f"{name}.{attribute}", value


# Shown by the example of what they belong to
WITHOUT_EXAMPLE = {"Event.stop", "History.plot", "Network.predict", "OptimizerState.step"}


@pytest.mark.parametrize(("name", "thing"), list(public()))
def test_every_public_name_is_documented(name, thing):
    text = inspect.getdoc(thing)
    assert text and len(text.splitlines()[0]) > 10
    helper = re.search(r"\.(draw|draw_biases|rates|start|observe)$", name)
    if not helper and name not in WITHOUT_EXAMPLE:
        assert ">>>" in text
    if inspect.isfunction(thing) and not helper:
        for parameter in inspect.signature(thing).parameters:
            if parameter not in ("self", "cls"):
                assert re.search(rf"\b{parameter}\b", text), parameter


def test_the_tables_of_the_core_have_no_gaps():
    from dnn import _core

    for table in (_core.ACTIVATIONS, _core.LOSSES, _core.OPTIMIZERS):
        assert [row.row for row in table.values()] == list(range(len(table)))


def test_the_version_is_one():
    pyproject = SOURCE.parents[1] / "pyproject.toml"
    assert f'version = "{dnn.__version__}"' in pyproject.read_text()
    with pytest.raises(AttributeError, match="no attribute 'versoin'"):
        _ = dnn.versoin


def test_the_package_is_typed():
    assert (SOURCE / "py.typed").exists() and (SOURCE / "_core.pyi").exists()
    stub = (SOURCE / "_core.pyi").read_text()
    from dnn import _core

    for name in dir(_core):
        thing = getattr(_core, name)
        inner = name.startswith("_") or name in ("Bound", "Run")  # not for Python's use
        if not inner and getattr(thing, "__module__", "").endswith("_core"):
            assert re.search(rf"^(def|class) {name}\b", stub, re.MULTILINE), name

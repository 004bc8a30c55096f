"""The structure of the package: imports, lengths of files, docstrings of public names, and types."""

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

SOURCE = Path(__file__).parents[2] / "src" / "dnn"

# Imports point one way: a module may import from its own folder and from the names before it in this order.
ORDER = (
    {"_core", "_threads", "_checks", "_frozen", "_optional", "_installation", "_config"},
    {"layers", "losses", "schedules", "sampler"},
    {"optimizers"},
    {"data"},
    {"sources"},
    {"initializers", "cache"},
    {"training", "predictor"},
    {"summary", "files"},
    {"exports"},
    {"network"},
    {"inspection"},
    {"plotting"},
    {"estimators"},
    {"interop"},
    {"distributed"},
    {"course"},
    {"demos"},
    {"cli"},
    {"__main__", "__init__"},
)


def name_of(path):
    """Return the dotted name of a module below dnn, such as "training.loop" or "training.__init__"."""
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts)


def imports(path):
    """Return the dotted names below dnn that a module imports at its top; functions may import anything."""
    here = name_of(path).split(".")[:-1]
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] == "dnn"):
            package = here[: len(here) + 1 - node.level] if node.level else []
            module = (node.module or "").split(".") if node.level else (node.module or "").split(".")[1:]
            base = [part for part in (*package, *module) if part]
            for alias in node.names:
                whole = SOURCE.joinpath(*base, alias.name)
                is_module = whole.with_suffix(".py").exists() or whole.is_dir() or alias.name == "_core"
                found.add(".".join([*base, alias.name] if is_module or not base else base))
    return found


def test_imports_point_one_way():
    place = {name: number for number, names in enumerate(ORDER) for name in names}
    for path in SOURCE.rglob("*.py"):
        module = name_of(path)
        room = module.split(".")[0]
        for imported in imports(path):
            other = imported.split(".")[0]
            if other in place and other != room and place[room] > 0:
                assert place[other] < place[room], f"{module} imports {imported}"


def test_no_circle_of_imports():
    left = {name_of(path): imports(path) for path in SOURCE.rglob("*.py")}
    while left:
        free = [name for name, needed in left.items() if not needed & left.keys() - {name}]
        assert free, f"these import each other: {sorted(left)}"
        for name in free:
            del left[name]


def private_reads(text, names):
    """Return the expressions of a module that read one of these names of other objects."""
    tree = ast.parse(text)
    reads = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in names]
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    own = {node for each in classes for node in ast.walk(each)}
    of_self = {node for node in own if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self"}
    return [ast.unparse(node) for node in reads if node not in of_self]


def test_only_the_network_reads_its_private_members():
    """Other modules use its public interface and `_train`, which takes the lock."""
    members = {*vars(dnn.Network([1, 1])), *vars(dnn.Network)}
    names = {name for name in members if name.startswith("_") and not name.startswith("__")} - {"_train"}
    assert {"_plan", "_params", "_write_lock", "_rng", "_build"} <= names
    for path in SOURCE.rglob("*.py"):
        if name_of(path) != "network":
            reads = private_reads(path.read_text(), names)
            assert not reads, f"{name_of(path)} reads {reads}"


def test_private_reads_are_seen():
    names = {"_plan"}
    assert private_reads("def f(self):\n    self._plan", names) == ["self._plan"]
    assert private_reads("class A:\n    def f(self):\n        self.net._plan", names) == ["self.net._plan"]
    assert private_reads("class A:\n    def f(self):\n        self._plan = net.plan", names) == []


def test_no_file_is_too_long():
    """A longer file is split along a noun."""
    folders = [SOURCE, *(SOURCE.parents[1] / name for name in ("tests", "benchmarks", "examples"))]
    suffixes = {".py", ".pyi", ".pyx", ".pxi", ".h", ".c"}
    paths = [path for folder in folders for path in folder.rglob("*.*") if path.suffix in suffixes]
    long = {path for path in paths if len(path.read_text().splitlines()) > 600}
    assert not long, f"longer than 600 lines: {sorted(long)}"


def test_importing_is_light():
    """Slow and optional imports wait until they are needed."""
    heavy = ("scipy", "sklearn", "matplotlib", "tqdm", "safetensors", "json", "hashlib", "logging")
    code = f"import sys, dnn; print([m for m in {heavy} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def modules():
    folders = ("cli", "data", "files", "training", "estimators", "inspection", "interop", "distributed")
    inner = (m.name for m in pkgutil.walk_packages(dnn.__path__, "dnn."))
    return [
        "dnn",
        *(name for name in inner if name.count(".") == 1 or name.split(".")[1] in folders),
    ]


# What examples need of the packages that dnn can do without
NEEDED = {
    "dnn.distributed.dask": "distributed",
    "dnn.distributed.dask_estimators": "distributed",
    "dnn.distributed.dask_tables": "distributed",
    "dnn.distributed.joblib": "joblib",
    "dnn.distributed.ray": "ray",
    "dnn.exports": "onnx",
    "dnn.interop.onnx": "skl2onnx",
    "dnn.interop.onnx_reader": "onnx",
}


def marked(name):
    """Return the name of a module as a parameter: examples with a cluster take seconds."""
    return pytest.param(name, marks=pytest.mark.long) if "distributed" in name else name


@pytest.mark.parametrize("name", [marked(name) for name in modules()])
def test_examples_run(name):
    if name in NEEDED:
        extra = "ray" if NEEDED[name] == "ray" else "dev"
        pytest.importorskip(NEEDED[name], reason=f"needs {NEEDED[name]}: pip install 'dnn-core[{extra}]'")
    module = importlib.import_module(name)
    assert module.__doc__
    if "distributed" in name:  # a cluster has threads, and a failed example would leave it behind
        code = f"import doctest, {name}; raise SystemExit(doctest.testmod({name}).failed)"
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return
    failed, _ = doctest.testmod(module)
    assert not failed


def public():
    """Yield every public name, and the public methods of every public class."""
    for name in (
        *dnn.__all__,
        "MLPClassifier",
        "MLPRegressor",
        "TableEncoder",
        "BernoulliRBM",
        "from_sklearn",
    ):
        thing = getattr(dnn, name)
        yield name, thing
        if inspect.isclass(thing):
            for attribute, value in vars(thing).items():
                if not attribute.startswith("_") and inspect.isfunction(value):
                    yield f"{name}.{attribute}", value


# Names that are in the example of their class
WITHOUT_EXAMPLE = {"Event.stop", "History.plot", "Network.predict", "OptimizerState.step", "RowSource.read"}


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


def test_tables_of_the_core_have_consecutive_indices():
    from dnn import _core

    for table in (_core.ACTIVATIONS, _core.LOSSES, _core.OPTIMIZERS):
        assert [info.index for info in table.values()] == list(range(len(table)))


def test_there_is_one_version():
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
        inner = name.startswith("_") or name in ("ArrayRef", "Run")  # not for use from Python
        if not inner and getattr(thing, "__module__", "").endswith("_core"):
            assert re.search(rf"^(def|class) {name}\b", stub, re.MULTILINE), name

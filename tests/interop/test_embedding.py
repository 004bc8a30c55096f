"""Models opened from C: the same bits as in Python, from any thread; each error has a code and a message."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from ctypes import byref, c_void_p
from importlib.machinery import ExtensionFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import c_api
import numpy as np
import pytest
from c_api import API, Model
from c_programs import CPP, C, build, need

import dnn
from dnn import Network

ROOT = Path(__file__).parents[2]
HEADER = Path(dnn.get_include(), "dnn.h")
X = np.random.default_rng(0).standard_normal((60, 3))


def rows(n, n_inputs, dtype):
    return np.random.default_rng(n).standard_normal((n, n_inputs)).astype(dtype)


# ---- predictions ----

NETWORKS = {
    "one layer": ([5, 1], "identity"),
    "4-64-64-2": ([4, 64, 64, 2], "softmax"),
    "packed products": ([300, 270, 10], "softplus"),
    "activations that are not on the stack": ([9, 3000, 2], "tanh"),
    "slots that are not on the stack": ([2, *[3] * 200, 4], "sigmoid"),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_give_the_bits_of_their_predictor(name, dtype, isa):
    sizes, output = NETWORKS[name]
    net = Network(sizes, activation="gelu", output=output, dtype=dtype, random_state=0)
    predict, model = net.predictor(), Model(net)
    assert (API.n_inputs(model.at), API.n_outputs(model.at)) == (sizes[0], sizes[-1])
    assert API.is_double(model.at) == (dtype == "float64")
    for n in (0, 1, 3, 65, 600):
        batch = rows(n, sizes[0], dtype)
        np.testing.assert_array_equal(model(batch), predict(batch))


def test_a_file_and_a_predictor_give_the_same_bits(tmp_path):
    net, batch = Network([6, 20, 3], random_state=0), rows(9, 6, "float32")
    path = tmp_path / "net \N{SNOWMAN}.safetensors"
    net.save(path)
    for source in (bytes(path), net.predictor()):
        np.testing.assert_array_equal(Model(source)(batch), net(batch))


def test_a_model_is_a_snapshot_that_lives_until_it_is_closed():
    net, batch = Network([6, 20, 3], random_state=0), rows(9, 6, "float32")
    expected, model = net(batch), Model(net)
    net.params[:] = 0
    np.testing.assert_array_equal(model(batch), expected)
    predictor = net.predictor()
    counts = [sys.getrefcount(predictor.params)]
    model = Model(predictor)
    counts.append(sys.getrefcount(predictor.params))
    del model
    counts.append(sys.getrefcount(predictor.params))
    assert counts[1] > counts[0] == counts[2]
    API.close(None)


def test_many_threads_share_a_model():
    """Calls of milliseconds, during which ctypes releases the GIL, overlap."""
    net = Network([4] * 20, activation="tanh", output="softmax", random_state=0)
    model, batches = Model(net), [rows(n, 4, "float32") for n in (20_000, 20_001, 20_002, 20_003)]
    with ThreadPoolExecutor(4) as pool:
        for found, batch in zip(pool.map(model, batches * 2), batches * 2, strict=True):
            np.testing.assert_array_equal(found, net(batch))


def test_subnormal_values_are_flushed_during_a_call_only():
    model = Model(Network(1, [dnn.Dense(1)], init=[([[1]], [0])]))
    tiny = np.array([[1e-40]], np.float32)
    assert model(tiny)[0, 0] == 0
    assert (tiny * np.float32(1))[0, 0] > 0


# ---- estimators ----

LABELS = {
    "binary": np.where(X[:, 0] > 0, "no", "yes"),
    "multiclass": np.digitize(X[:, 0], [-0.5, 0.5]) * 10,
    "multilabel": (X > 0).astype(int),
    "one_class": np.full(len(X), 5),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", LABELS)
def test_classifiers_give_probabilities(kind, dtype, tmp_path):
    pytest.importorskip("sklearn")
    clf = dnn.MLPClassifier(9, solver="lbfgs", max_iter=4, tol=1e3, dtype=dtype, random_state=0)
    clf.fit(X, LABELS[kind])
    clf.save(tmp_path / "clf")
    model, batch = Model(bytes(tmp_path / "clf")), 30 * X.astype(dtype)
    assert clf.decoding().kind == kind
    if kind != "binary":
        np.testing.assert_array_equal(model(batch), clf.predict_proba(batch))
        return
    # Python's sigmoid is SciPy's; both are relatively precise where a probability is near 0
    assert clf.predict_proba(batch).min() < 1e-6
    rounding = 8 * np.finfo(dtype).eps
    for n in (1, len(batch)):
        np.testing.assert_allclose(model(batch[:n]), clf.predict_proba(batch[:n]), rtol=rounding)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_regressors_give_their_predictions(dtype):
    pytest.importorskip("sklearn")
    options = {"hidden_layer_sizes": 9, "tol": 1e3, "n_iter_no_change": 1, "dtype": dtype, "random_state": 0}
    batch = X.astype(dtype)
    for y in (X[:, 0], X[:, :2]):
        reg = dnn.MLPRegressor(**options).fit(X, y)
        np.testing.assert_array_equal(Model(reg)(batch), reg.predict(batch).reshape(len(X), -1))
    reg = dnn.MLPRegressor(loss=dnn.Quantile((0.1, 0.5, 0.9)), **options).fit(X, X[:, 0])
    assert (np.diff(reg.network_(batch), axis=1) < 0).any()  # the network crosses them
    np.testing.assert_array_equal(Model(reg)(batch), reg.predict(batch))
    reg.intercepts_[-1][1] = np.nan  # which is sorted to the end
    found = Model(reg)(batch)
    assert np.isnan(found[:, 2]).all()
    np.testing.assert_array_equal(found, np.sort(reg.network_(batch), axis=1))


# ---- errors ----


def failure(source):
    """Return the code and the message of the error of opening a path, given as bytes, or an object."""
    model = Model(source)
    assert not model.at
    return model.code, model.message


def test_files_that_cannot_be_opened(tmp_path):
    path = tmp_path / "net.safetensors"
    Network([2, 3, 1], random_state=0).save(path)
    whole = path.read_bytes()
    (tmp_path / "truncated").write_bytes(whole[:-5])
    (tmp_path / "text").write_text("no model")
    for name, code, words in (
        ("nowhere", c_api.FILE, "No such file or directory"),
        ("", c_api.FILE, "got a folder"),
        ("truncated", c_api.FORMAT, "cannot be loaded: "),
        ("text", c_api.FORMAT, "cannot be loaded: "),
    ):
        found, message = failure(bytes(tmp_path / name))
        assert (found, words in message, str(tmp_path) in message) == (code, True, True), message


def test_objects_that_cannot_be_opened():
    pytest.importorskip("sklearn")
    assert failure([1, 2]) == (
        c_api.UNSUPPORTED,
        "C can use a Network, a Predictor or an MLP estimator of dnn, got list",
    )
    code, message = failure(dnn.MLPClassifier())
    assert code == c_api.UNSUPPORTED and "is not fitted yet" in message


def test_long_messages_are_cut(tmp_path):
    code, message = failure(bytes(tmp_path / ("x" * 200 + "/") / ("y" * 200 + "/") / ("z" * 200)))
    assert (code, len(message)) == (c_api.FILE, 511)


def test_an_estimator_without_scikit_learn(tmp_path):
    pytest.importorskip("sklearn")
    dnn.MLPRegressor(hidden_layer_sizes=(), solver="lbfgs").fit([[0.0], [1.0]], [0.0, 1.0]).save(
        tmp_path / "reg"
    )
    code = (
        "import sys; sys.modules['sklearn'] = None; sys.path.insert(0, sys.argv[2]); import c_api\n"
        "model = c_api.Model(sys.argv[1].encode()); print(model.code, model.message)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "reg"), str(Path(c_api.__file__).parent)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.startswith(f"{c_api.MISSING} ") and "scikit-learn" in ran.stdout


def test_interrupting_reaches_python(monkeypatch):
    from dnn.interop import embedding

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(embedding, "embedded", interrupted)
    # A process that was started in the background may ignore the signal
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            failure(Network([1, 1]))
    finally:
        signal.signal(signal.SIGINT, before)
    assert API.last_error() == b"KeyboardInterrupt"


def test_wrong_arguments():
    model, x = Model(Network([2, 3])), np.zeros((4, 3), np.float32)
    double = Model(Network([2, 3], dtype="float64"))
    at, out = model.at, np.full((4, 3), 7.0, np.float32)
    there, to = x.ctypes.data, out.ctypes.data
    for call, arguments, code, message in (
        (API.predict_float, (None, there, 1, to), c_api.ARGUMENT, "model must not be NULL"),
        (API.predict_float, (at, None, 1, to), c_api.ARGUMENT, "X and out must not be NULL"),
        (API.predict_float, (at, there, 1, None), c_api.ARGUMENT, "X and out must not be NULL"),
        (API.predict_float, (at, there, -3, to), c_api.ARGUMENT, "n_rows must be at least 0, got -3"),
        (
            *(API.predict_double, (at, there, 1, to), c_api.PRECISION),
            "the model computes in float: call dnn_predict_float",
        ),
        (
            *(API.predict_float, (double.at, there, 1, to), c_api.PRECISION),
            "the model computes in double: call dnn_predict_double",
        ),
        (API.open, (None, byref(c_void_p())), c_api.ARGUMENT, "path and model must not be NULL"),
        (API.open, (b"path", None), c_api.ARGUMENT, "path and model must not be NULL"),
        (API.from_object, (1, None), c_api.ARGUMENT, "object and model must not be NULL"),
    ):
        assert (call(*arguments), API.last_error().decode()) == (code, message)
    assert (out == 7).all()
    assert API.predict_float(at, None, 0, None) == c_api.OK


NO_MEMORY = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import c_api, dnn, numpy as np
model = c_api.Model(dnn.Network([1, 200_000, 1], random_state=0))
X, out = np.ones((300, 1), np.float32), np.full((300, 1), 7, np.float32)
pages = int(open("/proc/self/statm").read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 50_000_000,) * 2)
for n in (300, 1):
    code = c_api.API.predict_float(model.at, X.ctypes.data, n, out.ctypes.data)
    print(code, c_api.API.last_error().decode(), float(out[0, 0]) != 7)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory: only Linux has /proc/self/statm")
def test_without_memory():
    command = [sys.executable, "-c", NO_MEMORY, str(Path(c_api.__file__).parent)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"7 no memory for \d{9} bytes of activations False\n0 .* True\n", ran.stdout), (
        ran.stdout
    )


def test_each_thread_has_its_message():
    failure([1])
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(API.last_error).result() == b""
        assert pool.submit(failure, {}).result()[1].endswith("got dict")
    assert API.last_error().endswith(b"got list")


# ---- the header ----


def test_the_interface_is_version_1():
    """A new function is appended to Interface too. Anything else needs a new DNN_API_VERSION."""
    assert (API.version, API.size) == (1, ctypes.sizeof(c_api.Interface))


def test_the_header_and_its_declarations_for_cython_agree():
    header, cython = HEADER.read_text(), Path(dnn.__file__).with_name("__init__.pxd").read_text()
    functions = set(re.findall(r"^static inline .*?\b(dnn_\w+)\(", header, re.M))
    assert len(functions) == 10
    assert set(re.findall(r"\b(dnn_\w+)\(", cython.split('"dnn.h"', 1)[1])) == functions
    codes = dict(re.findall(r"^    DNN_(?:ERROR_)?(\w+) = (\d)", header, re.M))
    assert set(re.findall(r"^        DNN_(?:ERROR_)?(\w+)$", cython, re.M)) == {*codes, "API_VERSION"}
    assert {name: int(code) for name, code in codes.items()} == {
        **{name: getattr(c_api, name) for name in codes if hasattr(c_api, name)},
        **{"MEMORY": 7, "PYTHON": 8},
    }


MODULE = """
#include "dnn.h"
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "user", NULL, -1, NULL, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit_user(void);
PyMODINIT_FUNC PyInit_user(void)
{
    return dnn_import() < 0 ? NULL : PyModule_Create(&module);
}
"""


def user_module(folder, header, command=("cc", *C)):
    """Compile a module that imports dnn with this text of dnn.h, without a word, and import it."""
    (folder / "dnn.h").write_text(header)
    (folder / "user.c").write_text(MODULE)
    python = ["-isystem", sysconfig.get_path("include")]
    flags = [*command[1:], "-shared", "-fPIC", *python, "-o", "user.so"]
    build([need(command[0])], folder, *flags, "user.c")
    loader = ExtensionFileLoader("user", str(folder / "user.so"))
    return module_from_spec(spec_from_loader("user", loader))


@pytest.mark.parametrize("command", [("cc", *C), ("c++", *CPP)], ids=["C", "C++"])
def test_a_module_is_compiled_without_warnings_and_finds_dnn(command, tmp_path):
    assert user_module(tmp_path, HEADER.read_text(), command).__name__ == "user"


def test_a_module_of_another_version_is_not_imported(tmp_path):
    later = HEADER.read_text().replace("#define DNN_API_VERSION 1\n", "#define DNN_API_VERSION 2\n")
    with pytest.raises(ImportError, match=r"has version 1 of its C interface, and this .* for version 2$"):
        user_module(tmp_path, later)


def test_a_module_that_needs_a_newer_dnn_is_not_imported(tmp_path):
    newer = HEADER.read_text().replace("} DnnAPI;", "    void (*added)(void);\n} DnnAPI;")
    with pytest.raises(ImportError, match=r"older than the dnn\.h that this module was compiled with"):
        user_module(tmp_path, newer)


@pytest.mark.skipif(not (ROOT / "examples").exists(), reason="the examples are not beside these tests")
def test_the_examples_are_built_and_run(tmp_path):
    """Against the package that is tested: the wheel, where that is installed."""
    for module in ("Cython", "setuptools"):
        pytest.importorskip(module, reason=f"needs {module}: pip install 'dnn-core[dev]'")
    need("cc")
    for file in (ROOT / "examples" / "embed").iterdir():
        if file.is_file():
            (tmp_path / file.name).write_text(file.read_text())
    quick = {**os.environ, "CFLAGS": "-O0 -g0"}
    for command in (["setup.py", "-q", "build_ext", "--inplace"], ["main.py"]):
        ran = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=quick, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout == "the same outputs from C and from Cython: True\n"


@pytest.mark.skipif(not (ROOT / "docs").exists(), reason="the pages are not beside these tests")
def test_the_page_states_what_was_measured():
    guide, measured = (ROOT / "docs" / page for page in ("guide/embedding.md", "benchmarks.md"))
    table = measured.read_text().split("<!-- begin c_source -->\n")[1]
    head, *body = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[:16])
    ns = {row[0]: dict(zip(head, row, strict=True)) for row in body}
    assert 180 < float(ns["4-64-64-2, avx2"]["dnn.h, ns"]) < 220
    assert "One row of 4-64-64-2 takes a fifth of a microsecond with AVX2" in guide.read_text()


@pytest.mark.skipif(not (ROOT / "docs").exists(), reason="the pages are not beside these tests")
def test_the_page_lists_all_functions_and_codes():
    guide, header = (ROOT / "docs" / "guide" / "embedding.md").read_text(), HEADER.read_text()
    for pattern in (r"^static inline .*?\b(dnn_\w+)\(", r"^    (DNN_ERROR_\w+) ="):
        names = re.findall(pattern, header, re.M)
        assert len(names) > 7
        assert set(names) <= set(re.findall(r"`(\w+)", guide))

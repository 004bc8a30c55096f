"""A file that is damaged, hostile, newer or no model file: ModelFormatError, at once and in little memory."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from file_edits import array_entry, document_text, edited, header_of, put, refusal, removed, replaced
from fuzz_files import attack, deep, joined, split
from saved_models import MODELS

import dnn
from dnn import Network


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The bytes of a file of each kind."""
    path = tmp_path_factory.mktemp("files") / "model"
    found = {}
    for name, make in MODELS.items():
        make().save(path)
        found[name] = path.read_bytes()
    return found


HUGE = 2**60
EDITS = {
    "empty": (lambda data: b"", "must have at least 8 bytes, got 0"),
    "7 bytes": (lambda data: data[:7], "must have at least 8 bytes, got 7"),
    "8 bytes": (lambda data: bytes(8), "the header must be JSON in UTF-8"),
    "a text": (
        lambda data: b"species,island\n" * 100,
        "truncated, or no model file: its header must fit in 1492 ",
    ),
    "a pickle": (lambda data: b"\x80\x04\x95\x00\x00\x00\x00\x00." + data, "truncated, or no model file"),
    "half a header": (
        lambda data: data[:100],
        "truncated, or no model file: its header must fit in 92 bytes",
    ),
    "half an array": (lambda data: data[:-30], r"the arrays must have \d+ bytes together, got \d+"),
    "a byte more": (lambda data: data + b"\0", r"the arrays must have \d+ bytes together, got \d+"),
    "a huge header": (
        lambda data: HUGE.to_bytes(8, "little") + data[8:],
        f"must fit in .* bytes, got {HUGE}",
    ),
    "a long header": (
        lambda data: joined(b" " * (2**21 + 1), b""),
        f"must have at most {2**21} bytes, got {2**21 + 1}",
    ),
    "many marks": (lambda data: joined(b"[" + b"[]," * 600_000, b""), "must have at most 131072 structural"),
    "a deep header": (lambda data: joined(b"[" * 100_000, b""), "the header must (not be nested|be JSON)"),
    "a deep document": (document_text("[" * 100_000 + "]" * 30_000), "'dnn' must (not be nested|be JSON)"),
    "a list": (lambda data: joined(b"[]", b""), "the header must be a JSON object, got list"),
    "no UTF-8": (lambda data: joined(b'{"\xff": 1}', b""), "the header must be JSON in UTF-8: 'utf-8' codec"),
    "a key twice": (
        lambda data: joined(b'{"x": 1, "x": 1}', b""),
        "the header must have each key once, got 'x' again",
    ),
    "NaN": (lambda data: joined(b'{"x": NaN}', b""), "the header must be standard JSON, got NaN"),
    "a huge float": (
        lambda data: joined(b'{"x": 1e999}', b""),
        "the header must be standard JSON, got 1e999",
    ),
    "many digits": (lambda data: joined(b'{"x": ' + b"1" * 10_000 + b"}", b""), "must be JSON in UTF-8"),
    "other metadata": (header_of(__metadata__={"format": "pt"}), "must have an entry 'dnn'"),
    "metadata of numbers": (header_of(__metadata__={"dnn": 1}), "must have an entry 'dnn'"),
    "an array of another kind": (header_of(x=1), "the array 'x' must have dtype, shape and data_offsets"),
    "an array too many": (
        header_of(x={"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}),
        "'x'.* must be part of the model",
    ),
    "a strange dtype": (array_entry("layers.0.W", dtype="BF16"), "must have one of the dtypes BOOL"),
    "a negative shape": (array_entry("layers.0.W", shape=[-3, -5]), "must have a shape of whole numbers"),
    "a huge shape": (array_entry("layers.0.W", shape=[HUGE, 5]), r"the arrays must have \d+ bytes together"),
    "a shape of 0 and more": (array_entry("layers.0.W", shape=[0, 2**70]), r"fewer than 2\*\*63 rows"),
    "overlapping arrays": (array_entry("layers.0.W", data_offsets=[4, 64]), "the arrays cannot be read"),
    "a transposed array": (
        array_entry("layers.0.W", shape=[5, 3]),
        r"'layers.0.W' must have shape \(3, 5\), got \(5, 3",
    ),
    "another dtype": (
        array_entry("layers.0.W", dtype="U32"),
        "'layers.0.W' must have dtype float32, got U32",
    ),
    "no document": (document_text(""), "the entry 'dnn' must be JSON"),
    "a document of NaN": (document_text('{"format": NaN}'), "the entry 'dnn' must be standard JSON, got NaN"),
    "a document with a key twice": (
        document_text('{"a": 1, "a": 2}'),
        "'dnn' must have each key once, got 'a'",
    ),
    "no format": (removed("format"), "must be an object with the format's version"),
    "format 0": (put("format", 0), "the format must be at least 1, got 0"),
    "format 2": (
        edited(lambda d: d.update(format=2, dnn="9.9")),
        rf"must be at most 1, got 2 \(it was written by dnn 9.9, and this is {dnn.__version__}: upgrade dnn",
    ),
    "another kind": (
        edited(lambda d: d.update(kind="TableRanker", dnn="9.9")),
        "the kind must be one of Network, .*, TableRegressor, got 'TableRanker' .* 9.9, .*: upgrade dnn",
    ),
    "a kind of the library": (put("kind", "load"), "kind must be one of Network"),
    "no network": (removed("network"), "the document must be an object with format, kind, dnn, network"),
    "another entry": (put("x", 1), "the document must be an object with format, kind, dnn, network"),
    "no layers": (put("network", "layers", []), "layers must be .* at least one Dense"),
    "a huge layer": (put("network", "layers", 0, "units", HUGE), f"'layers.0.W' must have shape .3, {HUGE}."),
    "huge inputs": (put("network", "n_inputs", HUGE), f"'layers.0.W' must have shape .{HUGE}, 5."),
    "more layers": (
        edited(lambda d: d["network"]["layers"].append(d["network"]["layers"][-1])),
        "'layers.3.W' must be there",
    ),
    "fewer layers": (removed("network", "layers", 2), "must have|must be"),
    "half a unit": (
        put("network", "layers", 0, "units", 5.0),
        "units of layer 0 must be a whole number in 1",
    ),
    "an unknown activation": (
        put("network", "layers", 0, "activation", "rellu"),
        "activation must be one of",
    ),
    "softmax inside": (
        put("network", "layers", 0, "activation", "softmax"),
        "hidden layer must not be 'softmax'",
    ),
    "an unknown class": (
        put("network", "layers", 1, "activation", {"type": "os.system", "fields": {"command": "true"}}),
        "activation of layer 1 must be of a known type, got 'os.system'",
    ),
    "a class that is none": (
        put("network", "layers", 1, "activation", {"type": "SGD", "fields": {}}),
        "must be an object with rate",
    ),
    "a negative slope": (
        put("network", "layers", 1, "activation", "fields", "slope", -1.0),
        "slope must be finite and at least 0",
    ),
    "a float dtype": (put("network", "dtype", "float16"), "must be float32 or float64, got 'float16'"),
    "a rate of 2": (
        put("network", "layers", 1, "dropout", 2.0),
        "rate must be finite and at least 0 and below 1",
    ),
    "an unknown generator": (
        put("network", "random", "bit_generator", "Evil"),
        "must be of PCG64, .* got 'Evil'",
    ),
    "no generator": (put("network", "random", None), "random must be a generator of NumPy, got none"),
    "a state that is too large": (
        put("network", "random", "state", "state", "inc", 2**128),
        "state.inc must be a whole number in 0 ..",
    ),
}
OF_OTHERS = {
    # NumPy would read beyond the 624 words
    "network mt19937": (
        put("network", "random", "state", "state", "pos", 10**6),
        "pos must be a whole number in 0",
    ),
    "network philox": (
        put("network", "random", "state", "buffer_pos", 5),
        "buffer_pos must be a whole number in 0",
    ),
    "classifier": (
        put("labels", "kind", "multilabel"),
        "labels must be binary, multiclass or multilabel-indic",
    ),
    "classifier bool": (
        put("optimizer", "spec", "fields", "rate", "fields", "now", "x"),
        "now must be a number, got 'x'",
    ),
    "classifier strings": (
        array_entry("classes_", dtype="F32"),
        "'classes_' must have dtype uint32, got F32",
    ),
    "classifier objects": (
        put("labels", "classes", {"dtype": "object", "shape": [2], "items": ["a", "b"]}),
        "labels must be those of a network of 3 outputs",
    ),
    "classifier weights": (
        put("parameters", "class_weight", "items", 0, 0, []),
        "each key once, a number or a string, got ..",
    ),
    "regressor": (put("attributes", "_net", 1), "must have parameters and attributes of MLPRegressor"),
    "regressor names": (put("attributes", "n_features_in_", 2), "n_features_in_ must be 3, got 2"),
    "regressor quantiles": (
        put("parameters", "loss", "fields", "levels", "items", [0.9, 0.1]),
        "levels must increase",
    ),
    "regressor huber": (
        put("parameters", "callbacks", {"type": "callable", "name": "print"}),
        "callbacks must be of a known type",
    ),
    "regressor poisson": (put("attributes", "loss_curve_", [1.0, "x"]), "loss_curve_ must be what fit sets"),
    "regressor generator": (put("parameters", "random_state", 3), "random must be a generator of NumPy"),
    "regressor sgd": (put("optimizer", "state", "n_steps", -1), "n_steps must be a whole number in 0"),
    "regressor unfitted": (
        put("parameters", "hidden_layer_sizes", deep(1, 40)),
        "must not be nested so deeply",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_one_error_says_what_is_wrong(name, files, tmp_path):
    edit, expected = EDITS[name]
    (tmp_path / "model").write_bytes(edit(files["network"]))
    assert re.search(expected, refusal(tmp_path / "model"))


@pytest.mark.parametrize("name", OF_OTHERS)
def test_one_error_says_what_is_wrong_in_other_models(name, files, tmp_path):
    edit, expected = OF_OTHERS[name]
    (tmp_path / "model").write_bytes(edit(files[name]))
    assert re.search(expected, refusal(tmp_path / "model"))


def test_an_array_is_read_once(files, tmp_path):
    """A file that named an array a thousand times would take a thousand times its memory."""
    array = {"type": "array", "dtype": "float64", "array": "init[0]"}
    edit = put("parameters", "init", [array] * 3)
    (tmp_path / "model").write_bytes(edit(files["regressor generator"]))
    assert "the array 'init[0]' must be there once" in refusal(tmp_path / "model")


@pytest.mark.parametrize("name", ["network", "network float64", "classifier", "regressor sgd"])
def test_outputs_that_differ_from_those_that_are_stored(name, files, tmp_path):
    header, rest = split(files[name])
    begin, end = header["layers.0.W"]["data_offsets"]
    damaged = rest[:begin] + rest[begin:end][::-1] + rest[end:]
    (tmp_path / "model").write_bytes(joined(header, damaged))
    assert "must give the outputs that are stored with it" in refusal(tmp_path / "model")


@pytest.mark.parametrize(
    ("activation", "output", "scale"),
    [("relu", "identity", 1), ("tanh", "softmax", 5), ("relu", "exp", 3), ("selu", "identity", 3)],
)
def test_outputs_may_differ_by_rounding(activation, output, scale, tmp_path):
    """Those that float64 gives stand for another processor; a thousandth more is an error."""
    net = Network([50, 200, 200, 4], activation=activation, output=output, random_state=0)
    net.params[:] *= scale
    twin = Network([50, 200, 200, 4], activation=activation, output=output, dtype="float64")
    twin.params[:] = net.params
    net.save(tmp_path / "model")
    data = (tmp_path / "model").read_bytes()
    header, rest = split(data)
    X = np.frombuffer(rest[slice(*header["probe.X"]["data_offsets"])], np.float32).reshape(4, 50)
    exact = twin(X).astype(np.float32)
    (tmp_path / "model").write_bytes(replaced(data, "probe.outputs", exact))
    assert dnn.load(tmp_path / "model").params.tobytes() == net.params.tobytes()
    other = exact + np.float32(0.2) * np.abs(exact).max()
    (tmp_path / "model").write_bytes(replaced(data, "probe.outputs", other))
    refusal(tmp_path / "model")


def test_outputs_that_are_not_finite(files, tmp_path):
    """What overflowed where the file was written may be finite here; but weights that are NaN are damaged."""
    infinite = np.full((4, 3), np.inf, np.float32)
    (tmp_path / "model").write_bytes(replaced(files["network"], "probe.outputs", infinite))
    dnn.load(tmp_path / "model")
    damaged = np.full(4, np.nan, np.float32)
    (tmp_path / "model").write_bytes(replaced(files["network"], "layers.1.b", damaged))
    assert "got nan: the file was damaged" in refusal(tmp_path / "model")


def test_errors_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        dnn.load(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError):
        dnn.load(tmp_path)
    for path in (None, 3, b"model", ["model"]):
        with pytest.raises(TypeError, match="path must be a str or a path"):
            dnn.load(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "path must be a regular file" in refusal(tmp_path / "pipe")


def test_no_code_of_a_file_runs(files, tmp_path):
    """Neither a module that dnn has not imported yet nor a name outside the list is looked up."""
    for name in (
        "subprocess.Popen",
        "builtins.eval",
        "Network",
        "__class__",
        "value",
        "object",
        "bits",
        "_float",
    ):
        edit = put("parameters", "solver", {"type": name, "fields": {}})
        (tmp_path / "model").write_bytes(edit(files["regressor"]))
        assert f"solver must be of a known type, got '{name}'" in refusal(tmp_path / "model")


def test_an_estimator_without_scikit_learn(files, tmp_path):
    (tmp_path / "model").write_bytes(files["regressor"])
    (tmp_path / "net").write_bytes(files["network"])
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import dnn\n"
        f"print(dnn.load({str(tmp_path / 'net')!r}).n_params)\n"
        f"try: dnn.load({str(tmp_path / 'model')!r})\n"
        "except ImportError as error: print(error)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    n_params = 4 * 5 + 6 * 4 + 5 * 3
    expected = f"{n_params}\nMLPRegressor needs scikit-learn: pip install 'dnn-core[sklearn]'"
    assert ran.stdout.strip() == expected


MEMORY = """
import sys
import dnn
small, path = sys.argv[1:]
def most():  # not ru_maxrss, which begins with that of the parent
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
dnn.load(small)
before = most()
try: dnn.load(path)
except dnn.ModelFormatError as error: print(error, file=sys.stderr)
print(most() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc/self/status")
@pytest.mark.parametrize("what", ["whole", "damaged at the end", "a long string", "many lists", "many keys"])
def test_memory_is_at_most_twice_the_size_of_the_file(what, tmp_path):
    """Plus 25 MB for a header; the file itself counts, as it is mapped."""
    Network([2, 1]).save(tmp_path / "small")
    if what in ("whole", "damaged at the end"):
        net = Network([1500, 8000, 1], init=dnn.Full(0.001))
        net.save(tmp_path / "model")
        data = bytearray((tmp_path / "model").read_bytes())
        if what != "whole":
            n = split(data)[0]["probe.outputs"]["data_offsets"]
            n = [8 + int.from_bytes(data[:8], "little") + i for i in n]
            data[slice(*n)] = data[slice(*n)][::-1]
    elif what == "a long string":
        data = joined({"__metadata__": {"dnn": json.dumps("x" * (2**21 - 100))}}, b"")
    elif what == "many lists":
        data = joined(b"[" + b"[]," * 43_000 + b"1]", b"")
    else:
        data = joined(b"[" + b'{"a":1},' * 32_000 + b"1]", b"")
    (tmp_path / "model").write_bytes(data)
    ran = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path / "small"), str(tmp_path / "model")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert bool(ran.stderr) == (what != "whole")
    most = 1024 * int(ran.stdout)
    assert most < 2 * len(data) + 25e6 and (most > 1.5 * len(data) or len(data) < 1e7)  # and it is measured


def check_mutations(files, seeds):
    for seed in seeds:
        result = attack(seed, 500, list(files.values()))
        assert not result.failures, result.failures[0][2]
        assert 0 < result.n_loaded < 250 and result.slowest < 1


def test_mutations(files):
    check_mutations(files, [1])


@pytest.mark.long
@pytest.mark.parametrize("first", [2, 12])
def test_many_mutations(first, files):
    check_mutations(files, range(first, first + 10))

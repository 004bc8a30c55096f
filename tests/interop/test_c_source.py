"""C source gives what Python gives, compiles without a warning, is small; refused calls write nothing."""

import errno
import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pages
import pytest
from c_programs import CPP, C, build, need, outputs

import dnn
from dnn import ELU, Dense, LeakyReLU, Network, _core
from dnn.interop import c_source
from dnn.interop.c_compiler import predictions
from dnn.interop.stack import stack_of
from dnn.layers import OUTPUTS

HIDDEN = [name for name, info in _core.ACTIVATIONS.items() if not info.row_wise]
SIZES = [1, 1, 2, 3, 5, 7, 8, 9, 15, 16, 31, 33, 41, 65]


def random_network(seed):
    """A network of 1 to 5 layers; each hidden activation and each output comes within a few seeds."""
    rng = np.random.default_rng(seed)
    n_hidden = 1 + seed % 4 if seed else 0
    hidden = [HIDDEN[(seed + i) % len(HIDDEN)] for i in range(n_hidden)]
    custom = {"leaky_relu": LeakyReLU(0.2), "elu": ELU(0.7)} if seed % 3 == 0 else {}
    output = OUTPUTS[seed % len(OUTPUTS)]
    units = [*rng.choice(SIZES, n_hidden), rng.choice([2, 3, 8, 9, 33] if output == "softmax" else SIZES)]
    layers = [Dense(int(n), custom.get(f, f)) for n, f in zip(units, [*hidden, output], strict=True)]
    dtype = ("float32", "float64")[seed % 2]
    net = Network(int(rng.choice(SIZES)), layers, dtype=dtype, random_state=seed)
    for b in net.biases:
        b[:] = 0.2 * rng.standard_normal(len(b))
    if "exp" in hidden:
        net.params[:] *= 0.3
    return net


def compare_with_python(folder, seeds, flags, n_rows=20):
    """Compare each network's outputs with those of the same weights in float64; one compilation for all."""
    nets = {f"net{seed}": random_network(seed) for seed in seeds}
    rows = {}
    for name, net in nets.items():
        net.to_c(folder / f"{name}.c", verify=False)
        X = np.random.default_rng(1).standard_normal((n_rows, net.n_inputs)).astype(net.dtype)
        rows[name] = X, net.n_outputs
    found = outputs(folder, rows, flags)
    for name, net in nets.items():
        X, stack = rows[name][0], stack_of(net)
        np.testing.assert_array_equal(predictions(stack, X, net.dtype.name), net(X))
        expected = predictions(stack, X, "float64")
        allowed = {"float32": 1e-6, "float64": 1e-14}[net.dtype.name] * np.abs(expected).max()
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=allowed, err_msg=repr(net))
    return {layer.info.name for net in nets.values() for layer in net.layers}


def test_random_networks(tmp_path):
    used = compare_with_python(tmp_path, range(10), ["-O3", "-march=native"])
    assert used == set(_core.ACTIVATIONS)


@pytest.mark.long
def test_many_random_networks(tmp_path):
    compare_with_python(tmp_path, range(200), ["-O0"])


# ---- compilers ----

X = np.random.default_rng(0).standard_normal((60, 3))
LABELS = {
    "binary": np.where(X[:, 0] > 0, 'n"o\\?', "yé??/s"),
    "multiclass": np.digitize(X[:, 0], [-0.5, 0.5]) * 10,
    "numbered": np.digitize(X[:, 0], [-0.5, 0.5]),
    "multilabel": (X > 0).astype(int),
    "one_class": np.full(len(X), 5),
}


def classifier(kind):
    pytest.importorskip("sklearn")
    model = dnn.MLPClassifier(9, solver="lbfgs", max_iter=4, tol=1e3, random_state=0)
    return model.fit(X, LABELS[kind])


def quantile_regressor():
    pytest.importorskip("sklearn")
    model = dnn.MLPRegressor(
        loss=dnn.Quantile((0.1, 0.5, 0.9)), hidden_layer_sizes=9, tol=1e3, n_iter_no_change=1, random_state=0
    )
    return model.fit(X.astype(np.float32), X[:, 0])


def everything():
    """Networks that need each function, in both precisions, and an estimator of each kind."""
    models = {}
    for dtype in ("float32", "float64"):
        hidden = [Dense(3, name) for name in HIDDEN]
        models[f"hidden_{dtype}"] = Network(3, [*hidden, Dense(2)], dtype=dtype, random_state=0)
        for output in OUTPUTS:
            models[f"{output}_{dtype}"] = Network([3, 2], output=output, dtype=dtype, random_state=0)
    models |= {"quantiles": quantile_regressor()}
    return models | {kind: classifier(kind) for kind in LABELS}


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("language", ["C", pytest.param("C++", marks=pytest.mark.long)])
def test_compilers_do_not_warn(compiler, language, tmp_path):
    need(compiler)
    for name, model in everything().items():
        model.to_c(tmp_path / f"{name}.c", verify=False)
    files = sorted(path.name for path in tmp_path.glob("*.c"))
    assert len(files) == 20
    build([compiler], tmp_path, "-c", *(C if language == "C" else CPP), "-O2", *files)


def test_it_is_called_from_cpp(tmp_path):
    """A C++ program with the source compiled as C, and with it compiled as C++."""
    need("g++")
    classifier("binary").to_c(tmp_path / "model.c", verify=False)
    (tmp_path / "main.cpp").write_text(
        '#include <cstdio>\n#include "model.h"\nint main()\n{\n    const double x[] = {2, 0, 0};\n'
        '    std::printf("%s", model_classes[model_classify(x)]);\n}\n'
    )
    expected = classifier("binary").predict([[2.0, 0.0, 0.0]])[0]
    build(["gcc"], tmp_path, "-c", *C, "model.c", "-o", "model.o")
    build(["g++"], tmp_path, "-c", *CPP, "model.c", "-o", "model++.o")
    for compiled in ("model.o", "model++.o"):
        build(["g++"], tmp_path, "main.cpp", compiled, "-o", "main")
        ran = subprocess.run([tmp_path / "main"], capture_output=True, check=True)
        assert ran.stdout.decode() == expected


# ---- what is computed ----


@pytest.mark.parametrize("kind", LABELS)
def test_classifiers(kind, tmp_path):
    model = classifier(kind)
    written = model.to_c(tmp_path / "model.c")
    assert written.verified
    proba = model.predict_proba(X)
    found = outputs(tmp_path, {"model": (X, proba.shape[1])})["model"]
    np.testing.assert_allclose(found, proba, rtol=0, atol=1e-14)
    header = written.header.read_text()
    assert f"#define MODEL_N_INPUTS 3\n#define MODEL_N_OUTPUTS {proba.shape[1]}\n" in header
    if kind == "multilabel":
        assert "classify" not in header and "classes" not in header
        return
    assert ("model_classes" in header) == (kind != "numbered")
    show = "model_classes[k]" if kind != "numbered" else '"012"[k]'
    form = "%s" if kind != "numbered" else "%c"
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "model.h"\nint main(void)\n{\n    double x[3];\n'
        "    while (fread(x, sizeof x, 1, stdin) == 1) {\n        const int k = model_classify(x);\n"
        f'        printf("{form}\\n", {show});\n    }}\n    return 0;\n}}\n'
    )
    build([need("cc")], tmp_path, "main.c", "model.c", "-lm", "-o", "main", flags=["-std=c99"])
    ran = subprocess.run([tmp_path / "main"], input=X.tobytes(), capture_output=True, check=True)
    assert ran.stdout.decode().splitlines() == [str(label) for label in model.predict(X)]


def test_quantiles_are_sorted(tmp_path):
    model = quantile_regressor()
    rows = X.astype(np.float32)
    assert (np.diff(model.network_(rows), axis=1) < 0).any()  # the network crosses them
    model.to_c(tmp_path / "model.c")
    found = outputs(tmp_path, {"model": (rows, 3)})["model"]
    assert (np.diff(found, axis=1) >= 0).all()
    np.testing.assert_allclose(found, model.predict(rows), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_inputs(dtype, tmp_path):
    """NaN stays NaN, infinities give the limits that they give in Python, nothing overflows on the way."""
    values = [-np.inf, -1e30, -800, -90, -30, -1e-30, -0.0, 0.0, 1e-30, 30, 800, 1e30, np.inf, np.nan]
    rows = np.array(values, dtype)[:, None]
    nets = {
        f"net_{name}": Network(1, [Dense(1, name), Dense(1)], init=[([[1]], [0])] * 2, dtype=dtype)
        for name in HIDDEN
    }
    nets["net_softmax"] = Network(1, [Dense(2, "softmax")], init=[([[1, -1]], [0, 0])], dtype=dtype)
    for name, net in nets.items():
        net.to_c(tmp_path / f"{name}.c", verify=False)
    found = outputs(tmp_path, {name: (rows, net.n_outputs) for name, net in nets.items()})
    tiny = 1e-30 if dtype == "float32" else 1e-300  # the core flushes smaller numbers to 0
    for name, net in nets.items():
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(found[name], net(rows), rtol=1e-5, atol=tiny, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_weights_are_read_to_the_same_bits(dtype, compiler, tmp_path):
    rng = np.random.default_rng(0)
    net = Network([50, 40], dtype=dtype)
    bits = rng.integers(0, 2**63, net.n_params).astype(np.dtype(dtype).str.replace("f", "u"))
    with np.errstate(invalid="ignore"):
        drawn = bits.view(dtype)
    info = np.finfo(dtype)
    net.params[:] = np.where(np.isfinite(drawn), drawn, 0.1)
    net.params[:7] = 0.0, -0.0, info.max, info.smallest_subnormal, -info.tiny, 1.0, 1 / 3
    net.to_c(tmp_path / "net.c", verify=False)
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "net.c"\nint main(void)\n{\n'
        "    fwrite(net_W0, sizeof net_W0, 1, stdout);\n    fwrite(net_b0, sizeof net_b0, 1, stdout);\n"
        "    return 0;\n}\n"
    )
    build([need(compiler)], tmp_path, *C, "main.c", "-o", "main")
    ran = subprocess.run([tmp_path / "main"], capture_output=True, check=True)
    assert ran.stdout == net.params.tobytes()


def test_softmax_of_many_classes(tmp_path):
    """The sum of the exponentials loses no digits; nearly equal ones are rounded to the same side."""
    b = 1e-5 * np.random.default_rng(0).standard_normal(3000)
    net = Network(1, [Dense(3000, "softmax")], init=[(np.zeros((1, 3000)), b)])
    net.to_c(tmp_path / "net.c", verify=False)
    X = np.zeros((1, 1), np.float32)
    found = outputs(tmp_path, {"net": (X, 3000)})["net"]
    np.testing.assert_allclose(found, predictions(stack_of(net), X, "float64"), rtol=4e-7)


# ---- size ----


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_code_is_small(compiler, tmp_path):
    """Weights and 2 KB for 4-64-64-2 with -Os."""
    net = Network([4, 64, 64, 2], random_state=0)
    net.to_c(tmp_path / "net.c", verify=False)
    build([need(compiler)], tmp_path, *C, "-Os", "-c", "net.c", "-o", "net.o")
    table = subprocess.run(
        [need("size"), "-A", tmp_path / "net.o"], capture_output=True, text=True, check=True
    )
    sections = dict(re.findall(r"^(\.\S+)\s+(\d+)", table.stdout, re.M))
    loaded = sum(
        int(n) for name, n in sections.items() if re.match(r"\.(text|rodata|data|bss|eh_frame)", name)
    )
    assert 0 < loaded - 4 * net.n_params <= 2048


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_header_says_how_much_stack_a_call_takes(dtype, compiler, tmp_path):
    net = Network([4, 64, 64, 2], dtype=dtype)
    written = net.to_c(tmp_path / "net.c", verify=False)
    stated = int(re.search(r"less\s+\*\s+than (\d+) bytes", written.header.read_text())[1])
    for level in ("-Os", "-O3"):
        build([need(compiler)], tmp_path, *C, level, "-fstack-usage", "-c", "net.c", "-o", "net.o")
        usage = [line.split("\t") for line in (tmp_path / "net.su").read_text().splitlines()]
        assert 2 * 64 * net.dtype.itemsize <= sum(int(n) for _, n, _ in usage) < stated


# ---- WebAssembly ----

# libm is what the importing page has: JavaScript's functions in double
SCRIPT = """
const libm = {expf: Math.exp, expm1f: Math.expm1, log1pf: Math.log1p, tanhf: Math.tanh};
const module = new WebAssembly.Module(require("fs").readFileSync("net.wasm"));
const {memory, __heap_base, net_predict} = new WebAssembly.Instance(module, {env: libm}).exports;
const x = __heap_base.value, y = x + 4 * N_INPUTS;
memory.grow(1);
const rows = JSON.parse(require("fs").readFileSync(0, "utf8")).map(row => {
    new Float32Array(memory.buffer, x, N_INPUTS).set(row);
    net_predict(x, y);
    return Array.from(new Float32Array(memory.buffer, y, N_OUTPUTS));
});
console.log(JSON.stringify(rows));
"""
WASM = "--target=wasm32 -O2 -nostdlib -Wl,--no-entry -Wl,--export=net_predict -Wl,--export=__heap_base"


@pytest.mark.parametrize(
    ("hidden", "output", "imported"),
    [(["relu"] * 2, "identity", []), (["tanh", "elu"], "softmax", ["tanhf", "expm1f", "expf"])],
    ids=["relu", "libm"],
)
def test_webassembly(hidden, output, imported, tmp_path):
    """The same file, by a clang without libraries, in Node."""
    for program in ("clang", "wasm-ld", "node"):
        need(program)
    net = Network([30, 70, 20, 3], activation=hidden, output=output, random_state=0)
    net.to_c(tmp_path / "net.c", verify=False)
    build(["clang"], tmp_path, *WASM.split(), "-Wl,--allow-undefined", *C, "net.c", "-o", "net.wasm")
    rows = np.random.default_rng(0).standard_normal((9, 30)).astype(np.float32)
    script = SCRIPT.replace("N_INPUTS", "30").replace("N_OUTPUTS", "3")
    ran = subprocess.run(
        ["node", "-e", script], cwd=tmp_path, input=json.dumps(rows.tolist()), capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    np.testing.assert_allclose(json.loads(ran.stdout), net(rows), rtol=0, atol=1e-6)
    names = (tmp_path / "net.wasm").read_bytes()
    assert [f for f in imported if f.encode() not in names] == []
    assert imported or b"env" not in names  # nothing is imported


# ---- the page ----

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "c_source.md"


def run_commands(code, folder):
    done = subprocess.run(["sh", "-ec", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_runs(tmp_path, monkeypatch):
    """Its Python writes the model; its programs are compiled and run as it says, and print what it says."""
    pytest.importorskip("sklearn")
    need("gcc")
    text = PAGE.read_text(encoding="utf-8")
    kinds, codes = zip(*re.findall(r"^```(\w+)\n(.*?)^```\n", text, re.M | re.S), strict=True)
    assert kinds == ("python", "text", "c", "sh", "text", "sh", "js", "text")
    monkeypatch.chdir(tmp_path)
    pages.run(text, "c_source.md")
    (tmp_path / "main.c").write_text(codes[2])
    pages.check_output(run_commands(codes[3], tmp_path), codes[4], within=1e-3)
    for program in ("clang", "wasm-ld", "node"):
        need(program)
    (tmp_path / "main.mjs").write_text(codes[6])
    pages.check_output(run_commands(codes[5] + "node main.mjs", tmp_path), codes[7], within=1e-3)


# ---- verification ----


def test_verified(tmp_path, monkeypatch):
    need("gcc")
    monkeypatch.setenv("CC", "gcc -O0")
    net = Network([3, 5, 2], random_state=0)
    written = net.to_c(tmp_path / "net.c")
    assert written.verified and written.compiler == "gcc -O0" and 0 < written.largest_difference < 1e-6
    assert (written.source, written.header) == (tmp_path / "net.c", tmp_path / "net.h")
    left_out = net.to_c(tmp_path / "net.c", verify=False)
    assert (left_out.verified, left_out.compiler, left_out.largest_difference) == (False, None, None)


def test_a_compiler_for_another_machine(tmp_path, monkeypatch):
    """Its programs do not run here: an error that says how to go on, and nothing is written."""
    cross = tmp_path / "cross-cc"
    cross.write_text("#!/bin/sh\n: > net-run\n")
    cross.chmod(0o755)
    monkeypatch.setenv("CC", str(cross))
    (tmp_path / "out").mkdir()
    with pytest.raises(RuntimeError, match=r"what \S+cross-cc makes must run here: .* verify=False"):
        NET.to_c(tmp_path / "out" / "net.c")
    assert list((tmp_path / "out").iterdir()) == []


def test_without_a_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    written = Network([3, 5, 2]).to_c(tmp_path / "net.c")
    assert (written.verified, written.compiler) == (False, None)
    assert written.source.exists() and written.header.exists()


def test_a_compiler_that_is_not_there_is_passed_over(tmp_path, monkeypatch):
    need("cc")
    monkeypatch.setenv("CC", "no-such-compiler -O2")
    assert Network([3, 5, 2]).to_c(tmp_path / "net.c").compiler == "cc"


FAULTS = {
    "an activation": (
        "ACTIVATIONS",
        {**c_source.ACTIVATIONS, "relu": ("", "return z < 0 ? 0.001$f * z : z;")},
    ),
    "a product": ("DENSE", c_source.DENSE.replace("s[k] + b[j + k]", "s[k]")),
    "a compiler's error": ("DENSE", c_source.DENSE.replace("int j = 0;", "")),
    "a bad address": ("SOFTMAX", c_source.SOFTMAX.replace("top = z[0]", "top = *($real *)0")),
    "the class": ("CLASSIFY", {"multiclass": "    (void)x;\n    return 1;\n"}),
}
SAYS = {
    "an activation": r"the C source, compiled by .+, gives .* for which Python gives .*verify=False",
    "a product": r"the C source, compiled by .+, gives .* for which Python gives .*verify=False",
    "a compiler's error": r"must compile the C source, and says: .*verify=False",
    "a bad address": r"the C source, compiled by .+, ends with -\d+\. .*verify=False",
    "the class": r"net_classify, compiled by .+, gives 1 for the probabilities .*verify=False",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_found_and_nothing_is_written(fault, tmp_path, monkeypatch):
    need("cc")
    pytest.importorskip("sklearn")
    model = dnn.MLPClassifier(9, solver="lbfgs", max_iter=9, tol=1e3, random_state=0)
    model.fit(X, LABELS["multiclass"]).to_c(tmp_path / "net.c")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    model.coefs_[0][:] *= 1.5
    monkeypatch.setattr(c_source, *FAULTS[fault])
    with pytest.raises(RuntimeError, match=re.compile(SAYS[fault], re.DOTALL)):
        model.to_c(tmp_path / "net.c")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("seed", range(6))
def test_verification_allows_rounding(seed, tmp_path):
    """Also of deep and wide networks, whose outputs in float32 differ by more than 1e-6."""
    need("cc")
    sizes = [int(n) for n in np.random.default_rng(seed).choice([1, 30, 100], 7)]
    activation = HIDDEN[2 * seed % len(HIDDEN)]
    net = Network([*sizes, 1], activation=activation, random_state=seed)
    if activation == "exp":
        net.params[:] *= 0.1
    assert net.to_c(tmp_path / "net.c").verified


def test_a_network_without_finite_outputs_is_not_verified(tmp_path):
    need("cc")
    net = Network([1, 1], output="exp", init=[([[0.0]], [1e4])])
    written = net.to_c(tmp_path / "net.c")
    assert not written.verified and written.compiler is not None


# ---- refused calls ----

NET = Network([2, 1], random_state=0)
REFUSED = {
    "net": (ValueError, "path must end in .c, got .*net'"),
    "net.h": (ValueError, "path must end in .c, got .*net.h'"),
    "my-net.c": (
        ValueError,
        "the file name of path, where no name is given, must be a C identifier .*'my-net'",
    ),
    "2nets.c": (
        ValueError,
        "the file name of path, where no name is given, must be a C identifier .*'2nets'",
    ),
    "nét.c": (ValueError, "path must have a file name of letters, digits"),
    'n"et.c': (ValueError, "path must have a file name of letters, digits"),
    "math.c": (ValueError, "path must not have the name of C's own math.h"),
    "nowhere/net.c": (FileNotFoundError, "path must be in a folder that exists, got .*nowhere"),
    "folder.c": (IsADirectoryError, "path must be a file, got .*folder.c is a folder"),
    "other.c": (IsADirectoryError, "path must be a file, got .*other.h is a folder"),
}


@pytest.mark.parametrize("path", REFUSED)
def test_paths_that_are_refused(path, tmp_path):
    for folder in ("folder.c", "other.h"):
        (tmp_path / folder).mkdir()
    kind, message = REFUSED[path]
    with pytest.raises(kind, match=message):
        NET.to_c(tmp_path / path)
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["folder.c", "other.h"]


@pytest.mark.parametrize("name", ["", "my net", "2nets", "a-b", "ä", "a;b", "net\n", "a.b"])
def test_names_that_are_refused(name, tmp_path):
    with pytest.raises(ValueError, match="name must be a C identifier"):
        NET.to_c(tmp_path / "net.c", name=name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("net.c", {"name": 3}), "name must be a string or None, got 3"),
        (("net.c", {"verify": "yes"}), "verify must be True or False, got 'yes'"),
        ((3, {}), "path must be the path of a .c file, got 3"),
    ],
)
def test_types_that_are_refused(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TypeError, match=message):
        NET.to_c(arguments[0], **arguments[1])
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_not_that_of_the_file(tmp_path):
    need("cc")
    assert NET.to_c(tmp_path / "my-net.2.c", name="_pole").verified
    assert "void _pole_predict(" in (tmp_path / "my-net.2.h").read_text()


def test_weights_that_are_not_finite(tmp_path):
    net = Network([2, 3, 1], random_state=0)
    net.weights[1][2, 0] = np.nan
    with pytest.raises(ValueError, match="weights of layer 1 must be finite in float32, got nan"):
        net.to_c(tmp_path / "net.c")
    net = Network(2, [Dense(3, ELU(1e300)), Dense(1)])
    with pytest.raises(
        ValueError, match="activation parameters of layer 0 must be finite in float32, got inf"
    ):
        net.to_c(tmp_path / "net.c")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full(tmp_path, monkeypatch):
    NET.to_c(tmp_path / "net.c", verify=False)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    opened, opening = [], os.open

    def failing(path, *arguments):
        opened.append(path)
        if len(opened) == 2:
            raise OSError(errno.ENOSPC, "no space left")
        return opening(path, *arguments)

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space left: nothing was saved"):
        patch.setattr(os, "open", failing)
        Network([5, 4]).to_c(tmp_path / "net.c", verify=False)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_estimators_must_be_fitted(tmp_path):
    exceptions = pytest.importorskip("sklearn.exceptions")
    for model in (dnn.MLPClassifier(), dnn.MLPRegressor()):
        with pytest.raises(exceptions.NotFittedError):
            model.to_c(tmp_path / "net.c")

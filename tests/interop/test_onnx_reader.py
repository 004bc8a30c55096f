"""Networks from ONNX graphs: as other exporters write them, and errors for everything else."""

import warnings

import numpy as np
import pytest
import random_networks

import dnn
from dnn import Dense, Network, from_onnx
from dnn.interop import formulas
from dnn.layers import OUTPUTS

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'dnn-core[dev]'")
reference = pytest.importorskip("onnx.reference", reason="needs onnx: pip install 'dnn-core[dev]'")
node = onnx.helper.make_node

RNG = np.random.default_rng(0)
W0, B0 = RNG.normal(size=(4, 5)).astype(np.float32), RNG.normal(size=5).astype(np.float32)
W1, B1 = RNG.normal(size=(5, 3)).astype(np.float32), RNG.normal(size=3).astype(np.float32)
X = RNG.normal(size=(6, 4)).astype(np.float32)
TENSORS = {"W0": W0, "B0": B0, "W1": W1, "B1": B1, "V0": W0.T.copy(), "V1": W1.T.copy()}


def model_of(*nodes, opset=17, shape=("N", 4), output="out", outputs=None, **tensors):
    """A model of these nodes, from x to out, with the tensors above and others."""
    named = {**TENSORS, **tensors}
    real = onnx.TensorProto.FLOAT
    declared = outputs or [onnx.helper.make_tensor_value_info(output, real, ["N", None])]
    graph = onnx.helper.make_graph(
        nodes, "g", [onnx.helper.make_tensor_value_info("x", real, shape)], declared,
        [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in named.items()],
    )  # fmt: skip
    domains = [onnx.helper.make_opsetid("", opset), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    return onnx.helper.make_model(graph, opset_imports=domains, ir_version=8)


def first(name="z"):
    return node("Gemm", ["x", "W0", "B0"], [name])


def last(name="a"):
    return node("Gemm", [name, "W1", "B1"], ["out"])


def check(model, activation="relu", output="identity"):
    """The network has these activations, and the outputs that ONNX's own evaluator gives."""
    net = from_onnx(model)
    assert [layer.activation for layer in net.layers] == [activation, output]
    with np.errstate(all="ignore"):
        wanted = reference.ReferenceEvaluator(model).run(["out"], {"x": X})[0]
    np.testing.assert_allclose(net(X), wanted, rtol=1e-6, atol=1e-6)
    return net


STACKS = {
    "Gemm": [first(), node("Relu", ["z"], ["a"]), last()],
    "Gemm without C": [node("Gemm", ["x", "W0"], ["z"]), node("Relu", ["z"], ["a"]), last()],
    "transB": [
        node("Gemm", ["x", "V0", "B0"], ["z"], transB=1),
        node("Relu", ["z"], ["a"]),
        node("Gemm", ["a", "V1", "B1"], ["out"], transB=1, alpha=1.0, beta=1.0, transA=0),
    ],
    "alpha and beta": [
        node("Gemm", ["x", "W0", "B0"], ["z"], alpha=0.5, beta=2.0),
        node("Relu", ["z"], ["a"]),
        last(),
    ],
    "MatMul and Add": [
        node("MatMul", ["x", "W0"], ["m"]),
        node("Add", ["m", "B0"], ["z"]),
        node("Relu", ["z"], ["a"]),
        node("MatMul", ["a", "W1"], ["n"]),
        node("Add", ["B1", "n"], ["out"]),
    ],
    "MatMul alone": [node("MatMul", ["x", "W0"], ["z"]), node("Relu", ["z"], ["a"]), last()],
    "bias of one row": [
        node("MatMul", ["x", "W0"], ["m"]),
        node("Add", ["m", "row"], ["z"]),
        node("Relu", ["z"], ["a"]),
        last(),
    ],
    "bias of one number": [
        node("Gemm", ["x", "W0", "number"], ["z"]),
        node("Relu", ["z"], ["a"]),
        last(),
    ],
    "Transpose of weights": [
        node("Transpose", ["V0"], ["T"], perm=[1, 0]),
        node("MatMul", ["x", "T"], ["z"]),
        node("Relu", ["z"], ["a"]),
        last(),
    ],
    "Cast everywhere": [
        node("Cast", ["x"], ["c0"], to=1),
        node("Cast", ["W0"], ["c1"], to=1),
        node("MatMul", ["c0", "c1"], ["c2"]),
        node("Cast", ["c2"], ["c3"], to=1),
        node("Add", ["c3", "B0"], ["z"]),
        node("Cast", ["z"], ["c4"], to=1),
        node("Relu", ["c4"], ["a"]),
        last(),
    ],
    "Flatten, Identity, Dropout, Reshape": [
        node("Flatten", ["x"], ["f"]),
        node("Gemm", ["f", "W0", "B0"], ["z"]),
        node("Reshape", ["z", "to5"], ["r"]),
        node("Relu", ["r"], ["s"]),
        node("Dropout", ["s"], ["d"]),
        node("Identity", ["d"], ["a"]),
        node("Gemm", ["a", "W1", "B1"], ["g"]),
        node("Reshape", ["g", "same"], ["out"]),
    ],
    "Constant": [
        node("Constant", [], ["C"], value=onnx.numpy_helper.from_array(W0)),
        node("MatMul", ["x", "C"], ["z"]),
        node("Relu", ["z"], ["a"]),
        last(),
    ],
}


@pytest.mark.parametrize("name", STACKS)
def test_ways_to_write_a_stack(name):
    extra = {"row": B0[None], "number": np.float32(0.7), "to5": np.array([-1, 5]), "same": np.array([0, -1])}
    check(model_of(*STACKS[name], **extra))


def constant(name, value):
    return node("Constant", [], [name], value=onnx.numpy_helper.from_array(np.float32(value)))


# (activation, opset, nodes from z to a), as PyTorch's two exporters and Keras write them
ACTIVATIONS = {
    "leaky": (dnn.LeakyReLU(0.2), 17, [node("LeakyRelu", ["z"], ["a"], alpha=0.2)]),
    "leaky, default": ("leaky_relu", 17, [node("LeakyRelu", ["z"], ["a"])]),
    "elu": (dnn.ELU(0.7), 17, [node("Elu", ["z"], ["a"], alpha=0.7)]),
    "elu, default": ("elu", 17, [node("Elu", ["z"], ["a"])]),
    "selu, default": ("selu", 17, [node("Selu", ["z"], ["a"])]),
    "max": ("relu", 17, [constant("c", 0.0), node("Max", ["z", "c"], ["a"])]),
    "silu": ("silu", 17, [node("Sigmoid", ["z"], ["s"]), node("Mul", ["z", "s"], ["a"])]),
    "silu, other order": ("silu", 17, [node("Sigmoid", ["z"], ["s"]), node("Mul", ["s", "z"], ["a"])]),
    "softplus": ("softplus", 17, [node("Softplus", ["z"], ["a"])]),
    "softplus, linear beyond 20": (
        "softplus",
        17,
        [
            constant("c", 20.0),
            node("Softplus", ["z"], ["s"]),
            node("Greater", ["z", "c"], ["g"]),
            node("Where", ["g", "z", "s"], ["a"]),
        ],
    ),
    "mish": ("mish", 18, [node("Mish", ["z"], ["a"])]),
    "mish by softplus": (
        "mish",
        17,
        [node("Softplus", ["z"], ["s"]), node("Tanh", ["s"], ["t"]), node("Mul", ["z", "t"], ["a"])],
    ),
    "gelu": ("gelu", 20, [node("Gelu", ["z"], ["a"])]),
    "gelu, tanh": ("gelu_tanh", 20, [node("Gelu", ["z"], ["a"], approximate="tanh")]),
    "gelu by erf": (
        "gelu",
        17,
        [
            constant("c", 2**0.5),
            constant("one", 1.0),
            constant("half", 0.5),
            node("Div", ["z", "c"], ["d"]),
            node("Erf", ["d"], ["e"]),
            node("Add", ["e", "one"], ["p"]),
            node("Mul", ["z", "p"], ["m"]),
            node("Mul", ["m", "half"], ["a"]),
        ],
    ),
    "gelu by tanh": (
        "gelu_tanh",
        17,
        [
            constant("c", 0.044715),
            constant("k", (2 / np.pi) ** 0.5),
            constant("one", 1.0),
            constant("half", 0.5),
            node("Mul", ["z", "z"], ["zz"]),
            node("Mul", ["z", "zz"], ["zzz"]),
            node("Mul", ["zzz", "c"], ["cz"]),
            node("Add", ["z", "cz"], ["s"]),
            node("Mul", ["s", "k"], ["u"]),
            node("Tanh", ["u"], ["t"]),
            node("Add", ["t", "one"], ["p"]),
            node("Mul", ["z", "p"], ["m"]),
            node("Mul", ["m", "half"], ["a"]),
        ],
    ),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_of_other_exporters(name):
    activation, opset, nodes = ACTIVATIONS[name]
    check(model_of(first(), *nodes, last(), opset=opset), activation)


@pytest.mark.parametrize("axis", [{}, {"axis": 1}, {"axis": -1}])
def test_softmax_over_the_last_axis(axis):
    nodes = [first(), node("Tanh", ["z"], ["a"]), node("Gemm", ["a", "W1", "B1"], ["y"])]
    check(model_of(*nodes, node("Softmax", ["y"], ["out"], **axis)), "tanh", "softmax")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("output", OUTPUTS)
def test_what_dnn_writes_comes_back(output, dtype):
    hidden = [*random_networks.HIDDEN, dnn.ELU(0.7), dnn.LeakyReLU(0.2), dnn.LeakyReLU(0.0)]
    layers = [*(Dense(3, name) for name in hidden), Dense(4, output)]
    net = Network(2, layers, dtype=dtype, random_state=0)
    same = from_onnx(net.to_onnx())
    assert same.layers == net.layers and same.dtype == net.dtype
    assert np.array_equal(same.params, net.params)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("source", ["dnn", "skl2onnx", "skl2onnx with ZipMap", "dnn by skl2onnx"])
def test_classifiers(source, classes):
    """The outputs are the probabilities; of two classes the second one's."""
    from sklearn.neural_network import MLPClassifier

    y = np.arange(6) % classes
    if source == "dnn":
        model = dnn.MLPClassifier(3, solver="lbfgs", alpha=1.0, random_state=0).fit(X, y)
        net = from_onnx(model.to_onnx())
    else:
        skl2onnx = pytest.importorskip("skl2onnx", reason="needs skl2onnx: pip install 'dnn-core[dev]'")
        kind = dnn.MLPClassifier if source == "dnn by skl2onnx" else MLPClassifier
        model = kind(3, solver="lbfgs", alpha=1.0, random_state=0).fit(X, y)
        net = from_onnx(skl2onnx.to_onnx(model, X, options={"zipmap": source == "skl2onnx with ZipMap"}))
    assert net.layers[-1] == (Dense(1, "sigmoid") if classes == 2 else Dense(3, "softmax"))
    wanted = model.predict_proba(X)
    np.testing.assert_allclose(net(X), wanted[:, 1:] if classes == 2 else wanted, atol=1e-6)


def test_regressor_of_skl2onnx():
    from sklearn.neural_network import MLPRegressor

    skl2onnx = pytest.importorskip("skl2onnx", reason="needs skl2onnx: pip install 'dnn-core[dev]'")
    model = MLPRegressor(hidden_layer_sizes=3, solver="lbfgs", alpha=1.0, random_state=0).fit(X, X[:, 0])
    net = from_onnx(skl2onnx.to_onnx(model, X))
    np.testing.assert_allclose(net(X)[:, 0], model.predict(X), atol=1e-6)


def test_precision_is_that_of_the_weights():
    nodes = [
        node("Cast", ["x"], ["c"], to=11),
        node("Gemm", ["c", "W", "b"], ["y"]),
        node("Cast", ["y"], ["out"], to=1),
    ]
    W = np.full((4, 1), 0.1)
    net = from_onnx(model_of(*nodes, W=W, b=np.ones(1)))
    assert net.dtype == np.float64 and net.weights[0].tolist() == W.tolist()


REFUSED = {
    "another operator": (
        [node("Conv", ["x", "W0"], ["out"], name="conv1")],
        r"node 'conv1' \(Conv\) is not a dense layer or an activation that dnn has",
    ),
    "another activation": (
        [first(), node("HardSigmoid", ["z"], ["a"], name="h"), last()],
        r"node 'h' \(HardSigmoid\) is not a dense layer or",
    ),
    "without a name": (
        [first(), node("HardSigmoid", ["z"], ["a"]), last()],
        r"node of 'a' \(HardSigmoid\) is not",
    ),
    "another domain": (
        [
            node("Scaler", ["x"], ["s"], domain="ai.onnx.ml", offset=[0.0], scale=[1.0]),
            node("Gemm", ["s", "W0"], ["out"]),
        ],
        r"\(ai.onnx.ml.Scaler\) is not",
    ),
    "LogSoftmax": (
        [first(), node("LogSoftmax", ["z"], ["out"], name="last")],
        r"node 'last' \(LogSoftmax\) gives logarithms of probabilities",
    ),
    "softmax between layers": (
        [first(), node("Softmax", ["z"], ["a"]), last()],
        r"\(Softmax\) is a softmax between layers",
    ),
    "softmax over the rows": (
        [first(), node("Softmax", ["z"], ["out"], axis=0)],
        r"\(Softmax\) is not a dense layer or",
    ),
    "softmax of one unit": (
        [node("Gemm", ["x", "column"], ["z"]), node("Softmax", ["z"], ["out"])],
        r"\(Softmax\) is a softmax of one unit",
    ),
    "relu at the end": (
        [first(), node("Relu", ["z"], ["out"])],
        r"\(Relu\) is the output activation, which must be one of identity, sigmoid",
    ),
    "relu at the beginning": ([node("Relu", ["x"], ["out"])], r"\(Relu\) must follow a dense layer"),
    "two activations": (
        [first(), node("Relu", ["z"], ["a"]), node("Tanh", ["a"], ["out"])],
        r"\(Relu\) is not a dense layer or an activation",
    ),
    "no layer": ([node("Identity", ["x"], ["out"])], "must have a dense layer, found none"),
    "a skip": (
        [first(), node("Gemm", ["z", "square"], ["y"]), node("Add", ["z", "y"], ["out"], name="sum")],
        r"node 'sum' \(Add\) is not",
    ),
    "transA": ([node("Gemm", ["x", "W0"], ["out"], transA=1)], r"\(Gemm\) must not have transA"),
    "weights that are computed": (
        [node("MatMul", ["x", "x"], ["out"])],
        r"\(MatMul\) must have constant weights, 'x'",
    ),
    "weights on the left": ([node("MatMul", ["W0", "x"], ["out"])], "must have constant weights, 'x'"),
    "weights of integers": ([node("MatMul", ["x", "whole"], ["out"])], r"float32 or float64, got int64"),
    "weights of three axes": ([node("MatMul", ["x", "cube"], ["out"])], r"matrix of weights, got shape \(1"),
    "weights that are not finite": ([node("MatMul", ["x", "nan"], ["out"])], "finite weights, 'nan' has"),
    "bias of rows": ([node("Gemm", ["x", "W0", "rows"], ["out"])], r"bias of shape \(5,\), got \(6, 1\)"),
    "sizes that do not fit": (
        [first(), node("Relu", ["z"], ["a"]), node("Gemm", ["a", "W0"], ["out"])],
        r"\(Gemm\) must give 4 columns, which is what follows takes, got 5",
    ),
    "Reshape of rows": (
        [first(), node("Reshape", ["z", "by3"], ["out"])],
        r"\(Reshape\) must keep the 5 features, got 3",
    ),
    "Reshape to three axes": (
        [first(), node("Reshape", ["z", "axes3"], ["out"])],
        r"\(Reshape\) must be to \(N, features\), got \[-1, 1, 5\]",
    ),
    "Dropout in training": (
        [first(), node("Dropout", ["z", "half", "yes"], ["out"])],
        r"\(Dropout\) is not a dense layer or",
    ),
    "integers in between": (
        [first(), node("Cast", ["z"], ["i"], to=7), node("Cast", ["i"], ["out"], to=1)],
        r"\(Cast\) is not",
    ),
    "slope below 0": (
        [first(), node("LeakyRelu", ["z"], ["a"], alpha=-0.5), last()],
        r"\(LeakyRelu\) has a parameter that dnn does not take: slope must be finite and at least 0",
    ),
    "selu of other constants": ([first(), node("Selu", ["z"], ["a"], alpha=1.5), last()], r"\(Selu\) is not"),
    "silu of two values": (
        [
            first(),
            node("Gemm", ["x", "W0"], ["v"]),
            node("Sigmoid", ["v"], ["s"]),
            node("Mul", ["z", "s"], ["out"]),
        ],
        r"\(Mul\) is not",
    ),
    "two probabilities of more": (
        [
            first(),
            node("Neg", ["z"], ["m"]),
            node("Concat", ["m", "z"], ["c"], axis=1),
            node("Sigmoid", ["c"], ["out"]),
        ],
        r"\(Gemm\) must give 1 columns",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name):
    nodes, message = REFUSED[name]
    extra = {
        "column": W0[:, :1],
        "square": np.eye(5, dtype=np.float32),
        "whole": np.ones((4, 2), np.int64),
        "cube": W0[None],
        "nan": np.full((4, 2), np.nan, np.float32),
        "rows": np.ones((6, 1), np.float32),
        "by3": np.array([-1, 3]),
        "axes3": np.array([-1, 1, 5]),
        "half": np.float32(0.5),
        "yes": np.array(True),
    }
    with pytest.raises(ValueError, match=message):
        from_onnx(model_of(*nodes, **extra))


def test_inputs_and_outputs_that_are_refused():
    nodes = [node("Flatten", ["x"], ["f"]), node("Gemm", ["f", "W0"], ["out"])]
    for shape in (("N", 1, 2, 2), ("N", 5)):
        with pytest.raises(ValueError, match=r"must take \(N, 4\), its input 'x' has the shape \[0, "):
            from_onnx(model_of(*nodes, shape=shape))
    real = onnx.TensorProto.FLOAT
    outputs = [onnx.helper.make_tensor_value_info(name, real, ["N", 5]) for name in ("z", "out")]
    with pytest.raises(ValueError, match=r"one output of real numbers, found 2 among \['z', 'out'\]"):
        from_onnx(model_of(first(), node("Identity", ["z"], ["out"]), outputs=outputs))


def test_an_old_opset_is_refused():
    with pytest.raises(ValueError, match="source must be of opset 7 or newer, got opset 6"):
        from_onnx(model_of(node("Gemm", ["x", "W0", "B0"], ["out"], broadcast=1), opset=6))
    assert from_onnx(model_of(first(), node("Relu", ["z"], ["a"]), last(), opset=7)).n_outputs == 3


def test_an_attribute_that_later_opsets_may_add(monkeypatch):
    monkeypatch.setattr(onnx.checker, "check_model", lambda model: None)
    with pytest.raises(ValueError, match=r"\(Relu\) is not"):
        from_onnx(model_of(first(), node("Relu", ["z"], ["a"], limit=6.0), last()))


def small():
    return Network([3, 5, 4], activation="gelu", output="softmax", dtype="float64", random_state=0).to_onnx()


def test_files(tmp_path):
    onnx.save(small(), tmp_path / "net.onnx")
    for path in (tmp_path / "net.onnx", str(tmp_path / "net.onnx")):
        assert from_onnx(path).layers[0].activation == "gelu"
    with pytest.raises(FileNotFoundError):
        from_onnx(tmp_path / "nothing.onnx")
    with pytest.raises(TypeError, match=r"source must be a path or an onnx.ModelProto, got bytes"):
        from_onnx(b"")


@pytest.mark.parametrize(
    "content", [b"", b"\x00" * 9, b"not a model", b"PK\x03\x04"], ids=["empty", "zeros", "text", "zip"]
)
def test_files_of_another_kind(content, tmp_path):
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(dnn.ModelFormatError, match=r"is not an ONNX model|must be a valid ONNX model"):
        from_onnx(tmp_path / "net.onnx")


def test_damaged_files(tmp_path):
    """Bytes that are changed, cut or inserted give a network or one kind of error, and nothing else."""
    whole, path = small().SerializeToString(), tmp_path / "net.onnx"
    rng, refused = np.random.default_rng(0), 0
    for _ in range(300):
        content = bytearray(whole)
        start = int(rng.integers(len(content)))
        kind = rng.integers(3)
        if kind == 0:
            content[start] = int(rng.integers(256))
        elif kind == 1:
            del content[start:]
        else:
            content[start : start + int(rng.integers(9))] = rng.bytes(rng.integers(9))
        path.write_bytes(content)
        try:
            from_onnx(path)
        except ValueError as error:
            assert type(error) in (ValueError, dnn.ModelFormatError)
            refused += 1
    assert refused > 200


def test_weights_in_another_file(tmp_path):
    model = model_of(first(), node("Relu", ["z"], ["a"]), last())
    wanted = from_onnx(model).params.copy()
    (tmp_path / "a").mkdir()
    onnx.save(
        model, tmp_path / "a" / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0
    )
    assert np.array_equal(from_onnx(tmp_path / "a" / "net.onnx").params, wanted)
    without = onnx.load(tmp_path / "a" / "net.onnx", load_external_data=False)
    with pytest.raises(ValueError, match=r"in another file|valid ONNX model"):
        from_onnx(without)
    content = (tmp_path / "a" / "net.data").read_bytes()
    (tmp_path / "net.data").write_bytes(content)
    (tmp_path / "a" / "link").symlink_to(tmp_path / "net.data")
    for location in ("../net.data", str(tmp_path / "net.data"), "gone", "", ".", "link"):
        for tensor in without.graph.initializer:
            tensor.external_data[0].value = location
        (tmp_path / "a" / "bad.onnx").write_bytes(without.SerializeToString())
        with pytest.raises(
            dnn.ModelFormatError, match=r"has weights in '.*', which must be a file in the same folder"
        ):
            from_onnx(tmp_path / "a" / "bad.onnx")
    (tmp_path / "a" / "net.data").write_bytes(b"short")
    with pytest.raises(dnn.ModelFormatError, match=r"cannot be read|are damaged"):
        from_onnx(tmp_path / "a" / "net.onnx")


def test_a_graph_made_to_match_in_many_ways_is_refused_quickly(monkeypatch):
    """Each step of this polynomial can be matched in two ways: 2^27 attempts, if none were remembered."""
    from dnn.interop import onnx_reader

    find, calls = onnx_reader._Reader._find_bindings, []

    def counted(*args):
        calls.append(args)
        assert len(calls) < 100_000
        return find(*args)

    monkeypatch.setattr(onnx_reader._Reader, "_find_bindings", counted)
    start, *rest = formulas._erfcx_coefficients()
    nodes, q, r = [first(), constant("c", start)], "c", "c"
    for k, c in enumerate(rest):
        nodes += [constant(f"c{k}", c), node("Mul", [q, r], [f"m{k}"])]
        q, r = f"q{k}", f"r{k}"
        nodes += [node("Add", [f"m{k}", f"c{k}"], [name]) for name in (q, r)]
    for k in range(3):
        nodes.append(node("Mul", ["z", q], [f"p{k}"]))
        q = f"p{k}"
    with pytest.raises(ValueError, match=r"\(Sub\) is not"):
        from_onnx(model_of(*nodes, node("Sub", ["z", q], ["out"])))
    assert len(calls) > 27


def test_a_chain_of_many_nodes():
    nodes, name = [], "W0"
    for k in range(5000):
        nodes.append(node("Identity", [name], [f"w{k}"]))
        name = f"w{k}"
    model = model_of(*nodes, node("Gemm", ["x", name, "B0"], ["out"]))
    with pytest.raises(ValueError, match="nested too deeply"):
        from_onnx(model)


def test_every_formula_is_recognized_once():
    forms = formulas.recognized()
    assert len({form for _, form in forms}) == len(forms)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert {name for name, _ in forms} | {"identity"} == set(formulas.written("float32"))

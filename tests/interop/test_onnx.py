"""Models as ONNX graphs give what dnn gives, in ONNX Runtime and in ONNX's own reference evaluator."""

import json
import warnings

import numpy as np
import pytest
import random_networks
from sklearn.exceptions import ConvergenceWarning

import dnn
from dnn import Dense, MLPClassifier, MLPRegressor, Network, Quantile, _core
from dnn.interop import formulas
from dnn.layers import OUTPUTS

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install 'dnn-core[dev]'")
runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'dnn-core[dev]'")
reference = pytest.importorskip("onnx.reference", reason="needs onnx: pip install 'dnn-core[dev]'")

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


def session_of(model):
    """A session of one thread, so that tests side by side do not wait for each other."""
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def run_both(model, X):
    """The outputs by name, from ONNX Runtime and from the reference evaluator, of a model that is valid."""
    onnx.checker.check_model(model, full_check=True)
    session = session_of(model)
    names = [output.name for output in session.get_outputs()]
    with np.errstate(all="ignore"):
        evaluated = reference.ReferenceEvaluator(model).run(None, {"X": X})
    found = [dict(zip(names, outputs, strict=True)) for outputs in (session.run(None, {"X": X}), evaluated)]
    for output, declared in zip(session.get_outputs(), model.graph.output, strict=True):
        shape = [dim.dim_value or dim.dim_param for dim in declared.type.tensor_type.shape.dim]
        assert shape == output.shape and shape[0] == "N"
        for each in found:
            assert each[output.name].ndim == len(shape)
            assert list(each[output.name].shape) == [len(X), *shape[1:]]
    return found


def assert_near(found, wanted, dtype):
    """Equal within the tolerance of the precision, relative to the largest value of the output."""
    scale = max(1.0, float(np.abs(wanted).max(initial=0)))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, wanted, rtol=0, atol=TOLERANCE[np.dtype(dtype).name] * scale)


def assert_labels(found, wanted, probabilities, tolerance):
    """Equal labels, except in rows where the two largest probabilities differ by less than the tolerance."""
    if wanted.ndim == 2:
        clear = np.abs(probabilities - 0.5) > tolerance
    else:
        ordered = np.sort(probabilities, axis=1)
        clear = ordered[:, -1] - ordered[:, :-1].max(axis=1, initial=-1) > tolerance
    assert (found[clear] == wanted[clear]).all() and clear.mean() > 0.9


def random_network(seed):
    """A network of any architecture that there is, in one of the two precisions, and rows for it."""
    net, _, X, *_ = random_networks.draw(seed)
    dtype = ["float32", "float64"][seed % 2]
    if dtype == "float32":
        wide, net = net, Network(net.n_inputs, net.layers, dtype="float32")
        net.params[:] = wide.params
    return net, X.astype(dtype)


LABELS = {
    "strings": np.array(["a", "b", "c"]),
    "objects": np.array(["x", "yy", "zzz"], dtype=object),
    "integers": np.array([-5, 3, 70_000_000_000]),
    "bools": np.array([False, True]),
    "floats": np.array([0.0, 2.0, 4.0]),
    "one": np.array([7]),
    "one string": np.array(["only"]),
    "several": None,
}


def random_estimator(seed):
    """A fitted estimator of any kind, and rows for it."""
    rng = np.random.default_rng(seed)
    dtype = ["float32", "float64"][seed % 2]
    n_features = int(rng.integers(1, 6))
    X = rng.normal(size=(40, n_features)).astype(dtype)
    options = {
        "hidden_layer_sizes": rng.integers(1, 9, rng.integers(0, 3)).tolist(),
        "max_iter": 3,
        "random_state": seed,
        "activation": random_networks.pick(rng, [a for a in random_networks.HIDDEN if a != "exp"]),
    }
    if seed % 3 == 0:
        loss = random_networks.pick(rng, ["squared_error", "poisson", Quantile((0.1, 0.5, 0.9)), "several"])
        y = rng.poisson(2.0, (40, 2) if loss == "several" else 40).astype(float)
        model = MLPRegressor("squared_error" if loss == "several" else loss, **options)
    else:
        labels = LABELS[random_networks.pick(rng, list(LABELS))]
        y = rng.integers(0, 2, (40, 3)) if labels is None else labels[rng.integers(0, len(labels), 40)]
        model = MLPClassifier(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y), X


def check_network(seed):
    net, X = random_network(seed)
    for found in run_both(net.to_onnx(), X):
        assert_near(found["outputs"], net(X), net.dtype)


def check_estimator(seed):
    model, X = random_estimator(seed)
    for found in run_both(model.to_onnx(), X):
        if isinstance(model, MLPRegressor):
            assert_near(found["variable"], model.predict(X).reshape(len(X), -1), X.dtype)
            continue
        probabilities = model.predict_proba(X)
        assert_near(found["probabilities"], probabilities, X.dtype)
        assert_labels(found["label"], model.predict(X), probabilities, TOLERANCE[X.dtype.name])


@pytest.mark.parametrize("seed", range(20))
def test_random_networks(seed):
    check_network(seed)


@pytest.mark.parametrize("seed", range(24))
def test_random_estimators(seed):
    check_estimator(seed)


@pytest.mark.long
@pytest.mark.parametrize("first", range(0, 200, 50))
def test_many_random_architectures(first):
    for seed in range(1000 + first, 1050 + first):
        check_network(seed)
        check_estimator(seed)


# Beyond 10 in both directions each activation is nearly a line or a constant
HARD = [
    0.0,
    1e-30,
    1e-6,
    1e-3,
    0.1,
    0.5,
    1.0,
    2.0,
    3.0,
    5.0,
    7.0,
    10.0,
    15.0,
    20.0,
    30.0,
    50.0,
    80.0,
    1000.0,
    1e15,
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*random_networks.HIDDEN, "slope", "alpha"])
def test_activations_on_hard_inputs(name, dtype):
    """They neither overflow nor make NaN, and small values are accurate where ONNX's operators are."""
    kinds = {"slope": dnn.LeakyReLU(0.3), "alpha": dnn.ELU(1.7)}
    net = Network(1, [Dense(1, kinds.get(name, name)), Dense(1)], dtype=dtype)
    net.params[:] = [1, 0, 1, 0]
    X = np.array([*HARD, *(-z for z in HARD)], dtype)[:, None]
    if name == "exp":
        X = np.minimum(X, 80)
    wanted = net(X)
    tolerance = {"float32": 3e-7, "float64": 1e-15}[dtype]
    for found in run_both(net.to_onnx(), X):
        np.testing.assert_allclose(found["outputs"], wanted, rtol=tolerance, atol=tolerance)
    if name in ("softplus", "silu", "mish", "exp"):
        close = (np.abs(X) < 80) & (wanted != 0)
        for found in run_both(net.to_onnx(), X):
            np.testing.assert_allclose(found["outputs"][close], wanted[close], rtol=10 * tolerance)


@pytest.mark.parametrize("output", OUTPUTS)
def test_extreme_logits(output):
    net = Network([1, 2], output=output)
    net.params[:] = [1, -1, 0, 0]
    X = np.array([[-1000.0], [-90.0], [0.0], [90.0], [1000.0]], np.float32)
    with np.errstate(over="ignore"):
        wanted = net(X)
    for found in run_both(net.to_onnx(), X):
        np.testing.assert_allclose(found["outputs"], wanted, rtol=1e-6, atol=1e-7)


def test_every_activation_has_a_formula():
    for dtype in ("float32", "float64"):
        assert set(formulas.written(dtype)) == set(_core.ACTIVATIONS)


@pytest.mark.parametrize("n", [0, 1, 3, 1000])
@pytest.mark.parametrize("kind", ["network", "binary", "strings", "several", "one", "quantiles"])
def test_number_of_rows(kind, n):
    """The number of rows is free, and may be 0."""
    rng = np.random.default_rng(0)
    X, model = rng.normal(size=(20, 3)).astype(np.float32), Network([3, 5, 2], random_state=0)
    targets = {
        "binary": rng.integers(0, 2, 20), "strings": np.array(["a", "b", "c"])[rng.integers(0, 3, 20)],
        "several": rng.integers(0, 2, (20, 3)), "one": np.ones(20, int), "quantiles": rng.normal(size=20),
    }  # fmt: skip
    if kind in targets:
        small = {
            "hidden_layer_sizes": 4,
            "solver": "lbfgs",
            "max_iter": 100,
            "dtype": "float32",
            "alpha": 1.0,
        }
        model = MLPRegressor(Quantile((0.2, 0.8)), **small) if kind == "quantiles" else MLPClassifier(**small)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X, targets[kind])
    rows = rng.normal(size=(n, 3)).astype(np.float32)
    for found in run_both(model.to_onnx(), rows):
        assert {len(array) for array in found.values()} == {n}


def small_classifier(y, X=None, **options):
    X = np.linspace(-1, 1, len(y), dtype=np.float32)[:, None] if X is None else X
    return MLPClassifier((), solver="lbfgs", alpha=1.0, dtype="float32", **options).fit(X, y)


@pytest.mark.parametrize(
    ("labels", "wanted"),
    [
        (np.array([False, True]), [0, 1]),
        (np.array([0.0, 3.0]), [0, 3]),
        (np.array([1, 2], np.uint8), [1, 2]),
        (np.array(["no", "yes"]), ["no", "yes"]),
        (np.array(["nö", "ja"], dtype=object), ["ja", "nö"]),
    ],
    ids=["bools", "floats", "uint8", "strings", "objects"],
)
def test_labels(labels, wanted):
    model = small_classifier(np.repeat(labels, 5)).to_onnx()
    kind = onnx.TensorProto.STRING if isinstance(wanted[0], str) else onnx.TensorProto.INT64
    assert model.graph.output[0].type.tensor_type.elem_type == kind
    X = np.array([[-3.0], [3.0]], np.float32)
    for found in run_both(model, X):
        assert sorted(found["label"].tolist()) == wanted


def test_labels_that_onnx_does_not_have(tmp_path):
    model = small_classifier(np.repeat(np.array([2**63, 2**63 + 5], np.uint64), 5))
    with pytest.raises(ValueError, match="the labels must be strings or whole numbers below 2\\^63"):
        model.to_onnx(tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_a_tie_is_the_first_label():
    model = small_classifier(np.array(["a", "b"] * 5))
    for view in (*model.coefs_, *model.intercepts_):
        view[:] = 0
    X = np.zeros((3, 1), np.float32)
    for found in run_both(model.to_onnx(), X):
        assert found["label"].tolist() == model.predict(X).tolist() == ["a"] * 3


def test_quantiles_rise_in_each_row():
    model = MLPRegressor(Quantile((0.1, 0.5, 0.9)), (), solver="lbfgs", max_iter=1, dtype="float64")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(np.ones((4, 1)), np.arange(4.0))
    model.coefs_[0][:], model.intercepts_[0][:] = [[1, -1, 0]], [0, 0, 0.5]
    X = np.array([[-1.0], [0.0], [2.0]])
    for found in run_both(model.to_onnx(), X):
        assert found["variable"].tolist() == [[-1, 0.5, 1], [0, 0, 0.5], [-2, 0.5, 2]]


@pytest.mark.parametrize("n", range(1, 14))
def test_exchanges_sort(n):
    """By the zero-one principle, a network of exchanges that sorts all rows of 0 and 1 sorts all rows."""
    from dnn.interop.onnx import exchanges

    rows = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    wanted = np.sort(rows, axis=1)
    for pairs in exchanges(n):
        assert len({i for pair in pairs for i in pair}) == 2 * len(pairs)
        for low, high in pairs:
            rows[:, [low, high]] = np.sort(rows[:, [low, high]], axis=1)
    np.testing.assert_array_equal(rows, wanted)


def test_names_and_version():
    pandas = pytest.importorskip("pandas", reason="needs pandas: pip install 'dnn-core[dev]'")
    X = pandas.DataFrame({"height": [0.0, 1.0, 2.0], "Größe": [1.0, 0.0, 1.0]})
    model = small_classifier(np.array(["no", "yes", "yes"]), X).to_onnx()
    props = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert props == {"feature_names": ["height", "Größe"], "class_names": ["no", "yes"]}
    assert (model.producer_name, model.producer_version) == ("dnn", dnn.__version__)
    assert not Network([2, 1]).to_onnx().metadata_props


def test_the_file_is_the_model(tmp_path):
    net = Network([3, 4, 2], random_state=0)
    model = net.to_onnx(tmp_path / "net.onnx")
    net.to_onnx(str(tmp_path / "same.onnx"))
    assert onnx.load(tmp_path / "net.onnx") == onnx.load(tmp_path / "same.onnx") == model
    session = runtime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    X = np.ones((2, 3), np.float32)
    assert_near(session.run(None, {"X": X})[0], net(X), "float32")


def test_a_model_is_a_snapshot():
    net = Network([3, 2], random_state=0)
    model, X = net.to_onnx(), np.ones((1, 3), np.float32)
    before = net(X)
    net.params[:] = 0
    assert_near(run_both(model, X)[0]["outputs"], before, "float32")


def test_errors(tmp_path):
    from sklearn.exceptions import NotFittedError

    from dnn.interop.onnx import to_onnx

    for model in (MLPClassifier(), MLPRegressor()):
        with pytest.raises(NotFittedError):
            model.to_onnx(tmp_path / "model.onnx")
    with pytest.raises(TypeError, match="model must be a Network or an MLP estimator of dnn, got list"):
        to_onnx([])
    assert not list(tmp_path.iterdir())


def test_more_parameters_than_onnx_can_hold(monkeypatch):
    from dnn.interop import onnx as module

    monkeypatch.setattr(module, "MOST_BYTES", 4 * 8 - 1)
    with pytest.raises(ValueError, match="at most 2 GB of parameters"):
        Network([3, 2]).to_onnx()
    Network([2, 2]).to_onnx()

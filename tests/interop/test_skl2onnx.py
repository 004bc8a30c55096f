"""skl2onnx converts our estimators, alone, in pipelines and in meta-estimators, with its options."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from dnn import MLPClassifier, MLPRegressor, Quantile

skl2onnx = pytest.importorskip("skl2onnx", reason="needs skl2onnx: pip install 'dnn-core[dev]'")
runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'dnn-core[dev]'")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype(np.float32)
TARGETS = {
    "two": (X[:, 0] > 0).astype(int),
    "strings": np.array(["low", "mid", "top"])[np.digitize(X[:, 0], [-0.5, 0.5])],
    "several": (X[:, :3] > 0).astype(int),
    "one": np.full(60, 7),
    "bools": X[:, 0] > 0,
    "floats": np.where(X[:, 0] > 0, 3.0, 1.0),
}
# What these classes cannot be converted with by skl2onnx itself, for any classifier
LACKING = {("bools", "output_class_labels"), ("floats", "output_class_labels")}


def fitted(model, X=X, y=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y)


def classifier(**options):
    return MLPClassifier(
        8, activation="gelu", solver="lbfgs", alpha=0.1, max_iter=20, random_state=0, **options
    )


def outputs_of(model, X, inputs=None, **options):
    """The outputs of ONNX Runtime by name."""
    converted = skl2onnx.to_onnx(model, X[:1] if inputs is None else None, initial_types=inputs, **options)
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = runtime.InferenceSession(
        converted.SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )
    fed = {"X": X} if inputs is None else {name: X[[name]].to_numpy() for name, _ in inputs}
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, fed), strict=True))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_pipeline(target, dtype):
    model = fitted(make_pipeline(StandardScaler(), classifier()), X, TARGETS[target])
    found = outputs_of(model, X.astype(dtype), options={"zipmap": False})
    assert list(found) == ["label", "probabilities"] and found["probabilities"].dtype == dtype
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(X), atol=1e-6)
    np.testing.assert_array_equal(found["label"], model.predict(X))


@pytest.mark.parametrize("target", TARGETS)
def test_options(target):
    model = fitted(make_pipeline(StandardScaler(), classifier()), X, TARGETS[target])
    labels, probabilities, classes = model.predict(X), model.predict_proba(X), model.classes_
    last = id(model[-1])
    maps = outputs_of(model, X)
    np.testing.assert_array_equal(maps["output_label"], labels)
    for row, wanted in zip(maps["output_probability"], probabilities, strict=True):
        assert list(row) == classes.tolist()
        np.testing.assert_allclose(list(row.values()), wanted, atol=1e-6)
    columns = list(outputs_of(model, X, options={last: {"zipmap": "columns"}}).values())
    np.testing.assert_array_equal(columns[0], labels)
    np.testing.assert_allclose(np.stack(columns[1:], axis=1), probabilities, atol=1e-6)
    if (target, "output_class_labels") not in LACKING:
        found = outputs_of(model, X, options={last: {"zipmap": False, "output_class_labels": True}})
        assert found["class_labels"].tolist() == classes.tolist()
    raw = outputs_of(model, X, options={last: {"zipmap": False, "raw_scores": True}})
    np.testing.assert_array_equal(raw["label"], labels)
    logits = model.decision_function(X)
    if target == "one":
        assert raw["probabilities"].tolist() == [[1.0]] * 60
    else:
        wanted = np.stack([-logits, logits], axis=1) if logits.ndim == 1 else logits
        np.testing.assert_allclose(raw["probabilities"], wanted, atol=1e-4)
    if target == "strings":
        found = outputs_of(model, X, options={last: {"zipmap": False, "nocl": True}})
        np.testing.assert_array_equal(classes[found["label"]], labels)


@pytest.mark.parametrize("name", ["zipmop", "raw_scores"])
def test_options_that_are_wrong(name):
    model = fitted(classifier(), X, TARGETS["two"])
    with pytest.raises((NameError, ValueError), match=name):
        skl2onnx.to_onnx(model, X[:1], options={id(model): {name: "maybe"}})


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "two", "quantiles"])
def test_regressors(loss):
    y = np.abs(X[:, :2]) if loss == "two" else np.abs(X[:, 0])
    spec = {"two": "squared_error", "quantiles": Quantile((0.1, 0.5, 0.9))}.get(loss, loss)
    regressor = MLPRegressor(spec, 8, activation="mish", max_iter=20, random_state=0)
    model = fitted(make_pipeline(StandardScaler(), regressor), X, y)
    found = outputs_of(model, X)
    assert list(found) == ["variable"]
    np.testing.assert_allclose(found["variable"], model.predict(X).reshape(60, -1), rtol=1e-5, atol=1e-5)


def test_a_table_with_categories():
    pandas = pytest.importorskip("pandas", reason="needs pandas: pip install 'dnn-core[dev]'")
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    colors = np.array(["red", "green", "blue"])[RNG.integers(0, 3, 60)]
    table = pandas.DataFrame({"size": X[:, 0], "weight": X[:, 1], "color": colors.astype(object)})
    columns = ColumnTransformer(
        [("real", StandardScaler(), ["size", "weight"]), ("word", OneHotEncoder(), ["color"])]
    )
    model = fitted(make_pipeline(columns, classifier()), table, np.where(colors == "red", "yes", "no"))
    inputs = [("size", FloatTensorType([None, 1])), ("weight", FloatTensorType([None, 1]))]
    inputs.append(("color", StringTensorType([None, 1])))
    found = outputs_of(model, table, inputs, options={"zipmap": False})
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(table), atol=1e-5)
    np.testing.assert_array_equal(found["label"], model.predict(table))


@pytest.mark.parametrize("kind", ["grid", "stacking"])
def test_meta_estimators(kind):
    model = {
        "grid": GridSearchCV(
            make_pipeline(StandardScaler(), classifier()), {"mlpclassifier__alpha": [0.1, 1]}, cv=2
        ),
        "stacking": StackingClassifier(
            [("a", classifier()), ("b", StandardScaler())][:1], classifier(), cv=2
        ),
    }[kind]
    fitted(model, X, TARGETS["strings"])
    found = outputs_of(model, X, options={"zipmap": False})
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(X), atol=1e-5)


def test_integers_are_converted():
    whole = RNG.integers(0, 5, (60, 4))
    model = fitted(classifier(), whole, TARGETS["two"])
    found = outputs_of(model, whole, options={"zipmap": False})
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(whole), atol=1e-5)


@pytest.mark.parametrize("opset", [13, 17, 21])
def test_opsets(opset):
    model = fitted(classifier(), X, TARGETS["strings"])
    found = outputs_of(model, X, options={"zipmap": False}, target_opset=opset)
    np.testing.assert_allclose(found["probabilities"], model.predict_proba(X), atol=1e-6)


BEFORE = """
import numpy as np, pickle, warnings
warnings.simplefilter("ignore")
from dnn import MLPClassifier
X, y = np.eye(4, dtype=np.float32), [0, 1, 0, 1]
"""
FIT = "model = MLPClassifier((), solver='lbfgs').fit(X, y)\n"
CONVERT = "print(len(skl2onnx.to_onnx(model, X).graph.output))\n"
SCRIPTS = {
    "imported first": ("import skl2onnx\n", BEFORE, FIT, CONVERT),
    "imported before fit": (BEFORE, "import skl2onnx\n", FIT, CONVERT),
    "unpickled": (BEFORE, FIT, "import skl2onnx\nmodel = pickle.loads(pickle.dumps(model))\n", CONVERT),
    "registered": (
        BEFORE,
        FIT,
        "import skl2onnx\nfrom dnn.interop.onnx import register\nregister()\n",
        CONVERT,
    ),
}


def run(*code):
    return subprocess.run([sys.executable, "-c", "".join(code)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_converter_registers_itself(name):
    ran = run(*SCRIPTS[name])
    assert ran.stdout == "2\n", ran.stderr


def test_skl2onnx_that_is_imported_after_fit():
    """The first conversion is refused, and says so; the next one succeeds."""
    refused = "import skl2onnx\ntry: skl2onnx.to_onnx(model, X)\nexcept RuntimeError as error: print(error)\n"
    ran = run(BEFORE, FIT, refused, CONVERT)
    first, second = ran.stdout.splitlines()
    assert first.startswith("skl2onnx was imported after this MLPClassifier was fitted") and second == "2"


def test_fit_does_not_import_skl2onnx():
    ran = run(BEFORE, FIT, "import sys; print([m for m in ('onnx', 'skl2onnx') if m in sys.modules])")
    assert ran.stdout == "[]\n", ran.stderr

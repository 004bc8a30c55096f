"""Errors name the parameter, the expected and the given value; for tables the column, row and value too."""

import datetime
import inspect
import re
import warnings
from decimal import Decimal

import numpy as np
import pytest

import dnn
from dnn import Huber, LeakyReLU, MLPClassifier, MLPRegressor, Network

X = np.random.default_rng(0).normal(size=(20, 3))
Y = X[:, :1]
BOTH = [MLPClassifier, MLPRegressor]

# A wrong value for every parameter, except for those that other tests cover
WRONG = [
    "no such name", b"x", -1, 1.5j, np.nan, [None], [[1, "b"]], {1, 2}, {"a": 1}, object(),
    np.ones((2, 2, 2)), np.array(0.5), dnn.Adam, dnn.Dropout(0.1), lambda: 0,
]  # fmt: skip
net = Network([3, 4, 1], random_state=0)
out, cache = net.forward(X)


def data_of(kind):
    return np.where(X[:, 0] > 0, "cat", "dog") if kind is MLPClassifier else X[:, 0]


CALLS = {
    "Network": (lambda layers=(3, 4, 1), **named: Network(layers, **named), ("output", "activation")),
    "fit": (lambda X=X, y=Y, **named: net.copy().fit(X, y, **{"epochs": 1, **named}), ()),
    "fit, validated": (lambda X_val=X, y_val=Y, sample_weight_val=None: net.copy().fit(
        X, Y, epochs=1, X_val=X_val, y_val=y_val, sample_weight_val=sample_weight_val), ()),
    "loss_and_gradient": (lambda X=X, y=Y, **named: net.loss_and_gradient(X, y, **named), ()),
    "losses": (lambda X=X, y=Y, **named: net.losses(X, y, **named), ()),
    "forward": (lambda X=X, **named: net.forward(X, **{"training": True, **named}), ()),
    "backward": (lambda cache=cache, d_out=out, **named: net.backward(cache, d_out, **named), ()),
    "polyak_update": (lambda source=net, tau=0.5: net.copy().polyak_update(source, tau), ()),
    "step": (lambda grad=net.params * 0, **named: net.copy().optimizer("sgd").step(grad, **named), ()),
    "net(X)": (lambda X=X, **named: net(X, **named), ()),
    "find_rate": (lambda X=X, y=Y, **named: dnn.find_rate(net, X, y, **named), ()),
    "check_gradient": (lambda X=X, y=Y, **named: dnn.check_gradient(net, X, y, **named), ()),
    "draw": (lambda x=X[0], **named: net.draw(x, **named), ()),
}  # fmt: skip
NAMES = {
    "Network": ["layers", "activation", "output", "dropout", "init", "dtype", "random_state"],
    "fit": [n for n in inspect.signature(Network.fit).parameters if n != "self" and "_val" not in n],
    "fit, validated": ["X_val", "y_val", "sample_weight_val"],
    "loss_and_gradient": ["X", "y", "loss", "sample_weight", "alpha", "l1"],
    "losses": ["X", "y", "loss"],
    "forward": ["X", "logits", "training", "masks", "seed"],
    "backward": ["cache", "d_out", "wrt", "out", "add"],
    "polyak_update": ["source", "tau"],
    "step": ["grad", "rate"],
    "net(X)": ["X", "out"],
    "find_rate": [
        "X",
        "y",
        "lowest",
        "highest",
        "n_steps",
        "optimizer",
        "batch_size",
        "loss",
        "random_state",
    ],
    "check_gradient": [
        "X",
        "y",
        "loss",
        "sample_weight",
        "alpha",
        "l1",
        "gradient",
        "epsilon",
        "random_state",
    ],
    "draw": ["x", "most"],
}
FINE = {  # values of WRONG that are valid, or functions of the user that fail by themselves
    ("loss", "function"), ("order", "function"), ("init", "float64"),
    ("callbacks", "dict"), ("callbacks", "function"), ("checkpoint", "str"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "name"), [(call, name) for call, names in NAMES.items() for name in names])
def test_every_argument_is_named(call, name):
    function = CALLS[call][0]
    for wrong in WRONG:
        if (name, type(wrong).__name__) in FINE:
            continue
        with pytest.raises((TypeError, ValueError)) as refused:
            function(**{name: wrong})
        message = str(refused.value)
        assert name in message, (wrong, message)
        for foreign in ("truth value", "has no attribute", "not iterable", "not supported between", "len()"):
            assert foreign not in message, (wrong, message)


# Frozen values: an error names the field


@pytest.mark.parametrize("kind", [getattr(dnn, name) for name in dnn.__all__], ids=dnn.__all__)
def test_every_field_of_a_value_is_named(kind):
    fields = getattr(kind, "__dataclass_fields__", {})
    if kind in (dnn.History, dnn.RateCurve, dnn.StreamHistory):
        return  # users do not create it
    right = {"rate": 0.1, "factor": 0.5, "epochs": 3, "then": 0.1, "units": 3, "value": 1.0}
    right = {name: value for name, value in right.items() if name in fields}
    for name in fields:
        for wrong in WRONG:
            if name == "value" and isinstance(wrong, int):
                continue  # every number is valid
            with pytest.raises((TypeError, ValueError), match=name):
                kind(**{**right, name: wrong})


# Names


def test_aliases_are_accepted_everywhere():
    for alias, name in (("swish", "silu"), ("logistic", "sigmoid")):
        assert dnn.Dense(3, alias).activation == name
        twins = [
            Network([3, 4, 1], activation=each, random_state=0) for each in (alias, name, [alias], [name])
        ]
        assert len({twin(X).tobytes() for twin in twins}) == 1
        for kind in BOTH:
            fits = [
                kind(hidden_layer_sizes=3, activation=each, random_state=0, tol=9.0)
                .fit(X, data_of(kind))
                .coefs_[0]
                for each in (alias, name, [alias], [name])
            ]
            assert len({W.tobytes() for W in fits}) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MLPRegressor((64, 64)), r"loss must .*: did you mean hidden_layer_sizes=\(64, 64\)\?"),
        (lambda: MLPRegressor(64), r"did you mean hidden_layer_sizes=64\?"),
        (lambda: MLPRegressor([64]), r"did you mean hidden_layer_sizes=\[64\]\?"),
        (lambda: MLPRegressor(Huber), r"loss must be a name, Huber or Quantile, .*did you mean Huber\(\)\?"),
        (lambda: MLPRegressor(hidden_layer_sizes="relu"), r"hidden_layer_sizes .*mean activation='relu'\?"),
        (lambda: MLPRegressor(hidden_layer_sizes=(8, "swish")), r"did you mean activation='swish'\?"),
        (lambda: MLPClassifier("relu"), r"hidden_layer_sizes .*mean activation='relu'\?"),
        (lambda: MLPClassifier(64, 32), r"activation .*did you mean hidden_layer_sizes=\(64, 32\)\?"),
        (lambda: MLPClassifier((64,), (32, 8)), r"activation .*hidden_layer_sizes=\(64, 32, 8\)\?"),
        (lambda: MLPClassifier(64, activation="tahn"), r"activation must be one of .*did you mean 'tanh'\?"),
        (lambda: MLPClassifier(64, solver=dnn.Adam), r"solver must be one of .*did you mean Adam\(\)\?"),
        (lambda: MLPClassifier(64, callbacks=print), r"callbacks must be a list .*did you mean \[print\]\?"),
        (lambda: MLPClassifier(early_stopping=True, validation_fraction=0), r"validation_fraction .*above 0"),
        (lambda: MLPClassifier(class_weight=[0, 1]), r"class_weight must be 'balanced', .*\[0, 1\]"),
        (lambda: MLPClassifier(class_weight=np.array([2])), r"class_weight must be .*array\(\[2\]\)"),
        (lambda: MLPClassifier(class_weight={"cat": "a"}), "class_weight of 'cat' must be a number, got 'a'"),
        (lambda: MLPClassifier(random_state=np.random.default_rng(0)), "random_state must be None, a"),
    ],
)  # fmt: skip
def test_the_likely_mistake_is_named(call, message):
    est = call()
    with pytest.raises((TypeError, ValueError), match=message):
        est.fit(X, data_of(type(est)))


def test_the_likely_mistake_is_named_by_a_network():
    for named, message in (
        ({"optimizer": dnn.Adam}, r"optimizer must be one of .*did you mean Adam\(\)\?"),
        ({"loss": Huber}, r"loss must be one of .*did you mean Huber\(\)\?"),
        ({"callbacks": print}, r"callbacks must be a list of functions, got .*did you mean \[print\]\?"),
        (
            {"class_weight": [0, 1]},
            r"class_weight must be 'balanced' or a dict, got \[0, 1\]|class_weight must come",
        ),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            net.copy().fit(X, Y, **named)
    with pytest.raises(TypeError, match=r"activation must be one of .*did you mean LeakyReLU\(\)\?"):
        dnn.Dense(3, LeakyReLU)
    with pytest.raises(ValueError, match="output must be one of"):
        Network([3, 1], output="sigmiod")


def test_validation_fraction_is_ignored_with_a_given_validation_set():
    y = data_of(MLPRegressor)
    est = MLPRegressor(early_stopping=True, validation_fraction=0, tol=9.0).fit(X, y, X_val=X, y_val=y)
    assert est.history_.stopped_by == "tol"


# One class


def test_one_class():
    """There is one column for the one class, as for scikit-learn's trees; its MLP returns two columns."""
    one = np.full(20, "only")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        est = MLPClassifier(4, max_iter=3).fit(X, one)
        part = MLPClassifier(4).partial_fit(X, one, classes=["only"])
    for clf in (est, part):
        assert clf.classes_.tolist() == ["only"] and set(clf.predict(X)) == {"only"}
        for proba in (clf.predict_proba(X), clf.predictor("predict_proba")(X)):
            np.testing.assert_array_equal(proba, np.ones((20, 1)))
        np.testing.assert_array_equal(clf.predict_log_proba(X), np.zeros((20, 1)))
        assert clf.decision_function(X).shape == (20,) and clf.score(X, one) == 1.0


# Tables: errors name the column, the row, the value and a remedy


def frames(values, **how):
    """Return a table with one wrong column for each library that can represent its values."""
    pd = pytest.importorskip("pandas")
    pl = pytest.importorskip("polars")
    yield pd.DataFrame({"age": X[: len(values), 0], "odd": pd.Series(values, **how), "size": 1.0})
    if not how and not any(value is pd.NA or isinstance(value, pd.Period) for value in values):
        try:
            odd = pl.Series(values)
        except (TypeError, pl.exceptions.PolarsError):
            return
        yield pl.DataFrame({"age": X[: len(values), 0], "odd": odd, "size": 1.0})


def odd_columns():
    day = datetime.datetime(2024, 1, 1, 12)
    yield "missing", ["1", "2", "?"], {}, r"'\?' in row 2, column 'odd'\S* fill in missing"
    yield "no answer", [1, 2, "n/a"], {}, r"'n/a' in row 2, column 'odd'\S* fill in missing"
    yield "blank", ["1", "", "3"], {}, r"'' in row 1, column 'odd'\S* fill in missing"
    yield "comma", ["1,5", "2", "3"], {}, r"'1,5' in row 0, column 'odd'\S* read the file with decimal=','"
    yield "thousands", ["1,234,567", "2", "3"], {}, "'1,234,567' in row 0.* thousands=','"
    yield "unit", ["1", "12 kg", "3"], {}, "'12 kg' in row 1, column 'odd'.* remove units"
    yield "percent", ["1", "12%", "3"], {}, "'12%' in row 1.* remove units"
    yield "dollars", ["1", "2", "$3.50"], {}, r"'\$3.50' in row 2.* remove units"
    yield "words", ["red", "green", "red"], {}, "'red' in row 0, column 'odd'.* categories .*get_dummies"
    yield "yes", ["yes", "no", "yes"], {}, "'yes' in row 0.* yes and no to 1 and 0"
    yield (
        "date as text",
        ["2024-01-31", "2024-02-01", "x"],
        {},
        "'2024-01-31' in row 0.* convert times to numbers",
    )
    yield "times", [day] * 3, {}, "column 'odd'.* convert times to numbers"
    yield "dates", [day.date()] * 3, {}, "column 'odd'.* convert times to numbers"
    yield "durations", [datetime.timedelta(1)] * 3, {}, "column 'odd'.* convert times to numbers"
    yield "lists", [[1, 2], [3], [4]], {}, "row 0, column 'odd'.* each must be one number"
    yield "category", ["a", "b", "a"], {"dtype": "category"}, "'a' in row 0, column 'odd'.* categories"
    yield "complex", [1j, 2, 3], {"dtype": complex}, "1j in row 0, column 'odd'.* imaginary part"
    pd = pytest.importorskip("pandas")
    yield "pd.NA", [1, pd.NA, 3], {}, "<NA> in row 1, column 'odd'.* fill in missing"
    yield "zone", [pd.Timestamp("2024-01-01", tz="UTC")] * 3, {}, "column 'odd'.* convert times to numbers"
    yield "period", [pd.Period("2024-01", "M")] * 3, {}, "column 'odd'.* convert times to numbers"


@pytest.mark.parametrize("case", list(odd_columns()), ids=lambda case: case[0])
def test_a_wrong_column_of_a_table_is_named(case):
    _, values, how, message = case
    for frame in frames(values, **how):
        net = Network([3, 1], random_state=0)
        calls = [
            lambda: net.fit(frame, np.ones(3)),  # noqa: B023
            lambda: net(frame),  # noqa: B023
            lambda: net.fit(X, np.ones(20), X_val=frame, y_val=np.ones(3)),  # noqa: B023
        ]
        for kind in BOTH:
            est = kind(tol=9.0, random_state=0)
            seen = kind(tol=9.0, random_state=0).fit(
                frame.__class__({"age": X[:3, 0], "odd": X[:3, 1], "size": X[:3, 2]}), [0, 1, 0]
            )
            calls += [
                lambda est=est: est.fit(frame, [0, 1, 0]),  # noqa: B023
                lambda est=seen: est.predict(frame),  # noqa: B023
                lambda est=seen: est.fit(X[:3], [0, 1, 0], X_val=frame, y_val=[0, 1, 0]),  # noqa: B023
            ]
        for i, call in enumerate(calls):
            with warnings.catch_warnings(), pytest.raises((TypeError, ValueError), match=message) as refused:
                warnings.simplefilter("ignore")
                call()
            name = "X_val" if i % 3 == 2 else "X"
            assert str(refused.value).startswith(f"{name} must hold"), refused.value


@pytest.mark.parametrize("kind", ["Int64", "Float64", "object"])
def test_missing_values_of_a_table(kind):
    """NaN, None and null become NaN in NumPy, and `fit` names the column of the first one."""
    for frame in frames([1, None, 3], **({} if kind == "object" else {"dtype": kind})):
        with pytest.raises((TypeError, ValueError), match=r"(nan|<NA>) in row 1, column (1 \()?'odd'"):
            Network([3, 1]).fit(frame, np.ones(3))
        for est in (MLPClassifier(), MLPRegressor()):
            with pytest.raises((TypeError, ValueError), match=r"(nan|<NA>) in row 1, column (1 \()?'odd'"):
                est.fit(frame, [0, 1, 0])


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[1, [2, 3], 4], [5, 6, 7]], "a list in row 0, column 1: each must be one number"),
        ([[1, 2, 3], [4, 5]], "rows of different lengths: row 0 has 3 values, row 1 has 2 values"),
        ([[1, 2, 3], 4], "row 0 has 3 values, row 1 has a single value"),
        ([[1, "?", 3], [4, 5, 6]], r"'\?' in row 0, column 1: fill in missing"),
        ([[1, 2, 3], [4, 5, "1,5"]], "'1,5' in row 1, column 2: read the file with decimal"),
        (np.array([[1, 2, 3], [4, "x", 6]], dtype=object), "'x' in row 1, column 1: convert categories"),
        (np.array([["1", "2", "3"], ["4", "x", "6"]]), "'x' in row 1, column 1: convert categories"),
        (np.array([["1", "2", "3"]]), "'1' in row 0, column 0: convert text to numbers"),
        (np.array([[1, 2, 3], [4, None, {}]], dtype=object), "a dict in row 1, column 2"),
        ([[datetime.date(2024, 1, 1), 2, 3]], "2024-01-01 in row 0, column 0: convert times"),
        (np.array([["2024-01-01"] * 3], "M8[D]"), "convert times to numbers"),
        (np.ones((2, 3)) * 1j, "0?1j in row 0, column 0: give the real and the imaginary part"),
        ({"a": [1]}, "a dict, which is not a table"),
        ({1, 2}, "a set, which is not a table"),
        ("file.csv", "'file.csv', which is not a table"),
        (None, "X must be an array, got None"),
        (object(), "which is not a table"),
    ],
    ids=lambda value: re.sub(r" at 0x.*", "", repr(value)[:30]) if not isinstance(value, str) else None,
)
def test_x_that_is_not_a_table(table, message):
    for call in (lambda X: Network([3, 1]).fit(X, [1.0, 2.0]), lambda X: Network([3, 1])(X)):
        with pytest.raises((TypeError, ValueError), match=message):
            call(table)


def test_targets_that_are_labels():
    for y in (["cat", "dog"] * 10, np.array(["cat", "dog"] * 10, dtype=object)):
        with pytest.raises(TypeError, match=r"y must hold .*'cat' in row 0: labels are for a classifier"):
            Network([3, 1]).fit(X, y)
        with pytest.raises(
            (TypeError, ValueError), match=r"y must hold .*'cat' in row 0: labels are for a class"
        ):
            MLPRegressor().fit(X, y)


def test_valid_numbers_are_accepted():
    """Decimals, numbers as objects, bools, and columns of special types of pandas and polars are accepted."""
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    net = Network([2, 1], random_state=0, dtype="float64")
    plain = net([[1.0, 1.0], [0.0, 2.0]])
    for table in (
        [[Decimal(1), 1], [False, np.int8(2)]],
        np.array([[True, 1], [0, 2.0]], dtype=object),
        pd.DataFrame({"a": pd.array([1, 0], "Int64"), "b": pd.array([1.0, 2.0], "Float64")}),
        pd.DataFrame({"a": pd.Categorical([1, 0]), "b": [1, 2]}),
        pl.DataFrame({"a": [True, False], "b": [1, 2]}),
    ):
        np.testing.assert_array_equal(net(table), plain)

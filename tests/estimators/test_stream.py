"""Estimators on sources of rows: the weights of a network, the figures of arrays, and what is refused."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.metrics import r2_score

from dnn import (
    Adam,
    MLPClassifier,
    MLPRegressor,
    Network,
    Quantile,
    Stream,
    TableClassifier,
    sources,
)
from dnn.data.classes import class_counts
from dnn.estimators.stream import Spread

N, M = 400, 120
X, INDICES = make_classification(N + M, 6, n_informative=4, n_classes=3, random_state=0)
NAMES = np.array(["ash", "elm", "oak"])
LABELS = NAMES[INDICES]
VALUES = X[:, 0] - X[:, 1] ** 2
WEIGHTS = np.random.default_rng(0).uniform(0.1, 2, N + M)
TRAIN, VAL = slice(N), slice(N, None)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def source(y, *weights, rows=TRAIN, block_rows=40, **how):
    arrays = sources.arrays(X[rows], y[rows], *(w[rows] for w in weights), block_rows=block_rows)
    return Stream(arrays, **{"buffer_rows": 150, **how})


def classifier(**how):
    return MLPClassifier(8, **{"max_iter": 4, "batch_size": 32, "random_state": 0, **how})


def regressor(**how):
    return MLPRegressor(hidden_layer_sizes=8, **{"max_iter": 4, "batch_size": 32, "random_state": 0, **how})


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_the_weights_are_those_of_a_network(kind):
    made, y, own, output = {
        "classifier": (classifier, LABELS, INDICES, "softmax"),
        "regressor": (regressor, VALUES, VALUES, "identity"),
    }[kind]
    rng = np.random.RandomState(5)
    start = made(max_iter=1, learning_rate_init=1e-300, random_state=5, shuffle=False, alpha=0.0)
    start.fit(source(y))  # its steps are too small to change a weight
    net = Network([6, 8, start.n_outputs_], output=output, dtype="float64")
    net.params[:] = np.concatenate(
        [a.ravel() for wb in zip(start.coefs_, start.intercepts_, strict=True) for a in wb]
    )
    for fan in ((6, 8), (8, start.n_outputs_)):  # the draws of the first weights, as in scikit-learn
        rng.uniform(size=fan)
        rng.uniform(size=fan[1])
    adam = Adam(0.01, epsilon_form="uncorrected")
    net.fit(source(own, WEIGHTS), optimizer=adam, epochs=4, batch_size=32, alpha=1e-4, random_state=rng)
    est = made(learning_rate_init=0.01, random_state=5).fit(source(y, WEIGHTS))
    np.testing.assert_array_equal(est.network_.params, net.params)


ADAPTIVE = {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1, "max_iter": 30}
STOPPED = {"early_stopping": True, "learning_rate_init": 0.1, "max_iter": 40}
CASES = {
    "classifier": (classifier, LABELS, {}),
    "binary": (classifier, NAMES[1 - (INDICES > 0)], {"dropout": 0.1}),
    "several labels": (classifier, np.c_[INDICES > 0, INDICES == 1].astype(int), {}),
    "balanced": (classifier, LABELS, {"class_weight": "balanced"}),
    "class weights": (classifier, LABELS, {"class_weight": {"elm": 3.0}}),
    "regressor": (regressor, VALUES, {}),
    "several targets": (regressor, np.c_[VALUES, X[:, 2]], {"solver": "sgd", "learning_rate": "invscaling"}),
    "quantiles": (regressor, VALUES, {"loss": Quantile((0.1, 0.9))}),
    "adaptive": (regressor, VALUES, ADAPTIVE),
    "loss as the score": (classifier, LABELS, {"scoring": "loss"}),
    "early stopping": (regressor, VALUES, STOPPED),
}  # fmt: skip


@pytest.mark.parametrize("weights", [(), (WEIGHTS,)], ids=["plain", "weighted"])
@pytest.mark.parametrize("name", CASES)
def test_all_is_as_with_arrays(name, weights):
    """Without shuffling, and with one buffer, all figures are those of arrays; so are those of validation."""
    made, y, how = CASES[name]
    how = {**how, "shuffle": False}
    of_rows = {"sample_weight": weights[0][TRAIN]} if weights else {}
    arrays = {"X_val": X[VAL], "y_val": y[VAL], **({"sample_weight_val": weights[0][VAL]} if weights else {})}
    expected = made(**how).fit(X[TRAIN], y[TRAIN], **of_rows, **arrays)
    for val in (arrays, {"X_val": source(y, *weights, rows=VAL)}):
        est = made(**how).fit(source(y, *weights), **val)
        np.testing.assert_array_equal(est.network_.params, expected.network_.params)
        assert est.loss_curve_ == expected.loss_curve_ and est.history_.n_rows == [N] * est.n_iter_
        assert (est.n_iter_, est.t_, est.n_layers_) == (expected.n_iter_, expected.t_, expected.n_layers_)
        assert est.best_loss_ == expected.best_loss_
        np.testing.assert_allclose(est.validation_scores_, expected.validation_scores_, rtol=1e-10)
        np.testing.assert_allclose(est.history_.val_loss, expected.history_.val_loss, rtol=1e-12)
        np.testing.assert_array_equal(est.predict(X), expected.predict(X))
    # Arrays with a validation set that is a source
    again = made(**how).fit(X[TRAIN], y[TRAIN], **of_rows, X_val=source(y, *weights, rows=VAL))
    np.testing.assert_allclose(again.validation_scores_, expected.validation_scores_, rtol=1e-10)
    np.testing.assert_array_equal(again.network_.params, expected.network_.params)


def test_precision_columns_and_labels(tmp_path):
    assert classifier().fit(source(LABELS)).network_.dtype == np.float64
    narrow = sources.arrays(X.astype("float32"), LABELS)
    assert classifier().fit(narrow).network_.dtype == np.float32
    assert classifier(dtype="float32").fit(source(LABELS)).network_.dtype == np.float32
    est = classifier().fit(source(LABELS))
    assert est.n_features_in_ == 6 and not hasattr(est, "feature_names_in_")
    assert est.classes_.tolist() == NAMES.tolist() and est.predict(X).dtype.kind == "U"
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import csv, parquet

    table = pyarrow.table({"a": X[:, 0], "y": INDICES, "b": X[:, 1], "w": WEIGHTS})
    parquet.write_table(table, tmp_path / "x.parquet", row_group_size=100)
    csv.write_csv(table, tmp_path / "x.csv")
    expected = classifier().fit(sources.arrays(X[:, :2], INDICES, WEIGHTS, block_rows=100))
    for path, of in (("x.parquet", sources.parquet), ("x.csv", sources.csv)):
        files = of(tmp_path / path, "y", sample_weight="w")
        est = classifier().fit(files)
        assert est.feature_names_in_.tolist() == ["a", "b"] and est.classes_.tolist() == [0, 1, 2]
        if files.n_rows:
            np.testing.assert_array_equal(est.network_.params, expected.network_.params)
        assert est.t_ == expected.t_
    for text in (pyarrow.array(LABELS), pyarrow.array(LABELS).dictionary_encode()):
        parquet.write_table(table.set_column(1, "y", text), tmp_path / "text.parquet", row_group_size=100)
        est = classifier().fit(sources.parquet(tmp_path / "text.parquet", "y", sample_weight="w"))
        assert est.classes_.tolist() == NAMES.tolist()
        np.testing.assert_array_equal(est.network_.params, expected.network_.params)


def test_only_targets_are_read_for_the_labels(tmp_path, monkeypatch):
    """Sources of arrays and files have a way to read targets alone, which gives those of all rows."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import csv, parquet

    table = pyarrow.table({"a": X[:, 0], "y": INDICES, "z": VALUES, "w": WEIGHTS})
    parquet.write_table(table, tmp_path / "x.parquet", row_group_size=100)
    csv.write_csv(table, tmp_path / "x.csv")
    made = [sources.arrays(X, INDICES, WEIGHTS, block_rows=100)]
    for target in ("y", ["z", "y"]):
        made.append(sources.parquet(tmp_path / "x.parquet", target, features=["a", "y"], sample_weight="w"))
        made.append(sources.csv(tmp_path / "x.csv", target, sample_weight="w"))
    for each in made:
        for block in range(each.n_blocks):
            whole = np.concatenate([part[1] for part in each.read(block)])
            np.testing.assert_array_equal(np.concatenate(list(each.targets(block))), whole)
    with monkeypatch.context() as patched:
        patched.setattr(type(made[0]), "read", lambda source, block: iter([]))
        labels, counts = class_counts(Stream(made[0]))
    assert labels.tolist() == [0, 1, 2] and counts.tolist() == np.bincount(INDICES).tolist()


def test_bad_rows():
    spoilt, y = X.copy(), INDICES.astype(float)
    spoilt[30] = np.nan
    y[70] = np.nan
    arrays = sources.arrays(spoilt, y, block_rows=40)
    est = classifier().fit(Stream(arrays, on_bad_rows="skip"), X_val=Stream(arrays, on_bad_rows="skip"))
    assert est.classes_.tolist() == [0, 1, 2] and est.t_ == 4 * (N + M - 2)
    assert est.history_.n_skipped == [2] * 4 and len(est.validation_scores_) == 4
    with pytest.raises(ValueError, match="y must be finite, got nan in row 70"):
        classifier().fit(arrays)


def test_a_source_of_unknown_length():
    def parts():
        for begin in range(0, N, 50):
            yield X[begin : begin + 50], LABELS[begin : begin + 50]

    def no_length(**how):
        return classifier(shuffle=False, **how).fit(sources.function(parts))

    expected = classifier(shuffle=False).fit(X[TRAIN], LABELS[TRAIN])
    est = no_length()
    np.testing.assert_array_equal(est.network_.params, expected.network_.params)
    assert est.t_ == expected.t_ == 4 * N
    assert no_length(solver="sgd", learning_rate="adaptive").t_ == 4 * N
    with pytest.raises(ValueError, match="learning_rate must be 'constant' or 'adaptive' with a source"):
        no_length(solver="sgd", learning_rate="invscaling")


def test_warm_start_and_partial_fit():
    est = classifier(warm_start=True, shuffle=False, max_iter=2).fit(source(LABELS)).fit(source(LABELS))
    same = classifier(warm_start=True, shuffle=False, max_iter=2).fit(X[TRAIN], LABELS[TRAIN])
    same.fit(X[TRAIN], LABELS[TRAIN])
    np.testing.assert_array_equal(est.network_.params, same.network_.params)
    assert len(est.loss_curve_) == 4
    before = est.network_.params.copy()
    with pytest.raises(ValueError, match="warm_start can only be used where the source has the same classes"):
        est.fit(source(np.where(LABELS == "elm", "oak", LABELS)))
    with pytest.raises(ValueError, match="X has 5 features, but MLPClassifier is expecting 6 features"):
        est.fit(sources.arrays(X[:, :5], LABELS))
    np.testing.assert_array_equal(est.network_.params, before)
    with pytest.raises(TypeError, match="X must be an array for partial_fit, got a source"):
        est.partial_fit(source(LABELS), None)
    est.partial_fit(X[:50], LABELS[:50])


def test_a_resumed_training_ends_with_the_same_bits(tmp_path):
    def stop(event):
        if event.epoch == 2:
            raise KeyError("killed")

    how = {"max_iter": 6, "early_stopping": True, "solver": "sgd", "learning_rate": "invscaling"}
    given = {"X_val": source(LABELS, rows=VAL)}
    whole = classifier(**how).fit(source(LABELS), **given)
    saving = {"checkpoint": tmp_path / "run", "every": 1}
    with pytest.raises(KeyError):
        classifier(**how, callbacks=[stop]).fit(source(LABELS), **given, **saving)
    resumed = classifier(**how).fit(source(LABELS), **given, **saving, resume=True)
    np.testing.assert_array_equal(resumed.network_.params, whole.network_.params)
    assert resumed.loss_curve_ == whole.loss_curve_ and resumed.t_ == whole.t_
    assert resumed.validation_scores_ == whole.validation_scores_


def test_sorted_rows_give_no_false_warning():
    """The first rows of a source alone would show a constant prediction as very good."""
    y = np.r_[np.zeros(300), 10 * VALUES[300:N]] + 1e-3 * X[TRAIN, 2]
    rows = sources.arrays(X[TRAIN], y, block_rows=4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        est = regressor(max_iter=30, tol=1e3, n_iter_no_change=2).fit(Stream(rows, buffer_rows=128))
    assert est.history_.stopped_by == "tol"


R2_CASES = {"plain": None, "weighted": WEIGHTS[VAL]}


@pytest.mark.parametrize("name", R2_CASES)
def test_r2_in_parts(name):
    weights = R2_CASES[name]
    rng = np.random.default_rng(0)
    y = np.c_[1e6 + VALUES[VAL], np.full(M, 3.0), np.full(M, 4.0), X[VAL, 0]]
    predicted = y + rng.normal(size=y.shape) * [1, 0, 1, 1]
    spread = Spread()
    for begin in range(0, M, 7):
        rows = slice(begin, begin + 7)
        spread.add(y[rows], predicted[rows], None if weights is None else weights[rows])
    of_each = r2_score(y, predicted, sample_weight=weights, multioutput="raw_values")
    of_each[1:3] = 1.0, 0.0  # with weights, scikit-learn rounds the mean of equal targets
    np.testing.assert_allclose(spread.r2, of_each.mean(), rtol=1e-9)
    constant = Spread()
    constant.add(y[:, 1:2], predicted[:, 2:3], weights)
    assert np.isnan(constant.r2)


REFUSED = {
    "y must not be given with a source": lambda: classifier().fit(source(LABELS), LABELS),
    "sample_weight must not be given with a source": lambda: classifier().fit(source(LABELS), None, WEIGHTS),
    "y_val must not be given with a source": lambda: classifier().fit(
        source(LABELS), X_val=source(LABELS), y_val=LABELS
    ),
    "early_stopping must come with X_val": lambda: classifier(early_stopping=True).fit(source(LABELS)),
    "solver must be one that takes steps with a source, got 'lbfgs'": lambda: classifier(solver="lbfgs").fit(
        source(LABELS)
    ),
    "scoring must be None or 'loss' with a source as X_val, got 'f1_macro'": lambda: classifier(
        scoring="f1_macro"
    ).fit(source(LABELS), X_val=source(LABELS)),
    "Unknown label type": lambda: classifier().fit(source(VALUES)),
    "`y_val` has classes not in `self.classes_`: ..yew..": lambda: classifier().fit(
        source(LABELS), X_val=source(np.where(INDICES == 0, "yew", LABELS))
    ),
    "class_weight must be of classes .*, got 'yew'": lambda: classifier(class_weight={"yew": 1}).fit(
        source(LABELS)
    ),
    "class_weight must be None for several labels at once": lambda: classifier(class_weight="balanced").fit(
        source(np.c_[INDICES == 0, INDICES == 1].astype(int))
    ),
    "y must hold numbers|y must hold real numbers": lambda: regressor().fit(source(LABELS)),
    "X must have shape .n_samples, n_features": lambda: classifier().fit(
        sources.function(lambda: iter([(X[:, 0], LABELS)]))
    ),
    "X must be a table in memory, got a Stream": lambda: TableClassifier().fit(source(LABELS)),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_is_refused(message):
    with pytest.raises((TypeError, ValueError), match=message):
        REFUSED[message]()


def test_a_refused_call_changes_nothing():
    est, twin = (
        classifier(random_state=np.random.RandomState(0)),
        classifier(random_state=np.random.RandomState(0)),
    )
    with pytest.raises(ValueError, match="y_val"):
        est.fit(source(LABELS), X_val=source(np.where(INDICES == 0, "yew", LABELS)))
    assert not hasattr(est, "classes_")
    np.testing.assert_array_equal(
        est.fit(source(LABELS)).network_.params, twin.fit(source(LABELS)).network_.params
    )

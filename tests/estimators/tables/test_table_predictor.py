"""The predictor of a table estimator equals the estimator, for all kinds of rows and unusual cells."""

import copy
import pickle

import numpy as np
import pandas
import pytest
from table_models import KINDS, fitted, rows_of, table_of

from dnn import TableClassifier, TableRegressor

METHODS = [("regressor", "predict"), *((kind, "predict_proba") for kind in KINDS[1:])]


def close(found, wanted):
    return np.allclose(found, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("options", [{}, {"hidden_layer_sizes": (8,), "activation": "relu"},
                                     {"activation": "tanh"}, {"activation": "gelu"},
                                     {"hidden_layer_sizes": ()}], ids=str)  # fmt: skip
@pytest.mark.parametrize(("kind", "method"), METHODS)
def test_rows_are_predicted_as_by_the_estimator(kind, method, options):
    est = fitted(kind, **options)
    table, _ = table_of(60, seed=4)
    predict = est.predictor()
    found = np.array([predict(row) for row in rows_of(table)])
    assert close(found, getattr(est, method)(table))


UNUSUAL = [
    {"size": 1e9}, {"size": -5}, {"size": np.float32(3.5)}, {"size": np.int64(3)}, {"size": "2.5"},
    {"size": float("nan")}, {"size": None}, {"size": 1e305}, {"tail": 10**400 // 10**100}, {"some": None},
    {"some": "?"}, {"job": "clown"}, {"job": " cook "}, {"job": float("nan")}, {"job": 7}, {"code": "c3"},
    {"code": "none of them"}, {"on": 1}, {"on": "TRUE"}, {"on": np.True_}, {"on": None},
    {"day": "2024-03-05"}, {"day": None}, {"day": pandas.NaT}, {"day": pandas.Timestamp("2024-05-06")},
    {"more": 3},
]  # fmt: skip


@pytest.mark.parametrize("change", UNUSUAL, ids=str)
def test_unusual_cells(change):
    est = fitted("regressor")
    row = {**rows_of(table_of(1, seed=4)[0])[0], **change}
    assert close(est.predictor()(row), est.predict([row])[0])


def test_several_unusual_cells():
    est = fitted("regressor")
    row = rows_of(table_of(1, seed=4)[0])[0]
    row |= {"size": "2.5", "tail": np.float32(1e20), "some": "?", "job": 7, "day": "2024-03-05", "on": "TRUE"}
    assert close(est.predictor()(row), est.predict([row])[0])


def test_the_core_refuses_what_it_would_read_beyond_its_arrays():
    core = fitted("regressor").predictor()._logits._core
    with pytest.raises(ValueError, match="cells must have length 3, got 0"):
        core.logits([], [], None)
    for place in (-1, 10**6):
        with pytest.raises(IndexError, match="places must be in 0"):
            core.logits([1.0] * 3, [place], None)
    assert core.logits([1.0, True, 2.0], [], None) == 1
    assert core.logits([1.0, 2.0, "3"], [], None) == 2


def test_edges_of_bins():
    est = fitted("regressor")
    predict, row = est.predictor(), rows_of(table_of(1, seed=4)[0])[0]
    edges = est.encoder_.edges_[0]
    assert len(edges) > 10
    for value in [*edges.tolist(), *np.nextafter(edges, -np.inf).tolist()]:
        assert close(predict({**row, "size": value}), est.predict([{**row, "size": value}])[0])


def test_forms_of_rows():
    est = fitted("binary")
    table, _ = table_of(30, seed=4)
    frame = pandas.DataFrame(table)
    wanted = est.predict_proba(frame)
    predict = est.predictor()
    assert close(predict(frame), wanted) and predict(frame).shape == (30, 2)
    assert close(predict(frame[:1]), wanted[:1]) and predict(frame[:1]).shape == (1, 2)
    assert close(predict(frame.iloc[3]), wanted[3]) and predict(frame.iloc[3]).shape == (2,)
    assert close(predict(list(rows_of(table)[3].values())), wanted[3])
    assert close(predict(table), wanted)
    assert close(predict(rows_of(table)), wanted)
    label = est.predictor("predict")(frame.iloc[3])
    assert isinstance(label, str) and label == est.predict(frame)[3]
    assert isinstance(fitted("regressor").predictor()(frame.iloc[3]), float)


def test_arrays_of_numbers():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 4))
    options = {"n_members": 2, "epochs": 3, "hidden_layer_sizes": (8,), "random_state": 0}
    clf = TableClassifier(**options).fit(X, X[:, 0] > X[:, 1])
    reg = TableRegressor(**options).fit(X, X[:, 0] * X[:, 1])
    predict = reg.predictor()
    assert close(predict(X), reg.predict(X)) and close(predict(X[:3]), reg.predict(X[:3]))
    assert close(predict(X[5]), reg.predict(X)[5]) and predict(X[:1].astype("float32")).shape == (1,)
    assert clf.predictor("predict")(X[:3]).tolist() == clf.predict(X[:3]).tolist()
    with pytest.raises(TypeError, match="row must be a dict, or have 4 cells"):
        predict(X[0, :3])
    with pytest.raises(ValueError, match="X has 3 features, but TableRegressor is expecting 4"):
        predict(X[:, :3])


def test_arrays_with_columns_that_are_not_used():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 4))
    X[:, 1] = 7
    reg = TableRegressor(n_members=2, epochs=3, hidden_layer_sizes=(8,), random_state=0).fit(
        X, X[:, 0] * X[:, 3]
    )
    predict = reg.predictor()
    wanted = reg.predict(X[:5])
    assert close(predict(X[:5]), wanted) and close([predict(row) for row in X[:5]], wanted)
    assert close([predict(row) for row in X[:5].astype("float32")], reg.predict(X[:5].astype("float32")))
    X[0, 0], X[1, 3] = np.nan, 1e305
    assert close([predict(row) for row in X[:2]], reg.predict(X[:2]))


def test_a_predictor_is_a_snapshot_and_pickles():
    est = TableRegressor(n_members=2, epochs=2, hidden_layer_sizes=(8,), random_state=0)
    table, y = table_of(60)
    row = rows_of(table)[0]
    predict = est.fit(table, y).predictor()
    before, of_table = predict(row), predict(table)
    again = pickle.loads(pickle.dumps(predict))
    est.members_[0].params[:] = 0
    assert np.array_equal(predict(table), of_table) and not np.array_equal(est.predict(table), of_table)
    est.set_params(random_state=1).fit(table, -y)
    assert predict(row) == before == again(row) != est.predict([row])[0]
    assert len(pickle.dumps(predict)) < len(pickle.dumps(est))


def test_predictions_stay_in_the_range_of_the_targets():
    est = copy.copy(fitted("regressor"))
    table, y = table_of()
    for shift, wanted in ((1e3, y.max()), (-1e3, y.min())):
        est.members_ = [net.copy() for net in est.members_]
        for net in est.members_:
            net.biases[-1][:] = shift
        assert est.predictor()(rows_of(table)[0]) == pytest.approx(100 * wanted)


def test_errors_of_predictors():
    est = fitted("regressor")
    with pytest.raises(ValueError, match="method must be one of predict, got 'predict_proba'"):
        est.predictor("predict_proba")
    predict, row = est.predictor(), rows_of(table_of(1)[0])[0]
    with pytest.raises(ValueError, match="column 'size' of X must hold numbers, as in fit, got 'large'"):
        predict({**row, "size": "large"})
    with pytest.raises(ValueError, match="must hold finite numbers, got inf"):
        predict({**row, "size": float("inf")})
    with pytest.raises(ValueError, match="got none of them but 'other'"):
        predict({"other": 1})
    with pytest.warns(UserWarning, match="X lacks columns of fit, which are read as missing: 'size'"):
        found = predict({name: cell for name, cell in row.items() if name != "size"})
    assert close(found, predict({**row, "size": None}))

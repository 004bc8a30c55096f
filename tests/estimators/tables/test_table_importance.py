"""Permutation importance agrees with scikit-learn's, and gradients with finite differences."""

import numpy as np
import pandas
import pytest
from sklearn.inspection import permutation_importance
from sklearn.metrics import log_loss, make_scorer
from table_models import KINDS, fitted, table_of, target_of

from dnn.estimators.tables.encoding import Encoding, learn_number
from dnn.estimators.tables.importance import _of_number

SCORERS = {
    "rmse": "neg_root_mean_squared_error",
    "mae": "neg_mean_absolute_error",
    "accuracy": "accuracy",
    "roc_auc": "roc_auc",
    "log_loss": make_scorer(log_loss, greater_is_better=False, response_method="predict_proba"),
}
CASES = [
    ("regressor", "rmse"),
    ("binary", "roc_auc"),
    pytest.param("regressor", "mae", marks=pytest.mark.long),
    pytest.param("binary", "accuracy", marks=pytest.mark.long),
    pytest.param("binary", "log_loss", marks=pytest.mark.long),
]


@pytest.mark.parametrize(("kind", "metric"), CASES)
def test_importance_agrees_with_scikit_learn(kind, metric):
    est = fitted(kind)
    table, y = table_of(seed=1)
    y = target_of(kind, y)
    found = est.feature_importance(table, y, metric=metric, n_repeats=8, random_state=0)
    frame = pandas.DataFrame(table)
    expected = permutation_importance(est, frame, y, scoring=SCORERS[metric], n_repeats=4, random_state=1)
    assert list(found.mean) == sorted(found.mean, reverse=True)
    for name, mean, std in zip(found.names, found.mean, found.std, strict=True):
        at = list(table).index(name)
        noise = np.hypot(std / np.sqrt(8), expected.importances_std[at] / np.sqrt(4))
        assert abs(mean - expected.importances_mean[at]) <= 4 * noise + 1e-9, name
    assert found.mean[0] > 5 * found.std[0] and found.mean[found.names.index("unit")] == 0


def test_the_shuffled_inputs_are_those_of_the_shuffled_table():
    est = fitted("multiclass")
    table, y = table_of(seed=1)
    y = target_of("multiclass", y)
    found = est.feature_importance(table, y, n_repeats=1, random_state=3)
    order = np.random.RandomState(3).permutation(len(y))
    codes = np.searchsorted(est.classes_, y)

    def cost(columns):
        return log_loss(codes, est.predict_proba(columns), labels=[0, 1, 2])

    assert found.baseline == pytest.approx(cost(table), rel=1e-6)
    for name, mean in zip(found.names, found.mean, strict=True):
        shuffled = table | {name: [table[name][at] for at in order]}
        assert mean == pytest.approx(cost(shuffled) - cost(table), abs=1e-6), name


def test_importance_is_a_table_when_printed():
    table, y = table_of()
    found = fitted("regressor").feature_importance(table, 100 * y, random_state=0)
    lines = str(found).split("\n")
    assert lines[0].startswith("rmse ") and len(lines) == 1 + len(table)
    assert all("+-" in line for line in lines[1:]) and found.repeats.shape == (8, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_repeats": 0}, "n_repeats must be at least 1, got 0"),
        ({"metric": "rmse"}, "metric must be one of log_loss, accuracy, balanced_accuracy, roc_auc"),
        ({"y": ["yes"] * 239 + ["maybe"]}, "y must hold labels of fit, got 'maybe'"),
        ({"y": ["yes", "no"]}, "y must have 240 rows, as X has, got 2"),
        ({"y": ["yes"] * 240, "metric": "roc_auc"}, "y must hold all classes of fit for metric='roc_auc'"),
    ],
)
def test_errors_of_importance(change, message):
    table, y = table_of()
    arguments = {"y": target_of("binary", y), **change}
    with pytest.raises(ValueError, match=message):
        fitted("binary").feature_importance(table, **arguments)


def outputs(est, table):
    """Return what `input_gradient` is the gradient of, for members in float32 with the error that follows."""
    encoded = est.encoder_.transform(table).toarray()
    z = np.mean([net.forward(encoded, logits=True)[0].astype(float) for net in est.members_], axis=0)
    if hasattr(est, "classes_"):
        z = z / est.temperature_
        return z if z.shape[1] > 1 else z[:, 0]
    return est._decoded(z)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["size", "some", "tail"])
def test_gradients_agree_with_finite_differences(kind, name):
    est = fitted(kind)
    table, _ = table_of(60, seed=2)
    values = np.array([np.nan if value is None else value for value in table[name]])
    at = list(table).index(name)
    edges = est.encoder_.edges_[est.encoder_.columns_.number_names.index(name)]
    step = 0.02 * np.diff(edges).min(initial=np.inf, where=np.diff(edges) > 0.01)
    found = est.input_gradient(table)[..., at]
    up, down = (outputs(est, table | {name: (values + sign * step).tolist()}) for sign in (1, -1))
    wanted = (up - down) / (2 * step)
    inside = ~np.isnan(values) & (np.abs(values[:, None] - edges).min(axis=1) > step)
    assert np.count_nonzero(inside) > 30 and np.isnan(found[np.isnan(values)]).all()
    scale = np.abs(wanted[inside]).max()
    assert np.abs(found[inside] - wanted[inside]).max() < 0.02 * scale


def test_gradients_of_columns_that_are_no_numbers():
    table, _ = table_of(5)
    found = fitted("multiclass").input_gradient(table)
    assert found.shape == (5, 3, 8)
    for at, name in enumerate(table):
        if name in ("job", "code", "on", "day"):
            assert np.isnan(found[:, :, at]).all()
    assert (found[:, :, list(table).index("unit")] == 0).all()


def test_gradients_outside_of_the_range():
    """Outside of the edges only the smooth clip changes; a prediction at the end of its range does not."""
    est = fitted("regressor")
    table, _ = table_of(6)
    far = est.input_gradient(table | {"size": [-1e3] * 6})[:, 0]
    near = est.input_gradient(table)[:, 0]
    assert np.abs(far).max() < 1e-3 * np.abs(near).max()
    est = fitted("regressor", n_members=1)
    members = [net.copy() for net in est.members_]
    try:
        est.members_[0].biases[-1][:] += 1e3
        assert (np.nan_to_num(est.input_gradient(table)) == 0).all()
    finally:
        est.members_ = members


def test_the_slope_of_the_code_of_a_number():
    """Far beyond the edges only the smooth clip is left."""
    rng = np.random.default_rng(0)
    code = learn_number(np.append(rng.normal(size=50), np.nan), n_bins=5)
    wrt_inputs = rng.normal(size=(9, 2, code.width))
    values = np.array([-30.0, -9, -4, -0.7, 0.01, 0.6, 3, 8, 20])
    nothing = np.empty((9, 0), np.int32)

    def inputs(at):
        return Encoding([code], []).encode(at[:, None], nothing).toarray().astype(np.float64)

    step = 1e-2
    slopes = (inputs(values + step) - inputs(values - step)) / (2 * step)
    wanted = np.einsum("nki,ni->nk", wrt_inputs, slopes)
    found = _of_number(code, values, wrt_inputs)
    assert np.allclose(found, wanted, rtol=2e-3, atol=2e-5)

"""What a table estimator keeps for a report agrees with scikit-learn and with its predictions."""

import numpy as np
import pytest
import sklearn.metrics
from table_models import KINDS, fitted, table_of, target_of

from dnn.estimators.tables.scores import (
    classification_summary,
    regression_summary,
    score_of,
    training_summary,
)
from dnn.training.history import History

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 200)
P = RNG.dirichlet([1, 1, 1], 200) + 0.3 * np.eye(3)[Y]
P /= P.sum(axis=1, keepdims=True)
WEIGHTS = RNG.uniform(0.5, 2, 200)


@pytest.mark.parametrize("kind", KINDS)
def test_the_summary_is_that_of_unseen_rows(kind):
    """Two members of eight folds: a quarter of the rows is unseen by one of them."""
    est = fitted(kind)
    y = target_of(kind, table_of()[1])
    seen = np.isfinite(est.oof_ if kind == "regressor" else est.oof_[:, 0])
    assert 0 < np.count_nonzero(seen) < 80 and est.summary_["n_rows"] == 240
    if kind == "regressor":
        wanted = np.sqrt(np.mean((est.oof_ - y)[seen] ** 2))
        assert est.summary_["scores"]["rmse"] == pytest.approx(wanted)
    else:
        wanted = sklearn.metrics.log_loss(y[seen], est.oof_[seen], labels=est.classes_)
        assert est.summary_["scores"]["log_loss"] == pytest.approx(wanted)
        assert est.summary_["confusion"].sum() == np.count_nonzero(seen)
    assert est.validation_score_ == pytest.approx(wanted, rel=1e-5)
    assert est.summary_["val_loss"].shape[0] == len(est.members_) == len(est.summary_["best_epoch"])


def test_confusion_and_calibration():
    found = classification_summary(Y, P, WEIGHTS, np.array(["a", "b", "c"]))
    guess = P.argmax(axis=1)
    wanted = sklearn.metrics.confusion_matrix(Y, guess, sample_weight=WEIGHTS)
    assert np.allclose(found["confusion"], wanted)
    _, said, true = found["calibration"]
    confidence, error = P.max(axis=1), 0.0
    for k in range(15):
        inside = (confidence >= k / 15) & (confidence < (k + 1) / 15)
        if inside.any():
            w = WEIGHTS[inside]
            assert np.isclose(said[k], np.average(confidence[inside], weights=w))
            assert np.isclose(true[k], np.average((guess == Y)[inside], weights=w))
            error += w.sum() * abs(said[k] - true[k])
    assert np.isclose(found["calibration_error"], error / WEIGHTS.sum()) and error > 0
    constant = np.average(np.eye(3)[Y], axis=0, weights=WEIGHTS)
    entropy = -np.sum(constant * np.log(constant))
    assert np.isclose(found["constant_scores"]["log_loss"], entropy)


def test_many_classes_share_a_row_of_the_confusion_matrix():
    y = np.concatenate([np.repeat(np.arange(40), 3), np.arange(0, 40, 2)])
    p = np.eye(40)[(y + (y == 1)) % 40] * 0.9 + 0.1 / 40
    found = classification_summary(y, p, None, np.arange(40))
    assert found["confusion"].shape == (31, 31) and found["confusion_labels"][-1] == "10 others"
    assert found["confusion"].sum() == len(y) and found["confusion_labels"][:3] == ["0", "1", "2"]
    assert found["confusion"][1].tolist() == [0, 0, 3] + [0] * 28


def test_the_roc_curve_has_the_area():
    y, p = (Y > 0).astype(int), np.round(0.7 * P[:, 1] + 0.3 * (Y > 0), 1)  # with equal probabilities
    order = np.argsort(-y, kind="stable")  # among equal probabilities, the rows of class 1 come first
    y, p = y[order], p[order]
    found = classification_summary(y, np.stack([1 - p, p], axis=1), WEIGHTS, np.array([0, 1]))
    fpr, tpr = found["roc"]
    assert np.trapezoid(tpr, fpr) == pytest.approx(found["scores"]["roc_auc"], abs=2e-3)
    assert found["roc"][:, 0].tolist() == [0, 0] and found["roc"][:, -1].tolist() == [1, 1]


def test_one_class_has_no_roc_curve():
    found = classification_summary(np.zeros(5, int), np.full((5, 2), 0.5), None, np.array([0, 1]))
    assert "roc" not in found and list(found["scores"]) == ["log_loss", "accuracy"]


def test_coverage_is_measured_on_the_other_half():
    """With residuals that are larger in one half, intervals from the other one hold too few or all."""
    n = 2000
    y = RNG.normal(size=n)
    residual = RNG.normal(size=n) * np.where(np.arange(n) % 2, 10, 1)
    found = regression_summary(y + residual, y, None, "rmse")
    levels, covered = found["coverage"]
    at = levels.tolist().index(0.9)
    assert covered[at] == pytest.approx((1 + 0.13) / 2, abs=0.02)
    even = regression_summary(y + RNG.normal(size=n), y, None, "rmse")["coverage"]
    assert np.allclose(even[1], even[0], atol=0.03)


def test_scores_of_regressions():
    y, predicted = RNG.normal(size=50), RNG.normal(size=50)
    weights = WEIGHTS[:50]
    for name, function in (
        ("r2", "r2_score"),
        ("mae", "mean_absolute_error"),
        ("rmse", "root_mean_squared_error"),
    ):
        wanted = getattr(sklearn.metrics, function)(y, predicted, sample_weight=weights)
        assert score_of(name, y, predicted, weights) == pytest.approx(wanted)
    found = regression_summary(y, predicted, None, "mae")
    assert found["constant_scores"]["mae"] == pytest.approx(np.abs(y - np.median(y)).mean())
    assert found["residual_counts"].sum() == 50 and found["points"][0].tolist() == sorted(y)


def test_curves_of_different_lengths():
    histories = [History("l", loss=[3.0, 2.0], val_loss=[1.0, 0.5], best_epoch=1), History("l", loss=[4.0])]
    found = training_summary(histories, 7, 1.25)
    assert np.array_equal(found["loss"], [[3, 2], [4, np.nan]], equal_nan=True)
    assert np.isnan(found["val_loss"][1]).all() and found["best_epoch"].tolist() == [1, -1]

"""Validation sets and scores: which weights they choose, and when training stops."""

import numpy as np
import pytest
from networks import sine_examples
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from training_warnings import quietly, with_warnings

from dnn import (
    MLPClassifier,
    MLPRegressor,
)


def test_divergence_with_early_stopping_warns_and_keeps_the_best():
    X, y = np.random.default_rng(0).normal(size=(50, 2)), np.arange(50.0)
    est = MLPRegressor(solver="sgd", learning_rate_init=1e3, random_state=0, early_stopping=True)
    with pytest.warns(ConvergenceWarning, match="best validation score"):
        est.fit(X * 1e3, y)
    assert np.isnan(est.validation_scores_[-1]) and est.history_.stopped_by == "diverged"
    assert len(est.validation_scores_) == est.n_iter_ == len(est.loss_curve_)
    assert all(np.isfinite(W).all() for W in est.coefs_) and np.isfinite(est.predict(X)).all()


def test_your_own_validation_set(digits):
    X, y = digits
    est = MLPClassifier(
        20, early_stopping=True, n_iter_no_change=3, tol=1e-3, learning_rate_init=0.01, random_state=0
    )
    est.fit(X[:400], y[:400], X_val=X[400:], y_val=y[400:])
    history = est.history_
    assert (
        history.stopped_by == "tol"
        and est.n_iter_ == len(history.val_loss) == len(est.validation_scores_) < 200
    )
    assert est.best_validation_score_ == est.score(X[400:], y[400:]) == max(est.validation_scores_)
    assert history.best_epoch == int(np.argmax(est.validation_scores_))
    # Without early_stopping the validation set does not influence training.
    seen = quietly(
        clone(est).set_params(early_stopping=False, max_iter=5),
        X[:400],
        y[:400],
        X_val=X[400:],
        y_val=y[400:],
    )
    alone = quietly(clone(est).set_params(early_stopping=False, max_iter=5), X[:400], y[:400])
    np.testing.assert_array_equal(seen.coefs_[0], alone.coefs_[0])
    assert len(seen.validation_scores_) == 5 and alone.validation_scores_ is None
    assert seen.validation_scores_[-1] == seen.score(X[400:], y[400:])


@pytest.mark.parametrize("scoring", ["loss", "balanced_accuracy", "neg_log_loss", "roc_auc_ovr"])
def test_any_score_may_stop_training(scoring, digits, capsys):
    X, y = digits
    w = np.ones(len(y))
    est = MLPClassifier(20, early_stopping=True, scoring=scoring, verbose=True, max_iter=4, random_state=0)
    quietly(est, X, y, sample_weight=w)
    assert f"({scoring})" in capsys.readouterr().out
    if scoring == "loss":
        np.testing.assert_array_equal(est.validation_scores_, -np.array(est.history_.val_loss))
    assert len(est.history_.val_loss) == len(est.validation_scores_) == 4


def test_a_custom_score_gets_names_of_columns(digits):
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(digits[0]).add_prefix("pixel")
    y = np.array(list("abcdefghij"))[digits[1]]

    def right(est, X, y):
        return float(np.mean(est.predict(X) == y))

    est = quietly(MLPClassifier(20, early_stopping=True, scoring=right, max_iter=5, random_state=0), X, y)
    plain = quietly(MLPClassifier(20, early_stopping=True, max_iter=5, random_state=0), X, y)
    assert est.validation_scores_ == plain.validation_scores_
    given = quietly(clone(est), X[:400], y[:400], X_val=X[400:], y_val=y[400:])
    assert given.best_validation_score_ == given.score(X[400:], y[400:])


def test_weights_of_the_validation_set(digits):
    X, y = digits
    w = np.r_[np.zeros(100), np.ones(100)]
    est = MLPClassifier(20, max_iter=3, random_state=0)
    one = quietly(est, X[:400], y[:400], X_val=X[400:], y_val=y[400:], sample_weight_val=w)
    assert one.validation_scores_[-1] == pytest.approx(one.score(X[500:], y[500:]))


nan, inf = np.nan, np.inf


def scores(*figures):
    """Return a scorer that returns these figures one after another, and then always the last one."""
    left = list(figures)
    return lambda est, X, y: left.pop(0) if len(left) > 1 else left[0]


@pytest.mark.parametrize(
    "given, place",
    [
        ({"X_val": slice(1), "y_val": None}, "X_val and y_val"),
        ({"X_val": slice(9), "y_val": 1.5}, "X_val and y_val"),  # all targets are equal
        ({"X_val": slice(3), "y_val": None, "sample_weight_val": [0, 1, 0]}, "X_val and y_val"),
    ],
    ids=["one row", "one value", "one row with a weight"],
)
def test_r2_of_constant_targets_selects_no_weights(given, place):
    X, y, _ = sine_examples()
    which, value = given["X_val"], given["y_val"]
    validation = {"X_val": X[which], "y_val": y[which] if value is None else np.full(len(X[which]), value)}
    if "sample_weight_val" in given:
        validation["sample_weight_val"] = given["sample_weight_val"]
    est = MLPRegressor(early_stopping=True, random_state=0)
    _, said = with_warnings(lambda: est.fit(X, y, **validation))
    assert est.score(X, y) > 0.95 and est.n_iter_ == 200
    assert [f"the score r2 on {place} was not finite" in message for message in said] == [True]
    assert est.history_.best_epoch is None and est.best_validation_score_ == -inf
    assert np.isnan(est.validation_scores_).all() and len(est.validation_scores_) == 200
    plain = MLPRegressor(random_state=0, tol=0, n_iter_no_change=inf)
    with_warnings(lambda: plain.fit(X, y))
    np.testing.assert_array_equal(est.coefs_[0], plain.coefs_[0])  # the weights of the last epoch


def test_equal_targets_end_as_in_scikit_learn():
    """R2 is then 0 or 1 by definition, as in scikit-learn, and a network learns one value soon."""
    X, _, _ = sine_examples()
    est = MLPRegressor(early_stopping=True, random_state=0)
    _, said = with_warnings(lambda: est.fit(X, np.ones(len(X))))
    assert said == [] and est.n_iter_ < 200 and np.isfinite(est.validation_scores_).all()


def test_a_score_of_one_class_selects_no_weights():
    X, _, labels = sine_examples()
    rare = np.zeros(400, int)
    rare[:3] = 1
    est = MLPClassifier(early_stopping=True, scoring="roc_auc", random_state=0, max_iter=40)
    for y, validation, place in (
        (labels, {"X_val": X[labels == 1], "y_val": labels[labels == 1]}, "X_val and y_val"),
        (rare, {}, "the 40 rows that validation_fraction=0.1 sets aside"),
    ):
        _, said = with_warnings(lambda y=y, validation=validation: est.fit(X, y, **validation))
        assert any(f"the score roc_auc on {place} was not finite" in message for message in said)
        assert est.n_iter_ == 40 and est.loss_curve_[-1] < 0.6 * est.loss_curve_[0]


def test_the_best_finite_score_selects_the_weights():
    X, y, _ = sine_examples()
    kept = []
    est = MLPRegressor(
        early_stopping=True, random_state=0, max_iter=8, scoring=scores(nan, inf, 0.2, nan, 0.5, -inf, 0.4),
        callbacks=[lambda event: kept.append(event.net.params.copy())],
    )  # fmt: skip
    _, said = with_warnings(lambda: est.fit(X, y))
    assert not said and est.best_validation_score_ == 0.5 and est.history_.best_epoch == 4
    np.testing.assert_array_equal(est.validation_scores_, [nan, inf, 0.2, nan, 0.5, -inf, 0.4, 0.4])
    np.testing.assert_array_equal(est._net.params, kept[4])


def test_patience_counts_non_finite_scores_after_a_finite_one():
    X, y, _ = sine_examples()
    est = MLPRegressor(early_stopping=True, random_state=0, n_iter_no_change=3)
    _, said = with_warnings(lambda: est.set_params(scoring=scores(*[nan] * 9, 0.1, nan)).fit(X, y))
    assert est.n_iter_ == 14 and est.history_.stopped_by == "tol" and est.best_validation_score_ == 0.1
    # A warm start keeps the present weights, which were selected by a finite score.
    est.set_params(warm_start=True, scoring=scores(nan), max_iter=5)
    before = est.coefs_[0].copy()
    _, said = with_warnings(lambda: est.fit(X, y))
    np.testing.assert_array_equal(est.coefs_[0], before)
    assert not any("not finite" in message for message in said)


@pytest.mark.parametrize(
    "scorer, kind, message",
    [
        (scores("0.5"), TypeError, "must return a number on the 40 rows .* got '0.5'"),
        (scores(None), TypeError, "must return a number .* got None"),
        (scores(np.zeros(2)), TypeError, r"must return a number .* got array\(\[0., 0.\]\)"),
        (scores({"a": 1}), TypeError, "must return a number .* got {'a': 1}"),
        (scores(1j), TypeError, "must return a number .* got 1j"),
        (lambda est, X, y: 1 / 0, ValueError, "<lambda> failed on the 40 rows .*: division by zero"),
        (
            "neg_mean_squared_log_error",
            ValueError,
            "scoring: neg_mean_squared_log_error failed on .* 40 rows",
        ),
    ],
)
def test_a_scorer_that_fails_is_named(scorer, kind, message):
    X, y, _ = sine_examples()
    with pytest.raises(kind, match=message):
        MLPRegressor(early_stopping=True, random_state=0, scoring=scorer).fit(X, y)


@pytest.mark.parametrize("figure", [np.float32(0.5), np.array(0.5), np.int64(1), 1, True])
def test_any_number_is_a_score(figure):
    X, y, _ = sine_examples(100)
    est = MLPRegressor(early_stopping=True, random_state=0, scoring=scores(figure), max_iter=2)
    with_warnings(lambda: est.fit(X, y))
    assert est.best_validation_score_ == figure and type(est.best_validation_score_) is float


def test_divergence_before_any_finite_score_is_reported():
    X, y, _ = sine_examples(50)
    est = MLPRegressor(solver="sgd", learning_rate_init=1e4, random_state=0, early_stopping=True)
    with pytest.warns(
        ConvergenceWarning, match="there is no best validation score: r2 was never finite on the 5"
    ):
        est.fit(X * 1e160, y)
    assert est.history_.best_epoch is None and np.isfinite(est.predict(X)).all()

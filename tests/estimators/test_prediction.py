"""Predictions, hidden layers, gradients of the inputs, predictors and summaries of fitted estimators."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from training_warnings import quietly

import dnn
from dnn import MLPClassifier, MLPRegressor


def test_outputs_of_a_hidden_layer(iris):
    X, y = iris
    est = quietly(MLPClassifier((6, 4), activation=["tanh", "relu"], max_iter=3, random_state=0), X, y)
    first = np.tanh(X @ est.coefs_[0] + est.intercepts_[0])
    np.testing.assert_allclose(est.hidden_layer(X, 0), first, rtol=1e-12)
    second = np.maximum(first @ est.coefs_[1] + est.intercepts_[1], 0)
    np.testing.assert_allclose(est.hidden_layer(sp.csr_array(X)), second, rtol=1e-12)
    assert est.get_feature_names_out().tolist() == [f"mlpclassifier{i}" for i in range(4)]
    assert est.get_feature_names_out(layer=0).shape == (6,)
    with pytest.raises(ValueError, match=r"layer must be in -2 .. 1, got 2"):
        est.hidden_layer(X, 2)


def test_the_gradient_of_inputs(iris, diabetes):
    X, y = iris
    est = quietly(MLPClassifier(6, activation="tanh", max_iter=20, random_state=0), X, y)
    assert est.input_gradient(X).shape == (150, 3, 4)
    step = np.array([0, 1e-6, 0, 0])
    slope = (est.decision_function(X + step) - est.decision_function(X - step)) / 2e-6
    np.testing.assert_allclose(est.input_gradient(X)[:, :, 1], slope, atol=1e-7)
    X, y = diabetes
    est = quietly(MLPRegressor("poisson", 6, "tanh", max_iter=20, random_state=0), X, np.exp(y))
    step = np.eye(10)[3] * 1e-6
    slope = (est.predict(X + step) - est.predict(X - step)) / 2e-6
    np.testing.assert_allclose(est.input_gradient(X)[:, 3], slope, atol=1e-7)


def test_decision_function_and_log_probabilities(iris):
    X, y = iris
    several = np.column_stack([y == 0, y > 0])
    for target in (y, y > 0, several):
        est = MLPClassifier(6, solver="lbfgs", alpha=1.0, random_state=0, max_iter=2000).fit(X, target)
        proba, scores = est.predict_proba(X), est.decision_function(X)
        np.testing.assert_allclose(est.predict_log_proba(X), np.log(proba), rtol=1e-9, atol=1e-12)
        assert scores.shape == ((150,) if target.ndim == 1 and len(est.classes_) == 2 else proba.shape)
        np.testing.assert_allclose(
            proba if several is target else proba.sum(axis=1),
            1 / (1 + np.exp(-scores)) if several is target else 1.0,
        )
        # For extreme inputs a probability is 0, and its logarithm is finite.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert np.isfinite(est.predict_log_proba(X * 1e4)).all()


def test_predictor_is_a_snapshot_of_a_method(iris):
    X, y = iris
    est = quietly(MLPClassifier(6, max_iter=20, random_state=0), X, np.array(["a", "b", "c"])[y])
    for method in ("predict", "predict_proba", "decision_function"):
        ask, before = est.predictor(method), getattr(est, method)(X)
        np.testing.assert_array_equal(ask(X), before)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(ask))(X), before)
        assert (ask(X[:1]) == before[:1]).all() or method != "predict"
        np.testing.assert_array_equal(ask(X[:1].tolist()), ask(X[:1]))
        np.testing.assert_array_equal(ask(X[0]), ask(X[:1]))
    est.coefs_[0][:] = 0
    np.testing.assert_array_equal(ask(X), before)
    two = quietly(MLPClassifier(6, max_iter=20, random_state=0), X, y > 0)
    for method in ("predict", "predict_proba", "decision_function"):
        np.testing.assert_array_equal(two.predictor(method)(X), getattr(two, method)(X))
    reg = quietly(MLPRegressor(dnn.Quantile((0.1, 0.9)), 6, max_iter=20, random_state=0), X, y)
    np.testing.assert_array_equal(reg.predictor()(X), reg.predict(X))
    with pytest.raises(ValueError, match="method must be one of"):
        est.predictor("score")


def test_summary(iris):
    assert "(4, 6)" in quietly(MLPClassifier(6, max_iter=2), *iris).summary()


def test_arrays_that_are_not_aligned_are_predicted():
    """Such as those that another process has sent."""
    X = np.random.default_rng(0).normal(size=(30, 3))
    clf = quietly(MLPClassifier((4,), max_iter=5, random_state=0), X, X[:, 0] > 0)
    unaligned = np.zeros(X.nbytes + 1, np.uint8)[1:].view(X.dtype).reshape(X.shape)
    unaligned[:] = X
    assert not unaligned.flags.aligned
    for method in (clf.predict, clf.predict_proba, clf.decision_function):
        np.testing.assert_array_equal(method(unaligned), method(X))

"""Parameters that scikit-learn does not have, precision, and the values that are refused."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from training_warnings import quietly

import dnn
from dnn import MLPClassifier, MLPRegressor

BOTH = [MLPClassifier, MLPRegressor]


@pytest.mark.parametrize(
    "options",
    [
        {"solver": "adamw"},
        {"solver": "rmsprop"},
        {"solver": dnn.SGD(0.1, momentum=0.9)},
        {"solver": dnn.LBFGS(history=5)},
        {"schedule": dnn.OneCycle(0.02, 200)},
        {"solver": "sgd", "schedule": dnn.OnPlateau(0.1), "early_stopping": True},
        {"dropout": 0.2, "l1": 1e-4, "clip_norm": 1.0, "weight_decay": 0.01},
        {
            "hidden_layer_sizes": (16, 16),
            "activation": ["silu", dnn.LeakyReLU(0.1)],
            "dropout": [0.1, 0.2, 0.0],
        },
        {"init": "he"},
        {"init": dnn.LeCun()},
        {"label_smoothing": 0.1},
        {"class_weight": "balanced"},
    ],
    ids=str,
)
def test_options_learn_iris(options, iris):
    X, y = iris
    est = MLPClassifier(
        **{
            "hidden_layer_sizes": 16,
            "max_iter": 200,
            "learning_rate_init": 0.01,
            "random_state": 0,
            **options,
        }
    )
    assert (
        quietly(est, StandardScaler().fit_transform(X), y).score(StandardScaler().fit_transform(X), y) > 0.9
    )
    again = quietly(clone(est), StandardScaler().fit_transform(X), y)
    np.testing.assert_array_equal(again.coefs_[0], est.coefs_[0])


def test_weight_decay_of_the_solver_and_of_the_parameter(iris):
    """The default of the solver, the same value given explicitly, and 0."""
    X, y = iris
    one = quietly(MLPClassifier(5, solver="adamw", max_iter=5, random_state=0), X, y)
    two = quietly(MLPClassifier(5, solver="adamw", weight_decay=0.01, max_iter=5, random_state=0), X, y)
    none = quietly(MLPClassifier(5, solver="adamw", weight_decay=0.0, max_iter=5, random_state=0), X, y)
    np.testing.assert_array_equal(one.coefs_[0], two.coefs_[0])
    assert np.abs(one.coefs_[0] - none.coefs_[0]).max() > 1e-6


def test_precision(iris):
    X, y = iris
    narrow = X.astype(np.float32)
    kinds = {
        np.float64: MLPClassifier(max_iter=2).fit,
        np.float32: MLPClassifier(max_iter=2, dtype="float32").fit,
    }
    for dtype, fit in kinds.items():
        with pytest.warns(ConvergenceWarning):
            est = fit(X, y)
        assert est.coefs_[0].dtype == est.predict_proba(X).dtype == dtype
        with pytest.warns(ConvergenceWarning):
            assert MLPClassifier(max_iter=2).fit(narrow, y).coefs_[0].dtype == np.float32
        with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge after 2 iteration"):
            assert MLPClassifier(solver="lbfgs", max_iter=2).fit(narrow, y).coefs_[0].dtype == np.float64


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"hidden_layer_sizes": -1}, ValueError, "hidden_layer_sizes must be at least 1, got -1"),
        ({"hidden_layer_sizes": "10"}, TypeError, "hidden_layer_sizes must be a whole number"),
        ({"activation": "rellu"}, ValueError, "did you mean 'relu'"),
        ({"activation": ["relu", "relu"]}, ValueError, "a list of 1 for 1 hidden layers"),
        ({"solver": "admm"}, ValueError, "did you mean 'adam'"),
        ({"alpha": -1}, ValueError, "alpha must be finite and at least 0"),
        ({"l1": -1}, ValueError, "l1 must"),
        ({"learning_rate": "fast"}, ValueError, "learning_rate must be one of"),
        ({"learning_rate_init": 0}, ValueError, "learning_rate_init must be finite and above 0"),
        ({"max_iter": 0}, ValueError, "max_iter must be at least 1"),
        ({"shuffle": "true"}, TypeError, "shuffle must be True or False"),
        ({"momentum": 1.1}, ValueError, "momentum must"),
        ({"validation_fraction": 1.0}, ValueError, "validation_fraction must"),
        ({"n_iter_no_change": 0}, ValueError, "n_iter_no_change must"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"batch_size": "all"}, TypeError, "batch_size must be a whole number"),
        ({"warm_start": "yes"}, TypeError, "warm_start must"),
        ({"schedule": 0.1}, TypeError, "schedule must"),
        ({"schedule": dnn.Constant(0.1), "solver": dnn.SGD(0.1)}, ValueError, "its own rate"),
        ({"dtype": "float16"}, ValueError, "dtype must be float32 or float64"),
        ({"dropout": 1.0}, ValueError, "dropout must"),
        ({"dropout": 0.5, "solver": "lbfgs"}, ValueError, "dropout must have an optimizer that takes steps"),
        ({"clip_norm": 0.0}, ValueError, "clip_norm must"),
        ({"max_seconds": -1.0}, ValueError, "max_seconds must"),
        ({"weight_decay": -1.0}, ValueError, "weight_decay must"),
        ({"callbacks": print}, TypeError, "callbacks must be a list of functions"),
        ({"n_threads": 0}, ValueError, "n_threads must be at least 1"),
    ],
    ids=str,
)
@pytest.mark.parametrize("estimator", BOTH)
def test_wrong_parameters(estimator, options, kind, message, iris):
    with pytest.raises(kind, match=message):
        estimator(**options).fit(*iris)


def test_errors_of_each_estimator(iris):
    X, y = iris
    with pytest.raises(ValueError, match="label_smoothing must"):
        MLPClassifier(label_smoothing=1.0).fit(X, y)
    with pytest.raises(ValueError, match="class_weight must be of classes"):
        MLPClassifier(class_weight={7: 1.0}).fit(X, y)
    with pytest.raises(ValueError, match="must be a dict for partial_fit"):
        MLPClassifier(class_weight="balanced").partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="loss must be one of squared_error"):
        MLPRegressor("log_loss").fit(X, y)
    with pytest.raises(TypeError, match="loss must be a name, Huber or Quantile"):
        MLPRegressor(dnn.LogLoss()).fit(X, y)
    with pytest.raises(ValueError, match="at least 0 for poisson"):
        MLPRegressor("poisson").fit(X, y - 1.0)
    with pytest.raises(ValueError, match="one target for several quantiles"):
        MLPRegressor(dnn.Quantile((0.1, 0.9))).fit(X, X)
    with pytest.raises(ValueError, match="y_val must be given"):
        MLPClassifier().fit(X, y, X_val=X)
    with pytest.raises(ValueError, match="y_val must have 150 rows"):
        MLPClassifier().fit(X, y, X_val=X, y_val=y[:9])
    with pytest.raises(ValueError, match="classes not in"):
        MLPClassifier().fit(X, y, X_val=X, y_val=y + 1)
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        MLPClassifier().partial_fit(X, y)
    est = quietly(MLPClassifier(5, max_iter=2, warm_start=True), X, y)
    with pytest.raises(ValueError, match="must be as in the first call"):
        est.set_params(hidden_layer_sizes=6).fit(X, y)
    for est in (MLPClassifier(solver="lbfgs"), MLPRegressor(early_stopping=True)):
        assert not hasattr(est, "partial_fit")
        with pytest.raises(ValueError, match="partial_fit does not support"):
            _ = est.partial_fit

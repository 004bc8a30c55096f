"""The estimators: scikit-learn's figures seed for seed, and what goes beyond."""

import inspect
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.datasets
import sklearn.neural_network as theirs
import threadpoolctl
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

import dnn
from dnn import MLPClassifier, MLPRegressor

BOTH = [MLPClassifier, MLPRegressor]
# scikit-learn 1.6, the oldest that dnn works with, is no reference for what its MLP has had since 1.7
SINCE_1_7 = parse_version(sklearn.__version__) >= parse_version("1.7")
since_1_7 = pytest.mark.skipif(
    not SINCE_1_7,
    reason=f"scikit-learn {sklearn.__version__}: its MLP has sample_weight and poisson since 1.7",
)
SETS = {
    "digits": sklearn.datasets.load_digits,
    "breast cancer": sklearn.datasets.load_breast_cancer,
    "wine": sklearn.datasets.load_wine,
    "iris": sklearn.datasets.load_iris,
    "diabetes": sklearn.datasets.load_diabetes,
}
SCHEDULES = [
    {"solver": "sgd", "learning_rate": rate, "momentum": momentum, "nesterovs_momentum": nesterov}
    for rate in ("constant", "invscaling", "adaptive")
    for momentum, nesterov in ((0.9, True), (0.9, False), (0.0, True))
]


def quietly(estimator, *args, **kwargs):
    """Fit, and let it warn that few iterations are no convergence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(*args, **kwargs)


def pair(name, **options):
    """The same estimator of scikit-learn and of dnn."""
    return getattr(theirs, name)(**options), getattr(dnn, name)(**options)


def assert_same_course(one, other, X, y, tolerance=1e-8, **fit):
    """Both train alike: the losses, the validation scores, the weights."""
    a, b = quietly(one, X, y, **fit), quietly(other, X, y, **fit)
    assert len(a.loss_curve_) == len(b.loss_curve_) == a.n_iter_ == b.n_iter_
    np.testing.assert_allclose(b.loss_curve_, a.loss_curve_, rtol=tolerance)
    assert (a.validation_scores_ is None) == (b.validation_scores_ is None)
    if a.validation_scores_ is not None:
        np.testing.assert_allclose(b.validation_scores_, a.validation_scores_, rtol=1e-6)
    for mine, its in zip(b.coefs_ + b.intercepts_, a.coefs_ + a.intercepts_, strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-6, atol=1e-9)
    assert (a.t_, a.n_layers_, a.n_outputs_, a.out_activation_) == (
        b.t_,
        b.n_layers_,
        b.n_outputs_,
        b.out_activation_,
    )


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Many small products: more threads only stand in each other's way."""
    with threadpoolctl.threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def iris():
    return sklearn.datasets.load_iris(return_X_y=True)


@pytest.fixture(scope="module")
def digits():
    X, y = sklearn.datasets.load_digits(return_X_y=True)
    return X[:600] / 16, y[:600]


@pytest.fixture(scope="module")
def diabetes():
    X, y = sklearn.datasets.load_diabetes(return_X_y=True)
    return StandardScaler().fit_transform(X), (y - y.mean()) / y.std()


# The same, seed for seed


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("options", [{"solver": "adam"}, {"early_stopping": True}, *SCHEDULES], ids=str)
def test_twenty_epochs_are_scikit_learns(name, options, scaled):
    X, y = SETS[name](return_X_y=True)
    X = StandardScaler().fit_transform(X) if scaled else X
    kind = "MLPRegressor" if name == "diabetes" else "MLPClassifier"
    assert_same_course(*pair(kind, max_iter=20, random_state=3, **options), X, y)


@pytest.mark.long
@pytest.mark.parametrize("options", [{"solver": "adam"}, *SCHEDULES], ids=str)
def test_twenty_epochs_of_california_are_scikit_learns(options, data_folder):
    table = np.genfromtxt(data_folder / "california_housing/housing.csv", delimiter=",", skip_header=1)[:, :9]
    X, y = np.nan_to_num(table[:, :8], nan=500.0), table[:, 8] / 1e5
    X = StandardScaler().fit_transform(X)
    assert_same_course(*pair("MLPRegressor", max_iter=20, random_state=0, **options), X, y)


@pytest.mark.parametrize(
    "options",
    [
        {"activation": "logistic"},
        {"activation": "tanh", "hidden_layer_sizes": (20, 10)},
        {"activation": "identity", "hidden_layer_sizes": ()},
        {"hidden_layer_sizes": 7, "batch_size": 32, "shuffle": False},
        {"batch_size": 600, "alpha": 1.0},
        {"solver": "sgd", "momentum": 1.0, "learning_rate_init": 1e-4},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 1.0, "n_iter_no_change": 1, "max_iter": 40},
        {"early_stopping": True, "validation_fraction": 0.3, "n_iter_no_change": 2, "max_iter": 60},
        {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
        {"tol": 0.05, "max_iter": 200},
    ],
    ids=str,
)
def test_each_parameter_means_the_same(options, digits):
    assert_same_course(*pair("MLPClassifier", **{"max_iter": 15, "random_state": 1, **options}), *digits)


@since_1_7
@pytest.mark.parametrize("early_stopping", [False, True])
def test_weights_of_rows_mean_the_same(early_stopping, digits):
    X, y = digits
    w = np.random.default_rng(0).uniform(0, 2, len(y))
    options = {"max_iter": 10, "random_state": 0, "early_stopping": early_stopping}
    assert_same_course(*pair("MLPClassifier", **options), X, y, sample_weight=w)
    assert_same_course(*pair("MLPClassifier", **options), X, y > 4, sample_weight=w)


def test_several_outputs_print_the_same_figure(diabetes):
    """scikit-learn trains on the sum over outputs and prints its mean, plus the penalty as it is."""
    X, y = diabetes
    Y = np.column_stack([y, X[:, 0] + y, X[:, 1]])
    w = np.random.default_rng(1).integers(0, 3, len(X)).astype(float)
    for fit in ({}, {"sample_weight": w}) if SINCE_1_7 else ({},):
        assert_same_course(*pair("MLPRegressor", alpha=0.5, max_iter=15, random_state=0), X, Y, **fit)
    X, Y = sklearn.datasets.make_multilabel_classification(100, random_state=0)
    assert_same_course(*pair("MLPClassifier", max_iter=15, random_state=0), X, Y)


@since_1_7
def test_poisson_is_the_same(diabetes):
    X, y = diabetes
    assert_same_course(*pair("MLPRegressor", loss="poisson", max_iter=15, random_state=0), X, np.exp(y))


@pytest.mark.parametrize("name", ["wine", "diabetes"])
def test_lbfgs_is_the_same(name):
    X, y = SETS[name](return_X_y=True)
    X = StandardScaler().fit_transform(X)
    kind = "MLPRegressor" if name == "diabetes" else "MLPClassifier"
    a, b = pair(kind, solver="lbfgs", max_iter=15, random_state=0)
    quietly(a, X, y), quietly(b, X, y)
    assert a.n_iter_ == b.n_iter_
    np.testing.assert_allclose(b.loss_, a.loss_, rtol=1e-8)
    assert b.loss_ < b.loss_curve_[-1] and len(b.loss_curve_) == b.n_iter_


def test_going_on_is_the_same(iris):
    """Warm starts and partial fits keep what scikit-learn keeps: curves, counts, the optimizer's state."""
    X, y = iris
    for options in ({}, {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.1}):
        a, b = pair("MLPClassifier", random_state=0, max_iter=4, warm_start=True, **options)
        for _ in range(3):
            quietly(a, X, y), quietly(b, X, y)
        np.testing.assert_allclose(b.loss_curve_, a.loss_curve_, rtol=1e-8)
        a, b = pair("MLPClassifier", random_state=0, **options)
        for i in range(12):
            rows = slice(0, 150 - i)
            a.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
            b.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
        np.testing.assert_allclose(b.loss_curve_, a.loss_curve_, rtol=1e-8)
        assert (a.t_, a.n_iter_, a._no_improvement_count) == (b.t_, b.n_iter_, b._no_improvement_count)


def test_a_generator_of_the_callers_is_left_in_the_same_state(iris):
    """The rows of epochs that are not done are not drawn."""
    states = [np.random.RandomState(5), np.random.RandomState(5)]
    a, b = pair("MLPClassifier", tol=0.1, max_iter=100, hidden_layer_sizes=5)
    a.set_params(random_state=states[0]).fit(*iris)
    b.set_params(random_state=states[1]).fit(*iris)
    assert a.n_iter_ == b.n_iter_ < 100
    assert states[0].randint(1 << 30) == states[1].randint(1 << 30)


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_the_signature_begins_with_scikit_learns(name):
    its, mine = (list(inspect.signature(getattr(m, name)).parameters.values()) for m in (theirs, dnn))
    if not SINCE_1_7 and name == "MLPRegressor":
        assert mine.pop(0).name == "loss"  # first since 1.7
    for a, b in zip(its, mine, strict=False):
        assert (a.name, a.default, a.kind) == (b.name, b.default, b.kind)
    assert len(mine) > len(its)
    assert all(p.kind is p.KEYWORD_ONLY for p in mine[len(its) :])
    assert [c.__name__ for c in getattr(dnn, name).__mro__[1:3]] == [
        name.replace("MLP", "") + "Mixin",
        "BaseMLP",
    ] or "Mixin" in getattr(dnn, name).__mro__[1].__name__


def test_the_attributes_are_there(iris):
    a, b = pair("MLPClassifier", max_iter=3, random_state=0, early_stopping=True)
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(iris[0], columns=list("abcd"))
    quietly(a, X, iris[1]), quietly(b, X, iris[1])
    fitted = {name for name in vars(a) if name.endswith("_") and not name.startswith("_")}
    assert fitted <= set(vars(b))
    assert b.feature_names_in_.tolist() == list("abcd") and b.n_features_in_ == 4
    assert b.best_loss_ is None and b.best_validation_score_ == max(b.validation_scores_)
    assert b.classes_.tolist() == [0, 1, 2]


# What users write into coefs_


def test_weights_that_are_replaced_take_effect(iris):
    X, y = iris
    a, b = pair("MLPClassifier", max_iter=3, random_state=0, hidden_layer_sizes=6)
    for est in (quietly(a, X, y), quietly(b, X, y)):
        est.coefs_[0] = np.full((4, 6), 0.1)
        est.intercepts_[1] = np.array([0.0, 1.0, 0.0])
    np.testing.assert_allclose(b.predict_proba(X), a.predict_proba(X), rtol=1e-12)
    for est in (a, b):
        est.coefs_[1] = np.full((6, 3), 0.2)
        est.partial_fit(X, y)
    np.testing.assert_allclose(b.coefs_[0], a.coefs_[0], rtol=1e-9)
    b.coefs_[0][:] = 0
    assert not b.hidden_layer(X)[:, b.intercepts_[0] <= 0].any()


def test_weights_of_other_sizes_make_another_network(iris):
    X, y = iris
    est = quietly(MLPClassifier(5, max_iter=2, random_state=0), X, y)
    est.coefs_, est.intercepts_ = [np.ones((4, 2)), np.eye(2, 3)], [np.zeros(2), np.zeros(3)]
    assert est.predict_proba(X).shape == (150, 3) and est.hidden_layer(X).shape == (150, 2)
    est.coefs_[1] = np.ones((7, 3))
    with pytest.raises(ValueError, match="must have shape"):
        est.predict(X)


# Divergence


def test_divergence_begins_with_scikit_learns_sentence():
    X, y = np.random.default_rng(0).normal(size=(50, 2)), np.arange(50.0)
    est = MLPRegressor(solver="sgd", learning_rate_init=1e3, random_state=0)
    with pytest.raises(dnn.DivergedError, match=r"^Solver produced non-finite parameter weights") as caught:
        est.fit(X * 1e3, y)
    assert isinstance(caught.value, ValueError) and "lower rate" in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) and again.epoch == caught.value.epoch


def test_divergence_with_early_stopping_warns_and_keeps_the_best():
    X, y = np.random.default_rng(0).normal(size=(50, 2)), np.arange(50.0)
    est = MLPRegressor(solver="sgd", learning_rate_init=1e3, random_state=0, early_stopping=True)
    with pytest.warns(ConvergenceWarning, match="best validation score"):
        est.fit(X * 1e3, y)
    assert np.isnan(est.validation_scores_[-1]) and est.history_.stopped_by == "diverged"
    assert len(est.validation_scores_) == est.n_iter_ == len(est.loss_curve_)
    assert all(np.isfinite(W).all() for W in est.coefs_) and np.isfinite(est.predict(X)).all()


# Beyond: solvers, rates, penalties, precision


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


def test_weight_decay_is_the_optimizers(iris):
    """A solver's own, one that is asked for, and none."""
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
def test_what_is_refused(estimator, options, kind, message, iris):
    with pytest.raises(kind, match=message):
        estimator(**options).fit(*iris)


def test_what_is_refused_of_each(iris):
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


# Beyond: validation sets


def test_a_validation_set_of_ones_own(digits):
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
    # Without early_stopping it is only looked at
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
def test_any_score_may_stop(scoring, digits, capsys):
    X, y = digits
    w = np.ones(len(y))
    est = MLPClassifier(20, early_stopping=True, scoring=scoring, verbose=True, max_iter=4, random_state=0)
    quietly(est, X, y, sample_weight=w)
    assert f"({scoring})" in capsys.readouterr().out
    if scoring == "loss":
        np.testing.assert_array_equal(est.validation_scores_, -np.array(est.history_.val_loss))
    assert len(est.history_.val_loss) == len(est.validation_scores_) == 4


def test_a_score_of_ones_own_with_names_of_columns(digits):
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


# Beyond: targets and losses


def test_losses_of_the_regressor():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (400, 1))
    noise = rng.exponential(size=400)
    y = X[:, 0] + noise
    options = {
        "hidden_layer_sizes": (),
        "solver": "adam",
        "learning_rate_init": 0.05,
        "max_iter": 300,
        "random_state": 0,
        "alpha": 0,
    }
    means = {
        "squared_error": 1.0,
        "absolute_error": np.log(2),
        "quantile": np.log(2),
        dnn.Quantile(0.9): -np.log(0.1),
        dnn.Huber(0.1): np.log(2),
    }
    for loss, mean in means.items():
        est = quietly(MLPRegressor(loss, **options), X, y)
        assert est.intercepts_[-1][0] == pytest.approx(mean, abs=0.2), loss
    est = quietly(MLPRegressor(dnn.Quantile((0.1, 0.5, 0.9)), **options), X, y)
    predicted = est.predict(X)
    assert predicted.shape == (400, 3) and (np.diff(predicted, axis=1) >= 0).all()
    assert (y[:, None] < predicted).mean(axis=0) == pytest.approx([0.1, 0.5, 0.9], abs=0.03)
    assert 0 < est.score(X, y) < 1
    # Crossed quantiles are put in order
    est.intercepts_[0][:] = est.intercepts_[0][::-1].copy()
    assert (np.diff(est.predict(X), axis=1) >= 0).all()


def test_class_weights_are_weights_of_rows(iris):
    X, y = iris
    X, y = X[:120], np.array(["a", "b", "c"])[y[:120]]
    weights = {"a": 2.0, "b": 0.5}
    one = quietly(MLPClassifier(5, max_iter=5, random_state=0, class_weight=weights), X, y)
    rows = np.select([y == "a", y == "b"], [2.0, 0.5], 1.0)
    two = quietly(MLPClassifier(5, max_iter=5, random_state=0), X, y, sample_weight=rows)
    np.testing.assert_array_equal(one.coefs_[0], two.coefs_[0])
    balanced = quietly(MLPClassifier(5, max_iter=5, random_state=0, class_weight="balanced"), X, y)
    rows = np.select([y == "a", y == "b"], [120 / 150, 120 / 150], 120 / 60)
    two = quietly(MLPClassifier(5, max_iter=5, random_state=0), X, y, sample_weight=rows)
    np.testing.assert_allclose(balanced.coefs_[0], two.coefs_[0], rtol=1e-12)


@pytest.mark.parametrize("estimator", BOTH)
def test_partial_fit_for_all_kinds_of_targets(estimator):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    several = (X > 0).astype(int)
    targets = [
        (several, {"classes": [0, 1, 2]}),
        (several[:, 0], {"classes": [0, 1]}),
        (several.sum(1), {"classes": range(4)}),
    ]
    for y, classes in targets:
        est = estimator(hidden_layer_sizes=10, learning_rate_init=0.02, random_state=0)
        extra = classes if estimator is MLPClassifier else {}
        for _ in range(60):
            est.partial_fit(X, y, **extra)
        assert est.predict(X).shape == y.shape
        assert est.score(X, y) > 0.5


def test_warm_start_may_keep_the_optimizer(iris):
    X, y = iris
    three = [MLPClassifier(5, max_iter=5, warm_start=warm, random_state=0) for warm in (True, "optimizer")]
    for est in three:
        quietly(est, X, y), quietly(est, X, y)
    steps = [est._optimizer.state.n_steps for est in three]
    assert steps == [5, 10]
    assert np.abs(three[0].coefs_[0] - three[1].coefs_[0]).max() > 1e-6


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (MLPRegressor, {"max_iter": 50, "batch_size": 1000}),
        (MLPRegressor, {"max_iter": 50, "batch_size": 1000, "solver": "sgd", "l1": 0.1}),
        (MLPRegressor, {"max_iter": 15, "solver": "lbfgs"}),
        (MLPClassifier, {"max_iter": 15, "solver": "lbfgs"}),
    ],
    ids=str,
)
def test_a_weight_of_two_is_a_row_twice(kind, options, iris):
    """Later steps of L-BFGS on a regression multiply rounding by more than that."""
    X, y = StandardScaler().fit_transform(iris[0]), iris[1]
    w = np.random.default_rng(0).integers(0, 4, 150)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = kind(random_state=0, **options).fit(X, y, sample_weight=w)
        two = kind(random_state=0, **options).fit(X.repeat(w, axis=0), y.repeat(w))
    assert one.n_iter_ == two.n_iter_
    for a, b in zip(one.coefs_ + one.intercepts_, two.coefs_ + two.intercepts_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9 * np.abs(b).max())


@pytest.mark.parametrize("options", [{}, {"early_stopping": True}], ids=str)
def test_the_number_of_threads_changes_no_bit(options, digits):
    X, y = (np.vstack([digits[0]] * 4), np.hstack([digits[1]] * 4))
    fits = [
        quietly(MLPClassifier(max_iter=4, batch_size=512, n_threads=n, random_state=0, **options), X, y)
        for n in (1, 2, "auto")
    ]
    for est in fits[1:]:
        np.testing.assert_array_equal(est.coefs_[0], fits[0].coefs_[0])
        np.testing.assert_array_equal(est.predict_proba(X), fits[0].predict_proba(X))


# Beyond: what can be seen and asked


def test_verbose_prints_a_line_an_epoch(iris, capsys):
    quietly(MLPClassifier(5, max_iter=3, verbose=True, random_state=0), *iris)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[0].startswith("Iteration 1, loss = ")
    quietly(MLPClassifier(5, max_iter=3, verbose=True, solver="lbfgs", random_state=0), *iris)
    assert capsys.readouterr().out.startswith("Iteration 1, loss = ")
    est = MLPClassifier(
        5, verbose=True, solver="sgd", learning_rate="adaptive", tol=1.0, n_iter_no_change=1, random_state=0
    )
    quietly(est, *iris)
    out = capsys.readouterr().out
    assert "the rate is now 0.0002." in out and "stopping." in out


def test_callbacks_time_and_the_bar(iris, capsys):
    seen = []
    est = MLPClassifier(
        5,
        max_iter=50,
        callbacks=(lambda event: seen.append(event.epoch) or (event.epoch == 6 and event.stop()),),
    )
    est.fit(*iris)
    assert seen == list(range(7)) and est.history_.stopped_by == "callback" and est.n_iter_ == 7
    est = MLPClassifier(max_iter=10**6, tol=0.0, n_iter_no_change=np.inf, max_seconds=0.2).fit(*iris)
    assert est.history_.stopped_by == "max_seconds" and est.history_.seconds < 5
    pytest.importorskip("tqdm")
    quietly(MLPClassifier(5, max_iter=3, progress=True), *iris)
    assert "loss" in capsys.readouterr().err


def test_an_interrupt_leaves_a_fitted_estimator(iris):
    def interrupt(event):
        if event.epoch == 3:
            raise KeyboardInterrupt

    est = MLPClassifier(5, max_iter=50, callbacks=(interrupt,), random_state=0)
    with pytest.warns(UserWarning, match="interrupted"):
        est.fit(*iris)
    assert (
        est.n_iter_ == 4 and est.history_.stopped_by == "interrupt" and est.predict(iris[0]).shape == (150,)
    )


def test_the_warning_says_what_to_try(iris):
    X, y = iris
    with pytest.warns(
        ConvergenceWarning, match="(?s)max_iter=3 iterations.*larger max_iter.*inputs unscaled: column 2"
    ):
        MLPClassifier(5, max_iter=3, random_state=0).fit(X * [1, 1, 1e4, 1], y)
    with pytest.warns(
        ConvergenceWarning, match="lbfgs failed to converge after 3 iteration.*larger max_iter"
    ):
        MLPClassifier(5, max_iter=3, solver="lbfgs", random_state=0).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="larger max_fun than 4"):
        MLPClassifier(5, max_fun=4, solver="lbfgs", random_state=0).fit(X, y)
    with pytest.warns(UserWarning, match="batch_size must be at most the 150 rows"):
        MLPClassifier(5, batch_size=151, tol=1.0, random_state=0).fit(X, y)


def test_what_a_hidden_layer_gives(iris):
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


def test_scores_and_logarithms_of_probabilities(iris):
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
        # Far out a probability is 0, and its logarithm finite
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


# Both doors


class Slow(np.ndarray):
    """An array that the quick door does not know."""


@pytest.mark.parametrize("estimator", BOTH)
def test_both_doors_give_the_same(estimator, iris):
    X, y = iris
    est = quietly(estimator(max_iter=3, random_state=0), X, y)
    np.testing.assert_array_equal(est.predict(X), est.predict(X.view(Slow)))
    np.testing.assert_array_equal(est.predict(X), est.predict(np.asfortranarray(X)))
    hole = X.copy()
    hole[3, 1] = np.nan
    bad = [hole, np.where(np.isnan(hole), np.inf, hole), X[:0], X[:, :3], X[0], X[None], X + 1j]
    for wrong in bad:
        said = []
        for door in (wrong, wrong.view(Slow)):
            with pytest.raises((ValueError, TypeError)) as caught:
                est.predict(door)
            said.append((type(caught.value), str(caught.value)))
        assert said[0] == said[1]


def test_names_of_columns_go_through_the_other_door(iris):
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(iris[0], columns=list("abcd"))
    est = quietly(MLPClassifier(max_iter=2), X, iris[1])
    with pytest.warns(UserWarning, match="valid feature names"):
        est.predict(iris[0])
    with pytest.raises(ValueError, match="feature names"):
        est.predict(X[list("dcba")])


# Sparse X, tables


@pytest.mark.parametrize("container", [sp.csr_matrix, sp.csr_array, sp.csc_array])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 37},
        {"solver": "lbfgs"},
        {"early_stopping": True},
        {"shuffle": False},
        {"dropout": 0.3},
    ],
    ids=str,
)
def test_sparse_is_dense(container, options, digits):
    X, y = digits
    w = np.random.default_rng(0).integers(0, 3, len(y)).astype(float)
    dense = quietly(MLPClassifier(20, max_iter=4, random_state=0, **options), X, y, sample_weight=w)
    est = quietly(MLPClassifier(20, max_iter=4, random_state=0, **options), container(X), y, sample_weight=w)
    np.testing.assert_allclose(est.loss_curve_, dense.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(est.predict_proba(container(X)), dense.predict_proba(X), rtol=1e-6, atol=1e-12)


def test_sparse_of_several_outputs_and_of_quantiles(diabetes):
    X, y = diabetes
    for kind, target in (("squared_error", np.column_stack([y, -y])), (dnn.Quantile((0.2, 0.8)), y)):
        one, two = (
            quietly(MLPRegressor(kind, 10, max_iter=4, random_state=0), x, target)
            for x in (X, sp.csr_array(X))
        )
        np.testing.assert_allclose(one.loss_curve_, two.loss_curve_, rtol=1e-12)


def test_a_wide_sparse_matrix_is_never_dense():
    """20 000 x 50 000 in float32 would be 4 GB; a megabyte is stored."""
    import tracemalloc

    rng, shape = np.random.default_rng(0), (20_000, 50_000)
    where = tuple(rng.integers(size, size=10_000) for size in shape)
    X = sp.csr_array((rng.random(10_000, np.float32), where), shape)
    y = np.asarray(X.sum(axis=1)) > 0.3
    tracemalloc.start()
    est = quietly(MLPClassifier(4, max_iter=1, batch_size=50, random_state=0), X, y)
    est.predict(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_tables(library, iris):
    frames = pytest.importorskip(library)
    X, y = iris
    table = frames.DataFrame({f"c{i}": X[:, i] for i in range(4)})
    target = frames.Series(np.array(["a", "b", "c"])[y])
    one = quietly(MLPClassifier(5, max_iter=5, random_state=0), table, target)
    two = quietly(MLPClassifier(5, max_iter=5, random_state=0), X, np.array(["a", "b", "c"])[y])
    np.testing.assert_array_equal(one.predict_proba(table), two.predict_proba(X))
    assert one.feature_names_in_.tolist() == ["c0", "c1", "c2", "c3"]


# Kept and sent


@pytest.mark.parametrize(
    "options", [{}, {"solver": "lbfgs"}, {"early_stopping": True}, {"schedule": dnn.OnPlateau(0.01)}], ids=str
)
def test_pickles_predict_bit_for_bit_and_go_on(options, iris, tmp_path):
    import copy

    import joblib

    X, y = iris
    est = quietly(MLPClassifier(5, max_iter=5, random_state=0, **options), X, y)
    est.coefs_[0] = est.coefs_[0] + 0.01
    joblib.dump(est, tmp_path / "est")
    copies = [
        pickle.loads(pickle.dumps(est)),
        joblib.load(tmp_path / "est"),
        joblib.load(tmp_path / "est", mmap_mode="r"),
        copy.deepcopy(est),
    ]
    for twin in copies:
        np.testing.assert_array_equal(twin.predict_proba(X), est.predict_proba(X))
        twin.coefs_[0][:] += 1
        assert (twin.predict_proba(X) != est.predict_proba(X)).any()
    if hasattr(est, "partial_fit"):
        twin = pickle.loads(pickle.dumps(est))
        for each in (est, twin):
            each.partial_fit(X, y).partial_fit(X, y)
        np.testing.assert_array_equal(twin.coefs_[0], est.coefs_[0])
        assert twin.loss_curve_ == est.loss_curve_


def test_a_pickle_of_another_version_warns(iris):
    est = quietly(MLPClassifier(5, max_iter=2), *iris)
    state = est.__getstate__() | {"_dnn_version": "0.0.1"}
    with pytest.warns(UserWarning, match=r"pickled by dnn 0\.0\.1"):
        MLPClassifier.__new__(MLPClassifier).__setstate__(state)


def test_without_scikit_learn():
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import dnn\n"
        "from dnn import *\n"
        "assert 'MLPClassifier' in dir(dnn)\n"
        "try: dnn.MLPClassifier\n"
        "except ImportError as error: print(error)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "MLPClassifier needs scikit-learn: pip install 'dnn-core[sklearn]'"

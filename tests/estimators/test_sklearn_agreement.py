"""The estimators train as scikit-learn's with the same seed, and have its parameters and attributes."""

import inspect
import pickle

import numpy as np
import pytest
import sklearn.datasets
import sklearn.neural_network
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version
from training_warnings import quietly

import dnn
from dnn import MLPClassifier, MLPRegressor

# scikit-learn 1.6 is the oldest supported version; its MLP has no sample_weight and no poisson.
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


def pair(name, **options):
    """Return the same estimator of scikit-learn and of dnn."""
    return getattr(sklearn.neural_network, name)(**options), getattr(dnn, name)(**options)


def assert_same_course(one, other, X, y, tolerance=1e-8, **fit):
    """Train both, and assert that losses, validation scores and weights are equal."""
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


@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("options", [{"solver": "adam"}, {"early_stopping": True}, *SCHEDULES], ids=str)
def test_twenty_epochs_equal_those_of_scikit_learn(name, options, scaled):
    X, y = SETS[name](return_X_y=True)
    X = StandardScaler().fit_transform(X) if scaled else X
    kind = "MLPRegressor" if name == "diabetes" else "MLPClassifier"
    assert_same_course(*pair(kind, max_iter=20, random_state=3, **options), X, y)


@pytest.mark.long
@pytest.mark.parametrize("options", [{"solver": "adam"}, *SCHEDULES], ids=str)
def test_twenty_epochs_on_california_equal_those_of_scikit_learn(options, data_folder):
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
def test_each_parameter_has_the_same_effect(options, digits):
    assert_same_course(*pair("MLPClassifier", **{"max_iter": 15, "random_state": 1, **options}), *digits)


@since_1_7
@pytest.mark.parametrize("early_stopping", [False, True])
def test_sample_weights_have_the_same_effect(early_stopping, digits):
    X, y = digits
    w = np.random.default_rng(0).uniform(0, 2, len(y))
    options = {"max_iter": 10, "random_state": 0, "early_stopping": early_stopping}
    assert_same_course(*pair("MLPClassifier", **options), X, y, sample_weight=w)
    assert_same_course(*pair("MLPClassifier", **options), X, y > 4, sample_weight=w)


def test_several_outputs_have_the_same_printed_loss(diabetes):
    """scikit-learn trains on the sum over outputs, and prints its mean plus the undivided penalty."""
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


def test_warm_starts_and_partial_fits_are_the_same(iris):
    """Warm starts and partial fits keep the curves, counts and optimizer state, as in scikit-learn."""
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


def test_the_random_state_of_the_caller_is_left_in_the_same_state(iris):
    """The order of the rows is drawn only for epochs that are trained."""
    states = [np.random.RandomState(5), np.random.RandomState(5)]
    a, b = pair("MLPClassifier", tol=0.1, max_iter=100, hidden_layer_sizes=5)
    a.set_params(random_state=states[0]).fit(*iris)
    b.set_params(random_state=states[1]).fit(*iris)
    assert a.n_iter_ == b.n_iter_ < 100
    assert states[0].randint(1 << 30) == states[1].randint(1 << 30)


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_the_signature_begins_with_scikit_learns(name):
    its, mine = (
        list(inspect.signature(getattr(m, name)).parameters.values()) for m in (sklearn.neural_network, dnn)
    )
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


def test_fitted_attributes_exist(iris):
    a, b = pair("MLPClassifier", max_iter=3, random_state=0, early_stopping=True)
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(iris[0], columns=list("abcd"))
    quietly(a, X, iris[1]), quietly(b, X, iris[1])
    fitted = {name for name in vars(a) if name.endswith("_") and not name.startswith("_")}
    assert fitted <= set(vars(b))
    assert b.feature_names_in_.tolist() == list("abcd") and b.n_features_in_ == 4
    assert b.best_loss_ is None and b.best_validation_score_ == max(b.validation_scores_)
    assert b.classes_.tolist() == [0, 1, 2]


# Assignments to coefs_ and intercepts_


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


def test_the_error_of_divergence_begins_with_the_sentence_of_scikit_learn():
    X, y = np.random.default_rng(0).normal(size=(50, 2)), np.arange(50.0)
    est = MLPRegressor(solver="sgd", learning_rate_init=1e3, random_state=0)
    with pytest.raises(dnn.DivergedError, match=r"^Solver produced non-finite parameter weights") as caught:
        est.fit(X * 1e3, y)
    assert isinstance(caught.value, ValueError) and "lower rate" in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) and again.epoch == caught.value.epoch

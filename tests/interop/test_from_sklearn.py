"""Fitted networks of scikit-learn become estimators of dnn that predict and train as they do."""

import pickle
import re

import numpy as np
import pytest
import sklearn.datasets
import sklearn.neural_network
import threadpoolctl
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from training_warnings import quietly

import dnn
from dnn import from_sklearn

SOLVERS = [
    {"solver": "adam"},
    {"solver": "adam", "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-4},
    {"solver": "sgd"},
    {"solver": "sgd", "nesterovs_momentum": False, "momentum": 0.5},
    {"solver": "sgd", "momentum": 0.0},
    {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.1},
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 1},
]
LBFGS = {"solver": "lbfgs"}
EARLY = {"early_stopping": True, "n_iter_no_change": 2}
FITTED = (
    "loss_", "loss_curve_", "best_loss_", "n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_",
    "n_features_in_", "feature_names_in_", "validation_scores_", "best_validation_score_", "classes_",
)  # fmt: skip
N = 60


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with threadpoolctl.threadpool_limits(1):
        yield


def targets(kind, X, rng):
    """Return the targets of a kind for the rows of X."""
    labels = rng.permutation(np.arange(len(X)) % 3)
    return {
        "binary": labels > 0,
        "words": np.array(["no", "yes"])[(labels > 0).astype(int)],
        "objects": np.array(["a", "bb", "ccc"], dtype=object)[labels],
        "numbers": np.array([-1, 5, 7])[labels],
        "multilabel": np.stack([labels == 0, labels > 0, rng.random(len(X)) < 0.5], axis=1).astype(int),
        "one target": X @ rng.normal(size=X.shape[1]),
        "two targets": X @ rng.normal(size=(X.shape[1], 2)),
    }[kind]


KINDS = ["binary", "words", "objects", "numbers", "multilabel", "one target", "two targets"]


def fitted(kind, dtype="float64", seed=0, **options):
    """Return a fitted network of scikit-learn, X and y."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, options.pop("n_features", 4))).astype(dtype)
    y = targets(kind, X, rng)
    name = "MLPRegressor" if "target" in kind else "MLPClassifier"
    options = {"hidden_layer_sizes": (6, 5), "max_iter": 8, "random_state": seed, **options}
    model = getattr(sklearn.neural_network, name)(**options)
    return quietly(model, X, y), X, y


def outputs(model, X):
    """Return predictions that are floats."""
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


def check(est, model, X):
    """Check that an estimator of dnn predicts what one of scikit-learn does, in its precision."""
    dtype = model.coefs_[0].dtype
    assert est.coefs_[0].dtype == dtype
    expected = outputs(model, X)
    within = (1e-12 if dtype == np.float64 else 1e-6) * max(1, abs(expected).max())
    np.testing.assert_allclose(outputs(est, X), expected, rtol=0, atol=within)
    if hasattr(model, "classes_"):
        labels = est.predict(X)
        np.testing.assert_array_equal(labels, model.predict(X))
        assert labels.dtype == model.predict(X).dtype


def check_attributes(est, model):
    for name, value in model.get_params().items():
        assert str(getattr(est, name)) == str(value), name
    for name in FITTED:
        if hasattr(model, name):
            np.testing.assert_array_equal(getattr(est, name), getattr(model, name), err_msg=name)


def draw(seed):
    """Return a fitted model, X and y, drawn at random."""
    rng = np.random.default_rng(seed)
    sizes = tuple(rng.integers(1, 9, rng.integers(0, 4)).tolist())
    kind = KINDS[rng.integers(len(KINDS))]
    options = [*SOLVERS, LBFGS, EARLY][rng.integers(len(SOLVERS) + 2)]
    if options == EARLY and kind in ("words", "objects"):
        kind = "numbers"  # scikit-learn 1.6 cannot score strings
    return fitted(
        kind, rng.choice(["float32", "float64"]), seed,
        n_features=int(rng.integers(1, 7)), hidden_layer_sizes=sizes, max_iter=3,
        activation=str(rng.choice(["identity", "logistic", "tanh", "relu"])), alpha=rng.uniform(0, 0.1),
        **options,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(200))
def test_random_models(seed):
    model, X, _ = draw(seed)
    est = from_sklearn(model)
    check(est, model, X)
    check_attributes(est, model)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_kind(kind, activation, dtype):
    model, X, _ = fitted(kind, dtype, activation=activation)
    est = from_sklearn(model)
    assert type(est) is getattr(dnn, type(model).__name__)
    check(est, model, X)
    check_attributes(est, model)


@pytest.mark.parametrize("options", SOLVERS, ids=str)
@pytest.mark.parametrize("kind", ["words", "multilabel", "two targets"])
def test_partial_fit_continues(kind, options):
    """With the state of the solver: the same losses as if scikit-learn went on."""
    model, X, y = fitted(kind, **options)
    est = from_sklearn(model)
    before = [W.copy() for W in model.coefs_]
    for _ in range(5):
        est.partial_fit(X, y)
    for W, again in zip(before, model.coefs_, strict=True):
        np.testing.assert_array_equal(W, again)  # the model is independent
    for _ in range(5):
        model.partial_fit(X, y)
    np.testing.assert_allclose(est.loss_curve_, model.loss_curve_, rtol=1e-11)
    check(est, model, X)
    assert (est.t_, est.n_iter_) == (model.t_, model.n_iter_) and len(est.loss_curve_) == 13


@pytest.mark.parametrize("options", [*SOLVERS, LBFGS, EARLY], ids=str)
@pytest.mark.parametrize("kind", ["binary", "numbers", "multilabel", "one target"])
def test_warm_start_continues(kind, options):
    """As dnn's estimator does, which was fitted by dnn itself."""
    model, X, y = fitted(kind, warm_start=True, **options)
    parameters = {name: value for name, value in model.get_params().items() if name != "loss"}
    own = quietly(getattr(dnn, type(model).__name__)(**parameters), X, y)
    est = from_sklearn(model)
    check(own, model, X)
    for each in (own, est):
        quietly(each, X, y)
    np.testing.assert_allclose(outputs(est, X), outputs(own, X), rtol=0, atol=1e-9)
    assert est.n_iter_ == own.n_iter_ and est.t_ == own.t_
    n_losses = 0 if options == LBFGS else len(own.loss_curve_)  # scikit-learn has none of lbfgs
    np.testing.assert_allclose(est.loss_curve_[:n_losses], own.loss_curve_[:n_losses], rtol=1e-9)


def test_poisson():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 3))
    model = sklearn.neural_network.MLPRegressor(hidden_layer_sizes=(4,), random_state=0, max_iter=5)
    if "loss" not in model.get_params():
        pytest.skip(f"scikit-learn {sklearn.__version__}: its MLPRegressor has poisson since 1.7")
    model = quietly(model.set_params(loss="poisson"), X, rng.poisson(2.0, N))
    est = from_sklearn(model)
    assert est.loss == "poisson" and est.out_activation_ == "exp"
    check(est, model, X)


def test_names_of_features():
    pandas = pytest.importorskip("pandas")
    X, y = sklearn.datasets.load_iris(return_X_y=True)
    table = pandas.DataFrame(X, columns=["a", "b", "c", "d"])
    model = quietly(sklearn.neural_network.MLPClassifier(random_state=0, max_iter=5), table, y)
    est = from_sklearn(model)
    assert est.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    check(est, model, table)
    with pytest.raises(ValueError, match="feature names"):
        est.predict(table[["b", "a", "c", "d"]])


def test_a_model_that_was_only_partially_fitted():
    model = sklearn.neural_network.MLPClassifier((5,), random_state=0)
    X, y = np.random.default_rng(0).normal(size=(N, 2)), np.arange(N) % 2
    model.partial_fit(X, y, classes=[0, 1, 2])
    est = from_sklearn(model)
    check(est, model, X)
    check(est.partial_fit(X, y), model.partial_fit(X, y), X)


def test_without_the_state_of_the_optimizer():
    """As in a model that was read from a file of another program: it starts afresh."""
    model, X, y = fitted("binary")
    del model._optimizer
    est = from_sklearn(model)
    check(est, model, X)
    check(est.partial_fit(X, y), model.partial_fit(X, y), X)


def test_copies_pickles_and_clones():
    model, X, _ = fitted("words", random_state=np.random.RandomState(0))
    est = from_sklearn(model)
    assert est.random_state is not model.random_state
    assert est.loss_curve_ is not model.loss_curve_ and est.classes_ is not model.classes_
    check(pickle.loads(pickle.dumps(est)), model, X)
    assert clone(est).get_params().keys() == est.get_params().keys()
    assert not hasattr(est, "history_")


def test_weights_that_were_assigned():
    model, X, _ = fitted("two targets")
    model.coefs_ = [np.ones((4, 6)), np.ones((6, 5)), np.ones((5, 2))]
    check(from_sklearn(model), model, X)
    model.coefs_[1] = np.ones((7, 5))
    with pytest.raises(ValueError, match=re.escape("coefs_[1] must have shape (6, any number), got (7, 5)")):
        from_sklearn(model)


def test_layers_of_other_sizes_that_were_assigned():
    """The state of the optimizer does not belong to them, so that training starts with a fresh state."""
    model, X, y = fitted("one target")
    model.coefs_[0], model.coefs_[1] = np.ones((4, 2)) / 4, np.ones((2, 5)) / 5
    model.intercepts_[0] = np.zeros(2)
    est = from_sklearn(model)
    check(est, model, X)
    est.set_params(hidden_layer_sizes=(2, 5)).partial_fit(X, y)
    own = dnn.MLPRegressor(hidden_layer_sizes=(2, 5), random_state=0)
    own.coefs_, own.intercepts_ = list(model.coefs_), list(model.intercepts_)
    own.n_features_in_ = 4
    np.testing.assert_allclose(own.partial_fit(X, y).predict(X), est.predict(X), rtol=1e-12)


def test_another_solver_than_that_of_the_training():
    model, X, y = fitted("binary", solver="adam")
    est = from_sklearn(model.set_params(solver="sgd"))
    check(est, model, X)
    assert est.partial_fit(X, y).t_ == model.t_ + len(X)


def test_a_subclass_is_read():
    class Mine(sklearn.neural_network.MLPRegressor):
        pass

    X, y = np.arange(12.0).reshape(6, 2), np.arange(6.0)
    model = quietly(Mine(hidden_layer_sizes=(3,), max_iter=2, random_state=0), X, y)
    check(from_sklearn(model), model, X)


WRONG = {
    "pipeline": lambda: make_pipeline(StandardScaler(), sklearn.neural_network.MLPClassifier()),
    "dnn": lambda: dnn.MLPClassifier(),
    "list": lambda: [1],
}


@pytest.mark.parametrize("case", WRONG)
def test_other_objects(case):
    model = WRONG[case]()
    name = f"{type(model).__module__}.{type(model).__name__}"
    text = f"model must be an MLPClassifier or an MLPRegressor of scikit-learn, got {name}"
    with pytest.raises(TypeError, match="^" + re.escape(text)):
        from_sklearn(model)


def test_not_fitted():
    with pytest.raises(ValueError, match=r"^model must be fitted, got MLPRegressor without coefs_"):
        from_sklearn(sklearn.neural_network.MLPRegressor())

"""The estimators in scikit-learn's pipelines, searches, ensembles, metadata routing and workers."""

import warnings

import numpy as np
import pytest
import sklearn
import sklearn.datasets
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import AdaBoostClassifier, BaggingRegressor, StackingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_val_score, cross_validate
from sklearn.multioutput import ClassifierChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from dnn import Huber, MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def digits():
    X, y = sklearn.datasets.load_digits(return_X_y=True)
    return X[:500] / 16, y[:500]


@pytest.fixture(scope="module")
def diabetes():
    return sklearn.datasets.load_diabetes(return_X_y=True)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_grid_search(n_jobs, digits):
    """Results do not depend on the number of workers."""
    est = MLPClassifier(20, max_iter=20, learning_rate_init=0.01, random_state=0)
    grid = {"alpha": [1e-4, 1.0], "activation": ["relu", ["tanh"]], "solver": ["adam", "rmsprop"]}
    search = GridSearchCV(est, grid, cv=3, n_jobs=n_jobs).fit(*digits)
    assert search.best_score_ > 0.85
    assert search.best_score_ == pytest.approx(
        cross_val_score(est.set_params(**search.best_params_), *digits, cv=3).mean(), abs=1e-12
    )


def test_a_diverging_candidate_does_not_end_a_search(diabetes):
    est = MLPRegressor(hidden_layer_sizes=5, solver="sgd", max_iter=20, random_state=0)
    for n_jobs in (1, 2):
        search = GridSearchCV(est, {"learning_rate_init": [1e-4, 1e6]}, cv=2, n_jobs=n_jobs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            search.fit(*diabetes)
        assert search.best_params_ == {"learning_rate_init": 1e-4}
        with pytest.raises(ValueError, match="Solver produced non-finite"):
            GridSearchCV(est, {"learning_rate_init": [1e6]}, cv=2, n_jobs=n_jobs, error_score="raise").fit(
                *diabetes
            )


def test_halving_search_on_iterations(digits):
    est = MLPClassifier(20, learning_rate_init=0.01, random_state=0)
    search = HalvingGridSearchCV(
        est, {"alpha": [1e-4, 1e-2, 1.0, 100.0]}, resource="max_iter", max_resources=32, min_resources=4, cv=3
    )
    assert search.fit(*digits).best_params_["alpha"] < 100


def test_calibration(digits):
    X, y = digits
    est = CalibratedClassifierCV(
        MLPClassifier(20, max_iter=15, learning_rate_init=0.01, random_state=0), cv=3
    )
    assert est.fit(X, y).score(X, y) > 0.9
    proba = est.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1)


def test_bagging(diabetes):
    X, y = diabetes
    est = make_pipeline(
        StandardScaler(),
        BaggingRegressor(MLPRegressor(hidden_layer_sizes=10, solver="lbfgs", max_iter=30), 5, random_state=0),
    )
    assert est.fit(X, y).score(X, y) > 0.5


def test_boosting_hands_on_weights(digits):
    X, y = digits
    est = AdaBoostClassifier(
        MLPClassifier(8, max_iter=30, learning_rate_init=0.01), n_estimators=4, random_state=0
    )
    est.fit(X, y)
    assert len(est.estimators_) == 4 and est.score(X, y) > 0.8


def test_stacking(digits):
    X, y = digits
    members = [
        ("net", MLPClassifier(20, max_iter=15, learning_rate_init=0.01, random_state=0)),
        ("line", MLPClassifier((), max_iter=15, learning_rate_init=0.01, random_state=0)),
    ]
    est = StackingClassifier(members, LogisticRegression(), cv=3)
    assert est.fit(X, y).score(X, y) > 0.9


def test_transformed_target(diabetes):
    X, y = diabetes
    net = MLPRegressor(Huber(1.0), 20, solver="adam", learning_rate_init=0.01, max_iter=60, random_state=0)
    est = TransformedTargetRegressor(make_pipeline(StandardScaler(), net), transformer=StandardScaler())
    assert est.fit(X, y).score(X, y) > 0.5


def test_chains(digits):
    X, y = digits
    Y = np.column_stack([y > 4, y % 2 == 0])
    est = ClassifierChain(MLPClassifier(10, max_iter=40, learning_rate_init=0.01, random_state=0)).fit(X, Y)
    assert est.score(X, Y) > 0.9


def test_validation_sets_go_through_a_pipeline(routing, digits):
    """The scaler is fitted on the training rows only, and is applied to X_val too."""
    X, y = digits
    X = X * 100 - 7
    net = MLPClassifier(20, max_iter=30, learning_rate_init=0.01, early_stopping=True, random_state=0)
    net.set_fit_request(X_val=True, y_val=True, sample_weight=True)
    pipe = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), net)
    pipe.set_params(transform_input=["X_val"])
    pipe.fit(X[:300], y[:300], X_val=X[300:], y_val=y[300:], sample_weight=np.ones(300))
    inner = pipe[-1]
    assert max(inner.validation_scores_) == pipe.score(X[300:], y[300:]) > 0.8


def test_weights_are_routed_through_a_search(routing, digits):
    X, y = digits
    net = (
        MLPClassifier(10, max_iter=5, random_state=0)
        .set_fit_request(sample_weight=True)
        .set_score_request(sample_weight=True)
    )
    w = np.random.default_rng(0).uniform(size=len(y))
    found = cross_validate(net, X, y, params={"sample_weight": w}, cv=2, error_score="raise")
    assert np.isfinite(found["test_score"]).all()


def test_a_raw_table(data_folder):
    """The raw table of California has a text column and missing values."""
    pandas = pytest.importorskip("pandas")
    table = pandas.read_csv(data_folder / "california_housing/housing.csv")
    table = table.sample(3000, random_state=0)
    y = table.pop("median_house_value") / 1e5
    numbers = [c for c in table if c != "ocean_proximity"]
    rows = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), numbers),
            ("text", OneHotEncoder(handle_unknown="ignore"), ["ocean_proximity"]),
        ]
    )
    net = MLPRegressor(
        hidden_layer_sizes=(50,), learning_rate_init=0.01, max_iter=60, early_stopping=True, random_state=0
    )
    pipe = make_pipeline(rows, net).fit(table[:2400], y[:2400])
    assert pipe.score(table[2400:], y[2400:]) > 0.65


def test_optuna_prunes_through_partial_fit(digits):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    X, y = digits

    def objective(trial):
        net = MLPClassifier(
            20, learning_rate_init=trial.suggest_float("rate", 1e-6, 1e-1, log=True), random_state=0
        )
        for epoch in range(12):
            net.partial_fit(X[:300], y[:300], classes=range(10))
            trial.report(net.score(X[300:], y[300:]), epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return net.score(X[300:], y[300:])

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.RandomSampler(seed=0),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=3),
        )
        study.optimize(objective, n_trials=12)
    states = [trial.state.name for trial in study.trials]
    assert "PRUNED" in states and study.best_value > 0.8


def test_convergence_is_a_warning_of_scikit_learn(digits):
    with pytest.warns(ConvergenceWarning):
        MLPClassifier(5, max_iter=2).fit(*digits)

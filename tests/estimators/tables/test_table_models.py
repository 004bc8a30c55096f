"""TableClassifier and TableRegressor: raw tables in, honest scores and calibrated predictions out."""

import copy
import pickle
import time
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from dnn import TableClassifier, TableRegressor
from dnn.estimators.tables.members import SCALES, folds_of, probabilities, refinement, temperature_of

RNG = np.random.default_rng(12345)
N = 300


def table(n=N, seed=0):
    """A raw table: numbers with gaps, text, booleans; the target depends on all of them."""
    rng = np.random.default_rng(seed)
    size = rng.lognormal(3, 0.5, n)
    city = rng.choice(["Bern", "Basel", "Genf"], n)
    sunny = rng.random(n) < 0.4
    price = 10 * size + 80 * (city == "Genf") + 60 * sunny + rng.normal(0, 20, n)
    size[rng.random(n) < 0.1] = np.nan
    return {"size": size, "city": city.tolist(), "sunny": sunny}, price


QUICK = {"n_members": 2, "epochs": 30, "random_state": 0}


@pytest.fixture(scope="module")
def regressor():
    return TableRegressor(**QUICK).fit(*table())


@pytest.fixture(scope="module")
def classifier():
    X, price = table()
    return TableClassifier(**QUICK).fit(X, np.where(price > 250, "dear", "cheap"))


@parametrize_with_checks([TableClassifier(n_members=2, epochs=20), TableRegressor(n_members=2, epochs=20)])
def test_sklearn_checks(estimator, check):
    if "sample_weight_equivalence" in str(check):
        pytest.skip("inner splits differ for repeated rows")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


def test_regressor(regressor):
    X, price = table(seed=1)
    known = np.isfinite(X["size"])  # without the size, nobody can know the price
    error = np.sqrt(np.mean((regressor.predict(X) - price)[known] ** 2))
    assert error < 0.35 * price.std()
    assert regressor.n_features_in_ == 3 and regressor.feature_names_in_.tolist() == ["size", "city", "sunny"]
    assert len(regressor.members_) == len(regressor.histories_) == 2


def test_classifier(classifier):
    X, price = table(seed=1)
    y = np.where(price > 250, "dear", "cheap")
    assert classifier.classes_.tolist() == ["cheap", "dear"]
    p = classifier.predict_proba(X)
    assert p.shape == (N, 2) and np.allclose(p.sum(axis=1), 1)
    assert (classifier.predict(X) == classifier.classes_[p.argmax(axis=1)]).all()
    assert classifier.score(X, y) > 0.85


def test_out_of_fold_predictions_are_those_of_members_that_have_not_seen_the_row():
    X, price = table()
    est = TableRegressor(n_members=8, epochs=5, random_state=0).fit(X, price)
    assert np.isfinite(est.oof_).all() and est.oof_.shape == (N,)
    assert est.validation_score_ == pytest.approx(np.sqrt(np.mean((est.oof_ - price) ** 2)), rel=1e-4)
    noise = RNG.standard_normal(N)  # what nobody can predict
    est = TableRegressor(n_members=8, epochs=5, random_state=0).fit(X, noise)
    assert est.validation_score_ > 0.95 and np.corrcoef(est.oof_, noise)[0, 1] < 0.2


def test_rows_that_all_members_have_seen_have_no_out_of_fold_prediction(regressor, classifier):
    assert np.isnan(regressor.oof_).mean() == pytest.approx(6 / 8, abs=0.01)
    assert np.isnan(classifier.oof_).any(axis=1).mean() == pytest.approx(6 / 8, abs=0.01)


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_same_seed_same_bits_for_any_number_of_threads(n_threads, regressor):
    X, price = table()
    again = TableRegressor(n_threads=n_threads, **QUICK).fit(X, price)
    assert np.array_equal(again.predict(X), regressor.predict(X))
    assert not np.array_equal(
        TableRegressor(**{**QUICK, "random_state": 1}).fit(X, price).predict(X), again.predict(X)
    )


def test_kinds_of_tables_give_the_same(regressor):
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    X, _ = table(seed=1)
    expected = regressor.predict(X)
    assert np.array_equal(regressor.predict(pandas.DataFrame(X)), expected)
    assert np.array_equal(regressor.predict(polars.DataFrame(X)), expected)


def test_weights_matter_and_rows_of_weight_0_are_left_out():
    X, price = table()
    doubled = {name: [*column, *column] for name, column in X.items()}
    wrong = np.concatenate([price, -price])
    w = np.repeat([1.0, 0.0], N)
    est = TableRegressor(**QUICK).fit(doubled, wrong, sample_weight=w)
    assert np.sqrt(np.mean((est.predict(X) - price) ** 2)) < 0.5 * price.std()
    assert np.isnan(est.oof_[N:]).all()
    assert TableRegressor(**QUICK).fit(doubled, wrong).score(X, price) < 0.5


def test_class_weight():
    X, price = table()
    y = price > np.quantile(price, 0.9)
    plain = TableClassifier(**QUICK).fit(X, y).predict_proba(X)[:, 1].mean()
    balanced = TableClassifier(class_weight="balanced", **QUICK).fit(X, y).predict_proba(X)[:, 1].mean()
    given = (
        TableClassifier(class_weight={True: 9.0, False: 1.0}, **QUICK).fit(X, y).predict_proba(X)[:, 1].mean()
    )
    assert balanced > 1.3 * plain and given == pytest.approx(balanced, rel=0.2)


def test_groups_stay_together():
    groups = np.repeat(np.arange(30), 10)
    folds = folds_of(None, groups, 300, 8, np.random.RandomState(0))
    assert all(len(set(folds[groups == group])) == 1 for group in range(30)) and len(set(folds)) == 8
    strata = np.arange(300) % 2
    folds = folds_of(strata, groups, 300, 8, np.random.RandomState(0))
    assert all(len(set(folds[groups == group])) == 1 for group in range(30))
    # A column that tells the group, whose target is random: rows of the same group would give the target away
    X = {"group": groups + 0.5, "noise": RNG.standard_normal(300)}
    y = RNG.standard_normal(30)[groups]
    est = {"n_members": 8, "epochs": 30, "random_state": 0}
    apart = TableRegressor(**est).fit(X, y, groups=groups).validation_score_
    mixed = TableRegressor(**est).fit(X, y).validation_score_
    assert apart > 0.8 > 0.6 > mixed


def test_folds_are_stratified():
    strata = np.repeat([0, 1, 2], [160, 16, 8])
    folds = folds_of(strata, None, 184, 8, np.random.RandomState(0))
    for fold in range(8):
        assert np.bincount(strata[folds == fold]).tolist() == [20, 2, 1]


@pytest.mark.parametrize("metric", TableClassifier.METRICS)
def test_metrics_of_classes(metric):
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, roc_auc_score

    X, price = table()
    y = np.digitize(price, [200, 300])
    est = TableClassifier(metric=metric, n_members=8, epochs=4, random_state=0).fit(X, y)
    expected = {
        "log_loss": lambda: log_loss(y, est.oof_),
        "accuracy": lambda: accuracy_score(y, est.oof_.argmax(axis=1)),
        "balanced_accuracy": lambda: balanced_accuracy_score(y, est.oof_.argmax(axis=1)),
        "roc_auc": lambda: roc_auc_score(y, est.oof_, multi_class="ovr"),
    }
    assert est.validation_score_ == pytest.approx(expected[metric](), rel=1e-6)


def test_mean_absolute_error_is_robust():
    X, price = table()
    price = price.copy()
    price[::20] += 50_000
    clean = table()[1]
    rest = np.arange(N) % 20 > 0
    errors = {
        metric: np.abs(TableRegressor(metric=metric, **QUICK).fit(X, price).predict(X) - clean)[rest].mean()
        for metric in TableRegressor.METRICS
    }
    assert errors["mae"] < 0.5 * errors["rmse"]


def test_intervals_cover(regressor):
    X, price = table(1000, seed=2)
    est = TableRegressor(n_members=8, epochs=30, random_state=0).fit(*table(600))
    for level in (0.5, 0.9):
        low, high = est.predict_interval(X, level).T
        assert abs(np.mean((low <= price) & (price <= high)) - level) < 0.05
    narrow, wide = est.predict_interval(X, 0.5), est.predict_interval(X, 0.95)
    assert (wide[:, 0] < narrow[:, 0]).all() and (narrow[:, 1] < wide[:, 1]).all()
    for level in (0, 1, 90):
        with pytest.raises(ValueError, match="level must be finite and above 0 and below 1"):
            est.predict_interval(X, level)


def test_temperature_is_the_one_of_the_lowest_log_loss():
    z = RNG.standard_normal((4000, 3)) * 3
    p = probabilities(z / 2)  # the truth is less certain than the logits say
    y = (p.cumsum(axis=1) < RNG.random((4000, 1))).sum(axis=1)
    assert temperature_of(z, y, None) == pytest.approx(2, abs=0.2)
    assert temperature_of(z[:, :1] * 0 + 1.0, np.zeros(4000, int), np.ones(4000)) == pytest.approx(4, abs=0.1)


def test_probabilities_are_calibrated():
    X, price = table(3000, seed=3)
    p = 1 / (1 + np.exp(-(price - 250) / 40))
    y = RNG.random(3000) < p
    est = TableClassifier(n_members=4, epochs=20, random_state=0).fit(X, y)
    found = est.predict_proba(X)[:, 1]
    for low, high in ((0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1)):
        inside = (found >= low) & (found < high)
        assert abs(found[inside].mean() - p[inside].mean()) < 0.07


@pytest.mark.parametrize("limit", [0.2, 1.0])
def test_time_limit_ends_the_training(limit):
    """A benchmark measures how closely; here, far less is done than without it, and the result works."""
    X, price = table(4000)
    begin = time.perf_counter()
    est = TableRegressor(epochs=3000, patience=None, time_limit=limit, random_state=0).fit(X, price)
    assert time.perf_counter() - begin < 10 * limit
    assert sum(len(history.loss) for history in est.histories_) < 8 * 3000
    assert np.isfinite(est.predict(X)).all()


def test_copies_predict_the_same(regressor, classifier):
    X, _ = table(seed=1)
    for est, method in ((regressor, "predict"), (classifier, "predict_proba")):
        expected = getattr(est, method)(X)
        for twin in (pickle.loads(pickle.dumps(est)), copy.deepcopy(est)):
            assert np.array_equal(getattr(twin, method)(X), expected)
        assert not hasattr(clone(est), "members_") and clone(est).get_params() == est.get_params()


def test_predictions_stay_in_the_range_of_the_target(regressor):
    _, price = table()
    far = {"size": [1e9, -1e9, 0.0], "city": ["Genf", "Rom", None], "sunny": [True, None, False]}
    found = regressor.predict(far)
    assert (found >= price.min()).all() and (found <= price.max()).all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"n_members": 0}, ValueError, "n_members must be at least 1, got 0"),
        ({"metric": "rmsle"}, ValueError, "metric must be"),
        ({"hidden_layer_sizes": (8, 0)}, ValueError, "hidden_layer_sizes must be at least 1, got 0"),
        ({"activation": "rleu"}, ValueError, "activation must be"),
        ({"dropout": 1.0}, ValueError, "dropout must be finite and at least 0 and below 1, got 1.0"),
        ({"learning_rate_init": 0}, ValueError, "learning_rate_init must be finite and above 0, got 0"),
        ({"time_limit": -1}, ValueError, "time_limit must be finite and above 0, got -1"),
        ({"batch_size": "big"}, TypeError, "batch_size must be a whole number, got 'big'"),
        ({"n_bins": 0}, ValueError, "n_bins must be at least 1, got 0"),
        ({"n_threads": 0}, ValueError, "n_threads must be at least 1"),
        ({"random_state": "one"}, ValueError, "cannot be used to seed"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)  # fmt: skip
def test_parameters_that_are_refused(change, error, message, regressor):
    est = copy.deepcopy(regressor).set_params(**change)
    before = {name: value for name, value in vars(est).items()}
    with pytest.raises(error, match=message):
        est.fit(*table())
    assert vars(est).keys() == before.keys() and all(
        vars(est)[name] is value for name, value in before.items()
    )


@pytest.mark.parametrize(
    ("X", "y", "error", "message"),
    [
        ({"a": [1.0, 2.0]}, [1.0], ValueError, "2 rows|must have one target"),
        ({"a": [1.0]}, [1.0], ValueError, "X must have at least 2 rows"),
        ({"a": [1.0, 2.0]}, [1.0, np.nan], ValueError, "y"),
        ({"a": [1.0, 2.0]}, ["x", "y"], (ValueError, TypeError), "y"),
        ({"a": [1.0, np.inf]}, [1.0, 2.0], ValueError, "'a' of X must hold finite numbers, got inf in row 1"),
        ({"a": [None, None]}, [1.0, 2.0], ValueError, "'a'"),
        ({"a": [1.0, [2]]}, [1.0, 2.0], (ValueError, TypeError), "'a'"),
        ({}, [1.0, 2.0], ValueError, "column"),
        ([1.0, 2.0], [1.0, 2.0], (ValueError, TypeError), "X"),
        ({"a": [1.0, 2.0, 3.0]}, None, ValueError, "requires y"),
    ],
    ids=range(10),
)  # fmt: skip
def test_tables_that_are_refused(X, y, error, message):
    with pytest.raises(error, match=message):
        TableRegressor(**QUICK).fit(X, y)


def test_labels_that_are_refused():
    X, _ = table()
    with pytest.raises(ValueError, match="y must have at least 2 classes, got only 1 class: 'a'"):
        TableClassifier().fit(X, ["a"] * N)
    with pytest.raises(ValueError, match="y must have no missing labels, got None in row 1"):
        TableClassifier().fit(X, ["a", None] * (N // 2))
    with pytest.raises(ValueError, match="class_weight must have labels of y, got 'c'"):
        TableClassifier(class_weight={"c": 1}).fit(X, ["a", "b"] * (N // 2))
    with pytest.raises(ValueError, match="groups must have shape"):
        TableClassifier().fit(X, ["a", "b"] * (N // 2), groups=[1, 2])
    with pytest.raises(ValueError, match="groups must have at least 2 different values"):
        TableClassifier().fit(X, ["a", "b"] * (N // 2), groups=[1] * N)


def test_a_column_that_is_the_target_is_refused_by_name():
    X, price = table()
    with pytest.raises(ValueError, match="'price'"):
        TableRegressor(**QUICK).fit({**X, "price": price}, price)


@pytest.mark.long
@pytest.mark.parametrize(("name", "most"), [("german_credit", 0.55), ("concrete", 0.28), ("hmeq", 0.20)])
def test_real_tables(name, most, data_folder):
    """As accurate as the page of benchmarks says; quick sets only."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(data_folder / "tables" / f"{name}.csv.gz")
    y = frame.pop(frame.columns[-1]).to_numpy()
    order = np.random.default_rng(1000).permutation(len(y))
    n_train = int(0.8 * len(y))
    train, test = frame.iloc[order[:n_train]], frame.iloc[order[n_train:]]
    if name == "concrete":
        est = TableRegressor(random_state=0).fit(train, y[order[:n_train]])
        error = np.sqrt(np.mean((est.predict(test) - y[order[n_train:]]) ** 2)) / y.std()
    else:
        est = TableClassifier(random_state=0).fit(train, y[order[:n_train]])
        p = est.predict_proba(test)
        error = -np.log(p[np.arange(len(test)), np.searchsorted(est.classes_, y[order[n_train:]])]).mean()
    assert error < most


@pytest.mark.parametrize("k", [1, 3])
def test_refinement_is_the_log_loss_at_the_best_temperature(k):
    from sklearn.metrics import log_loss

    z = RNG.standard_normal((500, k)).astype(np.float32)
    y = RNG.integers(0, max(k, 2), 500)
    w = RNG.random(500)
    losses = [
        log_loss(y, probabilities(z, 1 / scale), sample_weight=w, labels=np.arange(max(k, 2)))
        for scale in SCALES
    ]
    assert refinement(z, y, w) == pytest.approx(min(losses), rel=1e-6)
    assert refinement(z, y, None) != pytest.approx(min(losses), rel=1e-6)

"""Fitting: losses and weights, partial fits, threads, and what is printed, called and warned of."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler
from training_warnings import quietly

import dnn
from dnn import MLPClassifier, MLPRegressor

BOTH = [MLPClassifier, MLPRegressor]


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
    # Crossed quantiles are sorted.
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
    """max_iter is small, because later steps of L-BFGS amplify rounding errors in a regression."""
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


def test_verbose_prints_one_line_per_epoch(iris, capsys):
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


def test_callbacks_max_seconds_and_the_progress_bar(iris, capsys):
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


def test_convergence_warnings_suggest_remedies(iris):
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

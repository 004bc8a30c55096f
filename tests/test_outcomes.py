"""How training ends where something is wrong: figures that are not finite, warnings of what was measured."""

import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import dnn
from dnn import (
    LBFGS,
    SGD,
    Adam,
    Huber,
    LogLoss,
    MLPClassifier,
    MLPRegressor,
    Network,
    NoProgressWarning,
    Quantile,
)
from dnn.losses import loss_of
from dnn.training import diagnosis, lbfgs, loop
from dnn.training.history import History
from dnn.training.problem import Problem, examples_of

nan, inf = np.nan, np.inf


def table(n=400):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 5))
    y = np.sin(X[:, 0]) + X[:, 1] / 2
    return X, y, (y > 0).astype(int)


def heard(fit):
    """What a call returns, and the messages of the warnings of training that it gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = fit()
    return found, [str(w.message) for w in caught if issubclass(w.category, NoProgressWarning)]


def scores(*figures):
    """A scorer that gives these figures, one after another, and then the last."""
    left = list(figures)
    return lambda est, X, y: left.pop(0) if len(left) > 1 else left[0]


# Figures that are not finite


@pytest.mark.parametrize(
    "given, place",
    [
        ({"X_val": slice(1), "y_val": None}, "X_val and y_val"),
        ({"X_val": slice(9), "y_val": 1.5}, "X_val and y_val"),  # targets that are all the same
        ({"X_val": slice(3), "y_val": None, "sample_weight_val": [0, 1, 0]}, "X_val and y_val"),
    ],
    ids=["one row", "one value", "one row with a weight"],
)
def test_r2_of_no_spread_chooses_no_weights(given, place):
    X, y, _ = table()
    which, value = given["X_val"], given["y_val"]
    validation = {"X_val": X[which], "y_val": y[which] if value is None else np.full(len(X[which]), value)}
    if "sample_weight_val" in given:
        validation["sample_weight_val"] = given["sample_weight_val"]
    est = MLPRegressor(early_stopping=True, random_state=0)
    _, said = heard(lambda: est.fit(X, y, **validation))
    assert est.score(X, y) > 0.95 and est.n_iter_ == 200
    assert [f"the score r2 on {place} was not finite" in message for message in said] == [True]
    assert est.history_.best_epoch is None and est.best_validation_score_ == -inf
    assert np.isnan(est.validation_scores_).all() and len(est.validation_scores_) == 200
    plain = MLPRegressor(random_state=0, tol=0, n_iter_no_change=inf)
    heard(lambda: plain.fit(X, y))
    np.testing.assert_array_equal(est.coefs_[0], plain.coefs_[0])  # the last weights


def test_targets_that_are_all_equal_end_as_in_scikit_learn():
    """R2 is 0 or 1 there by definition, in scikit-learn as well, and one value is learned soon."""
    X, _, _ = table()
    est = MLPRegressor(early_stopping=True, random_state=0)
    _, said = heard(lambda: est.fit(X, np.ones(len(X))))
    assert said == [] and est.n_iter_ < 200 and np.isfinite(est.validation_scores_).all()


def test_a_named_score_of_one_class_chooses_no_weights():
    X, _, labels = table()
    rare = np.zeros(400, int)
    rare[:3] = 1
    est = MLPClassifier(early_stopping=True, scoring="roc_auc", random_state=0, max_iter=40)
    for y, validation, place in (
        (labels, {"X_val": X[labels == 1], "y_val": labels[labels == 1]}, "X_val and y_val"),
        (rare, {}, "the 40 rows that validation_fraction=0.1 sets aside"),
    ):
        _, said = heard(lambda y=y, validation=validation: est.fit(X, y, **validation))
        assert any(f"the score roc_auc on {place} was not finite" in message for message in said)
        assert est.n_iter_ == 40 and est.loss_curve_[-1] < 0.6 * est.loss_curve_[0]


def test_the_best_finite_score_is_chosen():
    X, y, _ = table()
    kept = []
    est = MLPRegressor(
        early_stopping=True, random_state=0, max_iter=8, scoring=scores(nan, inf, 0.2, nan, 0.5, -inf, 0.4),
        callbacks=[lambda event: kept.append(event.net.params.copy())],
    )  # fmt: skip
    _, said = heard(lambda: est.fit(X, y))
    assert not said and est.best_validation_score_ == 0.5 and est.history_.best_epoch == 4
    np.testing.assert_array_equal(est.validation_scores_, [nan, inf, 0.2, nan, 0.5, -inf, 0.4, 0.4])
    np.testing.assert_array_equal(est._net.params, kept[4])


def test_scores_that_are_not_finite_count_once_one_was():
    X, y, _ = table()
    est = MLPRegressor(early_stopping=True, random_state=0, n_iter_no_change=3)
    _, said = heard(lambda: est.set_params(scoring=scores(*[nan] * 9, 0.1, nan)).fit(X, y))
    assert est.n_iter_ == 14 and est.history_.stopped_by == "tol" and est.best_validation_score_ == 0.1
    # Again from there: the weights that are there are the best that a finite score has chosen
    est.set_params(warm_start=True, scoring=scores(nan), max_iter=5)
    before = est.coefs_[0].copy()
    _, said = heard(lambda: est.fit(X, y))
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
    X, y, _ = table()
    with pytest.raises(kind, match=message):
        MLPRegressor(early_stopping=True, random_state=0, scoring=scorer).fit(X, y)


@pytest.mark.parametrize("figure", [np.float32(0.5), np.array(0.5), np.int64(1), 1, True])
def test_any_number_is_a_score(figure):
    X, y, _ = table(100)
    est = MLPRegressor(early_stopping=True, random_state=0, scoring=scores(figure), max_iter=2)
    heard(lambda: est.fit(X, y))
    assert est.best_validation_score_ == figure and type(est.best_validation_score_) is float


def test_divergence_before_any_score_says_so():
    X, y, _ = table(50)
    est = MLPRegressor(solver="sgd", learning_rate_init=1e4, random_state=0, early_stopping=True)
    with pytest.warns(
        ConvergenceWarning, match="there is no best validation score: r2 was never finite on the 5"
    ):
        est.fit(X * 1e160, y)
    assert est.history_.best_epoch is None and np.isfinite(est.predict(X)).all()


def figures_of_val_loss(monkeypatch, *figures):
    left = list(figures)
    pop = lambda self: left.pop(0) if len(left) > 1 else left[0]  # noqa: E731
    monkeypatch.setattr(Problem, "mean_loss", pop)


@pytest.mark.parametrize("optimizer", [Adam(1e-2), LBFGS()], ids=["adam", "lbfgs"])
@pytest.mark.parametrize("figure", [nan, inf, -inf])
def test_a_val_loss_that_is_never_finite_chooses_no_weights(monkeypatch, optimizer, figure):
    X, y, _ = table()
    figures_of_val_loss(monkeypatch, figure)
    options = {"optimizer": optimizer, "epochs": 12, "random_state": 0}
    net, plain = (Network([5, 8, 1], random_state=0) for _ in range(2))
    history, said = heard(lambda: net.fit(X, y, X_val=X, y_val=y, patience=2, **options))
    plain.fit(X, y, **options)
    assert len(history.loss) == 12 and history.stopped_by == "epochs" and history.best_epoch is None
    assert [message[:50] for message in said] == ["val_loss on X_val and y_val was not finite after a"]
    np.testing.assert_array_equal(net.params, plain.params)


def test_patience_waits_from_the_first_finite_val_loss(monkeypatch):
    X, y, _ = table()
    figures_of_val_loss(monkeypatch, nan, inf, nan, nan, 3.0, nan, 2.0, nan, -inf, nan)
    history, said = heard(lambda: Network([5, 1]).fit(X, y, X_val=X, y_val=y, patience=3, epochs=50))
    assert (
        len(history.loss) == 10 and history.best_epoch == 6 and history.stopped_by == "patience" and not said
    )


def test_a_rate_is_lowered_by_no_loss_below_all():
    rate = dnn.OnPlateau(1.0, patience=2).start()
    for loss in (3.0, -inf, 2.0, 1.0, 0.5):
        rate.observe(loss)
    assert rate.rate == 1.0 and rate.lowest == 0.5


class Counted(list):
    """A list that counts how many of its elements are read."""

    read = 0

    def __iter__(self):
        Counted.read += len(self)
        return super().__iter__()

    def __getitem__(self, at):
        found = super().__getitem__(at)
        Counted.read += len(found) if isinstance(at, slice) else 1
        return found


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_an_epoch_costs_the_same_late_as_early(monkeypatch, optimizer):
    """Nothing reads the history again in every epoch, which would cost epochs squared."""
    X, y, _ = table(20)

    def counted(name):
        return History(name, loss=Counted(), val_loss=Counted(), rate=Counted(), step_loss=Counted())

    for module in (loop, lbfgs):
        monkeypatch.setattr(module, "History", counted)
    Counted.read = 0
    spec = LBFGS(gtol=0.0, ftol=0.0) if optimizer == "lbfgs" else SGD(1e-4)
    history = Network([5, 4, 1], activation="tanh", dtype="float64", random_state=0).fit(
        X, y, X_val=X, y_val=y, patience=10**6, epochs=300, optimizer=spec, callbacks=[lambda event: None],
        record="step",
    )  # fmt: skip
    n = len(history.loss)
    assert n > 30 and Counted.read < 20 * n
    if optimizer == "adam":
        Counted.read = 0
        est = MLPRegressor(hidden_layer_sizes=4, early_stopping=True, max_iter=300, n_iter_no_change=inf)
        heard(lambda: est.fit(X, y))
        assert Counted.read < 20 * 300


# A network that is worse than a constant prediction


CONSTANTS = [
    ("squared_error", "identity"), ("squared_error", "sigmoid"), ("squared_error", "tanh"),
    ("absolute_error", "identity"), (Huber(0.3), "identity"), (Quantile((0.1, 0.5, 0.8)), "identity"),
    ("poisson", "exp"), ("poisson", "softplus"), ("log_loss", "sigmoid"), ("log_loss", "softmax"),
    (LogLoss(0.2), "sigmoid"), (LogLoss(0.2), "softmax"),
]  # fmt: skip


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss, output", CONSTANTS, ids=str)
def test_the_loss_of_the_best_constant(loss, output, weighted):
    """It is what no other biases of a network without inputs are better than."""
    rng = np.random.default_rng(0)
    n = 301
    Y = rng.uniform(0.05, 0.9, (n, 3))
    Y = np.eye(3)[rng.choice(3, n, p=[0.2, 0.5, 0.3])] if output == "softmax" else Y
    w = rng.random(n) if weighted else None
    net = Network([2, 3], output=output, dtype="float64", random_state=0)
    kind, X, targets = examples_of(net, rng.normal(size=(n, 2)), Y, loss)
    own, constant = diagnosis.loss_and_constant_loss(
        net, Problem(net.plan, net.params, X, targets, w, kind, alpha=9.0)
    )
    assert own == pytest.approx(np.average(net.losses(X, Y, loss=loss), weights=w), rel=1e-12)
    empty = Network([1, 3], output=output, dtype="float64", init="zeros")
    empty.fit(
        np.zeros((n, 1)), Y, loss=loss, optimizer=SGD(0.3), epochs=3000, batch_size=None, sample_weight=w
    )
    best = np.average(empty.losses(np.zeros((n, 1)), Y, loss=loss), weights=w)
    tolerance = 0.05 if isinstance(loss, Huber) else 1e-3  # of Huber the median is taken
    assert best * (1 - 1e-3) < constant < best * (1 + tolerance)


def test_classes_and_labels_have_the_same_constant():
    X, _, labels = table(300)
    found = []
    for y in (labels + labels * (X[:, 2] > 0), np.eye(3)[labels + labels * (X[:, 2] > 0)]):
        net = Network([5, 3], output="softmax", random_state=0)
        kind, rows, targets = examples_of(net, X, y, "auto")
        found.append(
            diagnosis.loss_and_constant_loss(net, Problem(net.plan, net.params, rows, targets, None, kind))
        )
    assert found[0] == pytest.approx(found[1], rel=1e-9)


def test_a_run_that_explodes_and_settles_says_so():
    X, _, labels = table()
    net = Network([5, 32, 1], output="sigmoid", random_state=0)
    for W in net.weights:
        W *= 8
    kind, rows, targets = examples_of(net, X, labels, "auto")
    problem = Problem(net.plan, net.params, rows, targets, None, kind)
    own, constant = diagnosis.loss_and_constant_loss(net, problem)
    assert constant == pytest.approx(0.69, abs=0.01) and own > 2

    def said(losses, n_steps=80, by_score=False, stopped_by="epochs"):
        history = History("log_loss", loss=losses, rate=[50.0] * len(losses), stopped_by=stopped_by)
        return diagnosis.worse_than_constant(net, problem, history, n_steps, by_score)

    text = said([96.0, 1.5e26, 9.0, 7.5])
    assert "went from 96 up to 1.5e+26, and to 7.5" in text and f"loss is {own:.3g}" in text
    assert f"constant {constant:.3g}" in text
    assert said([7.5, 7.6, 7.4, 7.6, 7.5, 7.6], 200)  # it has settled
    assert not said([7.5, 7.6, 7.4, 7.6, 7.5, 7.6], 50)  # few steps
    assert not said([7.5, 7.0, 6.5, 6.0, 5.0, 4.0], 200)  # it falls
    assert not said([2.7, 2.6, 2.5]) and not said([])
    text = said([7.5, 7.4], stopped_by="tol")
    assert ("ended by 'tol'" in text) == (own > 10 * constant)
    net.params[:] = 0
    assert not said([96.0, 1.5e26, 9.0, 7.5])  # as good as the constant


def test_a_run_that_explodes_warns():
    X, _, labels = table()
    net = Network([5, 32, 1], output="sigmoid", random_state=0)
    with pytest.warns(
        NoProgressWarning, match=r"worse than a constant prediction: its loss is .* constant 0\.687"
    ):
        net.fit(X, labels, optimizer=SGD(50.0), epochs=4)
    with pytest.warns(NoProgressWarning, match="worse than a constant prediction") as caught:
        MLPClassifier(32, solver="sgd", learning_rate_init=50.0, random_state=0, max_iter=30).fit(X, labels)
    assert all(w.filename == __file__ for w in caught)
    assert any(issubclass(w.category, ConvergenceWarning) for w in caught)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("size", [1e-3, 1e-6])
def test_targets_too_small_for_the_tolerance(solver, size):
    X, y, _ = table()
    est = MLPRegressor(solver=solver, random_state=0)
    with pytest.warns(NoProgressWarning, match=r"(?s)worse than a constant.*targets unscaled: a spread of"):
        est.fit(X, y * size)
    assert est.score(X, y * size) < -10
    with pytest.warns(NoProgressWarning, match="ended by 'converged'"):
        Network([5, 16, 1], random_state=0, dtype="float64").fit(
            X, y * size, optimizer=LBFGS(gtol=1e-3), epochs=500
        )


def test_ordinary_runs_say_nothing():
    X, y, labels = table()
    noise = np.random.default_rng(1).normal(size=400)
    runs = [
        lambda: Network([5, 16, 1], random_state=0).fit(X, y, epochs=3),  # falls, and is not there yet
        lambda: Network([5, 16, 1], random_state=0).fit(X, 50 + y, epochs=3, optimizer=SGD(1e-4)),
        lambda: Network([5, 16, 1], random_state=0).fit(X, np.full(400, 3.0), epochs=60, optimizer=SGD(0.1)),
        lambda: Network([5, 16, 1], random_state=0).fit(X, y, epochs=60, optimizer=SGD(0.1)),
        lambda: Network([5, 16, 1], output="sigmoid", random_state=0).fit(X, np.ones(400), epochs=60),
        lambda: Network([5, 16, 1], random_state=0).fit(X, y, epochs=60, optimizer="lbfgs"),
        lambda: Network([5, 16, 1], random_state=0).fit(X, y, epochs=200, patience=3, X_val=X, y_val=y),
        lambda: Network([5, 16, 1], random_state=0, dropout=0.5).fit(X, y, epochs=60, alpha=100.0),
        lambda: Network([5, 1]).fit(X, noise, epochs=60, optimizer=SGD(0.1)),
        lambda: MLPRegressor(random_state=0).fit(X, y),
        lambda: MLPRegressor(random_state=0, alpha=1e5).fit(X, y),
        lambda: MLPRegressor(random_state=0, loss="quantile", early_stopping=True).fit(X, y),
        lambda: MLPClassifier(random_state=0, early_stopping=True).fit(X, labels),
        lambda: MLPClassifier(random_state=0, solver="lbfgs").fit(X, labels),
        lambda: MLPClassifier(random_state=0, class_weight="balanced").fit(X, X[:, 0] > 2),
    ]  # fmt: skip
    for i, run in enumerate(runs):
        assert heard(run)[1] == [], i


def test_nothing_is_computed_where_nothing_is_suspicious(monkeypatch):
    X, y, _ = table()
    monkeypatch.setattr(diagnosis, "loss_and_constant_loss", lambda net, problem: pytest.fail("computed"))
    net = Network([5, 16, 1], random_state=0)
    net.fit(X, y, epochs=3)
    net.fit(X, y, epochs=40)
    est = MLPRegressor(random_state=0)
    for _ in range(3):
        est.partial_fit(X, y)


# Values that become equal in float32


def test_times_that_become_equal_in_float32():
    X, y, _ = table()
    t = 1.7e9 + 60.0 * np.arange(400)
    times = np.c_[X[:, 0], t]
    text = "has 400 distinct values in 400 rows, and 188 in float32"
    fits = [
        (lambda: Network([2, 4, 1]).fit(times, y, epochs=1), f"column 1 of X {text}"),
        (lambda: Network([2, 4, 1]).fit(times.tolist(), y, epochs=1), f"column 1 of X {text}"),
        (lambda: Network([1, 4, 1]).fit(t[:, None].astype(np.int64), y, epochs=1), f"column 0 of X {text}"),
        (lambda: Network([5, 4, 1]).fit(X, t, epochs=1), f"y {text}"),
        (lambda: Network([5, 4, 2]).fit(X, np.c_[y, t], epochs=1), f"column 1 of y {text}"),
        (lambda: MLPRegressor(dtype="float32", max_iter=20).fit(times, y), f"column 1 of X {text}"),
        (lambda: MLPRegressor(max_iter=20).fit(X.astype(np.float32), t), f"y {text}"),
        (lambda: MLPClassifier(dtype="float32", max_iter=20).fit(times, y > 0), f"column 1 of X {text}"),
    ]  # fmt: skip
    for fit, message in fits:
        assert heard(fit)[1][0].startswith(message)
    gaps = np.where(np.arange(400) % 7 == 0, 0.0, t)  # missing ones are 0
    assert heard(lambda: Network([1, 4, 1]).fit(gaps[:, None], y, epochs=1))[1]
    frame = pytest.importorskip("pandas").DataFrame({"a": X[:, 0], "t": t})
    assert heard(lambda: MLPRegressor(dtype="float32", max_iter=20).fit(frame, y))[1][0].startswith(
        "column 1 of X"
    )


def test_what_float32_holds_is_not_warned_of():
    rng = np.random.default_rng(0)
    n = 1000
    kinds = {
        "times centered": 60.0 * (np.arange(n) - n / 2),
        "years of times": 1.7e9 + 86400.0 * np.arange(n),
        "far from 0": rng.normal(1000, 1, n),
        "constant": np.full(n, 0.1),
        "rounding": np.where(np.arange(n) % 2, 0.3, 0.1 + 0.2),
        "whole": rng.integers(0, 10**7, n),
        "rare": np.r_[np.zeros(n - 3), 1e-30, 1e30, 5],
        "bits": rng.integers(0, 2, n),
    }
    for name, column in kinds.items():
        assert diagnosis.lost_values(np.c_[column, column], np.dtype("float32")) == [], name
    t = 1.7e9 + np.arange(n)
    assert diagnosis.lost_values(t, np.dtype("float64")) == []
    assert diagnosis.lost_values(t.astype(np.float32), np.dtype("float32")) == []
    assert diagnosis.lost_values(t, np.dtype("float32")) == [
        (0, 1000, len(np.unique(t.astype(np.float32))), 1000)
    ]
    assert loss_of("auto", "identity", 1).name == "squared_error"

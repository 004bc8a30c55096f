"""Diagnosis: warnings and errors name measurements, and ordinary runs give none."""

import numpy as np
import pytest
from networks import sine_examples, small_examples
from sklearn.exceptions import ConvergenceWarning
from training_warnings import with_warnings

import dnn
from dnn import (
    LBFGS,
    SGD,
    Huber,
    LogLoss,
    MLPClassifier,
    MLPRegressor,
    Network,
    NoProgressWarning,
    Quantile,
)
from dnn.losses import loss_of
from dnn.training import diagnosis
from dnn.training.history import History
from dnn.training.problem import Problem, examples_of

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
    """No biases of a network without inputs have a lower loss."""
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
    tolerance = 0.05 if isinstance(loss, Huber) else 1e-3  # the constant for Huber is the median
    assert best * (1 - 1e-3) < constant < best * (1 + tolerance)


def test_classes_and_labels_have_the_same_constant():
    X, _, labels = sine_examples(300)
    found = []
    for y in (labels + labels * (X[:, 2] > 0), np.eye(3)[labels + labels * (X[:, 2] > 0)]):
        net = Network([5, 3], output="softmax", random_state=0)
        kind, rows, targets = examples_of(net, X, y, "auto")
        found.append(
            diagnosis.loss_and_constant_loss(net, Problem(net.plan, net.params, rows, targets, None, kind))
        )
    assert found[0] == pytest.approx(found[1], rel=1e-9)


def test_a_loss_that_explodes_and_settles_is_reported():
    X, _, labels = sine_examples()
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
    assert said([7.5, 7.6, 7.4, 7.6, 7.5, 7.6], 200)  # the loss has settled
    assert not said([7.5, 7.6, 7.4, 7.6, 7.5, 7.6], 50)  # there were too few steps
    assert not said([7.5, 7.0, 6.5, 6.0, 5.0, 4.0], 200)  # the loss still falls
    assert not said([2.7, 2.6, 2.5]) and not said([])
    text = said([7.5, 7.4], stopped_by="tol")
    assert ("ended by 'tol'" in text) == (own > 10 * constant)
    net.params[:] = 0
    assert not said([96.0, 1.5e26, 9.0, 7.5])  # as good as the constant


def test_a_loss_that_explodes_gives_a_warning():
    X, _, labels = sine_examples()
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
    X, y, _ = sine_examples()
    est = MLPRegressor(solver=solver, random_state=0)
    with pytest.warns(NoProgressWarning, match=r"(?s)worse than a constant.*targets unscaled: a spread of"):
        est.fit(X, y * size)
    assert est.score(X, y * size) < -10
    with pytest.warns(NoProgressWarning, match="ended by 'converged'"):
        Network([5, 16, 1], random_state=0, dtype="float64").fit(
            X, y * size, optimizer=LBFGS(gtol=1e-3), epochs=500
        )


def test_ordinary_runs_give_no_warning():
    X, y, labels = sine_examples()
    noise = np.random.default_rng(1).normal(size=400)
    runs = [
        lambda: Network([5, 16, 1], random_state=0).fit(X, y, epochs=3),  # the loss still falls
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
        assert with_warnings(run)[1] == [], i


def test_the_diagnosis_is_not_computed_in_ordinary_runs(monkeypatch):
    X, y, _ = sine_examples()
    monkeypatch.setattr(diagnosis, "loss_and_constant_loss", lambda net, problem: pytest.fail("computed"))
    net = Network([5, 16, 1], random_state=0)
    net.fit(X, y, epochs=3)
    net.fit(X, y, epochs=40)
    est = MLPRegressor(random_state=0)
    for _ in range(3):
        est.partial_fit(X, y)


# Values that become equal in float32


def test_times_that_become_equal_in_float32():
    X, y, _ = sine_examples()
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
        assert with_warnings(fit)[1][0].startswith(message)
    gaps = np.where(np.arange(400) % 7 == 0, 0.0, t)  # missing values are 0
    assert with_warnings(lambda: Network([1, 4, 1]).fit(gaps[:, None], y, epochs=1))[1]
    frame = pytest.importorskip("pandas").DataFrame({"a": X[:, 0], "t": t})
    assert with_warnings(lambda: MLPRegressor(dtype="float32", max_iter=20).fit(frame, y))[1][0].startswith(
        "column 1 of X"
    )


def test_values_that_float32_represents_give_no_warning():
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


def test_the_error_of_divergence_names_measurements():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 5))
    X[:, 3] *= 4e5
    y = rng.normal(size=200)
    with pytest.raises(dnn.DivergedError, match=r"inputs unscaled: column 3 has a spread of [34]\.?\d*e\+05"):
        Network([5, 8, 1], random_state=0).fit(X, y, optimizer=SGD(0.1), epochs=50)
    X[:, 3] /= 4e5
    with pytest.raises(dnn.DivergedError, match=r"rate too high: the loss rose \d+ steps in a row"):
        Network([5, 8, 1], random_state=0).fit(X, y, optimizer=SGD(30.0), epochs=500, batch_size=None)


def test_the_warning_of_no_progress_names_measurements():
    X, _ = small_examples(100)
    net = Network([7, 64, 64, 3], output="softmax", random_state=0)
    net.biases[1][:] = -100  # these units are 0 for all rows
    with pytest.warns(dnn.NoProgressWarning, match=r"64 of 64 units dead in layer 2"):
        net.fit(X, np.zeros(100, int) + np.arange(100) % 3, optimizer=SGD(1e-9), epochs=100)
    targets = np.random.default_rng(0).normal(size=100) * 1e4
    with pytest.warns(dnn.NoProgressWarning, match=r"targets unscaled: a spread of 9\.6e\+03"):
        Network([7, 4, 1], random_state=0).fit(X, targets, optimizer=SGD(1e-12), epochs=100)
    assert not diagnosis.no_progress([3, 2, 1, 0.5, 0.4], 1000)
    assert not diagnosis.no_progress([1.0] * 9, 99) and diagnosis.no_progress([1.0] * 9, 100)

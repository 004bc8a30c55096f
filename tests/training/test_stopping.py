"""Validation losses that are not finite, patience, and the time of late epochs."""

import numpy as np
import pytest
from networks import sine_examples
from training_warnings import with_warnings

import dnn
from dnn import (
    LBFGS,
    SGD,
    Adam,
    MLPRegressor,
    Network,
)
from dnn.training import lbfgs, loop
from dnn.training.history import History
from dnn.training.problem import Problem

nan, inf = np.nan, np.inf


# Validation losses that are not finite


def figures_of_val_loss(monkeypatch, *figures):
    left = list(figures)
    pop = lambda self: left.pop(0) if len(left) > 1 else left[0]  # noqa: E731
    monkeypatch.setattr(Problem, "mean_loss", pop)


@pytest.mark.parametrize("optimizer", [Adam(1e-2), LBFGS()], ids=["adam", "lbfgs"])
@pytest.mark.parametrize("figure", [nan, inf, -inf])
def test_a_val_loss_that_is_never_finite_selects_no_weights(monkeypatch, optimizer, figure):
    X, y, _ = sine_examples()
    figures_of_val_loss(monkeypatch, figure)
    options = {"optimizer": optimizer, "epochs": 12, "random_state": 0}
    net, plain = (Network([5, 8, 1], random_state=0) for _ in range(2))
    history, said = with_warnings(lambda: net.fit(X, y, X_val=X, y_val=y, patience=2, **options))
    plain.fit(X, y, **options)
    assert len(history.loss) == 12 and history.stopped_by == "epochs" and history.best_epoch is None
    assert [message[:50] for message in said] == ["val_loss on X_val and y_val was not finite after a"]
    np.testing.assert_array_equal(net.params, plain.params)


def test_patience_waits_from_the_first_finite_val_loss(monkeypatch):
    X, y, _ = sine_examples()
    figures_of_val_loss(monkeypatch, nan, inf, nan, nan, 3.0, nan, 2.0, nan, -inf, nan)
    history, said = with_warnings(lambda: Network([5, 1]).fit(X, y, X_val=X, y_val=y, patience=3, epochs=50))
    assert (
        len(history.loss) == 10 and history.best_epoch == 6 and history.stopped_by == "patience" and not said
    )


def test_a_loss_of_minus_infinity_does_not_lower_the_rate():
    rate = dnn.OnPlateau(1.0, patience=2).start()
    for loss in (3.0, -inf, 2.0, 1.0, 0.5):
        rate.observe(loss)
    assert rate.rate == 1.0 and rate.lowest == 0.5


class Counted(list):
    """A list that counts the reads of its elements."""

    read = 0

    def __iter__(self):
        Counted.read += len(self)
        return super().__iter__()

    def __getitem__(self, at):
        found = super().__getitem__(at)
        Counted.read += len(found) if isinstance(at, slice) else 1
        return found


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_the_cost_of_an_epoch_does_not_grow(monkeypatch, optimizer):
    """No epoch reads the whole history, which would take a time that is quadratic in the number of epochs."""
    X, y, _ = sine_examples(20)

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
        with_warnings(lambda: est.fit(X, y))
        assert Counted.read < 20 * 300

"""The stopping rule of the estimators, its record, and how many calls of the core a training takes."""

import math

import numpy as np
import pytest
import sklearn.neural_network
from training_warnings import quietly

from dnn import MLPClassifier, MLPRegressor, _core

BOTH = [MLPClassifier, MLPRegressor]
rng = np.random.default_rng(0)
X = rng.normal(size=(200, 5))
Y = {MLPClassifier: (X[:, 0] > 0).astype(int), MLPRegressor: X @ rng.normal(size=(5, 3))}


def estimator(kind, **options):
    return kind(hidden_layer_sizes=8, random_state=0, **options)


@pytest.fixture
def calls(monkeypatch):
    """Return a list to which each call of the core's trainer appends its number of steps."""
    n_steps = []

    class Counting:
        def __init__(self, *args, **named):
            self.trainer = trainer(*args, **named)

        def __getattr__(self, name):
            return getattr(self.trainer, name)

        def steps(self, order, rates, costs, first):
            n_steps.append(len(rates))
            return self.trainer.steps(order, rates, costs, first)

    trainer = _core.Trainer
    monkeypatch.setattr(_core, "Trainer", Counting)
    return n_steps


@pytest.mark.parametrize("alpha", [0.0, 0.5])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_several_outputs_train_in_one_call_per_chunk(calls, solver, alpha):
    """scikit-learn divides the loss, not the penalty, by the outputs, which needs no call for each step."""
    options = {"solver": solver, "alpha": alpha, "max_iter": 10, "batch_size": 20}
    other = quietly(estimator(sklearn.neural_network.MLPRegressor, **options), X, Y[MLPRegressor])
    own = quietly(estimator(MLPRegressor, **options), X, Y[MLPRegressor])
    assert calls == [100]  # all ten epochs, because training cannot stop before n_iter_no_change epochs
    np.testing.assert_allclose(own.loss_curve_, other.loss_curve_, rtol=1e-12)
    assert own.best_loss_ == pytest.approx(other.best_loss_, rel=1e-12)


def curves(est):
    return est.n_iter_, est.t_, est.loss_, est.best_loss_, [*est.loss_curve_], est.validation_scores_


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("kind", BOTH)
def test_a_callback_sees_the_record_so_far(kind, solver):
    seen = []
    est = estimator(kind, max_iter=5, solver=solver, callbacks=[lambda event: seen.append(curves(est))])
    quietly(est, X, Y[kind])
    assert [n for n, *_ in seen] == [1, 2, 3, 4, 5]
    for n, t, loss, best, curve, scores in seen:
        assert curve == est.loss_curve_[:n] and loss == curve[-1] and best == min(curve) and scores is None
        assert t == (n * len(X) if solver == "adam" else 0)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("kind", BOTH)
def test_a_training_that_is_cut_short_leaves_its_record(kind, error):
    def fail(event):
        if event.epoch == 2:
            raise error

    est, whole = estimator(kind, max_iter=9, callbacks=[fail]), estimator(kind, max_iter=3)
    with pytest.raises(ZeroDivisionError) if error is ZeroDivisionError else pytest.warns(match="interrupt"):
        est.fit(X, Y[kind])
    assert curves(est) == curves(quietly(whole, X, Y[kind]))


@pytest.mark.parametrize("kind", BOTH)
def test_a_warm_start_continues_the_record(kind):
    est = quietly(estimator(kind, max_iter=3, warm_start=True), X, Y[kind])
    first = [*est.loss_curve_]
    quietly(est.set_params(early_stopping=True, max_iter=2), X, Y[kind])
    assert est.loss_curve_[:3] == first and len(est.loss_curve_) == 5 and est.n_iter_ == 2
    assert est.t_ == 3 * 200 + 2 * 180 and len(est.validation_scores_) == 2
    assert est.best_loss_ == min(first) and math.isfinite(est.best_validation_score_)
    quietly(est.set_params(early_stopping=False, warm_start=False), X, Y[kind])
    assert len(est.loss_curve_) == 2 and est.validation_scores_ is est.best_validation_score_ is None


@pytest.mark.parametrize("kind", BOTH)
def test_an_interrupt_before_the_training_changes_nothing(kind, monkeypatch):
    """The interrupt comes before the network is locked."""
    est = quietly(estimator(kind, max_iter=3), X, Y[kind])
    before, history = curves(est), est.history_

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("dnn.training.write_lock.WriteLock.writing", interrupt)
    with pytest.raises(KeyboardInterrupt):
        est.fit(X, Y[kind])
    assert curves(est) == before and est.history_ is history

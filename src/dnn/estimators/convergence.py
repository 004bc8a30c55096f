"""When an estimator's training ends, by scikit-learn's rules, and the record of its losses and scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ..network import Network
from ..optimizers import LBFGS
from ..training import diagnosis
from ..training.history import History, NoProgressWarning, StreamHistory
from ..training.optimizer_state import OptimizerState
from ..training.options import FitOptions
from ..training.problem import Problem
from .optimizer import SklearnLearningRate
from .validation import Validation


class _NoProgressWarning(NoProgressWarning, ConvergenceWarning):  # type: ignore[misc]
    """A training of an estimator made no progress; filters of scikit-learn's ConvergenceWarning apply too."""


@dataclass
class TrainingRecord:
    """The curves and counts of an estimator's trainings, which it copies to its attributes.

    Parameters
    ----------
    loss_curve : list of float
        The loss of each epoch.
    validation_scores : list of float or None
        The score of each epoch; None without a validation set.
    best_validation_score, best_loss : float or None
        None where the one or the other is not recorded.
    loss : float
        The last loss.
    n_samples_seen, n_epochs : int
        Rows seen by all trainings; epochs of this one.
    n_stale : int
        Epochs in a row without an improvement.

    Examples
    --------
    >>> TrainingRecord.continued({}, early_stopping=False, validated=False).attributes()["best_loss_"]
    inf
    """

    loss_curve: list[float]
    validation_scores: list[float] | None
    best_validation_score: Any
    best_loss: Any
    loss: float
    n_samples_seen: int
    n_stale: int
    n_epochs: int = 0

    @classmethod
    def continued(
        cls, attributes: Mapping[str, Any], early_stopping: bool, validated: bool
    ) -> TrainingRecord:
        """Return the record of a training that continues from the attributes of an estimator, {} for none.

        early_stopping, validated: whether a score ends the training; whether there is a validation set.
        """
        scores, best_score = attributes.get("validation_scores_"), attributes.get("best_validation_score_")
        if scores is None:
            scores, best_score = ([], -math.inf) if validated else (None, None)
        best_loss = attributes.get("best_loss_")
        if best_loss is None and not early_stopping:
            best_loss = math.inf
        return cls(
            loss_curve=attributes.get("loss_curve_", []), validation_scores=scores,
            best_validation_score=best_score, best_loss=best_loss, loss=attributes.get("loss_", math.nan),
            n_samples_seen=attributes.get("t_", 0), n_stale=attributes.get("_no_improvement_count", 0),
        )  # fmt: skip

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of an estimator, by scikit-learn's names; lists are not copied."""
        return {
            "loss_curve_": self.loss_curve, "validation_scores_": self.validation_scores,
            "best_validation_score_": self.best_validation_score, "best_loss_": self.best_loss,
            "loss_": self.loss, "t_": self.n_samples_seen, "_no_improvement_count": self.n_stale,
            "n_iter_": self.n_epochs,
        }  # fmt: skip


class Convergence:
    """The rule that ends the training of an estimator; it keeps a record and the best weights.

    A loss that does not fall can end a training only n_iter_no_change epochs later: that many epochs are done
    before the rule looks at them.

    Parameters
    ----------
    record : TrainingRecord
        The record of the trainings before, which this one continues.
    net : Network
    optimizer : OptimizerState or None
        None: L-BFGS, which ends by itself.
    n_samples : int
        Rows per epoch.
    validation : Validation or None
    early_stopping : bool
        Whether the validation score ends the training, and chooses the weights.
    tol, n_iter_no_change, verbose
        The estimator's parameters.

    Attributes
    ----------
    history : History or None
        Of the training; None until it begins.
    best : ndarray (P,) or None
        The parameters with the best validation score, where it chooses them.
    """

    def __init__(
        self,
        record: TrainingRecord,
        net: Network,
        optimizer: OptimizerState | None,
        n_samples: int,
        validation: Validation | None,
        *,
        early_stopping: bool,
        tol: float,
        n_iter_no_change: float,
        verbose: bool | int,
    ) -> None:
        self.record = record
        self.net = net
        self.optimizer = optimizer
        rate = None if optimizer is None else optimizer.spec.rate
        self.learning_rate = rate if isinstance(rate, SklearnLearningRate) else None
        self.n_samples = n_samples
        self.validation = validation
        self.early_stopping = early_stopping
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.verbose = verbose
        self.best: np.ndarray | None = None
        self.n_checked = 0  # epochs
        self.history: History | None = None

    def begin(self, history: History) -> None:
        """Begin a training, whose history this is; the network is locked until it ends."""
        self.history = history
        # Weights that no finite score has chosen are not the best, nor are those that a training begins with
        if self.early_stopping and math.isfinite(self.record.best_validation_score):
            self.best = self.net.params.copy()
        if self.learning_rate is not None and self.optimizer is not None:
            self.learning_rate.begin(self.optimizer.n_steps, self.record.n_samples_seen, self.n_samples)

    def epochs_until_check(self) -> int | None:
        """Return after how many epochs it must look at the history; None: after any number."""
        if self.validation is not None:
            return 1
        left = self.n_iter_no_change + 1 - self.record.n_stale
        return None if math.isinf(left) else max(1, int(left))

    def check(self, history: History) -> None:
        """Record the epochs since the last call, and end the training where it has converged."""
        record = self.record
        for loss in history.loss[self.n_checked :]:
            self.n_checked += 1
            record.n_epochs += 1
            record.n_samples_seen += (
                history.n_rows[self.n_checked - 1] if isinstance(history, StreamHistory) else self.n_samples
            )
            record.loss = loss
            record.loss_curve.append(loss)
            if self.verbose:
                print(f"Iteration {record.n_epochs}, loss = {loss:.8f}")
            improved = True if self.validation is None else self._validate(self.validation, history)
            if not self.early_stopping:
                improved = not loss > record.best_loss - self.tol
                record.best_loss = min(record.best_loss, loss)
            record.n_stale = 0 if improved else record.n_stale + 1
            if self.learning_rate is not None:
                self.learning_rate.after(record.n_samples_seen)
            if self.optimizer is not None and record.n_stale > self.n_iter_no_change:
                self._stop(history)

    def _validate(self, validation: Validation, history: History) -> bool:
        """Record loss and score on the validation set; return whether the score has risen by tol."""
        record = self.record
        assert record.validation_scores is not None
        val_loss, score = validation.check()
        history.val_loss.append(val_loss)
        record.validation_scores.append(score)
        if self.verbose:
            print(f"Validation score: {score:f} ({validation.name})")
        if not math.isfinite(score):  # no rise; before the first that is finite, there is nothing to wait for
            return not math.isfinite(record.best_validation_score)
        risen = score >= record.best_validation_score + self.tol
        if score > record.best_validation_score:
            record.best_validation_score = score
            history.best_epoch = len(history.val_loss) - 1
            if self.early_stopping:
                self.best = self.net.params.copy()
        return bool(risen)

    def _stop(self, history: History) -> None:
        """End the training, or lower an adaptive rate."""
        learning_rate = self.learning_rate
        goes_on = learning_rate is not None and learning_rate.slower()
        if self.verbose:
            what = "validation score has not risen" if self.early_stopping else "training loss has not fallen"
            then = "stopping"
            if learning_rate is not None and goes_on:
                then = f"the rate is now {learning_rate.now:g}"
            print(f"The {what} by more than tol={self.tol:g} in {self.n_iter_no_change} iterations: {then}.")
        if goes_on:
            self.record.n_stale = 0
        else:
            history.stopped_by = "tol"

    def diverged(self, history: History) -> None:
        """Record an epoch in which a loss was not finite."""
        history.stopped_by = "diverged"
        record = self.record
        record.n_epochs += 1
        record.loss = math.nan
        record.loss_curve.append(math.nan)
        if record.validation_scores is not None:
            record.validation_scores.append(math.nan)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the record, the best weights, the epochs that are recorded."""
        best = None if self.best is None else self.best.copy()
        return {"record": dict(vars(self.record)), "best": best, "n_checked": self.n_checked}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned; lists, which the estimator has too, stay the same objects."""
        for name, value in state["record"].items():
            present = getattr(self.record, name)
            if isinstance(present, list):
                present[:] = value
            else:
                setattr(self.record, name, value)
        self.best, self.n_checked = state["best"], state["n_checked"]

    def end(self) -> None:
        """Put the weights with the best validation score in place."""
        if self.best is not None:
            self.net.params[:] = self.best

    def warn(self, problem: Problem, history: History, n_steps: int) -> None:
        """Warn of a training that has ended without progress."""
        scores = self.record.validation_scores
        if self.early_stopping and self.best is None and scores and self.validation is not None:
            figure = f"the score {self.validation.name}"
            diagnosis.warn_never_finite(figure, self.validation.place, scores[-1], stacklevel=6)
        diagnosis.warn(
            self.net, problem, history, n_steps, [], category=_NoProgressWarning,
            by_score=self.early_stopping, stacklevel=6,
        )  # fmt: skip


class TrainingSetup(NamedTuple):
    """All that a training needs, checked."""

    net: Network
    problem: Problem
    optimizer: OptimizerState | LBFGS
    options: FitOptions
    rule: Convergence
    incremental: bool
    rng: Any

"""When an estimator's training ends: scikit-learn's rules on the loss or on a validation score."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ..optimizers import Optimizer
from ..schedules import Schedule
from ..training import diagnosis
from ..training.history import History, NoProgressWarning
from ..training.optimizer_state import OptimizerState

if TYPE_CHECKING:
    from ..network import Network
    from ..training.loop import Problem
    from .base import BaseMLP


class _NoProgressWarning(NoProgressWarning, ConvergenceWarning):  # type: ignore[misc]
    """A training of an estimator that got nowhere: who silences scikit-learn's warnings silences it too."""


class SklearnLearningRate(Schedule):
    """scikit-learn's three kinds of learning rate: a rate for each epoch.

    Parameters
    ----------
    kind : "constant", "invscaling" or "adaptive"
    rate : float above 0
        The first.
    power : float, at least 0
        With "invscaling" the rate after t rows is ``rate / (t + 1) ** power``.

    Attributes
    ----------
    now : float
        The rate of the next epoch.

    Examples
    --------
    >>> learning_rate = SklearnLearningRate("invscaling", 0.5, 1.0)
    >>> learning_rate.begin(first=0, seen=0, n_samples=4)
    >>> learning_rate.rates(0, 4, 2).tolist()
    [0.5, 0.5, 0.1, 0.1]
    """

    def __init__(self, kind: str, rate: float, power: float) -> None:
        self.kind = kind
        self.rate = self.now = float(rate)
        self.power = float(power)
        self.begin(0, 0, 1)

    def begin(self, first: int, seen: int, n_samples: int) -> None:
        """Begin a training at step `first`, after `seen` rows, with n_samples rows an epoch."""
        self.first, self.seen, self.n_samples, self.started = first, seen, n_samples, self.now

    def after(self, seen: int) -> None:
        """Set the rate of the epoch that begins when so many rows have been seen."""
        if self.kind == "invscaling":
            self.now = self.rate / (seen + 1) ** self.power

    def slower(self) -> bool:
        """Lower an adaptive rate; return whether the training may go on."""
        if self.kind != "adaptive" or self.now <= 1e-6:
            return False
        self.now /= 5.0
        return True

    def rates(self, first: int, n: int, steps_per_epoch: int) -> np.ndarray:
        """Return the rates (n,) of steps first, first + 1, ..., with steps_per_epoch steps an epoch."""
        if self.kind != "invscaling":
            return np.full(n, self.now)
        epoch = (np.arange(first, first + n) - self.first) // steps_per_epoch
        # The first epoch of a training goes at the rate that it found: that of a fresh one was never scaled
        later = self.rate / (self.seen + np.maximum(epoch, 1) * float(self.n_samples) + 1) ** self.power
        return np.where(epoch == 0, self.started, later)


class PortableOptimizer:
    """An optimizer and its state, from one call of `partial_fit` to the next, and through pickling.

    Parameters
    ----------
    spec : optimizer
    weight_decay : float or None
        In place of the optimizer's own.

    Examples
    --------
    >>> from dnn import SGD, Network
    >>> descent = PortableOptimizer(SGD(0.5, momentum=0.9), None)
    >>> state = descent.on(Network([2, 1]))
    >>> state.slots.shape, descent.learning_rate
    ((1, 3), 0.5)
    """

    def __init__(self, spec: Optimizer, weight_decay: float | None) -> None:
        self.spec = spec
        self.weight_decay = weight_decay
        self.state: OptimizerState | None = None
        self.kept: dict[str, Any] = {}

    def on(self, net: Network) -> OptimizerState:
        """Return the state at work on a network: the one that was, or one like it."""
        if self.state is None or self.state.params is not net.params:
            self.kept = self.portable()
            self.state = net.optimizer(self.spec)
            if self.weight_decay is not None:
                self.state.weight_decay = self.weight_decay
            if self.kept and self.kept["slots"].shape == self.state.slots.shape:
                vars(self.state).update(self.kept)
                self.state.slots = self.state.slots.astype(net.dtype)
        return self.state

    @property
    def learning_rate(self) -> float:
        """The rate of the next epoch."""
        rate = self.spec.rate
        if isinstance(rate, SklearnLearningRate):
            return rate.now
        if self.state is None or not isinstance(rate, Schedule):
            return float(rate) if not isinstance(rate, Schedule) else float(rate.rates(0, 1, 1)[0])
        return float(self.state.schedule.rates(self.state.n_steps, 1, 1)[0])

    def portable(self) -> dict[str, Any]:
        """Return what a state is apart from its network."""
        if self.state is None:
            return self.kept
        return {name: getattr(self.state, name) for name in ("slots", "n_steps", "seed", "schedule")}

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "state": None, "kept": self.portable()}


class Validation:
    """A validation set: the loss and the score on it, as the network is now.

    Parameters
    ----------
    name : str
        Of the score.
    place : str
        What it is computed on, as a message says it.
    loss : callable
        ``loss()`` returns the mean loss.
    score : callable or None
        ``score()`` returns what should rise; None: minus the loss.

    Examples
    --------
    >>> Validation("loss", "X_val and y_val", lambda: 0.5, None).check()
    (0.5, -0.5)
    """

    def __init__(
        self, name: str, place: str, loss: Callable[[], float], score: Callable[[], float] | None
    ) -> None:
        self.name = name
        self.place = place
        self.loss = loss
        self.score = score

    def check(self) -> tuple[float, float]:
        """Return loss and score."""
        loss = self.loss()
        with np.errstate(over="ignore", invalid="ignore"):  # of a training that is about to diverge
            return loss, -loss if self.score is None else self.score()


def figure_of(
    name: str, place: str, asked: Callable[[], Any], sound: Callable[[], bool]
) -> Callable[[], float]:
    """Return a function that asks a scorer and checks its answer.

    Parameters
    ----------
    name, place : str
        As in `Validation`.
    asked : callable
        Returns what the scorer says.
    sound : callable
        Returns whether the outputs of the network are finite: scorers refuse others, which are no fault of
        theirs.
    """

    def figure() -> float:
        try:
            found = asked()
        except Exception as error:
            if not sound():
                return math.nan
            raise ValueError(f"scoring: {name} failed on {place}: {error}") from error
        found = found.item() if isinstance(found, np.ndarray) and found.ndim == 0 else found
        if not isinstance(found, numbers.Real):
            raise TypeError(f"scoring: {name} must return a number on {place}, got {found!r}")
        return float(found)

    return figure


class Convergence:
    """The rule that ends the training of an estimator; keeps its curves, counts and best weights.

    A loss that does not fall can end a training only after n_iter_no_change epochs more: so many are done
    without looking.

    Parameters
    ----------
    est : BaseMLP
        Its loss_curve_, n_iter_, t_ and so on are written.
    net : Network
    learning_rate : SklearnLearningRate or None
        The rate, where it is one of scikit-learn's.
    n_samples : int
        Rows an epoch.
    validation : Validation or None
    stopping : bool
        Whether the validation score ends the training, and chooses the weights.
    ends : bool, default True
        Whether it ends the training at all; L-BFGS ends by itself.
    """

    def __init__(
        self,
        est: BaseMLP,
        net: Network,
        learning_rate: SklearnLearningRate | None,
        n_samples: int,
        validation: Validation | None,
        stopping: bool,
        ends: bool = True,
    ) -> None:
        self.est = est
        self.net = net
        self.learning_rate = learning_rate
        self.n_samples = n_samples
        self.validation = validation
        self.stopping = stopping
        self.ends = ends
        # Weights that no finite score has chosen are not the best, those that a training begins with neither
        chosen = stopping and math.isfinite(est.best_validation_score_)
        self.best = net.params.copy() if chosen else None
        self.looked = 0
        self.history: History | None = None

    def epochs_until_check(self) -> int | None:
        """Return how many epochs may pass before it must look; None for any number."""
        if self.validation is not None:
            return 1
        left = self.est.n_iter_no_change + 1 - self.est._no_improvement_count
        return None if math.isinf(left) else max(1, int(left))

    def check(self, history: History) -> None:
        """Take in the epochs that have ended since it last looked."""
        est, self.history = self.est, history
        for loss in history.loss[self.looked :]:
            self.looked += 1
            est.n_iter_ += 1
            est.t_ += self.n_samples
            est.loss_ = loss
            est.loss_curve_.append(loss)
            if est.verbose:
                print(f"Iteration {est.n_iter_}, loss = {loss:.8f}")
            improved = self._validated(history) if self.validation is not None else True
            if not self.stopping:
                improved = not loss > est.best_loss_ - est.tol
                est.best_loss_ = min(est.best_loss_, loss)
            est._no_improvement_count = 0 if improved else est._no_improvement_count + 1
            if self.learning_rate is not None:
                self.learning_rate.after(est.t_)
            if self.ends and est._no_improvement_count > est.n_iter_no_change:
                self._end(history)

    def _validated(self, history: History) -> bool:
        """Record loss and score on the validation set; return whether the score has risen by tol."""
        est = self.est
        assert self.validation is not None
        val_loss, score = self.validation.check()
        history.val_loss.append(val_loss)
        est.validation_scores_.append(score)
        if est.verbose:
            print(f"Validation score: {score:f} ({self.validation.name})")
        if not math.isfinite(score):  # no rise; before the first that is finite, there is nothing to wait for
            return not math.isfinite(est.best_validation_score_)
        risen = score >= est.best_validation_score_ + est.tol
        if score > est.best_validation_score_:
            est.best_validation_score_ = score
            history.best_epoch = len(history.val_loss) - 1
            if self.stopping:
                self.best = self.net.params.copy()
        return bool(risen)

    def _end(self, history: History) -> None:
        """End the training, or lower an adaptive rate."""
        est, learning_rate = self.est, self.learning_rate
        going_on = learning_rate is not None and learning_rate.slower()
        if est.verbose:
            what = "validation score has not risen" if self.stopping else "training loss has not fallen"
            then = (
                f"the rate is now {learning_rate.now:g}"
                if learning_rate is not None and going_on
                else "stopping"
            )
            print(f"The {what} by more than tol={est.tol:g} in {est.n_iter_no_change} iterations: {then}.")
        if going_on:
            est._no_improvement_count = 0
        else:
            history.stopped_by = "tol"

    def diverged(self) -> History:
        """Record an epoch that has come to no finite loss, and return the history."""
        est = self.est
        history = self.history or History("")
        history.stopped_by = "diverged"
        est.n_iter_ += 1
        est.loss_ = float("nan")
        for curve in (est.loss_curve_, est.validation_scores_):
            curve.append(float("nan"))
        return history

    def warn(self, problem: Problem, history: History, n_steps: int) -> None:
        """Warn of a training that has ended and got nowhere."""
        if self.stopping and self.best is None and history.val_loss and self.validation is not None:
            figure, last = f"the score {self.validation.name}", self.est.validation_scores_[-1]
            diagnosis.warn_never_finite(figure, self.validation.place, last, stacklevel=6)
        diagnosis.warn(
            self.net, problem, history, n_steps, [], category=_NoProgressWarning, by_score=self.stopping,
            stacklevel=6,
        )  # fmt: skip

    def restore_best(self) -> None:
        """Put the weights with the best validation score in place."""
        if self.best is not None:
            self.net.params[:] = self.best

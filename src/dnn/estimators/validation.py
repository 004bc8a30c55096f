"""The examples of an estimator, and the loss and the score on its validation set."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import get_scorer

from ..data import arrays as data
from ..data.sparse import SparseRows
from ..losses import LossSpec
from ..network import Network
from .input import conversion_settings, rows_of, take_rows, validated
from .labels import labels_of

if TYPE_CHECKING:
    from .base import BaseMLP


@dataclass
class Examples:
    """Rows with their targets and weights, checked.

    Parameters
    ----------
    rows : ndarray (N, I), SparseRows or BlockRows
    y : ndarray
        Targets as the network is trained on them.
    raw_y : array_like
        Targets as the user gave them.
    weights, class_weights : ndarray (N,) or None
        Weights of the rows, as the user gave them and from those of their classes.
    place, weights_name : str
        What errors call the rows and their weights.
    """

    rows: Any
    y: np.ndarray
    raw_y: Any
    weights: np.ndarray | None
    class_weights: np.ndarray | None
    place: str
    weights_name: str = "sample_weight"

    @cached_property
    def total_weights(self) -> np.ndarray | None:
        """The product of both weights (N,); not all of them may be 0."""
        named = {self.weights_name: self.weights, "class_weight": self.class_weights}
        return data.weighed(self.place, **named)

    def take(self, which: np.ndarray, place: str) -> Examples:
        """Return the examples with these row numbers."""
        return replace(
            self, rows=take_rows(self.rows, which), y=self.y[which], raw_y=labels_of(self.raw_y, which),
            weights=take_rows(self.weights, which), class_weights=take_rows(self.class_weights, which),
            place=place,
        )  # fmt: skip


class Validation:
    """A validation set: the loss and the score on it, as the network is now.

    Parameters
    ----------
    name : str
        Name of the score.
    place : str
        What the score is computed on, as a message says it.
    loss : callable
        ``loss()`` returns the mean loss.
    score : callable or None
        ``score()`` returns the score, higher is better; None: minus the loss.

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


def checked_score(
    name: str, place: str, score: Callable[[], Any], is_finite: Callable[[], bool]
) -> Callable[[], float]:
    """Return a function that calls a scorer and checks what it returns.

    Parameters
    ----------
    name, place : str
        As in `Validation`.
    score : callable
        Returns what the scorer returns.
    is_finite : callable
        Returns whether the outputs of the network are finite: scorers refuse others, and rightly so. The
        score is then NaN.
    """

    def checked() -> float:
        try:
            value = score()
        except Exception as error:
            if not is_finite():
                return math.nan
            raise ValueError(f"scoring: {name} failed on {place}: {error}") from error
        value = value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
        if not isinstance(value, numbers.Real):
            raise TypeError(f"scoring: {name} must return a number on {place}, got {value!r}")
        return float(value)

    return checked


def given_validation(est: BaseMLP, net: Network, validation: tuple[Any, Any, Any]) -> Examples | None:
    """Return a validation set that was given to `fit`, checked."""
    X, y, weights = validation
    if X is None and y is None and weights is None:
        return None
    if X is None or y is None:
        raise ValueError(f"{'X_val' if X is None else 'y_val'} must be given with the validation set")
    X = validated(est, X, name="X_val", **conversion_settings(X, net.dtype), reset=False)
    rows = rows_of(X, net.dtype, "X_val")
    encoded = est._encode(y, "y_val")
    if len(encoded) != len(rows):
        raise ValueError(f"y_val must have {len(rows)} rows, as X_val has, got {len(encoded)}")
    weights = data.weights(weights, len(rows), name="sample_weight_val")
    of_classes = est._class_weights(encoded, False)
    return Examples(rows, encoded, y, weights, of_classes, "X_val and y_val", "sample_weight_val")


def validation_on(est: BaseMLP, net: Network, spec: LossSpec, examples: Examples, varied: bool) -> Validation:
    """Return loss and score on a validation set; a scorer that the user names ignores class_weight.

    varied: whether the targets of the training differ.
    """
    X, place = examples.rows, examples.place
    loss = est._problem(net, spec, examples, "y_val").mean_loss
    scoring = est._default_scoring() if est.scoring is None else est.scoring
    if isinstance(scoring, str) and scoring == "loss":
        return Validation("loss", place, loss, None)
    if est.scoring is None:

        def score() -> float:
            outputs = est._forward(net, X)
            if not np.isfinite(outputs).all():
                return np.nan
            return est._score_of(outputs, examples.y, examples.total_weights, varied)

        return Validation(scoring, place, loss, score)
    scorer = get_scorer(scoring)
    # The rows are checked and have lost their column names: a scorer is given an estimator without them
    view = object.__new__(type(est))
    view.__dict__.update(est.__dict__)
    view.__dict__.pop("feature_names_in_", None)
    extra = {} if examples.weights is None else {"sample_weight": examples.weights}
    matrix = X.matrix if isinstance(X, SparseRows) else X[:]
    name = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", repr(scoring))

    def scored() -> Any:
        return scorer(view, matrix, examples.raw_y, **extra)

    def is_finite() -> bool:
        return bool(np.isfinite(est._forward(net, X)).all())

    return Validation(name, place, loss, checked_score(name, place, scored, is_finite))

"""The examples of an estimator, and the loss and the score on its validation set."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..data import arrays as data
from .input import take_rows
from .labels import labels_of


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

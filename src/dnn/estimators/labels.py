"""Labels of any type as the numbers that a network is trained on, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import LabelBinarizer


class Labels:
    """The labels that a classifier knows, in the columns of its network.

    Two classes are one sigmoid unit, several a softmax, and several at once (multi-label) sigmoid units.

    Parameters
    ----------
    y : array_like
        Labels: all that will ever come (N,), or for several at once an array (N, K) of 0 and 1.

    Attributes
    ----------
    kind : "binary", "multiclass" or "multilabel-indicator"
    classes : ndarray (K,)
        Sorted.
    n_outputs : int
        Units.

    Examples
    --------
    >>> labels = Labels(["no", "yes", "no"])
    >>> labels.kind, labels.encode(["yes", "no"]).tolist()
    ('binary', [[1.0], [0.0]])
    """

    def __init__(self, y: Any) -> None:
        # Its errors for targets that are no labels are the ones that users of scikit-learn know.
        found = LabelBinarizer().fit(y)
        self.kind: str = found.y_type_
        self.classes: np.ndarray = found.classes_
        self.n_outputs = 1 if self.kind == "binary" else len(self.classes)

    @property
    def output(self) -> str:
        """Activation of the last layer."""
        return "softmax" if self.kind == "multiclass" else "sigmoid"

    def encode(self, y: Any, name: str = "y") -> np.ndarray:
        """Return class numbers (N,) for softmax, or 0 and 1 in columns (N, O) for sigmoid.

        Parameters
        ----------
        y : array_like (N,), or (N, K) for several labels at once
        name : str, default "y"
            What errors call it.

        Raises
        ------
        ValueError
            For labels that are none of the classes.
        """
        if self.kind == "multilabel-indicator":
            columns = y.toarray() if hasattr(y, "toarray") else np.asarray(y)
            if columns.ndim != 2 or columns.shape[1] != self.n_outputs:
                raise ValueError(
                    f"{name} must have shape (n_samples, {self.n_outputs}), as before, got {columns.shape}"
                )
            several: np.ndarray = columns.astype(np.float64)
            return several
        y = np.asarray(y)
        if y.ndim != 1:
            raise ValueError(f"{name} must be one label a row, as before, got shape {y.shape}")
        try:
            numbers: np.ndarray = np.searchsorted(self.classes, y).clip(max=len(self.classes) - 1)
            unknown = np.broadcast_to(np.asarray(self.classes[numbers] != y), y.shape)
        except TypeError:  # of a type that cannot be compared with that of the classes
            numbers, unknown = np.zeros(len(y), np.intp), np.ones(len(y), bool)
        if unknown.any():
            strange = list(dict.fromkeys(y[unknown].tolist()))
            raise ValueError(
                f"`{name}` has classes not in `self.classes_`: {strange}, and classes_ are {self.classes}"
            )
        if self.kind == "multiclass":
            return numbers
        # As one class alone is the first of two that may come, it is no.
        second: np.ndarray = numbers == 1
        return second.astype(np.float64)[:, None]

    def numbers(self, outputs: np.ndarray) -> np.ndarray:
        """Return class numbers (N,), or for several at once 0 and 1 (N, K), for outputs (N, O)."""
        if self.kind == "multiclass":
            largest: np.ndarray = outputs.argmax(axis=1)
            return largest
        above: np.ndarray = outputs > 0.5
        return above.astype(np.int64) if self.kind == "multilabel-indicator" else above[:, 0].astype(np.intp)

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Return labels for outputs (N, O)."""
        numbers = self.numbers(outputs)
        if self.kind == "multilabel-indicator":
            return numbers
        # Where one class is all there is, a number of the second that may come is cut
        found: np.ndarray = self.classes[numbers if len(self.classes) > 1 else numbers * 0]
        return found


def labels_of(y: Any, which: np.ndarray) -> Any:
    """Return some targets as they were given."""
    if hasattr(y, "tocsr"):
        return y.tocsr()[which]
    found = np.asarray(y)[which]
    return found.ravel() if found.ndim == 2 and found.shape[1] == 1 else found

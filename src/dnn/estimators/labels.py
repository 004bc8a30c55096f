"""The conversion of labels of any type to the targets of a network, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import LabelBinarizer


class Labels:
    """The labels of a classifier, and their encoding in the outputs of its network.

    Two classes need one sigmoid unit, more classes a softmax, and several labels at once (multi-label) one
    sigmoid unit each.

    Parameters
    ----------
    y : array_like
        Labels (N,), in which every class occurs, or for several at once an array (N, K) of 0 and 1.

    Attributes
    ----------
    kind : "binary", "multiclass" or "multilabel-indicator"
    classes : ndarray (K,)
        The labels, sorted.
    n_outputs : int
        Units of the last layer.

    Examples
    --------
    >>> labels = Labels(["no", "yes", "no"])
    >>> labels.kind, labels.encode(["yes", "no"]).tolist()
    ('binary', [[1.0], [0.0]])
    """

    def __init__(self, y: Any) -> None:
        # Its errors for targets that are not labels are those that users of scikit-learn know.
        binarizer = LabelBinarizer().fit(y)
        self.kind: str = binarizer.y_type_
        self.classes: np.ndarray = binarizer.classes_
        self.n_outputs = 1 if self.kind == "binary" else len(self.classes)

    @property
    def output(self) -> str:
        """Activation of the last layer."""
        return "softmax" if self.kind == "multiclass" else "sigmoid"

    def encode(self, y: Any, name: str = "y") -> np.ndarray:
        """Return class indices (N,) for softmax, or 0 and 1 in columns (N, O) for sigmoid.

        Parameters
        ----------
        y : array_like (N,), or (N, K) for several labels at once
        name : str, default "y"
            The name of y in errors.

        Raises
        ------
        ValueError
            For labels that are not among the classes.
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
            indices: np.ndarray = np.searchsorted(self.classes, y).clip(max=len(self.classes) - 1)
            unknown = np.broadcast_to(np.asarray(self.classes[indices] != y), y.shape)
        except TypeError:  # y has a type that cannot be compared with that of the classes
            indices, unknown = np.zeros(len(y), np.intp), np.ones(len(y), bool)
        if unknown.any():
            strange = list(dict.fromkeys(y[unknown].tolist()))
            raise ValueError(
                f"`{name}` has classes not in `self.classes_`: {strange}, and classes_ are {self.classes}"
            )
        if self.kind == "multiclass":
            return indices
        # A single class is encoded as the first of two.
        second: np.ndarray = indices == 1
        return second.astype(np.float64)[:, None]

    def class_indices(self, outputs: np.ndarray) -> np.ndarray:
        """Return class indices (N,), or for several labels at once 0 and 1 (N, K), for outputs (N, O)."""
        if self.kind == "multiclass":
            largest: np.ndarray = outputs.argmax(axis=1)
            return largest
        above: np.ndarray = outputs > 0.5
        return above.astype(np.int64) if self.kind == "multilabel-indicator" else above[:, 0].astype(np.intp)

    def decode(self, outputs: np.ndarray) -> np.ndarray:
        """Return labels for outputs (N, O)."""
        indices = self.class_indices(outputs)
        if self.kind == "multilabel-indicator":
            return indices
        # A single class is the label of every row, whatever the output says
        labels: np.ndarray = self.classes[indices if len(self.classes) > 1 else indices * 0]
        return labels


def labels_of(y: Any, which: np.ndarray) -> Any:
    """Return the given rows of targets as the user gave them."""
    if hasattr(y, "tocsr"):
        return y.tocsr()[which]
    rows = np.asarray(y)[which]
    return rows.ravel() if rows.ndim == 2 and rows.shape[1] == 1 else rows

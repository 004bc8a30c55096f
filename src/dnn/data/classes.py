"""The labels of a source, and how many rows each of them has, from one pass over its targets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import arrays as data
from .streams import Stream, place_of


def targets_of(stream: Stream, name: str = "y") -> Iterator[np.ndarray]:
    """Yield the targets of a source, (n,) or (n, O), without bad rows; name: what errors call them.

    A source that has ``targets(block)`` reads nothing else.
    """
    source = stream.source
    read: Callable[[int], Any] | None = getattr(source, "targets", None)
    for block in range(source.n_blocks):
        row = 0
        for part in source.read(block) if read is None else read(block):
            y = data.array_of(part[1] if read is None else part, name)
            if y.ndim == 2 and y.shape[1] == 1:
                y = y[:, 0]
            if y.ndim not in (1, 2):
                raise ValueError(f"{name} must have one or two dimensions, got shape {y.shape}")
            n = len(y)
            if y.dtype.kind == "f" and not np.isfinite(y).all():
                good = np.isfinite(y).reshape(n, -1).all(axis=1)
                if stream.on_bad_rows == "raise":
                    bad = int(np.argmin(good))
                    raise ValueError(
                        f"{name} must be finite, got {y[bad]} in {place_of(stream, block, row + bad)}"
                    )
                y = y[good]
            row += n
            if len(y):
                yield y


def class_counts(
    stream: Stream, name: str = "y", check: Callable[[np.ndarray], object] = lambda labels: None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels (K,) of a source, sorted, and the number of rows (K,) that have each of them.

    Parameters
    ----------
    stream : Stream
    name : str, default "y"
        Of the targets, in errors.
    check : callable
        ``check(labels)`` raises for labels of a part that are none, so that not millions of them are kept.

    Examples
    --------
    >>> from dnn import Stream, sources
    >>> labels, counts = class_counts(Stream(sources.arrays([[1], [2], [3]], ["b", "a", "b"])))
    >>> labels.tolist(), counts.tolist()
    (['a', 'b'], [1, 2])
    """
    labels, counts = np.empty(0), np.empty(0, np.int64)
    for y in targets_of(stream, name):
        if y.ndim != 1:
            raise ValueError(f"{name} must have one label in each row, got shape {y.shape}")
        try:
            found, n = np.unique(y, return_counts=True)
        except TypeError as error:  # None and a text cannot be compared
            raise TypeError(f"{name} must hold labels of one type, and none missing: {error}") from None
        check(found)
        if not counts.size:
            labels, counts = found, n
            continue
        labels, where = np.unique(np.concatenate([labels, found]), return_inverse=True)
        counts = np.bincount(where, np.concatenate([counts, n])).astype(np.int64)
    return labels, counts


def balanced(counts: np.ndarray) -> np.ndarray:
    """Return the weight of each class by "balanced": n / (number of classes x rows of the class).

    Examples
    --------
    >>> balanced(np.array([1, 3])).round(2).tolist()
    [2.0, 0.67]
    """
    weights: np.ndarray = counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return weights

"""One row of a table to a prediction, in microseconds.

The first layers of all members stand side by side, and their product with the inputs of a row is a sum of
few vectors: one for each level of a category, and three for each number. The ones of a piecewise-linear code
become one vector, because the sums of the weights of the first bins are made beforehand. What remains of each
member is a network of its own, without the first layer.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ... import _checks as checks
from ...network import Network
from ..parameters import draft_of
from . import importance
from .columns import refuse_lacking
from .encoding import CLIP, MANY_LEVELS
from .input import is_cell, is_row
from .inspection import TableInspection
from .row import Cell, RowEncoder

FEW_ROWS = 16  # of an array of numbers are predicted one by one
FAR = 1e300  # larger numbers are left to the code for whole tables
HEAVY = ("oof_", "histories_", "summary_")  # what no prediction needs


def _silu(z: np.ndarray) -> np.ndarray:
    half = 0.5 * z
    found = np.tanh(half)  # z sigmoid(z) = z/2 (1 + tanh(z/2)), which cannot overflow
    found += 1
    found *= half
    return found


ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "silu": _silu,
    "relu": lambda z: np.maximum(z, 0),
    "tanh": np.tanh,
    "identity": lambda z: z,
}


class NumberPlace(NamedTuple):
    """How a number is found in a row, and its vectors."""

    name: str
    median: float
    factor: float
    inner: list[float]  # edges without the first and the last one
    edges: list[float]
    scaled: int  # the vector of the scaled number
    missing: int  # that of a missing number
    before: int  # the first of the sums of bins: the ones before a bin are one vector
    bins: int  # that of the first bin


class PackedLayer:
    """The first layers of several networks side by side, for rows of a raw table.

    Parameters
    ----------
    encoder : TableEncoder
    nets : list of Network

    Examples
    --------
    >>> from dnn import TableEncoder
    >>> encoder = TableEncoder().fit({"age": [1, 2, 3], "job": ["cook", "pilot", "cook"]})
    >>> nets = [Network([encoder.n_features_out_, 4, 1], random_state=seed) for seed in range(2)]
    >>> packed, row = PackedLayer(encoder, nets), {"age": 2.5, "job": "pilot"}
    >>> expected = [net.forward(encoder.transform(row).toarray())[1].Z[0][0] for net in nets]
    >>> np.allclose(packed(row), np.hstack(expected), atol=1e-6)
    True
    """

    def __init__(self, encoder: Any, nets: list[Network]) -> None:
        weights = np.concatenate([net.weights[0] for net in nets], axis=1, dtype=np.float64)
        vectors = [np.concatenate([net.biases[0] for net in nets])[None]]
        size = 1

        def add(rows: np.ndarray) -> int:
            """Add vectors; return the place of the first one."""
            nonlocal size
            vectors.append(rows)
            size += len(rows)
            return size - len(rows)

        self._row = RowEncoder(encoder.columns_, encoder.encoding_)
        cells = dict(self._row._cells)
        self._numbers: list[NumberPlace] = []
        self._categories: list[tuple[str, dict[str | None, int]]] = []
        self._others: list[str] = []  # dates, and categories of many levels
        # For unusual values: the function from a cell to its inputs, and their weights
        self._dense: dict[str, tuple[Cell, np.ndarray]] = {}
        codes = iter(encoder.encoding_.numbers)
        places = importance.slices_of(encoder.encoding_, encoder.columns_.columns)
        for column, place in zip(encoder.columns_.columns, places, strict=True):
            if place is None:
                continue
            name, cell, own = column.name, cells[column.name], weights[place]
            self._dense[name] = cell, own.astype(np.float32)
            if column.kind == "number":
                code = next(codes)
                edges, bins = code.edges.tolist(), own[1 + code.indicator :]
                sums = np.concatenate([np.zeros((1, own.shape[1])), np.cumsum(bins, axis=0)])
                self._numbers.append(
                    NumberPlace(
                        name, code.median, code.factor, edges[1:-1], edges, add(own[:1]),
                        add(np.frombuffer(cell(None), np.float32)[None] @ own), add(sums), add(bins),
                    )
                )  # fmt: skip
            elif column.kind == "date" or len(column.levels) > MANY_LEVELS:
                for _ in column.number_names:
                    next(codes)
                self._others.append(name)
            else:
                texts = {*column.code_table(), None}
                table = {text: add(np.frombuffer(cell(text), np.float32)[None] @ own) for text in texts}
                self._categories.append((name, table))
        self._vectors = np.concatenate(vectors).astype(np.float32)
        self._used = self._dense.keys()

    def __call__(self, row: Any) -> np.ndarray:
        """Return the pre-activations (n_networks * units,), float32, of one row."""
        if not isinstance(row, dict):
            row = self._row._dict_of(row)
        if not row.keys() >= self._used:
            lacking = [name for name in self._used if name not in row]
            refuse_lacking(lacking, len(self._used), list(row), 5)
            row = dict.fromkeys(lacking) | row
        at, factors = [0], [1.0]
        unusual = self._others.copy()
        for name, median, factor, inner, edges, scaled, missing, before, bins in self._numbers:
            value = row[name]
            kind = type(value)
            if kind is not float and kind is not int:
                if value is not None and not isinstance(value, (np.floating, np.integer)):
                    unusual.append(name)
                    continue
                value = math.nan if value is None else float(value)
            if not -FAR < value < FAR:
                if value != value:
                    at.append(missing)
                    factors.append(1.0)
                else:
                    unusual.append(name)
                continue
            z = (value - median) * factor
            if not -1e9 < z < 1e9:
                unusual.append(name)
                continue
            t = z / CLIP
            z /= math.sqrt(1.0 + t * t)
            if not edges:
                at.append(scaled)
                factors.append(z)
                continue
            bin_ = bisect_left(inner, value)
            low = edges[bin_]
            share = (value - low) / (edges[bin_ + 1] - low)
            at += (scaled, before + bin_, bins + bin_)
            factors += (z, 1.0, 0.0 if share < 0 else 1.0 if share > 1 else share)
        for name, table in self._categories:
            value = row[name]
            kind = type(value)
            if kind is float and value != value:
                value = None
            if (kind is str or value is None) and value in table:
                at.append(table[value])
                factors.append(1.0)
            else:
                unusual.append(name)
        found: np.ndarray = np.array(factors, np.float32) @ self._vectors[at]
        for name in unusual:
            cell, weights = self._dense[name]
            found += np.frombuffer(cell(row[name]), np.float32) @ weights
        return found


def rest_of(net: Network, first: int) -> Network:
    """Return a copy of a network without its first layers and its output activation.

    Examples
    --------
    >>> rest_of(Network([2, 5, 3, 1], output="sigmoid"), 1).layers
    (Dense(units=3, activation='relu'), Dense(units=1, activation='identity'))
    """
    sizes = [net.n_inputs, *(layer.units for layer in net.layers)][first:]
    hidden = [layer.activation for layer in net.layers[first:-1]]
    arrays = list(zip(net.weights, net.biases, strict=True))
    return Network(sizes, activation=hidden or "identity", dtype=net.dtype, init=arrays[first:])


class TablePredictor:
    """The predictions of a table estimator as it was when `predictor` was called, for single rows.

    They equal those of the estimator except for rounding, because sums are taken in another order.

    Parameters
    ----------
    est : TableClassifier or TableRegressor
        Fitted; copied.
    method : {"predict", "predict_proba"}

    Examples
    --------
    See `TableClassifier.predictor`.
    """

    def __init__(self, est: Any, method: str) -> None:
        self.method = method
        self._est = est = draft_of(est)
        for name in HEAVY:
            vars(est).pop(name, None)
        est.members_ = [net.copy() for net in est.members_]
        columns = est.encoder_.columns_
        self._numeric = all(column.kind in ("number", "dropped") for column in columns.columns)
        first = est.members_[0].layers[0]
        act = ACTIVATIONS.get(first.activation) if len(est.members_[0].layers) > 1 else None
        self._act: Any = act
        self._first: Any = PackedLayer(est.encoder_, est.members_) if act else est.encoder_.row_encoder()
        rests = [rest_of(net, 1 if act else 0).predictor() for net in est.members_]
        self._rests = [rest.predict for rest in rests]
        self._shape = len(rests), first.units
        self._decode: Callable[[list[np.ndarray]], Any] = _decoder(est, method)

    def __call__(self, X: Any) -> Any:
        """Return the prediction of a row, or those (n, ...) of a table.

        A row is a dict of cells, a Series of pandas, or a list or an array (n_features,) of all cells.
        """
        if isinstance(X, dict):
            if is_row(X):
                return self._one(X)
        elif isinstance(X, np.ndarray):
            if X.ndim == 1 and not X.dtype.names:
                return self._one(X.tolist())
            if self._numeric and X.ndim == 2 and 1 <= len(X) <= FEW_ROWS and X.dtype.kind in "iuf":
                return np.array([self._one(row) for row in X.tolist()])
        elif hasattr(X, "iloc"):
            if not hasattr(X, "columns"):
                return self._one(dict(zip(map(str, X.index.tolist()), X.tolist(), strict=True)))
            if len(X) == 1 and X.columns.is_unique:
                return np.array([self(X.iloc[0])])
        elif isinstance(X, (list, tuple)) and X and all(map(is_cell, X)):
            return self._one(X)
        return getattr(self._est, self.method)(X)

    def _one(self, row: Any) -> Any:
        first = self._first(row)
        if self._act is None:
            return self._decode([rest(first[0]) for rest in self._rests])
        hidden = self._act(first).reshape(self._shape)
        return self._decode([rest(x) for rest, x in zip(self._rests, hidden, strict=True)])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._est, self.method)


def _decoder(est: Any, method: str) -> Callable[[list[np.ndarray]], Any]:
    """Return the function from the logits (O,) of each member to the result for a row."""
    if not hasattr(est, "classes_"):
        scale, mean, low, high = est._scale / len(est.members_), est._mean, est._low, est._high

        def number(logits: list[np.ndarray]) -> float:
            value = sum([float(z[0]) for z in logits]) * scale + mean
            return float(min(max(value, low), high))

        return number
    n = len(est.members_)
    temperature = float(est.temperature_)

    def binary(logits: list[np.ndarray]) -> np.ndarray:
        total = 0.0
        for z in logits:
            total += 0.5 + 0.5 * math.tanh(float(z[0]) / (2 * temperature))
        total /= n
        return np.array([1.0 - total, total])

    def several(logits: list[np.ndarray]) -> np.ndarray:
        z = np.array(logits, dtype=np.float64)
        z -= z.max(axis=1, keepdims=True)
        z /= temperature
        p = np.exp(z)
        found: np.ndarray = (1 / (n * p.sum(axis=1))) @ p
        return found

    probability = binary if len(est.classes_) == 2 else several
    if method == "predict_proba":
        return probability
    classes = est.classes_.tolist() if est.classes_.dtype.kind in "OU" else list(est.classes_)
    return lambda logits: classes[int(probability(logits).argmax())]


def predictor_of(est: TableInspection, method: str | None) -> TablePredictor:
    """Return the predictor of a fitted table estimator; see `TableClassifier.predictor`."""
    allowed = [name for name in ("predict_proba", "predict") if hasattr(est, name)]
    return TablePredictor(est, allowed[0] if method is None else checks.check_name("method", method, allowed))

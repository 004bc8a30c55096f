"""One row of a table to a prediction, in microseconds.

The first layers of all members stand side by side, and their product with the inputs of a row is a sum of
few vectors: one for each level of a category, and three for each number. The ones of a piecewise-linear code
become one vector, because the sums of the weights of the first bins are made beforehand. What remains of each
member is a network of its own, without the first layer. The core adds the vectors and runs the networks; what
is unusual in a row is encoded here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import _checks as checks
from ... import _core
from ...network import Network
from ..parameters import draft_of
from . import importance
from .columns import refuse_lacking
from .encoding import MANY_LEVELS
from .input import is_cell, is_row
from .inspection import TableInspection
from .row import Cell, RowEncoder

FEW_ROWS = 16  # of an array of numbers are predicted one by one
HEAVY = ("oof_", "histories_", "summary_")  # what no prediction needs


class RowLogits:
    """The logits of networks of one shape for single rows of a raw table.

    Parameters
    ----------
    encoder : TableEncoder
    nets : list of Network

    Examples
    --------
    >>> from dnn import TableEncoder
    >>> encoder = TableEncoder().fit({"age": [1, 2, 3], "job": ["cook", "pilot", "cook"]})
    >>> nets = [Network([encoder.n_features_out_, 4, 1], random_state=seed) for seed in range(2)]
    >>> logits, row = RowLogits(encoder, nets), {"age": 2.5, "job": "pilot"}
    >>> np.allclose(logits(row), [net(encoder.transform(row).toarray())[0] for net in nets], atol=1e-6)
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

        columns = encoder.columns_.columns
        self._row = RowEncoder(encoder.columns_, encoder.encoding_)
        self._size = len(columns)
        cells = dict(self._row._cells)
        self._numbers: list[str] = []
        numbers, places, order = [], [], []
        self._categories: list[tuple[str, dict[str | None, int]]] = []
        self._others: list[str] = []  # dates, and categories of many levels
        # For unusual values: the function from a cell to its inputs, and their weights
        self._dense: dict[str, tuple[Cell, np.ndarray]] = {}
        codes = iter(encoder.encoding_.numbers)
        for at, place in enumerate(importance.slices_of(encoder.encoding_, columns)):
            if place is None:
                continue
            column = columns[at]
            name, cell, own = column.name, cells[column.name], weights[place]
            self._dense[name] = cell, own.astype(np.float32)
            if column.kind == "number":
                code = next(codes)
                numbers.append(code)
                self._numbers.append(name)
                order.append(at)
                missing = np.frombuffer(cell(None), np.float32)[None] @ own
                sums = np.cumsum(own[1 + code.indicator :], axis=0)
                places.append((add(own[:1]), add(missing), add(np.vstack([np.zeros(own.shape[1]), sums]))))
            elif column.kind == "date" or len(column.levels) > MANY_LEVELS:
                for _ in column.number_names:
                    next(codes)
                self._others.append(name)
            else:
                texts = {*column.code_table(), None}
                table = {text: add(np.frombuffer(cell(text), np.float32)[None] @ own) for text in texts}
                self._categories.append((name, table))
        self._used = self._dense.keys()
        self.all_numbers = len(self._numbers) == len(self._used)
        rests = [rest_of(net) for net in nets] if len(nets[0].layers) > 1 else []
        self._core = _core.RowEnsemble(
            nets[0].plan, [(net.plan, net.params) for net in rests],
            np.concatenate(vectors).astype(np.float32),
            np.array([code.median for code in numbers]), np.array([code.factor for code in numbers]),
            np.cumsum([0, *(len(code.edges) for code in numbers)], dtype=np.int64),
            np.concatenate([np.empty(0), *(code.edges for code in numbers)]),
            np.array(places, np.int64).reshape(-1, 3), np.array(order, np.int64), self._size,
        )  # fmt: skip

    def of_array(self, row: np.ndarray) -> np.ndarray:
        """Return the logits (n_networks, n_outputs), float32, of a row of numbers (n_features,)."""
        found = self._core.logits_of_array(row) if self.all_numbers else None
        return self(row.tolist()) if found is None else found

    def __call__(self, row: Any) -> np.ndarray:
        """Return the logits (n_networks, n_outputs), float32, of one row."""
        if not isinstance(row, dict):
            row = self._row._dict_of(row)
        if not row.keys() >= self._used:
            lacking = [name for name in self._used if name not in row]
            refuse_lacking(lacking, len(self._used), list(row), 5)
            row = dict.fromkeys(lacking) | row
        places = []
        unusual = self._others.copy()
        for name, table in self._categories:
            value = row[name]
            kind = type(value)
            if kind is float and value != value:
                value = None
            if (kind is str or value is None) and value in table:
                places.append(table[value])
            else:
                unusual.append(name)
        extra = None
        for name in unusual:
            extra = self._add(extra, name, row[name])
        numbers = [row[name] for name in self._numbers]
        while type(found := self._core.logits(numbers, places, extra)) is int:
            extra = self._add(extra, self._numbers[found], numbers[found])
            numbers[found] = ...
        logits: np.ndarray = found
        return logits

    def _add(self, extra: np.ndarray | None, name: str, value: Any) -> np.ndarray:
        """Return pre-activations with those of one more cell."""
        cell, weights = self._dense[name]
        found: np.ndarray = np.frombuffer(cell(value), np.float32) @ weights
        return found if extra is None else extra + found


def rest_of(net: Network) -> Network:
    """Return a copy of a network without its first layer and its output activation.

    Examples
    --------
    >>> rest_of(Network([2, 5, 3, 1], output="sigmoid")).layers
    (Dense(units=3, activation='relu'), Dense(units=1, activation='identity'))
    """
    sizes = [layer.units for layer in net.layers]
    hidden = [layer.activation for layer in net.layers[1:-1]]
    arrays = list(zip(net.weights, net.biases, strict=True))
    return Network(sizes, activation=hidden or "identity", dtype=net.dtype, init=arrays[1:])


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
        self._logits = RowLogits(est.encoder_, est.members_)
        self._decode: Callable[[np.ndarray], Any] = _decoder(est, method)

    def __call__(self, X: Any) -> Any:
        """Return the prediction of a row, or those (n, ...) of a table.

        A row is a dict of cells, a Series of pandas, or a list or an array (n_features,) of all cells.
        """
        if isinstance(X, dict):
            if is_row(X):
                return self._of(X)
        elif isinstance(X, np.ndarray):
            if X.ndim == 1 and not X.dtype.names:
                return self._decode(self._logits.of_array(X))
            if self._logits.all_numbers and X.ndim == 2 and 1 <= len(X) <= FEW_ROWS and X.dtype.kind in "iuf":
                return np.array([self._decode(self._logits.of_array(row)) for row in X])
        elif hasattr(X, "iloc"):
            if not hasattr(X, "columns"):
                return self._of(dict(zip(map(str, X.index.tolist()), X.tolist(), strict=True)))
            if len(X) == 1 and X.columns.is_unique:
                return np.array([self(X.iloc[0])])
        elif isinstance(X, (list, tuple)) and X and all(map(is_cell, X)):
            return self._of(X)
        return getattr(self._est, self.method)(X)

    def _of(self, row: Any) -> Any:
        return self._decode(self._logits(row))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._est, self.method)


def _decoder(est: Any, method: str) -> Callable[[np.ndarray], Any]:
    """Return the function from the logits (n_members, O) to the result for a row."""
    n = len(est.members_)
    if not hasattr(est, "classes_"):
        scale, mean, low, high = est._scale / n, est._mean, est._low, est._high

        def number(logits: np.ndarray) -> float:
            value = sum(logits[:, 0].tolist()) * scale + mean
            return float(min(max(value, low), high))

        return number
    temperature = float(est.temperature_)
    half, tanh = 1 / (2 * temperature), math.tanh

    def binary(logits: np.ndarray) -> np.ndarray:
        # The sigmoid is 1/2 + tanh(z/2)/2
        p = 0.5 + 0.5 / n * sum([tanh(z * half) for z in logits[:, 0].tolist()])
        return np.array([1.0 - p, p])

    def several(logits: np.ndarray) -> np.ndarray:
        z = logits.astype(np.float64)
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

"""One row of a table as the inputs of a network, in microseconds.

Each column has a function from a cell to the bytes of its inputs: NumPy would take longer to start than
such a function takes in all. Whatever is unusual in a cell (a number in text, a type of another library, an
infinity) is left to the code for whole tables, which also raises the errors.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping
from datetime import date
from struct import Struct
from typing import Any

import numpy as np

from .columns import LARGEST, Column, Columns, refuse_lacking
from .dates import PARTS, parts_of_one, seconds_of_datetime, seconds_of_text
from .encoding import CLIP, CategoryCode, Encoding, NumberCode
from .input import column_of_cells, is_missing, kind_of_cell, refuse_cell, text_of

Cell = Callable[[Any], bytes]

_pack = Struct("f").pack
_ZERO, _ONE = _pack(0.0), _pack(1.0)


class RowEncoder:
    """A function that encodes one row: a dict, a row of a pandas table, or cells in the order of columns.

    Parameters
    ----------
    columns : Columns
    encoding : Encoding

    Examples
    --------
    >>> from dnn import TableEncoder
    >>> encoder = TableEncoder(piecewise=False).fit({"age": [31, 60, 45], "job": ["cook", "pilot", "cook"]})
    >>> encoder.row_encoder()({"age": 45, "job": "pilot"}).tolist()
    [[0.0, 0.0, 1.0]]
    """

    def __init__(self, columns: Columns, encoding: Encoding) -> None:
        numbers, categories = iter(encoding.numbers), iter(encoding.categories)
        first: list[tuple[str, Cell]] = []
        last: list[tuple[str, Cell]] = []  # the inputs of categories are behind those of numbers
        for column in columns.columns:
            if column.kind == "number":
                first.append((column.name, _number_cell(column, next(numbers))))
            elif column.kind == "date":
                first.append((column.name, _date_cell(column, [next(numbers) for _ in column.parts])))
            elif column.is_category():
                last.append((column.name, _category_cell(column, next(categories))))
        self._cells = (*first, *last)
        self._used = frozenset(name for name, _ in self._cells)
        self._names = [column.name for column in columns.columns]

    def __call__(self, row: Any) -> np.ndarray:
        """Return the inputs (1, n_features_out), float32, of one row."""
        if not isinstance(row, dict):
            row = self._dict_of(row)
        if not row.keys() >= self._used:
            row = {str(name): cell for name, cell in row.items()}  # names of columns may be integers
        if not row.keys() >= self._used:
            lacking = [name for name, _ in self._cells if name not in row]
            refuse_lacking(lacking, len(self._used), list(row), 3)
        get = row.get
        parts = [encode(get(name)) for name, encode in self._cells]
        return np.frombuffer(bytearray().join(parts), np.float32).reshape(1, -1)

    def _dict_of(self, row: Any) -> dict[Any, Any]:
        if isinstance(row, Mapping):
            return dict(row)
        if hasattr(row, "to_dict"):
            found: dict[Any, Any] = row.to_dict()
            return found
        if isinstance(row, (str, bytes)) or not hasattr(row, "__len__") or len(row) != len(self._names):
            raise TypeError(f"row must be a dict, or have {len(self._names)} cells, got {row!r}")
        return dict(zip(self._names, row, strict=True))


def _number_code(code: NumberCode) -> tuple[Callable[[float], bytes], bytes]:
    """Return the function from a number to the bytes of its inputs, and those of a missing number."""
    median, factor, sqrt = code.median, code.factor, math.sqrt
    present = _ZERO if code.indicator else b""
    edges, n_bins = code.edges.tolist(), code.n_bins
    inner = edges[1:-1]
    heads = [present + _ONE * at for at in range(n_bins)]
    tails = [_ZERO * (n_bins - 1 - at) for at in range(n_bins)]

    def encode(value: float) -> bytes:
        z = (value - median) * factor
        if not -1e9 < z < 1e9:
            z = math.copysign(1e9, z)
        t = z / CLIP
        z /= sqrt(1.0 + t * t)
        if not n_bins:
            return _pack(z) + present
        at = bisect_left(inner, value)
        low = edges[at]
        share = (value - low) / (edges[at + 1] - low)
        share = 0.0 if share < 0 else 1.0 if share > 1 else share
        return _pack(z) + heads[at] + _pack(share) + tails[at]

    missing = bytearray(encode(median))
    if code.indicator:
        missing[4:8] = _ONE
    return encode, bytes(missing)


def _number_cell(column: Column, code: NumberCode) -> Cell:
    encode, missing = _number_code(code)

    def cell(value: Any) -> bytes:
        if value is None:
            return missing
        if type(value) is int or isinstance(value, (float, np.floating, np.integer)):
            try:
                number = float(value)
            except OverflowError:
                number = math.inf
            if -LARGEST <= number <= LARGEST:
                return encode(number)
            if number != number:
                return missing
        number = float(column.values_of(column_of_cells(column.name, [value]))[0])
        return missing if number != number else encode(number)

    return cell


def _date_cell(column: Column, codes: list[NumberCode]) -> Cell:
    pairs = [_number_code(code) for code in codes]
    encoders = [(PARTS.index(part), encode) for part, (encode, _) in zip(column.parts, pairs, strict=True)]
    missing = b"".join(each for _, each in pairs)
    origin, day_first = column.origin, column.day_first

    def cell(value: Any) -> bytes:
        if value is None:
            return missing
        seconds = None
        if type(value) is str:
            seconds = seconds_of_text(value, day_first)
        elif isinstance(value, date) and value == value:  # NaT is a date, too
            seconds = seconds_of_datetime(value)
        if seconds is None:
            seconds = float(column.values_of(column_of_cells(column.name, [value]))[0])
            if seconds != seconds:
                return missing
        parts = parts_of_one(seconds, origin)
        return b"".join([encode(parts[index]) for index, encode in encoders])

    return cell


def _category_cell(column: Column, code: CategoryCode) -> Cell:
    coded: list[bytes] = []
    for at, row in zip(code.inputs.tolist(), code.table, strict=True):
        inputs = np.zeros(code.n_inputs, np.float32)
        if at >= 0:
            inputs[at] = 1
        coded.append(inputs.tobytes() + row.tobytes())
    codes = column.code_table()
    unseen, missing = coded[0], coded[codes.get(None, 0)]
    table: dict[str, bytes] = {text: coded[each] for text, each in codes.items() if text is not None}

    def cell(value: Any) -> bytes:
        if type(value) is str and value in table:
            return table[value]
        if is_missing(value):
            return missing
        if kind_of_cell(value) is None:
            raise refuse_cell(column.name, 0, value)
        if isinstance(value, (str, bool, int, float)):
            return table.get(text_of(value), unseen)
        index = int(column.codes_of(column_of_cells(column.name, [value]), codes)[0])
        return coded[index]

    return cell

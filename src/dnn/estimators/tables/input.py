"""Reading tables of any kind into columns: numbers, dates, or distinct texts and a code per row.

Text is reduced to its distinct levels first, by the library that holds it, so that all later work on text
(missing values, numbers and dates in text, levels) is done once per level and not once per row.
"""

from __future__ import annotations

import numbers
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from importlib import import_module
from typing import Any, Literal

import numpy as np

from .dates import seconds_of_array, seconds_of_datetime

MISSING_TEXTS = frozenset({"", "?", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none"})
EXPECTED = "must hold numbers, text, booleans or dates"

ColumnKind = Literal["number", "boolean", "date", "text"]


@dataclass
class RawColumn:
    """One column of a table as it was read.

    Attributes
    ----------
    name : str
    kind : {"number", "boolean", "date", "text"}
    values : ndarray of shape (n,), float64
        Numbers, 0 and 1 of booleans, or seconds since 1970 of dates; NaN is missing. Empty for text.
    codes : ndarray of shape (n,), int32
        Index of the level of each row, -1 for missing. Empty for other kinds.
    levels : list of str
        The distinct texts.
    integer : bool
        Whether the numbers come as integers.
    declared : bool
        Whether the table says that this is a category, as pandas and polars can.
    """

    name: str
    kind: ColumnKind
    values: np.ndarray
    codes: np.ndarray
    levels: list[str]
    integer: bool = False
    declared: bool = False

    def __len__(self) -> int:
        return len(self.codes if self.kind == "text" else self.values)


_NO_VALUES, _NO_CODES = np.empty(0), np.empty(0, np.int32)


def number_column(
    name: str, values: np.ndarray, integer: bool = False, kind: ColumnKind = "number"
) -> RawColumn:
    """Return a column of numbers, booleans or dates."""
    return RawColumn(name, kind, np.asarray(values, dtype=np.float64), _NO_CODES, [], integer)


def is_missing(value: Any) -> bool:
    """Return whether a cell is missing: None, NaN, NaT, pandas.NA, or a text such as "" or "?"."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, str):
        return value.strip().casefold() in MISSING_TEXTS
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return bool(np.isnat(value))
    return isinstance(value, numbers.Number) and value != value


def text_of(value: Any) -> str:
    """Return the text of a cell, the same for 1, 1.0 and "1".

    Examples
    --------
    >>> text_of(1.0), text_of(True), text_of(" a "), text_of(0.5)
    ('1', 'True', 'a', '0.5')
    """
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    if isinstance(value, numbers.Number):
        number = number_of_cell(value)
        return str(int(number)) if number.is_integer() else repr(number)
    return str(value)


def kind_of_cell(value: Any) -> str | None:
    """Return the kind of a cell that is not missing, None for one that no column may hold."""
    if isinstance(value, (str, bytes)):
        return "text"
    if isinstance(value, (bool, np.bool_)):
        return "boolean"
    if isinstance(value, (timedelta, np.timedelta64)):
        return "number"
    if isinstance(value, (date, np.datetime64)):
        return "date"
    if isinstance(value, numbers.Number) and not isinstance(value, (complex, np.complexfloating)):
        return "number"
    return None


def number_of_cell(value: Any) -> float:
    """Return a number or a duration (in seconds) as a float; one that is too large is infinite."""
    if isinstance(value, np.timedelta64):
        return float(value / np.timedelta64(1, "s"))
    if isinstance(value, timedelta):
        return value.total_seconds()
    try:
        return float(value)
    except OverflowError:
        return np.inf if value > 0 else -np.inf


def refuse_cell(name: str, row: int, value: Any) -> TypeError:
    """Return the error for a cell that no column may hold."""
    return TypeError(f"column {name!r} of X {EXPECTED}, got {value!r} ({type(value).__name__}) in row {row}")


def column_of_levels(
    name: str, codes: np.ndarray, levels: Sequence[Any], declared: bool = False
) -> RawColumn:
    """Return the column whose distinct cells and their index per row are given; -1 is missing."""
    if all(type(level) is str for level in levels):
        return _text_column(name, codes, levels, declared)
    kinds = [None if is_missing(level) else kind_of_cell(level) for level in levels]
    for index, (level, kind) in enumerate(zip(levels, kinds, strict=True)):
        if kind is None and not is_missing(level):
            raise refuse_cell(name, int(np.argmax(codes == index)), level)
    found = set(kinds) - {None}
    if declared or "text" in found or (len(found) > 1 and found != {"number", "boolean"}):
        texts = ["" if kind is None else text_of(v) for v, kind in zip(levels, kinds, strict=True)]
        return _text_column(name, codes, texts, declared)
    table = np.full(len(levels) + 1, np.nan)  # its last element is that of the code -1
    for index, (level, kind) in enumerate(zip(levels, kinds, strict=True)):
        if kind == "date":
            stamp = level.astype("datetime64[us]").item() if isinstance(level, np.datetime64) else level
            table[index] = seconds_of_datetime(stamp)
        elif kind is not None:
            table[index] = number_of_cell(level)
    integer = all(
        isinstance(v, numbers.Integral) for v, kind in zip(levels, kinds, strict=True) if kind is not None
    )
    kind_found: Any = "number" if not found or "number" in found else found.pop()
    return number_column(name, table[codes], integer, kind_found)


def _text_column(name: str, codes: np.ndarray, levels: Sequence[str], declared: bool) -> RawColumn:
    """Return a column of text: levels without spaces around them, missing ones as the code -1."""
    table: dict[str, int] = {}
    index = np.full(len(levels) + 1, -1, np.int32)
    for number, level in enumerate(levels):
        text = level.strip()
        if text.casefold() not in MISSING_TEXTS:
            index[number] = table.setdefault(text, len(table))
    return RawColumn(name, "text", _NO_VALUES, index[codes], list(table), declared=declared)


def column_of_cells(name: str, cells: Sequence[Any]) -> RawColumn:
    """Return the column of any Python objects."""
    table: dict[Any, int] = {}
    try:
        codes = [table.setdefault(cell, len(table)) for cell in cells]
    except TypeError:
        for row, cell in enumerate(cells):
            try:
                hash(cell)
            except TypeError:
                raise refuse_cell(name, row, cell) from None
        raise
    return column_of_levels(name, np.array(codes, dtype=np.int32), list(table))


def column_of_array(name: str, values: np.ndarray) -> RawColumn:
    """Return the column of a 1-d array of any dtype."""
    kind = values.dtype.kind
    if kind in "iuf":
        return number_column(name, values, kind != "f")
    if kind == "b":
        return number_column(name, values, kind="boolean")
    if kind == "M":
        return number_column(name, seconds_of_array(values), kind="date")
    if kind == "m":
        seconds = values.astype("timedelta64[us]").astype(np.int64) / 1e6
        return number_column(name, np.where(np.isnat(values), np.nan, seconds))
    if kind == "c":
        raise TypeError(f"column {name!r} of X {EXPECTED}, got complex numbers ({values.dtype})")
    return column_of_cells(name, values.tolist())


def _pandas_column(name: str, series: Any) -> RawColumn:
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        if dtype.kind != "O":
            return column_of_array(name, series.to_numpy())
        return column_of_cells(name, series.to_numpy().tolist())
    if hasattr(series, "cat"):
        return column_of_levels(name, series.cat.codes.to_numpy(), series.cat.categories.tolist(), True)
    kind = getattr(dtype, "kind", "O")
    if kind == "M":
        plain = series.dt.tz_localize(None) if getattr(dtype, "tz", None) is not None else series
        return column_of_array(name, plain.to_numpy(dtype="datetime64[us]"))
    if kind in "biuf":
        values = series.to_numpy(dtype=np.float64, na_value=np.nan)
        return number_column(name, values, kind in "iu", "boolean" if kind == "b" else "number")
    if hasattr(series, "str"):
        codes, levels = series.factorize()
        return column_of_levels(name, codes, levels.tolist())
    return column_of_cells(name, series.tolist())


def _polars_column(name: str, series: Any) -> RawColumn:
    polars = import_module("polars")
    dtype = series.dtype
    if dtype.is_numeric() or dtype == polars.Boolean:
        values = series.cast(polars.Float64).fill_null(float("nan")).to_numpy()
        return number_column(
            name, values, dtype.is_integer(), "boolean" if dtype == polars.Boolean else "number"
        )
    if dtype == polars.Date or dtype == polars.Datetime:
        plain = series.dt.replace_time_zone(None) if getattr(dtype, "time_zone", None) else series
        return column_of_array(name, plain.cast(polars.Datetime("us")).to_numpy())
    declared = dtype in (polars.Categorical, polars.Enum)
    if dtype == polars.String or declared:
        text = series.cast(polars.String)
        levels = text.drop_nulls().unique(maintain_order=True)
        codes = text.cast(polars.Enum(levels)).to_physical().cast(polars.Int32).fill_null(-1)
        return column_of_levels(name, codes.to_numpy(), levels.to_list(), declared)
    return column_of_cells(name, series.to_list())


def _arrow_column(name: str, array: Any) -> RawColumn:
    types = import_module("pyarrow").types
    if hasattr(array, "combine_chunks"):
        array = array.combine_chunks()
    declared = types.is_dictionary(array.type)
    if types.is_string(array.type) or types.is_large_string(array.type) or declared:
        coded = array if declared else array.dictionary_encode()
        codes = coded.indices.cast("int32").fill_null(-1).to_numpy(zero_copy_only=False)
        return column_of_levels(name, codes, coded.dictionary.to_pylist(), declared)
    if types.is_integer(array.type) or types.is_floating(array.type):
        values = array.to_numpy(zero_copy_only=False)
        return number_column(name, values, types.is_integer(array.type))
    if types.is_timestamp(array.type) and array.type.tz is None:
        return column_of_array(name, array.to_numpy(zero_copy_only=False))
    return column_of_cells(name, array.to_pylist())


def is_row(X: Any) -> bool:
    """Return whether X is one dict of cells, not of columns."""
    return isinstance(X, Mapping) and bool(X) and all(is_cell(value) for value in X.values())


def is_cell(value: Any) -> bool:
    """Return whether a value is no container of cells."""
    return isinstance(value, (str, bytes)) or not hasattr(value, "__len__")


class Table:
    """The names and columns of any table, each column read when it is asked for.

    Parameters
    ----------
    X : table
        A table of pandas, polars or pyarrow, a dict of columns, a dict of cells (one row), a list of dicts,
        a NumPy array with two axes or with named fields, or a list of rows.

    Attributes
    ----------
    names : list of str
        "x0", "x1", ... if the table has no names.
    named : bool
        Whether the table has names.
    n_rows : int

    Raises
    ------
    TypeError, ValueError
        If X is no table, or has two columns of one name, no columns or no rows.

    Examples
    --------
    >>> table = Table({"a": [1, 2], "b": ["u", "?"]})
    >>> table.names, table.column("b").codes.tolist()
    (['a', 'b'], [0, -1])
    """

    def __init__(self, X: Any) -> None:
        self.named = True
        library = type(X).__module__.partition(".")[0]
        if is_row(X):
            X = [X]
        if library == "pandas" or hasattr(X, "iloc"):
            if not hasattr(X, "columns"):
                raise TypeError("X must be a table, got a pandas Series: use X.to_frame()")
            names, self._read, n_rows = (
                list(X.columns),
                self._from(_pandas_column, lambda i: X.iloc[:, i]),
                len(X),
            )
        elif library == "polars" and hasattr(X, "collect"):
            raise TypeError("X must be a table, got a LazyFrame of polars: use X.collect()")
        elif library == "polars" and hasattr(X, "columns"):
            names, n_rows = list(X.columns), len(X)
            self._read = self._from(_polars_column, lambda i: X.to_series(i))
        elif library == "pyarrow" and hasattr(X, "column_names"):
            names, n_rows = list(X.column_names), X.num_rows
            self._read = self._from(_arrow_column, X.column)
        elif isinstance(X, Mapping):
            names, n_rows = list(X), self._columns(X)
        elif isinstance(X, np.ndarray) and X.dtype.names:
            names, n_rows = list(X.dtype.names), X.shape[0] if X.ndim == 1 else -1
            self._read = self._from(column_of_array, lambda i: X[X.dtype.names[i]])
        elif isinstance(X, (list, tuple)) and X and all(isinstance(row, Mapping) for row in X):
            names, n_rows = list(dict.fromkeys(key for row in X for key in row)), len(X)
            self._read = self._from(column_of_cells, lambda i: [row.get(names[i]) for row in X])
        else:
            names, n_rows = self._array(X)
        self.names = [name if isinstance(name, str) else str(name) for name in names]
        self.n_rows = n_rows
        seen: set[str] = set()
        for name in self.names:
            if name in seen:
                raise ValueError(f"X must have one column of each name, got two columns {name!r}")
            seen.add(name)
        if not names:
            raise ValueError("X must have at least one column, got none")
        if n_rows < 1:
            raise ValueError("X must have at least one row, got none")
        self._index = {name: index for index, name in enumerate(self.names)}

    @staticmethod
    def _from(make: Any, get: Any) -> Any:
        return lambda name, index: make(name, get(index))

    def _columns(self, X: Mapping[Any, Any]) -> int:
        """Prepare a dict of columns, and return its number of rows."""
        values = list(X.values())
        for key, column in X.items():
            if isinstance(column, (str, bytes)) or not hasattr(column, "__len__"):
                raise TypeError(f"column {str(key)!r} of X must have a cell for each row, got {column!r}")
            if getattr(column, "ndim", 1) != 1:
                raise ValueError(f"column {str(key)!r} of X must have one axis, got shape {column.shape}")
            if len(column) != len(values[0]):
                raise ValueError(
                    f"the columns of X must have as many rows as column {str(next(iter(X)))!r}, which has "
                    f"{len(values[0])}, got {len(column)} in column {str(key)!r}"
                )

        def read(name: str, index: int) -> RawColumn:
            column = values[index]
            library = type(column).__module__.partition(".")[0]
            if library == "pandas" and hasattr(column, "iloc"):
                return _pandas_column(name, column)
            if library == "polars":
                return _polars_column(name, column)
            if library == "pyarrow":
                return _arrow_column(name, column)
            if isinstance(column, np.ndarray):
                return column_of_array(name, column)
            return column_of_cells(name, list(column))

        self._read = read
        return len(values[0]) if values else 0

    def _array(self, X: Any) -> tuple[list[str], int]:
        """Prepare an array or a list of rows, and return names and the number of rows."""
        if hasattr(X, "tocsr"):
            raise TypeError("X must be a table, got a sparse matrix: use X.toarray()")
        if X is None or isinstance(X, (str, bytes)):
            raise TypeError(f"X must be a table, got {X!r}")
        if not isinstance(X, np.ndarray) and isinstance(X, Collection):
            try:
                array = np.array(list(X), dtype=object)
            except ValueError:
                raise ValueError("X must have the same number of cells in each row") from None
        else:
            array = np.asarray(X)
        if array.ndim == 1 and all(isinstance(row, (list, tuple, np.ndarray)) for row in array):
            raise ValueError("X must have the same number of cells in each row")
        if array.ndim != 2:
            raise ValueError(
                f"X must be a table with rows and columns, got {array.ndim} axes: shape {array.shape}"
            )
        self.named = False
        self._read = self._from(column_of_array, lambda i: array[:, i])
        return [f"x{i}" for i in range(array.shape[1])], array.shape[0]

    def column(self, name: str) -> RawColumn:
        """Return one column.

        Parameters
        ----------
        name : str

        Examples
        --------
        >>> Table(np.eye(2)).column("x1").values.tolist()
        [0.0, 1.0]
        """
        column: RawColumn = self._read(name, self._index[name])
        return column

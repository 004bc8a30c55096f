"""Error messages about values of a table that are not numbers: the place, the value, and a remedy."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

MISSING = {"", "?", "-", "--", ".", "na", "n/a", "#n/a", "nan", "null", "none", "missing", "unknown"}
COMMA = re.compile(r"[+-]?\d+,\d+")
THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?|[+-]?\d{1,3}([ '_.]\d{3})+(,\d*)?")
DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T].*)?|\d{1,2}:\d{2}(:\d{2})?")
UNIT = re.compile(r"[^\w\s]?\s*[+-]?\d[\d.,]*\s*[^\d\s]{1,4}|[^\d\s]{1,4}\s*[+-]?\d[\d.,]*")

TIMES = (np.datetime64, np.timedelta64, datetime.timedelta)
FILL = "fill in missing values, or drop their rows or columns"
TIME = "convert times to numbers, such as days since the first, the month, or the hour"
CATEGORY = (
    "convert categories to numbers, for example one column for each (pandas.get_dummies, or scikit-learn's "
    "OneHotEncoder)"
)
LABEL = (
    "labels are for a classifier: MLPClassifier accepts labels, a Network class indices, "
    "numpy.unique(labels, return_inverse=True)[1]"
)


def explain(table: Any, name: str, first: int = 0) -> str | None:
    """Return the first value of a table that is not a number, its place, and a remedy, or None.

    Parameters
    ----------
    table : array_like, or a table of pandas or polars
    name : str
        The name of the parameter; names that begin with y are those of targets.
    first : int, default 0
        The number of the first row, for a block of a larger table.

    Examples
    --------
    >>> explain([[1.0, "1,5"]], "X")
    "'1,5' in row 0, column 1: read the file with decimal=',', or replace the comma by a point"
    """
    if isinstance(table, (str, bytes, dict, set)) or not (hasattr(table, "__len__") or np.ndim(table)):
        return None if _is_number(table) else f"{_shown(table)}, which is not a table"
    text = None  # a number as text, which is reported only if there is no other problem
    for title, values in _columns(table):
        if values.dtype.kind in "biuf":
            continue
        items = values.ravel().tolist() if values.dtype.kind in "OUSc" else values.ravel()
        for row, item in enumerate(items, first):
            if not _is_number(item):
                return f"{_shown(item)} in row {row}{title}: {_advice(item, name)}"
            if text is None and isinstance(item, (str, bytes)):
                text = f"{_shown(item)} in row {row}{title}: {_advice(item, name)}"
    return text


def refuse_times(table: Any, name: str) -> None:
    """Raise for a column of times, which NumPy and polars silently convert to numbers."""
    if hasattr(table, "get_columns"):
        kinds = {repr(c.name): c.dtype for c in table.get_columns() if c.dtype.is_temporal()}
    elif hasattr(table, "dtypes") and hasattr(table, "items"):
        kinds = {repr(title): kind for title, kind in table.dtypes.items() if kind.kind in ("m", "M")}
    else:
        kind = getattr(table, "dtype", None)
        kinds = {"0": kind} if getattr(kind, "kind", "O") in ("m", "M") else {}
    for title, kind in kinds.items():
        raise TypeError(f"{name} must hold numbers, got {kind} in column {title}: {TIME}")


def ragged(table: Any) -> str:
    """Return why a list of lists is not a table: a row of a different length, or a list within a row."""
    lengths = [len(row) if hasattr(row, "__len__") and not isinstance(row, str) else -1 for row in table]
    odd = next((i for i, length in enumerate(lengths) if length != lengths[0]), None)
    if odd is not None:
        first, other = (
            "a single value" if n < 0 else f"{n} value{'s' * (n != 1)}" for n in (lengths[0], lengths[odd])
        )
        return f"rows of different lengths: row 0 has {first}, row {odd} has {other}"
    return explain(table, "X") or "lists within its rows"


def place_of(table: Any, where: Sequence[int]) -> str:
    """Return the description of a row and a column, with the column name if it has one."""
    if len(where) < 2:
        return f"row {where[0]}"
    titles = _titles(table)
    named = f" ({titles[where[1]]})" if titles and where[1] < len(titles) else ""
    return f"row {where[0]}, column {where[1]}{named}"


def nonfinite(table: Any) -> str | None:
    """Return the first value of a table that is NaN or infinite, and its place, or None."""
    if hasattr(table, "tocoo"):
        entries = table.tocoo()
        wrong = np.flatnonzero(~np.isfinite(entries.data))
        where = (int(entries.row[wrong[0]]), int(entries.col[wrong[0]])) if len(wrong) else None
        return None if where is None else f"{entries.data[wrong[0]]} in {place_of(table, where)}"
    try:
        array = np.asarray(table, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    found = np.argwhere(~np.isfinite(array))
    return f"{array[tuple(found[0])]} in {place_of(table, found[0].tolist())}" if len(found) else None


def _titles(table: Any) -> list[str]:
    """Return the quoted column names of a table; an empty list for an array."""
    titles = getattr(table, "columns", None)
    return [] if titles is None else [repr(title) for title in titles]


def _columns(table: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the description of each column and its values; an empty description if there is only one."""
    titles = _titles(table)
    if titles and (hasattr(table, "iloc") or hasattr(table, "get_columns")):
        columns = table.get_columns() if hasattr(table, "get_columns") else None
        for i, title in enumerate(titles):
            yield f", column {title}", _values(table.iloc[:, i] if columns is None else columns[i])
    elif isinstance(table, (list, tuple)) and table and all(isinstance(row, (list, tuple)) for row in table):
        for i in range(max(map(len, table))):
            column = np.empty(len(table), object)  # item by item, so that lists in it remain lists
            for row, items in enumerate(table):
                column[row] = items[i] if i < len(items) else None
            yield f", column {i}", column
    else:
        array = _values(table)
        if array.ndim == 2:
            yield from ((f", column {i}", array[:, i]) for i in range(array.shape[1]))
        else:
            yield "", array


def _values(column: Any) -> np.ndarray:
    """Return the values without conversion of mixed types by NumPy."""
    dtype = getattr(column, "dtype", None)
    return np.asarray(column, dtype=None if isinstance(dtype, np.dtype) else object)


def _is_number(item: Any) -> bool:
    """Return whether NumPy can convert an item of an object array to float."""
    if item is None:
        return True  # NaN to NumPy
    if hasattr(item, "__len__") and not isinstance(item, (str, bytes)):
        return False
    if isinstance(item, (complex, np.complexfloating, datetime.date, datetime.time, np.datetime64)):
        return False
    try:
        float(item)
    except OverflowError:
        return True
    except (TypeError, ValueError):
        return False
    return True


def _shown(item: Any) -> str:
    kinds = {list: "a list", tuple: "a tuple", dict: "a dict", set: "a set", np.ndarray: "an array"}
    if type(item) in kinds:
        return kinds[type(item)]
    time = hasattr(item, "isoformat") or isinstance(item, TIMES)
    shown = str(item) if time else repr(item)
    return shown if len(shown) < 60 else f"{shown[:56]} ..."


def _advice(item: Any, name: str) -> str:
    """Return what an item is, and a remedy."""
    kind = type(item).__name__
    if isinstance(item, np.void):
        return "convert a structured array by numpy.lib.recfunctions.structured_to_unstructured"
    if kind in ("NAType", "NaTType") or (isinstance(item, str) and item.strip().lower() in MISSING):
        return FILL
    if hasattr(item, "isoformat") or kind == "Period" or isinstance(item, TIMES):
        return TIME
    if isinstance(item, bytes):
        return "decode bytes"
    if isinstance(item, str):
        return _advice_on_text(item.strip(), name)
    if isinstance(item, (complex, np.complexfloating)):
        return "give the real and the imaginary part as two columns"
    if hasattr(item, "__len__") or hasattr(item, "__iter__"):
        return "each must be one number: put its items into separate columns"
    return f"an object of type {kind} is not a number"


def _advice_on_text(text: str, name: str) -> str:
    try:
        float(text)
    except ValueError:
        pass
    else:
        return "convert text to numbers, for example by astype(float)"
    if THOUSANDS.fullmatch(text) and not COMMA.fullmatch(text):
        return "read the file with thousands=',', or remove the thousands separators"
    if COMMA.fullmatch(text):
        return "read the file with decimal=',', or replace the comma by a point"
    if DATE.fullmatch(text):
        return TIME
    if UNIT.fullmatch(text):
        return "remove units, and convert the rest to numbers"
    if text.lower() in ("true", "false", "yes", "no", "t", "f", "y", "n"):
        return "convert yes and no to 1 and 0"
    if name.startswith("y"):
        return LABEL
    return CATEGORY if name.startswith("X") else "convert text to numbers"

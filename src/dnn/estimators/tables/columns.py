"""What each column of a table is, and a table as a matrix of numbers and a matrix of category codes.

The kind of a column is inferred once, in `learn`, from its dtype and its contents; `Columns.read` then
turns any table with these columns into numbers and codes, and never looks at the distribution of the new
rows.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ... import _checks as checks
from .dates import (
    PARTS,
    day_first_of,
    fields_of,
    parts_of_array,
    seconds_of_fields,
    seconds_of_text,
)
from .input import RawColumn, Table, number_column, text_of

KINDS = ("number", "boolean", "category", "date", "dropped")
FEW_ROWS = 20  # a column of fewer rows is never taken for an identifier
EXCEPTIONS = 3  # different texts that may stand in a column of numbers or dates, in at most 5 % of its rows
LARGEST = 1e300  # larger finite numbers are this one, so that differences and sums of two are finite
ROW_NUMBER = "identifier: an integer of its own in each row"
BOOLEANS = {"0": "False", "1": "True", "false": "False", "true": "True", "f": "False", "t": "True"}

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_LEADING_ZERO = re.compile(r"0\d+")


def number_of_text(text: str) -> float | None:
    """Return the number that a text holds, None if it is none.

    Examples
    --------
    >>> number_of_text("1,234.5"), number_of_text("1e3"), number_of_text("12 km")
    (1234.5, 1000.0, None)
    """
    if _NUMBER.fullmatch(text):
        return float(text)
    return float(text.replace(",", "")) if _THOUSANDS.fullmatch(text) else None


@dataclass
class Column:
    """What was inferred for a column; all values are plain, so that they can be written to a file.

    Attributes
    ----------
    name : str
    kind : {"number", "boolean", "category", "date", "dropped"}
    missing : float
        Share of missing cells.
    remark : str
        Why a column was dropped, or how it was read.
    levels : list of str or None
        Of a boolean or category, sorted; None, the level of missing cells, is first. Level i has code i + 1.
    exceptions : list of str
        Texts in a column of numbers or dates that are read as missing.
    parts : list of str
        Numbers that a date becomes.
    origin : int
        Day from which days are numbered, as days since 1970.
    day_first : bool or None
        Order of day and month; None if all dates have the year first.
    low, high : float
        Range of the numbers, or of the dates in seconds since 1970.
    """

    name: str
    kind: str
    missing: float = 0.0
    remark: str = ""
    levels: list[str | None] = field(default_factory=list)
    exceptions: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    origin: int = 0
    day_first: bool | None = None
    low: float = 0.0
    high: float = 0.0

    @property
    def number_names(self) -> list[str]:
        """Names of the numbers of this column."""
        if self.kind == "date":
            return [f"{self.name}_{part}" for part in self.parts]
        return [self.name] if self.kind == "number" else []

    def is_category(self) -> bool:
        """Return whether the column has levels.

        Examples
        --------
        >>> Column("a", "boolean").is_category()
        True
        """
        return self.kind in ("boolean", "category")

    def code_table(self) -> dict[str | None, int]:
        """Return the code of each level, and of other spellings of booleans.

        Examples
        --------
        >>> Column("a", "category", levels=[None, "u"]).code_table()
        {None: 1, 'u': 2}
        """
        table = {level: code for code, level in enumerate(self.levels, 1)}
        if self.kind == "boolean":
            for text, level in BOOLEANS.items():
                if level in table:
                    table |= dict.fromkeys((text, text.upper(), text.title()), table[level])
        return table

    def refusal(self, value: Any, row: int | None) -> ValueError:
        """Return the error for a cell that this column of numbers or dates cannot hold.

        Parameters
        ----------
        value : object
        row : int or None
            None if there is one row only.

        Examples
        --------
        >>> Column("a", "number").refusal("b", 3)
        ValueError("column 'a' of X must hold numbers, as in fit, got 'b' in row 3")
        """
        place = "" if row is None else f" in row {row}"
        if isinstance(value, float) and np.isinf(value):
            return ValueError(f"column {self.name!r} of X must hold finite numbers, got {value}{place}")
        return ValueError(
            f"column {self.name!r} of X must hold {self.kind}s, as in fit, got {value!r}{place}"
        )

    def number_of_text(self, text: str) -> float | None:
        """Return the number, or the seconds since 1970 of the date, in a text; None if there is none.

        Parameters
        ----------
        text : str

        Examples
        --------
        >>> Column("a", "number", exceptions=["none yet"]).number_of_text("none yet")
        nan
        """
        if text in self.exceptions:
            return np.nan
        return number_of_text(text) if self.kind == "number" else seconds_of_text(text, self.day_first)

    def values_of(self, raw: RawColumn) -> np.ndarray:
        """Return the numbers or the seconds of dates (n,) of a column of a table.

        Parameters
        ----------
        raw : RawColumn

        Raises
        ------
        ValueError
            If a cell is no number, or no date, or infinite.

        Examples
        --------
        >>> Column("a", "number").values_of(Table({"a": ["1,000", None]}).column("a")).tolist()
        [1000.0, nan]
        """
        if raw.kind == "text":
            table = np.full(len(raw.levels) + 1, np.nan)
            for index, text in enumerate(raw.levels):
                found = self.number_of_text(text)
                if found is None:
                    raise self.refusal(text, int(np.argmax(raw.codes == index)))
                table[index] = found
            values = table[raw.codes]
        else:
            values = raw.values
            if (raw.kind == "date") != (self.kind == "date") and not np.isnan(values).all():
                row = int(np.argmax(~np.isnan(values)))
                value = f"the {raw.kind} {values[row]:g}" if raw.kind != "date" else "a date"
                raise ValueError(
                    f"column {self.name!r} of X must hold {self.kind}s, as in fit, got {value} in row {row}"
                )
        return finite(raw.name, values)

    def codes_of(self, raw: RawColumn, table: Mapping[str | None, int]) -> np.ndarray:
        """Return the codes (n,) int32 of a column of a table, 0 for levels that `learn` has not seen.

        Parameters
        ----------
        raw : RawColumn
        table : dict
            What `code_table` returns.

        Examples
        --------
        >>> column = Column("a", "category", levels=[None, "u"])
        >>> column.codes_of(Table({"a": ["u", "w", None]}).column("a"), column.code_table()).tolist()
        [2, 0, 1]
        """
        raw = as_text(raw)
        index = np.array([*(table.get(text, 0) for text in raw.levels), table.get(None, 0)], dtype=np.int32)
        codes: np.ndarray = index[raw.codes]
        return codes


def finite(name: str, values: np.ndarray) -> np.ndarray:
    """Return the numbers of a column without infinities."""
    if len(values) and np.isinf(values).any():
        row = int(np.argmax(np.isinf(values)))
        raise ValueError(f"column {name!r} of X must hold finite numbers, got {values[row]} in row {row}")
    with np.errstate(invalid="ignore"):
        large = np.abs(values) > LARGEST
    return np.clip(values, -LARGEST, LARGEST) if large.any() else values


def as_text(raw: RawColumn) -> RawColumn:
    """Return a column of numbers, booleans or dates as text."""
    if raw.kind == "text":
        return raw
    values, inverse = np.unique(raw.values, return_inverse=True)
    known = int(np.count_nonzero(~np.isnan(values)))  # NaN is the last
    if raw.kind == "date":
        texts = [str(np.datetime64(round(value * 1e6), "us")) for value in values[:known].tolist()]
    else:
        booleans = raw.kind == "boolean"
        texts = [text_of(bool(v) if booleans else v) for v in values[:known].tolist()]
    codes = np.where(inverse < known, inverse, -1).astype(np.int32)
    return RawColumn(raw.name, "text", raw.values[:0], codes, texts)


# Inference


def learn_column(raw: RawColumn, kind: str | None = None) -> Column:
    """Return what a column is.

    Parameters
    ----------
    raw : RawColumn
    kind : str, optional
        One of KINDS that the caller knows; by default it is inferred.

    Raises
    ------
    ValueError
        If the column does not hold what `kind` says, or an infinity.

    Examples
    --------
    >>> learn_column(Table({"when": ["2024-01-31", "2024-02-29"]}).column("when")).kind
    'date'
    """
    n = len(raw)
    absent = raw.codes < 0 if raw.kind == "text" else np.isnan(raw.values)
    n_missing = int(np.count_nonzero(absent))
    column = Column(raw.name, "dropped", n_missing / n)
    if kind == "dropped":
        column.remark = "dropped as requested"
    elif n_missing == n:
        column.remark = "all values are missing"
    elif kind in ("category", "boolean") or (kind is None and (raw.kind == "boolean" or raw.declared)):
        _learn_levels(
            column, raw, "boolean" if raw.kind == "boolean" else kind or "category", kind is not None
        )
    elif raw.kind != "text":
        _learn_values(column, raw, finite(raw.name, raw.values), kind)
    elif kind in ("number", "date"):
        found = _as_values(column, raw, kind)
        if found is None:
            column.kind = kind
            wrong = next(text for text in raw.levels if column.number_of_text(text) is None)
            raise ValueError(
                f"column {raw.name!r} of X must hold {kind}s, as kinds says, got {wrong!r} in row "
                f"{int(np.argmax(raw.codes == raw.levels.index(wrong)))}"
            )
        _learn_values(column, found, found.values, kind)
    else:
        found = None
        if not any(_LEADING_ZERO.fullmatch(text) for text in raw.levels):  # these are codes
            found = _as_values(column, raw, "number")
        if found is None:
            found = _as_values(column, raw, "date")
        if found is None:
            _learn_levels(column, raw, "category", False)
        else:
            _learn_values(column, found, found.values, None)
    return column


def _as_values(column: Column, raw: RawColumn, kind: str) -> RawColumn | None:
    """Return text as numbers or dates, None if it does not hold them except for few cells."""
    order: bool | None = None
    values: list[float | None]
    remark = ""
    if kind == "number":
        values = [number_of_text(text) for text in raw.levels]
        remark = "numbers in text"
    else:
        dates = [fields_of(text) for text in raw.levels]
        try:
            order, remark = day_first_of(dates)
        except ValueError:
            return None
        values = [seconds_of_fields(each, order) for each in dates]
    wrong = [index for index, value in enumerate(values) if value is None]
    if len(wrong) == len(values) or len(wrong) > EXCEPTIONS:
        return None
    if wrong:
        if np.count_nonzero(np.isin(raw.codes, wrong)) > 0.05 * np.count_nonzero(raw.codes >= 0):
            return None
        column.exceptions = [raw.levels[index] for index in wrong]
        remark += "; read as missing: " + ", ".join(map(repr, column.exceptions))
    column.remark, column.day_first = remark, order
    table = np.array([*(np.nan if value is None else value for value in values), np.nan])
    found = finite(raw.name, table[raw.codes])
    column.missing = float(np.isnan(found).mean())
    integer = kind == "number" and not any(value is None or value % 1 for value in values)
    return number_column(raw.name, found, integer, "number" if kind == "number" else "date")


def _learn_values(column: Column, raw: RawColumn, values: np.ndarray, kind: str | None) -> None:
    """Complete a column of numbers or dates."""
    if kind is not None and (kind == "date") != (raw.kind == "date"):
        raise ValueError(f"column {raw.name!r} of X must hold {kind}s, as kinds says, got {raw.kind}s")
    known = values[~np.isnan(values)]
    column.low, column.high = float(known.min()), float(known.max())
    constant = column.low == column.high
    if constant and column.missing == 0:
        column.remark = f"constant: {'one date' if raw.kind == 'date' else f'{column.low:g}'}"
        return
    if raw.kind == "date":
        column.kind, column.origin = "date", int(column.low // 86400)
        parts = parts_of_array(known, column.origin)
        varied = np.ptp(parts, axis=0) > 0
        column.parts = [part for part, varies in zip(PARTS, varied, strict=True) if varies]
        if constant:  # whether the date is missing still tells something
            column.parts = ["day_number"]
        return
    if kind is None and raw.integer and column.missing == 0 and _is_row_number(values):
        column.remark = ROW_NUMBER
        return
    column.kind = "number"


def _is_row_number(values: np.ndarray) -> bool:
    """Return whether integers number the rows, or a random part of the rows of a larger table.

    Independent draws of n integers from a range of r have about n^2 / 2r pairs of equal values, so that a
    column without any pair where 20 are expected does not count or measure something.
    """
    n, span = len(values), float(values.max() - values.min()) + 1
    return n >= FEW_ROWS and n * (n - 1) / (2 * span) >= 20 and len(np.unique(values)) == n


def _learn_levels(column: Column, raw: RawColumn, kind: str, certain: bool) -> None:
    """Complete a column of categories."""
    text = as_text(raw)
    n_known = int(np.count_nonzero(text.codes >= 0))
    present = np.bincount(text.codes[text.codes >= 0], minlength=len(text.levels)) > 0
    levels = sorted({level for level, seen in zip(text.levels, present, strict=True) if seen})
    if kind == "boolean":
        other = {level: BOOLEANS.get(level.casefold()) for level in levels}
        wrong = next((level for level, known in other.items() if known is None), None)
        if wrong is not None:
            raise ValueError(f"column {raw.name!r} of X must hold booleans, as kinds says, got {wrong!r}")
        levels = sorted({known for known in other.values() if known is not None})
    if len(levels) == 1 and n_known == len(text):
        column.remark = f"constant: {levels[0]!r}"
    elif kind == "category" and not certain and n_known >= FEW_ROWS and len(levels) > 0.9 * n_known:
        column.remark = f"identifier: {len(levels)} different texts in {n_known} rows"
    else:
        column.kind = kind
        column.levels = [*([None] if n_known < len(text) else []), *levels]


# Tables


class Columns:
    """The columns of a table: what each one is, and how to read other tables with these columns.

    Parameters
    ----------
    columns : list of Column
        In the order of the table.
    named : bool
        Whether the table had names; otherwise other tables of as many columns are read by position.

    Examples
    --------
    >>> columns, numbers, codes = learn({"age": [31, 60, None], "job": ["cook", "?", "cook"]})
    >>> columns.number_names, columns.category_names, codes.tolist()
    (['age'], ['job'], [[2], [1], [2]])
    >>> columns.read({"age": 40, "job": "pilot"})
    (array([[40.]]), array([[0]], dtype=int32))
    """

    def __init__(self, columns: list[Column], named: bool) -> None:
        self.columns, self.named = columns, named
        self.number_names = [name for column in columns for name in column.number_names]
        self.category_names = [column.name for column in columns if column.is_category()]
        self._tables = {column.name: column.code_table() for column in columns if column.is_category()}

    def read(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers (n, n_numbers) float64, NaN for missing, and the codes (n, n_categories) int32.

        The code 0 is a level that `learn` has not seen, and missing where it has seen no missing cell.

        Parameters
        ----------
        X : table
            Columns that `learn` has not seen are ignored; those that it lacks are missing, with a warning.

        Raises
        ------
        TypeError, ValueError
            If X is no table, has none of the columns, or a column of numbers or dates holds something else.

        Examples
        --------
        See the class.
        """
        table = X if isinstance(X, Table) else Table(X)
        known = [column.name for column in self.columns]
        if not (self.named and table.named):
            if len(table.names) != len(known):
                raise ValueError(f"X must have {len(known)} columns, as in fit, got {len(table.names)}")
            places = dict(zip(known, table.names, strict=True))
        else:
            given = set(table.names)
            places = {name: name for name in known if name in given}
        used = [column for column in self.columns if column.kind != "dropped"]
        lacking = [column.name for column in used if column.name not in places]
        if lacking:
            refuse_lacking(lacking, len(used), table.names, 5)
        raws = {c.name: table.column(places[c.name]) for c in used if c.name in places}
        return self.convert(raws, table.n_rows)

    def convert(self, raws: Mapping[str, RawColumn], n_rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the numbers and codes of columns that were read; others are missing.

        Parameters
        ----------
        raws : dict of RawColumn
            By the names of these columns.
        n_rows : int

        Examples
        --------
        >>> Columns([Column("a", "number")], True).convert({}, 1)
        (array([[nan]]), array([], shape=(1, 0), dtype=int32))
        """
        numbers = np.full((len(self.number_names), n_rows), np.nan)
        codes = np.zeros((len(self.category_names), n_rows), np.int32)
        at_number = at_code = 0
        for column in self.columns:
            raw = raws.get(column.name)
            if column.is_category():
                table = self._tables[column.name]
                codes[at_code] = table.get(None, 0) if raw is None else column.codes_of(raw, table)
                at_code += 1
            elif column.kind == "number":
                if raw is not None:
                    numbers[at_number] = column.values_of(raw)
                at_number += 1
            elif column.kind == "date":
                if raw is not None:
                    parts = parts_of_array(column.values_of(raw), column.origin)
                    for offset, part in enumerate(column.parts):
                        numbers[at_number + offset] = parts[:, PARTS.index(part)]
                at_number += len(column.parts)
        return numbers.T, codes.T

    def get_state(self) -> dict[str, Any]:
        """Return everything as plain values.

        Examples
        --------
        >>> Columns.from_state(Columns([Column("a", "number")], True).get_state()).number_names
        ['a']
        """
        return {"named": self.named, "columns": [asdict(column) for column in self.columns]}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Columns:
        """Return the columns of which `get_state` returned the values.

        Parameters
        ----------
        state : dict

        Examples
        --------
        See `get_state`.
        """
        return cls([Column(**values) for values in state["columns"]], state["named"])


def learn(X: Any, kinds: Mapping[str, str] | None = None) -> tuple[Columns, np.ndarray, np.ndarray]:
    """Return the columns of a table, and its numbers and codes as `Columns.read` returns them.

    Parameters
    ----------
    X : table
        What `Table` reads, with at least two rows.
    kinds : dict, optional
        Kinds of columns by name, where the caller knows better.

    Raises
    ------
    TypeError, ValueError
        If X is no table, a cell cannot be read, `kinds` does not fit, or no column is left.

    Examples
    --------
    >>> columns, _, _ = learn({"a": [1.5, 2.5], "b": ["x", "x"]})
    >>> [(column.kind, column.remark) for column in columns.columns]
    [('number', ''), ('dropped', "constant: 'x'")]
    """
    table = Table(X)
    if kinds is not None and not isinstance(kinds, Mapping):
        raise TypeError(f"kinds must be a dict of columns and their kinds, got {kinds!r}")
    known = {} if kinds is None else {str(name): kind for name, kind in kinds.items()}
    for name, kind in known.items():
        if name not in table.names:
            raise ValueError(f"kinds must name columns of X, got {name!r}")
        checks.check_name(f"kinds[{name!r}]", kind, KINDS)
    if table.n_rows < 2:
        raise ValueError("X must have at least 2 rows in fit, got 1")
    raws = {name: table.column(name) for name in table.names}
    columns = [learn_column(raw, known.get(name)) for name, raw in raws.items()]
    if all(column.kind == "dropped" for column in columns):
        # The table may be a toy example, such as x = 0, 1, 2, ... and y = sin(x)
        again = [
            column.name for column in columns if column.remark == ROW_NUMBER and column.name not in known
        ]
        for place, column in enumerate(columns):
            if column.name in again:
                columns[place] = learn_column(raws[column.name], "number")
                columns[place].remark = f"{ROW_NUMBER}; kept, as no other column is left"
    if all(column.kind == "dropped" for column in columns):
        reasons = "; ".join(f"{column.name!r}: {column.remark}" for column in columns[:5])
        raise ValueError(f"X must have a column to learn from, got {reasons}")
    found = Columns(columns, table.named)
    return found, *found.convert(raws, table.n_rows)


def _some(names: list[str]) -> str:
    """Return the first names of a list as an error shows them."""
    return ", ".join(repr(name) for name in names[:5]) + (
        f" and {len(names) - 5} more" if len(names) > 5 else ""
    )


def refuse_lacking(lacking: list[str], n_used: int, given: list[str], depth: int) -> None:
    """Warn that columns of fit are not in X, or raise an error if none of them is.

    The caller that the warning shows is `depth` calls above.
    """
    if len(lacking) == n_used:
        raise ValueError(
            f"X must have the columns of fit, {_some(lacking)}, got none of them but "
            f"{_some(given) or 'no column'}"
        )
    warnings.warn(f"X lacks columns of fit, which are read as missing: {_some(lacking)}", stacklevel=depth)

"""Sources of the rows of dataframes: of pandas and polars in slices, of Dask by partitions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .. import _checks as checks
from .table_files import Columns, columns_of, joined

BLOCK_BYTES = 1 << 18  # of X in float64, in a block of a table in memory


def is_frame(value: Any) -> bool:
    """Return whether an object is a dataframe of pandas, polars or Dask.

    Examples
    --------
    >>> import pandas as pd
    >>> is_frame(pd.DataFrame({"a": [1]})), is_frame([[1]])
    (True, False)
    """
    in_memory = hasattr(value, "iloc") or hasattr(value, "get_columns")
    return hasattr(value, "columns") and hasattr(value, "dtypes") and (in_memory or is_dask(value))


def is_dask(value: Any) -> bool:
    """Return whether an object has partitions, as a dataframe of Dask."""
    return hasattr(value, "npartitions") and hasattr(value, "to_delayed")


class FrameSource:
    """Rows of a dataframe of pandas or polars; see `dnn.sources.dataframe`."""

    def __init__(self, frame: Any, target: Any, features: Any, sample_weight: Any, n_rows: Any) -> None:
        names = [str(name) for name in frame.columns]
        self.columns = columns_of(names, target, features, sample_weight)
        self.columns.check(names, "df")
        dtypes = dict(zip(names, list(frame.dtypes), strict=True))
        for name in (*self.columns.features, *self.columns.weights):
            if not _is_numeric(dtypes[name]):
                raise TypeError(f"column {name!r} of df must hold numbers, got {dtypes[name]}")
        self.n_rows = self._open(frame, n_rows)

    def _open(self, frame: Any, n_rows: Any) -> int | None:
        """Keep what is read of a dataframe, and return its number of rows."""
        self.frame = frame
        n = len(frame)
        if not n:
            raise ValueError("df must have at least one row, got none")
        if n_rows not in (None, n):
            raise ValueError(f"n_rows must be None or {n}, which df has, got {n_rows!r}")
        self.block_rows = max(1, BLOCK_BYTES // (8 * max(1, len(self.columns.features))))
        return n

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        assert self.n_rows is not None
        return -(-self.n_rows // self.block_rows)

    @property
    def features(self) -> list[str]:
        """Names of the columns of X."""
        return self.columns.features

    def read(self, block: int) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a block."""
        yield self._arrays(self.columns, block)

    def targets(self, block: int) -> Iterator[np.ndarray]:
        """Yield the targets of a block."""
        yield self._arrays(self.columns.of_targets, block)[1]

    def place(self, block: int, row: int) -> str:
        """Return the words for a row."""
        return f"row {block * self.block_rows + row}"

    def _arrays(self, columns: Columns, block: int) -> tuple[Any, ...]:
        part = self._part(columns, block)
        n = len(part)
        values = {name: _values(part[name], name, name in columns.targets) for name in columns.all}
        y = joined([values[name] for name in columns.targets], n)
        weights = tuple(values[name] for name in columns.weights)
        X = joined([values[name] for name in columns.features], n)
        return X, y[:, 0] if columns.one_target else y, *weights

    def _part(self, columns: Columns, block: int) -> Any:
        """Return a dataframe in memory with the rows of a block."""
        rows = slice(block * self.block_rows, (block + 1) * self.block_rows)
        return self.frame.iloc[rows] if hasattr(self.frame, "iloc") else self.frame[rows]


class DaskSource(FrameSource):
    """Rows of a dataframe of Dask, whose partitions are its blocks; see `dnn.sources.dataframe`."""

    def _open(self, frame: Any, n_rows: Any) -> int | None:
        self.whole = frame[self.columns.all].to_delayed()
        self.of_targets = frame[self.columns.targets].to_delayed()
        return None if n_rows is None else checks.check_integer("n_rows", n_rows, 1)

    @property
    def n_blocks(self) -> int:
        """Number of partitions."""
        return len(self.whole)

    def place(self, block: int, row: int) -> str:
        """Return the words for a row."""
        return f"row {row} of partition {block}"

    def _part(self, columns: Columns, block: int) -> Any:
        return (self.whole if columns is self.columns else self.of_targets)[block].compute()


def _is_numeric(dtype: Any) -> bool:
    """Return whether a dtype of NumPy, pandas or polars is one of real numbers or booleans."""
    kind = getattr(dtype, "kind", None)
    if kind is not None:  # of NumPy, and of an extension of pandas
        return str(kind) in "biuf"
    return bool(dtype.is_numeric()) or str(dtype) == "Boolean"


def _values(column: Any, name: str, is_target: bool) -> np.ndarray:
    """Return a column (n,) as an array: numbers, those that are missing as NaN, or labels of a target."""
    if not _is_numeric(column.dtype):
        if not is_target:
            raise TypeError(f"column {name!r} of df must hold numbers, got {column.dtype}")
        return np.asarray(column, dtype=object)
    if isinstance(column.dtype, np.dtype):
        return np.asarray(column)
    if hasattr(column, "iloc") and column.isna().any():
        found: np.ndarray = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return found
    if hasattr(column, "iloc"):
        return np.asarray(column.to_numpy(dtype=column.dtype.numpy_dtype))
    return np.asarray(column.cast(float).to_numpy() if column.null_count() else column.to_numpy())

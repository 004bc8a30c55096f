"""Rows of a table with piecewise-linear columns, of which two elements per number are stored instead of a column per bin."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from .sparse import SparseRows

MAX_BINS = 256  # of a number: a tile of W has all of them, and at 256 units is as large as an L2 cache allows


class PiecewiseRows(SparseRows):
    """Rows (N, I) with plain columns and piecewise-linear encodings of numbers; used as SparseRows.

    Some columns form segments. A row has at most one element in a segment, in the column of the bin that its number is in;
    the element is the part t of the bin below the number. It stands for a 1 in each column of the segment before its own,
    t in its own, and 0 after it. A row without an element in a segment has zeros there: the number is missing.

    Stored are the sums of steps that these rows are (`matrix`): an element v in a column of a segment stands for v in
    each column from the first one of the segment to its own. Thus t becomes 1 - t in the column before, and t in its own.

    Parameters
    ----------
    matrix : sparse matrix or array of SciPy (N, I)
        In any format. Elements may be in any order; duplicates are added.
    segments : array_like of int (I,)
        The first column of the segment that each column is in, -1 for plain columns.
    dtype : numpy.dtype
        float32 or float64.
    name : str, default "X"
        Its name in errors.

    Raises
    ------
    ValueError
        If a row has two elements in a segment, a segment has gaps or more than 256 columns, a value overflows in this dtype,
        or the matrix has 2**31 columns or more.

    References
    ----------
    Gorishniy, Rubachev, Babenko (2022), On embeddings for numerical features in tabular deep learning, equation 1.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> table = csr_array([[7, 0, 0.25, 0], [5, 0.5, 0, 0]])  # a plain column, a number with three bins
    >>> X = PiecewiseRows(table, [-1, 1, 1, 1], np.dtype("float32"))
    >>> X[:].tolist()
    [[7.0, 1.0, 0.25, 0.0], [5.0, 0.5, 0.0, 0.0]]
    """

    segments: np.ndarray

    def __init__(self, matrix: Any, segments: Any, dtype: np.dtype[Any], name: str = "X") -> None:
        matrix = matrix.tocsr()
        segments = np.require(segments, np.int32, ["C", "A"])
        if segments.shape != matrix.shape[1:]:
            raise ValueError(
                f"segments must have an element for each of the {matrix.shape[1]} columns of {name}, got {segments.shape}"
            )
        firsts, counts = np.unique(segments[segments >= 0], return_counts=True)
        if counts.max(initial=0) > MAX_BINS:
            raise ValueError(
                f"segments must have at most {MAX_BINS} columns each, got {counts.max()} from column "
                f"{firsts[counts.argmax()]} on"
            )
        if not matrix.has_canonical_format:
            matrix = matrix.copy()
            matrix.sum_duplicates()
        self.segments = segments
        super().__init__(_steps(matrix, segments, name), dtype, name)

    def _like(self, matrix: Any, dtype: np.dtype[Any]) -> PiecewiseRows:
        """Return rows with the same segments from their stored form."""
        rows = object.__new__(PiecewiseRows)
        rows.segments = self.segments
        SparseRows.__init__(rows, matrix, dtype)
        return rows

    @cached_property
    def _ones(self) -> Any:
        """The matrix (I, I) of zeros and ones that turns stored rows into the rows that they stand for."""
        columns = np.arange(self.shape[1])
        begins = np.where(self.segments < 0, columns, self.segments)
        indptr = np.append(0, np.cumsum(columns + 1 - begins))
        indices = np.arange(indptr[-1]) - np.repeat(indptr[:-1] - begins, np.diff(indptr))
        ones = np.ones(indptr[-1], self.dtype)
        return type(self.matrix)((ones, indices, indptr), shape=(len(columns), len(columns)))

    def __getitem__(self, which: Any) -> np.ndarray:
        found: np.ndarray = (self.matrix[which] @ self._ones).toarray(order="C")
        return found

    def written_out(self) -> SparseRows:
        """Return the same rows with every element stored that is not 0."""
        return SparseRows(self.matrix @ self._ones, self.dtype)

    def product(self, W: np.ndarray) -> np.ndarray:
        """Return the product (N, U) of these rows and W (I, U)."""
        found: np.ndarray = self.matrix @ (self._ones @ W)
        return found

    def column_moments(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation (I,) of each column, over every step-th row."""
        return self.take(slice(None, None, step)).written_out().column_moments(1)

    def take(self, which: Any) -> PiecewiseRows:
        """Return some rows, with the same segments."""
        return self._like(self.matrix[which], self.dtype)

    def astype(self, dtype: Any, copy: bool = True) -> PiecewiseRows:
        """Return the same rows in another precision."""
        return self if np.dtype(dtype) == self.dtype else self._like(self.matrix, np.dtype(dtype))


def _steps(matrix: Any, segments: np.ndarray, name: str) -> Any:
    """Return the stored form of a CSR matrix whose rows are sorted: of each row first the elements of plain columns, which
    the core multiplies with other rows than those of segments. Zeros in segments are not stored."""
    columns, values, indptr = matrix.indices, matrix.data, matrix.indptr.astype(np.int64)
    if values.dtype.kind != "f":
        values = values.astype(np.float64)
    first = segments[columns]
    plain = first < 0
    same = np.zeros(len(columns), bool)  # as the element before it, row and segment
    same[1:] = ~plain[1:] & (first[1:] == first[:-1])
    same[indptr[:-1][indptr[:-1] < len(columns)]] = False
    if same.any():
        k = int(same.argmax())
        raise ValueError(
            f"{name} must have at most one element in a segment per row, got two in columns {columns[k - 1]} and {columns[k]} "
            f"of row {np.searchsorted(indptr, k, 'right') - 1}"
        )
    lower = ~plain & (columns > first) & (values != 1)
    upper = ~plain & (values != 0)
    n_plain = np.append(0, np.cumsum(plain))
    n_steps = np.append(0, np.cumsum(lower.astype(np.int8) + upper))
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    plain_before, steps_before = n_plain[indptr], n_steps[indptr]  # all elements of the rows before
    begins = plain_before[rows + 1] + n_steps[:-1]  # where the one or two elements of a number go
    out_columns = np.empty(n_plain[-1] + n_steps[-1], np.int32)
    out_values = np.empty(len(out_columns), values.dtype)
    for where, to, column, value in (
        (plain, steps_before[rows] + n_plain[:-1], columns, values),
        (lower, begins, columns - 1, 1 - values),
        (upper, begins + lower, columns, values),
    ):
        out_columns[to[where]], out_values[to[where]] = column[where], value[where]
    return type(matrix)((out_values, out_columns, plain_before + steps_before), shape=matrix.shape)

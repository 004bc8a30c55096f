"""Rows of a table with piecewise-linear columns: one stored element per number, not one per bin."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from .sparse import SparseRows

MAX_BINS = 256  # of a number: one tile of W has all of them, and stays in the cache of a core


class PiecewiseRows(SparseRows):
    """Rows (N, I) with plain columns and piecewise-linear encodings of numbers; used in place of SparseRows.

    Some columns form segments, one segment per number and one column per bin. The stored element of a number
    is in the column of its bin, and is the part t of this bin that is below the number. It stands for 1 in
    each column of the segment before its own, t in its own, and 0 after it. Without a stored element the
    whole segment is 0: the number is missing.

    Parameters
    ----------
    matrix : sparse matrix or array of SciPy (N, I)
        In any format. A stored 0 of a segment has a meaning: it stands for ones in the bins before it.
    segments : array_like of int (I,)
        The first column of the segment that each column is in, -1 for plain columns.
    dtype : numpy.dtype
        float32 or float64.
    name : str, default "X"
        Its name in errors.

    Raises
    ------
    ValueError
        If segments is not of this form, or a segment has more than 256 columns; and as SparseRows.

    References
    ----------
    Gorishniy, Rubachev, Babenko (2022), On embeddings for numerical features in tabular deep learning,
    equation 1.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> table = csr_array([[7, 0, 0.25, 0], [5, 0.5, 0, 0]])  # a plain column, and a number with three bins
    >>> X = PiecewiseRows(table, [-1, 1, 1, 1], np.dtype("float32"))
    >>> X[:].tolist()
    [[7.0, 1.0, 0.25, 0.0], [5.0, 0.5, 0.0, 0.0]]
    """

    segments: np.ndarray

    def __init__(self, matrix: Any, segments: Any, dtype: np.dtype[Any], name: str = "X") -> None:
        segments = np.asarray(segments)
        if segments.shape != matrix.shape[1:] or segments.dtype.kind not in "iu":
            raise ValueError(
                f"segments must be an integer for each of the {matrix.shape[1]} columns of {name}, got "
                f"{segments.dtype} {segments.shape}"
            )
        counts = np.bincount(segments[segments >= 0])
        if counts.max(initial=0) > MAX_BINS:
            raise ValueError(
                f"segments must have at most {MAX_BINS} columns each, got {counts.max()} from column "
                f"{counts.argmax()} on"
            )
        self.segments = np.require(segments, np.int32, ["C", "A"])
        super().__init__(matrix, dtype, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.matrix, self.segments, self.dtype)

    @cached_property
    def _before(self) -> Any:
        """The matrix (I, I) of ones whose row of a column has the columns of its segment before it."""
        columns = np.arange(self.shape[1])
        begins = np.where(self.segments < 0, columns, self.segments)
        indptr = np.append(0, np.cumsum(columns - begins))
        indices = np.arange(indptr[-1]) - np.repeat(indptr[:-1] - begins, np.diff(indptr))
        ones = np.ones(indptr[-1], self.dtype)
        return type(self.matrix)((ones, indices, indptr), shape=(len(columns), len(columns)))

    def written_out(self, which: Any = slice(None)) -> Any:
        """Return some rows as a matrix of SciPy in which every element that is not 0 is stored."""
        some = self.matrix[which]
        ones = np.ones(some.nnz, self.dtype)
        return some + type(some)((ones, some.indices, some.indptr), shape=some.shape) @ self._before

    def __getitem__(self, which: Any) -> np.ndarray:
        found: np.ndarray = self.written_out(which).toarray(order="C")
        return found

    def product(self, W: np.ndarray) -> np.ndarray:
        """Return the product (N, U) of these rows and W (I, U)."""
        found: np.ndarray = self.written_out() @ W
        return found

    def column_moments(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation (I,) of each column, over every step-th row."""
        return SparseRows(self.written_out(slice(None, None, step)), self.dtype).column_moments(1)

    def take(self, which: Any) -> PiecewiseRows:
        """Return some rows, with the same segments."""
        return PiecewiseRows(self.matrix[which], self.segments, self.dtype)

    def astype(self, dtype: Any, copy: bool = True) -> PiecewiseRows:
        """Return the same rows in another precision."""
        if np.dtype(dtype) == self.dtype:
            return self
        return PiecewiseRows(self.matrix, self.segments, np.dtype(dtype))

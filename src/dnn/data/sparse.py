"""Rows of a sparse matrix for the core, which reads only the stored elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core
from .blocks import too_large


class SparseRows:
    """A sparse matrix (N, I) in the core's precision, in CSR format; used in place of an array of rows.

    Parameters
    ----------
    matrix : sparse matrix or array of SciPy (N, I)
        In any format; not copied if it is CSR in this dtype with 32-bit indices. Elements may be in any
        order, and duplicates are added.
    dtype : numpy.dtype
        float32 or float64.
    name : str, default "X"
        Its name in errors.

    Raises
    ------
    ValueError
        If a value overflows in this dtype, or the matrix has 2**31 columns or more.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> X = SparseRows(csr_array([[0, 0, 3], [1, 0, 0]]), np.dtype("float32"))
    >>> len(X), X[[1]].tolist()
    (2, [[1.0, 0.0, 0.0]])
    """

    segments: np.ndarray | None = None  # see PiecewiseRows

    def __init__(self, matrix: Any, dtype: np.dtype[Any], name: str = "X") -> None:
        matrix = matrix.tocsr()
        if matrix.shape[1] >= 1 << 31:
            raise ValueError(f"{name} must have fewer than 2**31 columns, got {matrix.shape[1]}")
        try:
            with np.errstate(over="raise"):
                values = np.require(matrix.data, dtype, ["C", "A"])
        except FloatingPointError:
            raise too_large(matrix.data, dtype, name) from None
        if values is not matrix.data:  # the indices are shared
            matrix = type(matrix)((values, matrix.indices, matrix.indptr), shape=matrix.shape)
        self.matrix = matrix
        self.shape: tuple[int, int] = matrix.shape
        self.dtype = dtype
        self.core = _core.SparseMatrix(
            np.require(matrix.indptr, np.int64, ["C", "A"]), np.require(matrix.indices, np.int32, ["C", "A"]),
            values, self.shape[1], self.segments,
        )  # fmt: skip

    def __len__(self) -> int:
        return self.shape[0]

    def __reduce__(self) -> tuple[Any, ...]:
        # The core's view of the matrix does not pickle; __init__ aligns arrays that begin anywhere in memory
        return type(self), (self.matrix, self.dtype)

    def __getitem__(self, which: Any) -> np.ndarray:
        """Return a few rows (n, I) as a dense array."""
        found: np.ndarray = self.matrix[which].toarray(order="C")
        return found

    @property
    def n_stored(self) -> int:
        """Number of stored elements."""
        return self.core.n_stored

    def column_moments(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation (I,) of each column, over every step-th row."""
        some = self.matrix[::step].astype(np.float64)
        some.sum_duplicates()
        mean = np.asarray(some.mean(axis=0)).ravel()
        rest = some.tocsc()  # centered, because squares of uncentered values would lose digits
        counts = np.diff(rest.indptr)
        columns = np.repeat(np.arange(self.shape[1]), counts)
        squares = np.bincount(columns, (rest.data - mean[columns]) ** 2, self.shape[1])
        return mean, np.sqrt((squares + (some.shape[0] - counts) * mean**2) / some.shape[0])

    def product(self, W: np.ndarray) -> np.ndarray:
        """Return the product (N, U) of these rows and W (I, U)."""
        found: np.ndarray = self.matrix @ W
        return found

    def take(self, which: Any) -> SparseRows:
        """Return some rows, as a sparse matrix."""
        return SparseRows(self.matrix[which], self.dtype)

    def astype(self, dtype: Any, copy: bool = True) -> SparseRows:
        """Return the same rows in another precision."""
        return self if np.dtype(dtype) == self.dtype else SparseRows(self.matrix, np.dtype(dtype))


def core_rows(X: np.ndarray | SparseRows) -> Any:
    """Return X in the form that the core accepts."""
    return X.core if isinstance(X, SparseRows) else X

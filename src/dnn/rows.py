"""Rows of a sparse matrix, made dense as they are read: memory grows with what is stored, not with N x I."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

# Bytes of dense rows at a time, where a batch does not need more: they stay in the cache while they are used.
READ = 1 << 21


class Rows:
    """A sparse matrix (N, I) in CSR form that gives dense rows; stands where an array of rows would.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array or csr_matrix (N, I)
        Kept, not copied.
    dtype : numpy.dtype
        Of the rows that are given.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> X = Rows(csr_array([[0, 0, 3], [1, 0, 0]]), np.dtype("float32"))
    >>> len(X), X[[1]].tolist()
    (2, [[1.0, 0.0, 0.0]])
    """

    def __init__(self, matrix: Any, dtype: np.dtype[Any]) -> None:
        self.matrix = matrix.astype(dtype, copy=False)
        self.shape: tuple[int, int] = matrix.shape
        self.dtype = dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, which: Any) -> np.ndarray:
        found: np.ndarray = self.matrix[which].toarray(order="C")
        return found

    def read(self, which: Any, out: np.ndarray) -> None:
        """Write some rows to out (n, I), C-ordered, of this dtype."""
        self.matrix[which].toarray(out=out)

    def astype(self, dtype: Any, copy: bool = True) -> Rows:
        """Return the same rows in another precision."""
        return Rows(self.matrix, np.dtype(dtype))

    @property
    def a_tile(self) -> int:
        """Rows that are made dense at a time."""
        return max(1, READ // (self.shape[1] * self.dtype.itemsize))

    def tiles(self) -> Iterator[slice]:
        """Give all rows in order, a tile at a time."""
        for begin in range(0, len(self), self.a_tile):
            yield slice(begin, min(begin + self.a_tile, len(self)))

"""Rows of a memory map in another dtype, which are converted in blocks as they are read."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np

# Bytes of converted rows per block, which stay in the cache of the processor while they are used.
BLOCK = 1 << 21
# Rows per block, at most, because their targets and activations are held at the same time.
ROWS = 4096
# Bytes of the rows of a batch that training holds; the gradient of a larger batch is a sum over blocks.
HELD = 1 << 24


class BlockRows:
    """Rows (N, I) in a dtype other than the stored one; used in place of an array of rows.

    Parameters
    ----------
    source : ndarray (N, I) or BlockRows
        The stored rows, which are not copied, with any real dtype, byte order and strides.
    dtype : numpy.dtype
        The dtype of the converted rows.
    name : str, default "X"
        Its name in errors.
    index : ndarray of int, default None
        Row numbers of `source`, in order; None: all rows.

    Examples
    --------
    >>> import numpy as np
    >>> X = BlockRows(np.array([[1, 2], [3, 4]], ">i2"), np.dtype("float32"))
    >>> len(X), X[[1]].tolist()
    (2, [[3.0, 4.0]])
    """

    def __init__(
        self, source: Any, dtype: np.dtype[Any], name: str = "X", index: np.ndarray | None = None
    ) -> None:
        self.source = source
        self.dtype = dtype
        self.name = name
        self.index = index
        self.shape: tuple[int, int] = (len(source if index is None else index), source.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def _stored(self, which: Any) -> Any:
        """Return some rows in the stored dtype, as a view if `which` is a slice of all."""
        return self.source[which if self.index is None else self.index[which]]

    def __getitem__(self, which: Any) -> np.ndarray:
        stored = self._stored(which)
        out = np.empty(stored.shape, self.dtype)
        convert(stored, out, self.name)
        return out

    def read(self, which: Any, out: np.ndarray) -> None:
        """Write some rows to out (n, I), which has this dtype."""
        convert(self._stored(which), out, self.name)

    def check(self) -> None:
        """Raise if a value overflows."""
        for tile in self.tiles():
            self[tile]

    def take(self, which: Any) -> BlockRows:
        """Return some rows without reading them."""
        if self.index is not None:
            which = self.index[which]
        index = np.arange(*which.indices(len(self))) if isinstance(which, slice) else np.asarray(which)
        return BlockRows(self.source, self.dtype, self.name, index)

    def astype(self, dtype: Any, copy: bool = True) -> BlockRows:
        """Return the same rows in another precision, converted from this dtype."""
        return BlockRows(self, np.dtype(dtype), self.name)

    def tiles(self) -> Iterator[slice]:
        """Yield slices of all rows in order, one per block."""
        rows_per_tile = max(1, min(BLOCK // (self.shape[1] * self.dtype.itemsize), ROWS))
        for begin in range(0, len(self), rows_per_tile):
            yield slice(begin, min(begin + rows_per_tile, len(self)))


def convert(array: Any, out: np.ndarray, name: str) -> None:
    """Write an array to `out`, in its dtype; raise if a value overflows."""
    try:
        with np.errstate(over="raise"):
            out[...] = array
    except FloatingPointError:
        raise too_large(array, out.dtype, name) from None


def too_large(array: np.ndarray, dtype: np.dtype[Any], name: str) -> ValueError:
    """Return the error for an array with a value that overflows in a dtype."""
    largest = np.nanmax(np.abs(np.where(np.isinf(array), 0, array)))
    return ValueError(f"{name} must fit {dtype}, got {largest:g}: scale it, or use dtype='float64'")


def is_mapped(array: Any) -> bool:
    """Return whether an array is a memory map or a view of one."""
    while array is not None and not isinstance(array, mmap.mmap):
        array = array.obj if isinstance(array, memoryview) else getattr(array, "base", None)
    return array is not None

"""Sources of rows for `Network.fit`, which are read block by block: arrays, files and functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from mmap import ALLOCATIONGRANULARITY
from typing import Any

import numpy as np

from . import _checks as checks
from .data.frames import DaskSource, FrameSource, is_dask, is_frame
from .data.table_files import CSVSource, ParquetSource, Paths

BLOCK_BYTES = 1 << 18  # of X in a block of an array that has no chunks


class ArraySource:
    """Blocks of rows of arrays; see `arrays`."""

    def __init__(self, X: Any, y: Any, sample_weight: Any, block_rows: int | None) -> None:
        self.given = (X, y) if sample_weight is None else (X, y, sample_weight)
        self.n_rows = int(X.shape[0])
        self.edges = np.append(_starts(X, block_rows), self.n_rows)

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return len(self.edges) - 1

    def read(self, block: int) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a block."""
        rows = slice(int(self.edges[block]), int(self.edges[block + 1]))
        yield tuple(np.asarray(each[rows]) for each in self.given)

    def targets(self, block: int) -> Iterator[np.ndarray]:
        """Yield the targets of a block."""
        yield np.asarray(self.given[1][int(self.edges[block]) : int(self.edges[block + 1])])

    def place(self, block: int, row: int) -> str:
        """Return the words for a row."""
        return f"row {self.edges[block] + row}"

    def __getstate__(self) -> dict[str, Any]:
        # Pickled, a memory map has all of its rows; another process maps the file instead
        return {**vars(self), "given": tuple(map(_file_of, self.given))}

    def __setstate__(self, state: dict[str, Any]) -> None:
        made = (np.memmap(**each) if isinstance(each, dict) else each for each in state["given"])
        vars(self).update(state, given=tuple(made))


def arrays(X: Any, y: Any, sample_weight: Any = None, *, block_rows: int | None = None) -> ArraySource:
    """Return a source of the rows of arrays that are larger than memory.

    Parameters
    ----------
    X : array_like (N, I)
        Anything with a shape whose slices of rows are arrays: a memory map of NumPy, a dataset of h5py, an
        array of Zarr or Dask.
    y : array_like (N,) or (N, O)
        Targets.
    sample_weight : array_like (N,), default None
        Weights of the rows.
    block_rows : int, at least 1, default None
        Rows of a block, which are read together; None: whole chunks of X, or 256 KB.

    Raises
    ------
    TypeError, ValueError
        For arrays of different lengths, for arrays of Dask whose chunks have unknown sizes, and for a
        dataframe: see `dataframe`.

    Examples
    --------
    >>> import numpy as np
    >>> from dnn import Network, sources
    >>> X = np.linspace(-1, 1, 100)[:, None]
    >>> source = sources.arrays(X, 3 * X, block_rows=10)
    >>> source.n_blocks, source.n_rows
    (10, 100)
    >>> history = Network([1, 1], random_state=0).fit(source, epochs=2, batch_size=20)
    """
    if is_frame(X):
        raise TypeError("X must be an array, got a dataframe: sources.dataframe(df, target) reads it")
    given = {"X": X, "y": y, **({} if sample_weight is None else {"sample_weight": sample_weight})}
    made = {name: each if hasattr(each, "shape") else np.asarray(each) for name, each in given.items()}
    if math.isnan(made["X"].shape[0]):  # Dask does not know it
        raise ValueError("X must have chunks of known sizes, got unknown ones: call X.compute_chunk_sizes()")
    for name, each in made.items():
        if not each.shape or each.shape[0] != made["X"].shape[0]:
            raise ValueError(
                f"{name} must have {made['X'].shape[:1]} rows, as X has, got shape {tuple(each.shape)}"
            )
    if len(made["X"].shape) != 2:
        raise ValueError(f"X must have shape (n_samples, n_features), got {tuple(made['X'].shape)}")
    if not made["X"].shape[0]:
        raise ValueError("X must have at least one row, got none")
    if block_rows is not None:
        checks.check_integer("block_rows", block_rows, 1)
    return ArraySource(made["X"], made["y"], made.get("sample_weight"), block_rows)


def _starts(X: Any, block_rows: int | None) -> np.ndarray:
    """Return the first row of each block of X (N, I): of its chunks, or as many as are about 256 KB."""
    n = int(X.shape[0])
    chunks = getattr(X, "chunks", None)  # of h5py and Zarr one size per axis, of Dask the sizes of all chunks
    if block_rows is None and chunks is not None and not np.isscalar(chunks[0]):
        return np.cumsum([0, *chunks[0][:-1]])
    if block_rows is None:
        width = max(1, int(X.shape[1]) * X.dtype.itemsize)
        block_rows = max(1, BLOCK_BYTES // width)
        if chunks is not None:
            block_rows = max(1, block_rows // chunks[0]) * chunks[0]
    return np.arange(0, n, block_rows)


def _file_of(array: Any) -> Any:
    """Return the options of `numpy.memmap` that map an array in another process; what is no map as it is."""
    if not isinstance(array, np.memmap) or array.filename is None or not array.flags.forc:
        return array
    # The offset of a slice is that of the whole map, which begins at a page
    begin = np.frombuffer(vars(array)["_mmap"], np.uint8).ctypes.data
    return {
        "filename": array.filename, "dtype": array.dtype, "mode": "r", "shape": array.shape,
        "offset": array.offset // ALLOCATIONGRANULARITY * ALLOCATIONGRANULARITY + array.ctypes.data - begin,
        "order": "C" if array.flags.c_contiguous else "F",
    }  # fmt: skip


class FunctionSource:
    """One block, whose parts a function yields; see `function`."""

    n_blocks = 1

    def __init__(self, make: Callable[[], Iterable[Any]], n_rows: int | None) -> None:
        self.make = make
        self.n_rows = n_rows

    def read(self, block: int) -> Iterator[tuple[Any, ...]]:
        """Yield the parts."""
        yield from self.make()

    def place(self, block: int, row: int) -> str:
        """Return the words for a row."""
        return f"row {row} of the source"


def function(make: Any, n_rows: int | None = None) -> FunctionSource:
    """Return a source of the rows that a function yields in sequence, called once per epoch.

    The rows are shuffled within a buffer only: those that are sorted must be mixed by the function.

    Parameters
    ----------
    make : callable
        ``make()`` returns an iterator over (X, y) or (X, y, sample_weight), always the same rows.
    n_rows : int, default None
        Number of rows; None: not known.

    Raises
    ------
    TypeError
        For anything that cannot be called, such as an iterator, which can be read only once.

    Examples
    --------
    >>> import numpy as np
    >>> from dnn import Network, sources
    >>> def rows():
    ...     for i in range(10):
    ...         x = np.random.default_rng(i).normal(size=(100, 2))
    ...         yield x, x.sum(axis=1)
    >>> history = Network([2, 1], random_state=0).fit(sources.function(rows, n_rows=1000), epochs=2)
    >>> history.n_rows
    [1000, 1000]
    """
    if not callable(make):
        hint = ": an iterator can be read only once" if hasattr(make, "__next__") else ""
        raise TypeError(f"make must be a function that returns an iterator, got {make!r}{hint}")
    if n_rows is not None:
        checks.check_integer("n_rows", n_rows, 1)
    return FunctionSource(make, n_rows)


def dataframe(
    df: Any,
    target: str | Sequence[str],
    *,
    features: Sequence[str] | None = None,
    sample_weight: str | None = None,
    n_rows: int | None = None,
) -> FrameSource:
    """Return a source of the rows of a dataframe of Dask, whose partitions are its blocks, pandas or polars.

    A partition is computed whenever it is read, once per epoch, and must give the same rows each time. It is
    held in memory: `repartition` cuts those that are large, and more of them mix rows better.

    Parameters
    ----------
    df : dataframe
        Of Dask, with known or unknown divisions, of pandas or polars.
    target, features, sample_weight : default None
        As in `parquet`. One target of a classifier may hold text; all other columns hold numbers or booleans.
    n_rows : int, default None
        Number of rows in all partitions of Dask; None: not known. ``len(df)`` counts them, by reading all.

    Raises
    ------
    TypeError, ValueError
        For anything that is no dataframe, and for columns that are missing, or do not hold numbers.

    Examples
    --------
    >>> import pandas as pd
    >>> from dnn import MLPClassifier, sources
    >>> df = pd.DataFrame({"height": [1.0, 2.0, 3.0, 4.0], "kind": ["bush", "bush", "tree", "tree"]})
    >>> source = sources.dataframe(df, "kind")
    >>> source.n_rows, source.features
    (4, ['height'])
    >>> clf = MLPClassifier((), n_iter_no_change=1, tol=1.0, random_state=0).fit(source)
    >>> clf.classes_.tolist()
    ['bush', 'tree']
    """
    if not is_frame(df):
        raise TypeError(f"df must be a dataframe of Dask, pandas or polars, got {type(df).__name__}")
    return (DaskSource if is_dask(df) else FrameSource)(df, target, features, sample_weight, n_rows)


def parquet(
    path: Paths,
    target: str | Sequence[str],
    *,
    features: Sequence[str] | None = None,
    sample_weight: str | None = None,
) -> ParquetSource:
    """Return a source of the rows of Parquet files, whose row groups are its blocks (needs pyarrow).

    A row group is decoded in parts, so that one that is larger than memory can be read; but rows are mixed
    best where they have some thousand rows: ``pyarrow.parquet.write_table(..., row_group_size=10_000)``.

    Parameters
    ----------
    path : path, list of paths, or dataset of pyarrow
        A file, a folder with files ``.parquet`` also in folders in it, or files.
    target : str or list of str
        The column of y, or its columns. Columns hold numbers or booleans, or lists of a fixed size of them,
        or binary values of a fixed size, whose bytes are numbers from 0 to 255 (the pixels of an image):
        both count as several columns, and are read several times faster than these. The one target of a
        classifier may hold text.
    features : list of str, default None
        The columns of X; None: all others, as they are in the first file.
    sample_weight : str, default None
        The column of the weights.

    Raises
    ------
    FileNotFoundError, OSError
        For a file that is not there or is no Parquet file.
    TypeError, ValueError
        For columns that are missing, or do not hold numbers.
    ImportError
        If pyarrow is not installed.

    Examples
    --------
    >>> from dnn import sources
    >>> sources.parquet("nothing.parquet", "y")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: 'nothing.parquet'
    """
    return ParquetSource(path, target, features, sample_weight)


def csv(
    path: Paths,
    target: str | Sequence[str],
    *,
    features: Sequence[str] | None = None,
    sample_weight: str | None = None,
    names: Sequence[str] | None = None,
    delimiter: str = ",",
    n_rows: int | None = None,
) -> CSVSource:
    """Return a source of the rows of CSV files, each of which is a block (needs pyarrow).

    A file is read from the beginning to the end, and its rows are mixed within a buffer only. One large file
    whose rows are sorted should be written as Parquet first, which is also read several times faster.

    Parameters
    ----------
    path : path, list of paths, or dataset of pyarrow
        A file, a folder with files ``.csv`` or ``.csv.gz`` also in folders in it, or files.
    target, features, sample_weight : default None
        As in `parquet`. The columns hold numbers.
    names : list of str, default None
        The names of the columns; None: the first line has them.
    delimiter : str, default ","
        One character.
    n_rows : int, default None
        Number of rows in all files; None: not known.

    Raises
    ------
    FileNotFoundError, TypeError, ValueError
        For a file that is not there, and for columns that are missing.
    ImportError
        If pyarrow is not installed.

    Examples
    --------
    >>> from dnn import sources
    >>> sources.csv("nothing.csv", "y")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: 'nothing.csv'
    """
    return CSVSource(path, target, features, sample_weight, names, delimiter, n_rows)

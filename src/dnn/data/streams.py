"""Rows that are read block by block while a network is trained on them: more than memory holds."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

from .. import _checks as checks
from .. import _core
from ..losses import LossSpec
from . import arrays as data
from .arrays import Targets
from .blocks import BlockRows
from .row_cache import RowCache

BUFFER_BYTES = 1 << 26  # of the inputs in a buffer, by default
BUFFER_ROWS = 1 << 20  # in a buffer, at most, by default: their order has 8 MB
LARGEST_WEIGHT = 2.0**data.WEIGHT_EXPONENT
FIRST_ROWS = 256  # of a source that are read and checked before anything is changed
PLACES = 10  # of bad rows that are reported, at most


class RowSource(Protocol):
    """What `Network.fit` needs of rows that are read block by block; `dnn.sources` has ready ones.

    Blocks are read in a random order in each epoch. A source that can only be read from the beginning to the
    end has one block, with many parts. A source may also have ``place(block, row)``, which returns the words
    that an error uses for a row, such as "data.csv, line 7"; ``features``, the names of the columns; and
    ``targets(block)``, which yields y alone, of which a classifier needs the labels before it is trained.

    Attributes
    ----------
    n_blocks : int
        Number of blocks, at least 1.
    n_rows : int or None
        Number of rows in all blocks; None where it is not known. It is needed for the time that is left, and
        for learning rates that depend on the length of an epoch.

    Examples
    --------
    >>> import numpy as np
    >>> from dnn import Network
    >>> class Squares:
    ...     n_blocks, n_rows = 8, 8 * 500
    ...
    ...     def read(self, block):
    ...         x = np.random.default_rng(block).uniform(-1, 1, (500, 1))
    ...         yield x, x**2
    >>> net = Network([1, 32, 1], random_state=0)
    >>> history = net.fit(Squares(), epochs=20)
    >>> history.loss[-1] < history.loss[0] / 10
    True
    """

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""

    @property
    def n_rows(self) -> int | None:
        """Number of rows, or None."""

    def read(self, block: int) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a block, always the same: one or more parts (X, y) or (X, y, sample_weight).

        Parameters
        ----------
        block : int
            Number of the block, from 0. It is called in another thread than `fit`; of a source that is also
            the validation set, in two threads.
        """


class Stream:
    """A source of rows, and how it is read: ``net.fit(Stream(source, ...))``.

    In each epoch, blocks are read in a random order into a buffer; its rows are visited in a random order
    while another thread fills the next buffer.

    Parameters
    ----------
    source : RowSource
    buffer_rows : int, at least 1, default None
        Rows of a buffer, at most, rounded to batches: more of them mix data better that are sorted. None: as
        many as have 64 MB of inputs, at most 2^20.
    prefetch : int, at least 0, default 1
        Buffers that are read ahead, each with its memory; 0: none, and without another thread. The results
        have the same bits for any number.
    on_bad_rows : "raise" or "skip", default "raise"
        What is done with rows that have NaN, infinity, or text in place of a number: an error that tells
        where the row is, or they are left out, and counted in the history.
    cache : path, bool, default False
        The first epoch writes the decoded rows to a file, from which the later ones read them: with the same
        bits, and faster where decoding takes longer than training, as that of CSV files and of hundreds of
        columns does. True: a temporary file (in the folder of the variable TMPDIR), which is removed when
        the training ends. A path: a folder in which it stays for further trainings, as long as the files of
        the source are the same; other sources are recognized by their lengths and first rows. If a file
        cannot be written, as on a full disk, there is one warning, and the source is read in each epoch.

    Raises
    ------
    TypeError, ValueError
        For a source without ``n_blocks``, ``n_rows`` and ``read``, and for options that are out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from dnn import Network, Stream, sources
    >>> X = np.linspace(-1, 1, 1000)[:, None]
    >>> X[3] = np.nan
    >>> net = Network([1, 1], random_state=0)
    >>> history = net.fit(Stream(sources.arrays(X, 2 * X), on_bad_rows="skip"), epochs=2)
    >>> history.n_rows, history.n_skipped
    ([999, 999], [1, 1])
    """

    def __init__(
        self,
        source: Any,
        *,
        buffer_rows: int | None = None,
        prefetch: int = 1,
        on_bad_rows: str = "raise",
        cache: str | os.PathLike[str] | bool = False,
    ) -> None:
        if not is_source(source):
            raise TypeError(
                "source must have n_blocks, n_rows and read(block), as those of dnn.sources, got "
                f"{type(source).__name__}"
            )
        checks.check_integer("n_blocks of source", source.n_blocks, 1)
        if source.n_rows is not None:
            checks.check_integer("n_rows of source", source.n_rows, 1)
        self.source = source
        self.buffer_rows = (
            None if buffer_rows is None else checks.check_integer("buffer_rows", buffer_rows, 1)
        )
        self.prefetch = checks.check_integer("prefetch", prefetch, 0)
        self.on_bad_rows = checks.check_name("on_bad_rows", on_bad_rows, ("raise", "skip"))
        if not isinstance(cache, (str, os.PathLike, bool, np.bool_)):
            raise TypeError(f"cache must be the path of a folder, True or False, got {cache!r}")
        if isinstance(cache, (str, os.PathLike)) and os.path.exists(cache) and not os.path.isdir(cache):
            raise ValueError(f"cache must be the path of a folder, got the file {cache}")
        self.cache = cache if isinstance(cache, (str, os.PathLike)) else bool(cache)


def read_alike(stream: Stream, source: Any) -> Stream:
    """Return a stream that reads another source in the same way, without a cache, which is of one source.

    Examples
    --------
    >>> from dnn import Stream, sources
    >>> one, other = (sources.arrays([[x]], [x]) for x in (1, 2))
    >>> read_alike(Stream(one, on_bad_rows="skip"), other).on_bad_rows
    'skip'
    """
    return Stream(
        source, buffer_rows=stream.buffer_rows, prefetch=stream.prefetch, on_bad_rows=stream.on_bad_rows
    )


def place_of(stream: Stream, block: int, row: int) -> str:
    """Return the words for a row of a block.

    Examples
    --------
    >>> from dnn import Stream, sources
    >>> place_of(Stream(sources.arrays([[1], [2]], [1, 2])), 0, 1)
    'row 1'
    """
    place = getattr(stream.source, "place", None)
    return f"row {row} of block {block}" if place is None else str(place(block, row))


def rows_per_buffer(stream: Stream, batch: int, row_bytes: int) -> int:
    """Return the rows of a buffer, a multiple of those of a batch; the buffers of an epoch are about equal.

    Otherwise the last one might have few blocks, and what is learned last counts most.
    """
    n = stream.buffer_rows or min(BUFFER_ROWS, max(1, BUFFER_BYTES // row_bytes))
    n = max(1, n // batch) * batch
    if stream.source.n_rows is None:
        return n
    n_rows = int(stream.source.n_rows)
    n_buffers = -(-n_rows // n)
    return -(-n_rows // (n_buffers * batch)) * batch


def is_source(value: Any) -> bool:
    """Return whether an object has what a `RowSource` has.

    Examples
    --------
    >>> is_source([[1, 2]])
    False
    """
    return callable(getattr(value, "read", None)) and hasattr(value, "n_blocks") and hasattr(value, "n_rows")


def stream_of(X: Any) -> Stream | None:
    """Return the stream of a source or of a stream, and None for anything else."""
    if isinstance(X, Stream):
        return X
    return Stream(X) if is_source(X) else None


def cache_of(stream: Stream, dtype: np.dtype[Any]) -> RowCache | None:
    """Return the cache of a stream for a network of a precision, None for none."""
    return None if stream.cache is False else RowCache(stream.source, stream.cache, dtype)


class Position(NamedTuple):
    """Where a buffer begins: the epoch, the block's number in the order of the epoch, and the row in it."""

    epoch: int = 0
    block: int = 0
    row: int = 0


class StreamedRows(NamedTuple):
    """A stream, and what its rows are converted to."""

    stream: Stream
    spec: LossSpec
    n_features: int
    n_outputs: int
    dtype: np.dtype[Any]
    class_weight: Any = None
    suffix: str = ""  # of X, y and sample_weight in errors
    encode: Callable[[np.ndarray, str], np.ndarray] | None = None  # makes targets of y; and its name

    @property
    def names(self) -> tuple[str, str, str]:
        """Names of X, y and sample_weight."""
        return f"X{self.suffix}", f"y{self.suffix}", f"sample_weight{self.suffix}"


def order_of_blocks(n_blocks: int, n_buffers: int, rng: np.random.Generator) -> np.ndarray:
    """Return a random order (n_blocks,) of the blocks for so many buffers, each from all over the source.

    The blocks are cut into sections of n_buffers neighbors, and each buffer gets one of every section. Where
    the rows of a source are sorted, a buffer then has about the distribution of all rows; buffers of blocks
    that are drawn independently would differ from each other as small samples do. With 8 blocks and 3
    buffers, where sections begin with block 6, because where they begin is random too:

        sections         6 7 0    1 2 3    4 5 -
        permuted         7 0 6    2 1 3    - 5 4
        for the buffers  7 2    0 1 5    6 3 4      in a random order: 2 7 | 5 0 1 | 6 4 3

    Examples
    --------
    >>> order = order_of_blocks(8, 3, np.random.default_rng(0))
    >>> order.tolist(), sorted(order.tolist())
    ([3, 0, 6, 4, 2, 7, 5, 1], [0, 1, 2, 3, 4, 5, 6, 7])
    """
    n_buffers = min(n_buffers, n_blocks)
    n_sections = -(-n_blocks // n_buffers)
    sections = np.full(n_sections * n_buffers, -1)
    sections[:n_blocks] = np.roll(np.arange(n_blocks), -int(rng.integers(n_blocks)))
    of_buffers = rng.permuted(sections.reshape(n_sections, n_buffers), axis=1).T
    order: np.ndarray = rng.permuted(of_buffers, axis=1).ravel()
    return order[order >= 0]


class Buffer:
    """Memory for the rows of a buffer; that of targets and weights is allocated with the first rows."""

    def __init__(self, n_rows: int, rows: StreamedRows) -> None:
        self.X = np.empty((n_rows, rows.n_features), rows.dtype)
        self.others: list[np.ndarray | None] | None = None  # Y, classes, targets of a custom loss, weights

    def write(self, first: int, others: list[np.ndarray | None]) -> None:
        """Write targets and weights of rows, whose first one has this number."""
        if self.others is None:
            self.others = [
                None if each is None else np.empty((len(self.X), *each.shape[1:]), each.dtype)
                for each in others
            ]
        for whole, part in zip(self.others, others, strict=True):
            if (whole is None) != (part is None):
                raise ValueError("the source must give every part with weights, or none")
            if whole is not None and part is not None:
                if whole.dtype != part.dtype or whole.shape[1:] != part.shape[1:]:
                    raise ValueError(
                        f"y must have one dtype and shape in all parts, got {part.dtype} {part.shape[1:]} "
                        f"after {whole.dtype} {whole.shape[1:]}"
                    )
                whole[first : first + len(part)] = part


class Filled(NamedTuple):
    """A buffer with rows: n of them, from a position to another, and what was left out of the source."""

    buffer: Buffer
    n: int
    begin: Position
    end: Position
    n_skipped: int
    skipped: list[str]  # the places of some of them

    @property
    def is_last(self) -> bool:
        """Whether the epoch ends with this buffer."""
        return self.end.epoch > self.begin.epoch

    def arrays(self) -> tuple[np.ndarray, Targets, np.ndarray | None]:
        """Return the rows, their targets, and their weights or None."""
        others = self.buffer.others or [None] * 4
        Y, classes, any_, weights = (None if each is None else each[: self.n] for each in others)
        return self.buffer.X[: self.n], Targets(Y, classes, any_), weights


class _Part(NamedTuple):
    """Rows as the source gave them, and where they begin."""

    begin: Position
    block: int  # its number in the source
    arrays: tuple[Any, ...]


class BlockReader:
    """Reads the blocks of a source in the order of each epoch, and fills buffers with checked rows.

    Parameters
    ----------
    rows : StreamedRows
    buffer_rows : int
        Rows of the buffers that will be filled.
    seed : int or None
        Of the orders of the blocks, which depend on it and on the epoch alone; None: in sequence.
    n_epochs : int
    begin : Position
    cache : RowCache or None
        Through which the source is read.
    blocks : list of int or None
        The blocks that an epoch has, in this order; None: all.
    """

    def __init__(
        self,
        rows: StreamedRows,
        buffer_rows: int,
        seed: int | None,
        n_epochs: int,
        begin: Position,
        cache: RowCache | None = None,
        blocks: list[int] | None = None,
    ) -> None:
        self.read = rows.stream.source.read if cache is None else cache.read
        self.stream = rows.stream
        self.rows = rows
        self.buffer_rows = buffer_rows
        self.seed = seed
        self.n_epochs = n_epochs
        self.blocks = blocks
        self.position = begin
        self.parts = self._parts(begin)
        self.part: _Part | None = None  # of which rows are left
        self.block = 0  # that was read last

    def fill(self, buffer: Buffer) -> Filled | None:
        """Fill a buffer with the next rows of the epoch; return None where no epoch is left."""
        begin = self.position
        if begin.epoch >= self.n_epochs:
            return None
        n, n_skipped, skipped = 0, 0, list[str]()
        try:
            while (part := self._next_part()) is not None and n < len(buffer.X):
                n_read = min(len(part.arrays[0]), len(buffer.X) - n)
                bad = self._read(part, n_read, buffer, n)
                skipped += [place_of(self.stream, part.block, part.begin.row + i) for i in bad[:PLACES]]
                n += n_read - len(bad)
                n_skipped += len(bad)
                rest = tuple(array[n_read:] for array in part.arrays)
                row = part.begin.row + n_read
                self.part = _Part(part.begin._replace(row=row), part.block, rest)
        except OSError as error:
            raise type(error)(
                f"{self._where(begin)}, could not be read: {error}. The last good weights are in place; with "
                "a checkpoint, resume=True continues from it"
            ) from error
        except Exception as error:
            error.add_note(f"while dnn read {self._where(begin)}")
            raise
        if part is None:
            self.position = Position(begin.epoch + 1)
            self.parts = self._parts(self.position)
        else:
            self.position = part.begin
        return Filled(buffer, n, begin, self.position, n_skipped, skipped[:PLACES])

    def close(self) -> None:
        """Close what the source has open."""
        self.parts.close()

    def _parts(self, begin: Position) -> Any:
        """Yield the parts of an epoch from a position."""
        n, n_rows = self.stream.source.n_blocks, self.stream.source.n_rows
        order = np.arange(n)
        if self.seed is not None:
            n_buffers = n if n_rows is None else -(-n_rows // self.buffer_rows)
            order = order_of_blocks(n, n_buffers, np.random.default_rng([self.seed, begin.epoch]))
        elif self.blocks is not None:
            order = np.array(self.blocks)
        for number in range(begin.block, len(order)):
            self.block = int(order[number])
            row = 0
            left_out = begin.row if number == begin.block else 0
            for given in self.read(self.block):
                arrays = self._arrays(given)
                n_rows = len(arrays[0])
                skip = min(n_rows, max(0, left_out - row))
                if skip:
                    arrays = tuple(array[skip:] for array in arrays)
                yield _Part(Position(begin.epoch, number, row + skip), self.block, arrays)
                row += n_rows

    def _next_part(self) -> _Part | None:
        """Return the part whose rows come next, at least one; None at the end of the epoch."""
        while self.part is None or not len(self.part.arrays[0]):
            self.part = next(self.parts, None)
            if self.part is None:
                return None
        return self.part

    def _arrays(self, given: Any) -> tuple[Any, ...]:
        """Return what a source gave as arrays X, y and weights, which may be missing."""
        if not isinstance(given, tuple) or len(given) not in (2, 3):
            raise TypeError(f"source.read must yield (X, y) or (X, y, sample_weight), got {type(given)}")
        names = self.rows.names
        wanted = f"{names[0]} must have shape (n_samples, {self.rows.n_features})"
        X = data.numbers(given[0], names[0])
        if X.ndim != 2 or X.shape[1] != self.rows.n_features:
            raise ValueError(f"{wanted}, got {X.shape}")
        arrays = (X, *(data.array_of(each, name) for each, name in zip(given[1:], names[1:], strict=False)))
        for array, name in zip(arrays[1:], names[1:], strict=False):
            if array.ndim == 0 or len(array) != len(X):
                raise ValueError(
                    f"{name} must have {len(X)} rows, as {names[0]} has, got shape {array.shape}"
                )
        return arrays

    def _read(self, part: _Part, n: int, buffer: Buffer, first: int) -> list[int]:
        """Write the first n rows of a part to a buffer from a row on; return the bad ones, left out."""
        arrays = [array[:n] for array in part.arrays]
        X = buffer.X[first : first + n]
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows becomes infinity, which is bad
            X[...] = arrays[0]
        bad: list[int] = []
        finite = [X, *(array for array in arrays[1:] if array.dtype.kind == "f")]
        is_good = arrays[0].dtype.kind in "biu" or _core.all_finite(X)  # integers do not overflow
        if not (is_good and all(np.isfinite(array).all() for array in finite[1:])):
            is_bad = np.zeros(n, bool)
            for array in finite:
                is_bad |= ~np.isfinite(array).reshape(n, -1).all(axis=1)
            bad = np.flatnonzero(is_bad).tolist()
            if self.stream.on_bad_rows == "raise":
                raise ValueError(self._bad_row(part, arrays, X, bad[0]))
            arrays = [array[~is_bad] for array in arrays]
            X[: n - len(bad)] = X[~is_bad]
        if n > len(bad):
            try:
                buffer.write(first, self._others(arrays))
            except (TypeError, ValueError) as error:
                where = place_of(self.stream, part.block, part.begin.row)
                kind = TypeError if isinstance(error, TypeError) else ValueError
                raise kind(f"{error}, in the rows from {where} on") from error
        return bad

    def _bad_row(self, part: _Part, arrays: list[Any], X: np.ndarray, row: int) -> str:
        """Return the message about a bad row."""
        where = place_of(self.stream, part.block, part.begin.row + row)
        columns = np.flatnonzero(~np.isfinite(X[row]))
        name, value = self.rows.names[0], None
        if columns.size:
            value = arrays[0][row, columns[0]]
            names = getattr(self.stream.source, "features", None)
            name = f"column {columns[0] if names is None else repr(names[columns[0]])} of {name}"
        else:
            at = next(i for i in (1, 2) if not np.isfinite(arrays[i][row]).all())
            name, value = self.rows.names[at], arrays[at][row]
        return (
            f"{name} must be finite and fit {X.dtype}, got {value} in {where}; "
            "Stream(source, on_bad_rows='skip') leaves such rows out"
        )

    def _others(self, arrays: list[Any]) -> list[np.ndarray | None]:
        """Return the targets and the weights of good rows, checked."""
        to = self.rows
        _, y, sample_weight = to.names
        given = arrays[1] if to.encode is None else to.encode(arrays[1], y)
        targets = data.targets(given, to.spec, len(arrays[0]), to.n_outputs, to.dtype, name=y)
        if isinstance(targets.Y, BlockRows):
            targets = targets._replace(Y=targets.Y[:])
        weights = data.class_weights(to.class_weight, targets, to.n_outputs)
        if len(arrays) == 3:
            given = data.converted(arrays[2], np.dtype(np.float64), sample_weight)
            if given.ndim != 1 or given.min() < 0 or given.max() > LARGEST_WEIGHT:
                raise ValueError(f"{sample_weight} must be (n_samples,), at least 0 and below 1e180")
            weights = given if weights is None else given * weights
        return [targets.Y, targets.classes, targets.any, weights]

    def _where(self, begin: Position) -> str:
        if self.rows.suffix:
            return f"block {self.block} of {self.rows.names[0]}"
        return f"block {self.block} of the source, in epoch {begin.epoch}"


def first_part(stream: Stream) -> tuple[np.ndarray, np.ndarray]:
    """Return X (n, I) and y of the first part of a source, as the source gives them."""
    parts = (part for block in range(stream.source.n_blocks) for part in stream.source.read(block))
    try:
        for part in parts:
            X, y = data.numbers(part[0], "X"), data.array_of(part[1], "y")
            if X.ndim != 2:
                raise ValueError(f"X must have shape (n_samples, n_features), got {X.shape}")
            return X, y
    finally:
        parts.close()
    raise ValueError("the source must have at least one good row, got none")


def first_rows(rows: StreamedRows) -> tuple[np.ndarray, Targets, np.ndarray | None]:
    """Return some rows of a source, their targets and weights, checked, before anything is changed."""
    reader, buffer = BlockReader(rows, FIRST_ROWS, None, 1, Position()), Buffer(FIRST_ROWS, rows)
    try:
        while (filled := reader.fill(buffer)) is not None and not filled.n:
            pass  # bad rows only
    finally:
        reader.close()
    if filled is None:
        what = rows.names[0] if rows.suffix else "the source"
        raise ValueError(f"{what} must have at least one good row, got none")
    return filled.arrays()


class Feed:
    """Hands over filled buffers, which another thread fills ahead.

    Parameters
    ----------
    reader : BlockReader
    """

    def __init__(self, reader: BlockReader) -> None:
        from queue import SimpleQueue

        self.reader = reader
        self.present: Buffer | None = None  # which the caller uses
        self.free: SimpleQueue[Buffer | None] = SimpleQueue()
        self.ready: SimpleQueue[Filled | BaseException | None] = SimpleQueue()
        self.thread: threading.Thread | None = None
        self.stopped = False
        for _ in range(reader.stream.prefetch + 1):
            self.free.put(Buffer(reader.buffer_rows, reader.rows))

    def next(self) -> Filled:
        """Return the next buffer; the one before is filled again."""
        if self.thread is None and self.reader.stream.prefetch:
            # Not in __init__: after Ctrl-C in there, nobody would end the thread
            self.thread = threading.Thread(target=self._run, name="dnn-stream", daemon=True)
            self.thread.start()
        if self.present is not None:
            self.free.put(self.present)
            self.present = None
        found = self.reader.fill(self._free()) if self.thread is None else self.ready.get()
        if isinstance(found, BaseException):
            raise found
        assert found is not None
        self.present = found.buffer
        return found

    def close(self) -> None:
        """End the thread, after the part of a block that it is reading."""
        self.stopped = True
        self.free.put(None)
        if self.thread is not None and self.thread.ident is not None:
            self.thread.join()
        self.reader.close()

    def _free(self) -> Buffer:
        buffer = self.free.get()
        assert buffer is not None
        return buffer

    def _run(self) -> None:
        while (buffer := self.free.get()) is not None and not self.stopped:
            found: Filled | BaseException | None
            try:
                found = self.reader.fill(buffer)
            except BaseException as error:  # is raised where the buffer is needed
                found = error
            self.ready.put(found)
            if not isinstance(found, Filled):
                return

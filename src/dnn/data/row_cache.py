"""A file with the decoded rows of a source, from which all epochs after the first one read."""

from __future__ import annotations

import os
import warnings
import weakref
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from .. import _core
from . import arrays as data

FORMAT = b"dnn rows 1"  # the last bytes of a file
FEW_ROWS = 16  # of a part that are looked at before all: most floats are not whole numbers
KINDS = "biufUS"  # of dtypes that a file may hold
# Of each array of a part: where it begins, its dtype and its shape; "O" before the dtype of texts that are
# objects of Python in the source
Record = tuple[int, str, tuple[int, ...]]


class RowCache:
    """The blocks of a source, each read from it once, and later from a file.

    A file holds for each part of a block the bytes of X, y and the weights. X is held as bytes (uint8) where
    it has whole numbers from 0 to 255 only, and otherwise in the dtype of the network if this is smaller than
    that of the source: what the network gets has the same bits as without the cache.

    Without a folder the file has no name, and vanishes with the process. In a folder it gets its name when it
    is complete; until then other processes do not see it. The end of a file says what it is of, and where its
    blocks are.

    Parameters
    ----------
    source : RowSource
    folder : path or True
        True: a file without a name.
    dtype : numpy.dtype
        Of the network.
    """

    def __init__(self, source: Any, folder: str | os.PathLike[str] | bool, dtype: np.dtype[Any]) -> None:
        self.source = source
        self.dtype = dtype
        self.index: dict[int, list[list[Record]]] = {}  # of each block its parts, of each part its arrays
        self.n_bytes = 0  # written
        self.path: str | None = None  # of the complete file
        self.partial: str | None = None  # of the one that is written
        self.version = ""
        self.file: Any = None
        self.close: weakref.finalize[..., Any] = weakref.finalize(self, _nothing)
        known = ("", "") if isinstance(folder, bool) else fingerprint_of(source)  # raises for changed files
        try:
            self._open(folder, *known)
        except OSError as error:
            self._give_up(error)

    def read(self, block: int) -> Iterator[tuple[Any, ...]]:
        """Yield the parts of a block: from the file, or from the source, which are then written."""
        if block in self.index:
            for part in self.index[block]:
                yield tuple(self._array(record) for record in part)
            return
        parts: list[list[Record]] = []
        for part in self.source.read(block):
            yield part
            if self.file is not None:  # what is wrong in the part has been noticed by now
                try:
                    parts.append(self._write(part))
                except (OSError, TypeError) as error:
                    self._give_up(error)
        if self.file is not None:
            self.index[block] = parts
            if self.path is not None and len(self.index) == self.source.n_blocks:
                try:
                    self._publish()
                except OSError as error:
                    self._warn(error, "is used in this training only")

    def _open(self, folder: str | os.PathLike[str] | bool, identity: str, version: str) -> None:
        import tempfile

        if isinstance(folder, bool):
            self.file = tempfile.TemporaryFile("w+b", buffering=0)  # noqa: SIM115
            self.close = weakref.finalize(self, self.file.close)
            return
        os.makedirs(folder, exist_ok=True)
        self.version = version
        name = f"dnn-{_hash(f'{identity} {self.dtype}'.encode())}"
        self.path = os.path.join(folder, f"{name}.rows")
        if self._load():
            return
        for other in os.listdir(folder):
            if other.startswith(f"{name}.partial-") and not _is_alive(other.split("-")[-2]):
                with suppress(FileNotFoundError):  # another process does the same
                    os.unlink(os.path.join(folder, other))  # left by a process that was killed
        descriptor, self.partial = tempfile.mkstemp("", f"{name}.partial-{os.getpid()}-", folder)
        self.file = os.fdopen(descriptor, "w+b", buffering=0)
        self.close = weakref.finalize(self, _discard, self.file, self.partial)

    def _load(self) -> bool:
        """Open a complete file of the same rows; return whether there is one."""
        assert self.path is not None
        try:
            file = open(self.path, "rb", buffering=0)  # noqa: SIM115
        except FileNotFoundError:
            return False
        index = index_of(file, self.version)
        if index is None or index.keys() != set(range(self.source.n_blocks)):
            file.close()
            return False
        self.file, self.index = file, index
        self.close = weakref.finalize(self, file.close)
        return True

    def _write(self, part: Any) -> list[Record]:
        """Append the arrays of a part to the file, and return where they are."""
        arrays = [narrowed(data.numbers(part[0], "X"), self.dtype), *map(np.asarray, part[1:])]
        records = []
        for given in arrays:
            array, mark = given, ""
            if given.dtype.kind == "O" and all(isinstance(item, str) for item in given.ravel()):
                array, mark = given.astype(str), "O"
            if array.dtype.kind not in KINDS:
                raise TypeError(f"y and weights must be numbers or texts, got {given.dtype}")
            records.append((self.n_bytes, mark + array.dtype.str, array.shape))
            self.n_bytes += _write_all(self.file, np.ascontiguousarray(array).reshape(-1).view(np.uint8))
        return records

    def _array(self, record: Record) -> np.ndarray:
        begin, dtype, shape = record
        array = np.empty(shape, dtype.removeprefix("O"))
        view = array.reshape(-1).view(np.uint8).data
        self.file.seek(begin)
        while view.nbytes:
            n = self.file.readinto(view)
            if not n:
                raise OSError(f"the cache {self.path or ''} has become shorter")
            view = view[n:]
        return array.astype(object) if dtype.startswith("O") else array

    def _publish(self) -> None:
        """Write the end of the file, and give it its name."""
        import json

        assert self.path is not None and self.partial is not None
        footer = json.dumps({"version": self.version, "blocks": sorted(self.index.items())}).encode()
        footer += len(footer).to_bytes(8, "little") + FORMAT
        self.file.seek(self.n_bytes)
        _write_all(self.file, np.frombuffer(footer, np.uint8))
        os.fsync(self.file.fileno())  # otherwise the name may survive a failure of power, and not the rows
        os.replace(self.partial, self.path)
        self.close.detach()
        self.close = weakref.finalize(self, self.file.close)

    def _give_up(self, error: Exception) -> None:
        """Read from the source from now on."""
        self.close()
        self.file = None
        self.index.clear()
        self._warn(error, "is not used")

    def _warn(self, error: Exception, so: str) -> None:
        what = "the cache" if self.path is None else f"the cache {self.path}"
        warnings.warn(f"{what} cannot be written, and {so}: {error}", UserWarning, stacklevel=2)


def narrowed(X: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Return X as uint8 where this is exact, or in a smaller dtype that it is converted to later anyway.

    Examples
    --------
    >>> narrowed(np.array([[0.0, 255.0]]), np.dtype("float32")).dtype
    dtype('uint8')
    >>> narrowed(np.array([[0.5, 1e300]]), np.dtype("float32")).dtype
    dtype('float64')
    """
    if X.dtype.itemsize == 1:
        return X
    with np.errstate(all="ignore"):
        for rows in (slice(FEW_ROWS), slice(None)):
            small = X[rows].astype(np.uint8)
            if not np.array_equal(small, X[rows]):
                break
        else:
            if X.dtype.kind != "f" or not np.signbit(X).any():  # -0 has other bits than 0
                return small
        if X.dtype.itemsize <= dtype.itemsize:
            return X
        narrow = X.astype(dtype, order="C")
    return narrow if _core.all_finite(narrow) else X  # otherwise errors tell the value that does not fit


def fingerprint_of(source: Any) -> tuple[str, str]:
    """Return what a source is, and what changes with its rows: of files their sizes and times.

    Of other sources the first rows, and the numbers of blocks and rows.
    """
    own = getattr(source, "fingerprint", None)
    if own is not None:
        identity, version = own()
    else:
        first = next((part for block in range(source.n_blocks) for part in source.read(block)), ())
        rows = [np.ascontiguousarray(array[:256]) for array in map(np.asarray, first)]
        identity = " ".join(f"{rows.dtype} {rows.shape} {_hash(rows.tobytes())}" for rows in rows)
        version = ""
    lengths = f"{source.n_blocks} blocks, {source.n_rows} rows"
    return f"{type(source).__name__} {identity}", f"{_hash(version.encode())} {lengths}"


def index_of(file: Any, version: str) -> dict[int, list[list[Record]]] | None:
    """Return where the blocks are in a file; None if it is damaged, or is not of this version of the rows."""
    import json

    end = len(FORMAT) + 8
    size = file.seek(0, os.SEEK_END)
    if size < end:
        return None
    file.seek(size - end)
    tail = file.read(end)
    length = int.from_bytes(tail[:8], "little")
    if tail[8:] != FORMAT or length > size - end:
        return None
    n_bytes = size - end - length
    file.seek(n_bytes)
    try:
        document = json.loads(file.read(length))
        if document["version"] != version:
            return None
        index = {}
        for block, parts in document["blocks"]:
            index[int(block)] = [[_record(record, n_bytes) for record in part] for part in parts]
        return index
    except (ValueError, TypeError, KeyError):
        return None


def _record(given: Any, size: int) -> Record:
    """Return a record of a file with so many bytes of arrays, checked."""
    begin, kind, shape = given
    dtype = np.dtype(kind.removeprefix("O"))
    n_bytes = dtype.itemsize * int(np.prod([int(n) for n in shape], dtype=object))
    if dtype.kind not in KINDS or min(shape) < 0 or begin < 0 or begin + n_bytes > size:
        raise ValueError("a record is damaged")
    return begin, kind, tuple(shape)


def _write_all(file: Any, array: np.ndarray) -> int:
    """Write the bytes of an array, and return their number."""
    view = array.data
    while view.nbytes:
        view = view[file.write(view) :]
    return array.nbytes


def _hash(given: bytes) -> str:
    import hashlib  # loads OpenSSL

    return hashlib.blake2b(given, digest_size=10).hexdigest()


def _is_alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    except OSError:
        return True  # of another user
    return True


def _discard(file: Any, path: str) -> None:
    """Close a file that is not complete, and remove it."""
    file.close()
    if os.path.exists(path):
        os.unlink(path)


def _nothing() -> None:
    """Close nothing."""

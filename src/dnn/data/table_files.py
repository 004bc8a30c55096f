"""Sources of the rows of Parquet and CSV files, read by pyarrow in blocks."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import _checks as checks
from .._optional import need

PART_BYTES = 1 << 23  # of a part of a row group, decoded
FOOTERS = 16  # of Parquet files that are kept: that of many columns takes as long to read as a row group
TEXT_BYTES = 1 << 22  # of a part of a CSV file
REASONS = 1000  # why rows of CSV files are bad, that are kept
Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


class File(NamedTuple):
    """A file, and its size and time when the source was made."""

    path: str
    size: int
    changed: int

    def check(self) -> None:
        """Raise OSError if the file is gone, or is no longer what it was."""
        if file_of(self.path) != self:
            raise OSError(f"{self.path} has changed since the source was made")


def file_of(path: str) -> File:
    """Return a file as it is now."""
    found = os.stat(path)
    return File(path, found.st_size, found.st_mtime_ns)


def files_of(paths: Any, suffixes: tuple[str, ...]) -> list[File]:
    """Return the files of a path, of a folder and the folders in it, or of a list or dataset of files."""
    if hasattr(paths, "files"):  # a dataset of pyarrow
        paths = list(paths.files)
    if isinstance(paths, (str, os.PathLike)):
        folder = Path(paths)
        given = [folder]
        if folder.is_dir():
            given = sorted(p for p in folder.rglob("*") if p.is_file() and p.name.lower().endswith(suffixes))
            if not given:
                raise ValueError(f"path must be a folder with files {' or '.join(suffixes)}, got {folder}")
    elif isinstance(paths, (list, tuple)) and paths:
        given = [Path(path) for path in paths]
    else:
        raise TypeError(f"path must be a file, a folder, or a list of files, got {paths!r}")
    return [file_of(os.fspath(path)) for path in given]


class Columns(NamedTuple):
    """The names of the columns that are read."""

    features: list[str]
    targets: list[str]
    one_target: bool  # y has one dimension
    weights: list[str]

    @property
    def all(self) -> list[str]:
        """All of them, each once."""
        return list(dict.fromkeys([*self.features, *self.targets, *self.weights]))

    @property
    def of_targets(self) -> Columns:
        """The targets alone."""
        return self._replace(features=[], weights=[])

    def check(self, names: Sequence[str], path: str) -> None:
        """Raise if a file does not have each column once."""
        for name in self.all:
            if (n := list(names).count(name)) != 1:
                shown = ", ".join(map(repr, list(names)[:5])) + (", ..." if len(names) > 5 else "")
                raise ValueError(f"{path} must have one column {name!r}, got {n or 'none'} among {shown}")


def columns_of(names: Sequence[str], target: Any, features: Any, sample_weight: Any) -> Columns:
    """Return the columns that are read, of a file that has these."""
    targets = [target] if isinstance(target, str) else list(target)
    if sample_weight is not None and not isinstance(sample_weight, str):
        raise TypeError(f"sample_weight must be the name of a column, got {sample_weight!r}")
    weights = [] if sample_weight is None else [sample_weight]
    if isinstance(features, str):
        raise TypeError(f"features must be a list of names, got {features!r}")
    if features is None:
        features = [name for name in names if name not in targets and name not in weights]
    return Columns(list(features), targets, isinstance(target, str), weights)


def fingerprint_of(files: list[File], how: Any) -> tuple[str, str]:
    """Return paths and columns, and sizes and times of files; raise OSError if one has changed."""
    for file in files:
        file.check()
    paths = [os.path.abspath(file.path) for file in files]
    return f"{paths} {how}", f"{[(file.size, file.changed) for file in files]}"


class ParquetSource:
    """Row groups of Parquet files; see `dnn.sources.parquet`."""

    def __init__(self, path: Any, target: Any, features: Any, sample_weight: Any) -> None:
        need("pyarrow.parquet", "a source of Parquet files", "stream")
        self.groups: list[tuple[File, int, int, int]] = []  # file, row group, first row in the file, rows
        self.columns: Columns | None = None
        self.footers: dict[str, Any] = {}  # of the files that were read last
        for file in files_of(path, (".parquet",)):
            with self._opened(file) as opened:
                schema, metadata = opened.schema_arrow, opened.metadata
                if self.columns is None:
                    self.columns = columns_of(schema.names, target, features, sample_weight)
                self.columns.check(schema.names, file.path)
                kinds = {name: schema.field(name).type for name in self.columns.all}
                if self.columns.one_target and _is_text(kinds[self.columns.targets[0]]):
                    del kinds[self.columns.targets[0]]  # labels
                self.row_bytes = 1 + sum(_row_bytes(name, kind, file.path) for name, kind in kinds.items())
                first = 0
                for group in range(metadata.num_row_groups):
                    n = metadata.row_group(group).num_rows
                    self.groups.append((file, group, first, n))
                    first += n
        self.n_rows = sum(n for *_, n in self.groups)
        if not self.n_rows:
            raise ValueError(f"path must have at least one row, got none in {path}")

    @property
    def n_blocks(self) -> int:
        """Number of row groups."""
        return len(self.groups)

    @property
    def features(self) -> list[str]:
        """Names of the columns of X."""
        assert self.columns is not None
        return self.columns.features

    def fingerprint(self) -> tuple[str, str]:
        """Return what the source is, and what changes with its rows."""
        files = list(dict.fromkeys(file for file, *_ in self.groups))
        return fingerprint_of(files, self.columns)

    def read(self, block: int) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a row group."""
        assert self.columns is not None
        return self._parts(block, self.columns, min(1 << 16, max(1 << 10, PART_BYTES // self.row_bytes)))

    def targets(self, block: int) -> Iterator[np.ndarray]:
        """Yield the targets of a row group."""
        assert self.columns is not None
        return (y for _, y in self._parts(block, self.columns.of_targets, 1 << 16))

    def _parts(self, block: int, columns: Columns, rows: int) -> Iterator[tuple[Any, ...]]:
        """Yield these columns of a row group, at most so many rows at once."""
        file, group, _, n = self.groups[block]
        file.check()
        with self._opened(file) as opened:
            batches = _batches(opened, group, columns.all, n, rows)
            while (batch := self._next(batches, file)) is not None:
                yield _arrays(columns, {name: batch.column(name) for name in columns.all})

    def place(self, block: int, row: int) -> str:
        """Return the words for a row."""
        file, _, first, _ = self.groups[block]
        return f"{file.path}, row {first + row}"

    def _opened(self, file: File) -> Any:
        import pyarrow
        from pyarrow import parquet

        footer = self.footers.pop(file.path, None)
        try:
            opened = parquet.ParquetFile(file.path, pre_buffer=False, metadata=footer)
        except pyarrow.ArrowException as error:
            raise OSError(f"{file.path} must be a Parquet file: {error}") from error
        self.footers[file.path] = opened.metadata
        if len(self.footers) > FOOTERS:
            del self.footers[next(iter(self.footers))]
        return opened

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "footers": {}}

    def _next(self, batches: Any, file: File) -> Any:
        import pyarrow

        try:
            return next(batches, None)
        except (pyarrow.ArrowException, OSError) as error:
            raise OSError(f"{file.path} is damaged: {error}") from error


def _batches(opened: Any, group: int, names: list[str], n: int, rows: int) -> Iterator[Any]:
    """Yield the n rows of a row group of an open file, at most so many rows at once."""
    if n <= rows:  # pyarrow decodes the columns side by side
        table = opened.read_row_group(group, columns=names, use_threads=True)
        yield from table.combine_chunks().to_batches()
    else:
        yield from opened.iter_batches(rows, row_groups=[group], columns=names, use_threads=False)


def _is_text(kind: Any) -> bool:
    """Return whether a type is text, as such or by a dictionary."""
    from pyarrow import types

    inner = kind.value_type if types.is_dictionary(kind) else kind
    return bool(types.is_string(inner) or types.is_large_string(inner))


def _row_bytes(name: str, kind: Any, path: str) -> int:
    """Return the bytes of a value of a column, at least 1; raise if it holds no numbers."""
    from pyarrow import types

    if types.is_fixed_size_binary(kind):
        return int(kind.byte_width)
    inner = kind.value_type if types.is_fixed_size_list(kind) else kind
    is_number = types.is_integer(inner) or types.is_floating(inner) or types.is_boolean(inner)
    if not (is_number or types.is_decimal(inner)):
        raise TypeError(f"column {name!r} of {path} must hold numbers, got {kind}")
    size = int(kind.list_size) if types.is_fixed_size_list(kind) else 1
    return size * max(1, int(inner.bit_width) // 8)


def _arrays(columns: Columns, given: dict[str, Any]) -> tuple[Any, ...]:
    """Return X, y and weights of columns of pyarrow."""
    values = {name: _values(column) for name, column in given.items()}
    n = len(next(iter(values.values())))
    X = joined([values[name] for name in columns.features], n)
    y = joined([values[name] for name in columns.targets], n)
    weights = tuple(values[name] for name in columns.weights)
    return X, y[:, 0] if columns.one_target and y.shape[1] == 1 else y, *weights


def _values(column: Any) -> np.ndarray:
    """Return a column of numbers or labels (n,), or of lists or bytes (n, size); missing numbers are NaN."""
    if isinstance(column, np.ndarray):
        return column
    from pyarrow import compute, float64, types, uint8

    n = len(column)
    is_binary = types.is_fixed_size_binary(column.type)
    if is_binary or types.is_fixed_size_list(column.type):
        size = column.type.byte_width if is_binary else column.type.list_size
        if is_binary:
            present = column.drop_null() if column.null_count else column
            begin = present.offset * size
            inner = np.frombuffer(present.buffers()[1], np.uint8)[begin : begin + len(present) * size]
        else:
            inner = _values(column.flatten())  # without the lists that are missing
        inner = inner.reshape(-1, size)
        if not column.null_count:
            return inner
        whole = np.full((n, size), np.nan)
        whole[column.is_valid().to_numpy(zero_copy_only=False)] = inner
        return whole
    if types.is_boolean(column.type):
        column = compute.cast(column, uint8())
    elif types.is_decimal(column.type):
        column = compute.cast(column, float64())
    found: np.ndarray = column.to_numpy(zero_copy_only=False)
    return found


def joined(parts: list[np.ndarray], n: int) -> np.ndarray:
    """Return columns (n,) and (n, size) side by side, in their common dtype."""
    if not parts:
        return np.empty((n, 0))
    if len(parts) == 1:
        return parts[0] if parts[0].ndim == 2 else parts[0][:, None]
    widths = [1 if part.ndim == 1 else part.shape[1] for part in parts]
    whole = np.empty((len(parts[0]), sum(widths)), np.result_type(*(part.dtype for part in parts)))
    edge = 0
    for part, width in zip(parts, widths, strict=True):
        whole[:, edge : edge + width] = part if part.ndim == 2 else part[:, None]
        edge += width
    return whole


class CSVSource:
    """CSV files, each a block; see `dnn.sources.csv`."""

    def __init__(
        self, path: Any, target: Any, features: Any, sample_weight: Any, names: Any, delimiter: str,
        n_rows: int | None,
    ) -> None:  # fmt: skip
        need("pyarrow.csv", "a source of CSV files", "stream")
        if n_rows is not None:
            checks.check_integer("n_rows", n_rows, 1)
        if not isinstance(delimiter, str) or len(delimiter) != 1:
            raise ValueError(f"delimiter must be one character, got {delimiter!r}")
        self.n_rows = n_rows
        self.names = None if names is None else list(names)
        self.delimiter = delimiter
        self.files = files_of(path, (".csv", ".csv.gz"))
        self.as_text = set[int]()  # blocks with a value that is no number, which are read as text
        self.reasons: dict[tuple[int, int], str] = {}  # why rows are bad, by block and row
        columns: Columns | None = None
        for file in self.files:
            present = self.names or self._open(file, None, lambda row: "skip").schema.names
            columns = columns or columns_of(present, target, features, sample_weight)
            columns.check(present, file.path)
        assert columns is not None
        self.columns = columns

    @property
    def n_blocks(self) -> int:
        """Number of files."""
        return len(self.files)

    @property
    def features(self) -> list[str]:
        """Names of the columns of X."""
        return self.columns.features

    def fingerprint(self) -> tuple[str, str]:
        """Return what the source is, and what changes with its rows."""
        return fingerprint_of(self.files, (self.columns, self.names, self.delimiter))

    def read(self, block: int) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a file; those that cannot be read are NaN."""
        import pyarrow

        self.files[block].check()
        n_read = 0
        if block not in self.as_text:
            try:
                for part in self._parts(block, pyarrow.float64()):
                    n_read += len(part[0])
                    yield part
                return
            except pyarrow.ArrowInvalid:  # a value that is no number ends pyarrow's reader
                self.as_text.add(block)
        try:
            for part in self._parts(block, pyarrow.string()):
                skip = min(n_read, len(part[0]))
                n_read -= skip
                if skip < len(part[0]):
                    yield tuple(array[skip:] for array in part)
        except pyarrow.ArrowInvalid as error:
            raise ValueError(f"{self.files[block].path} cannot be read: {error}") from error

    def targets(self, block: int) -> Iterator[np.ndarray]:
        """Yield the targets of a file."""
        reader = copy.copy(self)
        reader.columns = self.columns.of_targets
        return (part[1] for part in reader.read(block))

    def place(self, block: int, row: int) -> str:
        """Return the words for a row."""
        reason = self.reasons.get((block, row))
        return f"{self.files[block].path}, row {row}" + ("" if reason is None else f" ({reason})")

    def _open(self, file: File, kind: Any, handler: Any) -> Any:
        """Return pyarrow's reader of a file, with one thread, because the rows have no numbers otherwise."""
        import pyarrow
        from pyarrow import csv

        types = None if kind is None else dict.fromkeys(self.columns.all, kind)
        try:
            return csv.open_csv(
                file.path,
                read_options=csv.ReadOptions(
                    use_threads=False, block_size=TEXT_BYTES, column_names=self.names
                ),
                parse_options=csv.ParseOptions(delimiter=self.delimiter, invalid_row_handler=handler),
                convert_options=csv.ConvertOptions(
                    column_types=types, include_columns=None if kind is None else self.columns.all,
                    strings_can_be_null=True,
                ),
            )  # fmt: skip
        except pyarrow.ArrowInvalid as error:
            if kind is None:
                raise ValueError(f"{file.path} must be a CSV file: {error}") from error
            raise

    def _parts(self, block: int, kind: Any) -> Iterator[tuple[Any, ...]]:
        """Yield arrays; kind: the type as which pyarrow reads the columns, of numbers or of text."""
        import pyarrow

        first = 1 if self.names is not None else 2  # pyarrow's number of row 0
        wrong: list[int] = []  # rows with another number of values, which pyarrow leaves out

        def handler(invalid: Any) -> str:
            row = invalid.number - first
            wrong.append(row)
            self._because(block, row, f"{invalid.actual_columns} values, not {invalid.expected_columns}")
            return "skip"

        row = 0
        for batch in self._open(self.files[block], kind, handler):
            columns = {name: batch.column(name) for name in self.columns.all}
            numbers = columns
            if kind != pyarrow.float64():
                numbers = {name: _parsed(column) for name, column in columns.items()}
            given = _arrays(self.columns, numbers)
            n_good, places = len(given[0]), list[int]()  # before which of these rows there are wrong ones
            while wrong and wrong[0] <= row + n_good + len(places):
                places.append(wrong.pop(0) - row - len(places))
            if numbers is not columns:
                self._explain(block, row, columns, numbers, places)
            if places:
                given = tuple(np.insert(array.astype(float), places, np.nan, axis=0) for array in given)
            row += n_good + len(places)
            yield given
        if wrong:
            missing = {name: np.full(len(wrong), np.nan) for name in self.columns.all}
            yield _arrays(self.columns, missing)

    def _explain(
        self, block: int, first: int, columns: dict[str, Any], numbers: dict[str, Any], places: list[int]
    ) -> None:
        """Keep for errors which values are no numbers, of rows that begin with number `first`."""
        for name, column in columns.items():
            is_text = column.is_valid().to_numpy(zero_copy_only=False)
            for i in np.flatnonzero(is_text & np.isnan(numbers[name]))[:REASONS]:
                row = first + int(i) + sum(place <= i for place in places)
                self._because(block, row, f"{name} is {column[int(i)].as_py()!r}")

    def _because(self, block: int, row: int, reason: str) -> None:
        if len(self.reasons) < REASONS:
            self.reasons[block, row] = reason


def _parsed(column: Any) -> np.ndarray:
    """Return a column of text as numbers, NaN for anything else."""
    from pyarrow import ArrowInvalid, compute, float64

    try:
        return _values(compute.cast(column, float64()))
    except ArrowInvalid:
        return np.array([_number(text) for text in column.to_pylist()])


def _number(text: str | None) -> float:
    try:
        return float("nan" if text is None else text)
    except ValueError:
        return float("nan")

"""Tables in files, CSV, Parquet or NumPy: read block by block, or as a whole, with columns found by name."""

from __future__ import annotations

import gzip
import math
import re
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._optional import need

VALUES = 2**21  # of a block: 16 MB of float64
SEPARATORS = ",;\t|"
INPUTS = (".csv", ".csv.gz", ".npy", ".parquet")
WHOLE = (".csv", ".csv.gz", ".parquet")

# A table is read as blocks of its rows, each with what has been read of the file: (block, bytes or rows).
Blocks = Iterator[tuple[Any, int]]


class Wanted(NamedTuple):
    """What is read of a table."""

    features: list[str] | None = None  # names of the columns; None: all
    texts: frozenset[str] = (
        frozenset()
    )  # of these, those of a CSV file that are text, whatever they look like
    header: bool = True  # whether the first line of a CSV file has the names
    names: list[str] | None = None  # of all columns, where it has not
    usual: list[str] | None = None  # names that are taken then, if there are as many columns


def blocks_of(path: Path, wanted: Wanted, n_rows: int) -> tuple[Blocks, int, str]:
    """Return the blocks of a table, of at most n_rows, the size of the file, and the unit of that size."""
    return _READERS[suffix_of(path)](path, wanted, n_rows)


def whole_of(path: Path, wanted: Wanted) -> Any:
    """Return a table as a whole, of pandas or polars."""
    return next(_READERS[suffix_of(path)](path, wanted, None)[0])[0]


def columns_of(path: Path, wanted: Wanted) -> list[str]:
    """Return the names of all columns of a CSV or Parquet file."""
    if suffix_of(path) != ".parquet":
        return _csv_columns(path, wanted, need("pandas", "a CSV file", "tables"))[0]
    polars = need("polars", "a Parquet file", "tables")
    path.stat()
    with _parquet_errors(path, polars):
        return list(polars.scan_parquet(path, glob=False).collect_schema().names())


def suffix_of(path: Path) -> str:
    """Return the last suffix of a file in lower case, that before ``.gz`` included.

    Examples
    --------
    >>> suffix_of(Path("a.b.CSV")), suffix_of(Path("a.csv.gz")), suffix_of(Path("a"))
    ('.csv', '.csv.gz', '')
    """
    return "".join(path.suffixes[-2:] if path.suffix.lower() == ".gz" else path.suffixes[-1:]).lower()


def check_suffix(option: str, path: Path, known: tuple[str, ...]) -> None:
    """Raise if a file has another suffix."""
    if suffix_of(path) not in known:
        raise ValueError(f"{option} must end with {', '.join(known)}, got {path}")


def select(
    columns: list[str], features: Sequence[str], name: Path, what: str = "a feature of the model"
) -> None:
    """Raise if a column that is needed is missing or is there twice."""
    for feature in features:
        if columns.count(feature) != 1:
            missing = f"no such column among {shown(columns, 5)}"
            if has_values(columns):
                missing += ": if the first line has values and no names, add --no-header"
            many = missing if feature not in columns else f"{columns.count(feature)} of them"
            raise ValueError(f"{name} must have one column {feature!r}, {what}, got {many}")


def shown(names: Sequence[str], most: int = 3) -> str:
    """Return the first of some names.

    Examples
    --------
    >>> shown(["a", "b", "c", "d"])
    'a, b, c, ...'
    """
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def figure(value: float) -> str:
    """Return a number with four digits that count.

    Examples
    --------
    >>> figure(0.28514), figure(182.96), figure(217412.3)
    ('0.2851', '183.0', '217,400')
    """
    size = math.floor(math.log10(abs(value))) if value and math.isfinite(value) else 0
    return f"{float(f'{value:.4g}'):,.{min(max(3 - size, 0), 12)}f}"


def located(error: Exception, path: Path, row_of: Callable[[int], int]) -> Exception:
    """Return an error about a table X as one about a file, whose row `row_of` tells.

    Examples
    --------
    >>> located(ValueError("column 'a' of X must be known, got 'b' in row 3"), Path("a.csv"), lambda i: i + 9)
    ValueError("column 'a' of a.csv must be known, got 'b' in row 12")
    """
    text = re.sub(r"( in row )(\d+)$", lambda found: f"{found[1]}{row_of(int(found[2]))}", str(error))
    text = re.sub(r"^X |(?<=^the columns of )X |(?<=' of )X ", f"{path} ", text, count=1)
    return type(error)(text)


def has_values(columns: list[str]) -> bool:
    """Return whether some names of columns are rather values: numbers, unless they are 0, 1, 2, ...

    Examples
    --------
    >>> has_values(["39", "Private"]), has_values(["age", "job"]), has_values(["0", "1"])
    (True, False, False)
    """
    return columns != [str(i) for i in range(len(columns))] and any(map(_is_number, columns))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# Readers: each returns the blocks, or one of all rows, the size of the file, and the unit of that size


def _read_csv(path: Path, wanted: Wanted, n_rows: int | None) -> tuple[Blocks, int, str]:
    pandas = need("pandas", "a CSV file", "tables")
    columns, settings = _csv_columns(path, wanted, pandas)
    features = wanted.features
    values = wanted.header and has_values(columns) and all(map(_is_number, columns))
    if values and not (features and set(features) <= set(columns)):
        raise ValueError(
            f"{path} must begin with a line of column names, got the values {', '.join(columns[:3])}: "
            "if all its lines have values, add --no-header"
        )
    if features is not None:
        select(columns, features, path)
    where = [columns.index(name) for name in features] if features is not None else list(range(len(columns)))
    if n_rows is not None:
        n_rows = min(n_rows, max(1, VALUES // len(columns)))  # pandas reads the other columns too
    settings |= {
        "names": list(range(len(columns))), "header": 0 if wanted.header else None, "chunksize": n_rows,
        "dtype": {i: str for i in where if columns[i] in wanted.texts},
    }  # fmt: skip
    if int(pandas.__version__.partition(".")[0]) < 3:  # later ones have no other precision to choose
        settings["float_precision"] = "round_trip"

    def blocks() -> Blocks:
        with (
            path.open("rb") as file,
            _unpacked(path, file) as text,
            warnings.catch_warnings(),
            _csv_errors(path, pandas),
        ):
            # Otherwise pandas would leave out the last values of a line with more values than names
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            try:
                found = pandas.read_csv(text, **settings)
                for chunk in [found] if n_rows is None else found:
                    chunk = chunk.iloc[:, where]
                    chunk.columns = [columns[i] for i in where]
                    yield chunk, file.tell()
            except pandas.errors.ParserWarning:
                raise ValueError(
                    f"{path} must have {len(columns)} values in each line, as many as its first one, got more"
                ) from None

    return blocks(), path.stat().st_size, "B"


def _csv_columns(path: Path, wanted: Wanted, pandas: Any) -> tuple[list[str], dict[str, Any]]:
    """Return the names of the columns of a CSV file, and how pandas reads it."""
    if path.stat().st_size == 0:
        raise ValueError(f"{path} must have a line of column names, got an empty file")
    with path.open("rb") as file, _unpacked(path, file) as text, _csv_errors(path, pandas):
        line = re.sub(r'"[^"]*"', "", text.readline(2**20).decode("utf-8", "replace"))
    # An empty line is a row without values, because otherwise the rows of the result would not be those of
    # the file. Without low_memory a column of a block has one type, and there are no warnings of several.
    settings: dict[str, Any] = {
        "sep": next((mark for mark in SEPARATORS if mark in line), ","), "index_col": False,
        "skip_blank_lines": False, "low_memory": False,
    }  # fmt: skip
    with _csv_errors(path, pandas):
        # As text, because otherwise pandas renames a name that occurs twice
        head = pandas.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False, **settings)
    columns = [str(item) for item in head.iloc[0]]
    if wanted.header:
        return columns, settings
    names = wanted.names
    if names is None:
        usual = wanted.usual
        as_usual = usual is not None and len(usual) == len(columns)
        return usual if usual and as_usual else [f"x{i}" for i in range(len(columns))], settings
    if len(names) != len(columns):
        raise ValueError(
            f"--names must name all {len(columns)} columns of {path}, got {len(names)}: {shown(names)}"
        )
    return names, settings


def _unpacked(path: Path, file: Any) -> Any:
    """Return the contents of a CSV file that is open, unpacked."""
    if path.suffix.lower() != ".gz":
        return nullcontext(file)
    return gzip.GzipFile(fileobj=file)


@contextmanager
def _csv_errors(path: Path, pandas: Any) -> Iterator[None]:
    """Add the name of the file to the errors of pandas."""
    try:
        yield
    except (pandas.errors.ParserError, pandas.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} cannot be unpacked: {error}") from None


@contextmanager
def _parquet_errors(path: Path, polars: Any) -> Iterator[None]:
    """Add the name of the file to the errors of polars."""
    try:
        yield
    except polars.exceptions.PolarsError as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def _read_npy(path: Path, wanted: Wanted, n_rows: int | None) -> tuple[Blocks, int, str]:
    try:
        table = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if not isinstance(table, np.ndarray) or table.ndim != 2:
        shape = getattr(table, "shape", "several arrays")
        raise ValueError(f"{path} must hold an array of rows and columns, got {shape}")
    step = n_rows or max(1, len(table))
    ends = range(0, len(table), step)
    return ((table[i : i + step], min(i + step, len(table))) for i in ends), len(table), " rows"


def _read_parquet(path: Path, wanted: Wanted, n_rows: int | None) -> tuple[Blocks, int, str]:
    columns = columns_of(path, wanted)
    polars = need("polars", "a Parquet file", "tables")
    if wanted.features is not None:
        select(columns, wanted.features, path)
    table = polars.scan_parquet(path, glob=False)
    with _parquet_errors(path, polars):
        size = table.select(polars.len()).collect().item()
    table = table.select(columns if wanted.features is None else wanted.features)
    step = n_rows or max(1, size)

    def blocks() -> Blocks:
        for i in range(0, size, step):
            block = table.slice(i, step).collect()
            yield block, i + len(block)

    return blocks(), size, " rows"


_READERS: dict[str, Callable[[Path, Wanted, int | None], tuple[Blocks, int, str]]] = {
    ".csv": _read_csv,
    ".csv.gz": _read_csv,
    ".npy": _read_npy,
    ".parquet": _read_parquet,
}

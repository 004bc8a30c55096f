"""``dnn predict``: a model file applied to a table, block by block, so that its size does not matter."""

from __future__ import annotations

import csv
import errno
import io
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

import dnn

from .._optional import need
from ..data import arrays, non_numeric
from ..files.writing import replacing
from .progress import bar

VALUES = 2**21  # of a block: 16 MB of float64
MOST_ROWS = 2**16  # of a block
INPUTS = (".csv", ".npy", ".parquet")
OUTPUTS = (".csv", ".npy")

# A table is read as blocks of its rows, each with what has been read of the file: (block, bytes or rows).
Blocks = Iterator[tuple[Any, int]]


def predict(model_file: Path, source: Path, target: Path | None, proba: bool, progress: bool) -> int:
    """Write what a model predicts for a table to a file, and return the number of rows.

    Until all rows have been predicted, a file that was at `target` stays as it is. Without a target,
    the lines of a CSV file are printed.
    """
    if model_file.suffix.lower() in INPUTS and source.suffix.lower() not in INPUTS:
        raise ValueError(f"the model file comes first: dnn predict {source} {model_file}")
    _check_suffix("the table (--input)", source, INPUTS)
    if target is not None:
        _check_suffix("--output", target, OUTPUTS)
    if target is not None and target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "--output must be a file, got a folder", str(target))
    model: Any = dnn.load(model_file)
    classifier = hasattr(model, "classes_")
    if proba and not hasattr(model, "predict_proba"):
        raise ValueError(f"--proba needs a classifier: {model_file} holds a {type(model).__name__}")
    function = model.predictor("predict_proba") if proba else model.predictor()
    names = getattr(model, "feature_names_in_", None)
    features = None if names is None else [str(name) for name in names]
    W = model.weights[0] if isinstance(model, dnn.Network) else model.coefs_[0]
    n_inputs, dtype = len(W), W.dtype
    n_rows = min(MOST_ROWS, max(1, VALUES // n_inputs))
    blocks, size, unit = _READERS[source.suffix.lower()](source, features, n_rows)
    first = 0
    suffix = ".csv" if target is None else target.suffix.lower()
    output = nullcontext((sys.stdout.buffer,)) if target is None else replacing(target)
    progress = progress and not (target is None and sys.stdout.isatty())  # which would mix lines and the bar
    with bar(size, unit, progress) as advance, output as (file,):
        writer: _Writer | None = None
        for block, done in blocks:
            if not len(block):  # a CSV file with names only is one such block
                continue
            X = _checked(block, n_inputs, dtype, str(source), first)
            outputs = function(X)
            if outputs.dtype == object:  # labels
                outputs = outputs.astype(np.asarray(model.classes_).astype(str).dtype)
            if writer is None:
                header = _header(model, outputs, classifier, proba)
                writer = _Writer(file, suffix, outputs, header)
            writer.write(outputs)
            first += len(X)
            advance(done)
        if writer is None:
            raise ValueError(f"{source} must have at least one row, got none")
        writer.end(first)
    return first


def _check_suffix(option: str, path: Path, known: tuple[str, ...]) -> None:
    if path.suffix.lower() not in known:
        raise ValueError(f"{option} must end with {', '.join(known)}, got {path}")


def _checked(block: Any, n_inputs: int, dtype: np.dtype[Any], name: str, first: int) -> np.ndarray:
    """Return a block of a table as an array of finite numbers; `first` is the row of the file it begins with.

    The methods of the model check it too, but they would count the rows from the beginning of the block.
    """
    if block.shape[1] != n_inputs:
        raise ValueError(
            f"{name} must have {n_inputs} columns, as many as the model has inputs, got {block.shape[1]}"
        )
    wrong = non_numeric.explain(block, "X", first)
    if wrong is not None:
        raise ValueError(f"{name} must hold numbers, got {wrong}")
    as_they_are = isinstance(block, np.ndarray) and block.dtype in (np.float32, np.float64)
    given = np.ascontiguousarray(block, block.dtype if as_they_are else np.float64)
    arrays.refuse_nonfinite(given, name, block, first)
    with np.errstate(over="ignore"):
        X: np.ndarray = np.array(given, dtype, order="C")
    too_large = np.argwhere(~np.isfinite(X))
    if len(too_large):
        row, column = too_large[0].tolist()
        place = non_numeric.place_of(block, (first + row, column))
        raise ValueError(f"{name} must fit {dtype}, got {given[row, column]:g} in {place}")
    return X


def _select(columns: list[str], features: list[str] | None, name: Path) -> list[str]:
    """Return the columns to read, in the order of the model; raise if one is missing or is there twice."""
    if features is None:
        return columns
    for feature in features:
        if columns.count(feature) != 1:
            few = ", ".join(columns[:5]) + ", ..." * (len(columns) > 5)
            missing = f"no such column among {few}"
            many = missing if feature not in columns else f"{columns.count(feature)} of them"
            raise ValueError(f"{name} must have one column {feature!r}, a feature of the model, got {many}")
    return features


# Readers: each returns the blocks, the size of the file, and the unit of that size


def _read_csv(path: Path, features: list[str] | None, n_rows: int) -> tuple[Blocks, int, str]:
    pandas = need("pandas", "a CSV file", "tables")
    size = path.stat().st_size
    if size == 0:
        raise ValueError(f"{path} must have a line of column names, got an empty file")
    # An empty line is a row without values, because otherwise the rows of the result would not be those of
    # the file. Without low_memory a column of a block has one type, and there are no warnings of several.
    settings: dict[str, Any] = {"index_col": False, "skip_blank_lines": False, "low_memory": False}
    with _csv_errors(path, pandas):
        # As text, because otherwise pandas renames a name that occurs twice
        head = pandas.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False, **settings)
    columns = [str(item) for item in head.iloc[0]]
    if _are_values(columns) and not (features and set(features) <= set(columns)):
        raise ValueError(
            f"{path} must begin with a line of column names, got the values {', '.join(columns[:3])}"
        )
    chosen = _select(columns, features, path)
    where = [columns.index(name) for name in chosen] if features else list(range(len(columns)))
    n_rows = min(n_rows, max(1, VALUES // len(columns)))  # pandas reads the other columns too
    if int(pandas.__version__.partition(".")[0]) < 3:  # later ones have no other precision to choose
        settings["float_precision"] = "round_trip"

    def blocks() -> Blocks:
        with path.open("rb") as file, warnings.catch_warnings(), _csv_errors(path, pandas):
            # Otherwise pandas would leave out the last values of a line with more values than names
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            try:
                for chunk in pandas.read_csv(file, chunksize=n_rows, **settings):
                    chunk = chunk.iloc[:, where]
                    chunk.columns = [columns[i] for i in where]
                    yield chunk, file.tell()
            except pandas.errors.ParserWarning:
                raise ValueError(
                    f"{path} must have {len(columns)} values in each line, as many as its first one, got more"
                ) from None

    return blocks(), size, "B"


@contextmanager
def _csv_errors(path: Path, pandas: Any) -> Iterator[None]:
    """Add the name of the file to the errors of pandas."""
    try:
        yield
    except (pandas.errors.ParserError, pandas.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def _are_values(columns: list[str]) -> bool:
    """Return whether names of columns are rather a row of values: numbers other than 0, 1, 2, ..."""
    if columns == [str(i) for i in range(len(columns))]:
        return False
    try:
        [float(name) for name in columns]
    except ValueError:
        return False
    return True


def _read_npy(path: Path, features: list[str] | None, n_rows: int) -> tuple[Blocks, int, str]:
    try:
        table = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if not isinstance(table, np.ndarray) or table.ndim != 2:
        shape = getattr(table, "shape", "several arrays")
        raise ValueError(f"{path} must hold an array of rows and columns, got {shape}")
    ends = range(0, len(table), n_rows)
    return ((table[i : i + n_rows], min(i + n_rows, len(table))) for i in ends), len(table), " rows"


def _read_parquet(path: Path, features: list[str] | None, n_rows: int) -> tuple[Blocks, int, str]:
    polars = need("polars", "a Parquet file", "tables")
    path.stat()
    try:
        table = polars.scan_parquet(path, glob=False)
        chosen = _select(table.collect_schema().names(), features, path)
        size = table.select(polars.len()).collect().item()
    except polars.exceptions.PolarsError as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    table = table.select(chosen)

    def blocks() -> Blocks:
        for i in range(0, size, n_rows):
            block = table.slice(i, n_rows).collect()
            non_numeric.refuse_times(block, str(path))
            yield block, i + len(block)

    return blocks(), size, " rows"


_READERS: dict[str, Callable[[Path, list[str] | None, int], tuple[Blocks, int, str]]] = {
    ".csv": _read_csv,
    ".npy": _read_npy,
    ".parquet": _read_parquet,
}


# Writing


def _header(model: Any, outputs: np.ndarray, classifier: bool, proba: bool) -> list[str]:
    """Return the names of the columns of a CSV file of results."""
    if outputs.ndim == 2 and classifier:
        return [str(label) for label in model.classes_[: outputs.shape[1]]]
    if outputs.ndim == 1 or outputs.shape[1] == 1:
        return ["label" if classifier else "prediction"]
    levels = getattr(getattr(model, "loss", None), "levels", None)
    if isinstance(levels, tuple) and len(levels) == outputs.shape[1]:
        return [f"quantile_{level:g}" for level in sorted(levels)]
    return [f"output_{i}" for i in range(outputs.shape[1])]


class _Writer:
    """The results, written block by block as CSV or as an array of NumPy, to a file open for bytes."""

    def __init__(self, file: Any, suffix: str, outputs: np.ndarray, header: list[str]) -> None:
        self.file, self.like, self.csv = file, outputs[:0], suffix == ".csv"
        if self.csv:
            self._lines([header])
        else:
            self._npy_header(0)

    def write(self, outputs: np.ndarray) -> None:
        """Add the results of a block."""
        if not self.csv:
            self.file.write(outputs.tobytes())
            return
        rows = outputs.reshape(len(outputs), -1)
        # As text, a float32 has the digits of its own precision
        self._lines((rows.astype(str) if rows.dtype.kind == "f" else rows).tolist())

    def end(self, n_rows: int) -> None:
        """Complete the file."""
        if not self.csv:
            self.file.seek(0)
            self._npy_header(n_rows)

    def _lines(self, rows: list[list[Any]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        self.file.write(text.getvalue().encode())

    def _npy_header(self, n_rows: int) -> None:
        """Write the header, which NumPy pads so that the number of rows may change in place."""
        described = {
            "descr": np.lib.format.dtype_to_descr(self.like.dtype), "fortran_order": False,
            "shape": (n_rows, *self.like.shape[1:]),
        }  # fmt: skip
        np.lib.format.write_array_header_1_0(self.file, described)

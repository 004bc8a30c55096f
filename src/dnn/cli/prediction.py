"""``dnn predict``: a model file applied to a table, block by block, so that its size does not matter."""

from __future__ import annotations

import csv
import errno
import io
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import dnn

from .. import _checks as checks
from ..data import arrays, non_numeric
from ..files.writing import replacing
from .progress import bar
from .reading import INPUTS, VALUES, Wanted, blocks_of, check_suffix, located, suffix_of

MOST_ROWS = 2**16  # of a block
OUTPUTS = (".csv", ".npy")


class Settings(NamedTuple):
    """The options of the command."""

    proba: bool = False
    interval: float | None = None
    header: bool = True
    names: list[str] | None = None
    progress: bool = True


class _Applied(NamedTuple):
    """How a model is applied: what it reads, the number of its inputs, and its function of a block.

    The function takes a block of the table and the row of the file that it begins with.
    """

    wanted: Wanted
    n_inputs: int
    function: Callable[[Any, int], np.ndarray]


def predict(model_file: Path, source: Path, target: Path | None, settings: Settings) -> int:
    """Write what a model predicts for a table to a file, and return the number of rows.

    Until all rows have been predicted, a file that was at `target` stays as it is. Without a target,
    the lines of a CSV file are printed.
    """
    if suffix_of(model_file) in INPUTS and suffix_of(source) not in INPUTS:
        raise ValueError(f"the model file comes first: dnn predict {source} {model_file}")
    check_suffix("the table (--input)", source, INPUTS)
    if target is not None:
        check_suffix("--output", target, OUTPUTS)
    if target is not None and target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "--output must be a file, got a folder", str(target))
    model: Any = dnn.load(model_file)
    kind = type(model).__name__
    if settings.proba and not hasattr(model, "predict_proba"):
        raise ValueError(f"--proba needs a classifier: {model_file} holds a {kind}")
    if settings.interval is not None:
        checks.check_real("--interval", settings.interval, 0.0, 1.0, above=True)
        if not hasattr(model, "predict_interval"):
            raise ValueError(f"--interval needs a TableRegressor: {model_file} holds a {kind}")
    apply = _of_table if kind.startswith("Table") else _of_network
    wanted, n_inputs, function = apply(model, source, settings)
    n_rows = min(MOST_ROWS, max(1, VALUES // n_inputs))
    blocks, size, unit = blocks_of(source, wanted, n_rows)
    first = 0
    suffix = ".csv" if target is None else target.suffix.lower()
    output = nullcontext((sys.stdout.buffer,)) if target is None else replacing(target)
    # On one terminal lines and the bar would be mixed
    progress = settings.progress and not (target is None and sys.stdout.isatty())
    with bar(size, unit, progress) as advance, output as (file,):
        writer: _Writer | None = None
        for block, done in blocks:
            if not len(block):  # a CSV file with names only is one such block
                continue
            outputs = function(block, first)
            if outputs.dtype == object:  # labels
                outputs = outputs.astype(np.asarray(model.classes_).astype(str).dtype)
            if writer is None:
                writer = _Writer(file, suffix, outputs, _header(model, outputs, settings))
            writer.write(outputs)
            first += len(block)
            advance(done)
        if writer is None:
            raise ValueError(f"{source} must have at least one row, got none")
        writer.end(first)
    return first


def _of_network(model: Any, source: Path, settings: Settings) -> _Applied:
    """Return how a network or an estimator of one network is applied to numbers."""
    predictor = model.predictor("predict_proba") if settings.proba else model.predictor()
    names = getattr(model, "feature_names_in_", None)
    features = None if names is None else [str(name) for name in names]
    W = model.weights[0] if isinstance(model, dnn.Network) else model.coefs_[0]

    def function(block: Any, first: int) -> np.ndarray:
        outputs: np.ndarray = predictor(_checked(block, len(W), W.dtype, str(source), first))
        return outputs

    wanted = Wanted(features, header=settings.header, names=settings.names, usual=features)
    return _Applied(wanted, len(W), function)


def _of_table(model: Any, source: Path, settings: Settings) -> _Applied:
    """Return how a table estimator is applied to raw columns."""
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(model)
    columns, named = model.encoder_.columns_.columns, model.encoder_.columns_.named
    names = [column.name for column in columns]
    # Elsewhere pandas decides by the rows of a block whether cells are text: "007" would be the number 7 in
    # a block without letters. Levels that are numbers, all of them, were read as numbers in training, too.
    texts = frozenset(column.name for column in columns if not all(map(_is_written_number, column.levels)))

    def function(block: Any, first: int) -> np.ndarray:
        try:
            if settings.proba:
                return np.asarray(model.predict_proba(block))
            outputs = model.predict(block)
            if settings.interval is None:
                return np.asarray(outputs)
            return np.column_stack([outputs, model.predict_interval(block, settings.interval)])
        except (TypeError, ValueError) as error:
            raise located(error, source, lambda row: first + row) from None

    used = [column.name for column in columns if column.kind != "dropped"] if named else None
    wanted = Wanted(used, texts, settings.header, settings.names, names)
    return _Applied(wanted, model.encoder_.n_features_out_, function)


def _is_written_number(level: str | None) -> bool:
    """Return whether a level is missing, or a number as it is written: not "007" and not "a"."""
    from ..estimators.tables.input import text_of

    try:
        return level is None or text_of(float(level)) == level
    except ValueError:
        return False


def _checked(block: Any, n_inputs: int, dtype: np.dtype[Any], name: str, first: int) -> np.ndarray:
    """Return a block of a table as an array of finite numbers; `first` is the row of the file it begins with.

    The methods of the model check it too, but they would count the rows from the beginning of the block.
    """
    if hasattr(block, "get_columns"):
        non_numeric.refuse_times(block, name)
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


# Writing


def _header(model: Any, outputs: np.ndarray, settings: Settings) -> list[str]:
    """Return the names of the columns of a CSV file of results."""
    classifier = hasattr(model, "classes_")
    if settings.interval is not None:
        return ["prediction", "lower", "upper"]
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

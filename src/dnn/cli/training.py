"""``dnn train``: from a file with a table to a model file, and what was understood and reached on the way."""

from __future__ import annotations

import difflib
import errno
import io
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import dnn

from .reading import (
    WHOLE,
    Wanted,
    check_suffix,
    columns_of,
    figure,
    has_values,
    located,
    select,
    shown,
    whole_of,
)

FEW_CLASSES = 10  # so many different whole numbers are classes, unless --task says otherwise
MANY_TEXTS = 100  # so many different texts are no classes where they are also a tenth of the rows
MOST_LINES = 30  # of columns that are printed


class Settings(NamedTuple):
    """The options of the command."""

    target: str | None
    task: str | None = None
    metric: str | None = None
    time_limit: float | None = None
    n_members: int | None = None
    seed: int = 0
    n_threads: int | None = None
    drop: tuple[str, ...] = ()
    weights: str | None = None
    groups: str | None = None
    header: bool = True
    names: list[str] | None = None
    output: Path | None = None
    progress: bool = True


class Target(NamedTuple):
    """The target: whether it holds classes, why, and its values; rows where it is missing are not known."""

    is_class: bool
    reason: str
    y: np.ndarray
    known: np.ndarray


def train(source: Path, settings: Settings, say: Callable[[str], None]) -> dict[str, Any]:
    """Train a model on a table, write it to a file, and return what is known about it.

    `say` takes each part of the report, as soon as it is known.
    """
    check_suffix("the data", source, WHOLE)
    output = settings.output or Path(f"{source.stem}.dnn")
    _check_output(output, source)
    wanted = Wanted(header=settings.header, names=settings.names)
    columns = columns_of(source, wanted)
    used = _check_columns(source, columns, settings)
    name = str(settings.target)
    target, weights, groups, table = _parts(source, wanted, used, settings)
    n_out = int(np.count_nonzero(~target.known))
    without = f"; rows without a target, left out: {n_out}" if n_out else ""
    kind = "classification" if target.is_class else "regression"
    say(f"{source}: {len(target.y)} rows, {len(used)} columns, and the target {name!r}{without}")
    say(f"{kind}, because {target.reason}\n")

    estimator: Any = dnn.TableClassifier if target.is_class else dnn.TableRegressor
    metrics = estimator.METRICS
    if settings.metric is not None and settings.metric not in metrics:
        raise ValueError(f"--metric must be one of {', '.join(metrics)} for {kind}, got {settings.metric}")
    options = {
        "metric": settings.metric, "time_limit": settings.time_limit, "n_members": settings.n_members,
        "n_threads": settings.n_threads,
    }  # fmt: skip
    est = estimator(
        **{key: item for key, item in options.items() if item is not None}, random_state=settings.seed,
        progress=settings.progress and sys.stderr.isatty() and find_spec("tqdm") is not None,
    )  # fmt: skip
    begin = time.perf_counter()
    try:
        with redirect_stdout(io.StringIO()):  # what progress=True prints
            est.fit(table, target.y, weights, groups=groups)
    except (TypeError, ValueError) as error:
        rows = np.flatnonzero(target.known)
        found = located(error, source, lambda row: int(rows[row]))
        raise type(found)(str(found).replace("leave it out", "leave it out with --drop")) from None
    seconds = time.perf_counter() - begin
    say(_described(est.encoder_) + "\n")
    scores = _scores(est, target, weights)
    say(f"{len(est.members_)} networks, trained in {seconds:.1f} s. On rows that they had not seen:")
    say(_score_lines(scores) + "\n")
    est.set_params(progress=False)
    est.save(output)
    header = "" if settings.header else " --no-header"
    following = f"dnn predict {shlex.quote(str(output))} --input new.csv --output predictions.csv{header}"
    say(f"{output} was written. Predict the rows of another file:\n  {following}")
    return {
        "file": str(source), "target": name, "task": kind, "reason": target.reason, "rows": len(target.y),
        "rows_left_out": n_out,
        "columns": [
            {"name": each.name, "kind": each.kind, "missing": each.missing, "remark": each.remark}
            for each in est.encoder_.columns_.columns
        ],
        "classes": est.classes_.tolist() if target.is_class else None, "members": len(est.members_),
        "seconds": seconds, "scores": scores, "model": str(output), "next": following,
    }  # fmt: skip


def rows_for(
    model: Any, source: Path, target: str | None, header: bool, names: list[str] | None
) -> dict[str, Any]:
    """Return the columns of a table that a model reads, "X", and the target, "y"."""
    check_suffix("--input", source, WHOLE)
    wanted = Wanted(header=header, names=names)
    columns = columns_of(source, wanted)
    if target not in columns:
        raise ValueError(f"--target must name the target in {source}, one of: {shown(columns, 20)}")
    task = "classification" if hasattr(model, "classes_") else "regression"
    used = [column.name for column in model.encoder_.columns_.columns if column.kind != "dropped"]
    select(columns, used, source)
    found, _, _, table = _parts(source, wanted, used, Settings(target, task=task))
    return {"X": table, "y": found.y}


def _check_output(path: Path, source: Path) -> None:
    """Raise, before the training, if the model could not be written after it."""
    folder = path.resolve().parent
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "--output must be a file, got a folder", str(path))
    if not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, "--output must be in a folder that exists", str(path))
    if not os.access(folder, os.W_OK):
        raise PermissionError(errno.EACCES, "--output must be in a folder that may be written", str(path))
    if path.exists() and source.exists() and path.samefile(source):
        raise ValueError(f"--output must be another file than the data, got {path}")


def _check_columns(source: Path, columns: list[str], settings: Settings) -> list[str]:
    """Return the columns that the model sees; raise if one that an option names is not there."""
    if settings.target not in columns and settings.header and has_values(columns):
        raise ValueError(
            f"{source} begins with the values {shown(columns)} in the place of names: add --no-header, which "
            f"calls the columns x0 ... x{len(columns) - 1}, and name the target, such as --target "
            f"x{len(columns) - 1} for the last column; or give names by --names"
        )
    if settings.target is None:
        raise ValueError(f"--target must name the column to predict, one of: {shown(columns, 20)}")
    special = {"--target": settings.target, "--weights": settings.weights, "--groups": settings.groups}
    named = [(option, name) for option, name in special.items() if name is not None]
    named += [("--drop", name) for name in settings.drop]
    for option, name in named:
        if name not in columns:
            near = difflib.get_close_matches(name, columns, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f": it has {shown(columns, 20)}"
            raise ValueError(f"{option} must name a column of {source}, got {name!r}{hint}")
    others = {name for _, name in named}
    if len(others) < len(named):
        raise ValueError("--target, --weights, --groups and --drop must name different columns")
    used = [name for name in columns if name not in others]
    select(columns, [*(name for _, name in named), *used], source, "as each name stands for one")
    if not used:
        raise ValueError(f"{source} must have a column apart from {', '.join(sorted(others))}, got none")
    return used


def _parts(
    source: Path, wanted: Wanted, used: list[str], settings: Settings
) -> tuple[Target, np.ndarray | None, np.ndarray | None, Any]:
    """Return the target, weights and groups of the rows with a target, and the table of these rows."""
    from ..estimators.tables.input import Table

    special = [name for name in (settings.target, settings.weights, settings.groups) if name is not None]
    everything = whole_of(source, wanted._replace(features=[*used, *special]))
    if not len(everything):
        raise ValueError(f"{source} must have at least one row, got none")
    parts = Table(everything[special])
    target = _target(parts.column(special[0]), settings.task, source)
    known = np.flatnonzero(target.known)
    weights = None if settings.weights is None else _weights(parts.column(settings.weights), known, source)
    groups = None
    if settings.groups is not None:
        column = parts.column(settings.groups)
        cells = column.codes if column.kind == "text" else column.values
        groups = np.unique(cells, return_inverse=True)[1][known]
    table = everything[used]
    if len(known) < len(everything):
        table = table.iloc[known] if hasattr(table, "iloc") else table[known]
    return target, weights, groups, table


def _target(column: Any, task: str | None, source: Path) -> Target:
    """Return whether a target holds classes, and its values."""
    from ..estimators.tables.columns import number_of_text
    from ..estimators.tables.dates import fields_of

    place = f"column {column.name!r} of {source}"
    values, text = column.values, None
    if column.kind == "date" or (column.levels and None not in map(fields_of, column.levels)):
        raise ValueError(f"{place} must hold classes or numbers to be the target, got dates")
    if column.kind == "text":
        numbers = [number_of_text(level) for level in column.levels]
        known = column.codes >= 0
        if None in numbers or not numbers:
            text = np.array([*column.levels, ""], dtype=object)[column.codes]
            row = int(np.argmax([numbers[code] is None for code in column.codes.tolist()])) if numbers else 0
        else:
            values = np.array([*numbers, np.nan], dtype=np.float64)[column.codes]
    else:
        known = ~np.isnan(values)
    if not known.any():
        raise ValueError(f"{place} must hold the target, got missing values only")
    wrong = "" if text is None else f"got {text[row]!r} in row {row}"
    if text is not None and task == "regression":
        raise ValueError(f"{place} must hold numbers for --task regression, {wrong}")
    if text is not None:
        n_texts, n = len(set(text[known])), int(np.count_nonzero(known))
        if task is None and n_texts > max(MANY_TEXTS, n // 10):
            raise ValueError(
                f"{place} must hold classes or numbers to be the target, got {n_texts} different texts, such "
                f"as {text[row]!r} in row {row}; if these are classes, add --task classification"
            )
        found = text[known].astype(str)
        reason = f"{column.name!r} holds text: {shown(np.unique(found).tolist(), 5)}"
        return Target(True, reason if task is None else f"--task says so; {reason}", found, known)
    found = values[known]
    if column.kind == "boolean" and task != "regression":
        return Target(True, f"{column.name!r} holds true and false", found.astype(bool), known)
    different = np.unique(found)
    integers = bool((np.abs(different) < 2**53).all() and (different % 1 == 0).all())
    is_class = task == "classification" or (task is None and integers and len(different) <= FEW_CLASSES)
    whole = "whole numbers" if integers else "numbers"
    reason = f"{column.name!r} holds {len(different)} different {whole}"
    if task is not None:
        reason = "--task says so"
    elif is_class:
        reason += f", {shown([f'{each:g}' for each in different])} (otherwise: --task regression)"
    return Target(is_class, reason, found.astype(np.int64) if is_class and integers else found, known)


def _weights(column: Any, known: np.ndarray, source: Path) -> np.ndarray:
    """Return the weights of the rows with a target."""
    if column.kind not in ("number", "boolean"):
        raise ValueError(f"column {column.name!r} of {source} must hold weights, got {column.kind}")
    found: np.ndarray = column.values[known]
    wrong = np.flatnonzero(~(np.isfinite(found) & (found >= 0)))
    if len(wrong):
        row = int(known[wrong[0]])
        raise ValueError(
            f"column {column.name!r} of {source} must hold weights, finite and at least 0, got "
            f"{found[wrong[0]]:g} in row {row}"
        )
    return found


def _scores(est: Any, target: Target, weights: np.ndarray | None) -> list[dict[str, Any]]:
    """Return the scores on rows that the networks had not seen, each with that of a constant prediction."""
    y, metric = target.y, est._metric()
    w = np.ones(len(y)) if weights is None else weights
    found: dict[str, tuple[float, float, str]] = {}
    seen = np.isfinite(est.oof_.reshape(len(y), -1)[:, 0])
    if target.is_class:
        codes = np.searchsorted(est.classes_, y)
        shares = np.bincount(codes, w, len(est.classes_)) / w.sum()
        most = est.classes_[shares.argmax()]
        entropy = -float(np.sum(shares * np.log(np.maximum(shares, 1e-300))))
        always = f"if every row were {most!s}, the most frequent class"
        constants = {
            "log_loss": (entropy, "if every row had the frequencies of the classes"),
            "accuracy": (float(shares.max()), always),
            "balanced_accuracy": (1 / len(est.classes_), always),
            "roc_auc": (0.5, "if the rows were in any order"),
        }
        right = est.oof_[seen].argmax(axis=1) == codes[seen]
        found["accuracy"] = (float(np.average(right, weights=w[seen])), *constants["accuracy"])
    else:
        mean = np.average(y, weights=w)
        median = float(np.median(y))
        constants = {
            "rmse": (float(np.sqrt(np.average((y - mean) ** 2, weights=w))), "if every row were the mean"),
            "mae": (float(np.average(np.abs(y - median), weights=w)), "if every row were the median"),
        }
    found = {metric: (est.validation_score_, *constants[metric]), **found}
    keys = ("metric", "score", "baseline", "baseline_of")
    return [dict(zip(keys, (name, *each), strict=True)) for name, each in found.items()]


def _score_lines(scores: list[dict[str, Any]]) -> str:
    """Return the scores as lines of text."""
    rows = [(each["metric"], figure(each["score"]), figure(each["baseline"])) for each in scores]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(
        f"  {name:{widths[0]}}  {score:{widths[1]}}  ({baseline} {each['baseline_of']})"
        for (name, score, baseline), each in zip(rows, scores, strict=True)
    )


def _described(encoder: Any) -> str:
    """Return what was inferred for each column, in lines that fit the terminal."""
    width = shutil.get_terminal_size().columns
    title, *rows = encoder.describe().splitlines()
    begin, outputs, remark = (title.index(name) for name in ("range or levels", "outputs", "remark"))
    lines = [title[:outputs].rstrip()]
    for row, column in zip(rows, encoder.columns_.columns, strict=True):
        dropped = column.kind == "dropped"
        lines.append((row[:begin] + row[remark:] if dropped else row[:outputs]).rstrip())
    rest = len(lines) - 1 - MOST_LINES
    if rest > 0:
        lines = [*lines[: 1 + MOST_LINES], f"... and {rest} more columns, which dnn summary shows"]
    return "\n".join(
        line if len(line) <= width else f"{line[: width - 4].rstrip(' ,.')} ..." for line in lines
    )

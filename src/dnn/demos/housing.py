"""House prices predicted from one feature, from all features, and with a hidden layer.

The houses are generated: the price of a square meter depends on the distance from the center and on the view,
and both new and old houses are expensive. The demonstration accepts any other table as a CSV.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import Adam, Network
from ..inspection.plotting import BLUE, COLORS, VERMILION
from . import sheet

FILES = ("a CSV with a header; --target NAME selects the column to predict",)
HIDDEN = 32
WAYS = ("mean of all rows", "one feature, linear", "all features, linear", "one hidden layer")
CALIFORNIA = "median_house_value"
# Fewer rows leave too few for a test. A text column with more values has names, which do not generalize.
LEAST_ROWS = 30
MOST_VALUES = 50


class Table(NamedTuple):
    """Features X (N, I) with NaN for missing values, the target y (N,), and the names of both."""

    X: np.ndarray
    y: np.ndarray
    names: list[str]
    target: str
    unit: str
    left_out: list[str]  # text columns with many values


class Measured(NamedTuple):
    """Test errors (root mean square) of each model and split, and the points of the single feature."""

    target: str
    unit: str
    feature: str
    errors: dict[str, list[float]]
    n_rows: int
    n_features: int
    points: tuple[np.ndarray, np.ndarray]  # of the test set: the feature and the target
    line: tuple[np.ndarray, np.ndarray]
    gain: float  # reduction of the linear model's error by the hidden layer, in percent
    generated: bool
    left_out: list[str]


def houses(n: int = 2000, seed: int = 0) -> Table:
    """Return generated houses, whose prices depend on interactions of features, plus noise.

    Examples
    --------
    >>> houses(5).names
    ['area', 'rooms', 'age', 'distance', 'view', 'garden']
    """
    rng = np.random.default_rng(seed)
    area = rng.gamma(9, 13, n).clip(35, 320)  # square meters
    rooms = np.clip(np.round(area / 28 + rng.normal(0, 0.8, n)), 1, 12)
    age = rng.uniform(0, 100, n)
    distance = rng.gamma(2, 4, n).clip(0.2, 40)  # kilometers from the center
    view = rng.uniform(0, 1, n)
    garden = np.where(rng.random(n) < 0.5, rng.gamma(2, 150, n), 0)
    # 1000 dollars per square meter: high at the center, and highest there with a view
    per_area = 2 + 6 * np.exp(-distance / 5) * (0.5 + view)
    # New and old houses are expensive, those of 55 years are not.
    worn = 1 - 0.45 * np.exp(-(((age - 55) / 22) ** 2))
    price = area * per_area * worn + 0.05 * garden * per_area + rng.normal(0, 20, n)
    X = np.column_stack([area, rooms, age, distance, view, garden])
    names = ["area", "rooms", "age", "distance", "view", "garden"]
    return Table(X, price.clip(20), names, "price", "1000 dollars", [])


def read(path: Path, target: str | None = None) -> Table:
    """Return the table of a CSV: numeric columns unchanged, text columns as a 0 or 1 for each value.

    Parameters
    ----------
    path : Path
        A CSV with a header.
    target : str, default None
        The column to predict; None: that of the California data.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} must be a CSV in UTF-8, got an unreadable file: {error}") from error
    if not rows:
        raise ValueError(f"{path} must have a header and rows, got an empty file")
    header = [name.strip() for name in rows[0]]
    if not any(_number(name) is None for name in header):
        raise ValueError(f"{path} must have a header that names its columns, got {_listed(header)}")
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise ValueError(f"{path} must have a different name for each column, got {twice!r} twice")
    wanted = CALIFORNIA if target is None else target
    if wanted not in header:
        say = (
            "--target NAME must say which column to predict"
            if target is None
            else "--target must be a column"
        )
        raise ValueError(
            f"{say} of {path}: {_listed(header)}" + ("" if target is None else f"; got {target!r}")
        )
    for i, row in enumerate(rows[1:], 2):
        if len(row) != len(header):
            raise ValueError(
                f"{path} must have {len(header)} values per row, like its header, got {len(row)} in row {i}"
            )
    columns = {name: [row[j].strip() for row in rows[1:]] for j, name in enumerate(header)}
    y = _numbers(columns.pop(wanted))
    if y is None:
        text = next(value for row in rows[1:] if _number(value := row[header.index(wanted)].strip()) is None)
        raise ValueError(f"{wanted} must be numeric to be predicted, got {text!r}")
    known = ~np.isnan(y)  # rows without a target are of no use
    if known.sum() < LEAST_ROWS:
        raise ValueError(f"{path} must have at least {LEAST_ROWS} rows with a {wanted}, got {known.sum()}")
    if np.ptp(y[known]) == 0:
        raise ValueError(f"{wanted} must differ between rows, got {y[known][0]:g} in all of them")
    names, parts, left_out = [], [], []
    for name, cells in columns.items():
        numbers = _numbers(cells)
        if numbers is not None:
            if (~np.isnan(numbers[known])).any():  # otherwise all values are missing
                names.append(name)
                parts.append(_logarithm(numbers[known]))
            continue
        values = sorted(set(cells) - {""})
        if len(values) <= MOST_VALUES:
            names += [f"{name}={value}" for value in values]
            parts += [np.array([cell == value for cell in cells], float)[known] for value in values]
        else:
            left_out.append(name)
    if not names:
        raise ValueError(
            f"{path} must have a column to predict {wanted} from: numeric, or text with few values"
        )
    return Table(np.column_stack(parts), y[known], names, wanted, f"of {wanted}", left_out)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")


def _number(cell: str) -> float | None:
    """Return the value of a cell, NaN if it is missing, None if it is text."""
    if cell.lower() in ("", "na", "n/a", "nan", "null", "none", "?"):
        return np.nan
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if np.isfinite(value) else np.nan


def _numbers(cells: list[str]) -> np.ndarray | None:
    """Return a numeric column with NaN for missing values, or None if it has text."""
    found = [_number(cell) for cell in cells]
    return None if None in found else np.array(found, float)


def _logarithm(column: np.ndarray) -> np.ndarray:
    """Return the logarithms of a positive column that spans orders of magnitude, else the column."""
    known = column[~np.isnan(column)]
    far = known.min() > 0 and known.max() > 20 * np.median(known)
    return np.log(column) if far else column


def fit(net: Network, X: np.ndarray, y: np.ndarray, epochs: int) -> Network:
    """Train with a tenth of the rows for validation, and keep the best weights."""
    n = max(1, len(X) // 10)
    net.fit(
        X[n:], y[n:], X_val=X[:n], y_val=y[:n], optimizer=Adam(3e-3), epochs=epochs, batch_size=32,
        patience=30, alpha=1.0 if len(X) < 1000 else 0.0,
    )  # fmt: skip
    return net


def measure(path: Path | None = None, *, target: str | None = None, quick: bool = False) -> Measured:
    """Return the errors over several splits into 80 % training and 20 % test rows.

    Missing values become the median and features are scaled, both by the training rows.
    """
    if path is None and target is not None:
        raise ValueError("--target must come with a CSV, got none")
    table = houses(300 if quick else 2000) if path is None else read(path, target)
    X, y = table.X, table.y
    errors: dict[str, list[float]] = {way: [] for way in WAYS}
    splits = 2 if quick or len(X) > 5000 else 5
    epochs = 20 if quick else (200 if len(X) <= 5000 else 40)
    alone = -1
    for split in range(splits):
        order = np.random.default_rng(split).permutation(len(X))
        train, test = order[len(X) // 5 :], order[: len(X) // 5]
        filled = np.where(np.isnan(X), _medians(X[train]), X)
        mean, spread = filled[train].mean(axis=0), filled[train].std(axis=0)
        Z = (filled - mean) / np.where(spread > 0, spread, 1.0)
        low, width = y[train].mean(), y[train].std() or 1.0
        scaled = (y - low) / width

        def error(predicted: Any, test: np.ndarray = test, low: float = low, width: float = width) -> float:
            return float(np.sqrt(np.mean((np.ravel(predicted) * width + low - y[test]) ** 2)))

        if alone < 0:  # the feature that is most correlated with the target
            alone = int(np.argmax(np.abs(Z[train].T @ scaled[train])))
        errors[WAYS[0]].append(error(np.zeros(len(test))))
        line = fit(Network([1, 1], random_state=split), Z[train][:, [alone]], scaled[train], epochs)
        errors[WAYS[1]].append(error(line(Z[test][:, [alone]])))
        linear = fit(Network([X.shape[1], 1], random_state=split), Z[train], scaled[train], epochs)
        errors[WAYS[2]].append(error(linear(Z[test])))
        deep = Network([X.shape[1], HIDDEN, 1], random_state=split)
        errors[WAYS[3]].append(error(fit(deep, Z[train], scaled[train], epochs)(Z[test])))
    across = np.linspace(Z[test, alone].min(), Z[test, alone].max(), 2)
    up = np.ravel(line(across[:, None])) * width + low
    gain = 100 * (1 - np.mean(errors[WAYS[3]]) / float(np.mean(errors[WAYS[2]]) or 1.0))
    return Measured(
        table.target, table.unit, table.names[alone], errors, len(X), X.shape[1],
        (Z[test, alone], y[test]), (across, up), float(gain), path is None, table.left_out,
    )  # fmt: skip


def _medians(X: np.ndarray) -> np.ndarray:
    """Return the median of each column without missing values; 0 if all values are missing."""
    known = [column[~np.isnan(column)] for column in X.T]
    return np.array([np.median(column) if len(column) else 0.0 for column in known])


def tell(m: Measured) -> str:
    """Return the results as text."""
    kind = "generated houses" if m.generated else "rows"
    lines = [f"{m.target}, {m.n_rows:,} {kind}, {m.n_features} features: predictions of four models.\n"]
    lines += [f"{'':24}test error ({m.unit}, root mean square)"]
    lines += [f"{way:24}{np.mean(found):8.4g}" for way, found in m.errors.items()]
    lines.append(
        f"\nThe errors are means of {len(m.errors[WAYS[0]])} splits; the one feature is {m.feature}.\n"
        "With a hidden layer, the error of the linear model"
    )
    if m.gain < 5:
        lines[-1] += f" changes by {-m.gain:+.0f} %: for\nnearly linear data, a linear model is hard to beat."
    else:
        lines[-1] += f" falls by {m.gain:.0f} %: it can\n"
        lines[-1] += "represent interactions and non-linear effects of the features."
    if m.left_out:
        lines.append(f"Columns left out, as text with more than {MOST_VALUES} values: {_listed(m.left_out)}.")
    return "\n".join(lines)


def draw(m: Measured) -> Any:
    """Return the picture: the linear model of one feature, and the errors."""
    figure, (left, right) = sheet(4, 1, 2, width_ratios=[1, 1.1])
    left.scatter(*m.points, s=10, color=COLORS[5], linewidth=0, alpha=0.5 if len(m.points[0]) > 500 else 1)
    left.plot(*m.line, color=VERMILION, linewidth=3)
    left.set_xlabel(f"{m.feature} (standardized)")
    left.set_title(f"{m.target}\nfrom one feature")
    means = [float(np.mean(found)) for found in m.errors.values()]
    bars = right.barh(range(4), means, color=[COLORS[5], COLORS[5], COLORS[5], BLUE], height=0.6)
    for way, bar, mean in zip(m.errors, bars, means, strict=True):
        right.text(0, bar.get_y() - 0.06, way, va="bottom")
        right.text(mean, bar.get_y() + 0.3, f" {mean:.3g}", va="center", fontweight="bold")
    right.invert_yaxis()
    right.set_ylim(3.5, -0.8)
    right.set_xlim(0, max(means) * 1.3)
    right.set_yticks([])
    right.set_xticks([])
    right.set_title(f"test error,\n{m.unit}")
    return figure

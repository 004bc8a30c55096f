"""Prices from one feature and a line, from more features, and with a hidden layer."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import Adam, Network
from ..plotting import BLUE, COLORS, VERMILION
from . import sheet

FILES = ("CSV of house prices in California, with a header (median_house_value, median_income, ...)",)
HIDDEN = 32
WAYS = ("the mean of all", "one feature, a line", "all features, linear", "with a hidden layer")


class Measured(NamedTuple):
    """Test errors (root mean square) by way, one for each split, and the points of the single feature."""

    name: str
    unit: str
    feature: str
    errors: dict[str, list[float]]
    n_rows: int
    n_features: int
    points: tuple[np.ndarray, np.ndarray]  # of the test set: the feature and the target
    line: tuple[np.ndarray, np.ndarray]
    gain: float  # what the hidden layer takes off the error of the linear fit, in percent


def load(path: Path | None) -> tuple[np.ndarray, np.ndarray, list[str], int, str, str]:
    """Return X (N, I), y (N,), names of the features, which of them stands alone, what y is, its unit."""
    if path is None:
        from sklearn.datasets import load_diabetes

        found = load_diabetes()
        names = list(found.feature_names)
        return found.data, found.target, names, names.index("bmi"), "progress of diabetes", "points"
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    target = "median_house_value"
    if not rows or target not in rows[0]:
        raise ValueError(f"{path} must have a column median_house_value, as the California data have")
    names = [name for name in rows[0] if name not in (target, "ocean_proximity")]
    whole = [row for row in rows if all(row[name] for name in names)]
    X = np.array([[float(row[name]) for name in names] for row in whole])
    y = np.array([float(row[target]) for row in whole]) / 1e5
    # Counts run over four orders of magnitude: their logarithms say more.
    X = np.where((X > 0).all(axis=0), np.log(np.abs(X) + 1e-9), X)
    return X, y, names, names.index("median_income"), "price of a house", "100,000 dollars"


def fit(net: Network, X: np.ndarray, y: np.ndarray, epochs: int) -> Network:
    """Train with a tenth of the rows for validation, after which the best weights are in place."""
    n = len(X) // 10
    net.fit(
        X[n:], y[n:], X_val=X[:n], y_val=y[:n], optimizer=Adam(3e-3), epochs=epochs, batch_size=32,
        patience=30, alpha=5.0 if len(X) < 5000 else 0.0,
    )  # fmt: skip
    return net


def measure(path: Path | None = None, *, quick: bool = False) -> Measured:
    """Return the errors over several splits into 80 % to train with and 20 % to test."""
    X, y, names, alone, name, unit = load(path)
    errors: dict[str, list[float]] = {way: [] for way in WAYS}
    splits = 2 if quick else (10 if len(X) < 5000 else 2)
    epochs = 20 if quick else (200 if len(X) < 5000 else 40)
    for split in range(splits):
        order = np.random.default_rng(split).permutation(len(X))
        train, test = order[len(X) // 5 :], order[: len(X) // 5]
        mean, spread = X[train].mean(axis=0), X[train].std(axis=0)
        Z = (X - mean) / spread
        low, width = y[train].mean(), y[train].std()
        target = (y - low) / width

        def error(predicted: Any, test: np.ndarray = test, low: float = low, width: float = width) -> float:
            return float(np.sqrt(np.mean((np.ravel(predicted) * width + low - y[test]) ** 2)))

        one = [alone]
        errors[WAYS[0]].append(error(np.zeros(len(test))))
        line = fit(Network([1, 1], random_state=split), Z[train][:, one], target[train], epochs)
        errors[WAYS[1]].append(error(line(Z[test][:, one])))
        linear = fit(Network([X.shape[1], 1], random_state=split), Z[train], target[train], epochs)
        errors[WAYS[2]].append(error(linear(Z[test])))
        deep = Network([X.shape[1], HIDDEN, 1], random_state=split)
        errors[WAYS[3]].append(error(fit(deep, Z[train], target[train], epochs)(Z[test])))
    across = np.linspace(Z[test, alone].min(), Z[test, alone].max(), 2)
    up = np.ravel(line(across[:, None])) * width + low
    gain = 100 * (1 - np.mean(errors[WAYS[3]]) / np.mean(errors[WAYS[2]]))
    return Measured(
        name,
        unit,
        names[alone],
        errors,
        len(X),
        X.shape[1],
        (Z[test, alone], y[test]),
        (across, up),
        float(gain),
    )


def tell(m: Measured) -> str:
    """Return the numbers in words."""
    lines = [f"The {m.name} ({m.n_rows:,} rows, {m.n_features} features), from more and more.\n"]
    lines += [f"{'':24}test error ({m.unit}, root mean square)"]
    lines += [f"{way:24}{np.mean(found):8.3g}" for way, found in m.errors.items()]
    lines.append(
        f"\nMeans of {len(m.errors[WAYS[0]])} splits. With a hidden layer the error of the linear fit"
    )
    if m.gain < 5:
        lines.append(
            f"changes by {-m.gain:+.0f} %: with few rows, and little that bends, a line is hard to beat."
        )
    else:
        lines.append(f"falls by {m.gain:.0f} %: what a feature does depends on others, which no sum can say.")
    return "\n".join(lines)


def draw(m: Measured) -> Any:
    """Return the picture: the line through one feature, and the errors."""
    figure, (left, right) = sheet(4, 1, 2, width_ratios=[1, 1.1])
    left.scatter(*m.points, s=10, color=COLORS[5], linewidth=0, alpha=0.5 if len(m.points[0]) > 500 else 1)
    left.plot(*m.line, color=VERMILION, linewidth=3)
    left.set_xlabel(f"{m.feature} (standardized)")
    left.set_title(f"one feature: {m.name}")
    means = [np.mean(found) for found in m.errors.values()]
    bars = right.barh(range(4), means, color=[COLORS[5], COLORS[5], COLORS[5], BLUE], height=0.6)
    for way, bar, mean in zip(m.errors, bars, means, strict=True):
        right.text(0, bar.get_y() - 0.06, way, va="bottom")
        right.text(mean, bar.get_y() + 0.3, f" {mean:.3g}", va="center", fontweight="bold")
    right.invert_yaxis()
    right.set_ylim(3.5, -0.8)
    right.set_xlim(0, max(means) * 1.2)
    right.set_yticks([])
    right.set_title("test error")
    return figure

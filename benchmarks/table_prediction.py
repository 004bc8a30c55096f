"""How long does a table estimator take from raw cells to predictions?

One row: a dict of raw cells, and an array where all columns are numbers, through `predictor`. Many rows:
those of a table, repeated, through `predict_proba` or `predict`. Two tables are drawn at random, with the
kinds of columns of Adult (6 numbers, 8 texts) and of California housing (8 numbers); or a CSV file is read.

    python benchmarks/table_prediction.py [--rows 100000] [--members 8] [--csv FILE --target NAME]

Times are medians; beside the time on the clock stands the time of the processor, which other processes on
the machine do not lengthen as much.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas

from dnn import TableClassifier, TableRegressor

LEVELS = (8, 16, 7, 14, 6, 5, 2, 41)  # of the texts of Adult


def adult_like(n: int, rng: Any) -> tuple[pandas.DataFrame, np.ndarray]:
    """Return a table of 6 numbers and 8 texts, and two classes."""
    table = {f"number{i}": np.round(rng.gamma(2, 20, n)) for i in range(6)}
    for i, n_levels in enumerate(LEVELS):
        levels = np.array([f"level {k}" for k in range(n_levels)], dtype=object)
        levels[0] = None
        table[f"text{i}"] = levels[rng.integers(0, n_levels, n)]
    y = table["number0"] + table["number1"] > 80 + 20 * rng.normal(size=n)
    return pandas.DataFrame(table), np.where(y, "yes", "no")


def california_like(n: int, rng: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return an array of 8 numbers, and a number."""
    X = rng.gamma(2, 1, (n, 8))
    return X, X[:, 0] * np.sin(X[:, 1]) + 0.1 * rng.normal(size=n)


def timed(call: Callable[[], Any], repeats: int, per: int = 1) -> str:
    """Return the medians of the time on the clock and that of the processor."""
    clock, processor = [], []
    for _ in range(repeats):
        begin, begin_processor = time.perf_counter(), time.process_time()
        call()
        clock.append((time.perf_counter() - begin) / per)
        processor.append((time.process_time() - begin_processor) / per)
    unit, factor = ("us", 1e6) if statistics.median(clock) < 1e-3 else ("ms", 1e3)
    wall, own = factor * statistics.median(clock), factor * statistics.median(processor)
    return f"{wall:8.1f} {unit} (processor {own:.1f})"


def measure(name: str, X: Any, y: np.ndarray, options: argparse.Namespace) -> None:
    """Print the figures of one table."""
    kind = TableRegressor if y.dtype.kind == "f" else TableClassifier
    est = kind(n_members=options.members, epochs=3, random_state=0).fit(X, y)
    many = est.predict if y.dtype.kind == "f" else est.predict_proba
    net = "-".join(
        map(str, (est.encoder_.n_features_out_, *(layer.units for layer in est.members_[0].layers)))
    )
    print(f"{name}: {est.n_features_in_} columns, {options.members} networks {net}")
    predict = est.predictor()
    if isinstance(X, np.ndarray):
        rows: list[Any] = list(X[:200])
        print(f"  one row, array     {timed(lambda: [predict(row) for row in rows], 30, 200)}")
        big: Any = X[np.arange(options.rows) % len(X)]
    else:
        rows = X.iloc[:200].to_dict("records")
        print(f"  one row, dict      {timed(lambda: [predict(row) for row in rows], 30, 200)}")
        frame = X.iloc[:1]
        series = X.iloc[0]
        print(f"  one row, Series    {timed(lambda: [predict(series) for _ in range(100)], 10, 100)}")
        print(f"  one row, DataFrame {timed(lambda: [predict(frame) for _ in range(100)], 10, 100)}")
        big = X.iloc[np.arange(options.rows) % len(X)]
    print(f"  {options.rows:,} rows       {timed(lambda: many(big), 5)}")
    print(f"    of which encoding {timed(lambda: est.encoder_.transform(big), 3)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--csv")
    parser.add_argument("--target")
    options = parser.parse_args()
    if options.csv:
        table = pandas.read_csv(options.csv)
        y = table.pop(options.target).to_numpy()
        measure(options.csv, table, y, options)
        return
    rng = np.random.default_rng(0)
    measure("like Adult", *adult_like(5000, rng), options)
    measure("like California housing", *california_like(5000, rng), options)


if __name__ == "__main__":
    main()

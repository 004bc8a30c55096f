"""Piecewise-linear columns: an epoch of dense rows, of sparse rows with every 1 stored, and as PiecewiseRows.

The network is ...-128-128-1 with silu, trained with AdamW on 12,000 rows in float32, on one thread. The
times are those of the processor, because the contenders differ by less than other processes disturb a clock;
they are trained alternately, and the figures are medians.

    python benchmarks/piecewise.py [--quick] [--isa avx2] [--json FILE]
"""

import argparse
import os
import statistics
import sys
import time
from typing import Any

import measuring
import numpy as np

NAME = "piecewise"
ROWS = 12_000
# Numbers, bins of each, plain columns that are dense, categories, and values of each category
TABLES = {
    "16 numbers": (16, 24, 16, 0, 0),
    "8 numbers": (8, 24, 0, 0, 0),
    "30 numbers, 50 categories": (30, 12, 30, 50, 12),
}
NAMES = ("dense", "stored ones", "piecewise")


def table_rows(n: int, numbers: int, bins: int, plain: int, categories: int, values: int) -> tuple[Any, Any]:
    """Return a random table: the sparse matrix (n, I) of PiecewiseRows, and its segments (I,)."""
    import scipy.sparse as sp

    rng = np.random.default_rng(0)
    x = rng.random((n, numbers)) * bins * (1 - 1e-9)
    columns = [
        np.floor(x).astype(np.int64) + bins * np.arange(numbers),
        np.broadcast_to(numbers * bins + np.arange(plain), (n, plain)),
        numbers * bins
        + plain
        + rng.integers(0, max(values, 1), (n, categories))
        + values * np.arange(categories),
    ]
    elements = [x % 1, rng.standard_normal((n, plain)), np.ones((n, categories))]
    segments = np.repeat(np.arange(numbers) * bins, bins)
    segments = np.append(segments, np.full(plain + categories * values, -1))
    indices = np.concatenate(columns, axis=1)
    indptr = np.arange(n + 1) * indices.shape[1]
    data = np.concatenate(elements, axis=1).ravel()
    return sp.csr_array((data, indices.ravel(), indptr), shape=(n, len(segments))), segments


def trainings(shape: tuple[int, int, int, int, int], n: int, batch: int) -> dict[str, Any]:
    """Return for each contender a function that trains so many epochs and returns the seconds of an epoch."""
    import dnn
    from dnn.data import arrays as data
    from dnn.data.piecewise import PiecewiseRows
    from dnn.data.sparse import SparseRows
    from dnn.losses import loss_of
    from dnn.training.options import FitOptions
    from dnn.training.problem import Problem

    matrix, segments = table_rows(n, *shape)
    rows = PiecewiseRows(matrix, segments, np.dtype("float32"))
    y = np.random.default_rng(1).standard_normal(n)

    def training(X: Any) -> Any:
        net = dnn.Network([X.shape[1], 128, 128, 1], activation="silu", random_state=0)
        spec = loss_of("squared_error", "identity", 1)
        targets = data.targets(y, spec, n, 1, net.dtype)
        problem = Problem(net.plan, net.params, X, targets, None, spec, n_threads=1)
        optimizer = net.optimizer(dnn.AdamW(1e-3, weight_decay=0.01))

        def epochs(count: int) -> float:
            began = time.process_time()
            net._train(
                problem, optimizer, FitOptions(epochs=count, batch_size=batch), np.random.default_rng(0)
            )
            return (time.process_time() - began) / count

        return epochs

    forms = (rows[:], SparseRows(rows.written_out(), rows.dtype), rows)
    return {name: training(X) for name, X in zip(NAMES, forms, strict=True)}


def measure(pool: measuring.Pool, options: argparse.Namespace) -> list[dict[str, Any]]:
    from dnn import _core

    if options.isa:
        _core.select_isa(options.isa)
    n, repeats = (1500, 2) if options.quick else (ROWS, max(5, options.repeats))
    figures = []
    for name, shape in TABLES.items():
        for batch in (256, 64):
            train = trainings(shape, n, batch)
            times: dict[str, list[float]] = {key: [] for key in NAMES}
            for _ in range(repeats):
                for key in NAMES:
                    times[key].append(train[key](1 if options.quick else 3))
            columns = shape[0] * shape[1] + shape[2] + shape[3] * shape[4]
            figures.append(
                {"table": name, "columns": columns, "batch": batch, "isa": _core.isa(), "times": times}
            )
    return figures


def table(figures: list[dict[str, Any]]) -> str:
    body = []
    for f in figures:
        median = {name: statistics.median(f["times"][name]) for name in NAMES}
        body.append(
            [
                f"{f['table']}: {f['columns']} columns, batch {f['batch']}, {f['isa']}",
                *(measuring.duration(median[name]) for name in NAMES),
                f"{median['dense'] / median['piecewise']:.2f}",
            ]
        )
    return measuring.markdown(["epoch", *NAMES, "dense / piecewise"], body)


def draw(figures: list[dict[str, Any]]) -> dict[str, Any]:
    return {}


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    measuring.main(sys.modules[__name__])

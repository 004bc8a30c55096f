"""Small table estimators, each fitted once, and the table that they are fitted to."""

from functools import cache

import numpy as np

from dnn import TableClassifier, TableRegressor


def table_of(n=240, seed=0):
    """Return a table with each kind of column, as a dict of lists, and a target that some of them tell."""
    rng = np.random.default_rng(seed)
    size, noise, tail = rng.uniform(0, 10, n), rng.normal(size=n), np.exp(2 * rng.normal(size=n))
    job = rng.integers(0, 4, n)
    some = np.where(rng.uniform(size=n) < 0.2, np.nan, noise)
    days = np.datetime64("2024-01-01") + rng.integers(0, 500, n)
    table = {
        "size": size.tolist(),
        "some": [None if value != value else value for value in some.tolist()],
        "job": [["cook", "pilot", "nurse", None][k] for k in job],
        "unit": ["kg"] * n,
        "tail": tail.tolist(),
        "code": [f"c{k}" for k in rng.integers(0, 15, n)],
        "on": (rng.uniform(size=n) < 0.5).tolist(),
        "day": days.astype(object).tolist(),
    }
    return table, np.sin(size) + 0.5 * job + 0.1 * noise


def rows_of(table):
    """Return the rows of a dict of columns, as dicts."""
    return [dict(zip(table, cells, strict=True)) for cells in zip(*table.values(), strict=True)]


@cache
def fitted(kind, **options):
    """Return an estimator fitted to `table_of()`: "regressor", "binary" or "multiclass"."""
    table, y = table_of()
    options = {
        "n_members": 2, "epochs": 20, "learning_rate_init": 0.02, "hidden_layer_sizes": (16, 16),
        "random_state": 0,
    } | options  # fmt: skip
    estimator = TableRegressor if kind == "regressor" else TableClassifier
    return estimator(**options).fit(table, target_of(kind, y))


def target_of(kind, y):
    """Return the target of an estimator of `fitted` from that of `table_of`."""
    if kind == "regressor":
        return 100 * y
    if kind == "binary":
        return np.where(y > 1, "yes", "no")
    return np.array(["low", "mid", "top"])[(y > 0.5) * 1 + (y > 1.5)]


KINDS = ("regressor", "binary", "multiclass")

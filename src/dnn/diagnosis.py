"""What can be measured when training fails: computed only then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .network import Network
    from .training import Problem

SPREAD = 100.0  # inputs or targets of a larger spread, or mean, are called unscaled
EPOCHS, STEPS = 5, 100  # so many without a fall are no progress
LOOKED_AT, NUMBERS = 1000, 1 << 21  # rows, and no more numbers of theirs: a sparse X may be wide


def no_progress(losses: list[float], n_steps: int) -> bool:
    """Return whether the loss has not fallen by a thousandth in all of several epochs and many steps."""
    if len(losses) < EPOCHS or n_steps < STEPS:
        return False
    return min(losses[1:]) >= losses[0] - 1e-3 * abs(losses[0])


def findings(net: Network, problem: Problem, costs: list[float], n_rows: int = LOOKED_AT) -> list[str]:
    """Return what stands out in inputs, targets, costs of the last steps, and hidden layers, a line each."""
    step = max(1, len(problem.X) // max(1, min(n_rows, NUMBERS // problem.plan.n_inputs)))
    X = np.asarray(problem.X[::step], dtype=np.float64)
    found = []
    spreads = np.maximum(X.std(axis=0), np.abs(X.mean(axis=0)))
    worst = int(np.argmax(spreads))
    if spreads[worst] > SPREAD:
        column = X[:, worst]
        found.append(
            f"inputs unscaled: column {worst} has a spread of {column.std():.2g} around {column.mean():.2g}"
        )
    if problem.targets.Y is not None:
        Y = np.asarray(problem.targets.Y[::step], dtype=np.float64)
        if Y.std() > SPREAD:
            found.append(f"targets unscaled: a spread of {Y.std():.2g}")
    rises = 0
    while rises + 1 < len(costs) and not costs[-1 - rises] <= costs[-2 - rises]:
        rises += 1
    if rises >= 3:
        found.append(f"rate too high: the loss rose {rises} steps in a row, to {costs[-1]:.3g}")
    return found + dead_units(net, np.ascontiguousarray(problem.X[::step]))


def dead_units(net: Network, X: np.ndarray) -> list[str]:
    """Return a line for each hidden layer in which most units give the same for every row."""
    _, cache = net.forward(X)
    found = []
    for number, (A, layer) in enumerate(zip(cache.A[:-1], net.layers[:-1], strict=True), 1):
        if len(A) < 2 or not np.isfinite(A).all():
            continue
        dead = int((np.ptp(A, axis=0) <= 1e-6 * max(1e-30, float(np.abs(A).max()))).sum())
        if 2 * dead >= layer.units:
            what = "dead" if not A.any(axis=0).all() else "the same for every row"
            found.append(f"{dead} of {layer.units} units {what} in layer {number}")
    return found

"""What can be measured when training fails: computed only then."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .._core import Plan
from ..layers import activation_of
from .history import History, NoProgressWarning

if TYPE_CHECKING:
    from ..losses import LossSpec
    from ..network import Network
    from .problem import Problem

SPREAD = 100.0  # inputs or targets of a larger spread, or mean, are called unscaled
EPOCHS, STEPS = 5, 100  # so many without a fall are no progress
LOOKED_AT, NUMBERS = 1000, 1 << 20  # rows, and no more numbers of theirs: a sparse X may be wide
# A loss that rose to so many times the first, in more than a few steps, and one that has not fallen by this
# share in the second half of a training, are held against that of a constant prediction; so is one at which
# training ended by itself.
EXPLODED, EXPLODED_STEPS, STALLED = 100.0, 10, 0.01
# A loss of more than so many constant predictions is a failure; where training ended by itself, as a large
# tolerance may make it do early on purpose, more than the second.
WORSE, MUCH_WORSE = 1.1, 10.0
# Columns whose quartiles, of a few rows, are closer than this in units of their size are looked at for values
# that become equal in float32, where the spread is more than float64 rounds: a tenth of them is a loss.
FEW_ROWS, FEW_NUMBERS, FEW_COLUMNS = 64, 1 << 18, 100
NARROW, NOISE, LOST = 1e-3, 1e-12, 0.1


def warn(
    net: Network,
    problem: Problem,
    history: History,
    n_steps: int,
    costs: list[float],
    *,
    stacklevel: int,
    category: type[Warning] = NoProgressWarning,
    by_score: bool = False,
) -> None:
    """Warn of a training that has ended and got nowhere with the weights that are now in place.

    by_score: whether a score has ended it, which may have been early on purpose.
    """
    said, losses = "", history.loss
    with np.errstate(all="ignore"):
        worse = worse_than_constant(net, problem, history, n_steps, by_score)
        stuck = no_progress(losses, n_steps) and any(history.rate)
        found = findings(net, problem, costs) if worse or stuck else []
    if worse:
        said = worse
    elif stuck and found:  # without a finding, it may as well have been trained already
        said = f"the loss has not fallen in {len(losses)} epochs: {losses[0]:g}, then {losses[-1]:g}."
    if said:
        listed = "".join(f"\n- {finding}" for finding in found)
        measured = f" What can be measured:{listed}" if found else ""
        warnings.warn(said + measured, category, stacklevel=stacklevel)


def warn_never_finite(figure: str, place: str, last: float, stacklevel: int) -> None:
    """Warn that a figure that was to choose weights never could."""
    warnings.warn(
        f"{figure} on {place} was not finite after any epoch (the last was {last:g}): it could choose no "
        "weights and end no training, and the weights of the last epoch are kept",
        NoProgressWarning,
        stacklevel=stacklevel,
    )


def worse_than_constant(
    net: Network, problem: Problem, history: History, n_steps: int, by_score: bool
) -> str:
    """Return a sentence where the network is worse than a constant prediction, otherwise "".

    The loss of a constant is computed only where the losses of a training are suspicious.
    """
    losses = history.loss
    if not losses:
        return ""
    half, highest = len(losses) // 2, max(losses)
    exploded = n_steps >= EXPLODED_STEPS and highest > EXPLODED * abs(losses[0])
    stalled = (
        len(losses) >= EPOCHS
        and n_steps >= STEPS
        and any(history.rate)
        and min(losses[half:]) > min(losses[:half]) - STALLED * abs(min(losses[:half]))
    )
    ended = not by_score and history.stopped_by in ("tol", "patience", "converged", "line_search")
    if not (exploded or stalled or ended):
        return ""
    compared = against_constant(net, problem)
    if compared is None:
        return ""
    own, constant = compared
    if own <= (WORSE if exploded or stalled else MUCH_WORSE) * constant:
        return ""
    went = f"went from {losses[0]:.3g} to {losses[-1]:.3g}"
    if exploded:
        went = f"went from {losses[0]:.3g} up to {highest:.3g}, and to {losses[-1]:.3g}"
    return (
        f"the network is worse than a constant prediction: its loss is {own:.3g}, and that of the best "
        f"constant {constant:.3g}. In training the loss {went}, which ended by {history.stopped_by!r}: try "
        "another rate, or inputs and targets scaled to a spread of about 1."
    )


def against_constant(net: Network, problem: Problem) -> tuple[float, float] | None:
    """Return the mean loss of the network and of the best constant outputs on some of the rows.

    None where the constant is not known, or so good that nothing could be better: targets that are all equal.
    """
    step = max(1, len(problem.X) // max(1, min(LOOKED_AT, NUMBERS // problem.plan.n_inputs)))
    rows = slice(None, None, step)
    weights = None if problem.weights is None else problem.weights[rows]
    if problem.loss.function is not None or (weights is not None and not weights.any()):
        return None
    Y, classes = problem.targets.Y, problem.targets.classes
    Y = None if Y is None else Y[rows].astype(np.float64)
    classes = None if classes is None else classes[rows].copy()
    output = net.layers[-1]
    logits = _best_logits(problem.loss, output.info.name, output.units, Y, classes, weights)
    if logits is None:
        return None
    n = len(problem.X[rows])
    constant = replace(
        problem,
        plan=Plan(1, [(output.units, *activation_of(output.activation), 0.0)]),
        params=np.append(np.zeros(output.units), logits),
        X=np.zeros((n, 1)),
        targets=problem.targets._replace(Y=Y, classes=classes),
    )
    best = float(np.average(constant.losses_of(slice(None)), weights=weights))
    if problem.loss.name == "log_loss" and best < 1e-9:
        return None
    return float(np.average(problem.losses_of(rows), weights=weights)), best


def _best_logits(
    loss: LossSpec,
    output: str,
    n_outputs: int,
    Y: np.ndarray | None,
    classes: np.ndarray | None,
    weights: np.ndarray | None,
) -> np.ndarray | None:
    """Return the Z (O,) of the last layer with which a loss is about lowest where all rows have the same."""
    if Y is None:
        Y = np.eye(n_outputs)[classes]
    if loss.name != "log_loss" and (np.ptp(Y, axis=0) <= 1e-6 * np.abs(Y).max(axis=0)).all():
        return None
    if loss.name in ("absolute_error", "huber", "quantile"):
        levels = loss.par if loss.name == "quantile" else (0.5,) * n_outputs
        order = np.argsort(Y, axis=0)
        shares = np.cumsum(np.ones(Y.shape) if weights is None else weights[order], axis=0)
        rows = (shares < np.array(levels) * shares[-1]).sum(axis=0)
        best = np.take_along_axis(Y, order, axis=0)[np.minimum(rows, len(Y) - 1), np.arange(n_outputs)]
    else:
        best = np.average(Y, axis=0, weights=weights)
    smoothing = loss.par[0] if loss.name == "log_loss" else 0.0
    even = 0.5 if output == "sigmoid" else best.mean()
    share = np.clip((1 - smoothing) * best + smoothing * even, 1e-15, 1)
    if output == "sigmoid":
        found: np.ndarray = np.log(share) - np.log(np.maximum(1 - share, 1e-15))
    elif output == "softmax":
        found = np.log(share)
    elif output == "exp":
        found = np.log(np.maximum(best, 1e-30))
    elif output == "softplus":
        best = np.maximum(best, 1e-30)
        found = best + np.log(-np.expm1(-best))
    elif output == "tanh":
        found = np.arctanh(np.clip(best, -1 + 1e-12, 1 - 1e-12))
    elif output == "identity":
        found = best
    else:
        return None
    return found


def warn_of_rounding(X: Any, y: Any, dtype: np.dtype[Any], stacklevel: int) -> None:
    """Warn of a column of X or y whose different values become equal when they are converted to float32.

    X, y: as they are handed in. Some rows are looked at, and of most columns only a few.
    """
    for name, given in (("X", X), ("y", y)):
        for column, before, after, n_rows in lost_values(given, dtype):
            place = f"column {column} of {name}" if np.ndim(given) > 1 else name
            warnings.warn(
                f"{place} has {before} distinct values in {n_rows} rows, and {after} in float32: subtract "
                "its mean before, or use dtype='float64'",
                NoProgressWarning,
                stacklevel=stacklevel,
            )
            break  # one tells enough


def lost_values(given: Any, dtype: np.dtype[Any]) -> list[tuple[int, int, int, int]]:
    """Return columns whose values become equal in float32: number, values before, after, rows looked at."""
    if dtype != np.float32 or not (isinstance(given, (list, tuple)) or hasattr(given, "__array__")):
        return []
    array = given if isinstance(given, np.ndarray) else np.asarray(given)
    if array.dtype.kind not in "iuf" or array.dtype.itemsize < 4 or array.dtype == np.float32:
        return []
    if array.ndim not in (1, 2) or len(array) < 2 or not array.size:
        return []
    table = array[:, None] if array.ndim == 1 else array
    n_few = max(4, min(FEW_ROWS, FEW_NUMBERS // table.shape[1]))
    few = np.sort(table[:: max(1, len(table) // n_few)].astype(np.float64), axis=0)
    low, high = few[len(few) // 4], few[-1 - len(few) // 4]
    narrow = np.flatnonzero(high - low < NARROW * np.maximum(np.abs(low), np.abs(high)))
    found = []
    for column in narrow[:FEW_COLUMNS]:
        values = table[:: max(1, len(table) // LOOKED_AT), column].astype(np.float64)
        before, after = len(np.unique(values)), len(np.unique(values.astype(np.float32)))
        if np.ptp(values) > NOISE * np.abs(values).max() and before - after > LOST * before:
            found.append((int(column), before, after, len(values)))
    return found


def no_progress(losses: list[float], n_steps: int) -> bool:
    """Return whether the loss has not fallen by a thousandth in all of several epochs and many steps."""
    if len(losses) < EPOCHS or n_steps < STEPS:
        return False
    return min(losses[1:]) >= losses[0] - 1e-3 * abs(losses[0])


@np.errstate(all="ignore")  # of numbers that are too large, which are what is looked for
def findings(net: Network, problem: Problem, costs: list[float], n_rows: int = LOOKED_AT) -> list[str]:
    """Return what stands out in inputs, targets, costs of the last steps, and hidden layers, a line each."""
    step = max(1, len(problem.X) // max(1, min(n_rows, NUMBERS // problem.plan.n_inputs)))
    found = []
    mean, std = problem.column_moments(n_rows, step)
    worst = int(np.argmax(np.maximum(std, np.abs(mean))))
    if max(std[worst], abs(mean[worst])) > SPREAD:
        found.append(
            f"inputs unscaled: column {worst} has a spread of {std[worst]:.2g} around {mean[worst]:.2g}"
        )
    if problem.targets.Y is not None:
        Y = np.asarray(problem.targets.Y[::step], dtype=np.float64)
        if Y.std() > SPREAD or (0 < Y.std() < 1 / SPREAD and problem.loss.name != "log_loss"):
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

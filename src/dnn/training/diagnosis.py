"""Findings on a training that has failed or made no progress; they are computed only then."""

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

SPREAD = 100.0  # inputs or targets with a larger standard deviation, or mean, are called unscaled
EPOCHS, STEPS = 5, 100  # this many without a fall of the loss are no progress
SAMPLE_ROWS, SAMPLE_VALUES = 1000, 1 << 20  # that are read; a sparse X may have very many columns
# A loss is compared with that of a constant prediction where it has risen to EXPLODED times the first one, in
# at least EXPLODED_STEPS steps, where it has not fallen by the share STALLED in the second half of the
# training, and where the training ended by itself.
EXPLODED, EXPLODED_STEPS, STALLED = 100.0, 10, 0.01
# More than WORSE times the loss of a constant prediction is a failure. Where the training ended by itself,
# which a large tolerance may do early on purpose, only more than MUCH_WORSE times.
WORSE, MUCH_WORSE = 1.1, 10.0
# A column whose quartiles, in a few rows, are closer than NARROW times its size is searched for values that
# become equal in float32, unless its range is within the rounding of float64, NOISE. A warning is due where
# the share LOST of the distinct values is lost.
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
    """Warn of a training that has made no progress to the weights that are now in place.

    by_score: whether a score has ended it, which may have been early on purpose.
    """
    message, losses = "", history.loss
    with np.errstate(all="ignore"):
        worse = worse_than_constant(net, problem, history, n_steps, by_score)
        stuck = no_progress(losses, n_steps) and any(history.rate)
        measured = findings(net, problem, costs) if worse or stuck else []
    if worse:
        message = worse
    elif stuck and measured:  # without a finding, the network may have been trained before
        message = f"the loss has not fallen in {len(losses)} epochs: {losses[0]:g}, then {losses[-1]:g}."
    if message:
        warnings.warn(message + as_list(measured), category, stacklevel=stacklevel)


def as_list(measured: list[str]) -> str:
    """Return findings as the end of a message, one per line; "" for none."""
    listed = "".join(f"\n- {finding}" for finding in measured)
    return f" What can be measured:{listed}" if listed else ""


def warn_never_finite(figure: str, place: str, last: float, stacklevel: int) -> None:
    """Warn that a loss or score that chooses the weights was never finite."""
    warnings.warn(
        f"{figure} on {place} was not finite after any epoch (the last was {last:g}): it could choose no "
        "weights and end no training, and the weights of the last epoch are kept",
        NoProgressWarning,
        stacklevel=stacklevel,
    )


def worse_than_constant(
    net: Network, problem: Problem, history: History, n_steps: int, by_score: bool
) -> str:
    """Return a sentence if the network is worse than a constant prediction, otherwise "".

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
    compared = loss_and_constant_loss(net, problem)
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


def loss_and_constant_loss(net: Network, problem: Problem) -> tuple[float, float] | None:
    """Return the mean loss of the network, and that of the best constant outputs, on a sample of the rows.

    None where the constant is not known, or cannot be improved because all targets are equal.
    """
    step = max(1, len(problem.X) // max(1, min(SAMPLE_ROWS, SAMPLE_VALUES // problem.plan.n_inputs)))
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
    """Return the logits (O,) that give about the lowest loss where all rows have the same logits."""
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
        logits: np.ndarray = np.log(share) - np.log(np.maximum(1 - share, 1e-15))
    elif output == "softmax":
        logits = np.log(share)
    elif output == "exp":
        logits = np.log(np.maximum(best, 1e-30))
    elif output == "softplus":
        best = np.maximum(best, 1e-30)
        logits = best + np.log(-np.expm1(-best))
    elif output == "tanh":
        logits = np.arctanh(np.clip(best, -1 + 1e-12, 1 - 1e-12))
    elif output == "identity":
        logits = best
    else:
        return None
    return logits


def warn_of_rounding(X: Any, y: Any, dtype: np.dtype[Any], stacklevel: int) -> None:
    """Warn of a column of X or y whose different values become equal when they are converted to float32.

    X, y: as the caller gave them. A sample of the rows is read, and of most columns only a few values.
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
            break  # one warning for each array is enough


def lost_values(given: Any, dtype: np.dtype[Any]) -> list[tuple[int, int, int, int]]:
    """Return the columns in which different values become equal in float32.

    Each as its index, the number of distinct values before and after, and the number of rows read.
    """
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
    lossy = []
    for column in narrow[:FEW_COLUMNS]:
        values = table[:: max(1, len(table) // SAMPLE_ROWS), column].astype(np.float64)
        before, after = len(np.unique(values)), len(np.unique(values.astype(np.float32)))
        if np.ptp(values) > NOISE * np.abs(values).max() and before - after > LOST * before:
            lossy.append((int(column), before, after, len(values)))
    return lossy


def no_progress(losses: list[float], n_steps: int) -> bool:
    """Return whether the loss has not fallen by a thousandth in all of several epochs and many steps."""
    if len(losses) < EPOCHS or n_steps < STEPS:
        return False
    return min(losses[1:]) >= losses[0] - 1e-3 * abs(losses[0])


@np.errstate(all="ignore")  # values that overflow are among the findings
def findings(net: Network, problem: Problem, costs: list[float], n_rows: int = SAMPLE_ROWS) -> list[str]:
    """Return findings on the inputs, the targets, the costs of the last steps and the hidden layers."""
    step = max(1, len(problem.X) // max(1, min(n_rows, SAMPLE_VALUES // problem.plan.n_inputs)))
    measured = []
    mean, std = problem.column_moments(n_rows, step)
    worst = int(np.argmax(np.maximum(std, np.abs(mean))))
    if max(std[worst], abs(mean[worst])) > SPREAD:
        measured.append(
            f"inputs unscaled: column {worst} has a spread of {std[worst]:.2g} around {mean[worst]:.2g}"
        )
    if problem.targets.Y is not None:
        Y = np.asarray(problem.targets.Y[::step], dtype=np.float64)
        if Y.std() > SPREAD or (0 < Y.std() < 1 / SPREAD and problem.loss.name != "log_loss"):
            measured.append(f"targets unscaled: a spread of {Y.std():.2g}")
    rises = 0
    while rises + 1 < len(costs) and not costs[-1 - rises] <= costs[-2 - rises]:
        rises += 1
    if rises >= 3:
        measured.append(f"rate too high: the loss rose {rises} steps in a row, to {costs[-1]:.3g}")
    return measured + dead_units(net, np.ascontiguousarray(problem.X[::step]))


def dead_units(net: Network, X: np.ndarray) -> list[str]:
    """Return a line for each hidden layer in which most units have the same output for every row."""
    _, cache = net.forward(X)
    measured = []
    for number, (A, layer) in enumerate(zip(cache.A[:-1], net.layers[:-1], strict=True), 1):
        if len(A) < 2 or not np.isfinite(A).all():
            continue
        dead = int((np.ptp(A, axis=0) <= 1e-6 * max(1e-30, float(np.abs(A).max()))).sum())
        if 2 * dead >= layer.units:
            what = "dead" if not A.any(axis=0).all() else "the same for every row"
            measured.append(f"{dead} of {layer.units} units {what} in layer {number}")
    return measured

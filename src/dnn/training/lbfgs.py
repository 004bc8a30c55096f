"""Limited-memory BFGS by SciPy, over the cost that the core computes, in float64."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from ..data import blocks
from ..data.arrays import Targets, matched
from ..optimizers import LBFGS
from .history import DivergedError, History
from .options import FitOptions
from .problem import Problem
from .stopping import EpochEnd
from .trainers import layer_slices

if TYPE_CHECKING:
    from ..network import Network


class _Stop(Exception):
    """Ends SciPy's loop from within."""


def _wide(rows: Any) -> Any:
    """Return rows in float64: a large memory map in blocks as they are read, everything else at once."""
    large = isinstance(rows, np.ndarray) and rows.ndim == 2 and rows.size * 8 > blocks.BLOCK
    if large and blocks.is_mapped(rows):
        rows = blocks.BlockRows(rows, rows.dtype)
    return rows.astype(np.float64, copy=False)


def refuse(net: Network, problem: Problem, options: FitOptions) -> None:
    """Raise ValueError for options that a training by L-BFGS does not have."""
    for name, default in (("clip_norm", None), ("ema", None), ("order", None)):
        if getattr(options, name) != default:
            raise ValueError(f"{name} must not be given with L-BFGS, which has no batches")
    if options.streamed is not None:
        raise ValueError("optimizer must be one that takes steps with a source, got LBFGS")
    if any(net.dropout):
        raise ValueError("a network with dropout must have an optimizer that takes steps, got LBFGS")


def minimize(net: Network, problem: Problem, spec: LBFGS, options: FitOptions) -> History:
    """Train the parameters in place for at most `options.epochs` iterations and return what happened."""
    from scipy import optimize

    given, wide = problem, np.dtype(np.float64)
    targets = Targets(*(t if t is None or t.dtype.kind != "f" else _wide(t) for t in problem.targets))
    X, targets = matched(_wide(problem.X), targets)
    problem = replace(problem, X=X, targets=targets)
    history = History(problem.loss.name)
    start = net.params.astype(wide)
    # The parameters that are trained: all of them, which makes no copy, or those of a mask
    free: Any = slice(None)
    if any(net.frozen):
        free = np.ones(net.n_params, dtype=bool)
        for part, frozen in zip(layer_slices(problem.plan), net.frozen, strict=True):
            free[part] = not frozen
    costs: list[float] = []  # of the points that SciPy evaluates
    began = time.perf_counter()
    epoch_end = EpochEnd(net, options, history)

    def full(p: np.ndarray) -> np.ndarray:
        if not any(net.frozen):
            return p
        whole = start.copy()
        whole[free] = p
        return whole

    def cost(p: np.ndarray) -> tuple[float, np.ndarray]:
        grad = np.empty_like(start)  # SciPy keeps it
        value = sum(problem.cost_and_gradient(full(p), grad))
        if not costs:
            if not np.isfinite(value):
                raise DivergedError(0, float("nan"), f"the cost of the first weights is {value}")
            history.loss.append(value)  # as in other trainings, the cost before the step
        costs.append(value)
        return value, grad[free]

    def iterated(intermediate_result: Any) -> None:
        net.params[:] = full(intermediate_result.x)
        history.rate.append(1.0)
        epoch_end.validate()
        if options.max_seconds is not None and time.perf_counter() - began >= options.max_seconds:
            history.stopped_by = "max_seconds"
        epoch_end.notify()
        if history.stopped_by:
            raise _Stop
        history.loss.append(float(intermediate_result.fun))

    try:
        result = optimize.minimize(
            cost, start[free], jac=True, method="L-BFGS-B", callback=iterated,
            options={"maxiter": options.epochs, "maxcor": spec.history, "gtol": spec.gtol, "ftol": spec.ftol,
                     "maxfun": spec.max_evaluations or 100 * options.epochs, "maxls": spec.line_search},
        )  # fmt: skip
        net.params[:] = full(result.x)
        if result.status == 1:
            history.stopped_by = "epochs" if result.nit >= options.epochs else "evaluations"
        else:
            history.stopped_by = "converged" if result.status == 0 else "line_search"
    except _Stop:
        pass
    finally:
        history.seconds = time.perf_counter() - began
        epoch_end.close()
    if len(history.loss) > 1:
        history.loss.pop()  # the cost after the last iteration, which began no other
    if options.record == "step":
        history.step_loss = costs
    if not _core.all_finite(net.params):
        net.params[:] = start
        raise DivergedError(len(history.loss) - 1, costs[-1], "a weight is not finite")
    epoch_end.warn(given, len(costs), [])
    return history

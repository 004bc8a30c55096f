"""Trainers do the steps of a training: the core's, or one of these for rows that are read in blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from .. import _core
from ..data.blocks import HELD, BlockRows
from ..data.sparse import SparseRows, core_rows
from .checkpoint import RunningAverage
from .optimizer_state import OptimizerState, optimizer_args
from .options import FitOptions
from .problem import Problem


class Trainer(Protocol):
    """Does the steps of a training, as the core's Trainer."""

    step: int

    def steps(self, order: np.ndarray | None, rates: np.ndarray, costs: np.ndarray, first: int) -> int:
        """Do len(rates) steps from batch `first` of the first epoch of order (epochs, N); see the core."""

    def close(self) -> None:
        """End its team of threads."""


def trainer_for(
    problem: Problem,
    optimizer: OptimizerState,
    options: FitOptions,
    batch: int,
    average: RunningAverage,
    frozen: np.ndarray | None,
) -> Trainer:
    """Return the trainer for the rows of a problem, `batch` of them per step."""
    X, plan = problem.X, problem.plan
    args = optimizer_args(optimizer, frozen, options.clip_norm or 0.0, average.mean, average.rate)

    def trainer(X: Any, loss: _core.LossArgs, batch: int, gather: bool = False) -> Trainer:
        """Return the core's trainer on the given arrays, which may be a part of the problem's rows."""
        layout = _core.training_layout(
            plan, problem.params.itemsize, batch, loss, args, gather=gather, two_sweeps=options.two_sweeps,
            sparse=problem.X.core if isinstance(problem.X, SparseRows) else None,
        )  # fmt: skip
        return _core.Trainer(
            plan, layout, problem.params, X, loss, args, batch=batch, step=optimizer.n_steps,
            seed=optimizer.seed or 0, n_threads=problem.n_threads,
        )  # fmt: skip

    if not isinstance(X, BlockRows):
        return trainer(core_rows(X), problem.loss_args(), batch, options.gathers)
    width = plan.n_inputs + (plan.n_outputs if isinstance(problem.targets.Y, BlockRows) else 0)
    if batch * width * problem.params.itemsize > HELD and not plan.dropout:
        return SummedTrainer(problem, batch, args, optimizer.n_steps)
    return BlockTrainer(problem, batch, trainer)


class BlockTrainer:
    """A trainer over a memory map: it fills a buffer with the rows of the next steps, and trains on that.

    Parameters
    ----------
    problem : Problem
        X is BlockRows.
    batch : int
        Rows per step.
    trainer : callable
        ``trainer(X, loss, batch)`` returns the core's Trainer on these arrays, which it reads at each step.
    """

    def __init__(
        self, problem: Problem, batch: int, trainer: Callable[[np.ndarray, _core.LossArgs, int], Trainer]
    ) -> None:
        assert isinstance(problem.X, BlockRows)
        self.X: BlockRows = problem.X
        self.python_loss = problem.python_loss()
        self.held: Any = None  # the numbers of the rows that the buffer holds
        self.sources = (problem.targets.Y, problem.targets.classes, problem.weights)
        self.batch = batch
        self.n_full, rest = divmod(len(self.X), batch)
        self.steps_per_epoch = self.n_full + bool(rest)
        tile = next(self.X.tiles())
        n_held = min(self.n_full, max(1, tile.stop // batch))  # full batches
        # The core counts the batches of its rows from the number of rows: the short last one has its own.
        self.sets: list[tuple[list[np.ndarray | None], np.ndarray, Trainer | None]] = []
        for n_rows in (n_held * batch, rest):
            X = np.empty((n_rows, self.X.shape[1]), self.X.dtype)
            Y, classes, weights = (
                None if s is None else np.zeros((n_rows, *s.shape[1:]), s.dtype) for s in self.sources
            )
            if weights is not None:
                weights[:] = 1
            loss = None if self.python_loss is None else self._loss
            args = problem.loss_args()._replace(Y=Y, classes=classes, weights=weights, function=loss)
            made = trainer(X, args, min(batch, n_rows)) if n_rows else None
            self.sets.append(([Y, classes, weights], X, made))
        self.step = next(made for *_, made in self.sets if made is not None).step

    def _loss(self, rows: Any, logits: np.ndarray) -> float:
        """Hand the numbers of the rows, not their places in the buffer, to a custom loss."""
        assert self.python_loss is not None
        return self.python_loss(self.held[rows], logits)

    def steps(self, order: np.ndarray | None, rates: np.ndarray, costs: np.ndarray, first: int) -> int:
        """Do len(rates) steps, as the core's Trainer does."""
        done = 0
        while done < len(rates):
            epoch, number = divmod(first + done, self.steps_per_epoch)
            last = number >= self.n_full
            buffers, X, trainer = self.sets[last]
            assert trainer is not None
            n = 1 if last else min(len(X) // self.batch, len(rates) - done, self.n_full - number)
            begin, end = number * self.batch, min((number + n) * self.batch, len(self.X))
            rows = slice(begin, end) if order is None else order[epoch, begin:end]
            if self.python_loss is not None:
                self.held = np.arange(begin, end) if order is None else rows
            self.X.read(rows, X[: end - begin])
            for source, buffer in zip(self.sources, buffers, strict=True):
                if source is not None and buffer is not None:
                    buffer[: end - begin] = source[rows]
            trainer.step = self.step
            good = trainer.steps(None, rates[done : done + n], costs[done : done + n], 0)
            self.step = trainer.step
            done += good
            if good < n:
                break
        return done

    def close(self) -> None:
        """End the teams of threads."""
        for *_, trainer in self.sets:
            if trainer is not None:
                trainer.close()


class SummedTrainer:
    """A trainer over batches too large to be held: it sums the gradient of each over blocks of its rows.

    Parameters
    ----------
    problem : Problem
        X is BlockRows. Nothing is dropped.
    batch : int
        Rows per step.
    optimizer : OptimizerArgs
    step : int
        Updates that its state has seen.
    """

    def __init__(self, problem: Problem, batch: int, optimizer: _core.OptimizerArgs, step: int) -> None:
        self.problem, self.batch, self.optimizer, self.step = problem, batch, optimizer, step
        self.grad = np.empty_like(problem.params)

    def steps(self, order: np.ndarray | None, rates: np.ndarray, costs: np.ndarray, first: int) -> int:
        """Do len(rates) steps, as the core's Trainer does."""
        n = len(self.problem.X)
        for i, rate in enumerate(rates):
            epoch, number = divmod(first + i, -(-n // self.batch))
            rows: Any = slice(number * self.batch, min((number + 1) * self.batch, n))
            batch = self.problem.take(rows if order is None else order[epoch, rows])
            if batch.weights is not None and not batch.weights.any():
                costs[i] = 0.0  # it is skipped
            elif not self._step(batch, float(rate), costs[i]):
                return i
        return len(rates)

    def _step(self, batch: Problem, rate: float, cost: np.ndarray) -> bool:
        """Do one step; return whether its cost and gradient were finite."""
        params, optimizer, grad = batch.params, self.optimizer, self.grad
        cost[:] = batch.cost_and_gradient(params, grad)
        if not np.isfinite(cost).all():
            return False
        if optimizer.clip_norm:
            norm = self._norm(batch)
            if not np.isfinite(norm):
                return False
            if norm > optimizer.clip_norm:
                grad *= optimizer.clip_norm / norm
        _core.update(batch.plan, params, grad, optimizer, rate, self.step + 1)
        mean = optimizer.mean
        if mean is not None:
            mean += optimizer.mean_rate * (params - mean)
        self.step += 1
        return True

    def _norm(self, batch: Problem) -> float:
        """Return the norm of the gradient, without that of frozen layers."""
        parts = layer_slices(batch.plan)
        frozen = self.optimizer.frozen
        if frozen is not None:
            parts = [part for part, is_frozen in zip(parts, frozen, strict=True) if not is_frozen]
        return float(np.sqrt(sum(np.sum(np.square(self.grad[part], dtype=np.float64)) for part in parts)))

    def close(self) -> None:
        """Do nothing: it has no threads of its own."""


def layer_slices(plan: _core.Plan) -> list[slice]:
    """Return the place of the parameters of each layer."""
    offsets = map(plan.offsets, range(plan.n_ops))
    return [slice(W, end) for W, _, end in offsets]

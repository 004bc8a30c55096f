"""What does the steps of a training in place of the core's Trainer: with costs split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from .training import Problem


class Steps(Protocol):
    """What does steps of a training, as the core's Trainer does."""

    step: int

    def steps(self, order: np.ndarray | None, rates: np.ndarray, costs: np.ndarray, first: int) -> int:
        """Do len(rates) steps from batch `first` of the first epoch of order (epochs, N); see the core."""

    def close(self) -> None:
        """End its team of threads."""


class Divided:
    """A trainer that reports ``loss / divisor + penalties``, a step at a time: penalties change with each."""

    def __init__(self, trainer: Steps, problem: Problem, batch: int) -> None:
        self.trainer = trainer
        self.problem = problem
        self.batch = batch
        self.least = problem.least

    @property
    def step(self) -> int:
        """Updates done."""
        return self.trainer.step

    @step.setter
    def step(self, value: int) -> None:
        self.trainer.step = value

    def steps(self, order: np.ndarray | None, rates: np.ndarray, costs: np.ndarray, first: int) -> int:
        """Do len(rates) steps, as the core's Trainer does."""
        problem, n = self.problem, len(self.problem.X)
        for i in range(len(rates)):
            epoch, number = divmod(first + i, -(-n // self.batch))
            rows: Any = slice(number * self.batch, min((number + 1) * self.batch, n))
            weight = float(rows.stop - rows.start)
            now = None if order is None else order[epoch : epoch + 1]
            if problem.weights is not None:
                weight = float(problem.weights[rows if now is None else now[0, rows]].sum())
            penalties = penalty(problem, max(weight, self.least * (rows.stop - rows.start)) if weight else 0)
            if not self.trainer.steps(now, rates[i : i + 1], costs[i : i + 1], number):
                return i
            costs[i] = (costs[i] - penalties) / problem.divisor + penalties
        return len(rates)

    def close(self) -> None:
        """End the team of threads."""
        self.trainer.close()


def penalty(problem: Problem, weight: float) -> float:
    """Return the penalties of a batch of this weight, as the parameters are now."""
    if weight == 0 or (problem.alpha == 0 and problem.l1 == 0):
        return 0.0
    (alpha, l1), total, begin, n_in = problem.penalties, 0.0, 0, problem.plan.n_inputs
    for op in range(problem.plan.n_ops):
        n_out = problem.plan.units(op + 1)
        W = problem.params[begin : begin + n_in * n_out].astype(np.float64, copy=False)
        total += 0.5 * alpha * float(W @ W) + l1 * float(np.abs(W).sum())
        begin, n_in = begin + (n_in + 1) * n_out, n_out
    return total / weight

"""What does the steps of a training in place of the core's Trainer: over sparse rows, with costs split."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .rows import Rows

if TYPE_CHECKING:
    from .training import Problem


class Steps(Protocol):
    """What does steps of a training, as the core's Trainer does."""

    step: int

    def steps(self, order: np.ndarray | None, rates: np.ndarray, costs: np.ndarray, first: int) -> int:
        """Do len(rates) steps from batch `first` of the first epoch of order (epochs, N); see the core."""

    def close(self) -> None:
        """End its team of threads."""


class Reader:
    """A trainer over a sparse matrix: it fills a buffer with the rows of the next steps, and trains on that.

    Parameters
    ----------
    problem : Problem
        X is Rows.
    batch : int
        Rows a step.
    trainer : callable
        ``trainer(X, Y, classes, weights, batch)`` returns the core's Trainer over these arrays, which takes
        them as they stand. It keeps their places: what is written there later is what it reads.
    """

    def __init__(
        self,
        problem: Problem,
        batch: int,
        trainer: Callable[[np.ndarray, np.ndarray | None, np.ndarray | None, np.ndarray | None, int], Steps],
    ) -> None:
        assert isinstance(problem.X, Rows)
        self.X: Rows = problem.X
        self.sources = (problem.targets.Y, problem.targets.classes, problem.weights)
        self.batch = batch
        self.n_full, rest = divmod(len(self.X), batch)
        self.a_epoch = self.n_full + bool(rest)
        held = min(self.n_full, max(1, self.X.a_tile // batch))
        # The core counts the batches of its rows from the number of rows: the short last one has its own.
        self.sets: list[tuple[list[np.ndarray | None], np.ndarray, Steps | None]] = []
        for n_rows in (held * batch, rest):
            X = np.empty((n_rows, self.X.shape[1]), self.X.dtype)
            Y, classes, weights = (
                None if s is None else np.zeros((n_rows, *s.shape[1:]), s.dtype) for s in self.sources
            )
            if weights is not None:
                weights[:] = 1
            made = trainer(X, Y, classes, weights, min(batch, n_rows)) if n_rows else None
            self.sets.append(([Y, classes, weights], X, made))
        self.step = next(made for *_, made in self.sets if made is not None).step

    def steps(self, order: np.ndarray | None, rates: np.ndarray, costs: np.ndarray, first: int) -> int:
        """Do len(rates) steps, as the core's Trainer does."""
        done = 0
        while done < len(rates):
            epoch, number = divmod(first + done, self.a_epoch)
            last = number >= self.n_full
            buffers, X, trainer = self.sets[last]
            assert trainer is not None
            n = 1 if last else min(len(X) // self.batch, len(rates) - done, self.n_full - number)
            begin, end = number * self.batch, min((number + n) * self.batch, len(self.X))
            which = slice(begin, end) if order is None else order[epoch, begin:end]
            self.X.read(which, X[: end - begin])
            for source, buffer in zip(self.sources, buffers, strict=True):
                if source is not None and buffer is not None:
                    buffer[: end - begin] = source[which]
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

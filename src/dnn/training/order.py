"""The order in which a training visits the rows, epoch by epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks as checks

if TYPE_CHECKING:
    from .options import FitOptions


class EpochOrders:
    """The order of the rows in each epoch, drawn when it is first needed."""

    def __init__(self, n: int, rng: checks.Random, options: FitOptions) -> None:
        self.n = n
        self.rng = rng
        self.shuffle = options.shuffle
        self.order = options.order
        self.first_order = options.first_order
        self.first = 0  # the epoch of the first order that is kept
        self.drawn = np.zeros((0, n), np.int64)

    def take(self, first: int, n_epochs: int) -> np.ndarray:
        """Return the orders (n_epochs, N) of epochs first, first + 1, ..."""
        orders = self.drawn[first - self.first :]
        if len(orders) < n_epochs:
            # In place: each copy of NumPy's gives the GIL away, which beside a busy thread costs 5 ms
            fresh = np.empty((n_epochs - len(orders), self.n), np.int64)
            fresh[:] = np.arange(self.n)
            for epoch, rows in enumerate(fresh, first + len(orders)):
                self._draw(epoch, rows)
            orders = np.concatenate([orders, fresh]) if len(orders) else fresh
        self.first, self.drawn = first, orders
        return np.ascontiguousarray(orders[:n_epochs])

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the orders that are drawn, and how the next ones are."""
        rows = self.order.rows if isinstance(self.order, SuccessiveShuffles) else None
        return {"first": self.first, "drawn": self.drawn, "rows": rows}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.first, self.drawn, self.first_order = state["first"], state["drawn"], None
        if isinstance(self.order, SuccessiveShuffles):
            self.order.rows = state["rows"]

    def _draw(self, epoch: int, rows: np.ndarray) -> None:
        """Write the order of an epoch to rows (N,), which hold 0 .. N - 1."""
        if self.order is None:
            self.rng.shuffle(rows)  # gives the same order as rng.permutation
        elif epoch == 0 and self.first_order is not None:
            rows[:] = self.first_order
        else:
            rows[:] = order_of(self.order, epoch, self.n)


def order_of(order: Callable[[int], Any], epoch: int, n: int) -> np.ndarray:
    """Return the row numbers (n,) that a caller's order gives for an epoch, checked."""
    rows = np.asarray(order(epoch))
    if rows.shape != (n,) or rows.dtype.kind not in "iu":
        raise ValueError(f"order must give {n} row numbers, got {rows.dtype} {rows.shape}")
    if rows.size and not (0 <= rows.min() and rows.max() < n):
        raise ValueError(f"order must give row numbers 0 .. {n - 1}, got {rows.min()} .. {rows.max()}")
    return rows.astype(np.int64)


class SuccessiveShuffles:
    """An order that shuffles in each epoch the order of the one before, as scikit-learn's MLP does.

    Parameters
    ----------
    n : int
        Number of rows.
    rng : Generator or RandomState
    """

    def __init__(self, n: int, rng: Any) -> None:
        self.rows = np.arange(n)
        self.rng = rng

    def __call__(self, epoch: int) -> np.ndarray:
        """Return the order (n,) of the next epoch."""
        shuffled = np.arange(len(self.rows))
        self.rng.shuffle(shuffled)
        self.rows = self.rows[shuffled]
        return self.rows

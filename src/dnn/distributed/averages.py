"""The average of what the shards of a round give, and the outer optimizer that makes a step of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _checks as checks
from .._frozen import value
from .local import LocalResult, State

GROUP = 32  # results that are summed together; more of them in a tree


class Total(NamedTuple):
    """A sum over shards, each times its weight.

    The order of a sum decides its last bits: it is that of the shards, in groups of 32, whoever computes it.

    Attributes
    ----------
    params : ndarray (P,), float64
    slots : ndarray (n_slots, P), float64
    n_steps : int
        The most steps of a shard.
    n_rows, n_skipped : int
    weight : float
    loss : float
        Sum of the losses, each times its number of rows.
    rate : float
        The learning rate of the first step of the first shard that did one.
    """

    params: np.ndarray
    slots: np.ndarray
    n_steps: int
    n_rows: int
    n_skipped: int
    weight: float
    loss: float
    rate: float = float("nan")

    @property
    def mean_loss(self) -> float:
        """The mean loss of a row; NaN without rows."""
        return self.loss / self.n_rows if self.n_rows else float("nan")

    def mean(self, params: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """Return the averages in float64 (P,), and of the states; what is given where no row had a weight."""
        if not self.weight:
            return params.astype(np.float64), state
        slots = (self.slots / self.weight).astype(state.slots.dtype)
        return self.params / self.weight, State(slots, self.n_steps)


def total_of(results: Sequence[LocalResult | Total]) -> Total:
    """Return the sum of some results, or of some sums, in their order.

    Examples
    --------
    >>> none = State(np.zeros((0, 1)), 0)
    >>> results = [LocalResult(np.array([p]), none, n, 0, float(n), 0.5) for p, n in ((1.0, 1), (2.0, 3))]
    >>> total_of(results).mean(np.zeros(1), none)[0].tolist()
    [1.75]
    """
    first = results[0]
    params = np.zeros(first.params.shape)
    slots = np.zeros((first.slots if isinstance(first, Total) else first.state.slots).shape)
    n_steps = n_rows = n_skipped = 0
    weight = loss = 0.0
    rate = float("nan")
    for each in results:
        if isinstance(each, Total):
            params += each.params
            slots += each.slots
            loss += each.loss
            n_steps = max(n_steps, each.n_steps)
        else:
            loss += each.loss * each.n_rows
            if each.weight:
                params += each.params * np.float64(each.weight)
                slots += each.state.slots * np.float64(each.weight)
                n_steps = max(n_steps, each.state.n_steps)
        rate = rate if n_rows else each.rate
        n_rows += each.n_rows
        n_skipped += each.n_skipped
        weight += each.weight
    return Total(params, slots, n_steps, n_rows, n_skipped, weight, loss, rate)


def groups_of(items: Sequence[Any]) -> list[Sequence[Any]]:
    """Return the groups whose members are summed together.

    Examples
    --------
    >>> [len(group) for group in groups_of(range(70))]
    [32, 32, 6]
    """
    return [items[first : first + GROUP] for first in range(0, len(items), GROUP)]


@value
class Nesterov:
    """An outer optimizer: a step of Nesterov's momentum from the old parameters towards the average.

    With d = params - average, ``v = momentum v + d; params -= rate (momentum v + d)``. It makes up for what
    an average of many short runs lacks, as each of them moves less far than one long run.

    Parameters
    ----------
    rate : float above 0, default 0.7, as in the paper
    momentum : float in [0, 1), default 0.9, as in the paper

    References
    ----------
    Douillard et al. (2023), DiLoCo: distributed low-communication training of language models, arXiv
    2311.08105, algorithm 1.

    Examples
    --------
    >>> params, v = Nesterov(0.5, 0.5).step(np.array([4.0]), np.array([2.0]), np.zeros(1))
    >>> params.tolist(), v.tolist()
    ([2.5], [2.0])
    """

    rate: float = 0.7
    momentum: float = 0.9

    def __post_init__(self) -> None:
        checks.check_real("rate", self.rate, 0.0, above=True)
        checks.check_real("momentum", self.momentum, 0.0, 1.0)

    def step(
        self, params: np.ndarray, average: np.ndarray, velocity: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the next parameters (P,) and the next velocity (P,), in float64."""
        d = params - average
        velocity = self.momentum * velocity + d
        return params - self.rate * (self.momentum * velocity + d), velocity

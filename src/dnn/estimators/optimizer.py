"""The optimizer of an estimator: scikit-learn's learning rates, and a state that outlives its network."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..network import Network
from ..optimizers import Optimizer
from ..schedules import Schedule
from ..training.optimizer_state import OptimizerState


class SklearnLearningRate(Schedule):
    """scikit-learn's three kinds of learning rate: a rate for each epoch.

    Parameters
    ----------
    kind : "constant", "invscaling" or "adaptive"
    rate : float above 0
        The first.
    power : float, at least 0
        With "invscaling" the rate after t rows is ``rate / (t + 1) ** power``.

    Attributes
    ----------
    now : float
        The rate of the next epoch.

    Examples
    --------
    >>> learning_rate = SklearnLearningRate("invscaling", 0.5, 1.0)
    >>> learning_rate.begin(first=0, seen=0, n_samples=4)
    >>> learning_rate.rates(0, 4, 2).tolist()
    [0.5, 0.5, 0.1, 0.1]
    """

    def __init__(self, kind: str, rate: float, power: float) -> None:
        self.kind = kind
        self.rate = self.now = float(rate)
        self.power = float(power)
        self.begin(0, 0, 1)

    @property
    def without_length(self) -> bool:
        """Whether the rates do not depend on the number of rows of an epoch."""
        return self.kind != "invscaling"

    def begin(self, first: int, seen: int, n_samples: int) -> None:
        """Begin a training at step `first`, after `seen` rows, with n_samples rows per epoch."""
        self.first, self.seen, self.n_samples, self.started = first, seen, n_samples, self.now

    def after(self, seen: int) -> None:
        """Set the rate of the epoch that begins after this many rows."""
        if self.kind == "invscaling":
            self.now = self.rate / (seen + 1) ** self.power

    def slower(self) -> bool:
        """Lower an adaptive rate; return whether the training may continue."""
        if self.kind != "adaptive" or self.now <= 1e-6:
            return False
        self.now /= 5.0
        return True

    def rates(self, first: int, n: int, steps_per_epoch: int) -> np.ndarray:
        """Return the rates (n,) of steps first, first + 1, ..., of steps_per_epoch steps per epoch."""
        if self.kind != "invscaling":
            return np.full(n, self.now)
        epoch = (np.arange(first, first + n) - self.first) // steps_per_epoch
        # The first epoch of a training goes on at the rate of the last one; a fresh rate was never scaled
        later = self.rate / (self.seen + np.maximum(epoch, 1) * float(self.n_samples) + 1) ** self.power
        return np.where(epoch == 0, self.started, later)


class PortableOptimizer:
    """An optimizer and its state, from one call of `partial_fit` to the next, and through pickling.

    Parameters
    ----------
    spec : optimizer
    weight_decay : float or None
        Replaces that of the optimizer.
    state : OptimizerState or None
        The state for the present network; None before there is one.

    Examples
    --------
    >>> from dnn import SGD, Network
    >>> descent = PortableOptimizer(SGD(0.5, momentum=0.9), None).on(Network([2, 1]))
    >>> descent.state.slots.shape, descent.learning_rate
    ((1, 3), 0.5)
    """

    def __init__(
        self, spec: Optimizer, weight_decay: float | None, state: OptimizerState | None = None
    ) -> None:
        self.spec = spec
        self.weight_decay = weight_decay
        self.state = state
        self.kept: dict[str, Any] = {}

    def on(self, net: Network) -> PortableOptimizer:
        """Return the optimizer with a state for a network: itself, or a copy that continues its state."""
        if self.state is not None and self.state.params is net.params:
            return self
        state, kept = net.optimizer(self.spec), self.portable()
        if self.weight_decay is not None:
            state.weight_decay = self.weight_decay
        if kept and kept["slots"].shape == state.slots.shape:
            vars(state).update(kept)
            state.slots = state.slots.astype(net.dtype)
        return PortableOptimizer(self.spec, self.weight_decay, state)

    @property
    def learning_rate(self) -> float:
        """The rate of the next epoch."""
        rate = self.spec.rate
        if isinstance(rate, SklearnLearningRate):
            return rate.now
        if self.state is None or not isinstance(rate, Schedule):
            return float(rate) if not isinstance(rate, Schedule) else float(rate.rates(0, 1, 1)[0])
        return float(self.state.schedule.rates(self.state.n_steps, 1, 1)[0])

    def portable(self) -> dict[str, Any]:
        """Return the parts of the state that do not depend on its network."""
        if self.state is None:
            return self.kept
        return {name: getattr(self.state, name) for name in ("slots", "n_steps", "seed", "schedule")}

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "state": None, "kept": self.portable()}

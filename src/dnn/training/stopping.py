"""What happens at the end of an epoch, and the rules that end a training there."""

from __future__ import annotations

import math
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from . import diagnosis
from .history import Event, History

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..network import Network
    from .options import FitOptions
    from .problem import Problem


def _never() -> bool:
    return False


# Whether the trainings of this thread must end after their present chunk. Ctrl-C reaches the main thread
# only, which tells the others in this way; a callback would be called after each epoch, where short ones
# share a chunk.
stop_requested: ContextVar[Callable[[], bool]] = ContextVar("stop_requested", default=_never)


class StoppingRule(Protocol):
    """A rule on the epochs that have ended; it may end the training and set learning rates."""

    def begin(self, history: History) -> None:
        """Begin a training, whose history this is; the network is locked until it ends."""

    def epochs_until_check(self) -> int | None:
        """Return after how many epochs, 1 or more, it must look at the history; None: after any number."""

    def check(self, history: History) -> None:
        """Look at the epochs since the last call; writes ``history.stopped_by`` to end the training."""

    def end(self) -> None:
        """Put the best weights in place, however the training ended."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps of it: numbers, lists and arrays."""

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""


class EpochEnd:
    """The work at the end of an epoch: validation, the best weights, patience, callbacks, progress bar."""

    def __init__(self, net: Network, options: FitOptions, history: History) -> None:
        self.net = net
        self.options = options
        self.history = history
        self.best: np.ndarray | None = None
        self.lowest = self.mark = math.inf  # the best val_loss; the last that fell by min_delta
        self.n_stale = 0  # epochs since then
        if options.stopping is not None:
            options.stopping.begin(history)
        self.bar = options.progress_bar()

    def validate(self) -> None:
        """Compute val_loss, keep the best weights, and end the training where patience ends.

        A loss that is not finite is never the best. Until one is finite, there is nothing to wait for.
        """
        options, history = self.options, self.history
        if options.stopping is not None:
            options.stopping.check(history)
        if options.validate is None:
            return
        val_loss = options.validate()
        history.val_loss.append(val_loss)
        if math.isfinite(val_loss) and val_loss < self.lowest:
            history.best_epoch, self.best = len(history.val_loss) - 1, self.net.params.copy()
            self.lowest = val_loss
        if math.isfinite(val_loss) and val_loss < self.mark - options.min_delta:
            self.mark, self.n_stale = val_loss, 0
        elif self.mark < math.inf:
            self.n_stale += 1
        if options.patience is not None and self.n_stale >= options.patience:
            history.stopped_by = "patience"

    def notify(self) -> None:
        """Tell the callbacks and the bar of the epoch that has ended."""
        history = self.history
        event = Event(self.net, len(history.loss) - 1, history)
        for callback in self.options.callbacks:
            callback(event)
        if event.stopped:
            history.stopped_by = "callback"
        if self.bar is not None:
            curves = (("loss", history.loss), ("val_loss", history.val_loss))
            self.bar.set_postfix({name: f"{curve[-1]:.4g}" for name, curve in curves if curve})
            if self.options.streamed is None:
                self.bar.update()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the best weights, what they gave, and the stopping rule's state."""
        rule = self.options.stopping
        return {
            "best": None if self.best is None else self.best.copy(), "lowest": self.lowest,
            "mark": self.mark, "n_stale": self.n_stale, "rule": None if rule is None else rule.state(),
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.best, self.lowest, self.mark = state["best"], state["lowest"], state["mark"]
        self.n_stale = state["n_stale"]
        if self.options.stopping is not None:
            self.options.stopping.restore(state["rule"])
        if self.bar is not None and self.options.streamed is None:
            self.bar.update(len(self.history.loss))

    def close(self) -> None:
        """Put the best weights in place, however the training ended."""
        if self.best is not None:
            self.net.params[:] = self.best
        if self.options.stopping is not None:
            self.options.stopping.end()
        if self.bar is not None:
            self.bar.close()

    def warn(self, problem: Problem, n_steps: int, costs: list[float]) -> None:
        """Warn of a training that has ended without progress, at the line that called `Network.fit`."""
        if self.options.stopping is not None:
            return  # a rule gives its own warnings
        if self.history.val_loss and self.best is None:
            last = self.history.val_loss[-1]
            diagnosis.warn_never_finite("val_loss", "X_val and y_val", last, stacklevel=6)
        diagnosis.warn(self.net, problem, self.history, n_steps, costs, stacklevel=6)

"""The training loop: it hands chunks of steps to the core, and pauses where something has to be done.

The core does a chunk of steps per call, as many as take about a tenth of a second: a part of an epoch, or
several epochs. A chunk ends with an epoch only where something has to be done there. Where chunks end never
changes a bit.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks as checks
from .. import _core
from . import diagnosis
from .checkpoint import Checkpoint, RunningAverage
from .history import DivergedError, History
from .optimizer_state import OptimizerState, frozen_of
from .options import FitOptions
from .order import EpochOrders
from .problem import Problem
from .resume import CheckpointFile, kept_schedule, restore_generator, restore_schedule
from .stopping import EpochEnd, stop_requested
from .trainers import Trainer, trainer_for

if TYPE_CHECKING:
    from ..network import Network

# Row numbers drawn ahead for a chunk of several epochs (2 MB).
ORDER_AHEAD = 1 << 18
RECENT = 64  # costs of the last steps that are kept for a diagnosis


def train(run: Run, file: CheckpointFile | None = None, saved: dict[str, Any] | None = None) -> History:
    """Train the parameters in place by steps and return what happened.

    file: where checkpoints are written; saved: the state of a checkpoint from which the training resumes.
    """
    try:
        if saved is not None:
            run.restore(saved)
        while not run.is_over:
            run.chunk(None if file is None else file.n_epochs)
            if file is not None and not run.is_over and file.due(len(run.history.loss)):
                file.write(run.state(), len(run.history.loss))
        run.check_weights()
        if file is not None:
            file.write(run.state(), len(run.history.loss))
    finally:
        run.close()
    run.epoch_end.warn(run.problem, run.n_done, list(run.recent))
    return run.history


class Run:
    """A training in progress: everything that one chunk leaves for the next."""

    def __init__(
        self,
        net: Network,
        problem: Problem,
        optimizer: OptimizerState,
        options: FitOptions,
        rng: checks.Random,
    ) -> None:
        self.net = net
        self.rng = rng
        self.problem = problem
        self.optimizer = optimizer
        self.options = options
        if problem.plan.dropout and optimizer.seed is None:
            optimizer.seed = int.from_bytes(rng.bytes(8), "little")

        n = self.rows_per_epoch()
        self.batch = n if options.batch_size is None else min(options.batch_size, n)
        self.steps_per_epoch = -(-n // self.batch)
        self.shares = np.diff(np.append(np.arange(0, n, self.batch), n)) / n  # of the rows, in each batch
        self.flops = problem.flops_per_step(self.batch, not len(optimizer.slots))
        self.steps_per_chunk = max(1, int(options.chunk / self.flops))
        self.epochs_ahead = max(1, ORDER_AHEAD // n)
        self.n_steps = options.epochs * self.steps_per_epoch
        self.n_done = 0  # steps
        self.first_step = optimizer.n_steps  # where the schedule continues

        self.average = RunningAverage(problem.params, options.ema)
        self.trainer: Trainer = self.first_trainer()
        self.checkpoint = Checkpoint(problem.params, optimizer, self.trainer)
        self.orders = EpochOrders(n, rng, options) if options.gathers else None
        self.history = self.empty_history()
        self.costs = np.zeros(0)  # of the epoch in progress
        self.recent = deque[float](maxlen=RECENT)  # costs
        self.pauses = bool(  # after each epoch
            options.validate or options.callbacks or options.progress or optimizer.schedule.watches
        )
        self.began = time.perf_counter()
        self.epoch_end = EpochEnd(net, options, self.history)

    def rows_per_epoch(self) -> int:
        """Return the number of rows of an epoch."""
        return len(self.problem.X)

    def first_trainer(self) -> Trainer:
        """Return what does the steps."""
        return trainer_for(
            self.problem, self.optimizer, self.options, self.batch, self.average, frozen_of(self.net)
        )

    def empty_history(self) -> History:
        """Return the history that is to be filled."""
        return History(self.problem.loss.name)

    @property
    def is_over(self) -> bool:
        """Whether no step is left to do, or something stopped the training."""
        return self.is_complete or bool(self.history.stopped_by)

    @property
    def is_complete(self) -> bool:
        """Whether no step is left to do."""
        return self.n_done >= self.n_steps

    def chunk(self, n_epochs: int | None = None) -> None:
        """Do the steps of a chunk, at most n_epochs, record them, and do the work at the end of an epoch."""
        epoch, first = divmod(self.n_done, self.steps_per_epoch)
        n_steps = self._steps_until_pause(first)
        if n_epochs is not None:
            n_steps = min(n_steps, n_epochs * self.steps_per_epoch - first)
        costs = self._steps(self._rows(epoch, first, n_steps), epoch, first, n_steps)
        self._end_chunk(n_steps, self._record_epochs(epoch, costs))

    def _end_chunk(self, n_steps: int, n_ended: int) -> None:
        """Count the steps of a chunk, decide whether to stop, and do the work at the end of an epoch."""
        self.checkpoint.steps += n_steps
        self.n_done += n_steps
        if self.is_complete:
            self.history.stopped_by = "epochs"
        elif self._is_out_of_time():
            self.history.stopped_by = "max_seconds"
        elif stop_requested.get()():
            self.history.stopped_by = "callback"
        if n_ended:
            self._end_epoch()

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: all that the rest of the training depends on."""
        live, kept = self.checkpoint.live, self.checkpoint.kept
        return {
            "params": live[0], "slots": live[1], "step": self.trainer.step, "seed": self.optimizer.seed,
            "first_step": self.first_step, "n_done": self.n_done, "costs": self.costs,
            "recent": list(self.recent), "history": self.history, "mean": self.average.mean,
            "kept_params": kept[0], "kept_slots": kept[1], "kept_step": self.checkpoint.n_steps,
            "kept_before": self.checkpoint.steps, "rng": self.rng,
            "schedule": kept_schedule(self.optimizer.schedule),
            "orders": None if self.orders is None else self.orders.state(),
            "epoch_end": self.epoch_end.state(), "seconds": time.perf_counter() - self.began,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        restore_generator(self.rng, state["rng"])
        restore_schedule(self.optimizer.schedule, state["schedule"])
        (params, slots), (kept_params, kept_slots) = self.checkpoint.live, self.checkpoint.kept
        params[:], slots[...] = state["params"], state["slots"]
        kept_params[:], kept_slots[...] = state["kept_params"], state["kept_slots"]
        self.checkpoint.n_steps, self.checkpoint.steps = state["kept_step"], state["kept_before"]
        self.trainer.step, self.optimizer.seed = state["step"], state["seed"]
        if self.average.mean is not None:
            self.average.mean[:] = state["mean"]
        self.first_step, self.n_done, self.costs = state["first_step"], state["n_done"], state["costs"]
        self.recent.extend(state["recent"])
        vars(self.history).update(vars(state["history"]))
        if self.orders is not None:
            self.orders.restore(state["orders"])
        self.epoch_end.restore(state["epoch_end"])
        self.began = time.perf_counter() - state["seconds"]

    def _steps_until_pause(self, first: int) -> int:
        """Return the number of steps of a chunk that begins at batch `first` of an epoch."""
        n_steps = min(self.steps_per_chunk, self.n_steps - self.n_done)
        n_steps = min(n_steps, self.epochs_ahead * self.steps_per_epoch - first)
        rule = self.options.stopping
        n_epochs = 1 if self.pauses else None if rule is None else rule.epochs_until_check()
        return n_steps if n_epochs is None else min(n_steps, n_epochs * self.steps_per_epoch - first)

    def _rows(self, epoch: int, first: int, n_steps: int) -> np.ndarray | None:
        """Return the orders (epochs, N) that steps from batch `first` of an epoch need, None for sequence."""
        if self.orders is None:
            return None
        return self.orders.take(epoch, -(-(first + n_steps) // self.steps_per_epoch))

    def _steps(self, rows: np.ndarray | None, epoch: int, first: int, n_steps: int) -> np.ndarray:
        """Do steps from batch `first` of the first of these orders; return their costs (n_steps,)."""
        rates = self.optimizer.schedule.rates(self.first_step + self.n_done, n_steps, self.steps_per_epoch)
        if self.checkpoint.due(self.flops):
            batch = slice(first * self.batch, (first + 1) * self.batch)
            losses = self.problem.losses_of(batch if rows is None else rows[0, batch])
            self.checkpoint.keep(float(losses.sum()))
        of_steps = np.zeros((n_steps, 2))  # loss and penalty
        n_good = self.trainer.steps(rows, rates, of_steps, first)
        costs: np.ndarray = of_steps[:, 0] / self.problem.divisor + of_steps[:, 1]
        self.recent.extend(costs[: n_good + 1][-RECENT:].tolist())
        if self.options.record == "step":
            self.history.step_loss += costs[:n_good].tolist()
        if n_good < n_steps:
            cost = costs[n_good]
            what = "the gradient" if np.isfinite(cost) else f"a batch had the loss {cost}, which"
            raise self._diverged(epoch + (first + n_good) // self.steps_per_epoch, f"{what} is not finite")
        return costs

    def _record_epochs(self, epoch: int, costs: np.ndarray) -> int:
        """Record the epochs, from number `epoch`, that the costs of a chunk complete; return how many."""
        n_steps = self.steps_per_epoch
        self.costs = np.append(self.costs, costs)
        n_ended = len(self.costs) // n_steps
        if n_ended:
            of_epochs = self.costs[: n_ended * n_steps].reshape(n_ended, n_steps)
            # Row by row, so that an epoch's sum does not depend on how many ended in this chunk
            self.history.loss += (of_epochs * self.shares).sum(axis=1).tolist()
            self.costs = self.costs[n_ended * n_steps :]
            first = self.first_step + epoch * n_steps
            rates = self.optimizer.schedule.rates(first, n_ended * n_steps, n_steps)
            self.history.rate += rates[::n_steps].tolist()
        return n_ended

    def _end_epoch(self) -> None:
        """Validate, let the schedule look at the result, and tell the callbacks."""
        if self.options.validate is not None or self.options.stopping is not None:
            with self.average.in_place():
                self.epoch_end.validate()
        if self.pauses:
            self.optimizer.schedule.observe((self.history.val_loss or self.history.loss)[-1])
            self.epoch_end.notify()

    def _is_out_of_time(self) -> bool:
        limit = self.options.max_seconds
        return limit is not None and time.perf_counter() - self.began >= limit

    def check_weights(self) -> None:
        """Raise DivergedError where a weight is not finite.

        No loss may have shown it: it may come from the last update, or have no effect behind a relu.
        """
        if not _core.all_finite(self.problem.params):
            raise self._diverged(max(len(self.history.loss) - 1, 0), "a weight is not finite")

    def _diverged(self, epoch: int, what: str) -> DivergedError:
        """Put the last good weights in place, and return the error that says so."""
        self.checkpoint.put_back()
        self.average.mean = None
        last = next((cost for cost in reversed(self.recent) if np.isfinite(cost)), float("nan"))
        findings = diagnosis.findings(self.net, self.problem, list(self.recent))
        return DivergedError(epoch, last, what, findings)

    def close(self) -> None:
        """End the threads, and leave the network and the optimizer usable, however the training ended."""
        self.trainer.close()
        self.optimizer.n_steps = self.trainer.step
        self.history.seconds = time.perf_counter() - self.began
        if self.epoch_end.best is None:
            self.average.put()
        self.epoch_end.close()

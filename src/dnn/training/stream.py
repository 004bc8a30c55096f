"""Training on rows that are read block by block: an epoch is a sequence of buffers of rows.

Each buffer is trained on as an array is, with its rows in a random order. A buffer has whole batches, and
ends in the middle of a block if necessary, so that only the last batch of an epoch may be short.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _checks as checks
from .. import _threads as threads
from ..data import arrays as data
from ..data.classes import balanced, class_counts
from ..data.row_cache import RowCache
from ..data.streams import (
    PLACES,
    BlockReader,
    Feed,
    Filled,
    Position,
    Stream,
    StreamedRows,
    cache_of,
    first_rows,
    rows_per_buffer,
    stream_of,
)
from ..losses import Loss, loss_of
from ..schedules import Constant, InverseScaling, Plateau, Schedule
from . import diagnosis
from .history import StreamHistory
from .loop import Run
from .optimizer_state import OptimizerState, frozen_of
from .options import FitOptions
from .problem import LEAST_WEIGHT, Problem, examples_of
from .trainers import Trainer, trainer_for
from .validation import refuse_arrays

if TYPE_CHECKING:
    from ..network import Network

# Steps per epoch, as long as the number of rows is not known; then no schedule depends on it.
UNKNOWN = 1 << 40
WITHOUT_LENGTH = (Constant, InverseScaling, Plateau)  # schedules that do not depend on it


def problem_of(
    net: Network,
    X: Any,
    y: Any,
    loss: Loss,
    sample_weight: Any,
    class_weight: Any,
    *,
    alpha: float,
    l1: float,
    n_threads: int | str,
) -> tuple[Problem, StreamedRows | None]:
    """Return the problem that `Network.fit` is given, checked; with a source that of its first rows."""
    stream, streamed = stream_of(X), None
    if stream is None:
        spec, rows, targets = examples_of(net, X, y, loss)
        diagnosis.warn_of_rounding(X, None if targets.Y is None else y, net.dtype, stacklevel=4)
        of_rows = data.weights(sample_weight, len(rows))
        of_classes = data.class_weights(class_weight, targets, net.n_outputs)
        weights = data.weighed("X", sample_weight=of_rows, class_weight=of_classes)
    else:
        streamed = _streamed_rows(net, stream, y, sample_weight, class_weight, loss)
        spec, (rows, targets, weights) = streamed.spec, first_rows(streamed)
    alpha, l1 = checks.check_real("alpha", alpha, 0.0), checks.check_real("l1", l1, 0.0)
    n = threads.check_n_threads(n_threads)
    return Problem(net.plan, net.params, rows, targets, weights, spec, alpha, l1, n), streamed


def _streamed_rows(
    net: Network, stream: Stream, y: Any, sample_weight: Any, class_weight: Any, loss: Loss
) -> StreamedRows:
    """Return what the rows of a stream are converted to, checked."""
    refuse_arrays(y=y, sample_weight=sample_weight)
    spec = loss_of(loss, net.layers[-1].info.name, net.n_outputs)
    rows = StreamedRows(stream, spec, net.n_inputs, net.n_outputs, net.dtype, class_weight)
    if isinstance(class_weight, str) and class_weight == "balanced":
        first_rows(rows)  # before all targets are read
        labels, counts = class_counts(stream)
        known = np.arange(max(net.n_outputs, 2))
        if not np.isin(labels, known).all():
            raise ValueError(
                f"y must hold classes 0 .. {known[-1]}, got {labels[~np.isin(labels, known)][0]}"
            )
        weights = dict(zip(labels.astype(np.int64).tolist(), balanced(counts).tolist(), strict=True))
        rows = rows._replace(class_weight=weights)
    return rows


class StreamTrainer:
    """The trainer of the present buffer, and the number of steps that all have done."""

    def __init__(self, step: int) -> None:
        self.present: Trainer | None = None
        self._step = step

    @property
    def step(self) -> int:
        """Updates that the state has seen."""
        return self._step if self.present is None else self.present.step

    @step.setter
    def step(self, value: int) -> None:
        self._step = value
        if self.present is not None:
            self.present.step = value

    def use(self, trainer: Trainer) -> None:
        """Do the next steps with a trainer on the rows of another buffer."""
        trainer.step = self.step
        self.close()
        self.present = trainer

    def steps(self, order: np.ndarray | None, rates: np.ndarray, costs: np.ndarray, first: int) -> int:
        """Do len(rates) steps, as the core's Trainer does."""
        assert self.present is not None
        return self.present.steps(order, rates, costs, first)

    def close(self) -> None:
        """End the threads."""
        if self.present is not None:
            self.present.close()


class StreamRun(Run):
    """A training on a stream in progress."""

    trainer: StreamTrainer
    history: StreamHistory

    def __init__(
        self,
        net: Network,
        problem: Problem,
        optimizer: OptimizerState,
        options: FitOptions,
        rng: checks.Random,
    ) -> None:
        assert options.streamed is not None
        self.streamed = options.streamed
        self.source = options.streamed.stream.source
        super().__init__(net, problem, optimizer, options, rng)
        self.batch = int(options.batch_size or 1)  # also where n_rows is too low
        if self.source.n_rows is None:
            self.steps_per_epoch = UNKNOWN
        self.orders = None
        self.unit, self.least = 0.0, 0.0  # of the weights; set by those of the first buffer
        self.seed: int | None = None  # of the orders of the blocks
        if options.gathers and self.source.n_blocks > 1:
            self.seed = int.from_bytes(rng.bytes(8), "little")
        self.feed: Feed | None = None
        self.cache: RowCache | None = None
        self.filled: Filled | None = None  # the present buffer; None: none is begun
        self.position = Position()  # where it begins, or the next one does
        self.order: np.ndarray | None = None  # (1, n), of its rows
        self.n_in_buffer = 0  # steps done
        self.first_of_epoch = 0  # step
        self.n_rows = self.n_skipped = 0  # of the epoch in progress, in the buffers before the present one

    def rows_per_epoch(self) -> int:
        """Return the number of rows of an epoch, that of a batch as long as it is not known."""
        n_rows = self.source.n_rows
        return int(self.options.batch_size or 1) if n_rows is None else int(n_rows)

    def first_trainer(self) -> StreamTrainer:
        """Return what does the steps."""
        return StreamTrainer(self.optimizer.n_steps)

    def empty_history(self) -> StreamHistory:
        """Return the history that is to be filled."""
        return StreamHistory(self.problem.loss.name)

    @property
    def is_complete(self) -> bool:
        """Whether no epoch is left to do."""
        return len(self.history.loss) >= self.options.epochs

    def chunk(self, n_epochs: int | None = None) -> None:
        """Do the steps of a chunk, which ends with its buffer at the latest, and record them."""
        if self.filled is None:
            self._begin_buffer()
        assert self.filled is not None
        first, n = self.n_in_buffer, self.filled.n
        n_steps = min(self.steps_per_chunk, -(-n // self.batch) - first)
        if n_steps:
            costs = self._steps(self.order, len(self.history.loss), first, n_steps)
            self.costs = np.append(self.costs, costs)
            self.n_in_buffer += n_steps
        if self.epoch_end.bar is not None:
            self.epoch_end.bar.update(min(n, (first + n_steps) * self.batch) - first * self.batch)
        n_ended = self._end_buffer(n_steps) if self.n_in_buffer * self.batch >= n else 0
        self._end_chunk(n_steps, n_ended)

    def _begin_buffer(self, order: np.ndarray | None = None) -> None:
        """Take the next buffer of rows, and draw their order if it is not given."""
        if self.feed is None:
            row_bytes = self.streamed.n_features * self.streamed.dtype.itemsize
            n_rows = rows_per_buffer(self.streamed.stream, self.batch, row_bytes)
            self.cache = cache_of(self.streamed.stream, self.streamed.dtype)
            self.feed = Feed(
                BlockReader(self.streamed, n_rows, self.seed, self.options.epochs, self.position, self.cache)
            )
        self.filled = filled = self.feed.next()
        if order is not None and order.shape[1] != filled.n:
            raise ValueError(f"the source must have the same rows as before, got {filled.n} in a buffer")
        if not filled.n:
            return
        X, targets, weights = filled.arrays()
        if not self.unit:
            self.unit = data.penalty_unit(weights) or 1.0
            self.least = 0.0 if weights is None else LEAST_WEIGHT * float(weights.mean())
        # In place, so that warnings at the end, which look at the problem, see rows from all over the source
        problem = self.problem
        problem.X, problem.targets, problem.weights = X, targets, weights
        problem.unit, problem.least = self.unit, self.least
        if order is None and self.options.gathers:
            order = np.arange(filled.n)[None, :]
            self.rng.shuffle(order[0])
        self.order = order
        batch = min(self.batch, filled.n)
        self.trainer.use(
            trainer_for(self.problem, self.optimizer, self.options, batch, self.average, frozen_of(self.net))
        )

    def _end_buffer(self, n_steps: int) -> int:
        """Count the rows of a buffer, and record the epoch if it ends with it; return how many epochs ended.

        n_steps: of the present chunk, which are not counted yet.
        """
        filled = self.filled
        assert filled is not None
        history = self.history
        self.n_rows += filled.n
        self.n_skipped += filled.n_skipped
        if not history.loss:
            history.skipped += filled.skipped[: PLACES - len(history.skipped)]
        self.position, self.filled, self.order, self.n_in_buffer = filled.end, None, None, 0
        if not filled.is_last:
            return 0
        if not self.n_rows:
            raise ValueError(f"the source must have good rows, got none in epoch {filled.begin.epoch}")
        if not history.loss and self.source.n_rows not in (None, self.n_rows + self.n_skipped):
            warnings.warn(
                f"n_rows of the source is {self.source.n_rows}, and it gave {self.n_rows + self.n_skipped} "
                "rows in an epoch: learning rates and the time left may be wrong",
                UserWarning,
                stacklevel=6,
            )
        n = self.n_rows
        shares = np.diff(np.append(np.arange(0, n, self.batch), n)) / n
        history.loss += (self.costs[None, :] * shares).sum(axis=1).tolist()
        first = self.first_step + self.first_of_epoch
        history.rate += self.optimizer.schedule.rates(first, 1, self.steps_per_epoch).tolist()
        history.n_rows.append(n)
        history.n_skipped.append(self.n_skipped)
        if self.steps_per_epoch == UNKNOWN:
            self.steps_per_epoch = len(self.costs)
        self.costs = np.zeros(0)
        self.n_rows = self.n_skipped = 0
        self.first_of_epoch = self.n_done + n_steps
        return 1

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: that of every training, and where the stream is."""
        stream = {name: getattr(self, name) for name in STATE}
        stream["position"] = list(self.position if self.filled is None else self.filled.begin)
        return {**super().state(), "stream": stream}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        super().restore(state)
        stream = dict(state["stream"])
        order, self.position = stream.pop("order"), Position(*stream.pop("position"))
        vars(self).update(stream)
        if self.epoch_end.bar is not None:
            self.epoch_end.bar.update(sum(self.history.n_rows) + self.n_rows)
        if self.n_in_buffer:
            self._begin_buffer(order)

    def close(self) -> None:
        """End the threads, and leave the network and the optimizer usable, however the training ended."""
        try:
            super().close()
        finally:
            if self.feed is not None:
                self.feed.close()
            if self.cache is not None:
                self.cache.close()


STATE = (
    "order", "n_in_buffer", "seed", "unit", "least", "steps_per_epoch", "first_of_epoch", "n_rows",
    "n_skipped",
)  # fmt: skip


def check_schedule(schedule: Schedule, streamed: StreamedRows | None) -> None:
    """Raise if a schedule depends on the length of an epoch, and the source does not know it."""
    unknown = streamed is not None and streamed.stream.source.n_rows is None
    without = isinstance(schedule, WITHOUT_LENGTH) or getattr(schedule, "without_length", False)
    if unknown and not without:
        raise ValueError(
            "rate must be a number, InverseScaling or OnPlateau with a source whose n_rows is None, got "
            f"{schedule!r}: tell the source how many rows it has"
        )

"""The loop: order, rates, chunks, history, callbacks. Knows a plan and arrays, not Network.

The core does a chunk of steps a call, as many as take about a tenth of a second, over as many epochs as that
is; a chunk ends at an epoch only where something has to be done there. Where chunks end never changes a bit.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .. import _checks as checks
from .. import _core
from .._optional import need
from ..data.arrays import Targets, penalty_unit
from ..data.blocks import HELD, BlockRows
from ..data.sparse import SparseRows, core_rows
from ..losses import LossFunction, LossSpec
from . import diagnosis
from .history import DivergedError, Event, History
from .optimizer_state import OptimizerState, frozen_of, optimizer_args
from .trainers import BlockTrainer, SummedTrainer, Trainer

if TYPE_CHECKING:
    from ..network import Network

# Flops of a chunk: a tenth of a second at the rate of a good core. A step costs some more than its products.
CHUNK = 5e9
STEP = 2e5
UPDATE = 20.0  # of a weight, where X is sparse and the updates are most of a step
# Flops between two copies of parameters and state, for each of their bytes, and steps: copying, and the
# forward pass that tells whether they are worth it, then take at most 5 % and 2 % of the time.
FLOPS_PER_BYTE = 400
STEPS_PER_COPY = 20
# The weights of a batch count in its penalties as at least this share of what so many rows weigh on average.
# Otherwise a batch whose weights are tiny beside the others' would be all penalty: with exponentially aging
# weights in their order, alpha / sum w grows past float32, and past any use long before.
LEAST_WEIGHT = 0.01
# Row numbers drawn ahead for a chunk of several epochs (2 MB).
ORDER_AHEAD = 1 << 18


Callback = Callable[[Event], object]


def callbacks_of(callbacks: Any) -> tuple[Callback, ...]:
    """Return the functions that are called after each epoch."""
    try:
        found = tuple(callbacks)
    except TypeError:
        found = (None,)
    if not all(map(callable, found)):
        hint = f": did you mean [{getattr(callbacks, '__name__', callbacks)}]?" if callable(callbacks) else ""
        raise TypeError(f"callbacks must be a list of functions, got {callbacks!r}{hint}")
    return found


@dataclass
class Problem:
    """What is minimized: the mean of a loss over rows, and the penalties. Everything is checked.

    X: an array, `SparseRows` of a sparse matrix, or `BlockRows` of a memory map. divisor: the costs that are
    reported have the loss, but not the penalties, divided by it; scikit-learn does so with the number of
    outputs, and trains on the sum.
    """

    plan: _core.Plan
    params: np.ndarray
    X: np.ndarray | SparseRows | BlockRows
    targets: Targets
    weights: np.ndarray | None
    loss: LossSpec
    alpha: float = 0.0
    l1: float = 0.0
    n_threads: int = 0  # 0: as many as help
    divisor: int = 1
    # Of these weights, where they are not given; some rows of a problem keep those of all.
    unit: float = 0.0  # the weight that counts as a row in the penalties
    least: float = -1.0  # what a row of a batch weighs at least, on average, in its penalties

    def __post_init__(self) -> None:
        if not self.unit:
            self.unit = penalty_unit(self.weights)
        if self.least < 0:
            self.least = 0.0 if self.weights is None else LEAST_WEIGHT * float(self.weights.mean())

    @property
    def penalties(self) -> tuple[float, float]:
        """The factors alpha and l1 for sums of these weights."""
        return self.alpha * self.unit, self.l1 * self.unit

    def loss_args(self) -> _core.LossArgs:
        """Return the loss, its targets, the weights and the penalties, as the core takes them."""
        alpha, l1 = self.penalties
        return _core.LossArgs(
            self.loss.info.index, self.loss.par, self.targets.Y, self.targets.classes, self.weights,
            self.python_loss(), alpha, l1, self.least,
        )  # fmt: skip

    def python_loss(self) -> Callable[[Any, np.ndarray], float] | None:
        """Return what the core calls for a loss in Python: logits in, their gradient out, in place."""
        function = self.loss.function
        if function is None:
            return None

        def call(rows: Any, logits: np.ndarray) -> float:
            losses, d_logits = call_custom_loss(function, self.targets, rows, logits)
            w = np.ones(len(logits)) if self.weights is None else self.weights[rows]
            logits[...] = d_logits * (w / w.sum())[:, None]
            return float(w @ losses)

        return call

    def cost_and_gradient(self, params: np.ndarray, grad: np.ndarray) -> tuple[float, float]:
        """Return loss and penalty at params (P,), and write the gradient of their sum to grad (P,)."""
        if isinstance(self.X, BlockRows):
            return self._cost_and_gradient_by_tiles(self.X, params, grad)
        return _core.cost_and_gradient(
            self.plan, params, core_rows(self.X), self.loss_args(), grad, self.n_threads
        )

    def _cost_and_gradient_by_tiles(
        self, X: BlockRows, params: np.ndarray, grad: np.ndarray
    ) -> tuple[float, float]:
        """Sum over tiles of rows; each takes the share of the penalties that it has of the weight."""
        whole = float(len(X) if self.weights is None else self.weights.sum())
        penalized = max(whole, self.least * len(X))
        part, loss, penalty = np.empty_like(grad), 0.0, 0.0
        grad[:] = 0
        for rows in X.tiles():
            tile = replace(self, X=X[rows], targets=some_of(self.targets, rows))
            if self.weights is not None:
                tile.weights = self.weights[rows]
            share = float(len(tile.X) if tile.weights is None else tile.weights.sum()) / whole
            if share:
                tile.alpha, tile.l1 = (factor * share * whole / penalized for factor in (self.alpha, self.l1))
                of_tile = tile.cost_and_gradient(params, part)
                loss += share * of_tile[0]
                penalty += share * of_tile[1]
                grad += share * part
        return loss, penalty

    def mean_loss(self) -> float:
        """Return the mean of the losses, with the weights of the rows, as the parameters are now."""
        found = losses(self.plan, self.params, self.X, self.loss, self.targets)
        return float(np.average(found, weights=self.weights))

    def losses_of(self, rows: Any) -> np.ndarray:
        """Return the loss of each of some rows, as the parameters are now."""
        if not isinstance(self.X, np.ndarray):
            some = self.take(rows)
            return losses(self.plan, self.params, some.X, self.loss, some.targets)
        X = np.ascontiguousarray(self.X[rows])
        return losses(self.plan, self.params, X, self.loss, some_of(self.targets, rows))

    def take(self, rows: Any) -> Problem:
        """Return the problem for some rows, sparse ones sparse, and those of a memory map still unread."""
        assert not isinstance(self.X, np.ndarray)
        Y = self.targets.Y
        targets = some_of(self.targets._replace(Y=None), rows)
        if Y is not None:
            some = Y.take(rows) if isinstance(Y, BlockRows) else np.ascontiguousarray(Y[rows])
            targets = targets._replace(Y=some)
        weights = None if self.weights is None else self.weights[rows]
        return replace(self, X=self.X.take(rows), targets=targets, weights=weights)

    def column_moments(self, n_rows: int, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation (I,) of the columns over every step-th row.

        Of a sparse X, n_rows are looked at.
        """
        if isinstance(self.X, SparseRows):
            return self.X.column_moments(max(1, len(self.X) // n_rows))
        X = np.asarray(self.X[::step], dtype=np.float64)
        return X.mean(axis=0), X.std(axis=0)

    def flops_per_step(self, batch: int, stateless: bool) -> float:
        """Return how many flops take as long as a step; stateless: of an optimizer that keeps nothing."""
        if not isinstance(self.X, SparseRows):
            return 6.0 * self.plan.n_params * batch + STEP
        first = self.plan.n_inputs * self.plan.units(1)
        stored = self.X.n_stored / max(1, len(self.X)) * self.plan.units(1)
        flops = 6.0 * (self.plan.n_params - first + stored) * batch + STEP
        return flops if stateless and not self.alpha and not self.l1 else flops + UPDATE * first


def some_of(targets: Targets, rows: Any) -> Targets:
    """Return the targets of some rows."""
    return Targets(*(None if t is None else np.ascontiguousarray(t[rows]) for t in targets))


def call_custom_loss(
    function: LossFunction, targets: Targets, rows: Any, logits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return what a loss in Python gives for some rows: losses (n,) and d_logits (n, O), checked."""
    assert targets.any is not None
    found = function(targets.any[rows], logits.copy())
    if not isinstance(found, tuple) or len(found) != 2:
        raise TypeError(f"loss must return (losses, d_logits), got {type(found).__name__}")
    losses, d_logits = np.asarray(found[0], dtype=np.float64), np.asarray(found[1])
    if losses.shape != logits.shape[:1] or d_logits.shape != logits.shape:
        raise ValueError(
            f"loss must return losses {logits.shape[:1]} and d_logits {logits.shape}, "
            f"got {losses.shape} and {d_logits.shape}"
        )
    return losses, d_logits


def losses(
    plan: _core.Plan,
    params: np.ndarray,
    X: np.ndarray | SparseRows | BlockRows,
    loss: LossSpec,
    targets: Targets,
) -> np.ndarray:
    """Return the loss of each row (N,), without penalties and dropout."""
    out = np.empty(len(X))
    if isinstance(X, BlockRows):
        for rows in X.tiles():
            out[rows] = losses(plan, params, X[rows], loss, some_of(targets, rows))
        return out
    if loss.function is None:
        args = _core.LossArgs(loss.info.index, loss.par, targets.Y, targets.classes)
        _core.losses(plan, params, core_rows(X), args, out)
        return out
    for begin in range(0, len(X), 4096):
        rows = slice(begin, begin + 4096)
        some = X.take(rows) if isinstance(X, SparseRows) else X[rows]
        logits = np.empty((len(some), plan.n_outputs), params.dtype)
        _core.predict(plan, params, core_rows(some), logits, True)
        out[rows] = call_custom_loss(loss.function, targets, rows, logits)[0]
    return out


class StoppingRule(Protocol):
    """A rule on the epochs that have ended; it may end the training and set learning rates."""

    def epochs_until_check(self) -> int | None:
        """Return how many epochs, 1 or more, may pass before it must look; None for any number."""

    def check(self, history: History) -> None:
        """Take in the epochs since it last looked; writes ``history.stopped_by`` to end the training."""


@dataclass
class FitOptions:
    """How long and how a training goes on; see `Network.fit`. Checked when it is made."""

    epochs: int
    batch_size: int | None
    clip_norm: float | None
    ema: float | None
    patience: int | None
    min_delta: float
    max_seconds: float | None
    shuffle: bool
    order: Callable[[int], Any] | None
    record: str
    callbacks: tuple[Callback, ...]
    progress: bool
    validate: Callable[[], float] | None
    stopping: StoppingRule | None = None
    first: np.ndarray | None = None  # the order of the first epoch
    chunk: float = CHUNK  # this and the next are for tests
    two_sweeps: bool | None = None

    def __post_init__(self) -> None:
        checks.check_integer("epochs", self.epochs, 1)
        if self.batch_size is not None:
            checks.check_integer("batch_size", self.batch_size, 1)
        if self.clip_norm is not None:
            checks.check_real("clip_norm", self.clip_norm, 0.0, above=True)
        if self.ema is not None:
            checks.check_real("ema", self.ema, 0.0, 1.0)
        checks.check_real("min_delta", self.min_delta, 0.0)
        if self.patience is not None:
            checks.check_integer("patience", self.patience, 1)
            if self.validate is None:
                raise ValueError("patience must come with X_val and y_val, got none")
        if self.max_seconds is not None:
            checks.check_real("max_seconds", self.max_seconds, 0.0, above=True)
        if self.order is not None and not callable(self.order):
            raise TypeError(f"order must be a function of the epoch, got {self.order!r}")
        checks.check_name("record", self.record, ("epoch", "step"))
        checks.check_boolean("shuffle", self.shuffle)
        if checks.check_boolean("progress", self.progress):
            _progress_bar_of()


class EpochEnd:
    """What is done at the end of an epoch: validation, the best weights, patience, callbacks, the bar."""

    def __init__(self, net: Network, options: FitOptions, history: History) -> None:
        self.net = net
        self.options = options
        self.history = history
        self.best: np.ndarray | None = None
        self.lowest = self.mark = math.inf  # val_loss of the best; the last that fell by min_delta
        self.stale = 0  # epochs since then
        self.bar = _progress_bar_of()(total=options.epochs, unit="epoch") if options.progress else None

    def validate(self) -> None:
        """Look at the validation set, keep the best weights, and end the training where patience ends.

        A figure that is not finite is never the best. Until one is finite, there is nothing to wait for.
        """
        options, history = self.options, self.history
        if options.stopping is not None:
            options.stopping.check(history)
        if options.validate is None:
            return
        found = options.validate()
        history.val_loss.append(found)
        if math.isfinite(found) and found < self.lowest:
            history.best_epoch, self.best = len(history.val_loss) - 1, self.net.params.copy()
            self.lowest = found
        if math.isfinite(found) and found < self.mark - options.min_delta:
            self.mark, self.stale = found, 0
        elif self.mark < math.inf:
            self.stale += 1
        if options.patience is not None and self.stale >= options.patience:
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
            named = (("loss", history.loss), ("val_loss", history.val_loss))
            self.bar.set_postfix({name: f"{figures[-1]:.4g}" for name, figures in named if figures})
            self.bar.update()

    def close(self) -> None:
        """Put the best weights in place, however the training ended."""
        if self.best is not None:
            self.net.params[:] = self.best
        if self.bar is not None:
            self.bar.close()

    def warn(self, problem: Problem, n_steps: int, costs: list[float]) -> None:
        """Warn of a training that has ended and got nowhere."""
        if self.options.stopping is not None:
            return  # it may have other weights to put in place, and has its own words
        if self.history.val_loss and self.best is None:
            last = self.history.val_loss[-1]
            diagnosis.warn_never_finite("val_loss", "X_val and y_val", last, stacklevel=5)
        diagnosis.warn(self.net, problem, self.history, n_steps, costs, stacklevel=5)


def train(
    net: Network, problem: Problem, optimizer: OptimizerState, options: FitOptions, rng: checks.Random
) -> History:
    """Train the parameters in place and return what happened."""
    plan, params, X = problem.plan, problem.params, problem.X
    n = len(X)
    batch = n if options.batch_size is None else min(options.batch_size, n)
    gather = options.order is not None or (options.shuffle and options.batch_size is not None)
    steps_per_epoch = -(-n // batch)
    shares = np.diff(np.append(np.arange(0, n, batch), n)) / n
    flops = problem.flops_per_step(batch, not len(optimizer.slots))
    steps_per_chunk = max(1, int(options.chunk / flops))
    epochs_ahead = max(1, ORDER_AHEAD // n)
    if plan.dropout and optimizer.seed is None:
        optimizer.seed = int.from_bytes(rng.bytes(8), "little")
    mean = None if options.ema is None else params.copy()
    args = optimizer_args(
        optimizer,
        frozen_of(net),
        clip_norm=options.clip_norm or 0.0,
        mean=mean,
        mean_rate=1 - (options.ema or 0.0),
    )

    def trainer_of(X: Any, loss: _core.LossArgs, batch: int, gather: bool = False) -> Trainer:
        layout = _core.training_layout(
            plan, params.itemsize, batch, loss, args, gather=gather, two_sweeps=options.two_sweeps,
            sparse=isinstance(problem.X, SparseRows),
        )  # fmt: skip
        return _core.Trainer(
            plan, layout, params, X, loss, args, batch=batch, step=optimizer.n_steps,
            seed=optimizer.seed or 0, n_threads=problem.n_threads,
        )  # fmt: skip

    trainer: Trainer
    width = plan.n_inputs + (plan.n_outputs if isinstance(problem.targets.Y, BlockRows) else 0)
    if isinstance(X, BlockRows) and batch * width * params.itemsize > HELD and not plan.dropout:
        trainer = SummedTrainer(problem, batch, args, optimizer.n_steps)
    elif isinstance(X, BlockRows):
        trainer = BlockTrainer(problem, batch, trainer_of)
    else:
        trainer = trainer_of(core_rows(X), problem.loss_args(), batch, gather)
    rate, first_step = optimizer.schedule, optimizer.n_steps  # where the schedule goes on
    history = History(problem.loss.name)
    watched = bool(options.validate or options.callbacks or options.progress or rate.watches)
    checkpoint = Checkpoint(params, optimizer, trainer)
    orders = EpochOrders(n, rng, options) if gather else None
    costs = np.zeros(0)  # of the epoch in progress
    recent = deque[float](maxlen=64)  # costs, for a diagnosis
    done, total = 0, options.epochs * steps_per_epoch
    began = time.perf_counter()
    epoch_end = EpochEnd(net, options, history)

    def diverged(epoch: int, what: str) -> DivergedError:
        checkpoint.put_back()
        last = next((cost for cost in reversed(recent) if np.isfinite(cost)), float("nan"))
        return DivergedError(epoch, last, what, diagnosis.findings(net, problem, list(recent)))

    try:
        while done < total and not history.stopped_by:
            epoch, begun = divmod(done, steps_per_epoch)
            n_steps = min(steps_per_chunk, total - done, epochs_ahead * steps_per_epoch - begun)
            if watched:
                n_steps = min(n_steps, steps_per_epoch - begun)
            elif options.stopping is not None and (free := options.stopping.epochs_until_check()) is not None:
                n_steps = min(n_steps, free * steps_per_epoch - begun)
            rates = rate.rates(first_step + done, n_steps, steps_per_epoch)
            of_steps = np.zeros((n_steps, 2))  # loss and penalty
            rows = orders.take(epoch, -(-(begun + n_steps) // steps_per_epoch)) if orders else None
            if checkpoint.due(flops):
                first = slice(begun * batch, (begun + 1) * batch)
                checkpoint.keep(float(problem.losses_of(first if rows is None else rows[0, first]).sum()))
            good = trainer.steps(rows, rates, of_steps, begun)
            written = of_steps[:, 0] / problem.divisor + of_steps[:, 1]
            recent.extend(written[: good + 1][-64:].tolist())
            if options.record == "step":
                history.step_loss += written[:good].tolist()
            if good < n_steps:
                cost = written[good]
                what = "the gradient" if np.isfinite(cost) else f"a batch had the loss {cost}, which"
                raise diverged((done + good) // steps_per_epoch, f"{what} is not finite")
            checkpoint.steps += n_steps
            done += n_steps

            costs = np.append(costs, written)
            ended = len(costs) // steps_per_epoch
            if ended:
                # Row by row, so that an epoch's sum does not depend on how many ended in this chunk
                means = (costs[: ended * steps_per_epoch].reshape(ended, steps_per_epoch) * shares).sum(
                    axis=1
                )
                history.loss += means.tolist()
                costs = costs[ended * steps_per_epoch :]
                rates = rate.rates(
                    first_step + epoch * steps_per_epoch, ended * steps_per_epoch, steps_per_epoch
                )
                history.rate += rates[::steps_per_epoch].tolist()
            if done == total:
                history.stopped_by = "epochs"
            elif options.max_seconds is not None and time.perf_counter() - began >= options.max_seconds:
                history.stopped_by = "max_seconds"
            if ended and (options.validate is not None or options.stopping is not None):
                with _standing_in(params, mean):
                    epoch_end.validate()
            if ended and watched:
                rate.observe((history.val_loss or history.loss)[-1])
                epoch_end.notify()
        # Weights may be wrong where no loss could tell: in the last update, or behind a relu
        if not _core.all_finite(params):
            raise diverged(max(len(history.loss) - 1, 0), "a weight is not finite")
    except DivergedError:
        mean = None
        raise
    finally:
        trainer.close()
        optimizer.n_steps = trainer.step
        history.seconds = time.perf_counter() - began
        if epoch_end.best is None and mean is not None:
            params[:] = mean
        epoch_end.close()
    epoch_end.warn(problem, done, list(recent))
    return history


@contextmanager
def _standing_in(params: np.ndarray, mean: np.ndarray | None) -> Iterator[None]:
    """Put the running average in the place of the parameters for a while."""
    if mean is None:
        yield
        return
    kept = params.copy()
    params[:] = mean
    try:
        yield
    finally:
        params[:] = kept


class Checkpoint:
    """The last good parameters and state: a copy at most once a chunk, only of what gives a finite loss."""

    def __init__(self, params: np.ndarray, optimizer: OptimizerState, trainer: Trainer) -> None:
        self.live = (params, optimizer.slots)
        self.trainer = trainer
        self.kept = (params.copy(), optimizer.slots.copy())
        self.n_steps = trainer.step  # that the copy has seen
        self.steps = 0  # since the copy

    def due(self, flops_per_step: float) -> bool:
        """Return whether enough was computed since the last copy that another costs little beside it."""
        bytes_kept = sum(array.nbytes for array in self.live)
        return self.steps >= STEPS_PER_COPY and self.steps * flops_per_step >= FLOPS_PER_BYTE * bytes_kept

    def keep(self, loss: float) -> None:
        """Copy parameters and state if the loss that they give is finite."""
        if np.isfinite(loss) and _core.all_finite(self.live[0]):
            for kept, live in zip(self.kept, self.live, strict=True):
                kept[...] = live
            self.n_steps = self.trainer.step
        self.steps = 0

    def put_back(self) -> None:
        """Restore the copy."""
        for kept, live in zip(self.kept, self.live, strict=True):
            live[...] = kept
        self.trainer.step = self.n_steps


class EpochOrders:
    """The order of the rows in each epoch, drawn when an epoch is first asked for."""

    def __init__(self, n: int, rng: checks.Random, options: FitOptions) -> None:
        self.n = n
        self.rng = rng
        self.shuffle = options.shuffle
        self.order = options.order
        self.first_order = options.first
        self.first = 0
        self.drawn = np.zeros((0, n), np.int64)

    def take(self, first: int, n_epochs: int) -> np.ndarray:
        """Return the orders (n_epochs, N) of epochs first, first + 1, ..."""
        have = self.drawn[first - self.first :]
        if len(have) < n_epochs:
            # In place: each copy of NumPy's gives the GIL away, which beside a busy thread costs 5 ms
            fresh = np.empty((n_epochs - len(have), self.n), np.int64)
            fresh[:] = np.arange(self.n)
            for i, rows in enumerate(fresh, first + len(have)):
                self.draw(i, rows)
            have = np.concatenate([have, fresh]) if len(have) else fresh
        self.first, self.drawn = first, have
        return np.ascontiguousarray(have[:n_epochs])

    def draw(self, epoch: int, rows: np.ndarray) -> None:
        """Write the order of an epoch to rows (N,), which holds 0 .. N - 1."""
        if self.order is None:
            self.rng.shuffle(rows)  # the same as a permutation that is drawn
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


def _progress_bar_of() -> Any:
    """Return what makes a progress bar: tqdm, or an error that says how to install it."""
    return need("tqdm.auto", "progress=True", "all").tqdm

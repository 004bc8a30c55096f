"""The loop: order, rates, chunks, history, callbacks. Knows specs, a plan and arrays, not Network.

The core does a chunk of steps a call, as many as take about a tenth of a second, over as many epochs as that
is; a chunk ends at an epoch only where something has to be done there. Where chunks end never changes a bit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import _core, specs
from .data import Targets

# Flops of a chunk: a tenth of a second at the rate of a good core. A step costs some more than its products.
CHUNK = 5e9
STEP = 2e5
# Flops between two copies of parameters and state, for each of their bytes, and steps: copying, and the
# forward pass that tells whether they are worth it, then take at most 5 % and 2 % of the time.
FLOPS_A_BYTE = 400
STEPS_A_COPY = 20
# Row numbers drawn ahead for a chunk of several epochs (2 MB).
ORDER_AHEAD = 1 << 18


class DivergedError(ValueError):
    """Training came to a loss or to weights that are not finite; the last good weights are in place.

    Attributes
    ----------
    epoch : int
        The epoch, counted from 0, in which it was noticed.
    last_loss : float
        The last finite cost of a batch; NaN where there was none.
    """

    def __init__(self, epoch: int, last_loss: float, what: str) -> None:
        self.epoch = epoch
        self.last_loss = last_loss
        super().__init__(
            f"training diverged in epoch {epoch}: {what}; the last finite loss of a batch was {last_loss:g}. "
            "Try a lower rate, inputs scaled to a spread of about 1, or dtype='float64'. "
            "The last good weights are in place."
        )


@dataclass
class History:
    """What happened in a `fit`.

    Attributes
    ----------
    loss : list of float
        For each epoch the sum over its batches of (cost of the batch before its step, penalties included) x
        rows / N.
    val_loss : list of float
        For each epoch the mean loss on the validation set after it, without penalties; empty without one.
    rate : list of float
        For each epoch the rate of its first step.
    seconds : float
        Time taken.
    best_epoch : int or None
        The epoch, counted from 0, with the lowest val_loss, whose weights are in place.
    stopped_by : str
        "epochs", "patience" or "callback"; "" until `fit` returns.
    loss_name : str
        The loss that was minimised.
    """

    loss_name: str
    loss: list[float] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    seconds: float = 0.0
    best_epoch: int | None = None
    stopped_by: str = ""

    def plot(self, ax: Any = None) -> Any:
        """Draw the learning curve on matplotlib axes `ax`, on new ones if None, and return them."""
        from . import plotting

        return plotting.learning_curve(self, ax)

    def to_dict(self) -> dict[str, Any]:
        """Return everything in a dict of plain numbers and lists, as JSON takes it."""
        return {
            name: value.copy() if isinstance(value, list) else value for name, value in vars(self).items()
        }


class Event:
    """What a callback is given at the end of an epoch.

    Attributes
    ----------
    net : Network
        The network in training; its parameters may be read and written.
    epoch : int
        The epoch that has ended, counted from 0.
    history : History
        The history so far.
    """

    def __init__(self, net: Any, epoch: int, history: History) -> None:
        self.net = net
        self.epoch = epoch
        self.history = history
        self.stopped = False

    def stop(self) -> None:
        """End the training after this epoch."""
        self.stopped = True


Callback = Callable[[Event], object]


class Guard:
    """Lets one training at a time write the parameters of a network, and counts how often that was done."""

    def __init__(self) -> None:
        self.changes = 0
        self._lock = threading.Lock()

    @contextmanager
    def writing(self, what: str) -> Iterator[None]:
        """Raise RuntimeError if another holds it."""
        if not self._lock.acquire(blocking=False):
            raise RuntimeError(f"{what} must not be called on a network that is in training")
        try:
            yield
        finally:
            self.changes += 1
            self._lock.release()


class OptimizerState:
    """An optimizer at work on a network, made by `Network.optimizer`: the other half of a loop of one's own.

    Attributes
    ----------
    spec : SGD or Adam
    slots : ndarray (n_slots, P)
        The state: none for plain gradient descent, one vector of momenta, two of moments for Adam.
    n_steps : int
        Updates done.
    params : ndarray (P,)
        The parameters that it updates, the network's own.

    Examples
    --------
    >>> import numpy as np
    >>> from dnn import SGD, Network
    >>> net = Network([2, 1], init="zeros")
    >>> descent = net.optimizer(SGD(0.5))
    >>> out, cache = net.forward([[1.0, 2.0]])
    >>> grad, _ = net.backward(cache, out - 1, wrt="params")
    >>> descent.step(grad)
    >>> net.params.tolist()
    [0.5, 1.0, 0.5]
    """

    def __init__(self, spec: specs.Optimizer, params: np.ndarray, guard: Guard) -> None:
        self.spec = spec
        self.kernel = _core.OPTIMIZERS[spec.kernel]
        self.slots = np.zeros((self.kernel.n_slots, params.size), params.dtype)
        self.n_steps = 0
        self.params = params
        self._guard = guard
        self._schedule = specs.schedule_of(spec.rate)

    def step(self, grad: np.ndarray, rate: float | None = None) -> None:
        """Do one update of the network's parameters, in place.

        Parameters
        ----------
        grad : ndarray (P,)
            The gradient, as `backward` and `loss_and_gradient` return it.
        rate : float, default None
            The rate of this step; None: the spec's. A schedule counts each step as an epoch here.

        Raises
        ------
        RuntimeError
            If the network is in training elsewhere.
        """
        params = self.params
        if not isinstance(grad, np.ndarray) or grad.dtype != params.dtype or not grad.flags.c_contiguous:
            grad = np.ascontiguousarray(grad, dtype=params.dtype)
        if grad.shape != params.shape:
            raise ValueError(f"grad must have shape {params.shape}, got {grad.shape}")
        if rate is None:
            rate = float(self._schedule.rates(self.n_steps, 1, 1)[0])
        else:
            rate = specs.check_real("rate", rate, 0.0)
        with self._guard.writing("step"):
            _core.update(self.kernel.row, self.spec.hyper, rate, self.n_steps + 1, params, grad, self.slots)
            self.n_steps += 1


def train(
    plan: _core.Plan,
    params: np.ndarray,
    X: np.ndarray,
    targets: Targets,
    *,
    net: Any,
    loss: _core.Loss,
    optimizer: OptimizerState,
    epochs: int,
    batch_size: int | None,
    weights: np.ndarray | None,
    alpha: float,
    rng: specs.Random,
    shuffle: bool,
    order: Callable[[int], Any] | None,
    validate: Callable[[], float] | None,
    patience: int | None,
    min_delta: float,
    callbacks: Iterable[Callback],
    progress: bool,
    chunk: float = CHUNK,
    two_sweeps: bool | None = None,
) -> History:
    """Train params in place and return what happened. `chunk` and `two_sweeps` are for tests."""
    n = len(X)
    batch = n if batch_size is None else min(batch_size, n)
    gather = order is not None or (shuffle and batch_size is not None)
    a_epoch = -(-n // batch)
    shares = np.diff(np.append(np.arange(0, n, batch), n)) / n
    flops = 6.0 * plan.n_params * batch + STEP
    a_chunk = max(1, int(chunk / flops))
    epochs_ahead = max(1, ORDER_AHEAD // n)
    schedule = _core.train_schedule(
        plan, params.itemsize, batch, gather, loss.row, optimizer.kernel.row, two_sweeps
    )
    trainer = _core.Trainer(
        plan, schedule, params, X, loss.row, (), targets.Y, targets.classes, weights, alpha, batch,
        optimizer.kernel.row, optimizer.spec.hyper, optimizer.slots, optimizer.n_steps,
    )  # fmt: skip
    rate = specs.schedule_of(optimizer.spec.rate)
    first_step = optimizer.n_steps  # where the schedule goes on
    history = History(loss.name)

    def try_out(rows: slice | np.ndarray) -> float:
        """Sum of the losses of some rows, as the parameters are now."""
        Y, classes = (None if t is None else np.ascontiguousarray(t[rows]) for t in targets)
        batch_X = np.ascontiguousarray(X[rows])
        out = np.empty(len(batch_X))
        _core.losses(plan, params, batch_X, loss.row, (), Y, classes, out)
        return float(out.sum())

    callbacks = tuple(callbacks)
    watched = validate is not None or bool(callbacks) or progress
    keeper = _Keeper(params, optimizer, trainer)
    best: np.ndarray | None = None
    orders = _Orders(n, rng, shuffle, order) if gather else None
    costs = np.zeros(0)  # of the epoch in progress
    done, total = 0, epochs * a_epoch
    last_loss = float("nan")
    began = time.perf_counter()
    bar = _bar(epochs) if progress else None
    try:
        while done < total and not history.stopped_by:
            epoch, begun = divmod(done, a_epoch)
            n_steps = min(a_chunk, total - done, epochs_ahead * a_epoch - begun)
            if watched:
                n_steps = min(n_steps, a_epoch - begun)
            rates = rate.rates(first_step + done, n_steps, a_epoch)
            written = np.zeros(n_steps)
            rows = orders.take(epoch, -(-(begun + n_steps) // a_epoch)) if orders else None
            if keeper.due(flops):
                first = slice(begun * batch, (begun + 1) * batch)
                keeper.keep(try_out(first if rows is None else rows[0, first]))
            good = trainer.steps(rows, rates, written, begun)
            if good:
                last_loss = float(written[good - 1])
            if good < n_steps:
                raise DivergedError(
                    (done + good) // a_epoch, last_loss, f"a batch had the loss {written[good]}"
                )
            keeper.steps += n_steps
            done += n_steps

            costs = np.append(costs, written)
            ended = len(costs) // a_epoch
            if ended:
                # Row by row, so that an epoch's sum does not depend on how many ended in this chunk
                means = (costs[: ended * a_epoch].reshape(ended, a_epoch) * shares).sum(axis=1)
                history.loss += means.tolist()
                costs = costs[ended * a_epoch :]
                history.rate += rate.rates(first_step + (epoch * a_epoch), ended * a_epoch, a_epoch)[
                    ::a_epoch
                ].tolist()
            if done == total:
                history.stopped_by = "epochs"
            if not ended or not watched:
                continue

            if validate is not None:
                history.val_loss.append(validate())
                lowest = min(history.val_loss[:-1], default=np.inf)
                if history.best_epoch is None or history.val_loss[-1] < lowest:
                    history.best_epoch = epoch
                    best = params.copy()
                if patience is not None and _stale(history.val_loss, min_delta) >= patience:
                    history.stopped_by = "patience"
            event = Event(net, epoch, history)
            for callback in callbacks:
                callback(event)
            if event.stopped:
                history.stopped_by = "callback"
            if bar is not None:
                bar.set_postfix(
                    {
                        k: f"{v[-1]:.4g}"
                        for k, v in (("loss", history.loss), ("val_loss", history.val_loss))
                        if v
                    }
                )
                bar.update()
        keeper.check(history, last_loss)
    except DivergedError:
        keeper.put_back()
        raise
    finally:
        optimizer.n_steps = trainer.step
        history.seconds = time.perf_counter() - began
        if best is not None:
            params[:] = best
        if bar is not None:
            bar.close()
    return history


class _Keeper:
    """The last good parameters and state: a copy at most once a chunk, only of what gives a finite loss."""

    def __init__(self, params: np.ndarray, optimizer: OptimizerState, trainer: _core.Trainer) -> None:
        self.live = (params, optimizer.slots)
        self.trainer = trainer
        self.kept = (params.copy(), optimizer.slots.copy())
        self.n_steps = trainer.step  # that the copy has seen
        self.steps = 0  # since the copy

    def due(self, flops_a_step: float) -> bool:
        bytes_kept = sum(array.nbytes for array in self.live)
        return self.steps >= STEPS_A_COPY and self.steps * flops_a_step >= FLOPS_A_BYTE * bytes_kept

    def keep(self, loss: float) -> None:
        if np.isfinite(loss) and _core.all_finite(self.live[0]):
            for kept, live in zip(self.kept, self.live, strict=True):
                kept[...] = live
            self.n_steps = self.trainer.step
        self.steps = 0

    def check(self, history: History, last_loss: float) -> None:
        """Raise if weights went wrong where no loss could tell: in the last update, or behind a relu."""
        if not _core.all_finite(self.live[0]):
            raise DivergedError(max(len(history.loss) - 1, 0), last_loss, "a weight is not finite")

    def put_back(self) -> None:
        for kept, live in zip(self.kept, self.live, strict=True):
            live[...] = kept
        self.trainer.step = self.n_steps


class _Orders:
    """The order of the rows in each epoch, drawn when an epoch is first asked for."""

    def __init__(self, n: int, rng: specs.Random, shuffle: bool, order: Callable[[int], Any] | None) -> None:
        self.n = n
        self.rng = rng
        self.shuffle = shuffle
        self.order = order
        self.first = 0
        self.drawn = np.zeros((0, n), np.int64)

    def take(self, first: int, n_epochs: int) -> np.ndarray:
        """Return the orders (n_epochs, N) of epochs first, first + 1, ..."""
        have = self.drawn[first - self.first :]
        fresh = [self.draw(first + i) for i in range(len(have), n_epochs)]
        if fresh:
            have = np.stack([*have, *fresh])
        self.first, self.drawn = first, have
        return np.ascontiguousarray(have[:n_epochs])

    def draw(self, epoch: int) -> np.ndarray:
        if self.order is None:
            return self.rng.permutation(self.n)
        rows = np.asarray(self.order(epoch))
        if rows.shape != (self.n,) or rows.dtype.kind not in "iu":
            raise ValueError(f"order must give {self.n} row numbers, got {rows.dtype} {rows.shape}")
        if rows.size and not (0 <= rows.min() and rows.max() < self.n):
            raise ValueError(
                f"order must give row numbers 0 .. {self.n - 1}, got {rows.min()} .. {rows.max()}"
            )
        return rows.astype(np.int64)


def _stale(val_loss: list[float], min_delta: float) -> int:
    """Epochs since val_loss last fell by more than min_delta below the best before it."""
    best, since = np.inf, 0
    for value in val_loss:
        if value < best - min_delta:
            best, since = value, 0
        else:
            since += 1
    return since


def _bar(epochs: int) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError("progress=True needs tqdm: pip install tqdm") from None
    return tqdm(total=epochs, unit="epoch")

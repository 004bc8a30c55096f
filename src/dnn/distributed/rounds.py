"""Local SGD in rounds: each shard of the rows is trained for itself, and then the parameters are averaged.

In a round, every shard starts from the same parameters and does the steps of a part of its epoch; the
parameters, and the state of the optimizer, are averaged over the shards by their rows; and an outer optimizer
makes a step towards the average. Where the shards are, and who computes them, is the business of an `Engine`:
this process, the processes of joblib, or the machines of Dask or Ray. The result has the same bits with each.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .. import _checks as checks
from ..losses import Loss
from ..network import Network
from ..optimizers import Adam, Optimizer
from ..schedules import schedule_of
from ..training import diagnosis
from ..training.history import DivergedError, History
from ..training.optimizer_state import lock_of
from ..training.options import Callback, FitOptions, callbacks_of
from ..training.resume import CheckpointFile, kept_schedule, restore_schedule
from ..training.stopping import EpochEnd
from .averages import Nesterov, Total, groups_of, total_of
from .local import LocalResult, LocalTraining, RoundPart, Rows, State

__all__ = [
    "Engine", "LocalResult", "LocalTraining", "Nesterov", "RoundHistory", "RoundPart", "Rows", "State",
    "Total", "fit", "groups_of", "local_round", "sum_in_order", "total_of",
]  # fmt: skip

local_round = LocalTraining.local_round


@dataclass
class RoundHistory(History):
    """The history of a training in rounds; its lists have one element per round, not per epoch.

    Attributes
    ----------
    loss : list of float
        For each round the mean over all its rows of the cost of their batch before its step, penalties
        included; NaN where no shard had a step, as there are fewer steps, or blocks, than rounds per epoch.
    rate : list of float
        For each round the rate of the first step of the first shard that had one; NaN where none had.
    best_epoch : int or None
        The round with the lowest val_loss.
    n_rows, n_skipped : list of int
        For each round the rows trained on, and bad rows that were left out.
    round_seconds : list of float
        For each round the time that it took.

    Examples
    --------
    >>> from dnn import Network
    >>> from dnn.distributed import rounds
    >>> net = Network([1, 1], init="zeros")
    >>> history = rounds.fit(net, [([[1]], [2]), ([[2]], [4])], epochs=2, rounds_per_epoch=1)
    >>> history.loss[0], history.n_rows
    (5.0, [2, 2])
    """

    n_rows: list[int] = field(default_factory=list)
    n_skipped: list[int] = field(default_factory=list)
    round_seconds: list[float] = field(default_factory=list)


class Engine:
    """Computes the rounds, here one shard after another in this process; the base of all engines.

    An engine of your own overrides both methods; it may compute shards in any order, anywhere, and again.

    Examples
    --------
    >>> engine = Engine()
    >>> engine.place(pow, [5, 6]), engine.place(max, [])
    ([0, 1], [])
    """

    def place(self, function: Callable[[int, Any], Any], items: Sequence[Any]) -> list[Any]:
        """Return ``function(k, item)`` for each item, or handles to where these are kept for all rounds."""
        return [function(k, item) for k, item in enumerate(items)]

    def total(self, function: Callable[..., LocalResult], placed: list[Any], *common: Any) -> Total:
        """Return the sum, by `sum_in_order`, of ``function(k, shard, *common)`` over the shards placed."""
        return sum_in_order([function(k, shard, *common) for k, shard in enumerate(placed)])


def sum_in_order(results: Sequence[LocalResult | Total]) -> Total:
    """Return the sum of results in the order of their shards, by groups of 32, and of groups again.

    Examples
    --------
    >>> one = LocalResult(np.ones(1), State(np.zeros((0, 1)), 0), 1, 0, 1.0, 0.0)
    >>> sum_in_order([one] * 70).params.tolist()
    [70.0]
    """
    while len(results) > 1 or not isinstance(results[0], Total):
        results = [total_of(group) for group in groups_of(results)]
    return results[0]


class Defaults(NamedTuple):
    """What "auto" means for a number of shards: the more there are, the less far does an average move.

    `benchmarks/rounds.py` measures the accuracy that these give.
    """

    batch_size: int
    rate: float  # of Adam
    rounds_per_epoch: int
    outer: Nesterov | None


def defaults_for(n_shards: int) -> Defaults:
    """Return what "auto" means.

    Examples
    --------
    >>> defaults_for(4)
    Defaults(batch_size=32, rate=0.002, rounds_per_epoch=4, outer=None)
    >>> defaults_for(64).batch_size
    8
    """
    if n_shards <= 4:
        return Defaults(32, 2e-3, 4, None)
    # Shorter than the paper's steps, with which a small smooth regression swings: R2 -5.6 instead of 0.9
    if n_shards <= 16:
        return Defaults(16, 2e-3, 4, Nesterov(1.0, 0.5))
    return Defaults(8, 4e-3, 8, Nesterov(1.0, 0.7))


def fit(
    net: Network,
    shards: Sequence[Any],
    *,
    epochs: int = 20,
    rounds_per_epoch: int | str = "auto",
    outer: Nesterov | str | None = "auto",
    engine: Engine | None = None,
    loss: Loss = "auto",
    optimizer: str | Optimizer = "auto",
    batch_size: int | str = "auto",
    class_weight: dict[Any, float] | None = None,
    validation: Sequence[Any] = (),
    alpha: float = 0.0,
    l1: float = 0.0,
    clip_norm: float | None = None,
    patience: int | None = None,
    min_delta: float = 0.0,
    max_seconds: float | None = None,
    callbacks: Iterable[Callback] = (),
    n_threads: int | str = 1,
    random_state: Any = None,
    progress: bool = False,
    checkpoint: Any = None,
    resume: bool = False,
) -> RoundHistory:
    """Train a network in rounds over shards, in place, and return what happened.

    The result depends on `random_state`, the shards and their order, and the options alone: it has the same
    bits with any engine, any number of workers, any order of arrival, and after repeated work.

    Parameters
    ----------
    net : Network
    shards : list
        Each is (X, y), (X, y, sample_weight), a `RowSource` or `Stream`, or what the engine makes of them.
        Shards may have different numbers of rows, also none. They should be alike: shards that have few
        classes each pull the average in different directions.
    epochs : int, at least 1, default 20
        Passes over all rows.
    rounds_per_epoch : int, at least 1, or "auto", default "auto"
        The more rounds, the closer is the result to that of one process, and the more is sent. Steps are
        divided among the rounds of an epoch, of a source the blocks. "auto": 4, and 8 with more than 16
        shards.
    outer : Nesterov, None or "auto", default "auto"
        None: the average itself. "auto": None with up to 4 shards, which it would carry too far,
        Nesterov(1.0, 0.5) with up to 16, and otherwise Nesterov(1.0, 0.7).
    engine : Engine or None, default None
        None: this process.
    loss, class_weight, alpha, l1, clip_norm, n_threads
        As in `Network.fit`; class_weight is a dict or None. n_threads is that of each shard, 1 by default
        because workers have a core each.
    optimizer : str or optimizer, default "auto"
        Of each shard. "auto": Adam(2e-3), and Adam(4e-3) with more than 16 shards: more than the usual rate,
        because averages move less far than one long run.
    batch_size : int, at least 1, or "auto", default "auto"
        Of each shard. "auto": 32 with up to 4 shards, 16 with up to 16, otherwise 8: all shards together do
        a step on many more rows.
    validation : list, default ()
        Shards of a validation set, evaluated after each round, without class_weight. The weights of the round
        with the lowest val_loss are in place when `fit` ends, however it ends.
    patience, min_delta
        As in `Network.fit`, in rounds.
    max_seconds : float above 0, default None
        Stop after the round in which this time is over.
    callbacks : iterable of callables, default ()
        Each is called with an `Event` at the end of each round; its epoch is the number of the round.
    random_state : None, int, Generator or RandomState, default None
        Source of the orders of the rows, and of dropout; None: fresh entropy.
    progress : bool, default False
        Show a progress bar over rounds (needs tqdm).
    checkpoint, resume : path, default None; bool, default False
        A file that is written after each round, from which a training is resumed to the same bits. It is
        refused with other options, or other numbers of shards or rows; the engine may be another one.

    Returns
    -------
    RoundHistory

    Raises
    ------
    DivergedError
        If a loss or a weight of a shard is not finite; the weights of the round before are then in place.
    TypeError, ValueError
        As in `Network.fit`; where a shard is the cause, the message begins with its number.

    References
    ----------
    Stich (2019), Local SGD converges fast and communicates little, algorithm 1. The average of the state of
    the optimizer: Yu, Jin and Yang (2019), On the linear speedup analysis of communication efficient momentum
    SGD for distributed non-convex optimization, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from dnn import SGD, Network
    >>> from dnn.distributed import rounds
    >>> X = np.random.default_rng(0).normal(size=(800, 3))
    >>> shards = [(X[k::4], X[k::4].sum(axis=1)) for k in range(4)]
    >>> net = Network([3, 1], random_state=0)
    >>> history = rounds.fit(net, shards, optimizer=SGD(0.1), random_state=0)
    >>> np.allclose(net.weights[0], 1, atol=0.01)
    True
    """
    shards = _listed("shards", shards)
    if not shards:
        raise ValueError("shards must have at least one shard, got none")
    auto = defaults_for(len(shards))
    optimizer = Adam(auto.rate) if is_auto(optimizer) else optimizer
    rows: Any = auto.batch_size if is_auto(batch_size) else batch_size
    training = LocalTraining.of(
        net, loss=loss, optimizer=optimizer, batch_size=rows, class_weight=class_weight, alpha=alpha,
        l1=l1, clip_norm=clip_norm, n_threads=n_threads,
    )  # fmt: skip
    options = {
        "patience": patience, "min_delta": min_delta, "max_seconds": max_seconds,
        "callbacks": callbacks_of(callbacks), "progress": progress, "checkpoint": checkpoint,
        "resume": resume,
    }  # fmt: skip
    return train(
        net, training, shards, epochs, rounds_per_epoch, outer, engine, validation, random_state, options
    )


def train(
    net: Network, training: LocalTraining, shards: Sequence[Any], epochs: int, rounds_per_epoch: int | str,
    outer: Nesterov | str | None, engine: Engine | None, validation: Sequence[Any], random_state: Any,
    given: dict[str, Any],
) -> RoundHistory:  # fmt: skip
    """Do all rounds, as `fit` says; the estimators call it too."""
    auto = defaults_for(len(shards))
    checks.check_integer("epochs", epochs, 1)
    n_parts: Any = auto.rounds_per_epoch if is_auto(rounds_per_epoch) else rounds_per_epoch
    checks.check_integer("rounds_per_epoch", n_parts, 1)
    outer = auto.outer if is_auto(outer) else outer
    if outer is not None and not isinstance(outer, Nesterov):
        raise TypeError(f"outer must be Nesterov(...), None or 'auto', got {outer!r}")
    if engine is not None and not isinstance(engine, Engine):
        raise TypeError(f"engine must be an Engine, such as Workers(client), got {engine!r}")
    engine = Engine() if engine is None else engine
    validation = _listed("validation", validation)
    if given["patience"] is not None and not validation:
        raise ValueError("patience must come with validation, got none")
    unweighted = replace(training, class_weight=None)  # for validation, as in `Network.fit`
    placed_val: list[Any] = []
    options = FitOptions(
        epochs=epochs * n_parts, batch_size=training.batch_size, unit="round",
        validate=partial(_val_loss, net, unweighted, engine, placed_val) if validation else None, **given,
    )  # fmt: skip
    rng = checks.generator_of(random_state)
    state = net.optimizer(training.optimizer)
    with lock_of(state).writing("rounds.fit"):
        begin = time.perf_counter()
        placed = engine.place(partial(_place, training, "shard"), shards)
        placed_val += engine.place(partial(_place, unweighted, "validation shard"), validation)
        sizes = [_size("shard", training, engine, placed)]
        sizes += [_size("validation shard", unweighted, engine, placed_val)] if validation else []
        run = Run(net, training, options, n_parts, outer)
        file, saved = _checkpoint(run, sizes)
        run.begin(int.from_bytes(rng.bytes(8), "little"), saved)
        begin -= run.history.seconds
        try:
            while not run.history.stopped_by:
                run.round(engine, placed)
                run.history.seconds = time.perf_counter() - begin
                run.end_round()
                if file is not None:
                    file.write(run.state(), len(run.history.loss))
        finally:
            run.history.seconds = time.perf_counter() - begin
            run.epoch_end.close()
    if run.history.val_loss and run.epoch_end.best is None:
        diagnosis.warn_never_finite("val_loss", "validation", run.history.val_loss[-1], stacklevel=4)
    return run.history


class Run:
    """A training in rounds in progress."""

    def __init__(
        self, net: Network, training: LocalTraining, options: FitOptions, n_parts: int,
        outer: Nesterov | None,
    ) -> None:  # fmt: skip
        self.net = net
        self.training = training
        self.options = options
        self.n_parts = n_parts
        self.outer = outer
        self.optimizer = State(net.optimizer(training.optimizer).slots, 0)
        self.velocity = np.zeros(net.n_params)
        self.schedule = schedule_of(training.optimizer.rate).start()
        self.history = RoundHistory(training.loss.name)
        self.seed = 0

    def begin(self, seed: int, saved: dict[str, Any] | None) -> None:
        """Begin a training, or continue from what `state` returned."""
        self.seed = seed
        self.epoch_end = EpochEnd(self.net, self.options, self.history)
        if saved is None:
            return
        self.net.params[:] = saved["params"]
        self.optimizer = State(saved["slots"], saved["n_steps"])
        self.velocity, self.seed = saved["velocity"], saved["seed"]
        restore_schedule(self.schedule, saved["schedule"])
        vars(self.history).update(vars(saved["history"]))
        self.epoch_end.restore(saved["epoch_end"])

    def round(self, engine: Engine, placed: list[Any]) -> None:
        """Do a round, and record it."""
        begin = time.perf_counter()
        epoch, part = divmod(len(self.history.loss), self.n_parts)
        steps = RoundPart(epoch, part, self.n_parts, self.schedule)
        old = self.net.params.copy()
        total = engine.total(
            partial(_local_round, self.training, self.seed), placed, old, self.optimizer, steps
        )
        mean, self.optimizer = total.mean(old, self.optimizer)
        if self.outer is not None and total.weight:
            mean, self.velocity = self.outer.step(old.astype(np.float64), mean, self.velocity)
        with np.errstate(over="ignore"):
            new = mean.astype(old.dtype)
        if not np.isfinite(new).all():
            raise DivergedError(epoch, total.mean_loss, "the average has a weight that is not finite")
        self.net.params[:] = new
        history = self.history
        history.loss.append(total.mean_loss)
        history.rate.append(total.rate)
        history.n_rows.append(total.n_rows)
        history.n_skipped.append(total.n_skipped)
        history.round_seconds.append(time.perf_counter() - begin)

    def end_round(self) -> None:
        """Validate, tell the callbacks, and decide whether to stop."""
        history, limit = self.history, self.options.max_seconds
        if len(history.loss) >= self.options.epochs:
            history.stopped_by = "epochs"
        elif limit is not None and history.seconds >= limit:
            history.stopped_by = "max_seconds"
        self.epoch_end.validate()
        if len(history.loss) % self.n_parts == 0:
            self.schedule.observe(history.val_loss[-1] if history.val_loss else self._loss_of_epoch())
        self.epoch_end.notify()

    def _loss_of_epoch(self) -> float:
        """Return the mean loss of the rounds of the epoch that has ended, by their rows."""
        losses, n_rows = (each[-self.n_parts :] for each in (self.history.loss, self.history.n_rows))
        total = sum(loss * n for loss, n in zip(losses, n_rows, strict=True) if n)
        return total / sum(n_rows) if any(n_rows) else float("nan")

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {
            "params": self.net.params, "slots": self.optimizer.slots, "n_steps": self.optimizer.n_steps,
            "velocity": self.velocity, "seed": self.seed, "history": self.history,
            "schedule": kept_schedule(self.schedule), "epoch_end": self.epoch_end.state(),
        }  # fmt: skip


def is_auto(value: Any) -> bool:
    """Return whether an option is left to the number of shards."""
    return isinstance(value, str) and value == "auto"


def _listed(name: str, given: Any) -> list[Any]:
    """Return a list, or raise for what can only be one shard."""
    if isinstance(given, (tuple, list)) and not any(isinstance(each, np.ndarray) for each in given):
        return list(given)
    raise TypeError(f"{name} must be a list of shards such as (X, y), got {type(given).__name__}")


def _val_loss(net: Network, training: LocalTraining, engine: Engine, placed: list[Any]) -> float:
    """Return the mean loss of placed validation shards with the present parameters."""
    total = engine.total(partial(_validate, training), placed, net.params.copy())
    return total.loss / total.weight


def _size(what: str, training: LocalTraining, engine: Engine, placed: list[Any]) -> str:
    """Return how many rows placed shards have, in words, or raise for none."""
    total = engine.total(partial(_size_of, training, what), placed)
    if not total.weight:
        raise ValueError(f"{what}s must have at least one row with a weight above 0, got none")
    return f"{len(placed)} {what}s of {total.n_rows} rows"


def _checkpoint(run: Run, sizes: list[str]) -> tuple[CheckpointFile | None, dict[str, Any] | None]:
    """Return the file that the options ask for, and the state to resume from; None where there is none."""
    options, training = run.options, run.training
    if options.checkpoint is None:
        return None, None
    fingerprint = {
        "network": f"{training.n_inputs} -> {training.layers}, {training.dtype}, frozen {training.frozen}",
        "loss": f"{training.loss.name} {training.loss.par}",
        "penalties": f"alpha {training.alpha:g}, l1 {training.l1:g}",
        # A schedule of a user may have no repr but its address, which differs in each process
        "optimizer": re.sub(" at 0x[0-9a-f]+", "", repr(training.optimizer)),
        "weight_decay": f"{training.weight_decay}",
        "class_weight": f"{training.class_weight}",
        "clip_norm": f"{training.clip_norm}",
        "batch_size": f"{training.batch_size}",
        "epochs": f"{options.epochs // run.n_parts}",
        "rounds_per_epoch": f"{run.n_parts}",
        "outer": f"{run.outer!r}",
        "patience": f"{options.patience}, min_delta {options.min_delta:g}",
        "shards": ", ".join(sizes),
    }
    file = CheckpointFile(options.checkpoint, 1, fingerprint)
    file.describe({"schedule": kept_schedule(run.schedule)})  # refuses what a file cannot hold
    return file, file.read() if options.resume else None


# What an engine calls with the number of a shard. They are functions of the module, which pickle.


@contextmanager
def _named(what: str, k: int) -> Iterator[None]:
    """Begin the message of an error with the number of a shard."""
    try:
        yield
    except DivergedError as error:
        error.args = (f"{what} {k}: {error}",)
        raise
    except (TypeError, ValueError) as error:
        # A subclass may need other arguments, such as UnicodeDecodeError
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{what} {k}: {error}") from error
    except Exception as error:
        error.add_note(f"in {what} {k}")
        raise


def _place(training: LocalTraining, what: str, k: int, given: Any) -> Any:
    with _named(what, k):
        return training.shard(given)


def _size_of(training: LocalTraining, what: str, k: int, shard: Any) -> LocalResult:
    with _named(what, k):
        return training.size_of(shard)


def _local_round(
    training: LocalTraining, seed: int, k: int, shard: Any, params: np.ndarray, state: State, steps: RoundPart
) -> LocalResult:
    with _named("shard", k):
        return training.local_round(params, state, shard, (seed, k), steps)


def _validate(training: LocalTraining, k: int, shard: Any, params: np.ndarray) -> LocalResult:
    with _named("validation shard", k):
        return training.loss_of(params, shard)

"""What a worker does in a round: steps on the rows of one shard, a function of its arguments alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import _checks as checks
from .. import _core, optimizers
from .. import _threads as threads
from ..data import arrays as data
from ..data.arrays import Targets
from ..data.sparse import SparseRows
from ..data.streams import (
    BlockReader,
    Buffer,
    Position,
    Stream,
    StreamedRows,
    first_rows,
    order_of_blocks,
    place_of,
    rows_per_buffer,
    stream_of,
)
from ..layers import Dense, Dropout
from ..losses import Loss, LossSpec, loss_of
from ..network import Network
from ..schedules import Schedule, schedule_of
from ..training import diagnosis
from ..training.checkpoint import RunningAverage
from ..training.history import DivergedError
from ..training.optimizer_state import OptimizerState, frozen_of
from ..training.options import FitOptions
from ..training.problem import Problem
from ..training.stream import UNKNOWN, check_schedule
from ..training.trainers import trainer_for


class State(NamedTuple):
    """The state of the optimizer, which is averaged as the parameters are.

    Attributes
    ----------
    slots : ndarray (n_slots, P)
        As in `OptimizerState`.
    n_steps : int
        Updates done, on the shard that has done most of them.
    """

    slots: np.ndarray
    n_steps: int


class RoundPart(NamedTuple):
    """Which steps a round does: an epoch of a shard has n_parts parts, and a round does one of them.

    Attributes
    ----------
    epoch, part, n_parts : int
        Numbers from 0.
    rate : Schedule
        The learning rate.
    """

    epoch: int
    part: int
    n_parts: int
    rate: Schedule

    def share(self, n: int) -> range:
        """Return the numbers of the steps, or of the blocks, of this part, of n in an epoch.

        With fewer than n_parts, the first part has one, and some parts have none.

        Examples
        --------
        >>> from dnn import Constant
        >>> [list(RoundPart(0, part, 2, Constant(0.1)).share(5)) for part in range(2)]
        [[0, 1, 2], [3, 4]]
        """
        return range(-(-n * self.part // self.n_parts), -(-n * (self.part + 1) // self.n_parts))


class LocalResult(NamedTuple):
    """What a shard gives in a round.

    Attributes
    ----------
    params : ndarray (P,)
        The parameters after the steps.
    state : State
    n_rows, n_skipped : int
        Rows trained on, and bad rows of a `Stream` that were left out.
    weight : float
        Sum of the sample weights of the rows; without weights their number.
    loss : float
        Mean over the rows of the cost of their batch before its step, penalties included.
    rate : float
        The learning rate of the first step.
    """

    params: np.ndarray
    state: State
    n_rows: int
    n_skipped: int
    weight: float
    loss: float
    rate: float = float("nan")


class Batches(NamedTuple):
    """Batches of rows to do steps on: some of those that an order of the rows has."""

    rows: Rows
    order: np.ndarray
    which: range
    first: int  # number of the first step, for the learning rate
    steps_per_epoch: int
    n_skipped: int  # bad rows that were left out


class Rows(NamedTuple):
    """A shard in memory, checked and in the dtype of the network."""

    X: np.ndarray | SparseRows
    targets: Targets
    weights: np.ndarray | None

    def __reduce__(self) -> tuple[Any, ...]:
        return _rows_again, (self.X, *self.targets, self.weights)

    @property
    def weight(self) -> float:
        """The sum of the weights."""
        return float(len(self.X) if self.weights is None else self.weights.sum())


@dataclass(frozen=True)
class LocalTraining:
    """How every shard is trained: a network without its parameters, and some of the options of `Network.fit`.

    It is small, and pickles. `of` makes one from a network.
    """

    n_inputs: int
    layers: tuple[Dense | Dropout, ...]
    dtype: str
    frozen: tuple[int, ...]
    loss: LossSpec
    optimizer: optimizers.Optimizer
    batch_size: int
    class_weight: dict[Any, float] | None
    alpha: float
    l1: float
    clip_norm: float | None
    n_threads: int
    divisor: int = 1  # of the losses that are reported, as in Problem
    weight_decay: float | None = None  # replaces that of the optimizer

    @classmethod
    def of(
        cls,
        net: Network,
        *,
        loss: Loss = "auto",
        optimizer: str | optimizers.Optimizer = "adam",
        batch_size: int = 16,
        class_weight: dict[Any, float] | None = None,
        alpha: float = 0.0,
        l1: float = 0.0,
        clip_norm: float | None = None,
        n_threads: int | str = 1,
    ) -> LocalTraining:
        """Return how the shards of a network are trained; the options are those of `Network.fit`.

        Raises
        ------
        TypeError, ValueError
            For options out of range, L-BFGS, and class_weight="balanced".

        Examples
        --------
        >>> from dnn import Network
        >>> LocalTraining.of(Network([4, 2], output="softmax"), batch_size=8).loss.name
        'log_loss'
        """
        given: Any = class_weight
        if given is not None and not isinstance(given, Mapping):
            kind_of_error = ValueError if given == "balanced" else TypeError
            raise kind_of_error(f"class_weight must be a dict or None in rounds, got {given!r}")
        kind = optimizers.optimizer_of(optimizer)
        if isinstance(kind, optimizers.LBFGS):
            raise ValueError("optimizer must be one that takes steps in rounds, got LBFGS")
        FitOptions(clip_norm=clip_norm)
        spec: list[Dense | Dropout] = []
        for layer, rate in zip(net.layers, net.dropout, strict=True):
            spec += [Dropout(rate), layer] if rate else [layer]
        return cls(
            net.n_inputs, tuple(spec), net.dtype.name, tuple(np.flatnonzero(net.frozen).tolist()),
            loss_of(loss, net.layers[-1].info.name, net.n_outputs), kind,
            checks.check_integer("batch_size", batch_size, 1), class_weight,
            checks.check_real("alpha", alpha, 0.0), checks.check_real("l1", l1, 0.0), clip_norm,
            threads.check_n_threads(n_threads),
        )  # fmt: skip

    def network(self, params: np.ndarray | None = None) -> Network:
        """Return the network with these parameters."""
        net = Network(self.n_inputs, self.layers, init="zeros", dtype=self.dtype)
        if self.frozen:
            net.freeze(*self.frozen)
        if params is not None:
            net.params[:] = params
        return net

    def shard(self, given: Any) -> Rows | Stream:
        """Return a shard as `local_round` takes it: arrays are checked and converted, once for all rounds.

        Parameters
        ----------
        given : tuple of array_like, RowSource or Stream
            (X, y) or (X, y, sample_weight), with any number of rows, also none; or rows that are read block
            by block in each round, without reading ahead, so that a shard may be larger than memory. X may be
            `SparseRows`.

        Raises
        ------
        TypeError, ValueError
            As in `Network.fit`.
        """
        if isinstance(given, Rows):
            return given
        stream = stream_of(given)
        if stream is not None:
            check_schedule(schedule_of(self.optimizer.rate).start(), self._streamed(stream))
            return stream
        if not isinstance(given, tuple) or len(given) not in (2, 3):
            raise TypeError(
                "a shard must be (X, y), (X, y, sample_weight), a RowSource or a Stream, got "
                f"{type(given).__name__}"
            )
        X, y, w = (*given, None)[:3]
        n_outputs, dtype = self.n_outputs, np.dtype(self.dtype)
        if isinstance(X, SparseRows):
            if X.shape[1] != self.n_inputs:
                raise ValueError(f"X must have {self.n_inputs} columns, got {X.shape[1]}")
            rows: Any = X.astype(dtype)
        else:
            rows = data.features(X, dtype, self.n_inputs)[:]
        if not len(rows):
            return self._no_rows()
        targets = data.targets(y, self.loss, len(rows), n_outputs, dtype)
        if targets.Y is not None:
            targets = targets._replace(Y=targets.Y[:])
        of_classes = data.class_weights(self.class_weight, targets, n_outputs)
        if np.shape(w) == (len(rows),) and not np.any(w):
            return self._no_rows()
        kinds = [each for each in (data.weights(w, len(rows)), of_classes) if each is not None]
        weights = data.product_of_weights(*kinds) if kinds else None
        return Rows(rows, targets, weights) if weights is None or weights.any() else self._no_rows()

    @property
    def n_outputs(self) -> int:
        """Number of outputs."""
        last = self.layers[-1]
        assert isinstance(last, Dense)
        return last.units

    def local_round(
        self, params: np.ndarray, state: State, shard: Rows | Stream, seed: tuple[int, ...], steps: RoundPart
    ) -> LocalResult:
        """Train from these parameters on one part of an epoch of a shard; nothing that is given is changed.

        Parameters
        ----------
        params : ndarray (P,)
        state : State
        shard : Rows or Stream
            Of `shard`.
        seed : tuple of int
            Of the shard: the order of its rows depends on it and on the epoch, its dropout on it alone.
        steps : RoundPart

        Raises
        ------
        DivergedError
            If a loss is not finite.
        """
        net = self.network(params)
        optimizer = net.optimizer(self.optimizer)
        optimizer.slots[...] = state.slots
        optimizer.n_steps = state.n_steps
        if self.weight_decay is not None:
            optimizer.weight_decay = self.weight_decay
        if net.plan.dropout:
            optimizer.seed = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
        rng = np.random.default_rng([*seed, steps.epoch])
        n_rows = n_skipped = 0
        weight = cost = 0.0
        rate = float("nan")
        for batches in self._batches(shard, rng, steps, state):
            rows, order, which, *_ = batches
            n_skipped += batches.n_skipped
            if not which:
                continue  # the buffer has bad rows only
            rates = steps.rate.rates(batches.first, len(which), batches.steps_per_epoch)
            rate = rate if n_rows else float(rates[0])
            problem = Problem(
                net.plan, net.params, rows.X, rows.targets, rows.weights, self.loss, self.alpha, self.l1,
                self.n_threads, self.divisor,
            )  # fmt: skip
            costs = self._steps(net, problem, optimizer, order, rates, which.start, steps.epoch)
            done = order[which.start * self.batch_size : which.stop * self.batch_size]
            sizes = np.full(len(which), self.batch_size)
            sizes[-1] = len(done) - sizes[:-1].sum()
            n_rows += len(done)
            weight += len(done) if rows.weights is None else float(rows.weights[done].sum())
            cost += float((costs * sizes).sum())
        if not _core.all_finite(net.params):
            raise DivergedError(steps.epoch, cost / max(n_rows, 1), "a weight is not finite")
        after = State(optimizer.slots, optimizer.n_steps)
        return LocalResult(net.params, after, n_rows, n_skipped, weight, cost / max(n_rows, 1), rate)

    def size_of(self, shard: Rows | Stream) -> LocalResult:
        """Return the number of rows of a shard, and their weight; the first rows of a source are checked.

        A source that does not know its number of rows counts as one.
        """
        if isinstance(shard, Rows):
            n_rows, weight = len(shard.X), shard.weight
        else:
            first_rows(self._streamed(shard))
            n_rows = shard.source.n_rows or 1
            weight = float(n_rows)
        none = np.zeros(0)
        return LocalResult(none, State(none, 0), n_rows, 0, weight, 0.0)

    def loss_of(self, params: np.ndarray, shard: Rows | Stream) -> LocalResult:
        """Return the loss on a validation shard, without penalties, and no parameters.

        ``loss * n_rows / weight`` is the mean of the losses by weight.
        """
        net = self.network(params)
        n_rows = n_skipped = 0
        weight = total = 0.0
        for rows, skipped in self._all_rows(shard):
            problem = Problem(net.plan, net.params, rows.X, rows.targets, rows.weights, self.loss)
            n_rows, n_skipped = n_rows + len(rows.X), n_skipped + skipped
            if rows.weight:
                weight += rows.weight
                total += problem.mean_loss() * rows.weight
        none = np.zeros(0, net.dtype)
        return LocalResult(none, State(none, 0), n_rows, n_skipped, weight, total / max(n_rows, 1))

    def _steps(
        self, net: Network, problem: Problem, optimizer: OptimizerState, order: np.ndarray,
        rates: np.ndarray, first: int, epoch: int,
    ) -> np.ndarray:  # fmt: skip
        """Do the steps of the batches of an order from number `first` on; return their costs."""
        options = FitOptions(batch_size=self.batch_size, clip_norm=self.clip_norm)
        batch = min(self.batch_size, len(order))
        trainer = trainer_for(
            problem, optimizer, options, batch, RunningAverage(net.params, None), frozen_of(net)
        )
        of_steps = np.zeros((len(rates), 2))
        try:
            n_good = trainer.steps(order[None, :], rates, of_steps, first)
        finally:
            optimizer.n_steps = trainer.step
            trainer.close()
        costs: np.ndarray = of_steps[:, 0] / problem.divisor + of_steps[:, 1]
        if n_good < len(rates):
            good = costs[:n_good]
            what = "the gradient" if np.isfinite(costs[n_good]) else f"a batch had the loss {costs[n_good]}"
            findings = diagnosis.findings(net, problem, good.tolist())
            last = float(good[-1]) if n_good else float("nan")
            raise DivergedError(epoch, last, f"{what} is not finite", findings)
        return costs

    def _batches(
        self, shard: Rows | Stream, rng: np.random.Generator, steps: RoundPart, state: State
    ) -> Iterator[Batches]:
        """Yield the batches of a part of an epoch; of a source those of each buffer."""
        if isinstance(shard, Rows):
            n = len(shard.X)
            steps_per_epoch = -(-n // self.batch_size)
            which = steps.share(steps_per_epoch)
            if which:
                first = steps.epoch * steps_per_epoch + which.start
                yield Batches(shard, rng.permutation(n), which, first, steps_per_epoch, 0)
            return
        n_rows = shard.source.n_rows
        if n_rows is None:
            steps_per_epoch, first = UNKNOWN, state.n_steps
        else:
            steps_per_epoch = -(-n_rows // self.batch_size)
            first = steps.epoch * steps_per_epoch + steps.share(steps_per_epoch).start
        order = order_of_blocks(shard.source.n_blocks, steps.n_parts, rng).tolist()
        blocks = [order[i] for i in steps.share(len(order))]
        for rows, n_skipped in self._read(shard, blocks, steps.epoch):
            n = len(rows.X)
            which = range(-(-n // self.batch_size))
            yield Batches(rows, rng.permutation(n), which, first, steps_per_epoch, n_skipped)
            first += len(which)

    def _all_rows(self, shard: Rows | Stream) -> Iterator[tuple[Rows, int]]:
        if isinstance(shard, Rows):
            yield shard, 0
        else:
            yield from self._read(shard, list(range(shard.source.n_blocks)))

    def _streamed(self, stream: Stream) -> StreamedRows:
        return StreamedRows(
            stream, self.loss, self.n_inputs, self.n_outputs, np.dtype(self.dtype), self.class_weight
        )

    def _read(self, stream: Stream, blocks: list[int], epoch: int = 0) -> Iterator[tuple[Rows, int]]:
        """Yield the rows of some blocks, a buffer at a time, and how many bad rows were left out."""
        if not blocks:
            return
        rows = self._streamed(stream)
        n = rows_per_buffer(stream, self.batch_size, self.n_inputs * rows.dtype.itemsize)
        reader = BlockReader(rows, n, None, epoch + 1, Position(epoch), blocks=blocks)
        buffer = Buffer(n, rows)
        try:
            while (filled := reader.fill(buffer)) is not None:
                yield Rows(*filled.arrays()), filled.n_skipped
        finally:
            reader.close()

    def _no_rows(self) -> Rows:
        X = np.zeros((0, self.n_inputs), self.dtype)
        return Rows(X, Targets(), None)


def _rows_again(*arrays: Any) -> Rows:
    """Return rows that come from another process: their memory may begin anywhere, which the core refuses."""
    X, Y, classes, any_, weights = (
        np.require(each, requirements=("C", "A")) if isinstance(each, np.ndarray) else each for each in arrays
    )
    return Rows(X, Targets(Y, classes, any_), weights)


class BlocksOf:
    """A source of some of the blocks of another one.

    Parameters
    ----------
    source : RowSource
    blocks : list of int
        Their numbers.

    Attributes
    ----------
    n_rows : int or None
        Number of rows if all blocks of the source have about as many, which learning rates depend on.

    Examples
    --------
    >>> from dnn import sources
    >>> whole = sources.arrays([[1], [2], [3]], [1, 2, 3], block_rows=1)
    >>> [y.tolist() for block in range(2) for X, y in BlocksOf(whole, [2, 0]).read(block)]
    [[3], [1]]
    """

    def __init__(self, source: Any, blocks: list[int]) -> None:
        self.source = source
        self.blocks = blocks
        self.n_blocks = len(blocks)
        whole = source.n_rows
        self.n_rows = None if whole is None else max(1, whole * self.n_blocks // source.n_blocks)
        if hasattr(source, "features"):
            self.features = source.features

    def read(self, block: int) -> Iterator[tuple[Any, ...]]:
        """Yield the parts of a block."""
        yield from self.source.read(self.blocks[block])

    def place(self, block: int, row: int) -> str:
        """Return the words for a row."""
        return place_of(Stream(self.source), self.blocks[block], row)

"""Training in rounds on the machines of a Dask cluster, as ordinary tasks (needs ``dnn-core[dask]``).

A round is a small graph: the parameters, one task per shard, and a tree of sums. Every task depends on its
arguments alone, so that Dask computes it again where a worker dies, and workers may join or leave at any
time. What a round needs of the one before passes through this process; so a task never depends on more than
one round, and the shards stay on the workers.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from .. import _checks as checks
from .._optional import need
from ..data.streams import read_alike, stream_of
from ..network import Network
from . import rounds
from .averages import groups_of, total_of
from .local import BlocksOf, LocalResult
from .rounds import RoundHistory, Total

POLL = 0.5  # seconds between two looks at the states of tasks, which the client knows
ANSWER = 5.0  # seconds in which the scheduler says how many workers there are
ATTEMPTS = 3  # to fetch a result
SHARDS = 16  # few, as every round has a task and a result for each; accuracy was measured up to 64


class Workers(rounds.Engine):
    """An engine of rounds: the workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client or None, default None
        None: the present client.
    timeout : float above 0, default 600
        Seconds after which a wait ends with TimeoutError if no task finishes in them; longer than the slowest
        shard takes in a round, and than workers need to start.

    Raises
    ------
    ImportError
        If Dask is not installed.
    TypeError, ValueError
        If there is no client, or none that waits.

    Examples
    --------
    >>> from distributed import Client
    >>> from dnn import Network
    >>> from dnn.distributed import rounds
    >>> from dnn.distributed.dask import Workers
    >>> shards = [([[1.0], [2.0]], [2.0, 4.0]), ([[3.0]], [6.0])]
    >>> with Client(processes=False, n_workers=1, dashboard_address=":0") as client:
    ...     net = Network([1, 1], init="zeros")
    ...     history = rounds.fit(net, shards, epochs=3, engine=Workers(client), random_state=0)
    >>> history.stopped_by
    'epochs'
    """

    def __init__(self, client: Any = None, *, timeout: float = 600.0) -> None:
        self.client = client_of(client)
        self.timeout = checks.check_real("timeout", timeout, 0.0, above=True)
        self._placed: list[Any] = []
        self._checked = False

    def place(self, function: Callable[[int, Any], Any], items: Sequence[Any]) -> list[Any]:
        """Return futures of ``function(k, item)``, kept by the workers; items may have Delayed parts."""
        self.check()
        delayed = need("dask", "Workers", "dask").delayed
        tasks = [
            delayed(function)(k, item, dask_key_name=f"dnn_shard-{k}-{uuid.uuid4().hex}")
            for k, item in enumerate(items)
        ]
        with self._connected():
            futures: list[Any] = self.client.compute(tasks) if tasks else []
        self._placed += futures
        self.wait(futures)
        return futures

    def total(self, function: Callable[..., LocalResult], placed: list[Any], *common: Any) -> Total:
        """Return the sum of ``function(k, shard, *common)``: a task for each shard, and a tree of sums."""
        futures: list[Any] = []

        def tasks(f: Callable[..., Any], *items: Sequence[Any], **options: Any) -> list[Any]:
            made: list[Any] = self.client.map(f, *items, pure=False, **options)
            futures.extend(made)
            return made

        try:
            with self._connected(), _large_graphs():
                # A task with the parameters in it, not scattered data, which is lost with its worker
                shared = tasks(_same, [common], key="dnn_params")[0]
                call, numbers = partial(_call, function), range(len(placed))
                results = tasks(call, numbers, placed, common=shared, key="dnn_local_round")
                sums = tasks(total_of, groups_of(results), key="dnn_sum")
                while len(sums) > 1:
                    sums = tasks(total_of, groups_of(sums), key="dnn_sum")
            return self._result(sums[0], futures)
        finally:
            release(futures)  # a traceback would keep them, and the tasks would go on after Ctrl-C

    def check(self) -> None:
        """Raise ImportError, once, if a worker has no dnn: a task with a function of dnn would end it."""
        if self._checked:
            return
        with self._connected():
            future = self.client.submit(import_module, "dnn", pure=False)
        try:
            self.wait([future])
        except ModuleNotFoundError as error:
            raise ImportError(
                f"workers and scheduler of Dask need dnn: pip install 'dnn-core[dask]' there ({error})"
            ) from error
        finally:
            release([future])
        self._checked = True

    def wait(self, futures: list[Any], last: Any = None) -> None:
        """Wait until all futures, or the last of them, are done; raise what a task raised, or why none is."""
        distributed = need("distributed", "Workers", "dask")
        wanted = futures if last is None else [last]
        finished, since = -1, time.monotonic()
        while True:
            if all(future.status == "finished" for future in wanted):
                return
            states = [future.status for future in futures]
            if "error" in states:
                raise self._error(futures[states.index("error")])
            if "cancelled" in states or self.client.status in ("closing", "closed"):
                raise _gone()
            if states.count("finished") != finished:
                finished, since = states.count("finished"), time.monotonic()
            elif time.monotonic() - since > self.timeout:
                raise TimeoutError(
                    f"no task finished in timeout={self.timeout:g} s, of {len(states) - finished} that are "
                    f"left, with {self._n_workers()}"
                )
            with suppress(TimeoutError, distributed.CancelledError):
                distributed.wait(wanted, timeout=POLL)

    def release(self) -> None:
        """Let the workers forget the shards that were placed."""
        release(self._placed)
        self._placed.clear()

    def _result(self, last: Any, futures: list[Any]) -> Total:
        """Return the result of a future; where its worker dies before it is sent, it is computed again."""
        for attempt in range(ATTEMPTS):
            self.wait(futures, last)
            try:
                found: Total = last.result(timeout=self.timeout)
                return found
            except Exception as error:  # the next wait says what it means
                if attempt == ATTEMPTS - 1:
                    raise ConnectionError(f"the sum of a round could not be fetched: {error!r}") from error
        raise AssertionError

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """Raise a clear error if tasks cannot be sent."""
        distributed = need("distributed", "Workers", "dask")
        if self.client.status in ("closing", "closed"):
            raise _gone()
        try:
            yield
        except distributed.CancelledError as error:
            raise _gone() from error
        except TypeError as error:
            why: BaseException = error
            while (before := why.__cause__ or why.__context__) is not None:
                why = before
            raise TypeError(f"shards and options must be such that pickle can send them: {why}") from error

    def _n_workers(self) -> str:
        """Return how many workers there are, in words."""
        try:
            n = len(self.client.sync(self.client.scheduler.ncores, callback_timeout=ANSWER))
        except (OSError, TimeoutError):
            return "a scheduler that does not answer"
        return f"{n} worker{'s' * (n != 1)}" if n else "no worker"

    def _error(self, future: Any) -> BaseException:
        """Return what a task raised; of a task whose workers died, what that means."""
        killed = need("distributed", "Workers", "dask").KilledWorker
        error: BaseException = future.exception(timeout=self.timeout)
        if isinstance(error, killed):
            found = RuntimeError(
                "a task of a round was given up, because the workers that computed it died one after "
                "another; their logs say why: where a shard is too large for their memory, more shards help"
            )
            found.__cause__ = error
            return found
        return error


def release(futures: list[Any]) -> None:
    """Let a cluster forget tasks, or not begin them."""
    for future in futures:
        future.release()


def _gone() -> ConnectionError:
    return ConnectionError("the scheduler of Dask is gone or was restarted, or the client was closed")


def client_of(client: Any) -> Any:
    """Return a client of Dask, the present one if it is None."""
    distributed = need("distributed", "dnn.distributed.dask", "dask")
    if client is None:
        try:
            return distributed.get_client(timeout=5)
        except ValueError:
            raise ValueError(
                "client must be given where there is none yet: client = distributed.Client(...)"
            ) from None
    if not isinstance(client, distributed.Client):
        raise TypeError(f"client must be a distributed.Client or None, got {client!r}")
    if client.asynchronous:
        raise TypeError("client must be one that waits, got one with asynchronous=True")
    return client


def fit(
    net: Network,
    X: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    X_val: Any = None,
    y_val: Any = None,
    sample_weight_val: Any = None,
    n_shards: int = SHARDS,
    client: Any = None,
    timeout: float = 600.0,
    **options: Any,
) -> RoundHistory:
    """Train a network on data of a Dask cluster in rounds, in place, and return what happened.

    Parameters
    ----------
    net : Network
    X, y, sample_weight
        Arrays or dataframes of Dask, in chunks of the same rows; or X alone, a `RowSource` or `Stream` whose
        files every worker can read, such as ``dnn.sources.parquet("/data", "label")``. Arrays of
        Dask are kept in the memory of the workers; a source is read again in each round.
    X_val, y_val, sample_weight_val : default None
        A validation set, of the same kinds.
    n_shards : int, at least 1, default 16
        Chunks, or blocks of a source, are divided among so many shards, at most one each: chunk i belongs to
        shard i mod n_shards, so that shards are alike. The result depends on it, but not on the number of
        workers; at least as many as workers have threads keep all of them busy.
    client : distributed.Client or None, default None
        None: the present one.
    timeout : float above 0, default 600
        See `Workers`.
    **options
        Of `dnn.distributed.rounds.fit`.

    Raises
    ------
    ConnectionError, TimeoutError
        If the scheduler or all workers are gone; a checkpoint then resumes the training.
    TypeError, ValueError
        As in `dnn.distributed.rounds.fit`.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from dnn import SGD, Network
    >>> from dnn.distributed import dask
    >>> with Client(processes=False, n_workers=1, dashboard_address=":0") as client:
    ...     X = da.random.default_rng(0).normal(size=(1000, 3), chunks=(100, 3))
    ...     net = Network([3, 1], random_state=0)
    ...     history = dask.fit(net, X, X.sum(axis=1), optimizer=SGD(0.1), random_state=0)
    >>> net.weights[0].round(2).ravel().tolist()
    [1.0, 1.0, 1.0]
    """
    engine = Workers(client, timeout=timeout)
    shards = shards_of(X, y, sample_weight, n_shards)
    validation = []
    if X_val is not None or y_val is not None:
        validation = shards_of(X_val, y_val, sample_weight_val, n_shards, "_val")
    try:
        return rounds.fit(net, shards, engine=engine, validation=validation, **options)
    finally:
        engine.release()


def shards_of(X: Any, y: Any, sample_weight: Any, n_shards: int, suffix: str = "") -> list[Any]:
    """Return shards of data of Dask, or of a source; the suffix is that of the names.

    Examples
    --------
    >>> import dask.array as da
    >>> X = da.ones((10, 2), chunks=(3, 2))
    >>> len(shards_of(X, X[:, 0], None, 16)), len(shards_of(X, X[:, 0], None, 3))
    (4, 3)
    """
    checks.check_integer("n_shards", n_shards, 1)
    stream = stream_of(X)
    if stream is not None:
        for name, given in (("y", y), ("sample_weight", sample_weight)):
            if given is not None:
                raise ValueError(f"{name}{suffix} must not be given with a source, whose blocks have it")
        n = min(n_shards, stream.source.n_blocks)
        blocks = (list(range(k, stream.source.n_blocks, n)) for k in range(n))
        return [read_alike(stream, BlocksOf(stream.source, each)) for each in blocks]
    chunks = chunks_of(X, y, sample_weight, suffix)
    n = min(n_shards, len(chunks))
    join = need("dask", "dnn.distributed.dask", "dask").delayed(joined, pure=False)
    return [join(chunks[k::n]) for k in range(n)]


def chunks_of(X: Any, y: Any, sample_weight: Any, suffix: str = "") -> list[tuple[Any, ...]]:
    """Return the chunks (X, y) or (X, y, sample_weight) of data of Dask, as Delayed."""
    given = {"X": X, "y": y, **({} if sample_weight is None else {"sample_weight": sample_weight})}
    lists = {}
    for name, each in given.items():
        if not hasattr(each, "to_delayed"):
            raise TypeError(
                f"{name}{suffix} must be an array or a dataframe of Dask, got {type(each).__name__}: "
                "dask.array.from_array makes one of an array in memory"
            )
        if getattr(each, "ndim", 0) == 2 and hasattr(each, "rechunk"):
            each = each.rechunk({1: -1})
        lists[name] = np.asarray(each.to_delayed(), dtype=object).ravel().tolist()
        sizes, wanted = (getattr(which, "chunks", ((),))[0] for which in (each, X))
        known = not (np.isnan(sizes).any() or np.isnan(wanted).any()) if sizes and wanted else False
        if len(lists[name]) != len(lists["X"]) or (known and sizes != wanted):
            raise ValueError(
                f"{name}{suffix} must have the chunks of rows of X{suffix}, {_shown(wanted, lists['X'])}, "
                f"got {_shown(sizes, lists[name])}: rechunk it"
            )
        known = all(getattr(which, "known_divisions", False) for which in (each, X))
        if known and each.divisions != X.divisions:
            raise ValueError(f"{name}{suffix} must have the divisions of X{suffix}: repartition it")
    return list(zip(*lists.values(), strict=True))


def _shown(sizes: Any, chunks: list[Any]) -> str:
    return f"{len(chunks)}" + (
        f" of {', '.join(map(str, sizes[:4]))}{' ...' * (len(sizes) > 4)}" * bool(sizes)
    )


# Tasks. They are functions of the module, which pickle.


def joined(chunks: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return the arrays or dataframes of some chunks, each in one piece.

    Examples
    --------
    >>> [array.tolist() for array in joined([([[1]], [2]), ([[3]], [4])])]
    [[[1], [3]], [2, 4]]
    """
    return tuple(map(_in_one_piece, zip(*chunks, strict=True)))


def _in_one_piece(parts: tuple[Any, ...]) -> Any:
    if hasattr(parts[0], "iloc"):  # pandas, whose columns have names and dtypes
        return need("pandas", "a dataframe of Dask", "dask").concat(parts)
    arrays = [np.asarray(part) for part in parts]
    if not all(array.ndim for array in arrays):
        raise TypeError(f"the chunks of X and y must be arrays of NumPy, got {type(parts[0]).__name__}")
    return np.concatenate(arrays)


def _same(common: tuple[Any, ...]) -> tuple[Any, ...]:
    return common


def _call(function: Callable[..., LocalResult], k: int, shard: Any, common: tuple[Any, ...]) -> LocalResult:
    return function(k, shard, *common)


def _large_graphs() -> Any:
    """Return a context in which Dask does not warn of a graph with the parameters in it."""
    config = need("dask", "dnn.distributed.dask", "dask").config
    return config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"})


def __getattr__(name: str) -> Any:
    """Return an estimator; they are imported when they are first needed, as they need scikit-learn."""
    if name.startswith("Dask"):
        from . import dask_estimators, dask_tables

        return getattr(dask_tables if name.startswith("DaskTable") else dask_estimators, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

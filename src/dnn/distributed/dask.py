"""Training in rounds on the machines of a Dask cluster, as ordinary tasks (needs ``dnn-core[dask]``).

A round is a small graph: the parameters, one task per shard, and a tree of sums. Every task depends on its
arguments alone, so that Dask computes it again where a worker dies, and workers may join or leave at any
time. What a round needs of the one before passes through this process; so a task never depends on more than
one round, and the shards stay on the workers.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .. import _checks as checks
from .._optional import need
from ..data.streams import Stream, stream_of
from ..network import Network
from . import rounds
from .averages import groups_of, total_of
from .local import BlocksOf, LocalResult
from .rounds import RoundHistory, Total

POLL = 0.5  # seconds between two looks at the cluster
SHARDS = 16  # up to which the accuracy was measured to be that of one process


class Workers(rounds.Engine):
    """An engine of rounds: the workers of a Dask cluster.

    Parameters
    ----------
    client : distributed.Client or None, default None
        None: the present client.
    timeout : float above 0, default 600
        Seconds after which a wait ends with TimeoutError if no task finishes and no worker joins; longer than
        the slowest shard takes in a round.

    Raises
    ------
    ImportError
        If Dask is not installed.
    ValueError
        If there is no client.

    Examples
    --------
    >>> from distributed import Client
    >>> from dnn import Network
    >>> from dnn.distributed import rounds
    >>> from dnn.distributed.dask import Workers
    >>> shards = [([[1.0], [2.0]], [2.0, 4.0]), ([[3.0]], [6.0])]
    >>> with Client(processes=False, n_workers=1, dashboard_address=None) as client:
    ...     net = Network([1, 1], init="zeros")
    ...     history = rounds.fit(net, shards, epochs=3, engine=Workers(client), random_state=0)
    >>> history.stopped_by
    'epochs'
    """

    def __init__(self, client: Any = None, *, timeout: float = 600.0) -> None:
        self.client = client_of(client)
        self.timeout = checks.check_real("timeout", timeout, 0.0, above=True)

    def place(self, function: Callable[[int, Any], Any], items: Sequence[Any]) -> list[Any]:
        """Return futures of ``function(k, item)``, kept by the workers; items may have Delayed parts."""
        delayed = need("dask", "Workers", "dask").delayed
        tasks = [
            delayed(function)(k, item, dask_key_name=_key("dnn_shard", k)) for k, item in enumerate(items)
        ]
        with _large_graphs():
            futures: list[Any] = self.client.compute(tasks) if tasks else []
        self.wait(futures)
        return futures

    def total(self, function: Callable[..., LocalResult], placed: list[Any], *common: Any) -> Total:
        """Return the sum of ``function(k, shard, *common)``: a task for each shard, and a tree of sums."""
        submit = partial(self.client.submit, pure=False)
        with _large_graphs():
            # A task with the parameters in it, not scattered data, which is lost with its worker
            shared = submit(_same, common, key=_key("dnn_params"))
            results = [
                submit(_call, function, k, shard, shared, key=_key("dnn_local_round", k))
                for k, shard in enumerate(placed)
            ]
            sums = results
            while len(sums) > 1 or sums is results:
                sums = [
                    submit(total_of, list(group), key=_key("dnn_sum", k))
                    for k, group in enumerate(groups_of(sums))
                ]
        self.wait([*results, *sums])
        found: Total = sums[0].result(timeout=self.timeout)
        return found

    def wait(self, futures: list[Any]) -> None:
        """Wait until futures are done; raise what a task raised, or what became of the cluster."""
        distributed = need("distributed", "Workers", "dask")
        seen: Any = None
        since = time.monotonic()
        while True:
            states = [future.status for future in futures]
            for future, state in zip(futures, states, strict=True):
                if state == "error":
                    raise self._error(future)
                if state in ("cancelled", "lost"):
                    raise ConnectionError(
                        f"a task was {state}: the scheduler of Dask is gone or was restarted"
                    )
            if all(state == "finished" for state in states):
                return
            now = (states.count("finished"), self._workers())
            if now != seen:
                seen, since = now, time.monotonic()
            waited = time.monotonic() - since
            if self.client.status != "running" and waited > min(self.timeout, 30.0):
                raise ConnectionError(f"the scheduler of Dask could not be reached for {waited:.0f} s")
            if waited > self.timeout:
                what = f"{len(now[1])} workers" if now[1] else "no worker"
                raise TimeoutError(
                    f"no task of {len(futures)} finished in timeout={self.timeout:g} s, with {what}"
                )
            left = [future for future, state in zip(futures, states, strict=True) if state != "finished"]
            try:
                distributed.wait(left, timeout=POLL, return_when="FIRST_COMPLETED")
            except (TimeoutError, distributed.TimeoutError):
                pass
            except distributed.CancelledError:
                time.sleep(POLL / 10)  # the states tell

    def _workers(self) -> frozenset[str]:
        """Return the addresses of the workers."""
        return frozenset(self.client.scheduler_info(n_workers=-1).get("workers", ()))

    def _error(self, future: Any) -> BaseException:
        """Return what a task raised; of a task whose workers died, what that means."""
        killed = need("distributed.scheduler", "Workers", "dask").KilledWorker
        error: BaseException = future.exception(timeout=self.timeout)
        if isinstance(error, killed):
            found = RuntimeError(
                "a task of a round was given up, because the workers that computed it died one after "
                "another; where a shard is too large for their memory, more shards help"
            )
            found.__cause__ = error
            return found
        return error


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
        files every worker can read, such as ``dnn.sources.parquet("/data/*.parquet", "label")``. Arrays of
        Dask are kept in the memory of the workers; a source is read again in each round.
    X_val, y_val, sample_weight_val : default None
        A validation set, of the same kinds.
    n_shards : int, at least 1, default 16
        Chunks, or blocks of a source, are divided among so many shards, at most one each: chunk i belongs to
        shard i mod n_shards, so that shards are alike. The result depends on it, but not on the number of
        workers. More than 16 need other options to be as accurate as one process: see the guide.
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
    return rounds.fit(net, shards, engine=engine, validation=validation, **options)


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
        return [_part_of(stream, list(range(k, stream.source.n_blocks, n))) for k in range(n)]
    chunks = chunks_of(X, y, sample_weight, suffix)
    n = min(n_shards, len(chunks))
    join = need("dask", "dnn.distributed.dask", "dask").delayed(joined, pure=False)
    return [join(chunks[k::n]) for k in range(n)]


def _part_of(stream: Stream, blocks: list[int]) -> Stream:
    """Return a stream of some of the blocks of another one."""
    source = BlocksOf(stream.source, blocks)
    return Stream(
        source, buffer_rows=stream.buffer_rows, prefetch=stream.prefetch, on_bad_rows=stream.on_bad_rows
    )


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
    return np.concatenate([np.asarray(part) for part in parts])


def _same(common: tuple[Any, ...]) -> tuple[Any, ...]:
    return common


def _call(function: Callable[..., LocalResult], k: int, shard: Any, common: tuple[Any, ...]) -> LocalResult:
    return function(k, shard, *common)


def _key(name: str, k: int | None = None) -> str:
    """Return a key that occurs once; the dashboard groups tasks by what is before the first hyphen."""
    return f"{name}-{uuid.uuid4().hex}" if k is None else f"{name}-{k}-{uuid.uuid4().hex}"


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

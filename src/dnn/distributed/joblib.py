"""Rounds on the processes of joblib: the cores of one machine."""

from __future__ import annotations

import pickle
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

from .._optional import need
from .averages import GROUP, Total, total_of
from .local import LocalResult
from .rounds import Engine, sum_in_order

DEFAULTS = {"batch_size": 1, "max_nbytes": "100K"}  # of joblib: by the time that tasks took, and 1 MB
TRIES = 3  # of a round whose processes are killed


class Workers(Engine):
    """An engine on processes of joblib, which are kept for all rounds.

    A shard is checked in this process. Its arrays of more than 100 KB are then written once to a temporary
    folder, in memory where the machine has /dev/shm, which all processes map; smaller ones, and sources of
    rows, are sent in each round. Memory maps that have the dtype of the network are mapped as they are.

    Parameters
    ----------
    n_jobs : int, default -1
        Processes; -1 is one per core. More than there are shards are of no use.
    **options
        Options of `joblib.Parallel`, such as temp_folder, max_nbytes or timeout, the seconds after which a
        round is given up (None, the default: never).

    Raises
    ------
    ImportError
        If joblib is not installed.
    RuntimeError
        If processes were killed in three tries of one round; a round that succeeds in the second or third
        try has the same bits.

    Notes
    -----
    The temporary folder is removed by `close`, at the end of a ``with`` block, or together with the engine.
    joblib ends the processes when they have been idle for 300 s.

    Examples
    --------
    >>> from dnn import Network
    >>> from dnn.distributed import joblib, rounds
    >>> net = Network([1, 1], init="zeros")
    >>> with joblib.Workers(2) as workers:
    ...     history = rounds.fit(net, [([[1]], [2]), ([[2]], [4])], engine=workers, rounds_per_epoch=1)
    >>> history.n_rows[0], history.loss[-1] < history.loss[0]
    (2, True)
    """

    def __init__(self, n_jobs: int = -1, **options: Any) -> None:
        parallel = need("joblib", "Workers", "joblib").Parallel
        self._new = partial(parallel, n_jobs, **{**DEFAULTS, **options, "return_as": "generator"})
        self._open()

    def _open(self) -> None:
        self._parallel = self._new().__enter__()
        self._end = weakref.finalize(self, self._parallel.__exit__, None, None, None)

    def total(self, function: Callable[..., LocalResult], placed: list[Any], *common: Any) -> Total:
        """Return the sum of the results, which are summed as they arrive, a group at a time."""
        task = need("joblib", "Workers", "joblib").delayed(_call)
        # As bytes, because joblib would keep a file for each large array of each round until the end
        pickles = need("joblib.externals.loky.backend.reduction", "Workers", "joblib")
        given = bytes(pickles.dumps((function, common)))
        errors = need("joblib.externals.loky.process_executor", "Workers", "joblib")
        # Another use of joblib in this process, as in a callback, may shut down the processes.
        lost = (errors.TerminatedWorkerError, errors.ShutdownExecutorError)
        tries = 0
        while True:
            try:
                results = self._parallel(task(given, k, shard) for k, shard in enumerate(placed))
                return sum_in_order([total_of(group) for group in _groups(results)])
            except BaseException as error:
                # A `Parallel` that failed may still have tasks of this round, and do them in the next one.
                self._end()
                self._open()
                tries += 1
                if not isinstance(error, lost):
                    raise
                if tries == TRIES:
                    raise RuntimeError(
                        f"processes were killed in {TRIES} tries of a round, perhaps for lack of memory, "
                        "of which a smaller n_jobs takes less"
                    ) from error

    def close(self) -> None:
        """Remove the temporary folder; a closed engine writes the shards again in each round."""
        self._end()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _call(given: bytes, k: int, shard: Any) -> LocalResult:
    function, common = pickle.loads(given)
    result: LocalResult = function(k, shard, *common)
    return result


def _groups(results: Iterator[LocalResult]) -> Iterator[list[LocalResult]]:
    """Yield lists of the results that are summed together."""
    while group := list(islice(results, GROUP)):
        yield group

"""Rounds on the machines of a Ray cluster, or on the processes of Ray on one machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import _checks as checks
from .._optional import need
from .averages import Total, groups_of, total_of
from .local import LocalResult
from .rounds import Engine


class Workers(Engine):
    """An engine on tasks of Ray; ``ray.init`` says where, and without it Ray starts on this machine.

    Each shard is checked by a task, and stays in the object store of the machine that did it. A shard may be
    given as a reference to what a task returns, for example rows that it reads from a file: then this process
    never has them. Results are summed by tasks, in groups of 32, so that this process receives one of them.

    Parameters
    ----------
    timeout : float above 0, default 3600
        Seconds after which a round is given up, as Ray waits forever where no machine has what a task asks
        for.
    **options
        Options of the tasks, as of ``ray.remote``: num_cpus (default 1), resources, or max_retries
        (default 3), which is how often Ray computes again what was lost with a process or machine; the result
        has the same bits. Shards placed are computed again, too.

    Raises
    ------
    ImportError
        If Ray is not installed.
    TimeoutError
        If a round takes longer than `timeout`.
    RuntimeError
        If processes or machines were lost more often than max_retries.

    Examples
    --------
    >>> import ray
    >>> from dnn import Network
    >>> from dnn.distributed import rounds
    >>> from dnn.distributed.ray import Workers
    >>> _ = ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    >>> net = Network([1, 1], init="zeros")
    >>> shards = [([[1]], [2]), ray.put(([[2]], [4]))]
    >>> history = rounds.fit(net, shards, engine=Workers(timeout=60), epochs=5)
    >>> history.n_rows[-1], history.stopped_by
    (2, 'epochs')
    >>> ray.shutdown()
    """

    def __init__(self, *, timeout: float = 3600.0, **options: Any) -> None:
        self._ray = need("ray", "Workers", "ray")
        self._timeout = checks.check_real("timeout", timeout, 0.0, above=True)
        self._call = self._ray.remote(_call).options(**options)
        self._sum = self._ray.remote(_sum).options(**options)
        spread = {"scheduling_strategy": "SPREAD", **options, "num_returns": 2}
        self._place = self._ray.remote(_place).options(**spread)

    def place(self, function: Callable[[int, Any], Any], items: Sequence[Any]) -> list[Any]:
        """Return references to ``function(k, item)``, once all of them are computed."""
        pairs = [self._place.remote(function, k, item) for k, item in enumerate(items)]
        for error in self._get([error for _, error in pairs], []):
            if error is not None:
                raise error
        return [placed for placed, _ in pairs]

    def total(self, function: Callable[..., LocalResult], placed: list[Any], *common: Any) -> Total:
        """Return the sum of the results, which tasks have summed in groups."""
        common = tuple(self._ray.put(each) for each in common)
        work = [self._call.remote(function, k, shard, *common) for k, shard in enumerate(placed)]
        sums = [self._sum.remote(*group) for group in groups_of(work)]
        while len(sums) > 1:
            sums = [self._sum.remote(*group) for group in groups_of(sums)]
        total: Total = self._get(sums, work)[0]
        return total

    def _get(self, wanted: list[Any], work: list[Any]) -> list[Any]:
        """Return the values of references; if that fails, cancel the work, and raise what a task raised."""
        errors = self._ray.exceptions
        try:
            values: list[Any] = self._ray.get(wanted, timeout=self._timeout)
            return values
        except BaseException as error:
            for each in (*work, *wanted):
                self._ray.cancel(each)
            if isinstance(error, errors.GetTimeoutError):
                raise TimeoutError(f"a round took longer than timeout={self._timeout:g} s") from error
            cause = getattr(error, "cause", error)
            if isinstance(cause, errors.RayError):
                raise RuntimeError(f"Ray could not compute a round: {cause}") from error
            if cause is error:  # Ctrl-C
                raise
            raise cause from error


# Tasks. They are functions of the module, which pickle by name.


def _place(function: Callable[[int, Any], Any], k: int, item: Any) -> tuple[Any, Exception | None]:
    try:
        return function(k, item), None
    except Exception as error:  # returned, so that Ray does not log it, as of a task that nobody waits for
        return None, error


def _call(function: Callable[..., LocalResult], k: int, shard: Any, *common: Any) -> LocalResult:
    return function(k, shard, *common)


def _sum(*results: Any) -> Total:
    return total_of(results)

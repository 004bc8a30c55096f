"""Several trainings at once: each network is trained by one thread, as many at a time as there are threads.

Small networks cannot feed several threads with one step, but several networks can: that is how the members of
an ensemble, the folds of a cross-validation, seeds, and the candidates of a search are trained.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .. import _checks as checks
from .. import _threads as threads
from ..data import arrays as data
from .history import DivergedError, History
from .stopping import stop_requested

if TYPE_CHECKING:
    from ..network import Network

T = TypeVar("T")
FORBIDDEN = ("checkpoint", "every", "resume", "progress")  # of a training alone


def run_many(jobs: Sequence[Callable[[int], T]], n_threads: int = 0) -> list[T]:
    """Return the results of all jobs, in their order; as many run at the same time as there are threads.

    Parameters
    ----------
    jobs : sequence of callables
        ``job(n_threads)`` trains with so many threads.
    n_threads : int, default 0
        0: as many as the process may use.

    Raises
    ------
    Exception
        That of the first job that failed; KeyboardInterrupt after Ctrl-C. The trainings of the other jobs
        have ended then, after at most a chunk of steps.

    Examples
    --------
    >>> run_many([lambda n_threads: 1, lambda n_threads: 2])
    [1, 2]
    """
    n_threads = n_threads or threads.available()
    n_workers = max(1, min(n_threads, len(jobs)))
    if n_workers == 1:  # in this thread, where the core answers to Ctrl-C at once
        return [job(n_threads) for job in jobs]
    # Here, because they load logging, which would take a tenth of the time to import dnn
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

    stop = threading.Event()

    def run(job: Callable[[int], T]) -> T:
        stop_requested.set(stop.is_set)
        return job(n_threads // n_workers)

    with ThreadPoolExecutor(n_workers) as pool:
        futures = [pool.submit(run, job) for job in jobs]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            failed = [future for future in futures if future in done and future.exception() is not None]
            return [future.result() for future in failed[:1] or futures]
        finally:  # also of Ctrl-C, which Python raises in the main thread
            stop.set()
            for future in futures:
                future.cancel()


def fit_many(
    nets: Sequence[Network],
    X: Any,
    y: Any,
    *,
    each: Sequence[dict[str, Any]] | None = None,
    diverged: str = "raise",
    n_threads: int | str = "auto",
    **options: Any,
) -> list[Any]:
    """Train several networks on the same table, as many at a time as there are threads.

    Every network gets the same bits as from ``net.fit(X[rows], y[rows], **options)`` alone. For small
    networks it is several times faster than one training after the other, each with all threads.

    Parameters
    ----------
    nets : sequence of Network
        Of one precision; no network twice.
    X : array_like (N, I)
        Converted once.
    y : array_like
    each : sequence of dict, default None
        For each network options of its own, which override the common ones. Also ``rows`` and ``rows_val``,
        the numbers of the rows that it is trained and validated on; without them it is trained on all rows.
    diverged : "raise" or "return", default "raise"
        "return": a training that diverges ends alone, with its `DivergedError` in the place of its history; a
        search over rates may want that.
    n_threads : int or "auto", default "auto"
        At most this many in all.
    **options
        Those of `Network.fit`, except for ``checkpoint`` and ``progress``.

    Returns
    -------
    list of History
        In the order of the networks.

    Raises
    ------
    ValueError, TypeError
        As `Network.fit`, and for lists of another length. Nothing has been trained then, except where only
        the options of a later network are refused.

    Examples
    --------
    >>> import numpy as np
    >>> from dnn import SGD, Network, fit_many
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> nets = [Network([1, 1], init="zeros") for _ in range(2)]
    >>> each = [{"optimizer": SGD(rate)} for rate in (0.05, 0.5)]
    >>> histories = fit_many(nets, X, 2 * X + 1, each=each, epochs=9, batch_size=None)
    >>> [f"{history.loss[-1]:.3f}" for history in histories]
    ['0.744', '0.033']
    """
    nets = list(nets)
    if not nets:
        raise ValueError("nets must have at least one network, got none")
    if len(set(map(id, nets))) < len(nets):
        raise ValueError("nets must be different objects, got a network twice")
    own = [{} for _ in nets] if each is None else list(each)
    if len(own) != len(nets):
        raise ValueError(f"each must have {len(nets)} entries, one for each network, got {len(own)}")
    dtype = nets[0].dtype
    if any(net.dtype != dtype for net in nets):
        raise ValueError(f"nets must have one precision, got {sorted({net.dtype.name for net in nets})}")
    for given in (options, *own):
        for name in FORBIDDEN:
            if given.get(name):
                raise ValueError(f"{name} must be given to fit, got it for several trainings at once")
    if len(nets) > 1 and not isinstance(options.get("random_state"), (int, np.integer, type(None))):
        raise TypeError(
            "random_state must be an integer or None, got a generator, which no two trainings can share"
        )
    returns = checks.check_name("diverged", diverged, ("raise", "return")) == "return"
    rows = data.features(X, dtype, nets[0].n_inputs)[:]
    y = np.asarray(y)
    weights = options.pop("sample_weight", None)
    if weights is not None:
        weights = data.weights(weights, len(rows))
    jobs = [
        _job(net, rows, y, weights, {**options, **given}, i, returns)
        for i, (net, given) in enumerate(zip(nets, own, strict=True))
    ]
    return run_many(jobs, threads.check_n_threads(n_threads))


def _job(
    net: Network,
    X: np.ndarray,
    y: np.ndarray,
    weights: Any,
    options: dict[str, Any],
    number: int,
    returns: bool,
) -> Callable[[int], History | DivergedError]:
    """Return the training of one network."""
    train = _row_numbers(options.pop("rows", None), len(X), f"each[{number}]['rows']")
    val = _row_numbers(options.pop("rows_val", None), len(X), f"each[{number}]['rows_val']")

    def job(n_threads: int) -> History | DivergedError:
        at: Any = slice(None) if train is None else train
        if val is not None:
            options.update(X_val=X[val], y_val=y[val])
            if weights is not None:
                options.update(sample_weight_val=weights[val])
        if weights is not None:
            options.setdefault("sample_weight", weights[at])
        try:
            return net.fit(X[at], y[at], n_threads=n_threads, **options)
        except DivergedError as error:
            if returns:
                return error
            raise

    return job


def _row_numbers(rows: Any, n: int, name: str) -> np.ndarray | None:
    """Return row numbers, checked."""
    if rows is None:
        return None
    found = np.asarray(rows)
    if found.ndim != 1 or found.dtype.kind not in "iu" or not len(found):
        raise ValueError(f"{name} must be row numbers (n,), got {found.dtype} {found.shape}")
    if not (0 <= found.min() and found.max() < n):
        raise ValueError(f"{name} must be row numbers 0 .. {n - 1}, got {found.min()} .. {found.max()}")
    return found

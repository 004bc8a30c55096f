"""The number of threads that a computation may use, by the limits of the process and its environment."""

from __future__ import annotations

import os
from typing import Any

from ._checks import check_integer

MOST = 64  # members of a team, at most


def check_n_threads(n_threads: Any) -> int:
    """Return the validated n_threads of a caller: 1 .. 64, or 0 for "auto".

    Examples
    --------
    >>> from dnn import _threads
    >>> _threads.check_n_threads(2), _threads.check_n_threads("auto")
    (2, 0)
    """
    if isinstance(n_threads, str) and n_threads == "auto":
        return 0
    if isinstance(n_threads, str):
        raise TypeError(f'n_threads must be a whole number or "auto", got {n_threads!r}')
    return check_integer("n_threads", n_threads, 1, MOST)


def available() -> int:
    """Return the number of threads for "auto", at least 1, before the amount of work is considered.

    It is the minimum of the number of processors that the process may use, the quota of its container, and
    the environment variables DNN_NUM_THREADS and OMP_NUM_THREADS (which joblib sets for its workers).
    Variables without a valid number are ignored.

    Examples
    --------
    >>> from dnn import _threads
    >>> _threads.available() >= 1
    True
    """
    limits = [MOST, _processors(), _quota()]
    for name in ("DNN_NUM_THREADS", "OMP_NUM_THREADS"):
        asked = (
            os.environ.get(name, "").split(",")[0].strip()
        )  # OMP_NUM_THREADS may be a list, with a number for each level
        if asked.isdecimal():
            limits.append(int(asked))
    return max(1, min(limits))


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read_quota() -> int:
    """Return the number of processors in the container's quota, rounded up."""
    try:
        quota, period = _read("/sys/fs/cgroup/cpu.max").split()
    except (OSError, ValueError):
        try:
            quota = _read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us")
            period = _read("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
        except OSError:
            return MOST
    try:
        return MOST if int(quota) <= 0 else max(1, -(-int(quota) // int(period)))
    except ValueError:  # "max"
        return MOST


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _quota() -> int:
    global _found
    if _found is None:
        _found = _read_quota()
    return _found


_found: int | None = None  # read once, because reading takes longer than a small prediction

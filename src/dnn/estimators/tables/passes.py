"""Passes of the members of a table estimator over many rows, in blocks that stay in the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ... import _threads as threads
from ...data.sparse import SparseRows
from ...network import Network
from ...training.many import run_many
from .encoder import TableEncoder
from .members import logits_of

BLOCK_ELEMENTS = 1 << 19  # inputs, at most 2 MB if they are dense: each member reads a block once
FEWEST_ROWS, MOST_ROWS = 256, 8192  # of a block

Combine = Callable[[list[np.ndarray]], np.ndarray]


def rows_per_block(width: int) -> int:
    """Return how many rows are encoded at once.

    Examples
    --------
    >>> rows_per_block(8), rows_per_block(512), rows_per_block(10**6)
    (8192, 1024, 256)
    """
    return min(max(FEWEST_ROWS, BLOCK_ELEMENTS // width), MOST_ROWS)


def blocks_of(n: int, width: int) -> Iterable[slice]:
    """Return the blocks of n rows.

    Examples
    --------
    >>> list(blocks_of(300, 10**6))
    [slice(0, 256, None), slice(256, 300, None)]
    """
    step = rows_per_block(width)
    return (slice(first, min(first + step, n)) for first in range(0, n, step))


def over_blocks(
    members: Sequence[Network],
    combine: Combine,
    n: int,
    inputs: Callable[[slice], Any],
    n_threads: int | str,
) -> np.ndarray:
    """Return ``combine`` of the logits of all members for n rows, the blocks shared among threads.

    Parameters
    ----------
    members : list of Network
    combine : callable
        ``combine(logits)`` makes the result (n, ...) of a block from the logits (n, O) of each member.
    n : int
    inputs : callable
        ``inputs(block)`` returns the inputs of some rows, as the core reads them.
    n_threads : int or "auto"

    Examples
    --------
    >>> net = Network([2, 1], init="zeros")
    >>> over_blocks([net, net], sum, 3, lambda block: np.ones((3, 2), "float32"), 1).tolist()
    [[0.0], [0.0], [0.0]]
    """

    def job(block: slice) -> Callable[[int], np.ndarray]:
        def run(n_threads: int) -> np.ndarray:
            rows = inputs(block)
            return combine([logits_of(net, rows, n_threads) for net in members])

        return run

    n_threads = threads.check_n_threads(n_threads) or threads.available()
    jobs = [job(block) for block in blocks_of(n, members[0].n_inputs)]
    return np.concatenate(run_many(jobs, n_threads if len(jobs) > 1 else 1)) if jobs else combine([])


def predicted(
    encoder: TableEncoder, members: Sequence[Network], X: Any, combine: Combine, n_threads: int | str
) -> np.ndarray:
    """Return ``combine`` of the logits of all members for a raw table.

    The table is read as numbers and codes once; its inputs exist for a few blocks at a time.

    Parameters
    ----------
    encoder : TableEncoder
    members : list of Network
    X : table
    combine : callable
        See `over_blocks`.
    n_threads : int or "auto"

    Examples
    --------
    >>> encoder = TableEncoder(piecewise=False).fit({"size": [1, 2, 3]})
    >>> net = Network([1, 1], init=[([[2.0]], [0.0])])
    >>> predicted(encoder, [net], {"size": [2]}, sum, 1).tolist()
    [[0.0]]
    """
    numbers, codes = encoder.columns_.read(X)

    def inputs(block: slice) -> SparseRows:
        return encoder.encoding_.rows(numbers[block], codes[block])

    return over_blocks(members, combine, len(numbers), inputs, n_threads)

"""The loss on a validation set: arrays, or a source that is read block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from ..data import arrays as data
from ..data.arrays import Targets
from ..data.row_cache import RowCache
from ..data.streams import BlockReader, Feed, Position, StreamedRows, cache_of, first_rows, stream_of
from ..losses import Loss, loss_of
from .problem import Problem, examples_of, losses_of_rows

if TYPE_CHECKING:
    from ..network import Network

BUFFER_BYTES = 1 << 22  # of the inputs in a buffer
BUFFER_ROWS = 1 << 16  # in a buffer, at most


class StreamedValidation:
    """A validation set that is read block by block, in memory that does not depend on its length.

    Parameters
    ----------
    plan : Plan
    params : ndarray (P,)
        Of the network in training.
    rows : StreamedRows
    """

    def __init__(self, plan: _core.Plan, params: np.ndarray, rows: StreamedRows) -> None:
        self.plan = plan
        self.params = params
        self.rows = rows
        self.cache: RowCache | None = None  # which closes its file when nobody needs it any more
        # Its first rows, of which a checkpoint keeps a fingerprint; nothing is changed before they are good
        self.first = Problem(plan, params, *first_rows(rows), rows.spec)

    def parts(self) -> Iterator[tuple[np.ndarray, Targets, np.ndarray | None]]:
        """Yield rows, targets and weights, from the beginning of the source to its end."""
        n = max(1, min(BUFFER_ROWS, BUFFER_BYTES // (self.rows.n_features * self.rows.dtype.itemsize)))
        n = min(n, self.rows.stream.buffer_rows or n)
        if self.cache is None:  # not earlier: other arguments may be refused
            self.cache = cache_of(self.rows.stream, self.rows.dtype)
        feed = Feed(BlockReader(self.rows, n, None, 1, Position(), self.cache))
        try:
            is_last = False
            while not is_last:
                filled = feed.next()
                is_last = filled.is_last
                if filled.n:
                    yield filled.arrays()
        finally:
            feed.close()

    def mean_loss(self) -> float:
        """Return the weighted mean of the losses of all rows with the present parameters."""
        total = Total("sample_weight" + self.rows.suffix)
        for X, targets, weights in self.parts():
            total.add(losses_of_rows(self.plan, self.params, X, self.rows.spec, targets), weights)
        return total.mean


class Total:
    """A weighted mean of values that come in parts.

    Parameters
    ----------
    name : str
        Of the weights, for errors.

    Examples
    --------
    >>> total = Total("sample_weight")
    >>> total.add(np.array([1.0, 2.0]), None)
    >>> total.add(np.array([6.0]), None)
    >>> total.mean
    3.0
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.sum = self.weight = 0.0

    def add(self, values: np.ndarray, weights: np.ndarray | None) -> None:
        """Add values (n,) with weights (n,); None: of 1."""
        with np.errstate(invalid="ignore", over="ignore"):  # of a training that is about to diverge
            self.sum += float(values.sum() if weights is None else values @ weights)
        self.weight += float(len(values) if weights is None else weights.sum())

    @property
    def mean(self) -> float:
        """The mean of all values."""
        if not self.weight:
            raise ValueError(f"{self.name} must not be 0 in every row")
        return self.sum / self.weight


def validation_loss(
    net: Network, loss: Loss, X_val: Any, y_val: Any, sample_weight_val: Any
) -> Callable[[], float] | None:
    """Return a function that computes val_loss with the present parameters; None without a validation set."""
    stream = stream_of(X_val)
    if stream is not None:
        refuse_arrays(y_val=y_val, sample_weight_val=sample_weight_val)
        spec = loss_of(loss, net.layers[-1].info.name, net.n_outputs)
        rows = StreamedRows(stream, spec, net.n_inputs, net.n_outputs, net.dtype, suffix="_val")
        return StreamedValidation(net.plan, net.params, rows).mean_loss
    if X_val is None and y_val is None and sample_weight_val is None:
        return None
    if X_val is None or y_val is None:
        raise ValueError(f"{'X_val' if X_val is None else 'y_val'} must be given with the validation set")
    spec, rows_, targets = examples_of(net, X_val, y_val, loss, "_val")
    weights = data.weights(sample_weight_val, len(rows_), name="sample_weight_val")
    return Problem(net.plan, net.params, rows_, targets, weights, spec).mean_loss


def refuse_arrays(**given: Any) -> None:
    """Raise if targets or weights are given beside a source, by their names."""
    for name, array in given.items():
        if array is not None:
            raise ValueError(f"{name} must not be given with a source, whose blocks have it")

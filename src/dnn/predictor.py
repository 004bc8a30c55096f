"""Predictors: snapshots of a network that only predict, and that no training changes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _core
from .data import arrays as data
from .data.blocks import BlockRows
from .data.sparse import core_rows

if TYPE_CHECKING:
    from .network import Network


class Predictor:
    """The outputs of a network as it was when `Network.predictor` was called. Many threads may call it.

    Examples
    --------
    >>> from dnn import Network
    >>> net = Network([2, 1], init="zeros")
    >>> predict = net.predictor()
    >>> net.params[:] = 1
    >>> predict([[1, 2]]).tolist(), net([[1, 2]]).tolist()
    ([[0.0]], [[4.0]])
    """

    def __init__(self, spec: tuple[Any, ...], plan: _core.Plan, params: np.ndarray) -> None:
        self.spec, self.params = spec, params  # the plan is made from the spec, also when unpickling
        # Not a method: a bound method would make a reference cycle, and keep the network alive
        self.write = partial(_write, plan, params)
        # For a few rows that need no conversion; for all other X it calls `write`
        self.predict = _core.SmallBatchPredictor(plan, params, self.write).predict

    def __call__(self, X: Any, *, out: np.ndarray | None = None) -> np.ndarray:
        """Return the outputs (N, O) for the rows of X (N, I), (O,) for one row (I,); as `Network` does."""
        return self.predict(X) if out is None else self.write(X, out)

    def __reduce__(self) -> tuple[Any, ...]:
        return _predictor_again, (type(self), self.spec, self.params)

    def __copy__(self) -> Predictor:
        return _predictor_again(type(self), self.spec, self.params)


def _predictor_again(kind: type[Predictor], spec: tuple[Any, ...], params: np.ndarray) -> Predictor:
    """Return a predictor with its own copy of the parameters."""
    own = _core.zeros(params.shape, params.dtype)
    own[:] = params
    return kind(spec, _core.Plan(*spec), own)


def _write(plan: _core.Plan, params: np.ndarray, X: Any, out: np.ndarray | None = None) -> np.ndarray:
    """Return the outputs for any X that can be converted, written to `out` if it is given."""
    rows = data.features(X, params.dtype, plan.n_inputs, finite=False)
    shape: tuple[int, ...] = (len(rows), plan.n_outputs)
    if np.ndim(X) == 1:
        shape = shape[1:]
    if out is None:
        out = np.empty(shape, params.dtype)
    else:
        out = data.writable(out, shape, params.dtype, rows)
        if isinstance(rows, BlockRows):
            rows.check()  # before anything is written
    write_outputs(plan, params, rows, out.reshape(len(rows), plan.n_outputs))
    return out


def write_outputs(
    plan: _core.Plan, params: np.ndarray, X: Any, out: np.ndarray, logits: bool = False, n_threads: int = 0
) -> None:
    """Write the outputs, or logits, of X, an array, SparseRows or BlockRows, to out (N, O)."""
    if not isinstance(X, BlockRows):
        _core.predict(plan, params, core_rows(X), out, logits, n_threads)
        return
    for tile in X.tiles():
        _core.predict(plan, params, X[tile], out[tile], logits, n_threads)


class MethodPredictor:
    """A method of an estimator as it was when `predictor` was called: a snapshot for small inputs.

    Parameters
    ----------
    net : Network
        Copied.
    decode : callable
        ``decode(outputs)`` returns the result of the method from outputs, or logits, (N, O).
    logits : bool
        Whether it is given the logits.

    Examples
    --------
    >>> from dnn import Network
    >>> predict = MethodPredictor(Network([2, 1], init="zeros", dtype="float64"), first_column, False)
    >>> predict([[1.0, 2.0]]).tolist()
    [0.0]
    """

    def __init__(self, net: Network, decode: Callable[[np.ndarray], np.ndarray], logits: bool) -> None:
        self._net = net.copy()
        self._decode = decode
        self._logits = logits

    def __call__(self, X: Any) -> np.ndarray:
        """Return the result for the rows of X (n_samples, n_features)."""
        out = self._logits_of(X) if self._logits else self._net(X)
        return self._decode(out if out.ndim == 2 else out[None])

    def _logits_of(self, X: Any) -> np.ndarray:
        """Return logits (N, O)."""
        net = self._net
        rows = data.features(X, net.dtype, net.n_inputs, finite=False)
        out = np.empty((len(rows), net.n_outputs), net.dtype)
        write_outputs(net.plan, net.params, rows, out, True)
        return out

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._net, self._decode, self._logits)


class Decoding(NamedTuple):
    """What an estimator makes of the outputs of its network.

    Attributes
    ----------
    kind : str
        "outputs", "quantiles" (sorted in each row), or of a classifier "one_class", "binary" (one sigmoid
        unit), "multiclass" (softmax), "multilabel" (a sigmoid for each label).
    classes : ndarray (K,) or None
        The labels of a classifier, sorted.
    """

    kind: str
    classes: np.ndarray | None


def unchanged(outputs: np.ndarray) -> np.ndarray:
    """Return the outputs (N, O) themselves."""
    return outputs


def first_column(outputs: np.ndarray) -> np.ndarray:
    """Return the only output (N,)."""
    return outputs[:, 0]

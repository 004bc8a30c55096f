"""A network's outputs and nothing else: a snapshot that no training changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core, data

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

    def __init__(self, plan: _core.Plan, params: np.ndarray) -> None:
        self._plan = plan
        self._params = params
        # One row, or a few, that need no conversion; it hands all else to `into`
        self.answer = _core.Answers(plan, params, self.into).answer

    def __call__(self, X: Any, *, out: np.ndarray | None = None) -> np.ndarray:
        """Return the outputs (N, O) for the rows of X (N, I), (O,) for one row (I,); as `Network` does."""
        return self.answer(X) if out is None else self.into(X, out)

    def into(self, X: Any, out: np.ndarray | None = None) -> np.ndarray:
        """Return the outputs, written to `out` where it is given: any X that can be converted."""
        plan, dtype = self._plan, self._params.dtype
        rows = data.features(X, dtype, plan.n_inputs, finite=False)
        shape: tuple[int, ...] = (len(rows), plan.n_outputs)
        if np.ndim(X) == 1:
            shape = shape[1:]
        out = np.empty(shape, dtype) if out is None else data.writable(out, shape, dtype, rows)
        _core.predict(plan, self._params, rows, out.reshape(len(rows), plan.n_outputs))
        return out


class Answers:
    """What an estimator answered when `predictor` was called, for small inputs: no check is done twice.

    Parameters
    ----------
    net : Network
        Copied.
    answer : callable
        From outputs (N, O), or scores, to what is returned.
    scores : bool
        Whether it wants the last Z.

    Examples
    --------
    >>> from dnn import Network
    >>> ask = Answers(Network([2, 1], init="zeros", dtype="float64"), lambda out: out[:, 0], False)
    >>> ask([[1.0, 2.0]]).tolist()
    [0.0]
    """

    def __init__(self, net: Network, answer: Callable[[np.ndarray], np.ndarray], scores: bool) -> None:
        self._net = net.copy()
        self._plan, self._params = self._net._plan, self._net.params
        self._dtype, self._n_inputs, self._n_outputs = net.dtype, net.n_inputs, net.n_outputs
        self._answer = answer
        self._scores = scores

    def __call__(self, X: Any) -> np.ndarray:
        """Return the answer for the rows of X (n_samples, n_features)."""
        if (
            type(X) is not np.ndarray
            or X.dtype != self._dtype
            or X.ndim != 2
            or X.shape[1] != self._n_inputs
            or not X.flags.c_contiguous
        ):
            X = data.features(X, self._dtype, self._n_inputs, finite=False)
        out = np.empty((len(X), self._n_outputs), self._dtype)
        _core.predict(self._plan, self._params, X, out, self._scores)
        return self._answer(out)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._net, self._answer, self._scores)


def as_it_is(outputs: np.ndarray) -> np.ndarray:
    """Return outputs (N, O)."""
    return outputs


def first_column(outputs: np.ndarray) -> np.ndarray:
    """Return the only output (N,)."""
    return outputs[:, 0]

"""A network's outputs and nothing else: a snapshot that no training changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import _core, data


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

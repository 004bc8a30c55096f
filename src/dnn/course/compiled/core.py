"""Calls of the core: plans of one layer or of all, parameters in one vector, examples in rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal

import numpy as np

from ... import _core
from ...cache import Cache
from ...layers import activation_of
from ...optimizers import Optimizer

CONTIGUOUS: list[Literal["C", "A"]] = ["C", "A"]  # and aligned


@lru_cache(maxsize=256)
def plan_of(
    n_inputs: int, units: tuple[int, ...], activations: tuple[str, ...], drop: float = 0.0
) -> _core.Plan:
    """Return the plan of a network, cached because plans are immutable. `drop` is for the hidden layers."""
    return _core.Plan(
        n_inputs,
        [
            (n, *activation_of(name), drop if layer else 0.0)
            for layer, (n, name) in enumerate(zip(units, activations, strict=True))
        ],
    )


def dtype_of(A: np.ndarray) -> np.dtype[np.float32] | np.dtype[np.float64]:
    """Return float32 for float32, otherwise float64."""
    return np.dtype(np.float32) if A.dtype == np.float32 else np.dtype(np.float64)


def rows(A: np.ndarray) -> np.ndarray:
    """Return A.T (m, n), as a view if the core can read it, otherwise as a copy."""
    return np.require(A.T, dtype_of(A), CONTIGUOUS)


def vector(arrays: Iterable[np.ndarray], dtype: np.dtype[np.float32] | np.dtype[np.float64]) -> np.ndarray:
    """Return arrays in one vector, each transposed: W (n, n_prev) is (n_in, n_out) there."""
    return np.concatenate([np.ravel(A.T) for A in arrays]).astype(dtype, copy=False)


def matrices(flat: np.ndarray, shapes: Iterable[tuple[int, ...]]) -> list[np.ndarray]:
    """Return views (n, n_prev), (n, 1), ... of a vector: the inverse of `vector`."""
    found, begin = [], 0
    for n, n_prev in shapes:
        found.append(flat[begin : begin + n * n_prev].reshape(n_prev, n).T)
        begin += n * n_prev
    return found


def predict(plan: _core.Plan, params: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Return the outputs (m, n_y) for rows X (m, n_x)."""
    out = np.empty((len(X), plan.n_outputs), X.dtype)
    _core.predict(plan, params, X, out)
    return out


def one_layer(
    A_prev: np.ndarray, W: np.ndarray, b: np.ndarray, activation: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return Z and A (n, m) of one layer; small layers are computed with examples in columns."""
    dtype = dtype_of(A_prev)
    if activation != "softmax" and W.size * A_prev.shape[1] < 10**7:
        return _core.layer_in_columns(
            activation, np.require(A_prev, dtype, CONTIGUOUS), np.require(W, dtype, CONTIGUOUS),
            np.require(b, dtype, CONTIGUOUS),
        )  # fmt: skip
    cache = forward(plan_of(W.shape[1], (len(W),), (activation,)), vector((W, b), dtype), rows(A_prev))
    return cache.Z[0].T, cache.A[0].T


def losses(plan: _core.Plan, params: np.ndarray, X: np.ndarray, Y: np.ndarray, output: str) -> np.ndarray:
    """Return the log loss (m,), float64, of each of the rows X (m, n_x) with the targets Y (m, n_y)."""
    found = np.empty(len(X))
    X, Y = (np.require(each, np.float64, CONTIGUOUS) for each in (X, Y))
    loss = _core.LossArgs(_core.LOSSES[f"log_loss_{output}"].index, (), Y)
    _core.losses(plan, params, X, loss, found)
    return found


def update(
    params: np.ndarray, grad: np.ndarray, slots: np.ndarray, spec: Optimizer, rate: float, t: int
) -> None:
    """Apply step number t of an optimizer to parameters (P,) and its state (slots, P), in place."""
    # An update works element by element, so that any plan with this many parameters can be used.
    plan = plan_of(params.size - 1, (1,), ("identity",))
    optimizer = _core.OptimizerArgs(_core.OPTIMIZERS[spec.kernel].index, spec.hyper, slots)
    _core.update(plan, params, grad, optimizer, rate, t)


def forward(
    plan: _core.Plan, params: np.ndarray, X: np.ndarray, masks: Sequence[np.ndarray | None] | None = None
) -> Cache:
    """Return the cache of a forward pass over rows X (m, n_x): Z and A of each layer, (m, n)."""
    cache = Cache(
        plan, X, logits=True, single=False, changes=0, training=masks is not None, masks=masks, seed=0
    )
    _core.forward(plan, cache.layout, params, X, cache.block, 0, masks)
    return cache


def backward(
    cache: Cache, params: np.ndarray, d_out: np.ndarray, logits: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients of the parameters (P,), summed over rows, and of the rows (m, n_x).

    d_out (m, n_y) is the gradient with respect to the last Z, or with logits=False to the last A.
    """
    grad, dX = np.empty_like(params), np.empty_like(cache.X)
    _core.backward(
        cache.plan, cache.layout, params, cache.X, cache.block, 0, cache.masks, d_out, logits, grad, dX
    )
    return grad, dX

"""Activations in the core: the elements of Z are the inputs of a unit with weight 1."""

from __future__ import annotations

import numpy as np

from .core import CONTIGUOUS, backward, dtype_of, forward, plan_of, predict


def _column(Z: np.ndarray) -> np.ndarray:
    """Return Z (n, m) as rows (n m, 1)."""
    return np.require(Z, dtype_of(Z), CONTIGUOUS).reshape(-1, 1)


def _apply(name: str, Z: np.ndarray) -> np.ndarray:
    column = _column(Z)
    return predict(plan_of(1, (1,), (name,)), np.array([1, 0], column.dtype), column).reshape(Z.shape)


def _slope(name: str, dA: np.ndarray, Z: np.ndarray) -> np.ndarray:
    column = _column(Z)
    one = np.array([1, 0], column.dtype)
    d_out = np.require(dA, column.dtype, CONTIGUOUS).reshape(-1, 1)
    _, dZ = backward(forward(plan_of(1, (1,), (name,)), one, column), one, d_out, logits=False)
    return dZ.reshape(Z.shape)


def sigmoid(Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return A (n, m), ``A = 1 / (1 + e^-Z)``, and the cache Z (n, m).

    Examples
    --------
    >>> A, cache = sigmoid(np.array([[0.0, 2.0]]))
    >>> A.round(4).tolist()
    [[0.5, 0.8808]]
    """
    return _apply("sigmoid", Z), Z


def sigmoid_backward(dA: np.ndarray, cache: np.ndarray) -> np.ndarray:
    """Return dZ (n, m), ``dZ = dA * A * (1 - A)``, from dA (n, m) and the cache Z (n, m).

    Examples
    --------
    >>> sigmoid_backward(np.array([[1.0, 2.0]]), np.zeros((1, 2))).tolist()
    [[0.25, 0.5]]
    """
    return _slope("sigmoid", dA, cache)


def tanh(Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return A (n, m), ``A = tanh Z``, and the cache Z (n, m).

    Examples
    --------
    >>> A, cache = tanh(np.array([[0.0, 1.0]]))
    >>> A.round(4).tolist()
    [[0.0, 0.7616]]
    """
    return _apply("tanh", Z), Z


def tanh_backward(dA: np.ndarray, cache: np.ndarray) -> np.ndarray:
    """Return dZ (n, m), ``dZ = dA * (1 - A^2)``, from dA (n, m) and the cache Z (n, m).

    Examples
    --------
    >>> tanh_backward(np.array([[1.0, 2.0]]), np.zeros((1, 2))).tolist()
    [[1.0, 2.0]]
    """
    return _slope("tanh", dA, cache)


def relu(Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return A (n, m), ``A = max(0, Z)``, and the cache Z (n, m).

    Examples
    --------
    >>> A, cache = relu(np.array([[-1.0, 2.0]]))
    >>> A.tolist()
    [[0.0, 2.0]]
    """
    return _apply("relu", Z), Z


def relu_backward(dA: np.ndarray, cache: np.ndarray) -> np.ndarray:
    """Return dZ (n, m), ``dZ = dA where Z > 0, else 0``, from dA (n, m) and the cache Z (n, m).

    Examples
    --------
    >>> relu_backward(np.array([[3.0, 4.0]]), np.array([[-1.0, 2.0]])).tolist()
    [[0.0, 4.0]]
    """
    return _slope("relu", dA, cache)


def leaky_relu(Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return A (n, m), ``A = max(0.01 Z, Z)``, and the cache Z (n, m).

    Examples
    --------
    >>> A, cache = leaky_relu(np.array([[-1.0, 2.0]]))
    >>> A.tolist()
    [[-0.01, 2.0]]
    """
    return _apply("leaky_relu", Z), Z


def leaky_relu_backward(dA: np.ndarray, cache: np.ndarray) -> np.ndarray:
    """Return dZ (n, m), ``dZ = dA where Z > 0, else 0.01 dA``, from dA (n, m) and the cache Z (n, m).

    Examples
    --------
    >>> leaky_relu_backward(np.array([[3.0, 4.0]]), np.array([[-1.0, 2.0]])).tolist()
    [[0.03, 4.0]]
    """
    return _slope("leaky_relu", dA, cache)


def softmax(Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return A (n, m), ``A = e^Z / sum(e^Z)``, with columns that sum to 1, and the cache Z (n, m).

    Examples
    --------
    >>> A, cache = softmax(np.ones((2, 1)))
    >>> A.tolist()
    [[0.5], [0.5]]
    """
    n, dtype = len(Z), dtype_of(Z)
    # softmax needs all units of an example, so that this layer has the identity matrix and zero biases.
    identity = np.append(np.eye(n, dtype=dtype), np.zeros(n, dtype))
    return predict(plan_of(n, (n,), ("softmax",)), identity, np.require(Z.T, dtype, CONTIGUOUS)).T, Z


BACKWARD = {
    "relu": relu_backward,
    "leaky_relu": leaky_relu_backward,
    "sigmoid": sigmoid_backward,
    "tanh": tanh_backward,
}

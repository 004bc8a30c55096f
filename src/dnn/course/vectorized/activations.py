"""Activations in NumPy: A = g(Z), and the cache is Z. n units, m examples."""

from __future__ import annotations

import numpy as np


def sigmoid(Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return A (n, m), ``A = 1 / (1 + e^-Z)``, and the cache Z (n, m).

    Examples
    --------
    >>> A, cache = sigmoid(np.array([[0.0, 2.0]]))
    >>> A.round(4).tolist()
    [[0.5, 0.8808]]
    """
    # e^-z overflows below -709; e^-|z| never does: for z < 0, 1 / (1 + e^-z) = e^z / (1 + e^z).
    e = np.exp(-np.abs(Z))
    return np.where(Z >= 0, 1.0, e) / (1.0 + e), Z


def sigmoid_backward(dA: np.ndarray, cache: np.ndarray) -> np.ndarray:
    """Return dZ (n, m), ``dZ = dA * A * (1 - A)``, from dA (n, m) and the cache Z (n, m).

    Examples
    --------
    >>> sigmoid_backward(np.array([[1.0, 2.0]]), np.zeros((1, 2))).tolist()
    [[0.25, 0.5]]
    """
    A, _ = sigmoid(cache)
    dZ: np.ndarray = dA * A * (1.0 - A)
    return dZ


def tanh(Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return A (n, m), ``A = tanh Z``, and the cache Z (n, m).

    Examples
    --------
    >>> A, cache = tanh(np.array([[0.0, 1.0]]))
    >>> A.round(4).tolist()
    [[0.0, 0.7616]]
    """
    return np.tanh(Z), Z


def tanh_backward(dA: np.ndarray, cache: np.ndarray) -> np.ndarray:
    """Return dZ (n, m), ``dZ = dA * (1 - A^2)``, from dA (n, m) and the cache Z (n, m).

    Examples
    --------
    >>> tanh_backward(np.array([[1.0, 2.0]]), np.zeros((1, 2))).tolist()
    [[1.0, 2.0]]
    """
    A, _ = tanh(cache)
    return dA * (1.0 - A**2)


def relu(Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return A (n, m), ``A = max(0, Z)``, and the cache Z (n, m).

    Examples
    --------
    >>> A, cache = relu(np.array([[-1.0, 2.0]]))
    >>> A.tolist()
    [[0.0, 2.0]]
    """
    return np.maximum(0.0, Z), Z


def relu_backward(dA: np.ndarray, cache: np.ndarray) -> np.ndarray:
    """Return dZ (n, m), ``dZ = dA where Z > 0, else 0``, from dA (n, m) and the cache Z (n, m).

    Examples
    --------
    >>> relu_backward(np.array([[3.0, 4.0]]), np.array([[-1.0, 2.0]])).tolist()
    [[0.0, 4.0]]
    """
    return np.where(cache > 0, dA, 0.0)


def leaky_relu(Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return A (n, m), ``A = max(0.01 Z, Z)``, and the cache Z (n, m).

    Examples
    --------
    >>> A, cache = leaky_relu(np.array([[-1.0, 2.0]]))
    >>> A.tolist()
    [[-0.01, 2.0]]
    """
    return np.maximum(0.01 * Z, Z), Z


def leaky_relu_backward(dA: np.ndarray, cache: np.ndarray) -> np.ndarray:
    """Return dZ (n, m), ``dZ = dA where Z > 0, else 0.01 dA``, from dA (n, m) and the cache Z (n, m).

    Examples
    --------
    >>> leaky_relu_backward(np.array([[3.0, 4.0]]), np.array([[-1.0, 2.0]])).tolist()
    [[0.03, 4.0]]
    """
    return np.where(cache > 0, dA, 0.01 * dA)


def softmax(Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return A (n, m), ``A = e^Z / sum(e^Z)``, with columns that sum to 1, and the cache Z (n, m).

    Examples
    --------
    >>> A, cache = softmax(np.ones((2, 1)))
    >>> A.tolist()
    [[0.5], [0.5]]
    """
    # Subtracting the maximum of a column does not change a, and keeps e^z from overflowing.
    e = np.exp(Z - Z.max(axis=0, keepdims=True))
    return e / e.sum(axis=0, keepdims=True), Z


FORWARD = {"relu": relu, "leaky_relu": leaky_relu, "sigmoid": sigmoid, "tanh": tanh, "softmax": softmax}
BACKWARD = {
    "relu": relu_backward,
    "leaky_relu": leaky_relu_backward,
    "sigmoid": sigmoid_backward,
    "tanh": tanh_backward,
}

"""Activations in plain Python: A = g(Z), and the cache is Z. j is one of n units, i one of m examples."""

from __future__ import annotations

import math
from typing import TypeAlias

Matrix: TypeAlias = list[list[float]]


def zeros(n_rows: int, n_columns: int) -> Matrix:
    """Return a matrix (n_rows, n_columns) of zeros.

    Examples
    --------
    >>> zeros(2, 3)
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    return [[0.0] * n_columns for _ in range(n_rows)]


def sigmoid(Z: Matrix) -> tuple[Matrix, Matrix]:
    """Return A (n, m), ``a = 1 / (1 + e^-z)``, and the cache Z (n, m).

    Examples
    --------
    >>> A, cache = sigmoid([[0.0, 2.0]])
    >>> [round(a, 4) for a in A[0]]
    [0.5, 0.8808]
    """
    n, m = len(Z), len(Z[0])
    A = zeros(n, m)
    for j in range(n):
        for i in range(m):
            # e^-z overflows below -709; e^-|z| never does: for z < 0, 1 / (1 + e^-z) = e^z / (1 + e^z).
            e = math.exp(-abs(Z[j][i]))
            A[j][i] = (1.0 if Z[j][i] >= 0 else e) / (1.0 + e)
    return A, Z


def sigmoid_backward(dA: Matrix, cache: Matrix) -> Matrix:
    """Return dZ (n, m), ``dz = da a (1 - a)``, from dA (n, m) and the cache Z (n, m).

    Examples
    --------
    >>> sigmoid_backward([[1.0, 2.0]], [[0.0, 0.0]])
    [[0.25, 0.5]]
    """
    A, _ = sigmoid(cache)
    n, m = len(A), len(A[0])
    dZ = zeros(n, m)
    for j in range(n):
        for i in range(m):
            dZ[j][i] = dA[j][i] * A[j][i] * (1.0 - A[j][i])
    return dZ


def tanh(Z: Matrix) -> tuple[Matrix, Matrix]:
    """Return A (n, m), ``a = tanh z``, and the cache Z (n, m).

    Examples
    --------
    >>> A, cache = tanh([[0.0, 1.0]])
    >>> [round(a, 4) for a in A[0]]
    [0.0, 0.7616]
    """
    n, m = len(Z), len(Z[0])
    A = zeros(n, m)
    for j in range(n):
        for i in range(m):
            A[j][i] = math.tanh(Z[j][i])
    return A, Z


def tanh_backward(dA: Matrix, cache: Matrix) -> Matrix:
    """Return dZ (n, m), ``dz = da (1 - a^2)``, from dA (n, m) and the cache Z (n, m).

    Examples
    --------
    >>> tanh_backward([[1.0, 2.0]], [[0.0, 0.0]])
    [[1.0, 2.0]]
    """
    A, _ = tanh(cache)
    n, m = len(A), len(A[0])
    dZ = zeros(n, m)
    for j in range(n):
        for i in range(m):
            dZ[j][i] = dA[j][i] * (1.0 - A[j][i] ** 2)
    return dZ


def relu(Z: Matrix) -> tuple[Matrix, Matrix]:
    """Return A (n, m), ``a = max(0, z)``, and the cache Z (n, m).

    Examples
    --------
    >>> relu([[-1.0, 2.0]])
    ([[0.0, 2.0]], [[-1.0, 2.0]])
    """
    n, m = len(Z), len(Z[0])
    A = zeros(n, m)
    for j in range(n):
        for i in range(m):
            A[j][i] = max(0.0, Z[j][i])
    return A, Z


def relu_backward(dA: Matrix, cache: Matrix) -> Matrix:
    """Return dZ (n, m), ``dz = da where z > 0, else 0``, from dA (n, m) and the cache Z (n, m).

    Examples
    --------
    >>> relu_backward([[3.0, 4.0]], [[-1.0, 2.0]])
    [[0.0, 4.0]]
    """
    n, m = len(cache), len(cache[0])
    dZ = zeros(n, m)
    for j in range(n):
        for i in range(m):
            dZ[j][i] = dA[j][i] if cache[j][i] > 0 else 0.0
    return dZ


def leaky_relu(Z: Matrix) -> tuple[Matrix, Matrix]:
    """Return A (n, m), ``a = max(0.01 z, z)``, and the cache Z (n, m).

    Examples
    --------
    >>> leaky_relu([[-1.0, 2.0]])
    ([[-0.01, 2.0]], [[-1.0, 2.0]])
    """
    n, m = len(Z), len(Z[0])
    A = zeros(n, m)
    for j in range(n):
        for i in range(m):
            A[j][i] = max(0.01 * Z[j][i], Z[j][i])
    return A, Z


def leaky_relu_backward(dA: Matrix, cache: Matrix) -> Matrix:
    """Return dZ (n, m), ``dz = da where z > 0, else 0.01 da``, from dA (n, m) and the cache Z (n, m).

    Examples
    --------
    >>> leaky_relu_backward([[3.0, 4.0]], [[-1.0, 2.0]])
    [[0.03, 4.0]]
    """
    n, m = len(cache), len(cache[0])
    dZ = zeros(n, m)
    for j in range(n):
        for i in range(m):
            dZ[j][i] = dA[j][i] if cache[j][i] > 0 else 0.01 * dA[j][i]
    return dZ


def softmax(Z: Matrix) -> tuple[Matrix, Matrix]:
    """Return A (n, m), ``a_j = e^z_j / sum_k e^z_k``, with columns that sum to 1, and the cache Z (n, m).

    Examples
    --------
    >>> softmax([[1.0], [1.0]])
    ([[0.5], [0.5]], [[1.0], [1.0]])
    """
    n, m = len(Z), len(Z[0])
    A = zeros(n, m)
    for i in range(m):
        # Subtracting the maximum of a column does not change a, and keeps e^z from overflowing.
        highest = max(Z[j][i] for j in range(n))
        total = 0.0
        for j in range(n):
            A[j][i] = math.exp(Z[j][i] - highest)
            total += A[j][i]
        for j in range(n):
            A[j][i] /= total
    return A, Z


FORWARD = {"relu": relu, "leaky_relu": leaky_relu, "sigmoid": sigmoid, "tanh": tanh, "softmax": softmax}
BACKWARD = {
    "relu": relu_backward,
    "leaky_relu": leaky_relu_backward,
    "sigmoid": sigmoid_backward,
    "tanh": tanh_backward,
}

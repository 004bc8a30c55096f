"""The training step in plain Python: matrices are lists of rows, and every index is visible.

In the formulas j is a unit of the layer, k a unit of the layer before, i an example; m is the number of
examples. `dnn.course.vectorized` has the same functions in NumPy.
"""

from __future__ import annotations

import math
from typing import TypeAlias

from ..checks import check_name

Matrix: TypeAlias = list[list[float]]
LinearCache: TypeAlias = tuple[Matrix, Matrix, Matrix]
Cache: TypeAlias = tuple[LinearCache, Matrix]


def zeros(n_rows: int, n_columns: int) -> Matrix:
    """Return a matrix (n_rows, n_columns) of zeros.

    Examples
    --------
    >>> zeros(2, 3)
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    return [[0.0] * n_columns for _ in range(n_rows)]


# Activations: A = g(Z), and the cache is Z


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


def softmax(Z: Matrix) -> tuple[Matrix, Matrix]:
    """Return A (n, m), ``a_j = e^z_j / sum_k e^z_k``, each column a distribution, and the cache Z (n, m).

    Examples
    --------
    >>> softmax([[1.0], [1.0]])
    ([[0.5], [0.5]], [[1.0], [1.0]])
    """
    n, m = len(Z), len(Z[0])
    A = zeros(n, m)
    for i in range(m):
        # The same number taken off every z of a column leaves a as it is, and keeps e^z from overflowing.
        highest = max(Z[j][i] for j in range(n))
        total = 0.0
        for j in range(n):
            A[j][i] = math.exp(Z[j][i] - highest)
            total += A[j][i]
        for j in range(n):
            A[j][i] /= total
    return A, Z


FORWARD = {"relu": relu, "sigmoid": sigmoid, "tanh": tanh, "softmax": softmax}
BACKWARD = {"relu": relu_backward, "sigmoid": sigmoid_backward, "tanh": tanh_backward}


# Forward


def linear_forward(A: Matrix, W: Matrix, b: Matrix) -> tuple[Matrix, LinearCache]:
    """Return Z (n, m), ``z_ji = sum_k W_jk a_ki + b_j``, and the cache (A, W, b).

    Parameters
    ----------
    A : (n_prev, m)
        What the layer before put out; X for the first.
    W : (n, n_prev)
    b : (n, 1)

    Examples
    --------
    >>> Z, cache = linear_forward([[1.0, 2.0], [3.0, 4.0]], [[10.0, 1.0]], [[0.5]])
    >>> Z
    [[13.5, 24.5]]
    """
    n, n_prev, m = len(W), len(A), len(A[0])
    Z = zeros(n, m)
    for j in range(n):
        for i in range(m):
            z = b[j][0]
            for k in range(n_prev):
                z += W[j][k] * A[k][i]
            Z[j][i] = z
    return Z, (A, W, b)


def linear_activation_forward(A_prev: Matrix, W: Matrix, b: Matrix, activation: str) -> tuple[Matrix, Cache]:
    """Return A (n, m), ``A = g(Z)`` with ``Z = W A_prev + b``, and the cache ((A_prev, W, b), Z).

    Parameters
    ----------
    A_prev : (n_prev, m)
    W : (n, n_prev)
    b : (n, 1)
    activation : "relu", "sigmoid", "tanh" or "softmax"
        The name of g.

    Examples
    --------
    >>> A, cache = linear_activation_forward([[1.0, -2.0]], [[3.0]], [[0.0]], "relu")
    >>> A
    [[3.0, 0.0]]
    """
    g = FORWARD[check_name("activation", activation, FORWARD)]
    Z, linear_cache = linear_forward(A_prev, W, b)
    A, activation_cache = g(Z)
    return A, (linear_cache, activation_cache)


def L_model_forward(
    X: Matrix, parameters: dict[str, Matrix], activation: str = "relu", output: str = "sigmoid"
) -> tuple[Matrix, list[Cache]]:
    """Return AL (n_y, m), the output of all L layers one after the other, and their caches.

    Parameters
    ----------
    X : (n_x, m)
    parameters : dict
        "W1" (n_1, n_x), "b1" (n_1, 1), ..., "WL" (n_y, n_L-1), "bL" (n_y, 1).
    activation : "relu", "sigmoid" or "tanh", default "relu"
        Of the hidden layers.
    output : "sigmoid" or "softmax", default "sigmoid"
        Of the last layer.

    Examples
    --------
    >>> parameters = {"W1": [[1.0], [-1.0]], "b1": [[0.0], [0.0]], "W2": [[1.0, -1.0]], "b2": [[-2.0]]}
    >>> AL, caches = L_model_forward([[2.0]], parameters)
    >>> AL, len(caches)
    ([[0.5]], 2)
    """
    L = len(parameters) // 2
    A = X
    caches = []
    for layer in range(1, L + 1):
        g = activation if layer < L else output
        A, cache = linear_activation_forward(A, parameters[f"W{layer}"], parameters[f"b{layer}"], g)
        caches.append(cache)
    return A, caches


def compute_cost(AL: Matrix, Y: Matrix, output: str = "sigmoid") -> float:
    """Return the cost, the mean of the losses of the examples.

    ``J = -1/m sum_i sum_j (y log a + (1 - y) log(1 - a))`` for a sigmoid,
    ``J = -1/m sum_i sum_j y log a`` for a softmax.

    Parameters
    ----------
    AL : (n_y, m)
        What the network put out.
    Y : (n_y, m)
        What is right.
    output : "sigmoid" or "softmax", default "sigmoid"

    Examples
    --------
    >>> round(compute_cost([[0.8, 0.9, 0.4]], [[1, 1, 0]]), 6)
    0.279777
    """
    check_name("output", output, ("sigmoid", "softmax"))
    n, m = len(AL), len(AL[0])
    total = 0.0
    for j in range(n):
        for i in range(m):
            a, y = AL[j][i], Y[j][i]
            if y != 0:  # 0 log a counts as 0, also where a has come to 0
                total += y * math.log(a)
            if output == "sigmoid" and y != 1:
                total += (1 - y) * math.log(1 - a)
    return -total / m


# Backward: dA stands for the derivative of the cost with respect to A, times m, as in the course


def linear_backward(dZ: Matrix, cache: LinearCache) -> tuple[Matrix, Matrix, Matrix]:
    """Return dA_prev (n_prev, m), dW (n, n_prev) and db (n, 1).

    ``dW_jk = 1/m sum_i dz_ji a_ki``, ``db_j = 1/m sum_i dz_ji``, ``da_ki = sum_j W_jk dz_ji``.

    Parameters
    ----------
    dZ : (n, m)
    cache : (A_prev, W, b)
        From `linear_forward`.

    Examples
    --------
    >>> Z, cache = linear_forward([[1.0, 2.0], [3.0, 4.0]], [[10.0, 1.0]], [[0.5]])
    >>> dA_prev, dW, db = linear_backward([[1.0, 1.0]], cache)
    >>> dA_prev, dW, db
    ([[10.0, 10.0], [1.0, 1.0]], [[1.5, 3.5]], [[1.0]])
    """
    A_prev, W, _ = cache
    n, n_prev, m = len(W), len(A_prev), len(A_prev[0])
    dW, db, dA_prev = zeros(n, n_prev), zeros(n, 1), zeros(n_prev, m)
    for j in range(n):
        for k in range(n_prev):
            for i in range(m):
                dW[j][k] += dZ[j][i] * A_prev[k][i]
            dW[j][k] /= m
        for i in range(m):
            db[j][0] += dZ[j][i]
        db[j][0] /= m
    for k in range(n_prev):
        for i in range(m):
            for j in range(n):
                dA_prev[k][i] += W[j][k] * dZ[j][i]
    return dA_prev, dW, db


def linear_activation_backward(dA: Matrix, cache: Cache, activation: str) -> tuple[Matrix, Matrix, Matrix]:
    """Return dA_prev (n_prev, m), dW (n, n_prev) and db (n, 1): ``dZ = dA g'(Z)``, then `linear_backward`.

    Parameters
    ----------
    dA : (n, m)
    cache : ((A_prev, W, b), Z)
        From `linear_activation_forward`.
    activation : "relu", "sigmoid" or "tanh"
        The name of g.

    Examples
    --------
    >>> A, cache = linear_activation_forward([[1.0, -2.0]], [[3.0]], [[0.0]], "relu")
    >>> linear_activation_backward([[1.0, 1.0]], cache, "relu")
    ([[3.0, 0.0]], [[0.5]], [[0.5]])
    """
    linear_cache, activation_cache = cache
    dZ = BACKWARD[check_name("activation", activation, BACKWARD)](dA, activation_cache)
    return linear_backward(dZ, linear_cache)


def L_model_backward(
    AL: Matrix, Y: Matrix, caches: list[Cache], activation: str = "relu"
) -> dict[str, Matrix]:
    """Return the gradients: "dW1", "db1", ..., "dWL", "dbL", and "dA0", ..., "dA(L-1)".

    It begins with ``dZL = AL - Y``: to this the slope of the cost and that of the output multiply out, for
    the sigmoid (``dAL = -Y/AL + (1 - Y)/(1 - AL)`` times ``AL (1 - AL)``) and for the softmax.

    Parameters
    ----------
    AL, Y : (n_y, m)
    caches : list
        From `L_model_forward`, one for each layer.
    activation : "relu", "sigmoid" or "tanh", default "relu"
        Of the hidden layers.

    Examples
    --------
    >>> parameters = {"W1": [[1.0], [-1.0]], "b1": [[0.0], [0.0]], "W2": [[1.0, -1.0]], "b2": [[-2.0]]}
    >>> AL, caches = L_model_forward([[2.0]], parameters)
    >>> grads = L_model_backward(AL, [[1.0]], caches)
    >>> grads["dW1"], grads["dW2"]
    ([[-1.0], [0.0]], [[-1.0, 0.0]])
    """
    L = len(caches)
    n, m = len(AL), len(AL[0])
    dZ = zeros(n, m)
    for j in range(n):
        for i in range(m):
            dZ[j][i] = AL[j][i] - Y[j][i]
    dA, dW, db = linear_backward(dZ, caches[L - 1][0])
    grads = {f"dA{L - 1}": dA, f"dW{L}": dW, f"db{L}": db}
    for layer in range(L - 1, 0, -1):
        dA, dW, db = linear_activation_backward(dA, caches[layer - 1], activation)
        grads |= {f"dA{layer - 1}": dA, f"dW{layer}": dW, f"db{layer}": db}
    return grads


def update_parameters(
    parameters: dict[str, Matrix], grads: dict[str, Matrix], learning_rate: float
) -> dict[str, Matrix]:
    """Return the parameters after one step of gradient descent, ``W - learning_rate dW``; the old ones stay.

    Parameters
    ----------
    parameters : dict
        "W1", "b1", ...
    grads : dict
        "dW1", "db1", ..., from `L_model_backward`.
    learning_rate : float, at least 0

    Examples
    --------
    >>> update_parameters({"W1": [[1.0]], "b1": [[0.0]]}, {"dW1": [[2.0]], "db1": [[4.0]]}, 0.25)
    {'W1': [[0.5]], 'b1': [[-1.0]]}
    """
    updated = {}
    for name, P in parameters.items():
        dP = grads["d" + name]
        updated[name] = zeros(len(P), len(P[0]))
        for j in range(len(P)):
            for k in range(len(P[0])):
                updated[name][j][k] = P[j][k] - learning_rate * dP[j][k]
    return updated

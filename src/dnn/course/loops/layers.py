"""Layers in plain Python: the forward and backward pass of one layer and of all, the cost, dropout.

In the formulas, j is a unit of the layer, k a unit of the previous layer, and i an example; m is the number
of examples.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numpy as np

from .activations import BACKWARD, FORWARD, Matrix, zeros

LinearCache: TypeAlias = tuple[Matrix, Matrix, Matrix]
# ((A_prev, W, b), Z), and D after a layer with dropout
Cache: TypeAlias = tuple[Any, ...]


# Forward


def linear_forward(A: Matrix, W: Matrix, b: Matrix) -> tuple[Matrix, LinearCache]:
    """Return Z (n, m), ``z_ji = sum_k W_jk a_ki + b_j``, and the cache (A, W, b).

    Parameters
    ----------
    A : (n_prev, m)
        The output of the previous layer; X for the first.
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
    activation : "relu", "leaky_relu", "sigmoid", "tanh" or "softmax"
        The name of g.

    Examples
    --------
    >>> A, cache = linear_activation_forward([[1.0, -2.0]], [[3.0]], [[0.0]], "relu")
    >>> A
    [[3.0, 0.0]]
    """
    g = FORWARD[activation]
    Z, linear_cache = linear_forward(A_prev, W, b)
    A, activation_cache = g(Z)
    return A, (linear_cache, activation_cache)


def L_model_forward(
    X: Matrix,
    parameters: dict[str, Matrix],
    activation: str = "relu",
    output: str = "sigmoid",
    keep_prob: float = 1.0,
    seed: int | None = None,
) -> tuple[Matrix, list[Cache]]:
    """Return AL (n_y, m), the output of the last of L layers, and the caches of all layers.

    Parameters
    ----------
    X : (n_x, m)
    parameters : dict
        "W1" (n_1, n_x), "b1" (n_1, 1), ..., "WL" (n_y, n_L-1), "bL" (n_y, 1).
    activation : "relu", "leaky_relu", "sigmoid" or "tanh", default "relu"
        The activation of the hidden layers.
    output : "sigmoid" or "softmax", default "sigmoid"
        The activation of the last layer.
    keep_prob : float in (0, 1], default 1
        Share of the units of each hidden layer that `dropout` keeps; below 1 the caches also have D.
    seed : int, default None
        The seed of dropout.

    Examples
    --------
    >>> parameters = {"W1": [[1.0], [-1.0]], "b1": [[0.0], [0.0]], "W2": [[1.0, -1.0]], "b2": [[-2.0]]}
    >>> AL, caches = L_model_forward([[2.0]], parameters)
    >>> AL, len(caches)
    ([[0.5]], 2)
    """
    rng = np.random.RandomState(seed) if keep_prob < 1 else None
    L = len(parameters) // 2
    A = X
    caches = []
    for layer in range(1, L + 1):
        g = activation if layer < L else output
        A, cache = linear_activation_forward(A, parameters[f"W{layer}"], parameters[f"b{layer}"], g)
        if rng is not None and layer < L:
            A, D = dropout(A, keep_prob, rng)
            cache = (*cache, D)
        caches.append(cache)
    return A, caches


def compute_cost(
    AL: Matrix,
    Y: Matrix,
    output: str = "sigmoid",
    parameters: dict[str, Matrix] | None = None,
    lambd: float = 0.0,
) -> float:
    """Return the cost: the mean loss of the examples, plus the L2 penalty if lambd is given.

    ``J = -1/m sum_i sum_j (y log a + (1 - y) log(1 - a))`` for a sigmoid,
    ``J = -1/m sum_i sum_j y log a`` for a softmax; the penalty is ``lambd/(2m) sum W_jk^2`` over all W.

    Parameters
    ----------
    AL : (n_y, m)
        The output of the network.
    Y : (n_y, m)
        The targets.
    output : "sigmoid" or "softmax", default "sigmoid"
    parameters : dict, default None
        "W1", ...; required with lambd.
    lambd : float, at least 0, default 0
        The strength lambda of the L2 penalty (lambda is a keyword of Python).

    Examples
    --------
    >>> round(compute_cost([[0.8, 0.9, 0.4]], [[1, 1, 0]]), 6)
    0.279777
    """
    n, m = len(AL), len(AL[0])
    total = 0.0
    for j in range(n):
        for i in range(m):
            a, y = AL[j][i], Y[j][i]
            if y != 0:  # 0 log a counts as 0, even if a is 0
                total += y * (math.log(a) if a > 0 else -math.inf)
            if output == "sigmoid" and y != 1:
                total += (1 - y) * (math.log(1 - a) if a < 1 else -math.inf)
    penalty = 0.0
    if lambd and parameters is not None:
        for layer in range(1, len(parameters) // 2 + 1):
            for row in parameters[f"W{layer}"]:
                for w in row:
                    penalty += w * w
    return -total / m + lambd * penalty / (2 * m)


# Backward pass: dA is the derivative of the cost with respect to A, times m, as in the course


def linear_backward(dZ: Matrix, cache: LinearCache, lambd: float = 0.0) -> tuple[Matrix, Matrix, Matrix]:
    """Return dA_prev (n_prev, m), dW (n, n_prev) and db (n, 1).

    ``dW_jk = 1/m (sum_i dz_ji a_ki + lambd W_jk)``, ``db_j = 1/m sum_i dz_ji``, ``da_ki = sum_j W_jk dz_ji``.

    Parameters
    ----------
    dZ : (n, m)
    cache : (A_prev, W, b)
        From `linear_forward`.
    lambd : float, at least 0, default 0
        The strength of the L2 penalty.

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
            dW[j][k] = (dW[j][k] + lambd * W[j][k]) / m
        for i in range(m):
            db[j][0] += dZ[j][i]
        db[j][0] /= m
    for k in range(n_prev):
        for i in range(m):
            for j in range(n):
                dA_prev[k][i] += W[j][k] * dZ[j][i]
    return dA_prev, dW, db


def linear_activation_backward(
    dA: Matrix, cache: Cache, activation: str, lambd: float = 0.0
) -> tuple[Matrix, Matrix, Matrix]:
    """Return dA_prev (n_prev, m), dW (n, n_prev) and db (n, 1): ``dZ = dA g'(Z)``, then `linear_backward`.

    Parameters
    ----------
    dA : (n, m)
    cache : ((A_prev, W, b), Z)
        From `linear_activation_forward`.
    activation : "relu", "leaky_relu", "sigmoid" or "tanh"
        The name of g.
    lambd : float, at least 0, default 0
        The strength of the L2 penalty.

    Examples
    --------
    >>> A, cache = linear_activation_forward([[1.0, -2.0]], [[3.0]], [[0.0]], "relu")
    >>> linear_activation_backward([[1.0, 1.0]], cache, "relu")
    ([[3.0, 0.0]], [[0.5]], [[0.5]])
    """
    linear_cache, activation_cache = cache[:2]
    dZ = BACKWARD[activation](dA, activation_cache)
    return linear_backward(dZ, linear_cache, lambd)


def L_model_backward(
    AL: Matrix,
    Y: Matrix,
    caches: list[Cache],
    activation: str = "relu",
    lambd: float = 0.0,
    keep_prob: float = 1.0,
) -> dict[str, Matrix]:
    """Return the gradients: "dW1", "db1", ..., "dWL", "dbL", and "dA0", ..., "dA(L-1)".

    It begins with ``dZL = AL - Y``, the product of the derivatives of the cost and of the output activation,
    for the sigmoid (``dAL = -Y/AL + (1 - Y)/(1 - AL)`` times ``AL (1 - AL)``) and for the softmax.

    Parameters
    ----------
    AL, Y : (n_y, m)
    caches : list
        From `L_model_forward`, one for each layer.
    activation : "relu", "leaky_relu", "sigmoid" or "tanh", default "relu"
        The activation of the hidden layers.
    lambd : float, at least 0, default 0
        The strength of the L2 penalty.
    keep_prob : float in (0, 1], default 1
        As in `L_model_forward`.

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
    dA, dW, db = linear_backward(dZ, caches[L - 1][0], lambd)
    grads = {f"dA{L - 1}": dA, f"dW{L}": dW, f"db{L}": db}
    for layer in range(L - 1, 0, -1):
        if keep_prob < 1:
            dA = dropout_backward(dA, caches[layer - 1][2], keep_prob)
            grads[f"dA{layer}"] = dA
        dA, dW, db = linear_activation_backward(dA, caches[layer - 1], activation, lambd)
        grads |= {f"dA{layer - 1}": dA, f"dW{layer}": dW, f"db{layer}": db}
    return grads


# Dropout


def dropout(A: Matrix, keep_prob: float, rng: np.random.RandomState) -> tuple[Matrix, Matrix]:
    """Return A (n, m) with a share of its elements dropped, ``a d / keep_prob``, and the mask D (n, m).

    d is 1 with probability keep_prob, and otherwise 0. The division keeps the expected value of a.

    Parameters
    ----------
    A : (n, m)
    keep_prob : float in (0, 1]
    rng : numpy RandomState
        The source of one random number for each element of A, row by row.

    Examples
    --------
    >>> dropout([[1.0, 1.0, 1.0]], 0.5, np.random.RandomState(1))
    ([[2.0, 0.0, 2.0]], [[1.0, 0.0, 1.0]])
    """
    n, m = len(A), len(A[0])
    D = zeros(n, m)
    for j in range(n):
        for i in range(m):
            D[j][i] = 1.0 if rng.random_sample() < keep_prob else 0.0
    return dropout_backward(A, D, keep_prob), D


def dropout_backward(dA: Matrix, D: Matrix, keep_prob: float) -> Matrix:
    """Return dA (n, m) of the input of `dropout`, ``da d / keep_prob``.

    Examples
    --------
    >>> dropout_backward([[1.0, 3.0]], [[0.0, 1.0]], 0.5)
    [[0.0, 6.0]]
    """
    n, m = len(dA), len(dA[0])
    dropped = zeros(n, m)
    for j in range(n):
        for i in range(m):
            dropped[j][i] = dA[j][i] * D[j][i] / keep_prob
    return dropped

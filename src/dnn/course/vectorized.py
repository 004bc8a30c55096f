"""The training step in NumPy: a matrix is one array, and a layer one product.

`dnn.course.loops` has the same functions with every index visible; m is the number of examples.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from scipy.special import xlogy

from ..checks import check_name

LinearCache: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]
Cache: TypeAlias = tuple[LinearCache, np.ndarray]


# Activations: A = g(Z), and the cache is Z


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


def softmax(Z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return A (n, m), ``A = e^Z / sum(e^Z)``, each column a distribution, and the cache Z (n, m).

    Examples
    --------
    >>> A, cache = softmax(np.ones((2, 1)))
    >>> A.tolist()
    [[0.5], [0.5]]
    """
    # The same number taken off every z of a column leaves a as it is, and keeps e^z from overflowing.
    e = np.exp(Z - Z.max(axis=0, keepdims=True))
    return e / e.sum(axis=0, keepdims=True), Z


FORWARD = {"relu": relu, "sigmoid": sigmoid, "tanh": tanh, "softmax": softmax}
BACKWARD = {"relu": relu_backward, "sigmoid": sigmoid_backward, "tanh": tanh_backward}


# Forward


def linear_forward(A: np.ndarray, W: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, LinearCache]:
    """Return Z (n, m), ``Z = W A + b``, and the cache (A, W, b).

    Parameters
    ----------
    A : ndarray (n_prev, m)
        What the layer before put out; X for the first.
    W : ndarray (n, n_prev)
    b : ndarray (n, 1)
        Broadcast: the same for each of the m columns.

    Examples
    --------
    >>> A, W, b = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[10.0, 1.0]]), np.array([[0.5]])
    >>> Z, cache = linear_forward(A, W, b)
    >>> Z.tolist()
    [[13.5, 24.5]]
    """
    return W @ A + b, (A, W, b)


def linear_activation_forward(
    A_prev: np.ndarray, W: np.ndarray, b: np.ndarray, activation: str
) -> tuple[np.ndarray, Cache]:
    """Return A (n, m), ``A = g(Z)`` with ``Z = W A_prev + b``, and the cache ((A_prev, W, b), Z).

    Parameters
    ----------
    A_prev : ndarray (n_prev, m)
    W : ndarray (n, n_prev)
    b : ndarray (n, 1)
    activation : "relu", "sigmoid", "tanh" or "softmax"
        The name of g.

    Examples
    --------
    >>> A_prev, W, b = np.array([[1.0, -2.0]]), np.array([[3.0]]), np.array([[0.0]])
    >>> A, cache = linear_activation_forward(A_prev, W, b, "relu")
    >>> A.tolist()
    [[3.0, 0.0]]
    """
    g = FORWARD[check_name("activation", activation, FORWARD)]
    Z, linear_cache = linear_forward(A_prev, W, b)
    A, activation_cache = g(Z)
    return A, (linear_cache, activation_cache)


def L_model_forward(
    X: np.ndarray, parameters: dict[str, np.ndarray], activation: str = "relu", output: str = "sigmoid"
) -> tuple[np.ndarray, list[Cache]]:
    """Return AL (n_y, m), the output of all L layers one after the other, and their caches.

    Parameters
    ----------
    X : ndarray (n_x, m)
    parameters : dict of ndarray
        "W1" (n_1, n_x), "b1" (n_1, 1), ..., "WL" (n_y, n_L-1), "bL" (n_y, 1).
    activation : "relu", "sigmoid" or "tanh", default "relu"
        Of the hidden layers.
    output : "sigmoid" or "softmax", default "sigmoid"
        Of the last layer.

    Examples
    --------
    >>> parameters = {"W1": np.array([[1.0], [-1.0]]), "b1": np.zeros((2, 1)),
    ...               "W2": np.array([[1.0, -1.0]]), "b2": np.array([[-2.0]])}
    >>> AL, caches = L_model_forward(np.array([[2.0]]), parameters)
    >>> AL.tolist(), len(caches)
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


def compute_cost(AL: np.ndarray, Y: np.ndarray, output: str = "sigmoid") -> float:
    """Return the cost, the mean of the losses of the examples.

    ``J = -1/m sum(Y log AL + (1 - Y) log(1 - AL))`` for a sigmoid; ``J = -1/m sum(Y log AL)`` for a softmax.

    Parameters
    ----------
    AL : ndarray (n_y, m)
        What the network put out.
    Y : ndarray (n_y, m)
        What is right.
    output : "sigmoid" or "softmax", default "sigmoid"

    Examples
    --------
    >>> round(compute_cost(np.array([[0.8, 0.9, 0.4]]), np.array([[1, 1, 0]])), 6)
    0.279777
    """
    check_name("output", output, ("sigmoid", "softmax"))
    m = Y.shape[1]
    losses = xlogy(Y, AL)  # Y log AL; 0 log a counts as 0, also where a has come to 0
    if output == "sigmoid":
        losses += xlogy(1 - Y, 1 - AL)
    return float(-losses.sum() / m)


# Backward: dA stands for the derivative of the cost with respect to A, times m, as in the course


def linear_backward(dZ: np.ndarray, cache: LinearCache) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return dA_prev (n_prev, m), dW (n, n_prev) and db (n, 1).

    ``dW = 1/m dZ A_prev'``, ``db = 1/m sum of the columns of dZ``, ``dA_prev = W' dZ``.

    Parameters
    ----------
    dZ : ndarray (n, m)
    cache : (A_prev, W, b)
        From `linear_forward`.

    Examples
    --------
    >>> A, W, b = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[10.0, 1.0]]), np.array([[0.5]])
    >>> Z, cache = linear_forward(A, W, b)
    >>> dA_prev, dW, db = linear_backward(np.array([[1.0, 1.0]]), cache)
    >>> dA_prev.tolist(), dW.tolist(), db.tolist()
    ([[10.0, 10.0], [1.0, 1.0]], [[1.5, 3.5]], [[1.0]])
    """
    A_prev, W, _ = cache
    m = A_prev.shape[1]
    dW = dZ @ A_prev.T / m
    db = dZ.sum(axis=1, keepdims=True) / m
    dA_prev = W.T @ dZ
    return dA_prev, dW, db


def linear_activation_backward(
    dA: np.ndarray, cache: Cache, activation: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return dA_prev (n_prev, m), dW (n, n_prev) and db (n, 1): ``dZ = dA * g'(Z)``, then `linear_backward`.

    Parameters
    ----------
    dA : ndarray (n, m)
    cache : ((A_prev, W, b), Z)
        From `linear_activation_forward`.
    activation : "relu", "sigmoid" or "tanh"
        The name of g.

    Examples
    --------
    >>> A_prev, W, b = np.array([[1.0, -2.0]]), np.array([[3.0]]), np.array([[0.0]])
    >>> A, cache = linear_activation_forward(A_prev, W, b, "relu")
    >>> dA_prev, dW, db = linear_activation_backward(np.ones((1, 2)), cache, "relu")
    >>> dA_prev.tolist(), dW.tolist(), db.tolist()
    ([[3.0, 0.0]], [[0.5]], [[0.5]])
    """
    linear_cache, activation_cache = cache
    dZ = BACKWARD[check_name("activation", activation, BACKWARD)](dA, activation_cache)
    return linear_backward(dZ, linear_cache)


def L_model_backward(
    AL: np.ndarray, Y: np.ndarray, caches: list[Cache], activation: str = "relu"
) -> dict[str, np.ndarray]:
    """Return the gradients: "dW1", "db1", ..., "dWL", "dbL", and "dA0", ..., "dA(L-1)".

    It begins with ``dZL = AL - Y``: to this the slope of the cost and that of the output multiply out, for
    the sigmoid (``dAL = -Y/AL + (1 - Y)/(1 - AL)`` times ``AL (1 - AL)``) and for the softmax.

    Parameters
    ----------
    AL, Y : ndarray (n_y, m)
    caches : list
        From `L_model_forward`, one for each layer.
    activation : "relu", "sigmoid" or "tanh", default "relu"
        Of the hidden layers.

    Examples
    --------
    >>> parameters = {"W1": np.array([[1.0], [-1.0]]), "b1": np.zeros((2, 1)),
    ...               "W2": np.array([[1.0, -1.0]]), "b2": np.array([[-2.0]])}
    >>> AL, caches = L_model_forward(np.array([[2.0]]), parameters)
    >>> grads = L_model_backward(AL, np.array([[1.0]]), caches)
    >>> grads["dW1"].tolist(), grads["dW2"].tolist()
    ([[-1.0], [0.0]], [[-1.0, 0.0]])
    """
    L = len(caches)
    dA, dW, db = linear_backward(AL - Y, caches[L - 1][0])
    grads = {f"dA{L - 1}": dA, f"dW{L}": dW, f"db{L}": db}
    for layer in range(L - 1, 0, -1):
        dA, dW, db = linear_activation_backward(dA, caches[layer - 1], activation)
        grads |= {f"dA{layer - 1}": dA, f"dW{layer}": dW, f"db{layer}": db}
    return grads


def update_parameters(
    parameters: dict[str, np.ndarray], grads: dict[str, np.ndarray], learning_rate: float
) -> dict[str, np.ndarray]:
    """Return the parameters after one step of gradient descent, ``W - learning_rate dW``; the old ones stay.

    Parameters
    ----------
    parameters : dict of ndarray
        "W1", "b1", ...
    grads : dict of ndarray
        "dW1", "db1", ..., from `L_model_backward`.
    learning_rate : float, at least 0

    Examples
    --------
    >>> parameters = {"W1": np.array([[1.0]]), "b1": np.array([[0.0]])}
    >>> grads = {"dW1": np.array([[2.0]]), "db1": np.array([[4.0]])}
    >>> parameters = update_parameters(parameters, grads, 0.25)
    >>> parameters["W1"].item(), parameters["b1"].item()
    (0.5, -1.0)
    """
    return {name: P - learning_rate * grads["d" + name] for name, P in parameters.items()}

"""Layers in NumPy: the forward and backward pass of one layer and of all, the cost, dropout. m examples."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from scipy.special import xlogy

from .activations import BACKWARD, FORWARD

LinearCache: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]
# ((A_prev, W, b), Z), and D after a layer with dropout
Cache: TypeAlias = tuple[Any, ...]


# Forward


def linear_forward(A: np.ndarray, W: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, LinearCache]:
    """Return Z (n, m), ``Z = W A + b``, and the cache (A, W, b).

    Parameters
    ----------
    A : ndarray (n_prev, m)
        The output of the previous layer; X for the first.
    W : ndarray (n, n_prev)
    b : ndarray (n, 1)
        Broadcasting adds it to each of the m columns.

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
    activation : "relu", "leaky_relu", "sigmoid", "tanh" or "softmax"
        The name of g.

    Examples
    --------
    >>> A_prev, W, b = np.array([[1.0, -2.0]]), np.array([[3.0]]), np.array([[0.0]])
    >>> A, cache = linear_activation_forward(A_prev, W, b, "relu")
    >>> A.tolist()
    [[3.0, 0.0]]
    """
    g = FORWARD[activation]
    Z, linear_cache = linear_forward(A_prev, W, b)
    A, activation_cache = g(Z)
    return A, (linear_cache, activation_cache)


def L_model_forward(
    X: np.ndarray,
    parameters: dict[str, np.ndarray],
    activation: str = "relu",
    output: str = "sigmoid",
    keep_prob: float = 1.0,
    seed: int | None = None,
) -> tuple[np.ndarray, list[Cache]]:
    """Return AL (n_y, m), the output of the last of L layers, and the caches of all layers.

    Parameters
    ----------
    X : ndarray (n_x, m)
    parameters : dict of ndarray
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
    >>> parameters = {"W1": np.array([[1.0], [-1.0]]), "b1": np.zeros((2, 1)),
    ...               "W2": np.array([[1.0, -1.0]]), "b2": np.array([[-2.0]])}
    >>> AL, caches = L_model_forward(np.array([[2.0]]), parameters)
    >>> AL.tolist(), len(caches)
    ([[0.5]], 2)
    """
    rng = np.random.RandomState(seed) if keep_prob < 1 else None
    L = len(parameters) // 2
    A = X
    caches: list[Cache] = []
    for layer in range(1, L + 1):
        g = activation if layer < L else output
        A, cache = linear_activation_forward(A, parameters[f"W{layer}"], parameters[f"b{layer}"], g)
        if rng is not None and layer < L:
            A, D = dropout(A, keep_prob, rng)
            cache = (*cache, D)
        caches.append(cache)
    return A, caches


def compute_cost(
    AL: np.ndarray,
    Y: np.ndarray,
    output: str = "sigmoid",
    parameters: dict[str, np.ndarray] | None = None,
    lambd: float = 0.0,
) -> float:
    """Return the cost: the mean loss of the examples, plus the L2 penalty if lambd is given.

    ``J = -1/m sum(Y log AL + (1 - Y) log(1 - AL))`` for a sigmoid; ``J = -1/m sum(Y log AL)`` for a softmax;
    the penalty is ``lambd/(2m) sum(W^2)`` over all W.

    Parameters
    ----------
    AL : ndarray (n_y, m)
        The output of the network.
    Y : ndarray (n_y, m)
        The targets.
    output : "sigmoid" or "softmax", default "sigmoid"
    parameters : dict of ndarray, default None
        "W1", ...; required with lambd.
    lambd : float, at least 0, default 0
        The strength lambda of the L2 penalty (lambda is a keyword of Python).

    Examples
    --------
    >>> round(compute_cost(np.array([[0.8, 0.9, 0.4]]), np.array([[1, 1, 0]])), 6)
    0.279777
    """
    m = Y.shape[1]
    losses = xlogy(Y, AL)  # Y log AL; 0 log a counts as 0, even if a is 0
    if output == "sigmoid":
        losses += xlogy(1 - Y, 1 - AL)
    cost = float(-losses.sum() / m)
    if lambd and parameters is not None:
        L = len(parameters) // 2
        cost += (
            lambd / (2 * m) * sum(float(np.sum(parameters[f"W{layer}"] ** 2)) for layer in range(1, L + 1))
        )
    return cost


# Backward pass: dA is the derivative of the cost with respect to A, times m, as in the course


def linear_backward(
    dZ: np.ndarray, cache: LinearCache, lambd: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return dA_prev (n_prev, m), dW (n, n_prev) and db (n, 1).

    ``dW = 1/m (dZ A_prev' + lambd W)``, ``db = 1/m sum of the columns of dZ``, ``dA_prev = W' dZ``.

    Parameters
    ----------
    dZ : ndarray (n, m)
    cache : (A_prev, W, b)
        From `linear_forward`.
    lambd : float, at least 0, default 0
        The strength of the L2 penalty.

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
    if lambd:
        dW += lambd / m * W
    db = dZ.sum(axis=1, keepdims=True) / m
    dA_prev = W.T @ dZ
    return dA_prev, dW, db


def linear_activation_backward(
    dA: np.ndarray, cache: Cache, activation: str, lambd: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return dA_prev (n_prev, m), dW (n, n_prev) and db (n, 1): ``dZ = dA * g'(Z)``, then `linear_backward`.

    Parameters
    ----------
    dA : ndarray (n, m)
    cache : ((A_prev, W, b), Z)
        From `linear_activation_forward`.
    activation : "relu", "leaky_relu", "sigmoid" or "tanh"
        The name of g.
    lambd : float, at least 0, default 0
        The strength of the L2 penalty.

    Examples
    --------
    >>> A_prev, W, b = np.array([[1.0, -2.0]]), np.array([[3.0]]), np.array([[0.0]])
    >>> A, cache = linear_activation_forward(A_prev, W, b, "relu")
    >>> dA_prev, dW, db = linear_activation_backward(np.ones((1, 2)), cache, "relu")
    >>> dA_prev.tolist(), dW.tolist(), db.tolist()
    ([[3.0, 0.0]], [[0.5]], [[0.5]])
    """
    linear_cache, activation_cache = cache[:2]
    dZ = BACKWARD[activation](dA, activation_cache)
    return linear_backward(dZ, linear_cache, lambd)


def L_model_backward(
    AL: np.ndarray,
    Y: np.ndarray,
    caches: list[Cache],
    activation: str = "relu",
    lambd: float = 0.0,
    keep_prob: float = 1.0,
) -> dict[str, np.ndarray]:
    """Return the gradients: "dW1", "db1", ..., "dWL", "dbL", and "dA0", ..., "dA(L-1)".

    It begins with ``dZL = AL - Y``, the product of the derivatives of the cost and of the output activation,
    for the sigmoid (``dAL = -Y/AL + (1 - Y)/(1 - AL)`` times ``AL (1 - AL)``) and for the softmax.

    Parameters
    ----------
    AL, Y : ndarray (n_y, m)
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
    >>> parameters = {"W1": np.array([[1.0], [-1.0]]), "b1": np.zeros((2, 1)),
    ...               "W2": np.array([[1.0, -1.0]]), "b2": np.array([[-2.0]])}
    >>> AL, caches = L_model_forward(np.array([[2.0]]), parameters)
    >>> grads = L_model_backward(AL, np.array([[1.0]]), caches)
    >>> grads["dW1"].tolist(), grads["dW2"].tolist()
    ([[-1.0], [0.0]], [[-1.0, 0.0]])
    """
    L = len(caches)
    dA, dW, db = linear_backward(AL - Y, caches[L - 1][0], lambd)
    grads = {f"dA{L - 1}": dA, f"dW{L}": dW, f"db{L}": db}
    for layer in range(L - 1, 0, -1):
        if keep_prob < 1:
            dA = dropout_backward(dA, caches[layer - 1][2], keep_prob)
            grads[f"dA{layer}"] = dA
        dA, dW, db = linear_activation_backward(dA, caches[layer - 1], activation, lambd)
        grads |= {f"dA{layer - 1}": dA, f"dW{layer}": dW, f"db{layer}": db}
    return grads


# Dropout


def dropout(A: np.ndarray, keep_prob: float, rng: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """Return A (n, m) with a share of its elements dropped, ``A * D / keep_prob``, and the mask D (n, m).

    D is 1 with probability keep_prob, and otherwise 0. The division keeps the expected value of A.

    Parameters
    ----------
    A : ndarray (n, m)
    keep_prob : float in (0, 1]
    rng : numpy RandomState
        The source of one random number for each element of A, row by row.

    Examples
    --------
    >>> A, D = dropout(np.ones((1, 3)), 0.5, np.random.RandomState(1))
    >>> A.tolist(), D.tolist()
    ([[2.0, 0.0, 2.0]], [[1.0, 0.0, 1.0]])
    """
    D = (rng.random_sample(A.shape) < keep_prob).astype(A.dtype)
    return dropout_backward(A, D, keep_prob), D


def dropout_backward(dA: np.ndarray, D: np.ndarray, keep_prob: float) -> np.ndarray:
    """Return dA (n, m) of the input of `dropout`, ``dA * D / keep_prob``.

    Examples
    --------
    >>> dropout_backward(np.array([[1.0, 3.0]]), np.array([[0.0, 1.0]]), 0.5).tolist()
    [[0.0, 6.0]]
    """
    dropped: np.ndarray = dA * D / keep_prob
    return dropped

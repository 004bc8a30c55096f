"""Layers in the core: the forward and backward pass of one layer and of all, cost, dropout. m examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from ...cache import Cache as CoreCache

# Dropout masks are drawn in NumPy, as in the course; `L_model_forward` passes them to the core.
from ..vectorized.layers import dropout, dropout_backward
from .activations import BACKWARD
from .core import (
    CONTIGUOUS,
    backward,
    dtype_of,
    forward,
    losses,
    matrices,
    one_layer,
    plan_of,
    rows,
    vector,
)

__all__ = ["dropout", "dropout_backward"]

LinearCache: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray]
# ((A_prev, W, b), Z), and D after a layer with dropout
Cache: TypeAlias = tuple[Any, ...]

# Replaces infinite logits, because 0 times infinity is NaN
FAR = 1e300


class Caches(list[Cache]):
    """The course's caches of all layers, and the cache of the core for the backward pass."""

    def __init__(
        self, listed: list[Cache], core: CoreCache, params: np.ndarray, how: tuple[Any, ...]
    ) -> None:
        super().__init__(listed)
        self.core = core
        self.params = params
        self.how = how  # the activation of the hidden layers and keep_prob


class Gradients(dict[str, np.ndarray]):
    """The gradients; "dA1" .. "dA(L-1)" are computed on first access, as the core does not keep them."""

    def __init__(self, found: Mapping[str, np.ndarray], layers: Any) -> None:
        super().__init__(found)
        self.layers = layers

    def __missing__(self, name: str) -> np.ndarray:
        for other, gradient in self.layers().items():
            self.setdefault(other, gradient)
        if name not in self:
            raise KeyError(name)
        return self[name]


# Forward


def linear_forward(A: np.ndarray, W: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, LinearCache]:
    """Return Z (n, m), ``Z = W A + b``, and the cache (A, W, b).

    Parameters
    ----------
    A : ndarray (n_prev, m)
        The output of the previous layer; X for the first.
    W : ndarray (n, n_prev)
    b : ndarray (n, 1)

    Examples
    --------
    >>> A, W, b = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[10.0, 1.0]]), np.array([[0.5]])
    >>> Z, cache = linear_forward(A, W, b)
    >>> Z.tolist()
    [[13.5, 24.5]]
    """
    return one_layer(A, W, b, "identity")[0], (A, W, b)


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
    Z, A = one_layer(A_prev, W, b, activation)
    return A, ((A_prev, W, b), Z)


def L_model_forward(
    X: np.ndarray,
    parameters: dict[str, np.ndarray],
    activation: str = "relu",
    output: str = "sigmoid",
    keep_prob: float = 1.0,
    seed: int | None = None,
) -> tuple[np.ndarray, list[Cache]]:
    """Return AL (n_y, m), the output of the last of L layers, and the caches of all layers.

    This is one call into the core. The arrays in the caches are views of the core's cache.

    Parameters
    ----------
    X : ndarray (n_x, m)
        Not copied if X.T is C-contiguous.
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
    L = len(parameters) // 2
    W, b = ([parameters[f"{letter}{layer}"] for layer in range(1, L + 1)] for letter in "Wb")
    units = tuple(len(P) for P in W)
    plan = plan_of(len(X), units, (*(activation,) * (L - 1), output), 1.0 - keep_prob)
    params = vector([P for layer in zip(W, b, strict=True) for P in layer], dtype_of(X))

    kept: list[np.ndarray] = []
    masks: list[np.ndarray | None] | None = None
    if keep_prob < 1:
        rng = np.random.RandomState(seed)
        kept = [(rng.random_sample((n, X.shape[1])) < keep_prob).astype(params.dtype) for n in units[:-1]]
        masks = [None, *(np.ascontiguousarray(D.T, np.uint8) for D in kept)]
    core = forward(plan, params, rows(X), masks)
    A, Z = core.A, core.Z
    inputs = [X, *(A_prev.T for A_prev in A[:-1])]
    listed: list[Cache] = [((inputs[i], W[i], b[i]), Z[i].T) for i in range(L)]
    for i, D in enumerate(kept):
        listed[i] = (*listed[i], D)
    return A[-1].T, Caches(listed, core, params, (activation, keep_prob))


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
        The output of the network. The core computes the losses from logits, which are recovered from AL.
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
    n, m = AL.shape
    AL = np.asarray(AL, np.float64)
    with np.errstate(divide="ignore"):  # log 0
        Z = np.log(AL) - np.log1p(-AL) if output == "sigmoid" else np.log(AL)
    Z = np.clip(Z, -FAR, FAR)
    if output == "sigmoid":
        one = np.array([1.0, 0.0])
        found = losses(plan_of(1, (1,), ("sigmoid",)), one, Z.reshape(-1, 1), Y.reshape(-1, 1), output)
    else:
        identity = np.append(np.eye(n), np.zeros(n))
        found = losses(plan_of(n, (n,), ("softmax",)), identity, Z.T, Y.T, output)
    total = float(found.sum())
    cost: float = (total if total < FAR / 2 else np.inf) / m
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
    A_prev, W, b = cache
    m = A_prev.shape[1]
    plan = plan_of(W.shape[1], (len(W),), ("identity",))
    params = vector((W, b), dtype_of(A_prev))
    d_out = np.require(dZ.T, params.dtype, CONTIGUOUS)
    grad, dX = backward(forward(plan, params, rows(A_prev)), params, d_out)
    grad /= m
    dW, db = matrices(grad, (W.shape, b.shape))
    if lambd:
        dW += lambd / m * W
    return dX.T, dW, db


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

    With the caches of `L_model_forward` this is one call into the core, with other caches one call per layer.
    It begins with ``dZL = AL - Y``.

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

    def layers() -> dict[str, np.ndarray]:
        return _layer_by_layer(AL, Y, caches, activation, lambd, keep_prob)

    if not isinstance(caches, Caches) or caches.how != (activation, keep_prob):
        return layers()
    m = AL.shape[1]
    d_logits = np.ascontiguousarray((AL - Y).T, caches.params.dtype)
    grad, dX = backward(caches.core, caches.params, d_logits)
    grad /= m
    found = {"dA0": dX.T}
    linear = [cache[0] for cache in caches]
    parts = iter(matrices(grad, [P.shape for _, W, b in linear for P in (W, b)]))
    for layer, ((_, W, _), dW, db) in enumerate(zip(linear, parts, parts, strict=True), 1):
        if lambd:
            dW += lambd / m * W
        found |= {f"dW{layer}": dW, f"db{layer}": db}
    return Gradients(found, layers)


def _layer_by_layer(
    AL: np.ndarray, Y: np.ndarray, caches: list[Cache], activation: str, lambd: float, keep_prob: float
) -> dict[str, np.ndarray]:
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

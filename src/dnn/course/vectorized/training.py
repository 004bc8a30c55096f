"""Training in NumPy: initialization, updates, mini-batches, logistic regression, the whole model."""

from __future__ import annotations

import math

import numpy as np

from ..checks import diverged
from .activations import sigmoid
from .layers import L_model_backward, L_model_forward, compute_cost

# The course starts with seed 10 and adds 1 before each epoch, and sets seed 1 before each dropout.
FIRST_SEED = 11
DROPOUT_SEED = 1


def initialize_parameters(
    layer_dims: list[int], initialization: str = "he", scale: float = 0.01, seed: int | None = None
) -> dict[str, np.ndarray]:
    """Return the initial parameters of a network: "W1" (n_1, n_x), "b1" (n_1, 1), ...; every b is 0.

    Parameters
    ----------
    layer_dims : list of int
        n_x, the units of each layer, n_y.
    initialization : "he", "xavier", "random" or "zeros", default "he"
        W is drawn from the normal distribution times sqrt(2 / n_prev), sqrt(1 / n_prev), or `scale`.
    scale : float, default 0.01
        The scale for "random".
    seed : int, default None
        The seed of NumPy's legacy generator, which draws layer by layer and row by row, as in the course.

    Examples
    --------
    >>> parameters = initialize_parameters([3, 2, 1], "random", seed=1)
    >>> parameters["W1"][0].round(4).tolist()
    [0.0162, -0.0061, -0.0053]
    """
    rng = np.random.RandomState(seed)
    parameters = {}
    for layer in range(1, len(layer_dims)):
        n, n_prev = layer_dims[layer], layer_dims[layer - 1]
        factor = {"he": np.sqrt(2 / n_prev), "xavier": np.sqrt(1 / n_prev), "random": scale, "zeros": 0.0}
        if initialization == "zeros":
            parameters[f"W{layer}"] = np.zeros((n, n_prev))
        else:
            parameters[f"W{layer}"] = rng.standard_normal((n, n_prev)) * factor[initialization]
        parameters[f"b{layer}"] = np.zeros((n, 1))
    return parameters


# Updates


def update_parameters(
    parameters: dict[str, np.ndarray], grads: dict[str, np.ndarray], learning_rate: float
) -> dict[str, np.ndarray]:
    """Return the parameters after one step of gradient descent, ``W - learning_rate dW``.

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


def initialize_velocity(parameters: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return v = 0 for each parameter: "dW1", "db1", ..., for momentum and RMSprop.

    Examples
    --------
    >>> v = initialize_velocity({"W1": np.ones((1, 2)), "b1": np.ones((1, 1))})
    >>> v["dW1"].tolist(), v["db1"].tolist()
    ([[0.0, 0.0]], [[0.0]])
    """
    return {"d" + name: np.zeros_like(P) for name, P in parameters.items()}


def initialize_adam(
    parameters: dict[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return v = 0 and s = 0 for each parameter, "dW1", "db1", ...: the two averages of Adam.

    Examples
    --------
    >>> v, s = initialize_adam({"b1": np.ones((1, 1))})
    >>> s["db1"].tolist()
    [[0.0]]
    """
    return initialize_velocity(parameters), initialize_velocity(parameters)


def update_parameters_with_momentum(
    parameters: dict[str, np.ndarray],
    grads: dict[str, np.ndarray],
    v: dict[str, np.ndarray],
    beta: float,
    learning_rate: float,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the parameters and v after a step: ``v = beta v + (1 - beta) dW``, ``W - learning_rate v``.

    Parameters
    ----------
    parameters, grads, v : dict of ndarray
        "W1", ...; "dW1", ...; "dW1", ... from `initialize_velocity` or the previous step.
    beta : float in [0, 1)
    learning_rate : float, at least 0

    Examples
    --------
    >>> parameters, grads = {"b1": np.ones((1, 1))}, {"db1": np.full((1, 1), 2.0)}
    >>> v = initialize_velocity(parameters)
    >>> parameters, v = update_parameters_with_momentum(parameters, grads, v, 0.5, 0.25)
    >>> parameters["b1"].item(), v["db1"].item()
    (0.75, 1.0)
    """
    v = {d: beta * v[d] + (1 - beta) * grads[d] for d in v}
    return {name: P - learning_rate * v["d" + name] for name, P in parameters.items()}, v


def update_parameters_with_rmsprop(
    parameters: dict[str, np.ndarray],
    grads: dict[str, np.ndarray],
    s: dict[str, np.ndarray],
    learning_rate: float,
    beta: float = 0.9,
    epsilon: float = 1e-8,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the parameters and s after a step of RMSprop.

    ``s = beta s + (1 - beta) dW^2``, ``W - learning_rate dW / (sqrt(s) + epsilon)``.

    Parameters
    ----------
    parameters, grads, s : dict of ndarray
        "W1", ...; "dW1", ...; "dW1", ... from `initialize_velocity` or the previous step.
    learning_rate : float, at least 0
    beta : float in [0, 1), default 0.9
    epsilon : float, default 1e-8

    Examples
    --------
    >>> parameters, grads = {"b1": np.ones((1, 1))}, {"db1": np.full((1, 1), 2.0)}
    >>> s = initialize_velocity(parameters)
    >>> parameters, s = update_parameters_with_rmsprop(parameters, grads, s, 0.1, 0.75)
    >>> round(parameters["b1"].item(), 6), s["db1"].item()
    (0.8, 1.0)
    """
    s = {d: beta * s[d] + (1 - beta) * grads[d] ** 2 for d in s}
    steps = {d: grads[d] / (np.sqrt(s[d]) + epsilon) for d in s}
    return {name: P - learning_rate * steps["d" + name] for name, P in parameters.items()}, s


def update_parameters_with_adam(
    parameters: dict[str, np.ndarray],
    grads: dict[str, np.ndarray],
    v: dict[str, np.ndarray],
    s: dict[str, np.ndarray],
    t: int,
    learning_rate: float = 0.01,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    epsilon_inside: bool = True,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the parameters, v and s after step number t of Adam, counted from 1.

    ``v = beta1 v + (1 - beta1) dW``, ``s = beta2 s + (1 - beta2) dW^2``, ``v' = v / (1 - beta1^t)``, ``s' =
    s / (1 - beta2^t)``, ``W - learning_rate v' / sqrt(s' + epsilon)``.

    Parameters
    ----------
    parameters, grads, v, s : dict of ndarray
        "W1", ...; "dW1", ...; v and s "dW1", ... from `initialize_adam` or the previous step.
    t : int, at least 1
    learning_rate, beta1, beta2, epsilon : float
    epsilon_inside : bool, default True
        True: as in the course's older results; False: ``sqrt(s') + epsilon``, as in newer ones and the paper.

    Examples
    --------
    >>> parameters, grads = {"b1": np.ones((1, 1))}, {"db1": np.full((1, 1), 2.0)}
    >>> v, s = initialize_adam(parameters)
    >>> parameters, v, s = update_parameters_with_adam(parameters, grads, v, s, 1)
    >>> round(parameters["b1"].item(), 6)
    0.99
    """
    v = {d: beta1 * v[d] + (1 - beta1) * grads[d] for d in v}
    s = {d: beta2 * s[d] + (1 - beta2) * grads[d] ** 2 for d in s}
    roots = {d: s[d] / (1 - beta2**t) for d in s}
    roots = {d: np.sqrt(x + epsilon) if epsilon_inside else np.sqrt(x) + epsilon for d, x in roots.items()}
    steps = {d: v[d] / (1 - beta1**t) / roots[d] for d in v}
    return {name: P - learning_rate * steps["d" + name] for name, P in parameters.items()}, v, s


def random_mini_batches(
    X: np.ndarray, Y: np.ndarray, mini_batch_size: int = 64, seed: int | None = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the examples in random order, divided into mini-batches (X, Y); the last may be smaller.

    Parameters
    ----------
    X : ndarray (n_x, m)
    Y : ndarray (n_y, m)
    mini_batch_size : int, at least 1, default 64
    seed : int, default 0
        The seed of the order.

    Examples
    --------
    >>> batches = random_mini_batches(np.ones((1, 3)), np.zeros((1, 3)), 2)
    >>> [X.shape for X, Y in batches]
    [(1, 2), (1, 1)]
    """
    m = X.shape[1]
    order = np.random.RandomState(seed).permutation(m)
    cuts = [order[first : first + mini_batch_size] for first in range(0, m, mini_batch_size)]
    return [(X[:, columns], Y[:, columns]) for columns in cuts]


# Logistic regression: a network of one unit, with w (n_x, 1) for W1' and a scalar b


def propagate(
    w: np.ndarray, b: float, X: np.ndarray, Y: np.ndarray
) -> tuple[dict[str, np.ndarray | float], float]:
    """Return the gradient, "dw" (n_x, 1) and "db", of logistic regression, and the cost.

    ``A = sigmoid(w' X + b)``, ``dw = 1/m X (A - Y)'``, ``db = 1/m sum(A - Y)``.

    Parameters
    ----------
    w : ndarray (n_x, 1)
    b : float
    X : ndarray (n_x, m)
    Y : ndarray (1, m)

    Examples
    --------
    >>> X, Y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1, 0]])
    >>> grads, cost = propagate(np.array([[1.0], [2.0]]), 2.0, X, Y)
    >>> round(grads["db"], 6), round(cost, 6)
    (0.499935, 6.000065)
    """
    m = X.shape[1]
    A, _ = sigmoid(w.T @ X + b)
    cost = compute_cost(A, Y)
    dw = X @ (A - Y).T / m
    db = float((A - Y).sum() / m)
    return {"dw": dw, "db": db}, cost


def optimize(
    w: np.ndarray, b: float, X: np.ndarray, Y: np.ndarray, num_iterations: int, learning_rate: float
) -> tuple[dict[str, np.ndarray | float], dict[str, np.ndarray | float], list[float]]:
    """Train logistic regression by gradient descent; return "w" and "b", the last gradient, and the costs.

    Parameters
    ----------
    w, b, X, Y
        As in `propagate`.
    num_iterations : int, at least 1
    learning_rate : float, at least 0

    Returns
    -------
    params, grads : dict
        "w" and "b" after the last step; "dw" and "db" of the last step.
    costs : list of float
        The cost before each step; the course prints every hundredth, ``costs[::100]``.

    Examples
    --------
    >>> X, Y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1, 0]])
    >>> params, grads, costs = optimize(np.array([[1.0], [2.0]]), 2.0, X, Y, 100, 0.009)
    >>> round(params["b"], 4), len(costs)
    (1.5593, 100)
    """
    costs = []
    for _ in range(num_iterations):
        grads, cost = propagate(w, b, X, Y)
        dw, db = grads["dw"], grads["db"]
        assert isinstance(db, float)
        if math.isnan(cost):
            raise diverged(learning_rate)
        costs.append(cost)
        w = w - learning_rate * dw
        b = b - learning_rate * db
    if not (np.isfinite(w).all() and math.isfinite(b)):
        raise diverged(learning_rate)
    return {"w": w, "b": b}, grads, costs


def predict(
    parameters: dict[str, np.ndarray], X: np.ndarray, activation: str = "relu", output: str = "sigmoid"
) -> np.ndarray:
    """Return the predictions: 1 where a > 0.5, else 0 (n_y, m); for a softmax the classes (1, m).

    Parameters
    ----------
    parameters : dict of ndarray
        "W1", "b1", ...; for logistic regression, W1 is w transposed.
    X : ndarray (n_x, m)
    activation, output
        As in `L_model_forward`.

    Examples
    --------
    >>> predict({"W1": np.ones((1, 1)), "b1": -np.ones((1, 1))}, np.array([[0.0, 2.0]])).tolist()
    [[0, 1]]
    """
    AL, _ = L_model_forward(X, parameters, activation, output)
    if output == "sigmoid":
        return (AL > 0.5).astype(int)
    classes: np.ndarray = AL.argmax(axis=0, keepdims=True)
    return classes


def model(
    X: np.ndarray,
    Y: np.ndarray,
    layer_dims: list[int],
    activation: str = "relu",
    output: str = "sigmoid",
    *,
    initialization: str = "he",
    scale: float = 0.01,
    seed: int | None = 3,
    optimizer: str = "gd",
    learning_rate: float = 0.0075,
    num_iterations: int = 3000,
    mini_batch_size: int | None = None,
    beta: float = 0.9,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    epsilon_inside: bool = True,
    lambd: float = 0.0,
    keep_prob: float = 1.0,
) -> tuple[dict[str, np.ndarray], list[float]]:
    """Train a network by gradient descent; return its parameters and the cost before each step.

    Parameters
    ----------
    X : ndarray (n_x, m)
    Y : ndarray (n_y, m)
        Targets 0 or 1; one-hot columns for a softmax.
    layer_dims : list of int
        n_x, the units of each hidden layer, n_y.
    activation : "relu", "leaky_relu", "sigmoid" or "tanh", default "relu"
        The activation of the hidden layers.
    output : "sigmoid" or "softmax", default "sigmoid"
    initialization, scale, seed
        As in `initialize_parameters`.
    optimizer : "gd", "momentum", "rmsprop" or "adam", default "gd"
    learning_rate : float, at least 0, default 0.0075
    num_iterations : int, default 3000
        Number of epochs; without mini-batches an epoch is one step.
    mini_batch_size : int, default None
        Examples per step; None: all. Epoch number e draws its mini-batches with the seed 11 + e, as in the
        course.
    beta, beta1, beta2, epsilon, epsilon_inside
        Parameters of momentum and RMSprop (beta), of Adam (beta1, beta2, epsilon_inside), and of RMSprop and
        Adam (epsilon).
    lambd : float, at least 0, default 0
        The strength of the L2 penalty.
    keep_prob : float in (0, 1], default 1
        Share of units that dropout keeps. Every step uses the seed 1 and drops the same units, as in the
        course.

    Examples
    --------
    >>> X, Y = np.array([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]]), np.array([[0, 1, 1]])
    >>> parameters, costs = model(X, Y, [2, 3, 1], activation="tanh", learning_rate=0.5, num_iterations=200)
    >>> len(costs), costs[-1] < costs[0] / 10, predict(parameters, X, "tanh").tolist()
    (200, True, [[0, 1, 1]])
    """
    parameters = initialize_parameters(layer_dims, initialization, scale, seed)
    v, s = initialize_adam(parameters)
    costs = []
    t = 0
    for iteration in range(num_iterations):
        batches = [(X, Y)]
        if mini_batch_size is not None:
            batches = random_mini_batches(X, Y, mini_batch_size, FIRST_SEED + iteration)
        for X_batch, Y_batch in batches:
            AL, caches = L_model_forward(X_batch, parameters, activation, output, keep_prob, DROPOUT_SEED)
            cost = compute_cost(AL, Y_batch, output, parameters, lambd)
            if math.isnan(cost):
                raise diverged(learning_rate)
            costs.append(cost)
            grads = L_model_backward(AL, Y_batch, caches, activation, lambd, keep_prob)
            t += 1
            if optimizer == "gd":
                parameters = update_parameters(parameters, grads, learning_rate)
            elif optimizer == "momentum":
                parameters, v = update_parameters_with_momentum(parameters, grads, v, beta, learning_rate)
            elif optimizer == "rmsprop":
                parameters, s = update_parameters_with_rmsprop(
                    parameters, grads, s, learning_rate, beta, epsilon
                )
            else:
                parameters, v, s = update_parameters_with_adam(
                    parameters, grads, v, s, t, learning_rate, beta1, beta2, epsilon, epsilon_inside
                )
    if not all(np.isfinite(P).all() for P in parameters.values()):
        raise diverged(learning_rate)
    return parameters, costs

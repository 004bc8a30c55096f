"""Training in plain Python: initialization, updates, mini-batches, logistic regression, the whole model."""

from __future__ import annotations

import math

import numpy as np

from ..checks import diverged
from .activations import Matrix, sigmoid, zeros
from .layers import L_model_backward, L_model_forward, compute_cost

# The course starts with seed 10 and adds 1 before each epoch, and sets seed 1 before each dropout.
FIRST_SEED = 11
DROPOUT_SEED = 1


def initialize_parameters(
    layer_dims: list[int], initialization: str = "he", scale: float = 0.01, seed: int | None = None
) -> dict[str, Matrix]:
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
    >>> [round(w, 4) for w in parameters["W1"][0]]
    [0.0162, -0.0061, -0.0053]
    """
    rng = np.random.RandomState(seed)
    parameters = {}
    for layer in range(1, len(layer_dims)):
        n, n_prev = layer_dims[layer], layer_dims[layer - 1]
        factor = {"he": math.sqrt(2 / n_prev), "xavier": math.sqrt(1 / n_prev), "random": scale, "zeros": 0.0}
        W = zeros(n, n_prev)
        for j in range(n):
            for k in range(n_prev):
                if initialization != "zeros":
                    W[j][k] = float(rng.standard_normal()) * factor[initialization]
        parameters[f"W{layer}"] = W
        parameters[f"b{layer}"] = zeros(n, 1)
    return parameters


# Updates


def update_parameters(
    parameters: dict[str, Matrix], grads: dict[str, Matrix], learning_rate: float
) -> dict[str, Matrix]:
    """Return the parameters after one step of gradient descent, ``W - learning_rate dW``.

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


def initialize_velocity(parameters: dict[str, Matrix]) -> dict[str, Matrix]:
    """Return v = 0 for each parameter: "dW1", "db1", ..., for momentum and RMSprop.

    Examples
    --------
    >>> initialize_velocity({"W1": [[1.0, 2.0]], "b1": [[3.0]]})
    {'dW1': [[0.0, 0.0]], 'db1': [[0.0]]}
    """
    return {"d" + name: zeros(len(P), len(P[0])) for name, P in parameters.items()}


def initialize_adam(parameters: dict[str, Matrix]) -> tuple[dict[str, Matrix], dict[str, Matrix]]:
    """Return v = 0 and s = 0 for each parameter, "dW1", "db1", ...: the two averages of Adam.

    Examples
    --------
    >>> initialize_adam({"b1": [[3.0]]})
    ({'db1': [[0.0]]}, {'db1': [[0.0]]})
    """
    return initialize_velocity(parameters), initialize_velocity(parameters)


def update_parameters_with_momentum(
    parameters: dict[str, Matrix],
    grads: dict[str, Matrix],
    v: dict[str, Matrix],
    beta: float,
    learning_rate: float,
) -> tuple[dict[str, Matrix], dict[str, Matrix]]:
    """Return the parameters and v after a step: ``v = beta v + (1 - beta) dW``, ``W - learning_rate v``.

    Parameters
    ----------
    parameters, grads, v : dict
        "W1", ...; "dW1", ...; "dW1", ... from `initialize_velocity` or the previous step.
    beta : float in [0, 1)
    learning_rate : float, at least 0

    Examples
    --------
    >>> parameters = {"b1": [[1.0]]}
    >>> update_parameters_with_momentum(parameters, {"db1": [[2.0]]}, {"db1": [[0.0]]}, 0.5, 0.25)
    ({'b1': [[0.75]]}, {'db1': [[1.0]]})
    """
    updated, velocity = {}, {}
    for name, P in parameters.items():
        d = "d" + name
        updated[name], velocity[d] = zeros(len(P), len(P[0])), zeros(len(P), len(P[0]))
        for j in range(len(P)):
            for k in range(len(P[0])):
                velocity[d][j][k] = beta * v[d][j][k] + (1 - beta) * grads[d][j][k]
                updated[name][j][k] = P[j][k] - learning_rate * velocity[d][j][k]
    return updated, velocity


def update_parameters_with_rmsprop(
    parameters: dict[str, Matrix],
    grads: dict[str, Matrix],
    s: dict[str, Matrix],
    learning_rate: float,
    beta: float = 0.9,
    epsilon: float = 1e-8,
) -> tuple[dict[str, Matrix], dict[str, Matrix]]:
    """Return the parameters and s after a step of RMSprop.

    ``s = beta s + (1 - beta) dW^2``, ``W - learning_rate dW / (sqrt(s) + epsilon)``.

    Parameters
    ----------
    parameters, grads, s : dict
        "W1", ...; "dW1", ...; "dW1", ... from `initialize_velocity` or the previous step.
    learning_rate : float, at least 0
    beta : float in [0, 1), default 0.9
    epsilon : float, default 1e-8

    Examples
    --------
    >>> grads, s = {"db1": [[2.0]]}, {"db1": [[0.0]]}
    >>> parameters, s = update_parameters_with_rmsprop({"b1": [[1.0]]}, grads, s, 0.1, 0.75)
    >>> round(parameters["b1"][0][0], 6), s
    (0.8, {'db1': [[1.0]]})
    """
    updated, squares = {}, {}
    for name, P in parameters.items():
        d = "d" + name
        updated[name], squares[d] = zeros(len(P), len(P[0])), zeros(len(P), len(P[0]))
        for j in range(len(P)):
            for k in range(len(P[0])):
                squares[d][j][k] = beta * s[d][j][k] + (1 - beta) * grads[d][j][k] * grads[d][j][k]
                step = grads[d][j][k] / (math.sqrt(squares[d][j][k]) + epsilon)
                updated[name][j][k] = P[j][k] - learning_rate * step
    return updated, squares


def update_parameters_with_adam(
    parameters: dict[str, Matrix],
    grads: dict[str, Matrix],
    v: dict[str, Matrix],
    s: dict[str, Matrix],
    t: int,
    learning_rate: float = 0.01,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    epsilon_inside: bool = True,
) -> tuple[dict[str, Matrix], dict[str, Matrix], dict[str, Matrix]]:
    """Return the parameters, v and s after step number t of Adam, counted from 1.

    ``v = beta1 v + (1 - beta1) dW``, ``s = beta2 s + (1 - beta2) dW^2``, ``v' = v / (1 - beta1^t)``, ``s' =
    s / (1 - beta2^t)``, ``W - learning_rate v' / sqrt(s' + epsilon)``.

    Parameters
    ----------
    parameters, grads, v, s : dict
        "W1", ...; "dW1", ...; v and s "dW1", ... from `initialize_adam` or the previous step.
    t : int, at least 1
    learning_rate, beta1, beta2, epsilon : float
    epsilon_inside : bool, default True
        True: as in the course's older results; False: ``sqrt(s') + epsilon``, as in newer ones and the paper.

    Examples
    --------
    >>> zero = {"db1": [[0.0]]}
    >>> parameters, v, s = update_parameters_with_adam({"b1": [[1.0]]}, {"db1": [[2.0]]}, zero, zero, 1)
    >>> round(parameters["b1"][0][0], 6)
    0.99
    """
    updated, averages, squares = {}, {}, {}
    for name, P in parameters.items():
        d = "d" + name
        updated[name] = zeros(len(P), len(P[0]))
        averages[d], squares[d] = zeros(len(P), len(P[0])), zeros(len(P), len(P[0]))
        for j in range(len(P)):
            for k in range(len(P[0])):
                averages[d][j][k] = beta1 * v[d][j][k] + (1 - beta1) * grads[d][j][k]
                squares[d][j][k] = beta2 * s[d][j][k] + (1 - beta2) * grads[d][j][k] * grads[d][j][k]
                corrected_v = averages[d][j][k] / (1 - beta1**t)
                corrected_s = squares[d][j][k] / (1 - beta2**t)
                if epsilon_inside:
                    step = corrected_v / math.sqrt(corrected_s + epsilon)
                else:
                    step = corrected_v / (math.sqrt(corrected_s) + epsilon)
                updated[name][j][k] = P[j][k] - learning_rate * step
    return updated, averages, squares


def random_mini_batches(
    X: Matrix, Y: Matrix, mini_batch_size: int = 64, seed: int | None = 0
) -> list[tuple[Matrix, Matrix]]:
    """Return the examples in random order, divided into mini-batches (X, Y); the last may be smaller.

    Parameters
    ----------
    X : (n_x, m)
    Y : (n_y, m)
    mini_batch_size : int, at least 1, default 64
    seed : int, default 0
        The seed of the order.

    Examples
    --------
    >>> batches = random_mini_batches([[1.0, 2.0, 3.0]], [[0, 1, 0]], 2)
    >>> [len(X[0]) for X, Y in batches]
    [2, 1]
    """
    m = len(X[0])
    order = np.random.RandomState(seed).permutation(m).tolist()
    batches = []
    for first in range(0, m, mini_batch_size):
        columns = order[first : first + mini_batch_size]
        batches.append(([[row[i] for i in columns] for row in X], [[row[i] for i in columns] for row in Y]))
    return batches


# Logistic regression: a network of one unit, with w (n_x, 1) for W1' and a scalar b


def propagate(w: Matrix, b: float, X: Matrix, Y: Matrix) -> tuple[dict[str, Matrix | float], float]:
    """Return the gradient, "dw" (n_x, 1) and "db", of logistic regression, and the cost.

    ``a_i = sigmoid(sum_k w_k x_ki + b)``, ``dw_k = 1/m sum_i (a_i - y_i) x_ki``, ``db = 1/m sum_i (a_i -
    y_i)``.

    Parameters
    ----------
    w : (n_x, 1)
    b : float
    X : (n_x, m)
    Y : (1, m)

    Examples
    --------
    >>> grads, cost = propagate([[1.0], [2.0]], 2.0, [[1.0, 2.0], [3.0, 4.0]], [[1, 0]])
    >>> round(grads["db"], 6), round(cost, 6)
    (0.499935, 6.000065)
    """
    m = len(X[0])
    Z = zeros(1, m)
    for i in range(m):
        Z[0][i] = b
        for k in range(len(w)):
            Z[0][i] += w[k][0] * X[k][i]
    A, _ = sigmoid(Z)
    cost = compute_cost(A, Y)
    dw, db = zeros(len(w), 1), 0.0
    for k in range(len(w)):
        for i in range(m):
            dw[k][0] += (A[0][i] - Y[0][i]) * X[k][i]
        dw[k][0] /= m
    for i in range(m):
        db += (A[0][i] - Y[0][i]) / m
    return {"dw": dw, "db": db}, cost


def optimize(
    w: Matrix, b: float, X: Matrix, Y: Matrix, num_iterations: int, learning_rate: float
) -> tuple[dict[str, Matrix | float], dict[str, Matrix | float], list[float]]:
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
    >>> X, Y = [[1.0, 2.0], [3.0, 4.0]], [[1, 0]]
    >>> params, grads, costs = optimize([[1.0], [2.0]], 2.0, X, Y, 100, 0.009)
    >>> round(params["b"], 4), len(costs)
    (1.5593, 100)
    """
    costs = []
    for _ in range(num_iterations):
        grads, cost = propagate(w, b, X, Y)
        dw, db = grads["dw"], grads["db"]
        assert isinstance(dw, list) and isinstance(db, float)
        if math.isnan(cost):
            raise diverged(learning_rate)
        costs.append(cost)
        w = [[w[k][0] - learning_rate * dw[k][0]] for k in range(len(w))]
        b = b - learning_rate * db
    if not all(math.isfinite(value) for value in [*(row[0] for row in w), b]):
        raise diverged(learning_rate)
    return {"w": w, "b": b}, grads, costs


def predict(
    parameters: dict[str, Matrix], X: Matrix, activation: str = "relu", output: str = "sigmoid"
) -> list[list[int]]:
    """Return the predictions: 1 where a > 0.5, else 0 (n_y, m); for a softmax the classes (1, m).

    Parameters
    ----------
    parameters : dict
        "W1", "b1", ...; for logistic regression, W1 is w transposed.
    X : (n_x, m)
    activation, output
        As in `L_model_forward`.

    Examples
    --------
    >>> predict({"W1": [[1.0]], "b1": [[-1.0]]}, [[0.0, 2.0]])
    [[0, 1]]
    """
    AL, _ = L_model_forward(X, parameters, activation, output)
    n, m = len(AL), len(AL[0])
    if output == "sigmoid":
        return [[1 if AL[j][i] > 0.5 else 0 for i in range(m)] for j in range(n)]
    return [[max(range(n), key=lambda j: AL[j][i]) for i in range(m)]]


def model(
    X: Matrix,
    Y: Matrix,
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
) -> tuple[dict[str, Matrix], list[float]]:
    """Train a network by gradient descent; return its parameters and the cost before each step.

    Parameters
    ----------
    X : (n_x, m)
    Y : (n_y, m)
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
    >>> X, Y = [[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]], [[0, 1, 1]]
    >>> parameters, costs = model(X, Y, [2, 3, 1], activation="tanh", learning_rate=0.5, num_iterations=200)
    >>> len(costs), costs[-1] < costs[0] / 10, predict(parameters, X, "tanh")
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
    if not all(math.isfinite(p) for P in parameters.values() for row in P for p in row):
        raise diverged(learning_rate)
    return parameters, costs

"""Training in the core: initialization, updates, logistic regression, the whole model in one call."""

from __future__ import annotations

import numpy as np

from ... import optimizers
from ...initializers import He, Initializer, LeCun, Normal, Zeros
from ...network import Network
from ...training.history import DivergedError
from ..checks import diverged

# These functions only make arrays. In `model` the core reads mini-batches in place.
from ..vectorized.training import initialize_adam, initialize_velocity, random_mini_batches
from .core import dtype_of, plan_of, rows, update, vector
from .core import predict as predict_rows
from .layers import compute_cost

__all__ = ["initialize_adam", "initialize_velocity", "random_mini_batches"]

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
    init: dict[str, Initializer] = {"he": He(), "xavier": LeCun(), "random": Normal(scale), "zeros": Zeros()}
    sizes = [int(n) for n in layer_dims]
    net = Network(sizes, init=init[initialization], dtype="float64", random_state=np.random.RandomState(seed))
    return _parameters_of(net)


def _parameters_of(net: Network) -> dict[str, np.ndarray]:
    """Return the course's parameters as views of the network's."""
    parameters: dict[str, np.ndarray] = {}
    for layer, (W, b) in enumerate(zip(net.weights, net.biases, strict=True), 1):
        parameters |= {f"W{layer}": W.T, f"b{layer}": b[:, None]}
    return parameters


# Updates


def _step(
    spec: optimizers.Optimizer,
    rate: float,
    parameters: dict[str, np.ndarray],
    grads: dict[str, np.ndarray],
    *states: dict[str, np.ndarray],
    t: int = 1,
) -> tuple[dict[str, np.ndarray], ...]:
    """Return parameters and states after the core has updated all of them as one vector."""
    first = next(iter(parameters.values()))
    params = vector((P.T for P in parameters.values()), dtype_of(first))
    grad = vector((grads["d" + name].T for name in parameters), params.dtype)
    slots = np.zeros((len(states), params.size), params.dtype)
    for slot, state in zip(slots, states, strict=True):
        slot[:] = vector((state["d" + name].T for name in parameters), params.dtype)
    update(params, grad, slots, spec, rate, t)

    def parts(flat: np.ndarray, prefix: str = "") -> dict[str, np.ndarray]:
        cuts = np.cumsum([P.size for P in parameters.values()])[:-1]
        pieces = zip(parameters.items(), np.split(flat, cuts), strict=True)
        return {prefix + name: piece.reshape(P.shape) for (name, P), piece in pieces}

    return (parts(params), *(parts(slot, "d") for slot in slots))


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
    return _step(optimizers.SGD(), learning_rate, parameters, grads)[0]


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
    spec = optimizers.SGD(momentum=beta, averaged=True)
    updated, v = _step(spec, learning_rate, parameters, grads, v)
    return updated, v


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
    spec = optimizers.RMSprop(rho=beta, epsilon=epsilon)
    updated, s = _step(spec, learning_rate, parameters, grads, s)
    return updated, s


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
    spec = optimizers.Adam(1e-3, beta1, beta2, epsilon, "inside" if epsilon_inside else "paper")
    updated, v, s = _step(spec, learning_rate, parameters, grads, v, s, t=t)
    return updated, v, s


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
    net = _logistic(w, b, X)
    cost, grad = net.loss_and_gradient(rows(X), rows(Y))
    return {"dw": grad[:-1, None], "db": float(grad[-1])}, cost


def _logistic(w: np.ndarray, b: float, X: np.ndarray) -> Network:
    """Return logistic regression as a network of one unit."""
    net = Network([len(X), 1], output="sigmoid", init="zeros", dtype=dtype_of(X))
    net.params[:-1], net.params[-1] = w[:, 0], b
    return net


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
    X, Y = rows(X), rows(Y)
    net = _logistic(w, b, X.T)
    descent = net.optimizer(optimizers.SGD(learning_rate))
    costs: list[float] = []
    try:
        if num_iterations > 1:
            costs = net.fit(X, Y, optimizer=descent, epochs=num_iterations - 1, batch_size=None).loss
    except DivergedError:
        raise diverged(learning_rate) from None
    # The last step is separate, because its gradient is returned.
    cost, grad = net.loss_and_gradient(X, Y)
    descent.step(grad)
    if not np.isfinite(net.params).all():
        raise diverged(learning_rate)
    grads: dict[str, np.ndarray | float] = {"dw": grad[:-1, None], "db": float(grad[-1])}
    return {"w": net.weights[0].copy(), "b": float(net.biases[0][0])}, grads, [*costs, cost]


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
    L = len(parameters) // 2
    units = tuple(len(parameters[f"W{layer}"]) for layer in range(1, L + 1))
    plan = plan_of(len(X), units, (*(activation,) * (L - 1), output))
    listed = (parameters[f"{letter}{layer}"] for layer in range(1, L + 1) for letter in "Wb")
    AL = predict_rows(plan, vector(listed, dtype_of(X)), rows(X)).T
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

    Without dropout, all steps are one call into the core. X is not copied if X.T is C-contiguous.

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
    net = Network(
        [int(n) for n in layer_dims], activation=activation, output=output, init="zeros", dtype=dtype_of(X),
        dropout=1.0 - keep_prob,
    )  # fmt: skip
    trained = _parameters_of(net)
    for name, P in trained.items():
        P[...] = parameters[name]
    specs: dict[str, optimizers.Optimizer] = {
        "gd": optimizers.SGD(learning_rate),
        "momentum": optimizers.SGD(learning_rate, momentum=beta, averaged=True),
        "rmsprop": optimizers.RMSprop(learning_rate, beta, epsilon),
        "adam": optimizers.Adam(
            learning_rate, beta1, beta2, epsilon, "inside" if epsilon_inside else "paper"
        ),
    }
    m = X.shape[1]
    if keep_prob < 1:
        costs = _with_dropout(net, specs[optimizer], X, Y, num_iterations, mini_batch_size, lambd)
        if np.isnan(costs).any() or not np.isfinite(net.params).all():
            raise diverged(learning_rate)
        return trained, costs

    def order(iteration: int) -> np.ndarray:
        return np.random.RandomState(FIRST_SEED + iteration).permutation(m)

    try:
        history = net.fit(
            rows(X), rows(Y), optimizer=specs[optimizer], epochs=num_iterations, batch_size=mini_batch_size,
            order=None if mini_batch_size is None else order, alpha=lambd, record="step",
        )  # fmt: skip
    except DivergedError:
        raise diverged(learning_rate) from None
    return trained, history.step_loss


def _with_dropout(
    net: Network,
    spec: optimizers.Optimizer,
    X: np.ndarray,
    Y: np.ndarray,
    num_iterations: int,
    mini_batch_size: int | None,
    lambd: float,
) -> list[float]:
    """Train step by step and return the costs: the course uses the same mask in each step, `fit` does not."""
    output = net.layers[-1].info.name
    keep_prob = 1.0 - net.dropout[-1]
    state = net.optimizer(spec)
    X, Y, m = rows(X), rows(Y), X.shape[1]
    batch = mini_batch_size or m
    masks: dict[int, list[np.ndarray | None]] = {}  # by number of examples
    costs = []
    for iteration in range(num_iterations):
        order = np.arange(m)
        if mini_batch_size is not None:
            order = np.random.RandomState(FIRST_SEED + iteration).permutation(m)
        for first in range(0, m, batch):
            some = order[first : first + batch]
            X_batch, Y_batch, n = X[some], Y[some], len(some)
            if n not in masks:
                rng = np.random.RandomState(DROPOUT_SEED)
                kept = [(rng.random_sample((len(W), n)) < keep_prob).T for W in net.weights[1:]]
                masks[n] = [None, *kept]
            _, cache = net.forward(X_batch, logits=True, training=True, masks=masks[n])
            A = cache.A[-1]
            costs.append(compute_cost(A.T, Y_batch.T, output, _parameters_of(net), lambd))
            grad, _ = net.backward(cache, (A - Y_batch) / n, wrt="params")
            for dW, W in zip(views(grad, net.weights), net.weights, strict=True):
                dW += lambd / n * W
            state.step(grad)
    return costs


def views(grad: np.ndarray, weights: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    """Return the W parts (n_in, n_out) of a gradient (P,)."""
    found, begin = [], 0
    for W in weights:
        found.append(grad[begin : begin + W.size].reshape(W.shape))
        begin += W.size + W.shape[1]
    return found

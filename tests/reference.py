"""The oracle: dense networks in plain NumPy, written from the mathematics and apart from the kernels.

Rows are examples; `weights[l]` is (n_in, n_out), `biases[l]` (n_out,), `activations[l]` the name of what
follows. Everything is computed in the precision of what comes in: float64, unless a test hands in another.
"""

from itertools import pairwise

import numpy as np


def sigmoid(Z):
    # The exponent is never positive, so that nothing overflows.
    e = np.exp(-np.abs(Z))
    return np.where(Z >= 0, 1, e) / (1 + e)


def log_softmax(Z):
    Z = Z - Z.max(axis=1, keepdims=True)
    return Z - np.log(np.exp(Z).sum(axis=1, keepdims=True))


def softmax(Z):
    # Not exp(log_softmax(Z)), which loses digits where log_softmax is large.
    e = np.exp(Z - Z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def softmax_backward(Z, dA):
    A = softmax(Z)
    return A * (dA - (A * dA).sum(axis=1, keepdims=True))


# name: (f(Z), backward(Z, dA) -> dZ). At a kink the slope is the left one.
ACTIVATIONS = {
    "identity": (lambda Z: Z, lambda Z, dA: dA),
    "sigmoid": (sigmoid, lambda Z, dA: dA * sigmoid(Z) * sigmoid(-Z)),
    "tanh": (np.tanh, lambda Z, dA: dA * (1 - np.tanh(Z) ** 2)),
    "relu": (lambda Z: np.maximum(Z, 0), lambda Z, dA: np.where(Z > 0, dA, 0)),
    "leaky_relu": (lambda Z: np.where(Z > 0, Z, 0.01 * Z), lambda Z, dA: np.where(Z > 0, dA, 0.01 * dA)),
    "softmax": (softmax, softmax_backward),
}

# A row's outputs depend on all its scores.
ROW_WISE = {"softmax"}


def column(Y, S):
    """Y in the shape of S: (N,) targets of a single output become (N, 1)."""
    return Y.reshape(S.shape) if Y.ndim == 1 else Y


def one_hot(Y, S):
    """Y as rows of probabilities: classes (N,) become rows with a single 1."""
    return np.eye(S.shape[1], dtype=S.dtype)[Y] if Y.ndim == 1 else Y


def squared_error(A, Y):
    return ((A - column(Y, A)) ** 2).sum(axis=1) / 2


def log_loss_sigmoid(S, Y):
    # -y log a - (1 - y) log(1 - a), with log(1 - a) = -log(1 + e^s) and log a = s + log(1 - a)
    return (np.maximum(S, 0) - S * column(Y, S) + np.log1p(np.exp(-np.abs(S)))).sum(axis=1)


def log_loss_softmax(S, Y):
    return -(one_hot(Y, S) * log_softmax(S)).sum(axis=1)


def d_log_loss_softmax(S, Y):
    # The sum is 1 but for rounding, which would otherwise show against finite differences.
    Y = one_hot(Y, S)
    return softmax(S) * Y.sum(axis=1, keepdims=True) - Y


# (loss, output): (per_row_loss(S, Y) -> (N,), d_scores(S, Y) -> (N, O)). Output None: S are the outputs of
# any element-wise activation.
LOSSES = {
    ("squared_error", None): (squared_error, lambda A, Y: A - column(Y, A)),
    ("log_loss", "sigmoid"): (log_loss_sigmoid, lambda S, Y: sigmoid(S) - column(Y, S)),
    ("log_loss", "softmax"): (log_loss_softmax, d_log_loss_softmax),
}


def fits(loss, output):
    """The key of LOSSES for a loss and an output activation; None where they do not fit."""
    if (loss, output) in LOSSES:
        return loss, output
    if (loss, None) in LOSSES and output not in ROW_WISE:
        return loss, None
    return None


def forward(weights, biases, activations, X):
    """A list of (Z, A), layer by layer."""
    cache = []
    A = X
    for W, b, activation in zip(weights, biases, activations, strict=True):
        Z = A @ W + b
        A = ACTIVATIONS[activation][0](Z)
        cache.append((Z, A))
    return cache


def backward(weights, activations, X, cache, d_out, scores=False):
    """dW, db (lists) and dX of sum(d_out * outputs), or of sum(d_out * scores) with scores=True."""
    n_layers = len(weights)
    dW, db = [None] * n_layers, [None] * n_layers
    dA = d_out
    for layer in reversed(range(n_layers)):
        Z = cache[layer][0]
        from_scores = scores and layer == n_layers - 1
        dZ = dA if from_scores else ACTIVATIONS[activations[layer]][1](Z, dA)
        A_in = cache[layer - 1][1] if layer > 0 else X
        dW[layer] = A_in.T @ dZ
        db[layer] = dZ.sum(axis=0)
        dA = dZ @ weights[layer].T
    return dW, db, dA


def flatten(weights, biases):
    """One new vector: W0 (C order), b0, W1, b1, ..."""
    return np.concatenate([part.ravel() for W, b in zip(weights, biases, strict=True) for part in (W, b)])


def unflatten(params, sizes):
    """weights and biases as views of a vector; sizes are the layers' widths, input first."""
    weights, biases = [], []
    start = 0
    for n_in, n_out in pairwise(sizes):
        stop = start + n_in * n_out
        weights.append(params[start:stop].reshape(n_in, n_out))
        biases.append(params[stop : stop + n_out])
        start = stop + n_out
    return weights, biases


def cost_and_gradient(weights, biases, activations, X, y, loss, sample_weight=None, alpha=0.0):
    """sum w_i loss_i / sum w + alpha / (2 sum w) sum W^2, and its gradient (P,)."""
    key = fits(loss, activations[-1])
    if key is None:
        raise ValueError(f"{loss} does not fit the output {activations[-1]}")
    per_row_loss, d_scores = LOSSES[key]
    from_scores = key[1] is not None

    cache = forward(weights, biases, activations, X)
    Z, A = cache[-1]
    S = Z if from_scores else A
    losses = per_row_loss(S, y)
    w = np.ones_like(losses) if sample_weight is None else sample_weight
    total = w.sum()
    cost = (w @ losses + alpha / 2 * sum((W**2).sum() for W in weights)) / total

    d_out = w[:, None] * d_scores(S, y) / total
    dW, db, _ = backward(weights, activations, X, cache, d_out, scores=from_scores)
    dW = [G + alpha / total * W for G, W in zip(dW, weights, strict=True)]
    return cost, flatten(dW, db)


class SGD:
    def __init__(self, momentum=0.0, nesterov=False, averaged=False):
        self.momentum, self.nesterov, self.averaged = momentum, nesterov, averaged
        self.v = 0.0

    def step(self, p, g, rate):
        """The parameters after one step."""
        mu = self.momentum
        if self.averaged:
            self.v = mu * self.v + (1 - mu) * g
            return p - rate * self.v
        self.v = mu * self.v - rate * g
        return p + mu * self.v - rate * g if self.nesterov else p + self.v


class Adam:
    def __init__(self, beta1=0.9, beta2=0.999, epsilon=1e-8, epsilon_form="paper"):
        self.beta1, self.beta2, self.epsilon, self.epsilon_form = beta1, beta2, epsilon, epsilon_form
        self.m = self.v = 0.0
        self.t = 0

    def step(self, p, g, rate):
        """The parameters after one step."""
        self.t += 1
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        self.v = self.beta2 * self.v + (1 - self.beta2) * g**2
        c1, c2 = 1 - self.beta1**self.t, 1 - self.beta2**self.t
        m_hat, v_hat = self.m / c1, self.v / c2
        denominator = {
            "paper": np.sqrt(v_hat) + self.epsilon,
            # As scikit-learn: epsilon joins the root of v before v is corrected.
            "uncorrected": (np.sqrt(self.v) + self.epsilon) / np.sqrt(c2),
            "inside": np.sqrt(v_hat + self.epsilon),
        }[self.epsilon_form]
        return p - rate * m_hat / denominator


def fit(
    weights,
    biases,
    activations,
    X,
    y,
    *,
    loss,
    optimizer,
    rates,
    orders,
    batch_size,
    sample_weight=None,
    alpha=0.0,
):
    """Train for len(orders) epochs and return params (P,), the loss of each epoch and the cost of each step.

    orders: for each epoch a permutation (N,) or None (rows as they come). rates: one per batch, skipped ones
    included. optimizer: an object with step(p, g, rate). A batch whose weights sum to 0 is skipped: cost 0,
    and the optimizer does not count it. What is handed in stays as it is, the optimizer apart.
    """
    n_rows = len(X)
    sizes = [W.shape[0] for W in weights] + [weights[-1].shape[1]]
    params = flatten(weights, biases)
    batch_size = batch_size or n_rows
    rates = iter(rates)
    epoch_losses, step_costs = [], []
    for order in orders:
        order = np.arange(n_rows) if order is None else order
        epoch_loss = 0.0
        for first in range(0, n_rows, batch_size):
            rows = order[first : first + batch_size]
            rate = next(rates)
            w = None if sample_weight is None else sample_weight[rows]
            if w is not None and w.sum() == 0:
                step_costs.append(0.0)
                continue
            cost, gradient = cost_and_gradient(
                *unflatten(params, sizes), activations, X[rows], y[rows], loss, w, alpha
            )
            params = optimizer.step(params, gradient, rate)
            step_costs.append(cost)
            epoch_loss += cost * len(rows) / n_rows
        epoch_losses.append(epoch_loss)
    return params, np.array(epoch_losses), np.array(step_costs)


def finite_difference(cost, params, eps=1e-6):
    """The gradient (P,) of cost(params) by central differences, in float64."""
    params = np.array(params, dtype=np.float64)
    gradient = np.empty_like(params)
    for i, p in enumerate(params):
        params[i] = p + eps
        above = cost(params)
        params[i] = p - eps
        below = cost(params)
        params[i] = p
        gradient[i] = (above - below) / (2 * eps)
    return gradient

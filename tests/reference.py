"""The oracle: dense networks in plain NumPy, written from the mathematics and independent of the kernels.

Rows are examples. `weights[l]` is (n_in, n_out), `biases[l]` is (n_out,), and `activations[l]` follows them.
An activation or a loss is a name, or (name, parameter, ...) if its parameters differ from the defaults.
Everything is computed in the precision of the arguments, which is float64 unless a test passes another one.
"""

from itertools import pairwise, repeat

import numpy as np
from scipy import special

# The parameters of selu, with which a mean of 0 and a variance of 1 are preserved from layer to layer.
SCALE, ALPHA = 1.0507009873554805, 1.6732632423543772


def split(spec):
    """Return the name and the tuple of parameters of a name or of (name, parameter, ...)."""
    return (spec, ()) if isinstance(spec, str) else (spec[0], tuple(spec[1:]))


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


def elu(Z, alpha=1.0):
    return np.where(Z > 0, Z, alpha * np.expm1(np.minimum(Z, 0)))


def elu_backward(Z, dA, alpha=1.0):
    return dA * np.where(Z > 0, 1, alpha * np.exp(np.minimum(Z, 0)))


def gelu_backward(Z, dA):
    # Beyond 100 the density is 0; up to there no square overflows.
    density = np.exp(-(np.clip(Z, -100, 100) ** 2) / 2) / (2 * np.pi) ** 0.5
    return dA * (special.ndtr(Z) + Z * density)


def gelu_tanh_cubic(Z):
    """Return u and du/dZ, where (1 + tanh(sqrt(2/pi) (Z + 0.044715 Z^3))) / 2 = sigmoid(u)."""
    Z = np.clip(Z, -100, 100)
    c = (8 / np.pi) ** 0.5
    return c * (Z + 0.044715 * Z**3), c * (1 + 3 * 0.044715 * Z**2)


def gelu_tanh_backward(Z, dA):
    u, du = gelu_tanh_cubic(Z)
    return dA * sigmoid(u) * (1 + Z * sigmoid(-u) * du)


def softplus(Z):
    return np.maximum(Z, 0) + np.log1p(np.exp(-np.abs(Z)))


def mish_backward(Z, dA):
    t = np.tanh(softplus(Z))
    return dA * (t + Z * (1 - t**2) * sigmoid(Z))


# name: (f(Z, *parameters), backward(Z, dA, *parameters) -> dZ). At a kink the slope is that from the left.
ACTIVATIONS = {
    "identity": (lambda Z: Z, lambda Z, dA: dA),
    "sigmoid": (sigmoid, lambda Z, dA: dA * sigmoid(Z) * sigmoid(-Z)),
    "tanh": (np.tanh, lambda Z, dA: dA * (1 - np.tanh(Z) ** 2)),
    "relu": (lambda Z: np.maximum(Z, 0), lambda Z, dA: np.where(Z > 0, dA, 0)),
    "leaky_relu": (
        lambda Z, slope=0.01: np.where(Z > 0, Z, slope * Z),
        lambda Z, dA, slope=0.01: np.where(Z > 0, dA, slope * dA),
    ),
    "elu": (elu, elu_backward),
    "selu": (
        lambda Z, scale=SCALE, alpha=ALPHA: scale * elu(Z, alpha),
        lambda Z, dA, scale=SCALE, alpha=ALPHA: scale * elu_backward(Z, dA, alpha),
    ),
    "gelu": (lambda Z: Z * special.ndtr(Z), gelu_backward),
    "gelu_tanh": (lambda Z: Z * sigmoid(gelu_tanh_cubic(Z)[0]), gelu_tanh_backward),
    "silu": (lambda Z: Z * sigmoid(Z), lambda Z, dA: dA * sigmoid(Z) * (1 + Z * sigmoid(-Z))),
    "mish": (lambda Z: Z * np.tanh(softplus(Z)), mish_backward),
    "softplus": (softplus, lambda Z, dA: dA * sigmoid(Z)),
    "exp": (np.exp, lambda Z, dA: dA * np.exp(Z)),
    "softmax": (softmax, softmax_backward),
}

# Activations whose outputs depend on all pre-activations of the row.
ROW_WISE = {"softmax"}


def column(Y, S):
    """Return Y in the shape of S: (N,) targets of a single output become (N, 1)."""
    return Y.reshape(S.shape) if Y.ndim == 1 else Y


def squared_error(A, Y):
    return ((A - column(Y, A)) ** 2).sum(axis=1) / 2


def huber(A, Y, delta=1.0):
    r = np.abs(A - column(Y, A))
    return np.where(r <= delta, r**2 / 2, delta * (r - delta / 2)).sum(axis=1)


def quantile(A, Y, levels=(0.5,)):
    # One target per row is used for all levels.
    r, tau = Y.reshape(len(A), -1) - A, np.asarray(levels, A.dtype)
    return np.maximum(tau * r, (tau - 1) * r).sum(axis=1)


def d_quantile(A, Y, levels=(0.5,)):
    r, tau = Y.reshape(len(A), -1) - A, np.asarray(levels, A.dtype)
    return np.where(r > 0, -tau, np.where(r < 0, 1 - tau, 0))


def poisson(A, log_A, Y):
    Y = column(Y, A)
    return (A - Y * log_A + special.xlogy(Y, Y) - Y).sum(axis=1)


def log_softplus(S):
    # Below -40, softplus is exp to the last digit.
    T = np.maximum(S, -40)
    return np.log(softplus(T)) + (S - T)


def d_poisson_softplus(S, Y):
    T = np.maximum(S, -40)
    return sigmoid(S) - column(Y, S) * (sigmoid(T) / softplus(T))


def smooth_bits(Y, S, smoothing):
    return column(Y, S) * (1 - smoothing) + smoothing / 2


def smooth_rows(Y, S, smoothing):
    """Return smoothed rows of probabilities with the same sums; classes (N,) are one-hot encoded before."""
    Y = np.eye(S.shape[1], dtype=S.dtype)[Y] if Y.ndim == 1 else Y
    return Y * (1 - smoothing) + smoothing * Y.mean(axis=1, keepdims=True)


def log_loss_sigmoid(S, Y, smoothing=0.0):
    # -y log a - (1 - y) log(1 - a), with log(1 - a) = -log(1 + e^s) and log a = s + log(1 - a)
    Y = smooth_bits(Y, S, smoothing)
    return (np.maximum(S, 0) - S * Y + np.log1p(np.exp(-np.abs(S)))).sum(axis=1)


def log_loss_softmax(S, Y, smoothing=0.0):
    return -(smooth_rows(Y, S, smoothing) * log_softmax(S)).sum(axis=1)


def d_log_loss_softmax(S, Y, smoothing=0.0):
    # The sum is 1 except for rounding, which finite differences would show otherwise.
    Y = smooth_rows(Y, S, smoothing)
    return softmax(S) * Y.sum(axis=1, keepdims=True) - Y


# (loss, output): (per_row_loss(S, Y, *parameters) -> (N,), d_logits(S, Y, *parameters) -> (N, O)). S are the
# logits; if output is None, S are the outputs of any element-wise activation. The slope at a kink is 0.
LOSSES = {
    ("squared_error", None): (squared_error, lambda A, Y: A - column(Y, A)),
    ("absolute_error", None): (
        lambda A, Y: np.abs(A - column(Y, A)).sum(axis=1),
        lambda A, Y: np.sign(A - column(Y, A)),
    ),
    ("huber", None): (huber, lambda A, Y, delta=1.0: np.clip(A - column(Y, A), -delta, delta)),
    ("quantile", None): (quantile, d_quantile),
    ("poisson", "exp"): (lambda S, Y: poisson(np.exp(S), S, Y), lambda S, Y: np.exp(S) - column(Y, S)),
    ("poisson", "softplus"): (lambda S, Y: poisson(softplus(S), log_softplus(S), Y), d_poisson_softplus),
    ("log_loss", "sigmoid"): (
        log_loss_sigmoid,
        lambda S, Y, smoothing=0.0: sigmoid(S) - smooth_bits(Y, S, smoothing),
    ),
    ("log_loss", "softmax"): (log_loss_softmax, d_log_loss_softmax),
}


def fits(loss, output):
    """Return the key of LOSSES for a loss and an output activation, or None if they do not fit."""
    loss, output = split(loss)[0], split(output)[0]
    if (loss, output) in LOSSES:
        return loss, output
    if (loss, None) in LOSSES and output not in ROW_WISE:
        return loss, None
    return None


class Cache(list):
    """A list of (Z, A), layer by layer, with A before dropout; `masks` are those of each layer's input."""


def drop(A, mask):
    """Return A, or its gradient, with dropped elements set to 0 and the others divided by 1 - rate."""
    if mask is None:
        return A
    keep, rate = mask
    return np.where(keep, A / (1 - rate), 0)


def draw_masks(rates, n_inputs, n_rows, seed, step):
    """Return masks for `forward`, which hash the seed, step, layer, row of the batch and unit."""

    def mixed(state):
        state = (state + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
        state = (state ^ (state >> 30)) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> 27)) * np.uint64(0x94D049BB133111EB)
        return state ^ (state >> 31)

    def one(value):
        return np.array([value], np.uint64)

    masks = []
    for layer, (rate, n) in enumerate(zip(rates, n_inputs, strict=True)):
        key = mixed(mixed(mixed(one(seed)) ^ one(step)) ^ one(layer))
        rows = mixed(key ^ mixed(np.arange(n_rows, dtype=np.uint64)))[:, None]
        x = np.arange(n, dtype=np.uint32) * np.uint32(0x9E3779B9) + rows.astype(np.uint32)
        x = (x ^ (x >> 16)) * np.uint32(0x7FEB352D)
        x = (x ^ (x >> 15) ^ (rows >> 32).astype(np.uint32)) * np.uint32(0x846CA68B)
        masks.append(((x ^ (x >> 16)) >= np.ceil(rate * 2.0**32), rate) if rate else None)
    return masks


def forward(weights, biases, activations, X, masks=None):
    """Return the Cache of a forward pass.

    masks: for the input of each layer, X first, None or (keep (N, units), rate) for dropout of that rate.
    """
    cache = Cache()
    cache.masks = [None] * len(weights) if masks is None else masks
    A = X
    for W, b, activation, mask in zip(weights, biases, activations, cache.masks, strict=True):
        name, parameters = split(activation)
        Z = drop(A, mask) @ W + b
        A = ACTIVATIONS[name][0](Z, *parameters)
        cache.append((Z, A))
    return cache


def backward(weights, activations, X, cache, d_out, logits=False):
    """Return dW, db (lists) and dX of sum(d_out * outputs), or of sum(d_out * logits) with logits=True."""
    n_layers = len(weights)
    dW, db = [None] * n_layers, [None] * n_layers
    dA = d_out
    for layer in reversed(range(n_layers)):
        Z, mask = cache[layer][0], cache.masks[layer]
        name, parameters = split(activations[layer])
        from_logits = logits and layer == n_layers - 1
        dZ = dA if from_logits else ACTIVATIONS[name][1](Z, dA, *parameters)
        A_in = cache[layer - 1][1] if layer > 0 else X
        dW[layer] = drop(A_in, mask).T @ dZ
        db[layer] = dZ.sum(axis=0)
        dA = drop(dZ @ weights[layer].T, mask)
    return dW, db, dA


def flatten(weights, biases):
    """Return a new vector of W0 (C order), b0, W1, b1, ..."""
    return np.concatenate([part.ravel() for W, b in zip(weights, biases, strict=True) for part in (W, b)])


def unflatten(params, sizes):
    """Return weights and biases as views of a vector; sizes are the widths of the layers, input first."""
    weights, biases = [], []
    start = 0
    for n_in, n_out in pairwise(sizes):
        stop = start + n_in * n_out
        weights.append(params[start:stop].reshape(n_in, n_out))
        biases.append(params[stop : stop + n_out])
        start = stop + n_out
    return weights, biases


def class_weights(class_weight, y):
    """Return for each row (N,) the weight of its class, to be multiplied by its sample weight."""
    return np.array([class_weight[c] for c in np.ravel(y)])


def cost_and_gradient(
    weights, biases, activations, X, y, loss, sample_weight=None, alpha=0.0, l1=0.0, masks=None, least=0.0
):
    """Return (sum w_i loss_i + alpha / 2 sum W^2 + l1 sum |W|) / sum w, and its gradient (P,).

    least: the penalties are divided by at least this number per row.
    """
    key = fits(loss, activations[-1])
    if key is None:
        raise ValueError(f"{loss} does not fit the output {activations[-1]}")
    per_row_loss, d_logits = LOSSES[key]
    parameters = split(loss)[1]
    from_logits = key[1] is not None

    cache = forward(weights, biases, activations, X, masks)
    Z, A = cache[-1]
    S = Z if from_logits else A
    losses = per_row_loss(S, y, *parameters)
    w = np.ones_like(losses) if sample_weight is None else sample_weight
    total = w.sum()
    penalty = sum(alpha / 2 * (W**2).sum() + l1 * np.abs(W).sum() for W in weights)
    penalized = max(total, least * len(w))
    cost = w @ losses / total + penalty / penalized

    d_out = w[:, None] * d_logits(S, y, *parameters) / total
    dW, db, _ = backward(weights, activations, X, cache, d_out, logits=from_logits)
    dW = [G + (alpha * W + l1 * np.sign(W)) / penalized for G, W in zip(dW, weights, strict=True)]
    return cost, flatten(dW, db)


class SGD:
    def __init__(self, momentum=0.0, nesterov=False, averaged=False):
        self.momentum, self.nesterov, self.averaged = momentum, nesterov, averaged
        self.v = 0.0

    def step(self, p, g, rate):
        """Return the parameters after one step."""
        mu = self.momentum
        if self.averaged:
            self.v = mu * self.v + (1 - mu) * g
            return p - rate * self.v
        self.v = mu * self.v - rate * g
        return p + mu * self.v - rate * g if self.nesterov else p + self.v


class RMSProp:
    def __init__(self, rho=0.9, epsilon=1e-8, momentum=0.0):
        self.rho, self.epsilon, self.momentum = rho, epsilon, momentum
        self.v = self.u = 0.0

    def step(self, p, g, rate):
        """Return the parameters after one step."""
        self.v = self.rho * self.v + (1 - self.rho) * g**2
        self.u = self.momentum * self.u + g / (np.sqrt(self.v) + self.epsilon)
        return p - rate * self.u


class Adam:
    def __init__(self, beta1=0.9, beta2=0.999, epsilon=1e-8, epsilon_form="paper"):
        self.beta1, self.beta2, self.epsilon, self.epsilon_form = beta1, beta2, epsilon, epsilon_form
        self.m = self.v = 0.0
        self.t = 0

    def step(self, p, g, rate):
        """Return the parameters after one step."""
        self.t += 1
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        self.v = self.beta2 * self.v + (1 - self.beta2) * g**2
        c1, c2 = 1 - self.beta1**self.t, 1 - self.beta2**self.t
        m_hat, v_hat = self.m / c1, self.v / c2
        denominator = {
            "paper": np.sqrt(v_hat) + self.epsilon,
            # scikit-learn does the same: it adds epsilon to the root of v before the correction.
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
    l1=0.0,
    masks=None,
    clip_norm=None,
    weight_decay=0.0,
    frozen=(),
    ema=None,
):
    """Train for len(orders) epochs and return params (P,), the loss of each epoch and the cost of each step.

    orders: for each epoch a permutation (N,), or None for the order of the rows. rates, masks: one for each
    batch, skipped batches included; masks are those of `forward`. optimizer: an object with step(p, g, rate).
    A batch whose weights sum to 0 is skipped: its cost is 0, and the optimizer takes no step. The penalties
    are divided by the sum of the weights of the batch, but by at least a hundredth of the average weight of
    as many rows. frozen: layers, from 0, whose W and b stay unchanged and whose gradient counts as 0.
    clip_norm: the largest norm of a gradient, penalties included. ema: the decay of the moving average of the
    parameters; if it is given, that average (P,) is returned last. Only the optimizer is changed.
    """
    n_rows = len(X)
    sizes = [W.shape[0] for W in weights] + [weights[-1].shape[1]]
    params = mean = flatten(weights, biases)
    trained = np.ones(params.shape, bool)
    for layer in frozen:
        for part in unflatten(trained, sizes):
            part[layer][:] = False
    batch_size = batch_size or n_rows
    rates = iter(rates)
    masks = repeat(None) if masks is None else iter(masks)
    epoch_losses, step_costs = [], []
    least = 0.0 if sample_weight is None else 0.01 * np.mean(sample_weight)
    for order in orders:
        order = np.arange(n_rows) if order is None else order
        epoch_loss = 0.0
        for first in range(0, n_rows, batch_size):
            rows = order[first : first + batch_size]
            rate, mask = next(rates), next(masks)
            w = None if sample_weight is None else sample_weight[rows]
            if w is not None and w.sum() == 0:
                step_costs.append(0.0)
                continue
            net = unflatten(params, sizes)
            cost, gradient = cost_and_gradient(
                *net, activations, X[rows], y[rows], loss, w, alpha, l1, mask, least
            )
            gradient = np.where(trained, gradient, 0)
            norm = np.linalg.norm(gradient)
            if clip_norm is not None and norm > clip_norm:
                gradient = gradient * (clip_norm / norm)
            shrunk = params.copy()
            for W in unflatten(shrunk, sizes)[0]:
                W *= 1 - rate * weight_decay
            params = np.where(trained, optimizer.step(shrunk, gradient, rate), params)
            if ema is not None:
                mean = ema * mean + (1 - ema) * params
            step_costs.append(cost)
            epoch_loss += cost * len(rows) / n_rows
        epoch_losses.append(epoch_loss)
    found = params, np.array(epoch_losses), np.array(step_costs)
    return found if ema is None else (*found, mean)


def finite_difference(cost, params, eps=1e-6):
    """Return the gradient (P,) of cost(params) by central differences, in float64."""
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


def piecewise(matrix, segments):
    """Return the dense rows: a stored element of a segment stands for ones in its columns before it too."""
    X = np.zeros(matrix.shape)
    for r, begin, end in zip(range(len(X)), matrix.indptr, matrix.indptr[1:], strict=False):
        for column, value in zip(matrix.indices[begin:end], matrix.data[begin:end], strict=True):
            X[r, column] += value
            if segments[column] >= 0:
                X[r, segments[column] : column] += 1
    return X

"""Networks and examples that many tests use."""

import numpy as np

from dnn import Network

SMALL_SIZES = [7, 19, 11, 3]


def oracle(net):
    """Return the weights, biases and activations of a network for the oracle, in float64."""
    weights = [W.astype(np.float64) for W in net.weights]
    biases = [b.astype(np.float64) for b in net.biases]
    return weights, biases, [layer.activation for layer in net.layers]


def examples(n, sizes, loss, output, dtype="float64", seed=1):
    """Return X, and targets that fit the loss."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, sizes[0])).astype(dtype)
    n_outputs = sizes[-1]
    if loss == "poisson":
        return X, rng.poisson(1.5, size=(n, n_outputs)).astype(dtype)
    if loss != "log_loss":
        return X, rng.normal(size=(n, n_outputs)).astype(dtype)
    if output == "sigmoid":
        return X, rng.random((n, n_outputs)).astype(dtype)
    return X, rng.integers(0, n_outputs, n)


def small_network(dtype="float64", seed=0, **options):
    """Return a network with two hidden layers of tanh units, for three classes."""
    options = {"activation": "tanh", "output": "softmax", **options}
    return Network(SMALL_SIZES, dtype=dtype, random_state=seed, **options)


def small_examples(n=60, dtype="float64"):
    """Return X and classes for the small network."""
    return examples(n, SMALL_SIZES, "log_loss", "softmax", dtype)


def sine_examples(n=400):
    """Return X (n, 5), y = sin(X[:, 0]) + X[:, 1] / 2, and labels that tell whether y is positive."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 5))
    y = np.sin(X[:, 0]) + X[:, 1] / 2
    return X, y, (y > 0).astype(int)

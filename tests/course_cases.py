"""The printed figures of the course, and conversions between its layout and dnn's.

The cases, their inputs and their figures are in course_expected.json of the data folder. The course has X
(features, examples) and W (n_out, n_in); dnn has rows of examples and W (n_in, n_out). `network` and
`by_layer` transpose; everything between them is in dnn's own layout.
"""

import numpy as np
import pytest

from dnn import SGD, Network


def cases(*names):
    """Return a decorator that runs a test on these cases."""
    return pytest.mark.parametrize("case", names, indirect=True)


def agree(case, decimals=None, **found):
    """Assert that results equal the printed figures, with half a unit of the last decimal as tolerance."""
    decimals = case.decimals if decimals is None else decimals
    for name, value in found.items():
        expected = case.expected[name]
        value = np.asarray(value).reshape(expected.shape) if expected.ndim == 0 else np.asarray(value)
        assert value.shape == expected.shape, name
        np.testing.assert_allclose(value, expected, rtol=0, atol=0.501 * 10.0**-decimals, err_msg=name)


def network(weights, biases=None, *, hidden="relu", output="sigmoid", dropout=0.0):
    """Return a network with the course's W (n_out, n_in) and b (n_out, 1), or 0, of each layer."""
    sizes = [weights[0].shape[1], *(len(W) for W in weights)]
    net = Network(sizes, activation=hidden, output=output, dropout=dropout, init="zeros", dtype="float64")
    for mine, W in zip(net.weights, weights, strict=True):
        mine[...] = W.T
    for mine, b in zip(net.biases, biases or [], strict=biases is not None):
        mine[...] = b.ravel()
    return net


def by_layer(net, vector, prefix=""):
    """Return the course's W1 (n_out, n_in), b1 (n_out, 1), W2, ... from parameters or a gradient (P,)."""
    found, begin = {}, 0
    for layer, W in enumerate(net.weights, 1):
        n_in, n_out = W.shape
        middle, end = begin + W.size, begin + W.size + n_out
        found[f"{prefix}W{layer}"] = vector[begin:middle].reshape(n_in, n_out).T
        found[f"{prefix}b{layer}"] = vector[middle:end, None]
        begin = end
    assert begin == len(vector)
    return found


def listed(inputs, letter):
    """Return the arrays W1, W2, ... of a case, or its only array W."""
    if hasattr(inputs, letter):
        return [getattr(inputs, letter)]
    names = [f"{letter}{layer}" for layer in range(1, 9)]
    return [getattr(inputs, name) for name in names if hasattr(inputs, name)]


def net_of(inputs, **settings):
    """Return a network with the weights and biases of a case."""
    return network(listed(inputs, "W"), listed(inputs, "b"), **settings)


def net_giving(A):
    """Return a network of one sigmoid unit, and inputs (N, 1) for which its outputs are A (1, N)."""
    return network([np.ones((1, 1))]), np.log(A / (1 - A)).T


def stepped(case, spec, *, skip=0):
    """Return W1, b1, ... after one step with the gradient dW1, db1, ..., and the states of the optimizer.

    The layers of some cases do not fit each other, so that each layer is a network of its own, which gives
    the same step. The step follows `skip` steps with a gradient of 0.
    """
    found, states = {}, []
    for layer, (W, b) in enumerate(zip(listed(case.inputs, "W"), listed(case.inputs, "b"), strict=True), 1):
        net = network([W], [b])
        dW, db = getattr(case.inputs, f"dW{layer}"), getattr(case.inputs, f"db{layer}")
        state = net.optimizer(spec)
        for _ in range(skip):
            state.step(np.zeros(net.n_params))
        state.step(np.concatenate([dW.T.ravel(), db.ravel()]))
        after = by_layer(net, net.params)
        found |= {f"W{layer}": after["W1"], f"b{layer}": after["b1"]}
        slots = [by_layer(net, slot) for slot in state.slots]
        states.append(slots)
    return found, states


def descend(net, X, Y, *, rate, iterations):
    """Train by gradient descent on all examples, as the course does; return the cost before each step."""
    return net.fit(X.T, Y.T, optimizer=SGD(rate), batch_size=None, epochs=iterations).loss


def accuracy(net, X, Y):
    return float(np.mean((net(X.T) > 0.5) == Y.T))

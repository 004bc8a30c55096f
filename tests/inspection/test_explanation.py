"""check_gradient(explain=True) shows the forward and backward pass, and names the likely mistake."""

import numpy as np
import pytest

from dnn import Huber, Network, check_gradient
from dnn.inspection.explanation import MISTAKES, Pass


def flat(parts):
    return np.concatenate([part.ravel() for part in parts])


def net_and_data(sizes=(4, 5, 3), n=6, activation="tanh", output="softmax"):
    rng = np.random.default_rng(0)
    net = Network(list(sizes), activation=activation, output=output, dtype="float64", random_state=1)
    for b in net.biases:
        b[:] = rng.normal(size=b.shape)
    X = rng.normal(size=(n, sizes[0]))
    y = np.arange(n) % sizes[-1] if output == "softmax" else rng.normal(size=(n, sizes[-1]))
    return net, X, y


HOW = {"loss": "auto", "sample_weight": None, "alpha": 0.0, "l1": 0.0}


@pytest.mark.parametrize("more", [{}, {"alpha": 0.7, "l1": 0.2}, {"sample_weight": np.arange(6.0)}], ids=str)
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu", "gelu"])
def test_the_pass_shown_is_that_of_the_network(activation, more):
    net, X, y = net_and_data((4, 5, 3, 3), activation=activation)
    how = HOW | more
    cost, gradient = net.loss_and_gradient(X, y, **how)
    passed = Pass.of(net, X, y, how)
    np.testing.assert_allclose(flat(passed.backward()), gradient, rtol=0, atol=1e-12)
    assert passed.cost == cost


@pytest.mark.parametrize("loss", ["squared_error", Huber(0.5)])
def test_the_pass_of_a_regression(loss):
    net, X, y = net_and_data(output="identity")
    how = HOW | {"loss": loss}
    _, gradient = net.loss_and_gradient(X, y, **how)
    np.testing.assert_allclose(flat(Pass.of(net, X, y, how).backward()), gradient, rtol=0, atol=1e-12)


def test_a_right_gradient(capsys):
    net, X, y = net_and_data()
    assert check_gradient(net, X, y, explain=True) < 1e-7
    text = capsys.readouterr().out
    for formula in ("Z1 = X @ W1 + b1", "A2 = softmax(Z2)", "dW2 = A1.T @ dZ2", "dZ1 = dA1 * tanh'(Z1)"):
        assert formula in text
    assert "(6, 4) @ (4, 5) + (5,)" in text and text.rstrip().endswith(": correct.")
    assert "Likely mistake" not in text


def learners_gradient(net, X, y, mistake):
    """Return the gradient of a learner's backward pass; matrices are square, so that every mistake runs."""
    (W1, W2, W3), (b1, b2, b3) = net.weights, net.biases
    m = len(X)
    A1 = np.tanh(X @ W1 + b1)
    A2 = np.tanh(A1 @ W2 + b2)
    Z3 = A2 @ W3 + b3
    dZ3 = (np.exp(Z3) / np.exp(Z3).sum(axis=1, keepdims=True) - np.eye(m)[y]) / (1 if mistake == "1/m" else m)
    dA2 = dZ3 * W3.T if mistake == "*" else dZ3 @ (W3 if mistake == "transposed" else W3.T)
    dZ2 = dA2 * (1 - (A1 @ W2 + b2 if mistake == "Z" else A2) ** 2)
    dA1 = dZ2 @ W2.T
    dZ1 = dA1 if mistake == "slope" else dA1 * (1 - A1**2)
    dW2 = (A1 * dZ2) if mistake == "* in dW" else A1.T @ dZ2
    db1 = np.full(4, dZ1.sum()) if mistake == "no axis" else dZ1.sum(axis=1 if mistake == "axis" else 0)
    dW3 = A2.T @ dZ3
    parts = [X.T @ dZ1, db1, dW2, dZ2.sum(axis=0), dW3.T if mistake == "dW.T" else dW3, dZ3.sum(axis=0)]
    return flat(parts)


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (
            "1/m",
            "the 1/m is missing: the gradient is a sum over the examples, and should be their mean, in every",
        ),
        ("*", "* instead of @: dA2 = dZ3 @ W3.T"),
        ("transposed", "a transpose is missing: dA2 = dZ3 @ W3.T, not @ W3"),
        ("Z", "the slope has Z instead of A: for tanh it is 1 - A2**2"),
        ("slope", "the slope is missing: dZ1 = dA1 * g'(Z1), not dA1"),
        ("no axis", "the sum in db1 has no axis"),
        ("axis", "db1 is summed over the wrong axis"),
        ("dW.T", "dW3 is transposed"),
    ],
)
def test_likely_mistakes_are_named(mistake, said, capsys):
    net, X, _ = net_and_data((4, 4, 4, 4), n=4)
    y = np.arange(4)
    assert check_gradient(net, X, y, gradient=learners_gradient(net, X, y, ""), explain=True) < 1e-7
    assert check_gradient(net, X, y, gradient=learners_gradient(net, X, y, mistake), explain=True) > 1e-3
    text = capsys.readouterr().out
    assert said in text.split("Likely mistake:")[1]


def test_factors_signs_and_unexplained_gradients(capsys):
    net, X, y = net_and_data()
    _, gradient = net.loss_and_gradient(X, y)
    wrong = gradient.copy()
    wrong[20:25] *= -1  # db1
    wrong[25:40] *= 2  # dW2
    check_gradient(net, X, y, gradient=wrong, explain=True)
    text = capsys.readouterr().out
    assert "dW2: too large by a factor of 2" in text and "db1: the sign is wrong" in text
    assert "dW1" not in text.split("doubtful." if "doubtful." in text else ": wrong.")[1]
    wrong = gradient.copy()
    wrong[3] += 1.0
    check_gradient(net, X, y, gradient=wrong, explain=True)
    text = capsys.readouterr().out
    assert "dW1 differs by" in text and "most at [0, 3]" in text
    assert "dW1: none of the known mistakes gives this" in text


def test_a_forgotten_penalty(capsys):
    net, X, y = net_and_data()
    _, without = net.loss_and_gradient(X, y)
    check_gradient(net, X, y, alpha=0.7, gradient=without, explain=True)
    assert "the penalty is missing" in capsys.readouterr().out


def test_every_mistake_gives_another_gradient():
    """Of two mistakes with the same gradient only the first would be named."""
    net, X, _ = net_and_data((4, 4, 4, 4), n=4)
    y = np.arange(4)
    passed = Pass.of(net, X, y, HOW | {"alpha": 0.5})
    gradients = [flat(passed.backward(mistake, (2, 3) if mistake else ())) for mistake in ("", *MISTAKES)]
    for i, one in enumerate(gradients):
        for other in gradients[:i]:
            assert np.linalg.norm(one - other) > 1e-6

"""Hidden layers without a non-linearity are equivalent to one matrix: the product of their weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import Adam, Network
from ..inspection.plotting import boundary
from . import sheet
from .points import flower

SIZES = [2, 20, 20, 1]


class Measured(NamedTuple):
    """The points, the networks, their accuracies in percent, and the product of the linear layers."""

    X: np.ndarray
    y: np.ndarray
    nets: dict[str, Network]
    accuracy: dict[str, float]
    W: np.ndarray
    b: np.ndarray
    difference: float


def measure(quick: bool = False) -> Measured:
    """Return three networks trained on the course's flower, and the product of the matrices of the second."""
    X, y = flower()
    nets = {
        "no hidden layer": Network([2, 1], output="sigmoid", random_state=0, dtype="float64"),
        "hidden layers, linear": Network(
            SIZES, activation="identity", output="sigmoid", random_state=0, dtype="float64"
        ),
        "hidden layers, tanh": Network(
            SIZES, activation="tanh", output="sigmoid", random_state=0, dtype="float64"
        ),
    }
    accuracy = {}
    for name, net in nets.items():
        net.fit(X, y, optimizer=Adam(0.02), epochs=10 if quick else 400, batch_size=100)
        accuracy[name] = 100 * float(np.mean((net(X)[:, 0] > 0.5) == y))
    deep = nets["hidden layers, linear"]
    W, b = np.eye(2), np.zeros(2)
    for of_layer, shift in zip(deep.weights, deep.biases, strict=True):
        W, b = W @ of_layer, b @ of_layer + shift
    logits, _ = deep.forward(X, logits=True)
    return Measured(X, y, nets, accuracy, W, b, float(np.abs(X @ W + b - logits).max()))


def tell(m: Measured) -> str:
    """Return the results as text."""
    lines = ["The course's flower, and networks with and without a non-linearity.\n"]
    for name, net in m.nets.items():
        sizes = "-".join(map(str, [net.n_inputs, *(layer.units for layer in net.layers)]))
        lines.append(f"{name:24}{sizes:11}{net.n_params:5} parameters{m.accuracy[name]:8.1f} % correct")
    w1, w2 = m.W[:, 0]
    lines.append(
        f"\nThe product of the linear layers, W1 W2 W3 with the biases, is z = {w1:.4f} x1 {w2:+.4f} x2 "
        f"{m.b[0]:+.4f}.\nOn all points it differs from the deep network by at most {m.difference:.1e}: "
        "the boundary is the same\nstraight line, and further linear layers cannot bend it."
    )
    return "\n".join(lines)


def draw(m: Measured) -> Any:
    """Return the picture: the boundaries of the three networks."""
    figure, axes = sheet(3.4, 1, 3)
    for ax, (name, net) in zip(axes, m.nets.items(), strict=True):
        boundary(net, m.X, m.y, ax)
        ax.set_title(f"{name}\n{m.accuracy[name]:.0f} % correct")
    return figure

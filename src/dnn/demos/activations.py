"""Activations with their slopes, where the slopes vanish, and the same net trained with each."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import SGD, Network
from ..explanation import slope
from ..plotting import COLORS
from . import sheet
from .points import moons

NAMES = ("sigmoid", "tanh", "relu", "leaky_relu")
STYLES = ("-", "--", "-.", ":")
DEPTH = 5
FLAT = 0.05


class Measured(NamedTuple):
    """Z, and by activation A, slopes, costs, and the share of slopes below 0.05 in the first layer."""

    Z: np.ndarray
    A: dict[str, np.ndarray]
    slopes: dict[str, np.ndarray]
    costs: dict[str, list[float]]
    flat: dict[str, float]
    accuracy: dict[str, float]


def measure(quick: bool = False) -> Measured:
    """Return the curves, and what training a net of five hidden layers comes to with each."""
    Z = np.linspace(-5, 5, 201)[:, None]
    X, y = moons(400)
    A, slopes, costs, flat, accuracy = {}, {}, {}, {}, {}
    for name in NAMES:
        one = Network([1, 1, 1], activation=name, init="zeros", dtype="float64")
        for W in one.weights:
            W[...] = 1.0
        A[name] = one(Z)[:, 0]
        slopes[name] = slope(name, Z)[:, 0]
        net = Network([2, *[16] * DEPTH, 1], activation=name, output="sigmoid", random_state=0)
        history = net.fit(X, y, optimizer=SGD(0.1, momentum=0.9), epochs=5 if quick else 200, batch_size=50)
        costs[name] = history.loss
        # Of the product of slopes that a gradient has to pass on its way to the first layer
        _, cache = net.forward(X)
        found = [slope(name, np.asarray(each, np.float64)) for each in cache.Z[:-1]]
        flat[name] = float(np.mean(np.concatenate(found, axis=1) < FLAT))
        accuracy[name] = 100 * float(np.mean((net(X)[:, 0] > 0.5) == y))
    return Measured(Z[:, 0], A, slopes, costs, flat, accuracy)


def tell(m: Measured) -> str:
    """Return the numbers in words."""
    lines = ["Four activations, and the same net, 2-16-16-16-16-16-1, trained with each on two moons.\n"]
    lines.append("activation  largest slope  slope at z = 4  flat after training  cost first   last  right")
    for name in NAMES:
        at_4 = np.interp(4, m.Z, m.slopes[name])
        lines.append(
            f"{name:12}{m.slopes[name].max():13.2f}{at_4:16.4f}{100 * m.flat[name]:19.0f} %"
            f"{m.costs[name][0]:12.3f}{m.costs[name][-1]:7.3f}{m.accuracy[name]:6.1f} %"
        )
    left = 0.25**DEPTH
    lines.append(
        "\nA gradient on its way to the first layer is multiplied by a slope in each. The sigmoid's is at\n"
        f"most 1/4: through {DEPTH} layers at most {left:.4f} is left, and the deep net waits long before\n"
        "it learns. tanh has a slope of 1 in the middle, and vanishes far out; relu has 1 wherever it is on."
    )
    return "\n".join(lines)


def draw(m: Measured) -> Any:
    """Return the picture: above the activations and their slopes, below the costs."""
    figure, _ = sheet(6.6)
    figure.clear()
    grid = figure.add_gridspec(2, 4, height_ratios=[1, 1.3])
    for i, (name, color) in enumerate(zip(NAMES, COLORS, strict=False)):
        ax = figure.add_subplot(grid[0, i])
        ax.axhline(0, color="#bbbbbb", linewidth=1)
        ax.fill_between(m.Z, -1.2, 2.2, where=m.slopes[name] < FLAT, color="#dddddd", linewidth=0)
        ax.plot(m.Z, m.A[name], color=color, linewidth=3)
        ax.plot(m.Z, m.slopes[name], color="black", linewidth=1.6, linestyle="--")
        ax.set_title(name)
        ax.set_ylim(-1.2, 2.2)
        ax.set_xlim(-5, 5)
        ax.set_xticks([-4, 0, 4])
        ax.set_yticks([-1, 0, 1, 2])
        ax.tick_params(labelleft=i == 0)
    below = figure.add_subplot(grid[1, :])
    for name, color, style in zip(NAMES, COLORS, STYLES, strict=False):
        below.plot(range(1, len(m.costs[name]) + 1), m.costs[name], color=color, linestyle=style, label=name)
    below.set_yscale("log")
    below.set_xlabel("epoch")
    below.set_title("cost of the same deep net with each")
    below.legend(loc="center", fontsize=15, ncols=2)
    figure.suptitle("activations; dashed: the slope; gray: hardly any slope left", fontsize=15)
    return figure
